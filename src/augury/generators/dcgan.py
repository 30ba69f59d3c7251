"""`dcgan`: the convolutional GAN of the tutorials, one per class or told the label."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator
from torch import nn

from augury.generators.adversarial import GAN
from augury.networks.convgan import DCGANDiscriminator, DCGANGenerator


class DCGAN(GAN):
    """A deep convolutional GAN: one pair of networks per class, or one pair that is told the label on both sides.

    At 32 x 32 pixels in colour with width 32 these are, layer by layer, the networks of a published skin-lesion study
    (generator 370,624 weights, discriminator 167,872). With `conditional` the label is appended to the code and, as
    planes, to the image: the form in which a study of eight lesion classes saw the discriminator win.

    Reference: Radford, Metz, Chintala 2016 (arXiv 1511.06434); Mirza, Osindero 2014 (arXiv 1411.1784) for the label.

    Example:
        >>> import augury
        >>> sampler = DCGAN(steps=2, batch=8, width=4).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "dcgan"
    summary: ClassVar[str] = "deep convolutional GAN, one per class or conditional"
    steps: int = Field(default=2000, ge=1, description="optimiser steps, of each class if each has its own networks")
    rate: float = Field(default=2e-4, gt=0, le=1, description="learning rate of Adam")
    width: int = Field(default=32, ge=1, le=512, description="channels of the widest map, doubled at each halving")
    per_class: bool = Field(default=True, description="one pair of networks per class")
    conditional: bool = Field(default=False, description="one pair for all classes, both told the label")

    @model_validator(mode="before")
    @classmethod
    def _conditional_is_enough(cls, settings: dict[str, object]) -> dict[str, object]:
        """Read `conditional = true` alone as `per_class = false` with it."""
        if settings.get("conditional") is True and "per_class" not in settings:
            return {**settings, "per_class": False}
        return settings

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.per_class == self.conditional:
            raise ValueError("exactly one of per_class and conditional is true: how else would it know a class?")
        return self

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator."""
        return (
            DCGANGenerator(shape, classes, self.latent, self.width),
            DCGANDiscriminator(shape, classes, width=self.width),
        )
