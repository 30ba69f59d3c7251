"""`cgan`: the fully connected conditional GAN."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from augury.generators.adversarial import GAN
from augury.networks.mlp import MLPDiscriminator, MLPGenerator


class CGAN(GAN):
    """A conditional GAN with three hidden fully connected layers each; the label is appended to code and image.

    The generator is 100 + K -> 256 -> 512 -> 1024 -> pixels, the discriminator its mirror image, with LeakyReLU(.2).

    Reference: Mirza, Osindero 2014 (arXiv 1411.1784), eq. 2.

    Example:
        >>> import augury
        >>> sampler = CGAN(steps=2, batch=8).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "cgan"
    summary: ClassVar[str] = "conditional GAN, fully connected"
    steps: int = Field(default=4000, ge=1, description="optimiser steps")
    rate: float = Field(default=1e-4, gt=0, le=1, description="learning rate of Adam")
    average: float = Field(
        default=0.0, ge=0, lt=1, description="decay of the mean of the generator's weights; 0: the last weights"
    )
    hidden: tuple[int, ...] = Field(
        default=(256, 512, 1024), min_length=1, description="widths of the generator's hidden layers"
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of each hidden layer of the discriminator that is left out"
    )

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator."""
        return (
            MLPGenerator(shape, classes, self.latent, self.hidden),
            MLPDiscriminator(shape, classes, hidden=self.hidden[::-1], dropout=self.dropout),
        )
