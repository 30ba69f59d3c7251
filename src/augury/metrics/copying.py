"""Copying: do generated images lie nearer to the training images than other real images do?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from statsmodels.stats.proportion import proportion_confint

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import Array
from augury.metrics.fidelity import check_features
from augury.metrics.neighbours import neighbours, other_neighbours

LEVEL = 0.95  # of the lower bound, one-sided
THIRD = 1 / 3  # the rule of thumb for the ratio of distances


@dataclass(frozen=True)
class CopyRate:
    """Hold how many generated images lie suspiciously near to a training image.

    Attributes:
        rate: Share of generated images that are nearer than the threshold, 0..1.
        threshold: Distance that few held-out real images fall below.
        expected: Mean of `rate` over draws of images that are as new as the held-out ones.
        lower: Lower 95 % bound of the share, 0..1.
    """

    rate: float
    threshold: float
    expected: float
    lower: float


@dataclass(frozen=True, eq=False)
class NeighbourRatio:
    """Hold d1 / d2 of each generated image, (F,) in 0..1, and the share of images below 1/3."""

    ratios: Array
    below: float


def nearest(a: Array, b: Array) -> tuple[Array, Array]:
    """Find for each row of a the nearest row of b: Euclidean distances, float64 (A,), and indices, int64 (A,).

    A copy has distance 0 exactly. Blocks of rows are compared, so that memory stays bounded, whatever A and B.

    Args:
        a: (A, D) features or pixels, A >= 1.
        b: (B, D) features or pixels, B >= 1.

    Raises:
        DataError: no row, rows of different lengths, or nan or infinite ones.

    >>> distances, index = nearest(np.array([[0.0, 0.0], [4.0, 1.0]]), np.array([[4.0, 0.0], [3.0, 4.0]]))
    >>> distances.tolist(), index.tolist()
    ([4.0, 1.0], [0, 0])
    """
    distances, index = neighbours(a, b, 1)
    return distances[:, 0], index[:, 0]


def nearest_other(a: Array, groups: Sequence[str] | Array | None = None) -> Array:
    """Find the distance, float64 (A,), of each row of a to its nearest other row, or to that of another group.

    Args:
        a: (A, D) features or pixels, A >= 2.
        groups: A group names, 2 or more different ones; None: each row by itself.

    Raises:
        DataError: one row or group only, a wrong number of groups, or rows that are nan or infinite.

    >>> nearest_other(np.array([[0.0], [1.0], [5.0]])).tolist()
    [1.0, 1.0, 4.0]
    """
    distances, _ = other_neighbours(a, 1, groups)
    return np.asarray(distances[:, 0])


def copy_rate(fake_to_train: Array, held_out_to_train: Array, quantile: float = 0.01) -> CopyRate:
    """Compute the share of generated images nearer to the training images than nearly all held-out real ones.

    The threshold is the k-th smallest of H held-out distances, k = quantile * (H + 1) rounded down, at least 1: then an
    image as new as the held-out ones falls below it with probability k / (H + 1) exactly, however few they are. That
    is `expected`: `quantile` where H + 1 is a multiple of 1 / quantile, more where H is less than that.

    `lower` is Clopper and Pearson's one-sided bound, for the threshold as it is. From few held-out images the threshold
    is itself uncertain: a bound just above `expected` is then no proof of copies.

    Args:
        fake_to_train: (F,) distances of generated images to their nearest training images.
        held_out_to_train: (H,) the same of real images that the generator did not see, none of them a duplicate.
        quantile: Share of held-out images to lie below the threshold, in (0, 1).

    Raises:
        SettingsError: quantile outside (0, 1).
        DataError: no distance, or a distance that is negative or not finite.

    Reference: Meehan, Chaudhuri & Dasgupta 2020 (arXiv 2004.05675) for comparing with held-out images; Clopper &
    Pearson 1934, Biometrika 26:404.

    >>> held_out = np.arange(1.0, 100.0)
    >>> found = copy_rate(np.array([0.0, 0.5, 1.5, 60.0]), held_out)
    >>> found.rate, found.threshold, found.expected, round(found.lower, 3)
    (0.5, 1.0, 0.01, 0.098)
    """
    if not 0 < quantile < 1:
        raise SettingsError(f"quantile must be between 0 and 1. Got {quantile}.")
    check_distances(fake_to_train, "generated")
    check_distances(held_out_to_train, "held-out")
    held_out, drawn = len(held_out_to_train), len(fake_to_train)
    # rounded first: 0.29 * 100 is a hair below 29
    order = min(max(1, math.floor(round(quantile * (held_out + 1), 9))), held_out)
    threshold = float(np.partition(held_out_to_train, order - 1)[order - 1])
    copies = int((fake_to_train < threshold).sum())
    lower, _ = proportion_confint(copies, drawn, alpha=2 * (1 - LEVEL), method="beta")
    return CopyRate(copies / drawn, threshold, order / (held_out + 1), float(lower))


def closer_to_train(fake: Array, train: Array, held_out: Array, *, seed: int = 0) -> float:
    """Compute the share of generated images nearer to training than to held-out images, as many of both; ties half.

    Of the larger side as many images are drawn as the smaller has. 0.5 is expected without copying.

    Args:
        fake: (F, D) features of generated images.
        train: (T, D) features of training images.
        held_out: (H, D) features of real images that the generator did not see.
        seed: of the draw.

    Raises:
        DataError: no row, rows of different lengths, or nan or infinite ones.

    >>> closer_to_train(np.array([[0.0], [2.0], [5.0]]), train=np.array([[0.0]]), held_out=np.array([[4.0]]))
    0.5
    """
    check_features(train, held_out)
    generator, size = np.random.default_rng(seed), min(len(train), len(held_out))
    to_train, to_held_out = (
        nearest(fake, rows[generator.choice(len(rows), size, replace=False)])[0] for rows in (train, held_out)
    )
    return float((to_train < to_held_out).mean() + (to_train == to_held_out).mean() / 2)


def neighbour_ratio(fake: Array, train: Array) -> NeighbourRatio:
    """Compute for each generated image its distance to the nearest training image over that to the second nearest.

    A copy has 0; so has a copy of an image that stands twice in the training set. Compare the share below 1/3 with
    that of held-out images.

    Args:
        fake: (F, D) features of generated images.
        train: (T, D) features of T >= 2 training images.

    Raises:
        DataError: too few rows, rows of different lengths, or nan or infinite ones.

    Reference: Lowe 2004, IJCV 60:91, section 7.1 (the ratio).

    >>> neighbour_ratio(np.array([[1.0]]), np.array([[0.0], [5.0]]))
    NeighbourRatio(ratios=array([0.25]), below=1.0)
    """
    distances, _ = neighbours(fake, train, 2)
    first, second = distances.T
    ratios = np.divide(first, second, out=np.zeros(len(first)), where=second > 0)
    return NeighbourRatio(ratios, float((ratios < THIRD).mean()))


def authenticity(fake: Array, train: Array) -> float:
    """Compute the share of generated images farther from the nearest training image x than x is from the next one.

    Pure copies have 0. New images of the same law do not have 0.5: about 0.4 in 2 dimensions and 0.8 in 128. Compare
    with held-out images.

    Args:
        fake: (F, D) features of generated images.
        train: (T, D) features of T >= 2 training images.

    Raises:
        DataError: too few rows, rows of different lengths, or nan or infinite ones.

    Reference: Alaa et al. 2022 (arXiv 2102.08921), section 4.3.

    >>> authenticity(np.array([[0.1], [3.0]]), np.array([[0.0], [1.0]]))
    0.5
    """
    distances, index = nearest(fake, train)
    return float((distances > nearest_other(train)[index]).mean())


def z_u(fake_to_train: Array, held_out_to_train: Array) -> float:
    """Compute the Mann-Whitney Z of distances to the training images: below 0 where generated images lie nearer.

    Z = (U - FH/2 + 1/2) / sqrt(FH (F + H + 1) / 12), where U counts the pairs with the generated image farther, ties
    by half. Below -3 is alarming; above 3 speaks for images that are far from real ones.

    Args:
        fake_to_train: (F,) distances of generated images to their nearest training images.
        held_out_to_train: (H,) the same of real images that the generator did not see.

    Raises:
        DataError: no distance, or a distance that is negative or not finite.

    Reference: Meehan et al. 2020 (arXiv 2004.05675), section 3; Mann & Whitney 1947, Ann. Math. Stat. 18:50.

    >>> round(z_u(np.zeros(10), np.ones(10)), 6)
    -3.741848
    """
    check_distances(fake_to_train, "generated")
    check_distances(held_out_to_train, "held-out")
    F, H = len(fake_to_train), len(held_out_to_train)
    ranks = rankdata(np.concatenate([fake_to_train, held_out_to_train]))
    U = ranks[:F].sum() - F * (F + 1) / 2
    return float((U - F * H / 2 + 0.5) / math.sqrt(F * H * (F + H + 1) / 12))


def data_copying(fake_to_train: Array, fake_cells: Array, held_out_to_train: Array, held_out_cells: Array) -> float:
    """Compute C_T: the mean of `z_u` over cells (classes, or clusters), weighted by their held-out images.

    Cells without generated images do not count.

    Args:
        fake_to_train: (F,) distances of generated images to the nearest training images of their cells.
        fake_cells: (F,) cells.
        held_out_to_train: (H,) the same of real images that the generator did not see.
        held_out_cells: (H,) cells.

    Raises:
        DataError: no cell with images of both kinds, arrays that do not pair up, or distances as for `z_u`.

    Reference: Meehan et al. 2020 (arXiv 2004.05675), section 3.2.

    >>> cells = np.repeat(["a", "b"], 10)
    >>> round(data_copying(np.zeros(20), cells, np.ones(20), cells), 6)
    -3.741848
    """
    if fake_to_train.shape != fake_cells.shape or held_out_to_train.shape != held_out_cells.shape:
        raise DataError(
            f"every distance must have a cell. Got {fake_to_train.shape} and {fake_cells.shape} generated, "
            f"{held_out_to_train.shape} and {held_out_cells.shape} held-out."
        )
    shared = np.intersect1d(fake_cells, held_out_cells)
    if not len(shared):
        raise DataError("no cell has both generated and held-out images. Draw images of the classes that are held out.")
    weights = [int((held_out_cells == cell).sum()) for cell in shared]
    values = [z_u(fake_to_train[fake_cells == c], held_out_to_train[held_out_cells == c]) for c in shared]
    return float(np.average(values, weights=weights))


def groups_copied(fake_to_train: Array, index: Array, groups: Sequence[str] | Array, threshold: float) -> float:
    """Compute the share of training groups (patients) with one copy or more.

    Args:
        fake_to_train: (F,) distances of generated images to their nearest training images.
        index: (F,) positions of these training images.
        groups: T group names of the training images.
        threshold: distance that a copy falls below, for instance that of `copy_rate`.

    Raises:
        DataError: no distance, a negative or infinite one, or positions that do not fit.

    >>> groups_copied(np.array([0.0, 0.1, 3.0]), np.array([0, 1, 2]), ["p", "p", "q"], threshold=0.5)
    0.5
    """
    check_distances(fake_to_train, "generated")
    names = np.asarray(groups)
    if index.shape != fake_to_train.shape or index.min() < 0 or index.max() >= len(names):
        raise DataError(
            f"every generated image must have the position of one of {len(names)} training images. "
            "Take positions from `nearest`, and groups in the order of its training images."
        )
    return len(np.unique(names[index[fake_to_train < threshold]])) / len(np.unique(names))


def duplicates_within(fake: Array, threshold: float) -> float:
    """Compute the share of generated images whose nearest other generated image is nearer than a threshold.

    Args:
        fake: (F, D) features of F >= 2 generated images.
        threshold: for instance the distance that 1 % of the training images are nearer to one another than.

    Raises:
        DataError: one row only, or nan or infinite rows.

    >>> duplicates_within(np.array([[0.0], [0.0], [7.0], [9.0]]), threshold=1.0)
    0.5
    """
    return float((nearest_other(fake) < threshold).mean())


def check_distances(distances: Array, whose: str) -> None:
    """Check the distances (N,) of some images to their nearest training images.

    Raises:
        DataError: no distance, or a distance that is negative or not finite.

    >>> check_distances(np.array([0.0, 2.5]), "generated")
    """
    if distances.ndim != 1 or not len(distances):
        raise DataError(f"the {whose} images must have one distance each, 1 or more. Got shape {distances.shape}.")
    if not (np.isfinite(distances).all() and distances.min() >= 0):
        raise DataError(f"distances of the {whose} images must be finite and 0 or more. Take them from `nearest`.")
