"""`dense_gan`: a GAN of each class whose generator starts from one large dense layer."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from augury.generators.adversarial import GAN, Game
from augury.networks.dense_gan import DenseDiscriminator, DenseGenerator


class DenseGAN(GAN):
    """A dense layer, two doublings and a wide last convolution against two strided convolutions with dropout.

    Each class has its own two players, which never see another class. Logistic loss with one-sided label smoothing,
    Adam 2e-4 with betas (.5, .999). At 256 x 256 the dense layer has 262,144 units and most of the weights; other
    sizes follow the same rule, a start map of a quarter of the sides.

    Reference: a published study of COVID-19 in chest CT, one GAN per class: layers, filters, slopes, dropout and rate.
    The latent size, the reshape to 64 x 64 x 64, the betas and the batch are not in print and are ours; so is the
    conditional form (`per_class = false`: the label is appended to the code and, as planes, to the image).

    Example:
        >>> import augury
        >>> sampler = DenseGAN(steps=1, batch=8, width=8).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "dense_gan"
    summary: ClassVar[str] = "GAN of each class that starts from one large dense layer"
    per_class: bool = Field(default=True, description="each class has its own players; false: all share two, told it")
    steps: int = Field(default=2000, ge=1, description="optimiser steps, of each class if each has its own players")
    batch: int = Field(default=32, ge=2, description="images per step")
    rate: float = Field(default=2e-4, gt=0, le=1, description="learning rate of Adam")
    width: int = Field(
        default=64,
        ge=1,
        le=512,
        description="start maps, and the discriminator's filters; the generator has twice as many",
    )
    dropout: float = Field(default=0.4, ge=0, lt=1, description="share of features the discriminator leaves out")
    game: Game = Field(default=Game(smoothing=0.1), description="how the players are set against each other")

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator; classes is 0 for players of one class."""
        generator = DenseGenerator(shape, classes, self.latent, self.width)
        return generator, DenseDiscriminator(shape, classes, width=self.width, dropout=self.dropout)
