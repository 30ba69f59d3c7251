"""Are the drawn images that lie nearest to real ones near to training images rather than to held-out ones?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from augury.errors import DataError
from augury.metrics.arrays import Array
from augury.metrics.copying import nearest

SHARE = 0.02  # of the drawn images: those nearest to any real image
LEAST_P = 0.001  # of one split: as many of them, at least, as could give this p value if all hit another training group
PERMUTATIONS = 20_000


@dataclass(frozen=True, eq=False)
class Hits:
    """Which real groups the drawn images nearest to real ones lie near to, in one split.

    Attributes:
        weights: int64 (M,): drawn images near to each group that is hit.
        trained: bool (M,): whether the group is of the training part.
        others: int64 (M, 2): training and held-out groups of its class.
        strata: int64 (M,): its class.
    """

    weights: Array
    trained: Array
    others: Array
    strata: Array


def hits(
    drawn: Array,
    train: Array,
    held_out: Array,
    *,
    labels: tuple[Array, Array],
    groups: tuple[Sequence[str], Sequence[str]],
) -> Hits:
    """Find the real groups that the nearest drawn images lie near to, without asking whether they were trained on.

    Args:
        drawn: (G, D) images drawn from a generator.
        train: (T, D) its training images.
        held_out: (H, D) images that it did not see, of other groups.
        labels: int64 (T,) and (H,): classes.
        groups: T and H names of groups.

    >>> found = hits(np.array([[0.0], [9.0]]), np.array([[0.0], [1.0]]), np.array([[5.0]]),
    ...     labels=(np.array([0, 0]), np.array([0])), groups=(["a", "b"], ["c"]))
    >>> found.weights.tolist(), found.trained.tolist(), found.others.tolist()
    ([1, 1], [True, False], [[2, 1], [2, 1]])
    """
    real = np.concatenate([train, held_out])
    distances, index = nearest(drawn, real)
    fewest = _enough(*(len(set(side)) for side in groups))
    k = min(len(drawn), max(fewest, math.ceil(round(SHARE * len(drawn), 9))))
    near = index[np.argsort(distances, kind="stable")[:k]]
    # a group stands on one side only: equal names, as the numbers of images without groups, are of different ones
    names = np.asarray([f"{side} {name}" for side in (0, 1) for name in groups[side]])
    label = np.concatenate(labels)
    trained = np.arange(len(real)) < len(train)
    _, first, weights = np.unique(names[near], return_index=True, return_counts=True)
    chosen = near[first]
    others = [[_groups_of(names, trained == side, label == label[i]) for side in (True, False)] for i in chosen]
    return Hits(weights, trained[chosen], np.array(others, dtype=np.int64), label[chosen])


def _enough(trained: int, held_out: int) -> int:
    """Return how many training groups, hit one after the other, have a probability of at most `LEAST_P` by chance.

    >>> _enough(100, 100), _enough(800, 200)
    (10, 31)
    """
    return math.ceil(math.log(LEAST_P) / math.log(trained / (trained + held_out)))


def nearer_test(splits: Sequence[Hits], *, seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """Test whether they are training groups more often than chance would have it, over all splits at once.

    For a generator that has learned the law of the images and nothing else, it does not matter which real groups it
    was trained on: the groups of a class are exchangeable between the two parts. So the parts are shuffled, class by
    class. Unlike a comparison of drawn with held-out images, this does not mistake blur, which lies near to everything,
    for copying.

    Args:
        splits: What `hits` found in each split.
        seed: Of the shuffles.
        permutations: Number of shuffles.

    Returns:
        The one-sided p value, (1 + shuffles with as many or more) / (1 + shuffles).

    Raises:
        DataError: no split.

    Reference: Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39 (p values from shuffles are never 0).

    >>> one = Hits(np.ones(9, int), np.ones(9, bool), np.full((9, 2), 50), np.zeros(9, int))
    >>> nearer_test([one]) < 0.01
    True
    """
    if not splits:
        raise DataError("a test needs 1 or more splits. Got none.")
    generator = np.random.default_rng(seed)
    seen = sum(int(one.weights[one.trained].sum()) for one in splits)
    shuffled = sum(_shuffled(one, generator, permutations) for one in splits)
    return float((1 + (np.asarray(shuffled) >= seen).sum()) / (1 + permutations))


def _shuffled(one: Hits, generator: np.random.Generator, permutations: int) -> Array:
    total = np.zeros(permutations, dtype=np.int64)
    for stratum in np.unique(one.strata):
        rows = one.strata == stratum
        weights, (trained, held_out) = one.weights[rows], one.others[rows][0]
        left = np.full(permutations, trained)
        for drawn, weight in enumerate(weights):  # the groups that are hit are dealt to the parts one after the other
            dealt = generator.random(permutations) * (trained + held_out - drawn) < left
            total += weight * dealt
            left -= dealt
    return total


def _groups_of(names: Array, side: Array, of_class: Array) -> int:
    return len(set(names[side & of_class].tolist()))
