"""The contract of every classifier: a recipe that is fitted on a training set, and the predictor it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from torch import Tensor

from augury.errors import LeakError
from augury.images import ImageSet
from augury.settings import Recipe
from augury.stored import StoredPixels
from augury.training import Run

if TYPE_CHECKING:
    from augury.classifiers.features import FeatureBank, FeatureMaker

GENERATOR_SEES_TEST = "generator_sees_test"
TWINS_LEFT_IN = frozenset({"groups_ignored", "given_split_as_is"})  # flaws by which one picture may be in two parts


@dataclass(frozen=True)
class Exposure:
    """What a classifier's training consisted of: the budget that all arms share, and what the arm is about.

    Attributes:
        steps: Optimiser steps.
        batch: Images per step.
        real: Real images in the training set.
        synthetic: Synthetic images in the training set.
        share: Share of synthetic images per batch.
        real_exposures: Real images shown in all steps, repeats counted.
    """

    steps: int
    batch: int
    real: int
    synthetic: int
    share: float
    real_exposures: int


@dataclass(frozen=True)
class Trained:
    """What a training leaves beside the weights.

    Attributes:
        shape: (C, H, W) of the images.
        classes: K.
        trained_on: Digests of the real training images.
        generators_saw: Digests of the synthetic training images and of what the generators behind them saw.
        exposure: What the training consisted of.
    """

    shape: tuple[int, int, int]
    classes: int
    trained_on: frozenset[str]
    generators_saw: frozenset[str]
    exposure: Exposure

    @classmethod
    def of(cls, train: ImageSet, exposure: Exposure) -> Self:
        """Note what a training on some images leaves."""
        drawn = train.synthetic.tolist()
        real = frozenset(d for d, synthetic in zip(train.digests, drawn, strict=True) if not synthetic)
        saw = train.seen | frozenset(d for d, synthetic in zip(train.digests, drawn, strict=True) if synthetic)
        return cls(train.shape, len(train.classes), real, saw, exposure)

    def record(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        digests = {"trained_on": sorted(self.trained_on), "generators_saw": sorted(self.generators_saw)}
        return {**asdict(self), **digests}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Take back what `record` returned."""
        return cls(
            shape=tuple(record["shape"]),
            classes=record["classes"],
            trained_on=frozenset(record["trained_on"]),
            generators_saw=frozenset(record["generators_saw"]),
            exposure=Exposure(**record["exposure"]),
        )


class Classifier(Recipe, ABC):
    """A recipe for a classifier.

    `steps` optimiser steps are always taken, and the last (averaged) weights count: validation images choose
    arms, never an epoch.
    """

    summary: ClassVar[str]

    @abstractmethod
    def fit(self, train: ImageSet, val: ImageSet | None, run: Run) -> Predictor:
        """Fit on a training set; `val` is for methods that need held-out images, and no other use is made of it."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, device: str = "cpu") -> Predictor:
        """Open what the predictor saved."""

    def by_steps(self) -> Self:
        """Return the classifier as it is trained where no image is left to choose an epoch on."""
        return self

    def feature_maker(self) -> FeatureMaker | None:
        """Return what computes the features that it is trained on in place of pixels; None: it is trained on pixels."""
        return None


class Predictor(ABC):
    """A fitted classifier.

    Attributes:
        trained: What its training leaves beside the weights.
    """

    trained: Trained

    @abstractmethod
    def probabilities(self, images: Tensor | StoredPixels) -> np.ndarray:
        """Map uint8 (N, C, H, W) to float32 (N, K); rows sum to 1."""

    @abstractmethod
    def features(self, images: Tensor | StoredPixels) -> np.ndarray:
        """Map uint8 (N, C, H, W) to float32 (N, D)."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `Classifier.load` needs into an existing folder."""

    def scores(self, images: ImageSet, features: FeatureBank | None) -> np.ndarray:
        """Return class probabilities of images whose features may be known already."""
        return self.probabilities(images.images)

    def predict(
        self, images: ImageSet, *, flaws: Collection[str] = (), features: FeatureBank | None = None
    ) -> np.ndarray:
        """Return class probabilities for images that neither it nor a generator behind it has seen.

        Args:
            images: N images.
            flaws: Declared flaws of the study; `generator_sees_test` lifts the guard on what generators saw, flaws
                that leave known duplicates in lift both guards.
            features: The images' features under a frozen backbone, if they were computed before.

        Returns:
            float32 (N, K); rows sum to 1.

        Raises:
            LeakError: If an image was seen in training.
        """
        if TWINS_LEFT_IN.intersection(flaws):
            return self.scores(images, features)
        _guard(images, self.trained.trained_on, "the classifier was trained on them. Score other images")
        if GENERATOR_SEES_TEST not in flaws:
            remedy = f"Fit it on the training part only, or declare flaws = [{GENERATOR_SEES_TEST!r}]: no verdict then"
            _guard(images, self.trained.generators_saw, f"the generator behind the synthetic images saw them. {remedy}")
        return self.scores(images, features)


def _guard(images: ImageSet, seen: frozenset[str], reason: str) -> None:
    leaked = [name for name, digest in zip(images.names, images.digests, strict=True) if digest in seen]
    if leaked:
        raise LeakError(
            f"{len(leaked)} of the {len(images)} images to be scored, first {leaked[0]!r}, are not new: {reason}."
        )
