"""`latent`: diffusion or flow matching on the codes of an autoencoder, for larger images."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from augury.denoising import Predict, Pull
from augury.generators.base import Card
from augury.generators.denoiser import Denoiser, DenoiserLearner, DenoiserSampler
from augury.generators.diffusion import Diffusion
from augury.generators.film import Film
from augury.generators.flow import Flow
from augury.generators.neural import FILM, WEIGHTS, NetworkSampler
from augury.images import ImageSet
from augury.networks.latent import CodeImages, LatentNetwork
from augury.networks.published_codes import FILE_NAME, PublishedCodes
from augury.networks.weights import FILE, weights_digest
from augury.stored import in_chunks
from augury.training import Batch, Draw, Run, autocast, to_float, warm_up_then_cosine

NONE, PUBLISHED = "none", "autoencoder"
RECONSTRUCTION, DIVERGENCE = "reconstruction", "divergence"
DIVERGENCE_WEIGHT = 1e-3  # per number of the code: keeps codes near each other without blurring what they hold


class Latent(Denoiser):
    """Diffusion or flow matching where images of 128 or 256 pixels have become codes of 32 x 32.

    For `pretrain` steps an autoencoder learns to compress the images (mean absolute error, with a slight pull of the
    codes toward a normal law); then it is left alone, and a U-Net learns the law of the codes. Detail that the
    autoencoder loses is not drawn: look at its reconstructions, the loss of the first phase, before blaming the second.

    Reference: Rombach et al. 2022 (arXiv 2112.10752), section 3; for what is learned on codes see `diffusion`, `flow`.

    Example:
        >>> import augury
        >>> recipe = Latent(pretrain=2, steps=2, batch=8, size="tiny", width=16, drawing_steps=2)
        >>> recipe.fit(augury.read("digits"), augury.Run(seed=0)).draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "latent"
    summary: ClassVar[str] = "diffusion or flow matching on an autoencoder's codes, for images of 128 pixels and more"
    shaping: ClassVar[tuple[str, ...]] = ("size", "augment", "weights", "factor", "channels", "width")
    batch: int = Field(default=32, ge=2, description="images per step")
    way: Literal["flow", "diffusion"] = Field(default="flow", description="what is learned on the codes")
    drawing_steps: int = Field(default=16, ge=1, le=1000, description="steps from noise to image")
    pretrain: int = Field(default=1500, ge=1, description="optimiser steps of the autoencoder, before all others")
    weights: str = Field(
        default=NONE, description="file:PATH of a published autoencoder, diffusers' AutoencoderKL; none: train one"
    )
    factor: Literal[4, 8] = Field(default=4, description="side of an image by the side of its code")
    channels: int = Field(default=4, ge=1, le=64, description="channels of a code")
    width: int = Field(
        default=32, ge=16, le=512, multiple_of=16, description="channels of the autoencoder's first maps"
    )

    def network(self, shape: tuple[int, int, int], classes: int) -> LatentNetwork:
        """Build autoencoder and U-Net."""
        if self.weights != NONE:
            published = PublishedCodes(self.weights, shape)
            return LatentNetwork(published, self.unet(published.code_shape, classes))
        autoencoder = CodeImages(shape, factor=self.factor, channels=self.channels, width=self.width)
        return LatentNetwork(autoencoder, self.unet(autoencoder.code_shape, classes))

    @property
    def compressing(self) -> int:
        """Return the steps of the autoencoder: none where it is a published one."""
        return self.pretrain if self.weights == NONE else 0

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: a file of weights counts by its content, not by its place."""
        return {**super().identity(), "weights": weights_digest(self.weights)}

    def total_steps(self, classes: int) -> int:
        """Return the steps of both phases."""
        return self.compressing + self.steps

    def stretch(self, loss: str, classes: int) -> tuple[int, int]:
        """Return the phase that a loss belongs to."""
        first = loss in (RECONSTRUCTION, DIVERGENCE)
        return (0, self.compressing) if first else (self.compressing, self.compressing + self.steps)

    def learner(self, train: ImageSet, run: Run) -> LatentLearner:
        """Build what is trained."""
        return LatentLearner(self, self.started(train), run, train)

    def sampler(self, card: Card, network: nn.Module, device: str, film: Film) -> LatentSampler:
        """Return the sampler of a trained network."""
        return LatentSampler(self, card, network, device, film)

    def losses(self, predict: Predict, images: Tensor, noise: Tensor, normal: Tensor) -> Tensor:
        """Return the loss of each code."""
        return self._on_codes().losses(predict, images, noise, normal)

    def solve(self, predict: Predict, noise: Tensor, pull: Pull | None = None) -> Tensor:
        """Return the codes that noise leads to."""
        return self._on_codes().solve(predict, noise, pull)

    def _on_codes(self) -> Denoiser:
        if self.way == "flow":
            return Flow(drawing_steps=self.drawing_steps, time_location=0.0, time_scale=1.0)
        return Diffusion(drawing_steps=self.drawing_steps)

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> NetworkSampler:
        """Open the trained network; of a published autoencoder there is a copy in the folder."""
        recipe = cls(**card.settings)
        if recipe.weights != NONE:
            recipe = recipe.replace(weights=f"{FILE}{folder / PUBLISHED / FILE_NAME}")
        return recipe.opened(folder / WEIGHTS, card, device, Film(folder / FILM))


class LatentLearner(DenoiserLearner):
    """Trains the autoencoder, then the U-Net on its codes."""

    recipe: Latent

    def __init__(self, recipe: Latent, network: nn.Module, run: Run, train: ImageSet) -> None:
        super().__init__(recipe, network, run.device)
        assert isinstance(self.network, LatentNetwork)
        self.train, self.codes = train, self.network
        own = [value for name, value in self.codes.named_parameters() if name.startswith("autoencoder.")]
        self.pretraining = torch.optim.Adam(own, lr=recipe.rate, fused=True) if own else None
        self.optimiser = torch.optim.Adam(self.codes.unet.parameters(), lr=recipe.rate, fused=True)

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step of the phase that is on."""
        before = self.recipe.compressing
        if step < before and self.pretraining is not None:
            return self._compress(step, draw(self.recipe.batch), self.pretraining)
        if step == before:
            self._settle()
        return super().update(step - before, draw)

    def _compress(self, step: int, batch: Batch, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        images = batch.images.contiguous(memory_format=torch.channels_last)
        for group in optimiser.param_groups:
            group["lr"] = self.recipe.rate * warm_up_then_cosine(step, self.recipe.pretrain)
        with autocast(self.device):
            mean, log_variance = (half.float() for half in self.codes.autoencoder.encode(images))
            codes = mean + torch.randn(mean.shape).to(mean) * (0.5 * log_variance).exp()
            seen = self.codes.autoencoder.decode(codes)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        loss = F.l1_loss(seen.float(), images)
        optimiser.zero_grad(set_to_none=True)
        (loss + DIVERGENCE_WEIGHT * divergence).backward()
        optimiser.step()
        return {RECONSTRUCTION: loss.detach(), DIVERGENCE: divergence.detach()}

    @torch.no_grad()
    def _settle(self) -> None:
        """Take the law of the codes from the training images, and let what is kept begin from here."""
        with autocast(self.device):
            codes = [
                self.codes.autoencoder.encode(to_float(chunk).to(self.device))[0].float()
                for chunk in in_chunks(self.train.images)
            ]
        self.codes.standardise(torch.cat(codes))
        self.kept.load_state_dict(self.network.state_dict())

    def shown(self, images: Tensor) -> Tensor:
        """Return the codes of images."""
        with torch.no_grad(), autocast(self.device):
            return self.codes.encode(images.contiguous(memory_format=torch.channels_last)).float()

    def _parts(self) -> dict[str, Any]:
        return super()._parts() | ({"pretraining": self.pretraining} if self.pretraining is not None else {})


class LatentSampler(DenoiserSampler):
    """Draws codes and decodes them."""

    def save_model(self, folder: Path) -> None:
        """Write weights and film, and a copy of a published autoencoder."""
        super().save_model(folder)
        autoencoder: Any = self.network.autoencoder
        if isinstance(autoencoder, PublishedCodes):
            (folder / PUBLISHED).mkdir()
            for path in autoencoder.files:
                shutil.copyfile(path, folder / PUBLISHED / path.name)

    def shown(self, images: Tensor) -> Tensor:
        """Return the codes of images."""
        network: Any = self.network
        with autocast(self.device):
            codes: Tensor = network.encode(images.contiguous(memory_format=torch.channels_last))
        return codes.float()

    def images(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Lead noise to codes, and codes to images in -1..1."""
        network: Any = self.network
        drawn = super().images(codes, labels)
        with autocast(self.device):
            images: Tensor = network.decode(drawn.contiguous(memory_format=torch.channels_last))
        return images.float()
