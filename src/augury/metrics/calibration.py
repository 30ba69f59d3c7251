"""Calibration: whether probabilities mean what they say, and corrections that are fitted on other images.

Labels are (N,) in 0..K-1, probabilities (N, K) with rows that sum to 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from scipy.stats import rankdata

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import SMALLEST, Array, check_scored
from augury.statistics import wilson

Norm = Literal["l1", "l2", "max"]
Spacing = Literal["mass", "width"]
How = Literal["temperature", "prior", "both", "even"]

BINS = 15
TEMPERATURES = (0.05, 20.0)  # perfectly separated images would ask for 0, useless probabilities for infinity
TEMPERATURE_SD = 1.0  # of the normal prior of log temperature: within 7-fold of 1 with probability .95
SHIFT_SD = 2.0  # of the normal prior of a class shift: odds change at most e^4 = 55-fold, with probability .95


@dataclass(frozen=True)
class ReliabilityBin:
    """Hold one point of a reliability diagram.

    The images of the bin have confidences from `low` to `high` with the mean `confidence`; `frequency` is their share
    of hits, `interval` its 95 % Wilson interval, `count` their number.
    """

    low: float
    high: float
    confidence: float
    frequency: float
    interval: tuple[float, float]
    count: int


@dataclass(frozen=True)
class Recalibration:
    """Hold a correction of probabilities: p'_k proportional to exp(log p_k / temperature + shift_k)."""

    temperature: float
    shifts: tuple[float, ...]

    def apply(self, probabilities: Array) -> Array:
        """Correct probabilities (N, K): float32, rows that sum to 1.

        Raises:
            DataError: another number of classes than the correction has.

        >>> Recalibration(temperature=2.0, shifts=(0.0, 0.0)).apply(np.array([[0.9, 0.1]])).round(4).tolist()
        [[0.75, 0.25]]
        """
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.shifts):
            raise DataError(
                f"probabilities must be (images, {len(self.shifts)}), the classes of the recalibration. "
                f"Got {probabilities.shape}: fit one on images of the same classes."
            )
        logits = _logits(probabilities) / self.temperature + np.array(self.shifts)
        return np.asarray(softmax(logits, axis=1), dtype=np.float32)


def brier(labels: Array, probabilities: Array) -> float:
    """Compute the mean over images of the summed squared errors of all K probabilities, 0..2; less is better.

    The scale is Brier's own for any number of classes. The binary score that is printed elsewhere, (p - y)^2 of the
    positive class alone with a scale of 0..1, is half of this one.

    Raises:
        DataError: arrays that do not fit.

    Reference: Brier 1950, Monthly Weather Review 78:1, equation 2.

    >>> brier(np.array([0, 1]), np.array([[1.0, 0.0], [0.5, 0.5]]))
    0.25
    """
    check_scored(labels, probabilities)
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(labels)), labels] -= 1
    return float((errors**2).sum(axis=1).mean())


def ece(labels: Array, probabilities: Array, bins: int = BINS, norm: Norm = "l1", spacing: Spacing = "mass") -> float:
    """Compute the expected calibration error of the most probable class, 0..1; less is better.

    Takes `calibration_error` of each image's highest probability and of whether that class is right. Few images per
    bin raise it even for perfect probabilities: compare arms on equal images, or report a bootstrap.

    Raises:
        DataError: arrays that do not fit.
        SettingsError: as for `calibration_error`.

    Reference: Guo et al. 2017, ICML, equation 3 (there with bins of equal width).

    >>> round(ece(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), bins=1), 2)
    0.35
    """
    check_scored(labels, probabilities)
    # A softmax in half precision may exceed 1.
    confidences = np.minimum(probabilities.max(axis=1).astype(np.float64), 1.0)
    return calibration_error(confidences, probabilities.argmax(axis=1) == labels, bins, norm, spacing)


def calibration_error(
    confidences: Array, hits: Array, bins: int = BINS, norm: Norm = "l1", spacing: Spacing = "mass"
) -> float:
    """Compute how far the mean confidence of each bin is from its share of hits, 0..1.

    Args:
        confidences: (N,) probabilities of what may hit, for instance of the positive class.
        hits: (N,) whether it did.
        bins: number of bins.
        norm: mean over images of the bins' distances (`l1`), root of their mean square (`l2`), or the largest (`max`).
        spacing: bins of equally many images as far as ties allow (`mass`), or of equal width, the lower edge included
            and 1 in the last (`width`).

    Raises:
        DataError: arrays that do not pair up, or confidences outside 0..1.
        SettingsError: fewer than 1 bin, or an unknown norm or spacing.

    Reference: Naeini et al. 2015, AAAI (ECE and MCE); Kumar et al. 2019, NeurIPS (l2).

    >>> positive, hits = np.array([0.25, 0.25, 0.55, 0.75, 0.75]), np.array([0, 0, 1, 1, 1])
    >>> round(calibration_error(positive, hits, bins=2, spacing="width"), 4)
    0.29
    """
    if norm not in get_args(Norm):
        raise SettingsError(f"norm must be one of {', '.join(get_args(Norm))}. Got {norm!r}.")
    counts, confidence, frequency = _binned(confidences, hits, _bin_of(confidences, hits, bins, spacing))
    gaps = np.abs(frequency - confidence)
    if norm == "max":
        return float(gaps.max())
    power = 1 if norm == "l1" else 2
    return float(np.average(gaps**power, weights=counts) ** (1 / power))


def reliability(confidences: Array, hits: Array, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Compute the points of a reliability diagram from bins of equally many images, in order of confidence.

    The bins are those of `calibration_error`: equal confidences share one, so that some may hold more images than
    others, and empty ones are left out.

    Raises:
        DataError: arrays that do not pair up, or confidences outside 0..1.
        SettingsError: fewer than 1 bin.

    >>> points = reliability(np.array([0.25, 0.5, 0.75, 0.75]), np.array([0, 1, 1, 1]), bins=2)
    >>> [(point.confidence, point.frequency, point.count) for point in points]
    [(0.375, 0.5, 2), (0.75, 1.0, 2)]
    """
    bin_of = _bin_of(confidences, hits, bins, "mass")
    points = []
    for filled in np.unique(bin_of):
        inside, right = confidences[bin_of == filled], int(hits[bin_of == filled].sum())
        ends, count = (float(inside.min()), float(inside.max())), len(inside)
        points.append(
            ReliabilityBin(*ends, float(inside.mean(dtype=np.float64)), right / count, wilson(right, count), count)
        )
    return tuple(points)


def fit_recalibration(labels: Array, probabilities: Array, how: How) -> Recalibration:
    """Fit a correction on images that are not to be scored with it: the inner part.

    `temperature` minimises the log-loss over one temperature, `prior` over K class shifts, `both` over all; the
    temperature stays within 0.05..20. Shifts carry a normal prior with mean 0 and standard deviation 2, the log
    temperature one with standard deviation 1. They count for less the more images there are: a class with two images,
    or none, and a handful of images that are perfectly separated do not run away. `even` does not minimise
    over shifts: after a temperature fit, each class is divided by its mean probability (that of at least half an
    image), so that the most probable class becomes the one that weighs all classes alike. Every fit starts from no
    correction and goes downhill, so that on its own images it is never worse than none; no chance is involved.

    Args:
        labels: (N,) class indices.
        probabilities: (N, K); 1e-7 is added to each, so that 0 and 1 are taken.
        how: what to fit.

    Raises:
        DataError: arrays that do not fit.
        SettingsError: an unknown `how`.

    Reference: Guo et al. 2017, ICML, section 4.2 (temperature); Alexandari et al. 2020, ICML
    (bias-corrected temperature scaling); Menon et al. 2021, ICLR, equation 9 (post-hoc logit adjustment; there by the
    training set's shares).

    >>> labels, sure = np.array([0, 0, 0, 1] * 500), np.array([[0.99, 0.01]] * 2000)
    >>> fit_recalibration(labels, sure, "temperature").apply(sure)[0].round(2).tolist()
    [0.75, 0.25]
    """
    check_scored(labels, probabilities)
    if how not in get_args(How):
        raise SettingsError(f"recalibration must be one of {', '.join(get_args(How))}. Got {how!r}.")
    if how != "even":
        return _least_loss(labels, probabilities, how)
    warmed = _least_loss(labels, probabilities, "temperature")
    expected = warmed.apply(probabilities).mean(axis=0, dtype=np.float64)
    shifts = -np.log(np.maximum(expected, 0.5 / len(labels)))
    return Recalibration(warmed.temperature, tuple(shifts.tolist()))


def cross_fitted(
    labels: Array, probabilities: Array, groups: Sequence[str] | Array, how: How, folds: int = 5, seed: int = 0
) -> Array:
    """Recalibrate each image by a fit on other groups' images only: float32, shape (N, K).

    What is fitted on the inner part and chosen by it would flatter itself; this does not. Groups are dealt to folds
    of about equally many images by their names and sizes alone. With fewer groups than folds each group is a fold;
    with one group there is nothing to fit on, and the probabilities come back as they are.

    Raises:
        DataError: arrays that do not fit.
        SettingsError: an unknown `how`, or fewer than 2 folds.

    >>> labels, p = np.array([0, 0, 1, 0, 1, 1]), np.array([[0.9, 0.1]] * 6)
    >>> corrected = cross_fitted(labels, p, list("aaabbb"), "both", folds=2)
    >>> [round(float(share), 1) for share in corrected[:, 0]]
    [0.4, 0.4, 0.4, 0.7, 0.7, 0.7]
    """
    check_scored(labels, probabilities)
    if len(groups) != len(labels):
        raise DataError(f"every image must have a group. Got {len(labels)} images and {len(groups)} groups.")
    if folds < 2:
        raise SettingsError(f"folds must be 2 or more. Got {folds}.")
    fold_of = _dealt(groups, folds, seed)
    corrected = probabilities.astype(np.float32)
    for fold in np.unique(fold_of):
        own = fold_of == fold
        if not own.all():
            corrected[own] = fit_recalibration(labels[~own], probabilities[~own], how).apply(probabilities[own])
    return corrected


def _bin_of(confidences: Array, hits: Array, bins: int, spacing: Spacing) -> Array:
    if confidences.ndim != 1 or confidences.shape != hits.shape or not len(hits):
        raise DataError(f"confidences and hits must pair up, 1 or more. Got {confidences.shape} and {hits.shape}.")
    if not (confidences.min() >= 0 and confidences.max() <= 1):
        raise DataError("confidences must be probabilities, 0 to 1. Apply a softmax or a sigmoid first.")
    if bins < 1:
        raise SettingsError(f"bins must be 1 or more. Got {bins}.")
    if spacing == "width":
        return np.digitize(confidences, np.linspace(0, 1, bins + 1)[1:-1])
    if spacing == "mass":
        below = rankdata(confidences, method="min").astype(np.int64) - 1
        return np.asarray(below * bins // len(confidences))
    raise SettingsError(f"spacing must be one of {', '.join(get_args(Spacing))}. Got {spacing!r}.")


def _binned(confidences: Array, hits: Array, bin_of: Array) -> tuple[Array, Array, Array]:
    """Return count, mean confidence and share of hits of every bin that holds an image."""
    counts = np.bincount(bin_of)
    filled = counts > 0
    means = [np.bincount(bin_of, weights=values)[filled] / counts[filled] for values in (confidences, hits)]
    return counts[filled], means[0], means[1]


def _logits(probabilities: Array) -> Array:
    # Added, not clipped: the order of the images that a network is surest of survives.
    return np.log(probabilities.astype(np.float64) + SMALLEST)


def _least_loss(labels: Array, probabilities: Array, how: How) -> Recalibration:
    logits = _logits(probabilities)
    classes = logits.shape[1]
    # Bounds hold fixed what is not fitted.
    heat = (0.0, 0.0) if how == "prior" else (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    shift = (0.0, 0.0) if how == "temperature" else (None, None)
    found = minimize(
        _loss,
        np.zeros(1 + classes),
        args=(logits, labels),
        jac=True,
        method="L-BFGS-B",
        bounds=[heat, *[shift] * classes],
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    )
    return Recalibration(math.exp(found.x[0]), tuple(found.x[1:].tolist()))


def _loss(point: Array, logits: Array, labels: Array) -> tuple[float, Array]:
    """Return the mean log-loss with both priors, and its gradient, at (log temperature, shifts)."""
    rows, scale = np.arange(len(labels)), math.exp(-point[0])
    weights = 1 / (np.append(TEMPERATURE_SD, np.full(len(point) - 1, SHIFT_SD)) ** 2 * len(labels))
    logs = log_softmax(scale * logits + point[1:], axis=1)
    errors = np.exp(logs)
    errors[rows, labels] -= 1
    errors /= len(labels)
    loss = -logs[rows, labels].mean() + weights @ point**2 / 2
    gradient = np.append(-scale * (errors * logits).sum(), errors.sum(axis=0))
    return float(loss), gradient + weights * point


def _dealt(groups: Sequence[str] | Array, folds: int, seed: int) -> Array:
    """Return the fold of each image: groups in random order, large ones first, each to the emptiest fold."""
    _, group_of, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    fold_of, filled = np.empty(len(sizes), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[group_of]
