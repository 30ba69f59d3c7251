"""Classifiers by name."""

from __future__ import annotations

from augury.classifiers.base import Classifier, Exposure, Predictor
from augury.classifiers.small_cnn import SmallCNNClassifier

__all__ = ["CLASSIFIERS", "Classifier", "Exposure", "Predictor", "SmallCNNClassifier"]

CLASSIFIERS: dict[str, type[Classifier]] = {
    "small_cnn": SmallCNNClassifier,
}
