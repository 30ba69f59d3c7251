"""`infogan`: a GAN whose images can be steered by codes that it gave a meaning to by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from augury.errors import SettingsError
from augury.generators.adversarial import GAN, Drawn, GANLearner
from augury.generators.base import Card
from augury.generators.film import Film
from augury.generators.neural import SAMPLING_BATCH, NetworkSampler
from augury.networks.convgan import DCGANDiscriminator, DCGANGenerator
from augury.settings import nearest
from augury.training import Batch

DISCRETE = "discrete"
LEAST_LOG_VARIANCE = -4.0  # of a continuous code given its image: a surer network would drown the game in its gradients
TRAVERSE_SEEDS = 6  # rows when the discrete code is the one that changes


class InfoGAN(GAN):
    """DCGAN's networks; beside noise the generator gets codes that the discriminator has to read from its images.

    The code is noise N(0, I), then one of `discrete` values (one-hot, uniform), then `continuous` numbers (uniform in
    -1..1). A network Q(c | x) shares all but the last layer with the discriminator: it gives logits of the discrete
    code, mean and log-variance of each continuous one. Both players raise L_I = E[log Q(c | x)] + H(c), a lower bound
    of the mutual information of codes and images; the losses that are shown are -lambda * L_I in nats.

    Reference: Chen et al. 2016 (arXiv 1606.03657), eq. 5 and 6, and appendix C for the laws of the codes, for Q's mean
    and deviation, and for the players' two learning rates. The networks are DCGAN's at any size, which is ours, as is a
    floor of e^-4 under the variance.

    Example:
        >>> import augury
        >>> sampler = InfoGAN(steps=2, batch=8, width=4).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.traverse(label=3, seed=0, code="continuous 1", columns=5).shape
        torch.Size([10, 5, 1, 8, 8])
    """

    kind: ClassVar[str] = "infogan"
    summary: ClassVar[str] = "GAN with discrete and continuous codes that steer what it draws"
    per_class: bool = Field(default=True, description="each class has its own players; false: all share two, told it")
    steps: int = Field(default=2000, ge=1, description="optimiser steps, of each class if each has its own players")
    rate: float = Field(default=1e-3, gt=0, le=1, description="learning rate of Adam")
    rate_discriminator: float = Field(default=2e-4, ge=0, le=1, description="its learning rate; 0: the generator's")
    latent: int = Field(default=62, ge=1, le=4096, description="size of the noise beside the codes")
    discrete: int = Field(default=10, ge=2, le=100, description="values of the discrete code")
    continuous: int = Field(default=2, ge=1, le=20, description="number of continuous codes")
    discrete_weight: float = Field(default=1.0, ge=0, description="lambda of the discrete code")
    continuous_weight: float = Field(default=0.1, ge=0, description="lambda of the continuous codes")
    width: int = Field(default=32, ge=1, le=512, description="channels of the widest map, doubled at each halving")

    @property
    def code_names(self) -> tuple[str, ...]:
        """Return the names of the codes, the discrete one first."""
        return DISCRETE, *(f"continuous {i + 1}" for i in range(self.continuous))

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator; classes is 0 for players of one class."""
        codes = self.discrete + self.continuous
        return (
            DCGANGenerator(shape, classes, self.latent + codes, self.width),
            DCGANDiscriminator(shape, classes, 1 + codes + self.continuous, self.width),
        )

    def code_law(self, normal: Tensor) -> Tensor:
        """Turn standard normal numbers into noise and codes, both (B, latent + discrete + continuous).

        Which of some normal numbers is the greatest is a uniform choice, and 2 * Phi(z) - 1 is uniform in -1..1.
        """
        noise, choice, place = normal.split([self.latent, self.discrete, self.continuous], dim=1)
        return torch.cat([noise, F.one_hot(choice.argmax(1), self.discrete), torch.erf(place / math.sqrt(2))], dim=1)

    def sampler(self, card: Card, network: nn.Module, device: str, film: Film) -> InfoGANSampler:
        """Return the sampler of a trained network."""
        return InfoGANSampler(self, card, network, device, film)


class InfoGANLearner(GANLearner):
    """Adds to both players' losses what the images do not tell of the codes."""

    recipe: InfoGAN

    def draw_codes(self, labels: Tensor) -> Tensor:
        """Draw noise and codes from torch's global generator."""
        size = self.recipe.latent + self.recipe.discrete + self.recipe.continuous
        return self.recipe.code_law(torch.randn(len(labels), size)).to(self.device)

    def discriminator_extra(self, real: Tensor, fake: Tensor, batch: Batch, drawn: Drawn) -> dict[str, Tensor]:
        """Return what the codes' readers lose."""
        return information_losses(self.recipe, fake, drawn.codes)

    def generator_extra(self, fake: Tensor, drawn: Drawn) -> dict[str, Tensor]:
        """Return what the generator loses by codes that cannot be read."""
        return information_losses(self.recipe, fake, drawn.codes)


InfoGAN.learner_class = InfoGANLearner


def information_losses(recipe: InfoGAN, outputs: Tensor, codes: Tensor) -> dict[str, Tensor]:
    """Return -lambda * L_I of the discrete code and of all continuous ones, in nats.

    Args:
        recipe: Numbers of codes, and the lambdas.
        outputs: (B, 1 + discrete + 2 * continuous): score, logits, means, log-variances.
        codes: (B, latent + discrete + continuous), as `code_law` gave them.

    Reference: Chen et al. 2016 (arXiv 1606.03657), eq. 5.
    """
    _, logits, means, log_variances = outputs.split([1, recipe.discrete, *[recipe.continuous] * 2], dim=1)
    _, choice, place = codes.split([recipe.latent, recipe.discrete, recipe.continuous], dim=1)
    log_variances = log_variances.clamp(min=LEAST_LOG_VARIANCE)
    unread = F.cross_entropy(logits, choice) - math.log(recipe.discrete)
    surprise = 0.5 * (math.log(2 * math.pi) + log_variances + (place - means).square() / log_variances.exp())
    return {
        "discrete code": recipe.discrete_weight * unread,
        "continuous codes": recipe.continuous_weight * (surprise - math.log(2)).sum(1).mean(),
    }


class InfoGANSampler(NetworkSampler):
    """Draws images from noise and codes, and shows what each code does."""

    recipe: InfoGAN

    def codes(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return noise and codes of some images: float32 (N, latent + discrete + continuous)."""
        return self.recipe.code_law(super().codes(labels, seeds))

    @torch.no_grad()
    def traverse(self, label: int, seed: int, *, code: str = "continuous 1", columns: int = 9) -> Tensor:
        """Draw images that differ in two codes only, in rows and columns.

        Args:
            label: Their class, 0..K-1.
            seed: Where the noise and the other codes come from: those of the image that `sample` draws from it.
            code: What changes from column to column. A continuous code goes from -1 to 1, and each row has another
                value of the discrete code. `discrete` takes each of its values, and each row has another seed: this
                one and those that follow it.
            columns: Steps of a continuous code.

        Returns:
            uint8 (rows, columns, C, H, W).

        Raises:
            SettingsError: If there is no such code.
        """
        if code not in self.recipe.code_names:
            raise SettingsError(f"this model has no code {code!r}{nearest(code, list(self.recipe.code_names))}")
        grid = self._over_seeds(label, seed) if code == DISCRETE else self._over_code(label, seed, code, columns)
        self.network.eval()
        parts = grid.flatten(0, 1).split(SAMPLING_BATCH)
        images = torch.cat([self.decode(part, torch.full((len(part),), label)) for part in parts])
        return images.view(*grid.shape[:2], *self.card.shape)

    def _over_code(self, label: int, seed: int, code: str, columns: int) -> Tensor:
        grid = self.codes(torch.tensor([label]), [seed]).repeat(self.recipe.discrete, columns, 1)
        self._discrete(grid).copy_(torch.eye(self.recipe.discrete)[:, None])
        place = self.recipe.latent + self.recipe.discrete + self.recipe.code_names.index(code) - 1
        grid[:, :, place] = torch.linspace(-1, 1, columns)
        return grid

    def _over_seeds(self, label: int, seed: int) -> Tensor:
        seeds = [seed + i for i in range(TRAVERSE_SEEDS)]
        grid = self.codes(torch.full((len(seeds),), label), seeds)[:, None].repeat(1, self.recipe.discrete, 1)
        self._discrete(grid).copy_(torch.eye(self.recipe.discrete))
        return grid

    def _discrete(self, grid: Tensor) -> Tensor:
        return grid[:, :, self.recipe.latent : self.recipe.latent + self.recipe.discrete]
