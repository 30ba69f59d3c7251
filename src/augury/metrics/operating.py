"""Operating points of one class against the rest: the threshold is set on other images than it is judged on.

Scores are (N,), higher means rather positive; an image is called positive where score >= threshold.
"""

import math
from dataclasses import dataclass

import numpy as np

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import Array, check_scores
from augury.metrics.classification import sensitivity_specificity


@dataclass(frozen=True)
class OperatingPoint:
    """Hold the specificity aimed at on the inner part, the threshold, and what it gives on the test part (0..1)."""

    target: float
    threshold: float
    sensitivity: float
    specificity: float


def threshold_for_specificity(labels: Array, scores: Array, positive: int, specificity: float) -> float:
    """Find the smallest threshold at which at least the given share of the rest is not called positive.

    Of n images of the rest, the m = ceil(specificity * n) with the lowest scores must stay below the threshold, which
    is therefore the next number above the m-th lowest score, in the precision of the scores. Images with the same score
    fall on the same side: where others of the rest tie with the m-th, they stay below as well, and the specificity
    exceeds the target.

    Args:
        labels: (N,) class indices.
        scores: (N,) finite scores.
        positive: index of the positive class; all other classes are the rest.
        specificity: target, above 0 up to 1.

    Raises:
        DataError: arrays that do not fit, or no image of the rest.
        SettingsError: a target outside (0, 1].

    >>> round(threshold_for_specificity(np.array([0, 0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.6, 0.5]), 1, 0.75), 6)
    0.3
    """
    check_scores(labels, scores)
    if not 0 < specificity <= 1:
        raise SettingsError(f"specificity must be above 0 and up to 1. Got {specificity}.")
    rest = np.sort(scores[labels != positive])
    if not len(rest):
        raise DataError(f"a specificity needs images that are not of class index {positive}. Got none: add some.")
    # Rounded first: 0.55 * 100 is a hair above 55, and ceil would add an image for it.
    needed = math.ceil(round(specificity * len(rest), 6))
    # In the scores' own precision: NumPy compares a float32 array with a number as float32.
    return float(np.nextafter(rest[max(needed, 1) - 1], np.inf, dtype=np.result_type(rest, np.float16)))


def operating_point(
    inner_labels: Array, inner_scores: Array, labels: Array, scores: Array, positive: int, target: float
) -> OperatingPoint:
    """Set the threshold for a specificity on the inner part, and judge it on the test part.

    A threshold that is set on the test part itself flatters the sensitivity; one set elsewhere may miss its target
    specificity, so that both are to be reported.

    Raises:
        DataError: as `threshold_for_specificity`; or a test part without images of the positive class or of the rest.
        SettingsError: a target outside (0, 1].

    >>> inner = np.array([0, 0, 1]), np.array([0.2, 0.4, 0.7])
    >>> operating_point(*inner, np.array([0, 1, 1]), np.array([0.1, 0.3, 0.9]), positive=1, target=1.0).sensitivity
    0.5
    """
    threshold = threshold_for_specificity(inner_labels, inner_scores, positive, target)
    check_scores(labels, scores)
    called = np.where(scores.astype(np.float64) >= threshold, positive, positive + 1)
    return OperatingPoint(target, threshold, *sensitivity_specificity(labels, called, positive))


def average_precision(labels: Array, scores: Array, positive: int) -> float:
    """Compute the area under the precision-recall steps, sum over thresholds of (R_n - R_{n-1}) P_n, 0..1.

    Nothing is interpolated between thresholds: trapezoids would flatter. A useless score reaches the `prevalence`.

    Raises:
        DataError: arrays that do not fit, or no image of the positive class.

    Reference: Davis & Goadrich 2006, ICML (why not to interpolate).

    >>> round(average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]), positive=1), 4)
    0.8333
    """
    check_scores(labels, scores)
    actual = labels == positive
    if not actual.any():
        raise DataError(f"precision and recall need an image of class index {positive}. Got none: add some.")
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    # A threshold lies below the last image of each run of equal scores.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(actual[order])[last]
    gained = np.diff(hits, prepend=0) / actual.sum()
    return float(gained @ (hits / (last + 1)))


def prevalence(labels: Array, positive: int) -> float:
    """Compute the share of images of the positive class: the average precision of a score that knows nothing.

    Raises:
        DataError: no image.

    >>> prevalence(np.array([0, 1, 2, 1]), positive=1)
    0.5
    """
    if not len(labels):
        raise DataError("a prevalence needs at least one image. Got none.")
    return float(np.mean(labels == positive))
