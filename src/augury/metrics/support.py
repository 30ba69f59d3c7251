"""Support: do generated images lie where real ones do (precision, density), and everywhere there (recall, coverage)?

All such scores fail some sanity check (Räisä et al. 2025, arXiv 2505.22450): read them beside the same scores of two
samples of real images.
"""

import math
from dataclasses import dataclass

import numpy as np

from augury.errors import SettingsError
from augury.metrics.arrays import Array
from augury.metrics.fidelity import check_features, row_blocks
from augury.metrics.neighbours import other_neighbours

NEIGHBOURS = 5
TIE = 1e-9  # a squared distance is less than another one if it is so by more than this share: rounding stays below


@dataclass(frozen=True)
class Support:
    """Hold how generated images cover the balls around real ones that reach to their k-th nearest neighbours.

    Attributes:
        precision: Share of generated images inside the ball of a real one, 0..1.
        recall: Share of real images inside the ball of a generated one, 0..1.
        density: Mean number of real balls that a generated image lies in, over k; about 1 for new real images.
        coverage: Share of real images whose ball holds a generated one, 0..1.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def support(real: Array, fake: Array, k: int = NEIGHBOURS) -> Support:
    """Compute precision, recall, density and coverage of generated images.

    A distance equal to a radius counts as outside.

    Args:
        real: (N, D) features of N > k real images.
        fake: (M, D) features of M > k generated ones.
        k: the neighbour that a ball reaches to, 1 or more.

    Raises:
        DataError: k rows or fewer, features of different lengths, or nan or infinite ones.
        SettingsError: k below 1.

    Reference: Kynkäänniemi et al. 2019 (arXiv 1904.06991), equation 2; Naeem et al. 2020 (arXiv 2002.09797), equations
    1 and 2.

    >>> rows = np.random.default_rng(0).normal(size=(20, 3))
    >>> support(rows, rows)
    Support(precision=1.0, recall=1.0, density=1.0, coverage=1.0)
    """
    check_features(real, fake, least=k + 1)
    centre = real.mean(axis=0, dtype=np.float64)  # far from 0, squared lengths would drown small distances
    reach, fake_reach = _reach(real, k), _reach(fake, k)
    covered, recalled, precise = np.zeros(len(real), bool), np.zeros(len(real), bool), np.zeros(len(fake), bool)
    pairs = 0
    for start, x in row_blocks(real):
        for other, y in row_blocks(fake):
            rows, columns = slice(start, start + len(x)), slice(other, other + len(y))
            squared = _squared(x - centre, y - centre)
            inside = squared < reach[rows, None]
            pairs += int(inside.sum())
            covered[rows] |= inside.any(axis=1)
            precise[columns] |= inside.any(axis=0)
            recalled[rows] |= (squared < fake_reach[columns]).any(axis=1)
    density = pairs / (k * len(fake))
    return Support(float(precise.mean()), float(recalled.mean()), density, float(covered.mean()))


def expected_coverage(real: int, fake: int, k: int = NEIGHBOURS) -> float:
    """Compute the mean coverage of `fake` new images of the very law that the `real` images are from.

    It is 1 - prod over i = 1..k of (real - i) / (fake + real - i).

    Raises:
        SettingsError: k below 1, k real images or fewer, or no generated one.

    Reference: Naeem et al. 2020 (arXiv 2002.09797), lemma 2.

    >>> round(expected_coverage(200, 200), 6)
    0.969916
    """
    if k < 1 or real <= k or fake < 1:
        raise SettingsError(
            f"coverage needs k >= 1, more than k real images and 1 generated one. Got k = {k}, {real} and {fake}."
        )
    return 1 - math.prod((real - i) / (fake + real - i) for i in range(1, k + 1))


def _reach(features: Array, k: int) -> Array:
    """Return the squared radii (N,) of the balls; -1, so that nothing is inside, where k other rows are the same."""
    distances, _ = other_neighbours(features, k)
    squared = distances[:, -1] ** 2 * (1 - TIE)
    squared[squared == 0] = -1.0
    return np.asarray(squared)


def _squared(x: Array, y: Array) -> Array:
    squared = x @ y.T
    squared *= -2
    squared += (x**2).sum(axis=1)[:, None]
    squared += (y**2).sum(axis=1)
    return np.asarray(squared)
