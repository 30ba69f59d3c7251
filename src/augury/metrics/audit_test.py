"""The decision of the copying audit: an exact test of drawn against held-out images, over all splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import Array
from augury.metrics.copying import check_distances

SHARE = 0.02  # of the images of a split that count as its nearest
FEWEST = 5  # of them in each of several splits
FEWEST_IN_ALL = 10  # of as many drawn as held-out images: with 5 no p value could be below 0.03
POWER = 0.8
GRID = 1000  # shares of copies that are tried: 0.1 %, 0.2 %, ...


@dataclass(frozen=True)
class CopyingTest:
    """Hold the exact test of whether drawn images crowd among those nearest to the training images.

    Attributes:
        p: Probability, for a generator that does not copy, of as many drawn images among the nearest or more.
        near: Number of drawn images among the nearest, summed over splits.
        expected: Its mean for a generator that does not copy.
        limit: Detection limit: the smallest share of copies among drawn images that is found with probability 0.8;
            None where there are too few images to find any.
    """

    p: float
    near: int
    expected: float
    limit: float | None


def copying_test(splits: Sequence[tuple[Array, Array]], *, alpha: float = 0.05, classes: int = 1) -> CopyingTest:
    """Test whether drawn images lie nearer to the training images than held-out real ones do, over all splits at once.

    In each split the k = max(5, 2 %) nearest of its G drawn and H held-out images are looked at (of a single one, the
    max(10, 2 %) nearest). For a generator that does not copy, drawn and held-out images of a class are exchangeable:
    the number of drawn ones among the k is hypergeometric, and their sum over splits a convolution. Nothing is
    estimated, and no distance is compared between splits. Held-out images come first among equal distances, so that
    ties never speak for copying. Where drawn and held-out images hold other shares of the classes, each class of a
    split is to be given as a split of its own, and the least numbers are shared by the classes.

    A small p says that drawn images crowd the training images, as copies do; images of few details, which lie near to
    everything, may do so as well. A large p says "no copying detected at detection limit x", never "private".

    Args:
        splits: for each split, or each class of each, the distances to the nearest training image, of (G,) images
            drawn from a generator that was fitted on that training part, and of (H,) real images held out from it, one
            of each group (patient).
        alpha: level that `limit` is for; that of one generator after a correction for several.
        classes: how many of `splits` are classes of one and the same split.

    Raises:
        DataError: no split, or one without images on either side, or distances that are negative or not finite.
        SettingsError: alpha outside (0, 1).

    Reference: Fisher 1935, The Design of Experiments (the exact test); Meehan et al. 2020 (arXiv 2004.05675) for
    comparing with held-out images.

    >>> held_out = np.arange(1.0, 101.0)
    >>> found = copying_test([(np.append(np.zeros(10), np.arange(11.5, 101.5)), held_out)])
    >>> found.near, found.expected, round(found.p, 4), found.limit
    (10, 5.0, 0.0008, 0.09)
    """
    if not 0 < alpha < 1:
        raise SettingsError(f"alpha must be between 0 and 1. Got {alpha}.")
    if not splits:
        raise DataError("a copying test needs 1 or more splits. Got none.")
    for drawn, held_out in splits:
        check_distances(drawn, "generated")
        check_distances(held_out, "held-out")
    fewest = math.ceil(max(FEWEST / classes, FEWEST_IN_ALL / len(splits)))
    sizes = [_Size.of(len(drawn), len(held_out), fewest) for drawn, held_out in splits]
    near = sum(_drawn_among(*pair, size.nearest) for pair, size in zip(splits, sizes, strict=True))
    tails = _tails(sizes, 0.0)
    expected = sum(size.nearest * size.drawn / (size.drawn + size.held_out) for size in sizes)
    return CopyingTest(float(tails[near]), near, expected, _limit(sizes, tails, alpha))


class _Size(NamedTuple):
    """How many images one split has, and how many of them count as its nearest."""

    drawn: int
    held_out: int
    nearest: int

    @classmethod
    def of(cls, drawn: int, held_out: int, fewest: int) -> _Size:
        return cls(drawn, held_out, min(max(fewest, math.ceil(SHARE * (drawn + held_out))), drawn + held_out))


def _drawn_among(drawn: Array, held_out: Array, nearest: int) -> int:
    """Count drawn images among the nearest, held-out ones first among equal distances."""
    distances = np.concatenate([held_out, drawn])
    first = np.argsort(distances, kind="stable")[:nearest]
    return int((first >= len(held_out)).sum())


def _tails(sizes: Sequence[_Size], copies: float) -> Array:
    """Return P(number >= i) for i = 0, 1, ..., where a share of the drawn images of each split are copies."""
    law = np.ones(1)
    for size in sizes:
        whole = math.floor(round(copies * size.drawn, 9))  # rounded first: 0.58 * 50 is a hair below 29
        law = np.convolve(law, _law(size, whole))
    return np.asarray(np.minimum(law[::-1].cumsum()[::-1], 1.0))


@lru_cache(maxsize=1024)  # splits are of a few sizes only
def _law(size: _Size, copies: int) -> Array:
    """Return P(number = i), i = 0..k, of drawn images among the k nearest, the first places taken by copies."""
    drawn, held_out, k = size
    sure = min(copies, k)
    left = np.arange(k - sure + 1)
    law = stats.hypergeom.pmf(left, drawn + held_out - sure, drawn - sure, k - sure)
    return np.asarray(np.concatenate([np.zeros(sure), law]))


def _limit(sizes: Sequence[_Size], tails: Array, alpha: float) -> float | None:
    rejected = np.flatnonzero(tails <= alpha)
    if not len(rejected):
        return None
    low, high = 0, GRID + 1  # the power grows with the share: halve the grid
    while high - low > 1:
        middle = (low + high) // 2
        found = float(_tails(sizes, middle / GRID)[rejected[0]]) >= POWER
        low, high = (low, middle) if found else (middle, high)
    return None if high > GRID else high / GRID
