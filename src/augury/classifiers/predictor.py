"""A trained network that scores images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from augury.classifiers.base import Predictor, Trained
from augury.stored import StoredPixels
from augury.training import to_float

if TYPE_CHECKING:
    from augury.classifiers.neural import NeuralClassifier

WEIGHTS, RECORD = "weights.pt", "predictor.json"
PREDICTION_BATCH = 256
PREDICTION_PIXELS = PREDICTION_BATCH * 64 * 64  # per channel; images over 64 pixels go in smaller batches


class NeuralPredictor(Predictor):
    """The network that was kept; where its augmentation has several views of an image, it scores their mean."""

    def __init__(self, recipe: NeuralClassifier, trained: Trained, network: nn.Module, device: str, seed: int) -> None:
        self.recipe, self.trained, self.device, self.seed = recipe, trained, device, seed
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()

    def probabilities(self, images: Tensor | StoredPixels) -> np.ndarray:
        """Map uint8 (N, C, H, W) to float32 (N, K); rows sum to 1."""
        return self._map(images, lambda batch: self.network(batch).softmax(1), self.trained.classes)

    def features(self, images: Tensor | StoredPixels) -> np.ndarray:
        """Map uint8 (N, C, H, W) to float32 (N, D)."""
        return self._map(images, self.network.features, int(self.network.width))  # type: ignore[arg-type]

    @torch.no_grad()
    def _map(self, images: Tensor | StoredPixels, function: Callable[[Tensor], Tensor], width: int) -> np.ndarray:
        rows = [self._mean(function, batch).cpu().numpy() for batch in images.split(scoring_batch(images.shape))]
        return np.concatenate(rows) if rows else np.empty((0, width), dtype=np.float32)

    def _mean(self, function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        # float32 throughout: probabilities are stored and compared
        views = self.recipe.augment.views(to_float(batch.to(self.device)))
        scores = [function(view.contiguous(memory_format=torch.channels_last)) for view in views]
        return torch.stack(scores).mean(0)

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that are written to disk."""
        return self.network.state_dict()

    def record(self) -> dict[str, Any]:
        """Return what is written beside the weights."""
        return {"settings": self.recipe.model_dump(), "trained": self.trained.record(), "seed": self.seed}

    def save(self, folder: Path) -> None:
        """Write weights and record."""
        torch.save(self.weights(), folder / WEIGHTS)
        (folder / RECORD).write_text(json.dumps(self.record()), encoding="utf-8")


def scoring_batch(shape: tuple[int, ...] | torch.Size) -> int:
    """Return how many images (N, C, H, W) are scored at once."""
    return max(1, min(PREDICTION_BATCH, PREDICTION_PIXELS // (shape[-2] * shape[-1])))
