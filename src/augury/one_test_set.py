"""Statistics of one given or external test set: what fitted classifiers do on its patients.

They say nothing about the chance of training again; `augury.statistics.two_level_bootstrap` does.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from scipy import stats

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import Array, check_scored, check_scores
from augury.statistics import Score, group_members, resample_groups

REACH = float(stats.norm.ppf(0.975))  # of a 95 % interval, in standard errors


@dataclass(frozen=True)
class Auroc:
    """Hold an AUROC, its variance and standard error, and its 95 % interval within 0..1."""

    auroc: float
    variance: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class AurocDifference:
    """Hold two AUROCs of the same images, their covariance, and the difference a - b with its 95 % interval."""

    a: Auroc
    b: Auroc
    covariance: float
    difference: float
    se: float
    z: float
    p_value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """Hold how many images only a and only b got right, and the two-sided exact and mid-p values."""

    a_only: int
    b_only: int
    p_value: float
    mid_p: float


@dataclass(frozen=True)
class PatientBootstrap:
    """Hold a metric, or a difference of metrics, of all images and its BCa interval."""

    estimate: float
    low: float
    high: float


@overload
def delong(labels: Array, a: Array, b: None = None, positive: int = 1) -> Auroc: ...
@overload
def delong(labels: Array, a: Array, b: Array, positive: int = 1) -> AurocDifference: ...
def delong(labels: Array, a: Array, b: Array | None = None, positive: int = 1) -> Auroc | AurocDifference:
    """Compute the AUROC of scores and its variance, or compare two scores of the same images.

    Images count as independent: with several images of a patient use `patient_bootstrap`. A tie counts half. Two
    scores that rank alike differ by 0 with p = 1.

    Args:
        labels: (N,) class indices.
        a: (N,) scores, higher means rather positive.
        b: (N,) scores of the same images to compare with; None for the AUROC of `a` alone.
        positive: index of the positive class; all other classes are the rest.

    Raises:
        DataError: arrays that do not fit, or fewer than 2 images of the positive class or of the rest.

    Reference: DeLong et al. 1988, Biometrics 44:837; by mid-ranks, Sun & Xu 2014, IEEE SPL 21:1389.

    >>> one = delong(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> one.auroc, one.variance
    (0.75, 0.125)
    """
    actual = labels == positive
    placed = [_placements(labels, scores, actual) for scores in ([a] if b is None else [a, b])]
    areas = [_auroc(*one) for one in placed]
    if b is None:
        return areas[0]
    (high_a, low_a), (high_b, low_b) = placed
    covariance = float(np.cov(high_a, high_b)[0, 1] / len(high_a) + np.cov(low_a, low_b)[0, 1] / len(low_a))
    difference = areas[0].auroc - areas[1].auroc
    # From the differences themselves: V(a) + V(b) - 2 C(a, b) would leave rounding errors where a and b agree.
    se = math.sqrt(_variance(high_a - high_b, low_a - low_b))
    z = difference / se if se > 0 else math.copysign(math.inf, difference) if difference else 0.0
    low, high = difference - REACH * se, difference + REACH * se
    p_value = 2 * float(stats.norm.sf(abs(z)))
    return AurocDifference(areas[0], areas[1], covariance, difference, se, z, p_value, low, high)


def mcnemar(labels: Array, a_predicted: Array, b_predicted: Array) -> McNemar:
    """Compare the predicted classes of two classifiers by the images that only one of them got right.

    Of these, each is as likely to be right in the null; the mid-p value counts the observed table by half, and is
    the less conservative one. Images count as independent.

    Raises:
        DataError: lists that do not pair up, or no image.

    Reference: McNemar 1947, Psychometrika 12:153; Fagerland et al. 2013, BMC Med Res Methodol 13:91 (mid-p).

    >>> mcnemar(np.array([1, 1, 1, 1]), np.array([1, 1, 1, 0]), np.array([0, 0, 0, 0]))
    McNemar(a_only=3, b_only=0, p_value=0.25, mid_p=0.125)
    """
    if labels.ndim != 1 or not labels.shape == a_predicted.shape == b_predicted.shape or not len(labels):
        raise DataError(
            "labels and both predictions must pair up, 1 or more. "
            f"Got {labels.shape}, {a_predicted.shape} and {b_predicted.shape}."
        )
    a_right, b_right = a_predicted == labels, b_predicted == labels
    a_only, b_only = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    law, fewer = stats.binom(a_only + b_only, 0.5), min(a_only, b_only)
    tails = 2 * float(law.cdf(fewer))
    return McNemar(a_only, b_only, min(tails, 1.0), tails - float(law.pmf(fewer)))


def patient_bootstrap(
    metric: Score,
    labels: Array,
    probabilities: Array,
    groups: Sequence[str] | Array,
    *,
    other: Array | None = None,
    resamples: int = 5000,
    seed: int = 0,
    level: float = 0.95,
) -> PatientBootstrap:
    """Compute a BCa interval of a metric, or of a paired difference of metrics, by resampling patients.

    A resample draws G of the G groups with replacement, all images of each, the same for both. One that lacks a class
    of `labels` is drawn again: the interval holds for test sets with every class. The acceleration comes from leaving
    out one group at a time; where it is undefined, because that changes nothing, the interval is the percentile one.
    Resamples of an AUROC of 1 are all 1: of its chance a bootstrap can say nothing.

    Args:
        metric: score of labels (N,) and probabilities (N, K).
        labels: (N,) class indices.
        probabilities: (N, K).
        groups: N group names; every class in 2 or more of them.
        other: (N, K) probabilities to subtract the metric of; None for the metric itself.
        resamples: their number.
        seed: of the resampling.
        level: coverage of the interval.

    Raises:
        DataError: arrays that do not fit, or a class with images of one group only.
        SettingsError: fewer than 1 resample, or a level outside (0, 1).

    Reference: Efron 1987, JASA 82:171 (BCa); Field & Welsh 2007, JRSS B 69:369 (resampling of whole clusters).

    >>> accuracy = lambda labels, p: float((p.argmax(axis=1) == labels).mean())
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]] * 5)
    >>> labels, patients = np.array([0, 0, 1, 1] * 5), np.arange(20) // 2
    >>> found = patient_bootstrap(accuracy, labels, p, patients, resamples=500)
    >>> found.low < found.estimate == 0.75 < found.high
    True
    """
    _check_patients(labels, probabilities, groups, other)
    if resamples < 1 or not 0 < level < 1:
        raise SettingsError(f"resamples must be 1 or more and level between 0 and 1. Got {resamples} and {level}.")
    members, classes, redraw = group_members(groups), np.unique(labels), np.random.default_rng([seed, 1])
    images_of = _joiner(members)

    def value(rows: Array) -> float:
        first = metric(labels[rows], probabilities[rows])
        return first if other is None else first - metric(labels[rows], other[rows])

    def statistic(drawn: Array) -> float:
        rows = images_of(drawn)
        if len(np.unique(labels[rows])) < len(classes):
            rows = resample_groups(redraw, members, labels, classes)
        return round(value(rows), 12)  # BCa counts ties with the estimate by half: rounding errors would break them

    low, high = _bca(np.arange(len(members)), statistic, resamples, seed, level)
    return PatientBootstrap(value(np.arange(len(labels))), float(low), float(high))


def _joiner(members: Sequence[Array]) -> Callable[[Array], Array]:
    """Return what lists the images of some groups; most groups hold one image, so no list of lists is joined."""
    images, sizes = np.concatenate(list(members)), np.array([len(rows) for rows in members])
    starts = np.cumsum(sizes) - sizes

    def images_of(drawn: Array) -> Array:
        many = sizes[drawn]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        return np.asarray(images[np.repeat(starts[drawn], many) + within])

    return images_of


def _placements(labels: Array, scores: Array, actual: Array) -> tuple[Array, Array]:
    """Return for each positive image the share of the rest below it, and for each of the rest that of positives above.

    A tie counts half. These are the placement values of DeLong et al., V10 and V01; the mean of each is the AUROC.
    """
    check_scores(labels, scores)
    high, low = scores[actual], scores[~actual]
    if min(len(high), len(low)) < 2:
        raise DataError(
            "the variance of an AUROC needs 2 images of the positive class and 2 of the rest. "
            f"Got {len(high)} and {len(low)}: add images."
        )
    ranks = stats.rankdata(np.concatenate([high, low]))
    below = (ranks[: len(high)] - stats.rankdata(high)) / len(low)
    above = 1 - (ranks[len(high) :] - stats.rankdata(low)) / len(high)
    return below, above


def _variance(of_positives: Array, of_rest: Array) -> float:
    return float(of_positives.var(ddof=1) / len(of_positives) + of_rest.var(ddof=1) / len(of_rest))


def _auroc(of_positives: Array, of_rest: Array) -> Auroc:
    area, variance = float(of_positives.mean()), _variance(of_positives, of_rest)
    se = math.sqrt(variance)
    return Auroc(area, variance, se, max(area - REACH * se, 0.0), min(area + REACH * se, 1.0))


def _bca(groups: Array, statistic: Callable[[Array], float], resamples: int, seed: int, level: float) -> Array:
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (groups,),
            statistic,
            n_resamples=resamples,
            batch=256,  # of thousands of groups, all resamples at once would take gigabytes
            vectorized=False,
            confidence_level=level,
            method="BCa",
            random_state=np.random.default_rng(seed),  # named rng from SciPy 1.15 on, which takes this as well
        )
    interval = np.array(found.confidence_interval)
    if np.isfinite(interval).all():
        return interval
    return np.asarray(np.quantile(found.bootstrap_distribution, [(1 - level) / 2, (1 + level) / 2]))


def _check_patients(labels: Array, probabilities: Array, groups: Sequence[str] | Array, other: Array | None) -> None:
    for given in (probabilities,) if other is None else (probabilities, other):
        check_scored(labels, given)
    if len(groups) != len(labels):
        raise DataError(f"every image must have a group. Got {len(labels)} images and {len(groups)} groups.")
    names = np.asarray(groups)
    for label in np.unique(labels):
        if len(np.unique(names[labels == label])) < 2:
            raise DataError(
                f"every class must have images of 2 or more groups. Class index {label} has those of 1: "
                "one patient says nothing about others; add some, or leave the class out."
            )
