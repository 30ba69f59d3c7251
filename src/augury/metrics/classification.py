"""Classification scores of arrays: labels (N,) in 0..K-1, probabilities (N, K) whose rows sum to 1.

Plain NumPy: a bootstrap takes every score some 100,000 times, and scikit-learn's checks cost 2 ms each time. The tests
hold every score against scikit-learn's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from augury.errors import DataError, SettingsError
from augury.metrics.arrays import SMALLEST, Array, check_scored
from augury.metrics.calibration import brier, ece


@dataclass(frozen=True)
class Metric:
    """Describe one score: name, direction, what it looks at, its function, and whether all classes weigh alike."""

    key: str
    label: str
    higher_is_better: bool
    needs: Literal["probabilities", "labels"]
    function: Callable[[Array, Array], float]
    even: bool = False


@dataclass(frozen=True)
class ClassScores:
    """Hold precision, recall and F1 (0..1; 0 where undefined) of one class, and its number of actual images."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ConfusionScores:
    """Hold what a printed table shows beside its confusion matrix."""

    accuracy: float
    classes: tuple[ClassScores, ...]
    macro: ClassScores
    weighted: ClassScores


def auroc(labels: Array, probabilities: Array) -> float:
    """Compute the area under the ROC curve; for K > 2 the mean over all pairs of classes.

    Two classes are ranked by log(p1 / p0), which orders images as p1 does but is exactly symmetric: no class has to be
    the positive one, even where a confident network rounds one of the two probabilities to 1. A tie counts half.

    Raises:
        DataError: a class has no image among the labels: it cannot be ranked against.

    Reference: Hand & Till 2001, Machine Learning 45:171, equation 7 (K > 2).

    >>> auroc(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]))
    0.75
    """
    check_scored(labels, probabilities)
    classes = probabilities.shape[1]
    absent = sorted(set(range(classes)) - set(labels.tolist()))
    if absent:
        raise DataError(
            f"AUROC must see every class among the labels. Got no image of class index {absent[0]}: "
            "use fewer folds, or add images of this class."
        )
    if classes > 2:
        # A softmax in half precision does not quite sum to 1.
        shares = probabilities.astype(np.float64) / probabilities.sum(axis=1, dtype=np.float64, keepdims=True)
        by_class = [shares[labels == k] for k in range(classes)]
        pairs = permutations(range(classes), 2)
        return float(np.mean([_ordered(by_class[j][:, k], by_class[k][:, k]) for j, k in pairs]))
    logs = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny))
    scores = logs[:, 1] - logs[:, 0]
    return _ordered(scores[labels == 0], scores[labels == 1])


def balanced_accuracy(labels: Array, probabilities: Array) -> float:
    """Compute the mean recall over the classes that have images among the labels, 0..1.

    >>> balanced_accuracy(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
    0.75
    """
    matrix = _matrix(labels, probabilities)
    actual = matrix.sum(axis=1)
    return float(np.mean(np.diag(matrix)[actual > 0] / actual[actual > 0]))


def accuracy(labels: Array, probabilities: Array) -> float:
    """Compute the share of images whose most probable class is theirs, 0..1.

    >>> accuracy(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    0.5
    """
    matrix = _matrix(labels, probabilities)
    return float(np.trace(matrix) / matrix.sum())


def macro_f1(labels: Array, probabilities: Array) -> float:
    """Compute the mean F1 over the classes that are either actual or predicted, 0..1.

    >>> round(macro_f1(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]])), 4)
    0.3333
    """
    matrix = _matrix(labels, probabilities)
    either = matrix.sum(axis=0) + matrix.sum(axis=1)
    return float(np.mean(2 * np.diag(matrix)[either > 0] / either[either > 0]))


def mcc(labels: Array, probabilities: Array) -> float:
    """Compute Matthews' correlation of actual and predicted classes, -1..1; 0 where one of them is constant.

    Reference: Gorodkin 2004, Computational Biology and Chemistry 28:367, equation 8 (K > 2).

    >>> mcc(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    1.0
    """
    matrix = _matrix(labels, probabilities).astype(np.float64)
    called, actual, n = matrix.sum(axis=0), matrix.sum(axis=1), matrix.sum()
    spread = (n**2 - called @ called) * (n**2 - actual @ actual)
    return float((np.trace(matrix) * n - called @ actual) / np.sqrt(spread)) if spread > 0 else 0.0


def log_loss(labels: Array, probabilities: Array) -> float:
    """Compute the mean of `per_image_log_loss`, 0 to 16.1; less is better.

    >>> round(log_loss(np.array([0]), np.array([[0.5, 0.5]])), 4)
    0.6931
    """
    return float(per_image_log_loss(labels, probabilities).mean())


METRICS: dict[str, Metric] = {
    "auroc": Metric("auroc", "AUROC", True, "probabilities", auroc),
    "balanced_accuracy": Metric("balanced_accuracy", "balanced accuracy", True, "labels", balanced_accuracy, even=True),
    "accuracy": Metric("accuracy", "accuracy", True, "labels", accuracy),
    "macro_f1": Metric("macro_f1", "macro F1", True, "labels", macro_f1, even=True),
    "mcc": Metric("mcc", "MCC", True, "labels", mcc),
    "log_loss": Metric("log_loss", "log-loss", False, "probabilities", log_loss),
    "brier": Metric("brier", "Brier", False, "probabilities", brier),
    "ece": Metric("ece", "ECE", False, "probabilities", ece),
}


def primary_metric(classes: int) -> str:
    """Name the metric that decides: a key of METRICS, chosen before the run.

    Raises:
        SettingsError: fewer than 2 classes.

    >>> primary_metric(2), primary_metric(7)
    ('auroc', 'balanced_accuracy')
    """
    if classes < 2:
        raise SettingsError(f"a classifier must tell 2 or more classes apart. Got {classes}.")
    return "auroc" if classes == 2 else "balanced_accuracy"


def per_image_log_loss(labels: Array, probabilities: Array) -> Array:
    """Compute -log of each image's probability of its own class, clipped at 1e-7: float64, shape (N,).

    >>> per_image_log_loss(np.array([1, 0]), np.array([[0.5, 0.5], [0.0, 1.0]])).round(2).tolist()
    [0.69, 16.12]
    """
    check_scored(labels, probabilities)
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(own, SMALLEST, 1.0)))


def choice_losses(labels: Array, probabilities: Array, *, even: bool) -> Array:
    """Compute the losses by which arms are chosen: `per_image_log_loss`, with `even` each class weighing alike.

    Where the score that decides weighs classes alike, an arm that serves the common class alone must not be chosen for
    its log-loss: the mean of what is returned is then the mean over the classes of their mean log-loss.

    >>> choice_losses(np.array([0, 0, 0, 1]), np.full((4, 2), 0.5), even=True).round(2).tolist()
    [0.46, 0.46, 0.46, 1.39]
    """
    losses = per_image_log_loss(labels, probabilities)
    if not even:
        return losses
    counts = np.bincount(labels)
    return np.asarray(losses * len(labels) / (np.count_nonzero(counts) * counts[labels]))


def confusion(labels: Array, predicted: Array, classes: int) -> Array:
    """Count images by actual class (rows) and predicted class (columns): int, shape (K, K).

    Raises:
        DataError: no image, lists of different lengths, or a class index outside 0..K-1.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    _check_indices(labels, predicted, classes)
    return _counted(labels, predicted, classes)


def per_class(labels: Array, predicted: Array, classes: int) -> tuple[ClassScores, ...]:
    """Compute precision, recall, F1 and support of each of K classes; 0 where nothing is there to count.

    Raises:
        DataError: no image, lists of different lengths, or a class index outside 0..K-1.

    >>> per_class(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=2)[0].recall
    0.5
    """
    return scores_from_confusion(confusion(labels, predicted, classes)).classes


def averages(scores: Sequence[ClassScores]) -> tuple[ClassScores, ClassScores]:
    """Average the scores of classes: plainly (macro), and weighted by their supports (weighted).

    Raises:
        DataError: no class, or no image in any class.

    >>> macro, weighted = averages([ClassScores(1.0, 0.5, 0.6, 30), ClassScores(0.5, 1.0, 0.7, 10)])
    >>> macro.recall, weighted.recall, macro.support
    (0.75, 0.625, 40)
    """
    supports = np.array([s.support for s in scores])
    if supports.sum() == 0:
        raise DataError("averages must have at least one image to average over. Got none.")

    def mean(weights: Array) -> ClassScores:
        precision, recall, f1 = np.average([(s.precision, s.recall, s.f1) for s in scores], axis=0, weights=weights)
        return ClassScores(float(precision), float(recall), float(f1), int(supports.sum()))

    return mean(np.ones(len(scores))), mean(supports)


def scores_from_confusion(matrix: Array) -> ConfusionScores:
    """Compute from a (K, K) confusion matrix (rows actual) the scores that a table prints, so as to check the table.

    Raises:
        DataError: the matrix is not square, or counts no image or less than none.

    >>> round(scores_from_confusion(np.array([[288, 12], [122, 238]])).accuracy, 2)
    0.8
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.sum() <= 0 or matrix.min() < 0:
        raise DataError(f"a confusion matrix must be square and count 1 or more images. Got {matrix.tolist()}.")
    hits, actual, called = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    columns = (_share(hits, called), _share(hits, actual), _share(2 * hits, actual + called), actual)
    classes = tuple(ClassScores(float(p), float(r), float(f), int(n)) for p, r, f, n in zip(*columns, strict=True))
    return ConfusionScores(float(hits.sum() / matrix.sum()), classes, *averages(classes))


def sensitivity_specificity(labels: Array, predicted: Array, positive: int) -> tuple[float, float]:
    """Compute the recall of the named positive class and the recall of all others together (one against the rest).

    Raises:
        DataError: no image of the positive class, or none of another.

    >>> sensitivity_specificity(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1]), positive=0)
    (0.5, 1.0)
    """
    actual = labels == positive
    if actual.all() or not actual.any():
        raise DataError(
            f"sensitivity and specificity need images of class index {positive} and of another. "
            f"Got {int(actual.sum())} and {int((~actual).sum())}."
        )
    called = predicted == positive
    return float(called[actual].mean()), float((~called)[~actual].mean())


def _share(parts: Array, wholes: Array) -> Array:
    return np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes > 0)


def _ordered(low: Array, high: Array) -> float:
    """Return the share of pairs in which the second score is above the first; a tie counts half (Mann-Whitney)."""
    ranks = rankdata(np.concatenate([low, high]))
    n = len(high)
    return float((ranks[len(low) :].sum() - n * (n + 1) / 2) / (n * len(low)))


def _matrix(labels: Array, probabilities: Array) -> Array:
    check_scored(labels, probabilities)
    return _counted(labels, probabilities.argmax(axis=1), probabilities.shape[1])


def _counted(labels: Array, predicted: Array, classes: int) -> Array:
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _check_indices(labels: Array, predicted: Array, classes: int) -> None:
    if labels.shape != predicted.shape or labels.ndim != 1 or not len(labels):
        raise DataError(f"labels and predictions must pair up, 1 or more. Got {labels.shape} and {predicted.shape}.")
    low, high = min(labels.min(), predicted.min()), max(labels.max(), predicted.max())
    if low < 0 or high >= classes:
        raise DataError(f"class indices must be 0 to {classes - 1}. Got {low} to {high}.")
