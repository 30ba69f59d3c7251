"""`wgan_gp`: a conditional Wasserstein GAN with gradient penalty and residual networks."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from augury.generators.adversarial import GAN, Game
from augury.networks.resgan import ResidualCritic, ResidualGenerator


class WGANGP(GAN):
    """A critic whose score grows at most as fast as the image changes, several steps ahead of the generator.

    The critic's loss estimates the earth mover's distance between real and generated images. It is told the label by
    projection, the generator by its batch norms.

    Penalty, batch, code and betas are the paper's. Its own rate, 1e-4, critic steps, 5, and width, 64 (which at 64 x 64
    pixels gives its network), are meant for 100,000 steps on a GPU; the defaults are for some thousands on a processor.

    Reference: Gulrajani et al. 2017 (arXiv 1704.00028), eq. 3 and algorithm 1; Miyato, Koyama 2018 (arXiv 1802.05637),
    section 3 for the label.

    Example:
        >>> import augury
        >>> sampler = WGANGP(steps=2, batch=8, width=4).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "wgan_gp"
    summary: ClassVar[str] = "conditional Wasserstein GAN with gradient penalty, residual networks"
    steps: int = Field(default=2000, ge=1, description="steps of the generator")
    batch: int = Field(default=64, ge=2, description="images per step")
    rate: float = Field(default=1e-3, gt=0, le=1, description="learning rate of Adam")
    latent: int = Field(default=128, ge=1, le=4096, description="size of the code")
    width: int = Field(default=16, ge=1, le=512, description="channels at the images' size, doubled at each halving")
    game: Game = Field(
        default=Game(loss="wasserstein", gradient_penalty=10.0, critic_steps=2, beta1=0.0, beta2=0.9),
        description="how the players are set against each other",
    )

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and critic."""
        generator = ResidualGenerator(shape, classes, self.latent, self.width)
        return generator, ResidualCritic(shape, classes, width=self.width)
