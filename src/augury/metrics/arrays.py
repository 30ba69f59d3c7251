"""Checks of the arrays that every score is computed from."""

from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError

Array = npt.NDArray[Any]

SMALLEST = 1e-7  # float32 holds 1 - 1e-7; a probability of 0 would cost infinitely much


def check_scored(labels: Array, probabilities: Array) -> None:
    """Check labels (N,) in 0..K-1 against probabilities (N, K >= 2) whose rows sum to 1 within 1e-3.

    Raises:
        DataError: no image, shapes that do not fit, a class index out of range, or rows that are no probabilities.

    >>> check_scored(np.array([1]), np.array([[0.5, 0.5]]))
    """
    if probabilities.ndim != 2 or probabilities.shape[1] < 2 or labels.shape != probabilities.shape[:1]:
        raise DataError(
            "labels must be (images,) and probabilities (images, 2 or more classes). "
            f"Got {labels.shape} and {probabilities.shape}."
        )
    if not len(labels) or labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise DataError(
            f"labels must be 1 or more class indices below {probabilities.shape[1]}. Got {np.unique(labels)}."
        )
    # A comparison with nan is false, so nan is refused here as well.
    if not (probabilities.min() >= 0 and np.abs(probabilities.sum(axis=1) - 1).max() <= 1e-3):
        raise DataError("probabilities must be 0 or more and sum to 1 for each image. Apply a softmax first.")


def check_scores(labels: Array, scores: Array) -> None:
    """Check labels (N,) against one finite score for each image, (N,): higher means rather positive.

    Raises:
        DataError: no image, shapes that do not fit, or a score that is nan or infinite.

    >>> check_scores(np.array([0, 1]), np.array([-1.5, 2.0]))
    """
    if labels.ndim != 1 or labels.shape != scores.shape or not len(labels):
        raise DataError(f"labels and scores must pair up, 1 or more. Got {labels.shape} and {scores.shape}.")
    if not np.isfinite(scores).all():
        raise DataError("scores must be finite. Got nan or inf: look for a training that diverged.")
