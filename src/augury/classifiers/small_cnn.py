"""`small_cnn`: a four-layer network that trains in seconds on a CPU and is hard to beat on small sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from augury.augment import Augment
from augury.classifiers.base import Classifier, Exposure, Predictor, Trained
from augury.images import ImageSet
from augury.mixing import DEFAULT_MAX_SHARE, Mixture
from augury.networks.small_cnn import SmallCNN
from augury.seeds import guarded, seed_for
from augury.stored import StoredPixels
from augury.training import Average, Batch, Draw, Run, autocast, learn, load_weights, to_float, warm_up_then_cosine

WEIGHTS, RECORD = "weights.pt", "predictor.json"
PREDICTION_BATCH = 256
PREDICTION_PIXELS = PREDICTION_BATCH * 64 * 64  # per channel; images over 64 pixels go in smaller batches


class SmallCNNClassifier(Classifier):
    """Four convolutions, AdamW, warm-up and cosine, averaged weights; 8 to 64 pixels.

    Example:
        >>> import augury
        >>> digits = augury.read("digits")
        >>> predictor = SmallCNNClassifier(steps=20, width=8).fit(digits.take(range(200)), None, augury.Run(seed=0))
        >>> predictor.predict(digits.take(range(200, 205))).shape
        (5, 10)
    """

    kind: ClassVar[str] = "small_cnn"
    summary: ClassVar[str] = "four convolutions, trained from scratch, 8 to 64 pixels"
    steps: int = Field(default=300, ge=1, description="optimiser steps, the same for every arm")
    batch: int = Field(default=64, ge=2, description="images per step")
    width: int = Field(default=32, ge=1, le=512, description="channels of the first layer")
    rate: float = Field(default=1e-3, gt=0, le=1, description="peak learning rate of AdamW")
    weight_decay: float = Field(default=0.05, ge=0, description="decoupled weight decay")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="share of features dropped before the last layer")
    average: float = Field(default=0.98, ge=0, lt=1, description="decay of the weight average that is kept")
    sampling: Literal["natural", "balanced"] | tuple[float, ...] = Field(
        default="natural", description="how often each class is shown: natural, balanced, or K shares"
    )
    max_synthetic_share: float = Field(
        default=DEFAULT_MAX_SHARE, ge=0, le=1, description="greatest share of synthetic images per batch"
    )
    augment: Augment = Field(default=Augment(), description="classical augmentation, on the device")

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        shares = self.sampling if isinstance(self.sampling, tuple) else (1.0,)
        if not (min(shares, default=-1.0) >= 0 and abs(sum(shares) - 1) <= 1e-3):  # written so that NaN is refused
            raise ValueError(f"class shares of 'sampling' must be 0 or more and add up to 1. Got {self.sampling}.")
        return self

    def fit(self, train: ImageSet, val: ImageSet | None, run: Run) -> SmallCNNPredictor:
        """Train for `steps` steps and keep the averaged weights; `val` is not used."""
        source = Mixture(
            train,
            seed=run.seed,
            sampling=self.sampling,
            max_share=self.max_synthetic_share,
            device=run.device,
        )
        network = self.network(train.shape, len(train.classes), run.seed)
        learner = SmallCNNLearner(self, network, run.device)
        learn(learner, source, steps=self.steps, run=run)
        exposure = Exposure(
            steps=self.steps,
            batch=self.batch,
            real=len(source.real),
            synthetic=len(source.drawn),
            share=source.share,
            real_exposures=source.real_exposures(self.steps, self.batch),
        )
        return SmallCNNPredictor(self, Trained.of(train, exposure), learner.averaged, run.device)

    def network(self, shape: tuple[int, int, int], classes: int, seed: int) -> SmallCNN:
        """Return the network with its seeded first weights."""
        with guarded(seed_for(seed, "weights")):
            return SmallCNN(shape[0], shape[1:], classes, self.width, self.dropout)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> SmallCNNPredictor:
        """Open a saved predictor."""
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        recipe, trained = cls(**record["settings"]), Trained.from_record(record["trained"])
        network = recipe.network(trained.shape, trained.classes, 0)
        load_weights(network, folder / WEIGHTS)
        return SmallCNNPredictor(recipe, trained, network, device)


class SmallCNNLearner:
    """Trains the network on cross-entropy."""

    def __init__(self, recipe: SmallCNNClassifier, network: SmallCNN, device: str) -> None:
        self.recipe, self.device = recipe, device
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.average = Average(self.network, recipe.average)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True
        )

    @property
    def averaged(self) -> SmallCNN:
        """Return the network with averaged weights."""
        network = self.average.network
        assert isinstance(network, SmallCNN)
        return network

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * warm_up_then_cosine(step, self.recipe.steps)
        batch = self._prepare(draw(self.recipe.batch))
        with autocast(self.device):
            loss = F.cross_entropy(self.network(batch.images), batch.labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.average.update(step)
        return {"cross-entropy": loss.detach()}

    def _prepare(self, batch: Batch) -> Batch:
        images = self.recipe.augment.apply(batch.images)
        return Batch(images.contiguous(memory_format=torch.channels_last), batch.labels)

    def state(self) -> dict[str, Any]:
        """Return network, average and optimiser."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back network, average and optimiser."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])


class SmallCNNPredictor(Predictor):
    """The averaged network."""

    def __init__(self, recipe: SmallCNNClassifier, trained: Trained, network: SmallCNN, device: str) -> None:
        self.recipe, self.trained, self.device = recipe, trained, device
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()

    def probabilities(self, images: Tensor | StoredPixels) -> np.ndarray:
        """Map uint8 (N, C, H, W) to float32 (N, K); rows sum to 1."""
        return self._map(images, lambda batch: self.network(batch).softmax(1), self.trained.classes)

    def features(self, images: Tensor | StoredPixels) -> np.ndarray:
        """Map uint8 (N, C, H, W) to float32 (N, 4 * width)."""
        return self._map(images, self.network.features, 4 * self.recipe.width)

    @torch.no_grad()
    def _map(self, images: Tensor | StoredPixels, function: Any, width: int) -> np.ndarray:
        # float32 throughout: probabilities are stored and compared
        H, W = images.shape[-2:]
        size = max(1, min(PREDICTION_BATCH, PREDICTION_PIXELS // (H * W)))
        rows = [function(self._prepare(batch)).cpu().numpy() for batch in images.split(size)]
        return np.concatenate(rows) if rows else np.empty((0, width), dtype=np.float32)

    def _prepare(self, batch: Tensor) -> Tensor:
        return to_float(batch.to(self.device)).contiguous(memory_format=torch.channels_last)

    def save(self, folder: Path) -> None:
        """Write weights and record."""
        torch.save(self.network.state_dict(), folder / WEIGHTS)
        record = {"settings": self.recipe.model_dump(), "trained": self.trained.record()}
        (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
