"""`acgan`: a GAN whose discriminator also names the class."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from augury.generators.adversarial import GAN, Drawn, Game, GANLearner
from augury.networks.resgan import ResidualCritic, ResidualGenerator
from augury.training import Batch


class ACGAN(GAN):
    """An auxiliary classifier GAN: the discriminator says whether an image is real, and of which class it is.

    It is never told the class. Both players want the classes to be recognised: the discriminator those of real and of
    generated images, the generator those of its own. What makes a class easy to recognise is thereby overdone, and a
    class varies less than it should; a smaller `auxiliary` weighs against that.

    The networks are those of `wgan_gp`. The loss is the paper's; in place of the paper's batch norm, R1 keeps the
    discriminator in bounds. Spectral norm would bound the class logits, too, and the classes with them.

    Reference: Odena, Olah, Shlens 2017 (arXiv 1610.09585), eq. 2 and 3.

    Example:
        >>> import augury
        >>> sampler = ACGAN(steps=2, batch=8, width=4).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "acgan"
    summary: ClassVar[str] = "auxiliary classifier GAN, residual networks"
    steps: int = Field(default=3000, ge=1, description="optimiser steps")
    batch: int = Field(default=64, ge=2, description="images per step")
    rate: float = Field(default=1e-3, gt=0, le=1, description="learning rate of Adam")
    latent: int = Field(default=128, ge=1, le=4096, description="size of the code")
    width: int = Field(default=16, ge=1, le=512, description="channels at the images' size, doubled at each halving")
    auxiliary: float = Field(default=1.0, ge=0, description="weight of the classes in both players' losses")
    game: Game = Field(
        default=Game(r1=1.0, beta1=0.0, beta2=0.9),
        description="how the players are set against each other",
    )

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator; columns 1.. of the latter's outputs are logits of the classes."""
        generator = ResidualGenerator(shape, classes, self.latent, self.width)
        return generator, ResidualCritic(shape, classes, 1 + classes, self.width, projection=False)


class ACGANLearner(GANLearner):
    """Adds the class terms, L_C of the paper's eq. 3, to the losses of both players."""

    recipe: ACGAN

    def discriminator_extra(self, real: Tensor, fake: Tensor, batch: Batch, drawn: Drawn) -> dict[str, Tensor]:
        """Return how badly the classes of real and of generated images are recognised."""
        return {"class of real": self._class(real, batch.labels), "class of generated": self._class(fake, drawn.labels)}

    def generator_extra(self, fake: Tensor, drawn: Drawn) -> dict[str, Tensor]:
        """Return how badly the classes of generated images are recognised."""
        return {"class": self._class(fake, drawn.labels)}

    def _class(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return self.recipe.auxiliary * F.cross_entropy(outputs[:, 1:], labels)


ACGAN.learner_class = ACGANLearner
