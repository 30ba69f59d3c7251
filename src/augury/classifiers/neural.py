"""What all networks that are trained as classifiers share: their settings, their fit, and what comes back from disk."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from augury.augment import Augment
from augury.classifiers.base import Classifier, Exposure, Trained
from augury.classifiers.learner import NeuralLearner, Objective, PublishedLearner
from augury.classifiers.predictor import RECORD, WEIGHTS, NeuralPredictor
from augury.errors import DataError
from augury.images import ImageSet
from augury.losses import Loss, LossSetting
from augury.mixing import Mixture, Rows, Synthetic
from augury.seeds import guarded, seed_for
from augury.training import Run, learn, load_weights


@dataclass(frozen=True)
class Published:
    """How a paper says that its classifier was trained; what is kept is the best checkpoint on validation images.

    Attributes:
        epochs: Epochs at most.
        train_accuracy: Accuracy on the training images at which it stops; 1 never stops.
        patience: Epochs without a better one after which it stops; 0 never stops.
    """

    epochs: int
    train_accuracy: float = 1.0
    patience: int = 0


class NeuralClassifier(Classifier):
    """A network, its optimiser, what it is shown and what it is told about it.

    A kind adds its network and its own defaults; every setting can be changed in an arm.
    """

    paper: ClassVar[Published | None] = None
    steps: int = Field(default=300, ge=1, description="optimiser steps, the same for every arm")
    batch: int = Field(default=64, ge=2, description="images per step")
    rate: float = Field(default=1e-3, gt=0, le=1, description="peak learning rate")
    weight_decay: float = Field(default=0.05, ge=0, description="weight decay; decoupled for adamw")
    optimiser: Literal["adamw", "adam", "sgd"] = Field(default="adamw", description="sgd has a momentum of 0.9")
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="of the learning rate; cosine: after a warm-up over a tenth of the steps"
    )
    average: float = Field(default=0.98, ge=0, lt=1, description="decay of the weight average that is kept")
    loss: LossSetting = Field(default=Loss(), description="cross_entropy, weighted, focal, ..., or a table")
    sampling: Literal["natural", "balanced"] | tuple[float, ...] = Field(
        default="natural", description="how often each class is shown: natural, balanced, or K shares"
    )
    augment: Augment = Field(default=Augment(), description="classical augmentation, on the device")
    mixup: float = Field(default=0.0, ge=0, le=10, description="alpha of mixup; 0 is off")
    cutmix: float = Field(default=0.0, ge=0, le=10, description="alpha of CutMix; with mixup a batch has one of them")
    synthetic: Synthetic = Field(default=Synthetic(), description="how synthetic images are used")
    compile: bool = Field(default=False, description="compile the network before training (torch.compile)")
    published: bool = Field(default=False, description="train as the paper did, by epochs; no verdict")
    best: Literal["loss", "accuracy"] = Field(
        default="loss", description="under published: the epoch that is kept has the least loss, or the best accuracy"
    )

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        shares = self.sampling if isinstance(self.sampling, tuple) else (1.0,)
        if not (min(shares, default=-1.0) >= 0 and abs(sum(shares) - 1) <= 1e-3):  # written so that NaN is refused
            raise ValueError(f"class shares of 'sampling' must be 0 or more and add up to 1. Got {self.sampling}.")
        if self.published and self.paper is None:
            raise ValueError("'published' is for kinds that come from a paper. Set 'steps' instead.")
        if self.best != "loss" and not self.published:
            raise ValueError(f"best = {self.best!r} chooses among epochs: it needs published = true.")
        return self

    def by_steps(self) -> Self:
        """Return it without `published`, which needs validation images."""
        return self.replace(published=False, best="loss") if self.published else self

    @abstractmethod
    def build(self, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Return the untrained network for images (C, H, W); it draws from torch's current generator."""

    def untrained(self, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
        """Return the network with its seeded first weights."""
        with guarded(seed_for(seed, "weights")):
            return self.build(shape, classes)

    def fit(self, train: ImageSet, val: ImageSet | None, run: Run) -> NeuralPredictor:
        """Train and keep the averaged weights; `val` is used under `published` only."""
        return self._fit(train, val, run, self.untrained(train.shape, len(train.classes), run.seed), None)

    def _fit(
        self, train: ImageSet, val: ImageSet | None, run: Run, network: nn.Module, rows: Rows | None
    ) -> NeuralPredictor:
        steps = self._steps(train)
        use = self.synthetic.replace(max_share=1.0) if self.published else self.synthetic
        source = Mixture(
            train, seed=run.seed, sampling=self.sampling, use=use, steps=steps, device=run.device, rows=rows
        )
        learner = self._learner(network, source, steps, train, val, run, pixels=rows is None)
        learn(learner, source, steps=steps, run=run)
        exposure = Exposure(
            steps=learner.taken(steps),
            batch=self.batch,
            real=len(source.real),
            synthetic=len(source.drawn),
            share=source.share,
            real_exposures=source.real_exposures(learner.taken(steps), self.batch),
        )
        return NeuralPredictor(self, Trained.of(train, exposure), learner.averaged, run.device, run.seed)

    def printed(self) -> Published | None:
        """Return how the paper trained it; a kind whose paper leaves something open has a setting for that."""
        return self.paper

    def _steps(self, train: ImageSet) -> int:
        paper = self.printed()
        if not self.published or paper is None:
            return self.steps
        return paper.epochs * math.ceil(len(train) / self.batch)

    def _learner(
        self,
        network: nn.Module,
        source: Mixture,
        steps: int,
        train: ImageSet,
        val: ImageSet | None,
        run: Run,
        *,
        pixels: bool,
    ) -> NeuralLearner:
        objective: Objective = self.loss.objective(source.counts, source.class_shares)
        how: dict[str, Any] = {"classes": len(train.classes), "steps": steps, "device": run.device, "pixels": pixels}
        paper = self.printed()
        if not self.published or paper is None:
            return NeuralLearner(self, network, objective, **how)
        if val is None or not len(val):
            raise DataError("'published' keeps the best epoch on validation images. Got none.")
        return PublishedLearner(self, network, objective, paper=paper, train=train, val=val, **how)

    def opened(self, record: dict[str, Any], weights: Path, device: str) -> NeuralPredictor:
        """Return the predictor that wrote a record and a file of weights."""
        trained = Trained.from_record(record["trained"])
        network = self.untrained(trained.shape, trained.classes, record["seed"])
        load_weights(network, weights)
        return NeuralPredictor(self, trained, network, device, record["seed"])

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> NeuralPredictor:
        """Open what the predictor saved."""
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return cls(**record["settings"]).opened(record, folder / WEIGHTS, device)
