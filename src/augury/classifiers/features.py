"""Features of images under a backbone that is not trained: computed once, then looked up by digest."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from augury.augment import Augment
from augury.errors import DataError
from augury.images import ImageSet
from augury.networks.backbones import Backbone
from augury.networks.fidelity_extractors import open_network
from augury.networks.weights import weights_digest
from augury.seeds import guarded, seed_for
from augury.settings import Recipe
from augury.training import Batch, autocast, to_float

ROWS, DIGESTS = "features.npy", "digests.json"
AT_ONCE = 16  # images per forward pass


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Features of some images, by digest.

    Attributes:
        rows: float32 (N, T + V, D): T views that a prediction averages, then V augmented copies to train on.
        digests: N digests of the images.
        shown: T.
    """

    rows: np.ndarray
    digests: tuple[str, ...]
    shown: int

    @cached_property
    def places(self) -> dict[str, int]:
        """Return digest -> position."""
        return {digest: i for i, digest in enumerate(self.digests)}

    def of(self, images: ImageSet) -> np.ndarray:
        """Return the rows of some images: float32 (N, T + V, D).

        Raises:
            DataError: If the features of an image were not computed.
        """
        missing = [name for name, d in zip(images.names, images.digests, strict=True) if d not in self.places]
        if missing:
            raise DataError(
                f"features of {len(images)} images were expected. Got none of {missing[0]!r}: compute them first."
            )
        return self.rows[[self.places[digest] for digest in images.digests]]

    @classmethod
    def joined(cls, banks: Sequence[Self]) -> Self:
        """Join banks of one maker."""
        if len(banks) == 1:
            return banks[0]
        digests = tuple(digest for bank in banks for digest in bank.digests)
        return cls(np.concatenate([bank.rows for bank in banks]), digests, banks[0].shown)

    def save(self, folder: Path) -> None:
        """Write the bank into an existing folder."""
        np.save(folder / ROWS, self.rows, allow_pickle=False)
        record = {"digests": self.digests, "shown": self.shown}
        (folder / DIGESTS).write_text(json.dumps(record), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open a bank; its rows stay on disk until they are asked for."""
        record = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        rows = np.load(folder / ROWS, mmap_mode="r", allow_pickle=False)
        return cls(rows, tuple(record["digests"]), record["shown"])


class FeatureMaker(Recipe):
    """A frozen backbone, and the views of an image that it is given."""

    kind: ClassVar[str] = "features"
    network: str = Field(description="name of the backbone")
    weights: str = Field(description="imagenet, none or file:PATH")
    augment: Augment = Field(default=Augment(), description="augmentation of the copies to train on")
    views: int = Field(default=0, ge=0, le=100, description="augmented copies of each image")
    seed: int = Field(default=0, ge=0, description="seed of the copies, and of the weights if there are none")

    def identity(self) -> dict[str, object]:
        """Return what decides the features: a file of weights counts by its content, not by its place."""
        return {**self.settings(), "weights": weights_digest(self.weights)}

    def backbone(self) -> Backbone:
        """Open the backbone, with nothing to be trained."""
        network = open_network(self.network, self.weights, seed=self.seed)
        network.trainable("head", 0)
        return network.eval()

    def compute(
        self, images: ImageSet, device: str = "cpu", told: Callable[[int, int], None] | None = None
    ) -> FeatureBank:
        """Compute the features of some images; each image's are its own, whatever is computed beside it.

        Args:
            images: N images.
            device: Where.
            told: Called with (images done, images in all).

        Returns:
            N digests with T + V rows each.
        """
        network = self.backbone().to(device).to(memory_format=torch.channels_last)
        rows = []
        for start in range(0, len(images), AT_ONCE):
            chunk = range(start, min(start + AT_ONCE, len(images)))
            rows.append(self._of_chunk(network, images, chunk, device))
            if told is not None:
                told(chunk.stop, len(images))
        shown = len(self.augment.views(torch.zeros(1, *images.shape)))
        found = np.concatenate(rows) if rows else np.empty((0, shown + self.views, network.width), np.float32)
        return FeatureBank(found, images.digests, shown)

    def _of_chunk(self, network: Backbone, images: ImageSet, chunk: range, device: str) -> np.ndarray:
        pixels = to_float(images.images[list(chunk)])
        views = [*self.augment.views(pixels), *self._copies(pixels, [images.digests[i] for i in chunk])]
        return np.asarray(features_of(network, views, device).cpu().numpy())

    def _copies(self, pixels: Tensor, digests: Sequence[str]) -> list[Tensor]:
        """Return augmented copies; copy v of an image has a seed of its own."""
        copies = []
        for view in range(self.views):
            made = []
            for image, digest in zip(pixels, digests, strict=True):
                with guarded(seed_for(self.seed, "view", view, digest)):
                    made.append(self.augment.apply(image[None]))
            copies.append(torch.cat(made))
        return copies


def features_of(network: Backbone, views: Sequence[Tensor], device: str) -> Tensor:
    """Return the features of some views (B, C, H, W) of some images: float32 (B, views, D)."""
    with torch.no_grad(), autocast(device):
        prepared = [network.prepare(view.to(device)).contiguous(memory_format=torch.channels_last) for view in views]
        return torch.stack([network.features(view).float() for view in prepared], 1)


class FeatureRows:
    """The features of a training set as batches: a random copy of each image, or its first view without copies."""

    def __init__(self, training: ImageSet, bank: FeatureBank, device: str) -> None:
        rows = bank.of(training)
        copies = rows[:, bank.shown :] if rows.shape[1] > bank.shown else rows[:, :1]
        self.rows = torch.from_numpy(np.ascontiguousarray(copies)).to(device)
        self.labels, self.synthetic = training.labels.to(device), training.synthetic.to(device)

    def batch(self, index: Tensor) -> Batch:
        """Return the features of the images at some positions."""
        view = torch.randint(self.rows.shape[1], index.shape)
        where = index.to(self.rows.device)
        return Batch(self.rows[where, view.to(where.device)], self.labels[where], self.synthetic[where])
