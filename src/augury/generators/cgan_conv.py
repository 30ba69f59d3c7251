"""`cgan_conv`: a convolutional conditional GAN, four layers up and four down."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from augury.generators.adversarial import GAN
from augury.networks.loey import LoeyDiscriminator, LoeyGenerator


class CGANConv(GAN):
    """Four transposed convolutions against four convolutions; all classes share one game, and both players are told.

    Logistic loss, Adam 2e-4 with betas (.5, .999).

    Reference: Loey, Manogaran & Khalifa 2020 (doi 10.1007/s00521-020-05437-x), after Mirza & Osindero 2014 (arXiv
    1411.1784), eq. 2. In print are the numbers of layers and that both players are told the class. Ours are the
    filters, kernels and norms (those of DCGAN), the learned map that tells the class, and the rule for other sizes:
    there are always four layers, and where there is no room for four doublings (three halvings), the rest keep the
    sides.

    Example:
        >>> import augury
        >>> sampler = CGANConv(steps=5, batch=16, width=8).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "cgan_conv"
    summary: ClassVar[str] = "convolutional conditional GAN, four layers up and four down"
    steps: int = Field(default=3000, ge=1, description="optimiser steps")
    batch: int = Field(default=64, ge=2, description="images per step")
    rate: float = Field(default=2e-4, gt=0, le=1, description="learning rate of Adam")
    width: int = Field(default=32, ge=1, le=512, description="channels at the images' size; twice as many per layer")

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator."""
        generator = LoeyGenerator(shape, classes, self.latent, self.width)
        return generator, LoeyDiscriminator(shape, classes, width=self.width)
