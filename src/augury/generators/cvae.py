"""`cvae`: a conditional variational autoencoder, fully connected or convolutional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from augury.generators.neural import NeuralGenerator
from augury.images import ImageSet
from augury.networks.vae import VAE, ConditionalVAE, ConvConditionalVAE
from augury.training import Draw, Run, autocast


class CVAE(NeuralGenerator):
    """A conditional VAE; the label is given to encoder and decoder.

    The `dense` form has two hidden layers each way. The `conv` form halves the image by convolutions until its sides
    are 4 to 7, sees the label as planes, and doubles back.

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
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "conditional variational autoencoder, fully connected or convolutional"
    form: Literal["dense", "conv"] = Field(default="dense", description="layers: dense or conv")
    hidden: tuple[int, ...] = Field(
        default=(512, 256), min_length=1, description="widths of the encoder's hidden layers, if dense"
    )
    width: int = Field(default=32, ge=1, le=512, description="channels at half the size, if conv")
    latent: int = Field(default=32, ge=1, le=1024, description="size of the latent code")
    beta: float = Field(default=0.25, ge=0, description="weight of the KL term; 1 is the evidence lower bound itself")
    likelihood: Literal["bernoulli", "gaussian"] = Field(
        default="bernoulli", description="law of a pixel: bernoulli (cross-entropy) or gaussian (optimal variance)"
    )

    def network(self, shape: tuple[int, int, int], classes: int) -> VAE:
        """Build encoder and decoder."""
        if self.form == "conv":
            return ConvConditionalVAE(shape, classes, self.width, self.latent)
        return ConditionalVAE(shape, classes, self.hidden, self.latent)

    def learner(self, train: ImageSet, run: Run) -> CVAELearner:
        """Build what is trained."""
        return CVAELearner(self, self.network(train.shape, len(train.classes)).to(run.device))


class CVAELearner:
    """Trains the network on the evidence lower bound."""

    def __init__(self, recipe: CVAE, network: VAE) -> None:
        self.recipe = recipe
        self.kept = network.train()
        self.optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate)

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step."""
        batch = draw(self.recipe.batch)
        with autocast(batch.images.device.type):
            mean, log_variance = (half.float() for half in self.kept.encode(batch.images, batch.labels))
            codes = mean + torch.randn(mean.shape).to(mean) * (0.5 * log_variance).exp()
            logits = self.kept.decode(codes, batch.labels).float()
        reconstruction = self._reconstruction(logits, (batch.images + 1) / 2)
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
        return {"network": self.kept.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back network and optimiser."""
        self.kept.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
