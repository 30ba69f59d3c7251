"""Fréchet distance between Gaussian fits of real (N, D) and generated (M, D) features.

It is biased upwards at small numbers of images, by about (2 D + D (D + 1) / 2) / n for two samples of one law.
"""

import numpy as np

from augury.errors import SettingsError
from augury.metrics.arrays import Array
from augury.metrics.fidelity import check_features

MOST = 64  # dimensions that `frechet_reduced` keeps
PER_DIMENSION = 10  # images on each side that one of them asks for


def frechet(real: Array, fake: Array) -> float:
    """Compute |m - m'|^2 + Tr(S + S' - 2 (S S')^(1/2)) of the means and the covariances (by n - 1) of both.

    The trace of the root is the sum of the singular values of R^T R' with S = R R^T: real and finite also for
    covariances that have no full rank, where a root of the product S S' may be neither.

    Args:
        real: (N, D) features of N >= 2 real images.
        fake: (M, D) features of M >= 2 generated ones.

    Raises:
        DataError: fewer than 2 rows, features of different lengths, or nan or infinite ones.

    Reference: Dowson & Landau 1982, J. Multivariate Analysis 12:450; Heusel et al. 2017 (arXiv 1706.08500), section 4.

    >>> round(frechet(np.array([[1, 2], [1, 2], [1, 2]]), np.array([[2, 2], [1, 2], [1, 2]])), 4)
    0.4444
    """
    check_features(real, fake, least=2)
    apart = real.mean(axis=0, dtype=np.float64) - fake.mean(axis=0, dtype=np.float64)
    a, b = _root(real), _root(fake)
    root = float(np.linalg.svd(a.T @ b, compute_uv=False).sum())
    return max(0.0, float(apart @ apart + (a**2).sum() + (b**2).sum()) - 2 * root)


def frechet_reduced(real: Array, fake: Array, train: Array, most: int = MOST) -> float | None:
    """Compute `frechet` on the first d = min(most, D) principal components of the training images.

    Args:
        real: (N, D) features of real images that the generator did not see.
        fake: (M, D) features of generated ones.
        train: (T, D) features of real images, which the components are fitted on.
        most: greatest number of components, 1 or more.

    Returns:
        None where any of the three has fewer than 10 d images: the distance would be mostly bias.

    Raises:
        DataError: features of different lengths, or nan or infinite ones.
        SettingsError: fewer than 1 component.

    >>> rows = np.random.default_rng(0).normal(size=(60, 2))
    >>> frechet_reduced(rows[:20], rows[20:40] + 3.0, rows[40:]) > 15
    True
    >>> frechet_reduced(rows[:19], rows[20:40], rows[40:]) is None
    True
    """
    check_features(real, fake)
    check_features(real, train)
    if most < 1:
        raise SettingsError(f"most must be 1 or more components. Got {most}.")
    d = min(most, real.shape[1])
    if min(len(real), len(fake), len(train)) < PER_DIMENSION * d:
        return None
    from sklearn.decomposition import PCA  # a second and more, which every process would wait for

    components = PCA(d, random_state=0).fit(train.astype(np.float64))
    return frechet(components.transform(real.astype(np.float64)), components.transform(fake.astype(np.float64)))


def _root(features: Array) -> Array:
    """Return R (D, D) with R R^T the covariance."""
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(features, rowvar=False, dtype=np.float64)))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))  # rounding leaves eigenvalues a hair below 0
