"""Membership inference: can one tell from the generated images alone which real images the generator was trained on?

Imported by its own name: it takes DeLong's interval from `augury.one_test_set`, which itself needs `augury.metrics`.
"""

from dataclasses import dataclass

import numpy as np

from augury.errors import SettingsError
from augury.metrics.arrays import Array
from augury.metrics.copying import nearest
from augury.metrics.fidelity import check_features
from augury.metrics.operating import threshold_for_specificity
from augury.one_test_set import delong

DIMENSIONS = 16  # at most, of the space that densities are estimated in
PER_DIMENSION = 10  # images that one of them asks for
MOST = 2000  # images of each kind that densities are estimated on
FOR_LOW_RATES = 100  # non-members from which a false positive rate of 1 % can be set


@dataclass(frozen=True)
class Membership:
    """Hold how well an attack tells training images (members) from held-out ones.

    Attributes:
        auc: AUROC; 0.5 for a guess, 1 for a generator that copies.
        low: Lower end of its 95 % interval.
        high: Upper end.
        tpr: Share of members found where at most `fpr` of the non-members are taken for members.
        fpr: 0.01 from 100 non-members on, else 0.1.
    """

    auc: float
    low: float
    high: float
    tpr: float
    fpr: float


def membership(train: Array, held_out: Array, fake: Array) -> Membership:
    """Attack with the distance to the nearest generated image: the nearer, the rather a member.

    Images count as independent: pass one of each group (patient). At an AUROC of 1 the interval has no width.

    Args:
        train: (T, D) features of T >= 2 training images.
        held_out: (H, D) features of H >= 2 real images that the generator did not see.
        fake: (M, D) features of generated images.

    Raises:
        DataError: too few rows, features of different lengths, or nan or infinite ones.

    Reference: Chen et al. 2020 (arXiv 1909.03935), section 4.3 (full black-box); DeLong et al. 1988, Biometrics 44:837.

    >>> rows = np.random.default_rng(0).normal(size=(40, 3))
    >>> membership(rows[:20], rows[20:], fake=rows[:20])
    Membership(auc=1.0, low=1.0, high=1.0, tpr=1.0, fpr=0.1)
    """
    check_features(train, held_out, least=2)
    return _attacked(-nearest(train, fake)[0], -nearest(held_out, fake)[0])


def domias(
    train: Array, held_out: Array, fake: Array, reference: Array, *, seed: int = 0, most: int = MOST
) -> Membership:
    """Attack with the density of generated images over that of real ones: a member lies where only the former is high.

    Both densities are Gaussian kernel estimates with Scott's bandwidth, on principal components of generated and
    reference images scaled to variance 1: 16 of them, fewer where an array has fewer than 10 images for each.

    Args:
        train: (T, D) features of T >= 2 training images.
        held_out: (H, D) features of H >= 2 real images that the generator did not see.
        fake: (M, D) features of M >= 2 generated images.
        reference: (R, D) features of R >= 2 further unseen real images, none of them in `held_out`.
        seed: of the choice of images where there are more.
        most: images of each kind that take part, 2 or more.

    Raises:
        DataError: too few rows, features of different lengths, or nan or infinite ones.
        SettingsError: fewer than 2 images of each kind.

    Reference: van Breugel et al. 2023 (arXiv 2302.12580), equation 2.

    >>> rows = np.random.default_rng(0).normal(size=(120, 3))
    >>> domias(rows[:40], rows[40:80], fake=rows[:40], reference=rows[80:]).auc > 0.6
    True
    """
    if most < 2:
        raise SettingsError(f"most must be 2 or more images. Got {most}.")
    for rows in (held_out, fake, reference):
        check_features(train, rows, least=2)
    generator = np.random.default_rng(seed)
    chosen = [_some(rows, most, generator) for rows in (train, held_out, fake, reference)]
    members, others, drawn, known = _projected(chosen)
    return _attacked(_log_ratio(members, drawn, known), _log_ratio(others, drawn, known))


def _attacked(members: Array, others: Array) -> Membership:
    labels, scores = np.repeat([1, 0], [len(members), len(others)]), np.concatenate([members, others])
    area = delong(labels, scores)
    fpr = 0.01 if len(others) >= FOR_LOW_RATES else 0.1
    threshold = threshold_for_specificity(labels, scores, positive=1, specificity=1 - fpr)
    return Membership(area.auroc, area.low, area.high, float((members >= threshold).mean()), fpr)


def _some(rows: Array, most: int, generator: np.random.Generator) -> Array:
    if len(rows) > most:
        rows = rows[generator.choice(len(rows), most, replace=False)]
    return rows.astype(np.float64)


def _projected(arrays: list[Array]) -> list[Array]:
    """Return members, others, generated and reference images on components of the last two."""
    from sklearn.decomposition import PCA  # a second and more, which every process would wait for

    fewest = min(len(arrays[2]), len(arrays[3]))
    d = max(1, min(DIMENSIONS, arrays[0].shape[1], fewest // PER_DIMENSION))
    components = PCA(d, whiten=True, random_state=0).fit(np.concatenate(arrays[2:]))
    return [components.transform(rows) for rows in arrays]


def _log_ratio(rows: Array, drawn: Array, known: Array) -> Array:
    """Return log p_G - log p_ref of rows (N, d)."""
    from sklearn.neighbors import KernelDensity

    # one width in all directions: a covariance of its own would be singular for images of a collapsed generator
    log_drawn, log_known = (
        KernelDensity(bandwidth="scott").fit(points).score_samples(rows) for points in (drawn, known)
    )
    return np.asarray(log_drawn - log_known)
