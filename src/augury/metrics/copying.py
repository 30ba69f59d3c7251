"""Copying: do generated images lie nearer to the training images than other real images do?"""

import math
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import Array
from augury.metrics.fidelity import check_features, row_blocks

LEVEL = 0.95  # of the lower bound, one-sided


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
    check_features(a, b)
    distances, index = np.empty(len(a)), np.empty(len(a), dtype=np.int64)
    for start, rows in row_blocks(a):
        found = _nearest_rows(rows, b)
        index[start : start + len(rows)] = found
        # by differences: |x|^2 - 2 x . y + |y|^2 would leave a rounding error where a copy has 0
        distances[start : start + len(rows)] = np.linalg.norm(rows - b[found], axis=1)
    return distances, index


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
    _check_distances(fake_to_train, "generated")
    _check_distances(held_out_to_train, "held-out")
    held_out, drawn = len(held_out_to_train), len(fake_to_train)
    # rounded first: 0.29 * 100 is a hair below 29
    order = min(max(1, math.floor(round(quantile * (held_out + 1), 9))), held_out)
    threshold = float(np.partition(held_out_to_train, order - 1)[order - 1])
    copies = int((fake_to_train < threshold).sum())
    lower, _ = proportion_confint(copies, drawn, alpha=2 * (1 - LEVEL), method="beta")
    return CopyRate(copies / drawn, threshold, order / (held_out + 1), float(lower))


def _nearest_rows(rows: Array, b: Array) -> Array:
    least, index = np.full(len(rows), np.inf), np.zeros(len(rows), dtype=np.int64)
    for start, others in row_blocks(b):
        squared = (others**2).sum(axis=1) - 2 * (rows @ others.T)  # but for |x|^2, which all of a row share
        best = squared.argmin(axis=1)
        value = squared[np.arange(len(rows)), best]
        nearer = value < least
        least[nearer], index[nearer] = value[nearer], best[nearer] + start
    return index


def _check_distances(distances: Array, whose: str) -> None:
    if distances.ndim != 1 or not len(distances):
        raise DataError(f"the {whose} images must have one distance each, 1 or more. Got shape {distances.shape}.")
    if not (np.isfinite(distances).all() and distances.min() >= 0):
        raise DataError(f"distances of the {whose} images must be finite and 0 or more. Take them from `nearest`.")
