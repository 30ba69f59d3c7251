"""Classifiers by name."""

from __future__ import annotations

from typing import Any

from augury.classifiers.backbone import BackboneClassifier
from augury.classifiers.base import Classifier, Exposure, Predictor
from augury.classifiers.neural import NeuralClassifier
from augury.classifiers.published import CovidCNNClassifier, LesionCNNClassifier, ResNet18Classifier
from augury.classifiers.small_cnn import SmallCNNClassifier
from augury.errors import SettingsError
from augury.networks.backbones import is_backbone
from augury.settings import nearest

__all__ = [
    "CLASSIFIERS",
    "BackboneClassifier",
    "Classifier",
    "CovidCNNClassifier",
    "Exposure",
    "LesionCNNClassifier",
    "NeuralClassifier",
    "Predictor",
    "ResNet18Classifier",
    "SmallCNNClassifier",
    "classifier_from",
]

CLASSIFIERS: dict[str, type[Classifier]] = {
    "small_cnn": SmallCNNClassifier,
    "covid_cnn": CovidCNNClassifier,
    "lesion_cnn": LesionCNNClassifier,
    "resnet18": ResNet18Classifier,
    "backbone": BackboneClassifier,
}


def classifier_from(kind: str, **settings: Any) -> Classifier:
    """Return a classifier of a kind, or a `backbone` by the name of its published network.

    Raises:
        SettingsError: If there is no such kind or network, or a setting is wrong.

    Example:
        >>> classifier_from("small_cnn", steps=20).steps, classifier_from("vgg16", weights="none").kind
        (20, 'backbone')
    """
    if kind in CLASSIFIERS:
        return CLASSIFIERS[kind](**settings)
    if is_backbone(kind):
        if "network" in settings:
            raise SettingsError(f"{kind!r} names the network already. Leave out 'network', or set kind = 'backbone'.")
        return BackboneClassifier(network=kind, **settings)
    raise SettingsError(
        f"there is no classifier {kind!r}{nearest(kind, list(CLASSIFIERS))} "
        "Or name a network of torchvision, or timm:NAME."
    )
