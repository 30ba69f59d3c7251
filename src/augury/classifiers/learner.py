"""How a classifier takes its steps: in the honest protocol, and as a paper printed it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.images import ImageSet
from augury.mixup import blend
from augury.training import Average, Batch, Draw, autocast, to_float, warm_up_then_cosine

if TYPE_CHECKING:
    from augury.classifiers.neural import NeuralClassifier, Published

Objective = Callable[[Tensor, Tensor, Tensor, float], Tensor]
MOMENTUM = 0.9
SCORING_BATCH = 128


class NeuralLearner:
    """Trains a network on soft labels, weighted by image.

    Args:
        recipe: The settings.
        network: With its first weights.
        objective: (logits, soft labels, weights, progress 0..1) -> loss.
        classes: K.
        steps: Optimiser steps in all.
        device: Where.
        pixels: Whether batches are images, to be augmented and blended; else rows of features.
    """

    def __init__(
        self,
        recipe: NeuralClassifier,
        network: nn.Module,
        objective: Objective,
        *,
        classes: int,
        steps: int,
        device: str,
        pixels: bool = True,
    ) -> None:
        self.recipe, self.objective, self.classes, self.steps = recipe, objective, classes, steps
        self.device, self.pixels = device, pixels
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.average = Average(self.network, recipe.average)
        self.forward = torch.compile(self.network) if recipe.compile else self.network
        self.optimiser = _optimiser(recipe, [p for p in self.network.parameters() if p.requires_grad])

    @property
    def averaged(self) -> nn.Module:
        """Return the network that is kept."""
        return self.average.network

    def taken(self, steps: int) -> int:
        """Return how many of the planned steps were taken."""
        return steps

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step."""
        factor = warm_up_then_cosine(step, self.steps) if self.recipe.schedule == "cosine" else 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * factor
        images, targets, weights = self._prepare(draw(self.recipe.batch))
        with autocast(self.device):
            logits = self.forward(images)
        loss = self.objective(logits, targets, weights, step / self.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self._keep(step)
        return {"loss": loss.detach()}

    def _keep(self, step: int) -> None:
        """Take what is kept of the network after a step."""
        self.average.update(step)

    def _prepare(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return augmented and blended images, their soft labels and their weights."""
        recipe = self.recipe
        targets = F.one_hot(batch.labels, self.classes).float()
        synthetic = batch.synthetic[:, None]
        if recipe.synthetic.smoothing:
            even = torch.full_like(targets, 1 / targets.shape[1])
            targets = torch.where(synthetic, torch.lerp(targets, even, recipe.synthetic.smoothing), targets)
        if not self.pixels:
            return batch.images, targets, torch.where(batch.synthetic, recipe.synthetic.weight, 1.0)
        images = recipe.augment.apply(batch.images)
        # labels carry the weights along, so that a blend of a real and a synthetic image has a blend of their weights
        weighted = targets * torch.where(synthetic, recipe.synthetic.weight, 1.0)
        images, weighted = blend(images, weighted, mixup_alpha=recipe.mixup, cutmix_alpha=recipe.cutmix)
        weights = weighted.sum(1)
        return images.contiguous(memory_format=torch.channels_last), weighted / weights[:, None], weights

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


def _optimiser(recipe: NeuralClassifier, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate, decay = recipe.rate, recipe.weight_decay
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM, weight_decay=decay, fused=True)
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay, fused=True)


class PublishedLearner(NeuralLearner):
    """Trains by epochs, keeps the best checkpoint on validation images, and stops when the paper says so.

    Args:
        paper: What the paper printed.
        train: Training images.
        val: Validation images.
        **others: What `NeuralLearner` takes.
    """

    def __init__(self, *args: Any, paper: Published, train: ImageSet, val: ImageSet, **others: Any) -> None:
        super().__init__(*args, **others)
        self.paper, self.train, self.val = paper, train, val
        self.per_epoch = self.steps // paper.epochs
        self.best, self.worse, self.stopped_at = math.inf, 0, 0

    def taken(self, steps: int) -> int:
        """Return how many of the planned steps were taken."""
        return self.stopped_at or steps

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step; none after the stop."""
        return {} if self.stopped_at else super().update(step, draw)

    def _keep(self, step: int) -> None:
        """Look at the validation images at the end of an epoch, and keep the network if it is the best so far."""
        if (step + 1) % self.per_epoch:
            return
        loss, accuracy = self._score(self.val)
        error = loss if self.recipe.best == "loss" else -accuracy
        self.worse = 0 if error < self.best else self.worse + 1
        if error < self.best:
            self.best = error
            self.average.network.load_state_dict(self.network.state_dict())
        weary = self.paper.patience and self.worse >= self.paper.patience
        learned = self.paper.train_accuracy < 1 and self._score(self.train)[1] > self.paper.train_accuracy
        self.stopped_at = step + 1 if weary or learned else 0

    @torch.no_grad()
    def _score(self, images: ImageSet) -> tuple[float, float]:
        """Return mean cross-entropy and accuracy of the network as it is."""
        self.network.eval()
        logits = []
        for chunk in images.images.split(SCORING_BATCH):
            pixels = to_float(chunk.to(self.device)).contiguous(memory_format=torch.channels_last)
            logits.append(self.network(pixels).float().cpu())
        self.network.train()
        scores = torch.cat(logits)
        hits = (scores.argmax(1) == images.labels).float().mean()
        return float(F.cross_entropy(scores, images.labels)), float(hits)

    def state(self) -> dict[str, Any]:
        """Return network, average, optimiser, and how far the search for the best epoch has come."""
        search = {"best": self.best, "worse": self.worse, "stopped_at": self.stopped_at}
        return {**super().state(), "search": search}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        super().restore(state)
        self.best, self.worse, self.stopped_at = (state["search"][name] for name in ("best", "worse", "stopped_at"))
