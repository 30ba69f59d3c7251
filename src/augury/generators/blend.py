"""`blend`: convex mixtures of real images of one class, the simplest thing that looks new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from augury.generators.base import Card, Generator, Sampler
from augury.generators.repeat import members_by_class, pick
from augury.images import ImageSet
from augury.seeds import numbers_for
from augury.training import Run


class Blend(Generator):
    """Mix a few real images of one class with random weights.

    The weights are uniform over all convex combinations (a flat Dirichlet law). With two images this is
    SMOTE's segment (Chawla et al. 2002, section 4.2) between any two members instead of near neighbours.

    Example:
        >>> import augury
        >>> sampler = Blend(parents=3).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw(1, seed=0).images.shape
        torch.Size([10, 1, 8, 8])
    """

    kind: ClassVar[str] = "blend"
    summary: ClassVar[str] = "convex mixtures of real images within a class"
    control: ClassVar[bool] = True
    contains_training_images: ClassVar[bool] = True
    parents: int = Field(default=2, ge=2, le=16, description="real images per mixture")

    def fit(self, train: ImageSet, run: Run) -> BlendSampler:
        """Keep the training images."""
        return BlendSampler(Card.of(self, train, run.seed), train, self.parents)

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> BlendSampler:
        """Open the kept images."""
        return BlendSampler(card, ImageSet.load(folder), int(card.settings["parents"]))


class BlendSampler(Sampler):
    """Draws mixtures of kept images of the asked class."""

    def __init__(self, card: Card, train: ImageSet, parents: int) -> None:
        super().__init__(card)
        self.train = train
        self.parents = parents
        self.members = members_by_class(train)

    def sample(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Draw images: uint8 (N, C, H, W)."""
        images = [self._one(label, seed) for label, seed in zip(labels.tolist(), seeds, strict=True)]
        return torch.stack(images) if images else self.train.images[:0].clone()

    def _one(self, label: int, seed: int) -> Tensor:
        numbers = numbers_for(seed, "blend")
        parents = self.train.images[pick(self.members[label], self.parents, numbers)].float()
        weights = torch.from_numpy(numbers.dirichlet([1.0] * self.parents)).float()
        mixed = (parents * weights.view(-1, 1, 1, 1)).sum(0)
        return mixed.round().clamp(0, 255).to(torch.uint8)

    def save_model(self, folder: Path) -> None:
        """Write the kept images."""
        self.train.save(folder)
