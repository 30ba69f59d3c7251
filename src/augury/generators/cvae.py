"""`cvae`: a fully connected conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from augury.generators.base import Card, Generator, Sampler
from augury.images import ImageSet
from augury.mixing import Uniform
from augury.networks.vae import ConditionalVAE
from augury.seeds import guarded, noise, seed_for
from augury.training import Draw, Run, learn, load_weights, to_uint8

SAMPLING_BATCH = 64  # fixed and padded: an image then never depends on how many are drawn with it
WEIGHTS = "weights.pt"


class CVAE(Generator):
    """A conditional VAE with two hidden layers each way; the label is given to encoder and decoder.

    Trained by Adam on reconstruction + beta * KL(q(z | x, y) || N(0, I)), both summed over pixels and code. With
    beta = 1 this is the evidence lower bound; a smaller beta keeps texture. Images are decoder means.

    Reference: Sohn, Lee, Yan 2015, eq. 4 (with p(z | y) = N(0, I)); Kingma, Welling 2014 (arXiv 1312.6114), eq. 10;
    Higgins et al. 2017 for beta.

    Example:
        >>> import augury
        >>> sampler = CVAE(steps=20).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "cvae"
    summary: ClassVar[str] = "conditional variational autoencoder, fully connected"
    hidden: tuple[int, ...] = Field(default=(512, 256), min_length=1, description="widths of the hidden layers")
    latent: int = Field(default=32, ge=1, le=1024, description="size of the latent code")
    steps: int = Field(default=1500, ge=1, description="optimiser steps")
    batch: int = Field(default=128, ge=2, description="images per step")
    rate: float = Field(default=1e-3, gt=0, le=1, description="learning rate of Adam")
    beta: float = Field(default=0.25, ge=0, description="weight of the KL term; 1 is the evidence lower bound itself")
    likelihood: Literal["bernoulli", "gaussian"] = Field(
        default="bernoulli", description="law of a pixel: bernoulli (cross-entropy) or gaussian (optimal variance)"
    )

    def fit(self, train: ImageSet, run: Run) -> CVAESampler:
        """Train on the images of all classes together."""
        network = self._network(train.shape, len(train.classes), run.seed)
        learner = CVAELearner(self, network.to(run.device))
        learn(learner, Uniform(train, seed=run.seed, device=run.device), steps=self.steps, run=run)
        parameters = sum(p.numel() for p in network.parameters())
        return CVAESampler(Card.of(self, train, run.seed, parameters), learner.network.eval(), run.device)

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> CVAESampler:
        """Open the trained network."""
        recipe = cls(**card.settings)
        network = recipe._network(card.shape, len(card.classes), card.seed)
        load_weights(network, folder / WEIGHTS)
        return CVAESampler(card, network.to(device).eval(), device)

    def _network(self, shape: tuple[int, int, int], classes: int, seed: int) -> ConditionalVAE:
        with guarded(seed_for(seed, "weights")):
            return ConditionalVAE(shape, classes, self.hidden, self.latent)


class CVAELearner:
    """Trains the network on the evidence lower bound."""

    def __init__(self, recipe: CVAE, network: ConditionalVAE) -> None:
        self.recipe = recipe
        self.network = network.train()
        self.optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate)

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step."""
        batch = draw(self.recipe.batch)
        mean, log_variance = self.network.encode(batch.images, batch.labels)
        codes = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        reconstruction = self._reconstruction(self.network.decode(codes, batch.labels), (batch.images + 1) / 2)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        loss = reconstruction + self.recipe.beta * divergence
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return {"reconstruction": reconstruction.detach(), "divergence": divergence.detach()}

    def _reconstruction(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.recipe.likelihood == "bernoulli":
            return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").flatten(1).sum(1).mean()
        # the variance that maximises the likelihood has a closed form: Rybkin et al. 2021 (arXiv 2006.13202), eq. 6
        squared = (torch.sigmoid(logits) - targets) ** 2
        return 0.5 * squared[0].numel() * squared.mean().clamp(min=1e-6).log()

    def state(self) -> dict[str, Any]:
        """Return network and optimiser."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back network and optimiser."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


class CVAESampler(Sampler):
    """Decodes standard normal codes, one seed each."""

    def __init__(self, card: Card, network: ConditionalVAE, device: str) -> None:
        super().__init__(card)
        self.network = network
        self.device = device

    @torch.no_grad()
    def sample(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Draw images: uint8 (N, C, H, W)."""
        images = torch.empty(len(labels), *self.card.shape, dtype=torch.uint8)
        for start in range(0, len(labels), SAMPLING_BATCH):
            rows = slice(start, start + SAMPLING_BATCH)
            n = len(labels[rows])
            codes = torch.zeros(SAMPLING_BATCH, self.network.latent)
            asked = torch.zeros(SAMPLING_BATCH, dtype=torch.int64)
            codes[:n], asked[:n] = noise(seeds[rows], self.network.latent), labels[rows]
            pixels = torch.sigmoid(self.network.decode(codes.to(self.device), asked.to(self.device)))
            images[rows] = to_uint8(2 * pixels[:n] - 1).cpu()
        return images

    def save_model(self, folder: Path) -> None:
        """Write the weights."""
        torch.save(self.network.state_dict(), folder / WEIGHTS)
