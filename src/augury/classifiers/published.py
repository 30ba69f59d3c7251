"""The classifiers of three of the five systems that Augury grew from, each with its paper's training as preset."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from augury.classifiers.neural import NeuralClassifier, Published
from augury.networks.covid_cnn import CovidCNN
from augury.networks.lesion_cnn import LesionCNN
from augury.networks.resnet28 import ResNet28


class CovidCNNClassifier(NeuralClassifier):
    """Five convolutions and two dense layers for chest CT (S1): SGD at 0.001, batches of 32.

    Steps are 150 epochs of the paper's 425 training images; `published` counts epochs and stops above an accuracy of
    95 % on the training images. The paper names no momentum; it is 0.9 here.

    Reference: the report on COVID-CT with one GAN per class, table of its own CNN.

    Example:
        >>> CovidCNNClassifier().rate, CovidCNNClassifier().batch
        (0.001, 32)
    """

    kind: ClassVar[str] = "covid_cnn"
    summary: ClassVar[str] = "five convolutions and two dense layers (COVID-CT report)"
    paper: ClassVar[Published] = Published(epochs=150, train_accuracy=0.95)
    steps: int = Field(default=2000, ge=1, description="optimiser steps, the same for every arm")
    batch: int = Field(default=32, ge=2, description="images per step")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay; decoupled for adamw")
    optimiser: Literal["adamw", "adam", "sgd"] = Field(default="sgd", description="sgd has a momentum of 0.9")
    schedule: Literal["cosine", "constant"] = Field(
        default="constant", description="of the learning rate; cosine: after a warm-up over a tenth of the steps"
    )
    dropout: float = Field(default=0.25, ge=0, lt=1, description="share of features dropped between the dense layers")

    def build(self, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Return the untrained network."""
        return CovidCNN(shape[0], shape[1:], classes, self.dropout)


class LesionCNNClassifier(NeuralClassifier):
    """Four convolutions with 108,225 weights for skin lesions at 32 px (S2): Adam at 0.001, batches of 64.

    Steps are 50 epochs of the paper's 2,110 training images; `published` keeps the best validation loss of 50 epochs.

    Example:
        >>> sum(p.numel() for p in LesionCNNClassifier().untrained((3, 32, 32), 2, seed=0).parameters())
        108225
    """

    kind: ClassVar[str] = "lesion_cnn"
    summary: ClassVar[str] = "four convolutions, 108,225 weights at 32 pixels (skin lesion report)"
    paper: ClassVar[Published] = Published(epochs=50)
    steps: int = Field(default=1650, ge=1, description="optimiser steps, the same for every arm")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay; decoupled for adamw")
    optimiser: Literal["adamw", "adam", "sgd"] = Field(default="adam", description="sgd has a momentum of 0.9")
    schedule: Literal["cosine", "constant"] = Field(
        default="constant", description="of the learning rate; cosine: after a warm-up over a tenth of the steps"
    )
    dropout: float = Field(default=0.25, ge=0, lt=1, description="share of features dropped after each convolution")

    def build(self, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Return the untrained network."""
        return LesionCNN(shape[0], shape[1:], classes, self.dropout)


class ResNet18Classifier(NeuralClassifier):
    """ResNet-18 for small images, 3 x 3 stem and no max-pool (S4): SGD at 0.001, batches of 128.

    Steps are 100 epochs of BreastMNIST's 546 training images; `published` keeps the best validation loss of 100
    epochs and stops after `patience` without a better one (the report says early stopping, and not when).

    Reference: He et al. 2016 (arXiv 1512.03385); the 28-px form as in MedMNIST's baselines.

    Example:
        >>> ResNet18Classifier().untrained((1, 28, 28), 2, seed=0).width
        512
    """

    kind: ClassVar[str] = "resnet18"
    summary: ClassVar[str] = "ResNet-18 for 28 to 64 pixels: 3 x 3 stem, no max-pool (MedMNIST report)"
    paper: ClassVar[Published] = Published(epochs=100)
    steps: int = Field(default=500, ge=1, description="optimiser steps, the same for every arm")
    batch: int = Field(default=128, ge=2, description="images per step")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay; decoupled for adamw")
    optimiser: Literal["adamw", "adam", "sgd"] = Field(default="sgd", description="sgd has a momentum of 0.9")
    schedule: Literal["cosine", "constant"] = Field(
        default="constant", description="of the learning rate; cosine: after a warm-up over a tenth of the steps"
    )

    patience: int = Field(
        default=10, ge=0, description="with published: epochs without a better one after which it stops; 0 never stops"
    )

    def printed(self) -> Published:
        """Return how the report trained it, stopping when `patience` says."""
        return replace(self.paper, patience=self.patience)

    def build(self, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Return the untrained network."""
        return ResNet28(shape[0], shape[1:], classes)
