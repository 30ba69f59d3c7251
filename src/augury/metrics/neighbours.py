"""The k nearest rows of an array of features, by blocks: memory stays bounded, whatever the numbers of rows."""

from collections.abc import Sequence

import numpy as np

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import Array
from augury.metrics.fidelity import check_features, row_blocks


def neighbours(a: Array, b: Array, k: int) -> tuple[Array, Array]:
    """Find for each row of a the k nearest rows of b, the nearest first.

    A copy has distance 0 exactly.

    Args:
        a: (A, D) features or pixels, A >= 1.
        b: (B, D) features or pixels, B >= k.
        k: their number, 1 or more.

    Returns:
        Euclidean distances, float64 (A, k), and indices, int64 (A, k).

    Raises:
        DataError: fewer than k rows of b, rows of different lengths, or nan or infinite ones.
        SettingsError: k below 1.

    >>> distances, index = neighbours(np.array([[0.0]]), np.array([[4.0], [-1.0], [2.0]]), 2)
    >>> distances.tolist(), index.tolist()
    ([[1.0, 2.0]], [[1, 2]])
    """
    check_features(a, b)
    _check_number(k, len(b))
    return _search(a, b, k, None)


def other_neighbours(a: Array, k: int, groups: Sequence[str] | Array | None = None) -> tuple[Array, Array]:
    """Find for each row of a its k nearest other rows, or those of other groups, as `neighbours` does.

    Args:
        a: (A, D) features or pixels, A > k.
        k: their number, 1 or more.
        groups: A group names; None: each row by itself.

    Raises:
        DataError: a row with fewer than k others, a wrong number of groups, or rows that are nan or infinite.
        SettingsError: k below 1.

    >>> distances, index = other_neighbours(np.array([[0.0], [1.0], [5.0]]), 1, ["p", "p", "q"])
    >>> distances.ravel().tolist(), index.ravel().tolist()
    ([5.0, 4.0, 4.0], [2, 2, 1])
    """
    check_features(a, a)
    names = np.arange(len(a)) if groups is None else np.asarray(groups)
    if len(names) != len(a):
        raise DataError(f"every image must have a group. Got {len(a)} images and {len(names)} groups.")
    _, owners, sizes = np.unique(names, return_inverse=True, return_counts=True)
    _check_number(k, len(a) - int(sizes.max()))
    return _search(a, a, k, owners)


def _search(a: Array, b: Array, k: int, owners: Array | None) -> tuple[Array, Array]:
    distances, index = np.empty((len(a), k)), np.empty((len(a), k), dtype=np.int64)
    for start, rows in row_blocks(a):
        part = slice(start, start + len(rows))
        index[part] = _nearest_rows(rows, b, k, None if owners is None else (owners[part], owners))
        for place in range(k):
            # by differences: |x|^2 - 2 x . y + |y|^2 would leave a rounding error where a copy has 0
            distances[part, place] = np.linalg.norm(rows - b[index[part, place]], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(index, order, axis=1)


def _nearest_rows(rows: Array, b: Array, k: int, owners: tuple[Array, Array] | None) -> Array:
    """Return the indices (len(rows), k) of the nearest rows of b, in any order; rows of one owner are no neighbours."""
    least, index = np.full((len(rows), k), np.inf), np.zeros((len(rows), k), dtype=np.int64)
    for start, others in row_blocks(b):
        squared = rows @ others.T
        squared *= -2
        squared += (others**2).sum(axis=1)  # but for |x|^2, which all of a row share
        if owners is not None:
            squared[owners[0][:, None] == owners[1][start : start + len(others)]] = np.inf
        best = _smallest(squared, k)
        values = np.concatenate([least, np.take_along_axis(squared, best, axis=1)], axis=1)
        found = np.concatenate([index, best + start], axis=1)
        kept = _smallest(values, k)
        least, index = np.take_along_axis(values, kept, axis=1), np.take_along_axis(found, kept, axis=1)
    return index


def _smallest(values: Array, k: int) -> Array:
    """Return the columns of the k smallest values of each row, or of all where there are no more."""
    if k == 1:
        return np.asarray(values.argmin(axis=1, keepdims=True))  # several times as fast
    return np.asarray(np.argpartition(values, min(k, values.shape[1]) - 1, axis=1)[:, :k])


def _check_number(k: int, others: int) -> None:
    if k < 1:
        raise SettingsError(f"k must be 1 or more nearest images. Got {k}.")
    if others < k:
        raise DataError(f"{k} nearest images were asked for. Some image has only {others} to choose from: add images.")
