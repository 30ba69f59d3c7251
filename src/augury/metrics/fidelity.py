"""Distance of generated from real images, between arrays of features: real (N, D), generated (M, D)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import Array

Kernel = Callable[[Array, Array], Array]  # blocks of rows (A, D) and (B, D) to (A, B)

BLOCK_ROWS = 1024  # a block of the kernel matrix then takes 8 MB
BLOCK_VALUES = 2**24  # 128 MB as float64, for features as long as the pixels of a large image
CMMD_SCALE = 1000.0
FOLDS = 5  # of the detector
TIE = 1e-10  # of the mean kernel: sums in another order differ by less
ITERATIONS = 1000


@dataclass(frozen=True)
class KernelTest:
    """Hold a kernel distance and its permutation p-value, one-sided: how often shuffled images lie as far apart."""

    value: float
    p: float


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
    return _mmd(real, fake, _cubic)


def kid_test(real: Array, fake: Array, *, permutations: int = 200, seed: int = 0) -> KernelTest:
    """Test whether `kid` exceeds what images shuffled between the two sides give.

    p = (1 + number of permutations with a distance as great) / (1 + permutations), so it is never 0, and exact when all
    images are exchangeable under the null: several images of one patient are not, pass one of each. Each block of the
    kernel is computed once, for all permutations: memory for (N + M) * permutations numbers beside it.

    Args:
        real: (N, D) features of N >= 2 real images.
        fake: (M, D) features of M >= 2 generated ones.
        permutations: their number, 1 or more.
        seed: of the permutations.

    Raises:
        DataError: as `kid`.
        SettingsError: fewer than 1 permutation.

    Reference: Gretton et al. 2012, JMLR 13:723, section 5; Phipson & Smyth 2010, SAGMB 9:39 (the 1 + in p).

    >>> rows = np.random.default_rng(0).normal(size=(60, 4))
    >>> kid_test(rows[:30], rows[30:] + 1.0, permutations=99).p
    0.01
    """
    check_features(real, fake, least=2)
    if permutations < 1:
        raise SettingsError(f"permutations must be 1 or more. Got {permutations}.")
    N, M = len(real), len(fake)
    sides = np.zeros((N + M, permutations + 1))
    sides[:N] = 1.0
    sides[:, 1:] = np.random.default_rng(seed).permuted(sides[:, 1:], axis=0)
    within, from_real, total = _sums_by_side(np.concatenate([real, fake]), sides)
    between = from_real - within
    real_mean, fake_mean = within / (N * (N - 1)), (total - 2 * between - within) / (M * (M - 1))
    values = real_mean + fake_mean - 2 * between / (N * M)
    as_great = int((values[1:] >= values[0] - TIE * abs(real_mean[0])).sum())
    return KernelTest(float(values[0]), (1 + as_great) / (1 + permutations))


def cmmd(real: Array, fake: Array, sigma: float = 10.0) -> float:
    """Compute 1000 times the unbiased squared MMD with the kernel exp(-|x - y|^2 / (2 sigma^2)) on rows of length 1.

    Published values come from the biased statistic, which adds about 2 * 1000 * (1 - mean kernel) / n: 0.4 for 50
    unrelated images of one law, where this one gives 0 on average and may be negative.

    Args:
        real: (N, D) features of N >= 2 real images, none of them all 0.
        fake: (M, D) features of M >= 2 generated ones, none of them all 0.
        sigma: width of the kernel, above 0.

    Raises:
        DataError: as `kid`; or a row of zeros, which has no direction.
        SettingsError: a width that is not above 0.

    Reference: Jayasumana et al. 2024 (arXiv 2401.09603), section 4; Gretton et al. 2012, JMLR 13:723, equation 3.

    >>> round(cmmd(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 3.0], [0.0, 1.0]])), 4)
    19.9003
    """
    if not sigma > 0:
        raise SettingsError(f"sigma must be above 0. Got {sigma}.")
    check_features(real, fake, least=2)
    if not all(rows.any(axis=1).all() for array in (real, fake) for _, rows in row_blocks(array)):
        raise DataError("features must not be all 0 for an image. Leave such images out: they have no direction.")
    return CMMD_SCALE * _mmd(real, fake, partial(_gaussian, sigma=sigma))


def detector_auc(
    real: Array, fake: Array, groups: Sequence[str] | Array | None = None, seed: int = 0, folds: int = FOLDS
) -> float:
    """Compute how well a logistic regression tells real from generated images that it was not fitted on, as an AUROC.

    Features are standardised inside each fold. The mean over folds is returned: 0.5 where the two look alike, and near
    1 often, which is not fatal: a trace that a detector finds need not disturb a classifier.

    Args:
        real: (N, D) features of real images.
        fake: (M, D) features of generated ones.
        groups: N + M group names, those of the real images first; a group is in one fold only. None: each image alone.
        seed: of the folds.
        folds: their greatest number; fewer where a side has fewer groups.

    Raises:
        DataError: features that do not fit, fewer than 2 groups on a side, or a wrong number of group names.

    Reference: Lopez-Paz & Oquab 2017 (arXiv 1610.06545), classifier two-sample tests.

    >>> rows = np.random.default_rng(0).normal(size=(60, 3))
    >>> detector_auc(rows[:30], rows[30:] + 9.0)
    1.0
    """
    check_features(real, fake, least=2)
    rows = np.concatenate([real, fake]).astype(np.float64)
    drawn = np.repeat([0, 1], [len(real), len(fake)])
    names = np.arange(len(rows)) if groups is None else np.asarray(groups)
    if len(names) != len(rows):
        raise DataError(f"every image must have a group. Got {len(rows)} images and {len(names)} groups.")
    most = min(folds, len(np.unique(names[drawn == 0])), len(np.unique(names[drawn == 1])))
    if most < 2:
        raise DataError("a detector needs images of 2 or more groups on both sides: add groups.")
    return _mean_auc(rows, drawn, names, most, seed)


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


def _mmd(real: Array, fake: Array, kernel: Kernel) -> float:
    between = sum(float(kernel(x, y).sum()) for _, x in row_blocks(real) for _, y in row_blocks(fake))
    pairs = _mean_of_pairs(real, kernel) + _mean_of_pairs(fake, kernel)
    return pairs - 2 * between / (len(real) * len(fake))


def _cubic(x: Array, y: Array) -> Array:
    base = x @ y.T
    base /= x.shape[1]
    base += 1
    return np.asarray(base * base * base)


def _gaussian(x: Array, y: Array, sigma: float) -> Array:
    cosines = _unit(x) @ _unit(y).T
    cosines -= 1
    cosines /= sigma**2
    return np.asarray(np.expm1(cosines))  # the 1 cancels in the statistic, but would cost it digits


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _mean_of_pairs(features: Array, kernel: Kernel) -> float:
    """Return the mean of the kernel over all pairs of different rows."""
    total, n = 0.0, len(features)
    for first, x in row_blocks(features):
        for second, y in row_blocks(features[first:]):
            values = kernel(x, y)
            # the matrix is symmetric: blocks on its diagonal count but for their own diagonals, those right of it twice
            total += 2 * float(values.sum()) if second else float(values.sum() - np.trace(values))
    return total / (n * (n - 1))


def _sums_by_side(features: Array, sides: Array) -> tuple[Array, Array, float]:
    """Return sums of the kernel over pairs of different rows, for each column of `sides` (0 or 1 for each row).

    They are taken over pairs with 1 for both rows, over those with 1 for the first row, and over all pairs.
    """
    within, by_row = np.zeros(sides.shape[1]), np.zeros(len(features))
    for first, x in row_blocks(features):
        for second, y in row_blocks(features[first:]):
            values = _cubic(x, y)
            rows, columns = slice(first, first + len(x)), slice(first + second, first + second + len(y))
            if second:  # right of the diagonal: what lies left of it is the same
                by_row[columns] += values.sum(axis=0)
            else:
                np.fill_diagonal(values, 0.0)
            by_row[rows] += values.sum(axis=1)
            within += (2 if second else 1) * np.einsum("np,np->p", sides[rows], values @ sides[columns])
    return within, by_row @ sides, float(by_row.sum())


def _mean_auc(rows: Array, drawn: Array, names: Array, folds: int, seed: int) -> float:
    # a second and more, which every process would wait for
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for fitted, scored in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, drawn, names):
        if len(set(drawn[fitted])) == len(set(drawn[scored])) == 2:  # a group may hold most of a side
            detector = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
            detector.fit(rows[fitted], drawn[fitted])
            found.append(roc_auc_score(drawn[scored], detector.decision_function(rows[scored])))
    if not found:
        raise DataError("no fold holds real and generated images: groups are too few or too uneven. Add groups.")
    return float(np.mean(found))
