"""`repeat`: real training images again. As a generator it is oversampling; as a control it is the copycat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from augury.errors import DataError
from augury.generators.base import Card, Generator, Sampler
from augury.images import ImageSet
from augury.seeds import numbers_for
from augury.training import Run


class Repeat(Generator):
    """Draw real training images, with replacement.

    Whatever an arm with these copies gains over plain oversampling, it gains from the experiment's own
    machinery and not from new images: the verdict's copycat gate compares the two.

    Example:
        >>> import augury
        >>> digits = augury.read("digits")
        >>> pool = Repeat().fit(digits, augury.Run(seed=0)).draw({"3": 2}, seed=0)
        >>> set(pool.digests) <= set(augury.images.pixel_digest(image.numpy()) for image in digits.images)
        True
    """

    kind: ClassVar[str] = "repeat"
    summary: ClassVar[str] = "real training images again: oversampling, and the copycat control"
    control: ClassVar[bool] = True
    contains_training_images: ClassVar[bool] = True

    def fit(self, train: ImageSet, run: Run) -> RepeatSampler:
        """Keep the training images."""
        return RepeatSampler(Card.of(self, train, run.seed), train)

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> RepeatSampler:
        """Open the kept images."""
        return RepeatSampler(card, ImageSet.load(folder))


class RepeatSampler(Sampler):
    """Draws one of the kept images of the asked class."""

    def __init__(self, card: Card, train: ImageSet) -> None:
        super().__init__(card)
        self.train = train
        self.members = members_by_class(train)

    def sample(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Draw images: uint8 (N, C, H, W)."""
        chosen = [
            pick(self.members[label], 1, numbers_for(seed, "repeat"))
            for label, seed in zip(labels.tolist(), seeds, strict=True)
        ]
        return self.train.images[torch.cat(chosen)] if chosen else self.train.images[:0].clone()

    def save_model(self, folder: Path) -> None:
        """Write the kept images."""
        self.train.save(folder)


def members_by_class(train: ImageSet) -> list[Tensor]:
    """Return the positions of the images of each class."""
    return [torch.nonzero(train.labels == label).flatten() for label in range(len(train.classes))]


def pick(positions: Tensor, n: int, numbers: np.random.Generator) -> Tensor:
    """Draw n positions with replacement.

    Raises:
        DataError: If there are none to draw from.
    """
    if not len(positions):
        raise DataError("images of a class without training images were asked for. Ask for the other classes.")
    return positions[torch.from_numpy(numbers.integers(len(positions), size=n))]
