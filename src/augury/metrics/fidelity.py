"""Distance of generated from real images, between arrays of features: real (N, D), generated (M, D)."""

from collections.abc import Iterator

import numpy as np

from augury.errors import DataError
from augury.metrics.arrays import Array

BLOCK_ROWS = 1024  # a block of the kernel matrix then takes 8 MB
BLOCK_VALUES = 2**24  # 128 MB as float64, for features as long as the pixels of a large image


def kid(real: Array, fake: Array) -> float:
    """Compute the kernel distance: the unbiased squared MMD with the kernel (x . y / D + 1)^3, over all samples.

    It estimates without bias at any number of images, unlike the Fréchet distance. For two samples of one law its
    mean is 0, so it may be negative: that is kept. Float64 throughout; memory for two blocks of rows, whatever N.

    Args:
        real: (N, D) features of N >= 2 real images.
        fake: (M, D) features of M >= 2 generated ones.

    Raises:
        DataError: fewer than 2 rows, features of different lengths, or nan or infinite ones.

    Reference: Bińkowski et al. 2018 (arXiv 1801.01401), section 4 (the kernel); Gretton et al. 2012, JMLR 13:723,
    equation 3 (the unbiased statistic).

    >>> round(kid(np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0, 0], [2, 0], [0, 2]])), 9)
    -4.638888889
    """
    check_features(real, fake, least=2)
    between = sum(float(_kernel(x, y).sum()) for _, x in row_blocks(real) for _, y in row_blocks(fake))
    return _mean_of_pairs(real) + _mean_of_pairs(fake) - 2 * between / (len(real) * len(fake))


def check_features(a: Array, b: Array, *, least: int = 1) -> None:
    """Check two arrays of features, (A, D) and (B, D), each of `least` or more rows.

    Raises:
        DataError: fewer rows, features of different lengths, or nan or infinite ones.

    >>> check_features(np.zeros((3, 2)), np.ones((1, 2)))
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise DataError(
            f"features must be (images, D) with the same D. Got {a.shape} and {b.shape}: "
            "take both from one network, or from images of one size."
        )
    if min(len(a), len(b)) < least:
        raise DataError(f"features of {least} or more images are needed on both sides. Got {len(a)} and {len(b)}.")
    if not all(np.isfinite(rows).all() for array in (a, b) for _, rows in row_blocks(array)):
        raise DataError("features must be finite. Got nan or inf: look for images of a training that diverged.")


def row_blocks(array: Array) -> Iterator[tuple[int, Array]]:
    """Walk through the rows of an (N, D) array, a block at a time, as float64, each with the index of its first row.

    >>> [(start, rows.shape) for start, rows in row_blocks(np.zeros((1500, 2)))]
    [(0, (1024, 2)), (1024, (476, 2))]
    """
    size = max(1, min(BLOCK_ROWS, BLOCK_VALUES // array.shape[1]))
    for start in range(0, len(array), size):
        yield start, array[start : start + size].astype(np.float64)


def _kernel(x: Array, y: Array) -> Array:
    base = x @ y.T
    base /= x.shape[1]
    base += 1
    return np.asarray(base * base * base)


def _mean_of_pairs(features: Array) -> float:
    """Return the mean of the kernel over all pairs of different rows."""
    total, n = 0.0, len(features)
    for first, x in row_blocks(features):
        for second, y in row_blocks(features[first:]):
            kernel = _kernel(x, y)
            # the matrix is symmetric: blocks on its diagonal count but for their own diagonals, those right of it twice
            total += 2 * float(kernel.sum()) if second else float(kernel.sum() - np.trace(kernel))
    return total / (n * (n - 1))
