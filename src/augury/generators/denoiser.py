"""What `diffusion` and `flow` share: a U-Net that removes noise, its training, and drawing from it."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from augury.denoising import Predict, Pull, guided, toward_doubt
from augury.errors import DataError, SettingsError
from augury.generators.base import CARD, Card
from augury.generators.film import Film
from augury.generators.neural import SAMPLING_BATCH, WEIGHTS, NetworkSampler, NeuralGenerator, evaluating
from augury.images import ImageSet
from augury.mixing import BySize
from augury.networks.small_cnn import SmallCNN
from augury.networks.unet import UNet
from augury.networks.weights import FILE, weights_digest
from augury.nonleaky import change, known_changes, told_numbers
from augury.seeds import guarded, noise
from augury.settings import only_known
from augury.training import (
    Average,
    Draw,
    Run,
    Source,
    autocast,
    load_weights,
    to_float,
    warm_up_then_cosine,
)

SIZES = {"tiny": (32, 1), "small": (64, 1), "base": (96, 2)}  # width and blocks of the U-Net
NO_MODEL, DENOISING, ADVICE = "none", "denoising", "advice"
ADVISER_STEPS, ADVISER_RATE, ADVISER_WIDTH, ADVISER_NOISE = 400, 2e-3, 16, 0.5
ADVISED = re.compile(r"(^|\.)adviser\.")  # weights of the classifier, which a model to start from does not hand on
LEVELS = 8  # noise levels per image that a loss on held-out images is measured at


class Denoiser(NeuralGenerator):
    """A generator whose network is shown images with noise added and learns to take the noise away."""

    drawing: ClassVar[tuple[str, ...]] = ("guidance", "guidances", "drawing_steps")
    shaping: ClassVar[tuple[str, ...]] = ("size", "augment")  # settings that decide which weights there are
    steps: int = Field(default=5000, ge=1, description="optimiser steps")
    batch: int = Field(default=32, ge=2, description="images per step")
    rate: float = Field(default=2e-3, gt=0, le=1, description="highest learning rate of Adam")
    size: Literal["tiny", "small", "base"] = Field(default="tiny", description="size of the U-Net")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="share of activations dropped in training")
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the mean of the weights; 0: the last ones")
    snapshots: int = Field(
        default=4, ge=0, le=100, description="networks kept on the way, at equal distances, to choose among later"
    )
    sampling: Literal["natural", "root", "balanced"] = Field(
        default="natural", description="how often a class is shown: as often as it comes, by the root of that, or alike"
    )
    augment: Annotated[tuple[str, ...], AfterValidator(known_changes)] = Field(
        default=("scale", "stretch", "shift"),
        description="families of changes that the network is told of, so that it does not draw them",
    )
    augment_chance: float = Field(default=0.3, ge=0, le=1, description="of each family, for each image")
    untold: float = Field(default=0.1, ge=0, lt=1, description="share of images whose class is not told: for guidance")
    guidance: float = Field(default=1.5, ge=0, le=20, description="weight of classifier-free guidance; 1: none")
    guidances: tuple[Annotated[float, Field(ge=0, le=20)], ...] = Field(
        default=(), description="in a study: weights of which the inner part chooses, by what a classifier learns"
    )
    feedback: float = Field(
        default=0.0,
        ge=-1000,
        le=1000,
        description="pull toward images that a classifier trained along finds hard; below 0: easy",
    )
    init: str = Field(
        default=NO_MODEL, description="folder of a model of this kind, fitted on a related set, to start from; or none"
    )

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: a model to start from counts by its content, not by its place."""
        return {**self.settings(), "init": model_digest(self.init)}

    @property
    def advised(self) -> int:
        """Return the steps in which the classifier is trained, too."""
        return min(self.steps, ADVISER_STEPS)

    def card(self, train: ImageSet, seed: int, parameters: int) -> Card:
        """Write the card: the images that the model it started from saw are seen, too."""
        card = super().card(train, seed, parameters)
        if self.init == NO_MODEL:
            return card
        return replace(card, seen=card.seen | Card.load(Path(self.init)).seen)

    def network(self, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Build the U-Net."""
        return self.unet(shape, classes)

    def unet(self, shape: tuple[int, int, int], classes: int) -> UNet:
        """Build the U-Net for images or codes of a shape, with a classifier of them where that gives feedback."""
        width, blocks = SIZES[self.size]
        C, H, W = shape
        return UNet(
            shape,
            classes,
            width=width,
            blocks=blocks,
            patch=patch_of(shape),
            told=told_numbers(self.augment),
            dropout=self.dropout,
            adviser=SmallCNN(C, (H, W), classes, ADVISER_WIDTH, 0.0) if self.feedback else None,
        )

    def source(self, train: ImageSet, run: Run) -> Source:
        """Return what batches are drawn from."""
        if self.sampling == "natural":
            return super().source(train, run)
        return BySize(train, power=0.5 if self.sampling == "root" else 0.0, seed=run.seed, device=run.device)

    def learner(self, train: ImageSet, run: Run) -> DenoiserLearner:
        """Build what is trained."""
        return DenoiserLearner(self, self.started(train), run.device)

    def started(self, train: ImageSet) -> nn.Module:
        """Build the network; its weights are random, or those of the model to start from."""
        network = self.network(train.shape, len(train.classes))
        if self.init != NO_MODEL:
            start_from(network, Path(self.init), self, train)
        return network

    def sampler(self, card: Card, network: nn.Module, device: str, film: Film) -> DenoiserSampler:
        """Return the sampler of a trained network."""
        return DenoiserSampler(self, card, network, device, film)

    @abstractmethod
    def losses(self, predict: Predict, images: Tensor, noise: Tensor, normal: Tensor) -> Tensor:
        """Return the loss of each image, (B,).

        Args:
            predict: The network.
            images: float32 (B, C, H, W) in -1..1.
            noise: Standard normal, of the same shape.
            normal: Standard normal (B,), of which the noise level is made.
        """

    @abstractmethod
    def solve(self, predict: Predict, noise: Tensor, pull: Pull | None = None) -> Tensor:
        """Return the images (B, C, H, W) that standard normal noise leads to; a pull moves them on the way."""


class DenoiserLearner:
    """Trains the U-Net on images with noise of random strength."""

    def __init__(self, recipe: Denoiser, network: nn.Module, device: str) -> None:
        self.recipe, self.device = recipe, device
        self.no_class = int(network.classes)  # type: ignore[arg-type]
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=recipe.rate, fused=True)
        self.average = Average(self.network, recipe.average) if recipe.average else None
        self.adviser = adviser_of(self.network)
        if self.adviser is not None:
            self.advising = torch.optim.AdamW(self.adviser.parameters(), lr=ADVISER_RATE, weight_decay=0.01)

    @property
    def kept(self) -> nn.Module:
        """Return the network, or the mean of its weights."""
        return self.average.network if self.average is not None else self.network

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step."""
        batch = draw(self.recipe.batch)
        changed, told = change(batch.images, self.recipe.augment, self.recipe.augment_chance)
        images = self.shown(changed)
        said = self._advise(step, images, batch.labels)
        labels = torch.where(self.chances(len(images)) < self.recipe.untold, self.no_class, batch.labels)
        predict = partial(self.predict, labels=labels, told=told)
        noise, normal = torch.randn(images.shape).to(self.device), self.levels(len(images))
        loss = self.recipe.losses(predict, images, noise, normal).mean()
        self.move(step, self.recipe.steps, loss)
        return {DENOISING: loss.detach(), **said}

    def _advise(self, step: int, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Train the classifier, in the beginning; it sees noise, so that its gradient is not one of chance patterns."""
        if self.adviser is None or step >= self.recipe.advised:
            return {}
        strength = ADVISER_NOISE * torch.rand(len(images), 1, 1, 1).to(images)
        noisy = images + strength * torch.randn(images.shape).to(images)
        for group in self.advising.param_groups:
            group["lr"] = ADVISER_RATE * warm_up_then_cosine(step, self.recipe.advised)
        loss = F.cross_entropy(self.adviser(noisy.contiguous(memory_format=torch.channels_last)), labels)
        self.advising.zero_grad(set_to_none=True)
        loss.backward()
        self.advising.step()
        return {ADVICE: loss.detach()}

    def shown(self, images: Tensor) -> Tensor:
        """Return what the network works on: the images themselves."""
        return images

    def chances(self, n: int) -> Tensor:
        """Return n numbers in 0..1 from torch's global generator, on the device."""
        return torch.rand(n).to(self.device)

    def levels(self, n: int) -> Tensor:
        """Return n standard normal numbers, one from each n-th part of the law: of less variance than n at random."""
        return strata(n).to(self.device)

    def predict(self, noisy: Tensor, level: Tensor, *, labels: Tensor, told: Tensor | None) -> Tensor:
        """Return what the network says, in float32."""
        with autocast(self.device):
            said: Tensor = self.network(noisy.contiguous(memory_format=torch.channels_last), level, labels, told)
        return said.float()

    def move(self, step: int, steps: int, loss: Tensor) -> None:
        """Take one optimiser step down the loss, number `step` of a phase of `steps`."""
        rate = self.recipe.rate * warm_up_then_cosine(step, steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        if self.average is not None:
            self.average.update(step)

    def state(self) -> dict[str, Any]:
        """Return networks and optimiser."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back networks and optimiser."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"network": self.network, "optimiser": self.optimiser}
        if self.adviser is not None:
            parts["advising"] = self.advising
        return parts if self.average is None else parts | {"average": self.average.network}


class DenoiserSampler(NetworkSampler):
    """Draws noise, a seed each, and takes it away."""

    recipe: Denoiser

    def codes(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the noise that images are made of: float32 (N, C, H, W)."""
        shape: Any = self.network.shape
        return noise(seeds, *shape)

    def shown(self, images: Tensor) -> Tensor:
        """Return what the network works on: the images themselves."""
        return images

    def drawn_with(self, **settings: Any) -> DenoiserSampler:
        """Return the sampler with other settings of drawing.

        Raises:
            SettingsError: If it has none of that name.
        """
        only_known(list(settings), self.recipe.drawing, f"the drawing of {self.recipe.kind}")
        return type(self)(self.recipe.replace(**settings), self.card, self.network, self.device, self.film)

    @torch.no_grad()
    def held_out_loss(self, images: ImageSet, *, seed: int) -> float:
        """Return the mean loss of images that were not trained on, each at some noise levels of the training's law."""
        losses = []
        with guarded(seed), evaluating(self.network):
            for rows in torch.arange(len(images)).repeat(LEVELS).split(SAMPLING_BATCH):
                shown = self.shown(to_float(images.images[rows]).to(self.device))
                labels, drawn = images.labels[rows].to(self.device), torch.randn(shown.shape).to(self.device)
                predict = self.prediction(guided(self.network, labels, 1.0))
                losses.append(self.recipe.losses(predict, shown, drawn, strata(len(rows)).to(self.device)))
        return float(torch.cat(losses).mean())

    def images(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Lead noise (B, C, H, W) to images in -1..1."""
        predict = self.prediction(guided(self.network, labels, self.recipe.guidance))
        return self.recipe.solve(predict, codes, self.pull)

    @property
    def pull(self) -> Pull | None:
        """Return what moves the images while they are drawn; None without feedback."""
        adviser = adviser_of(self.network)
        return toward_doubt(adviser, self.recipe.feedback) if adviser is not None and self.recipe.feedback else None

    def prediction(self, network: Predict) -> Predict:
        """Return a network's prediction as it is computed here: in the precision and layout that are fast."""

        def predict(noisy: Tensor, level: Tensor) -> Tensor:
            with autocast(self.device):
                return network(noisy.contiguous(memory_format=torch.channels_last), level)

        return predict


def model_digest(model: str) -> str:
    """Return what tells a model to start from apart: its card and weights; of no model the word itself.

    Raises:
        DataError: If the folder holds no fitted generator.
    """
    if model == NO_MODEL:
        return model
    Card.load(Path(model))  # says so if there is none
    return "+".join(weights_digest(f"{FILE}{Path(model) / name}") for name in (CARD, WEIGHTS))


def start_from(network: nn.Module, model: Path, recipe: Denoiser, train: ImageSet) -> None:
    """Copy the weights of a fitted model; of classes that it did not know, those of "no class".

    Raises:
        DataError: If the model is of another kind, or of images of another size.
        SettingsError: If its network is another one.
    """
    card = Card.load(model)
    if (card.kind, card.shape) != (recipe.kind, train.shape):
        raise DataError(
            f"init = {str(model)!r}: a {recipe.kind} of images {train.shape} (channels, height, width) was expected. "
            f"Got a {card.kind} of images {card.shape}: fit one of this kind, at this --size."
        )
    own = type(recipe)(**card.settings)
    for name in recipe.shaping:
        if getattr(own, name) != getattr(recipe, name):
            raise SettingsError(
                f"init = {str(model)!r} was fitted with {name} = {getattr(own, name)!r}, and here it is "
                f"{getattr(recipe, name)!r}. Use the same {name} for both."
            )
    theirs = own.network(card.shape, len(card.classes))
    load_weights(theirs, model / WEIGHTS)
    weights, untold = theirs.state_dict(), len(card.classes)
    rows = [card.classes.index(name) if name in card.classes else untold for name in train.classes]
    told = next(name for name in weights if name.endswith("conditions.classes.weight"))
    taken = {name: value for name, value in weights.items() if not ADVISED.search(name)}
    network.load_state_dict({**network.state_dict(), **taken, told: weights[told][[*rows, untold]]})


def adviser_of(network: nn.Module) -> nn.Module | None:
    """Return the classifier that a network keeps for feedback, if it does."""
    found: nn.Module | None = next((unet.adviser for unet in network.modules() if isinstance(unet, UNet)), None)
    return found


def strata(n: int) -> Tensor:
    """Return n standard normal numbers in random order, one from each n-th part of the law.

    Example:
        >>> numbers = strata(1000)
        >>> abs(float(numbers.mean())) < 0.01, abs(float(numbers.std()) - 1) < 0.02
        (True, True)
    """
    shares = (torch.randperm(n) + torch.rand(n)) / n
    return math.sqrt(2) * torch.erfinv((2 * shares - 1).clamp(-1 + 1e-6, 1 - 1e-6))


def patch_of(shape: tuple[int, int, int]) -> int:
    """Return the side of the squares of pixels that the U-Net takes as one place.

    Example:
        >>> [patch_of((1, side, side)) for side in (8, 28, 64, 128)]
        [1, 2, 2, 4]
    """
    side = min(shape[1:])
    if side < 16:
        return 1
    return 2 if side < 96 else 4
