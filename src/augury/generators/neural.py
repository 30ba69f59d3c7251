"""The base of all generators that are networks: how they are fitted, watched, kept and drawn from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from augury.errors import SettingsError
from augury.generators.base import Card, Generator, Sampler
from augury.generators.film import Camera, Film
from augury.images import ImageSet
from augury.mixing import Uniform
from augury.seeds import guarded, noise, seed_for
from augury.training import Draw, Run, Source, learn, load_weights, to_uint8

SAMPLING_BATCH = 64  # fixed and padded: an image then never depends on how many are drawn with it
WEIGHTS = "weights.pt"
FILM = "film"
STRIPS = 8  # images of the same seeds that are looked at while the training goes on


class NetworkLearner(Protocol):
    """A learner that keeps one network: the one that images are drawn from."""

    @property
    def kept(self) -> nn.Module:
        """Return the network that is kept: maps codes (B, latent) and labels (B,) to images in -1..1."""
        ...

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one optimiser step and return the detached losses by name."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything that changes during training."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        ...


class NeuralGenerator(Generator):
    """A generator that trains a network and draws images from codes."""

    steps: int = Field(default=1500, ge=1, description="optimiser steps")
    batch: int = Field(default=128, ge=2, description="images per step")
    rate: float = Field(default=1e-3, gt=0, le=1, description="learning rate of Adam")
    snapshots: int = Field(
        default=0, ge=0, le=100, description="networks kept on the way, at equal distances, to choose among later"
    )

    @abstractmethod
    def network(self, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Build the network that images are drawn from, untrained."""

    @abstractmethod
    def learner(self, train: ImageSet, run: Run) -> NetworkLearner:
        """Build what is trained; torch's global generator is seeded."""

    def source(self, train: ImageSet, run: Run) -> Source:
        """Return what batches are drawn from."""
        return Uniform(train, seed=run.seed, device=run.device)

    def total_steps(self, classes: int) -> int:
        """Return the steps of the whole training."""
        return self.steps

    def stretch(self, loss: str, classes: int) -> tuple[int, int]:
        """Return the first and the last step that a loss belongs to; of a training in phases each has its own."""
        return 0, self.total_steps(classes)

    def sampler(self, card: Card, network: nn.Module, device: str, film: Film) -> NetworkSampler:
        """Return the sampler of a trained network."""
        return NetworkSampler(self, card, network, device, film)

    def card(self, train: ImageSet, seed: int, parameters: int) -> Card:
        """Write what the fitted generator says of itself."""
        return Card.of(self, train, seed, parameters)

    def fit(self, train: ImageSet, run: Run) -> NetworkSampler:
        """Train on the images of all classes together."""
        with guarded(seed_for(run.seed, "weights")):
            learner = self.learner(train, run)
        film = Film(run.folder / FILM) if run.folder is not None else Film.temporary()
        parameters = sum(value.numel() for value in learner.kept.parameters())
        sampler = self.sampler(self.card(train, run.seed, parameters), learner.kept, run.device, film)
        steps = self.total_steps(len(train.classes))
        camera = Camera(film, sampler.strip, learner.kept, steps=steps, snapshots=self.snapshots)
        film.keep_losses(learn(learner, self.source(train, run), steps=steps, run=run, watch=camera.watch))
        learner.kept.eval()
        return sampler

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> NetworkSampler:
        """Open the trained network."""
        return cls(**card.settings).opened(folder / WEIGHTS, card, device, Film(folder / FILM))

    def opened(self, weights: Path, card: Card, device: str, film: Film) -> NetworkSampler:
        """Return the sampler of saved weights."""
        with guarded(0):
            network = self.network(card.shape, len(card.classes))
        load_weights(network, weights)
        return self.sampler(card, network, device, film)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Let a network neither drop nor learn anything inside the block; it may be in training."""
    trained = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(trained)


class NetworkSampler(Sampler):
    """Draws codes, one seed each, and maps them to images.

    Attributes:
        recipe: What was fitted.
        network: Maps codes and labels to images in -1..1.
        film: What was seen of its training.
    """

    def __init__(self, recipe: NeuralGenerator, card: Card, network: nn.Module, device: str, film: Film) -> None:
        super().__init__(card)
        self.recipe = recipe
        # the layout is fixed here, because a sum over another layout may differ in its last bit
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.device = device
        self.film: Film = film

    def codes(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the codes of some images: float32 (N, latent), each from its own label and seed."""
        return noise(seeds, int(self.network.latent))  # type: ignore[arg-type]

    def images(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map codes (B, ...) and labels (B,), both on the device, to images in -1..1, (B, C, H, W)."""
        images: Tensor = self.network(codes, labels)
        return images

    def sample(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Draw images: uint8 (N, C, H, W)."""
        return self._in_batches(labels, seeds, SAMPLING_BATCH)

    @torch.no_grad()
    def _in_batches(self, labels: Tensor, seeds: Sequence[int], size: int) -> Tensor:
        images = torch.empty(len(labels), *self.card.shape, dtype=torch.uint8)
        with evaluating(self.network):
            for start in range(0, len(labels), size):
                rows = slice(start, start + size)
                codes = self.codes(labels[rows], seeds[rows])
                images[rows] = self.decode(codes, labels[rows], size)
        return images

    @torch.no_grad()
    def decode(self, codes: Tensor, labels: Tensor, size: int = SAMPLING_BATCH) -> Tensor:
        """Map some codes to images, in one batch that is padded to a size.

        Args:
            codes: float32 (N, ...), N at most `size`.
            labels: int64 (N,).
            size: Images in the batch.

        Returns:
            uint8 (N, C, H, W) on the CPU.
        """
        n = len(labels)
        padded = torch.zeros(size, *codes.shape[1:])
        asked = labels[:1].repeat(size)  # no other class than those that are asked for
        padded[:n], asked[:n] = codes, labels
        return to_uint8(self.images(padded.to(self.device), asked.to(self.device))[:n]).cpu()

    @property
    def strip_labels(self) -> Tensor:
        """Return the classes of the strip: int64 (STRIPS,); a class without training images is not among them."""
        seen = torch.nonzero(torch.tensor(self.card.counts)).flatten()
        return seen[torch.arange(STRIPS) % len(seen)].sort().values

    def strip(self) -> Tensor:
        """Draw the images that are looked at while the training goes on: always the same seeds."""
        seeds = [seed_for(self.card.seed, "strip", i) for i in range(STRIPS)]
        return self._in_batches(self.strip_labels, seeds, STRIPS)

    def at(self, steps: int) -> NetworkSampler:
        """Return the sampler as it was after some steps, from its snapshot.

        Raises:
            SettingsError: If there is none.
        """
        kept = self.film.snapshots()
        if steps not in kept:
            raise SettingsError(f"snapshots were kept after {', '.join(map(str, kept)) or 'no'} steps. Got {steps}.")
        return self.recipe.opened(kept[steps], self.card, self.device, self.film)

    def save_model(self, folder: Path) -> None:
        """Write the weights and the film."""
        torch.save(self.network.state_dict(), folder / WEIGHTS)
        self.film.copy_to(folder / FILM)
