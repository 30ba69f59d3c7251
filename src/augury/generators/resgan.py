"""`resgan`: a residual conditional GAN that is built for few images."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from augury.generators.adversarial import GAN, Game
from augury.networks.resgan import ResidualCritic, ResidualGenerator


class ResGAN(GAN):
    """Residual networks with the label by projection, under four remedies for a discriminator that learns by heart.

    It sees all images through random changes (DiffAugment), its layers have spectral norm 1, its scores are kept near
    each other (LeCam), and images are drawn from the mean of the generator's weights. No operator is compiled.

    Reference: Miyato, Koyama 2018 (arXiv 1802.05637), section 3 and figure 14, hinge loss; Zhao et al. 2020 (arXiv
    2006.10738); Tseng et al. 2021 (arXiv 2104.03310), eq. 3 and 4; Brock et al. 2019 (arXiv 1809.11096) for the mean
    of the weights.

    Example:
        >>> import augury
        >>> sampler = ResGAN(steps=2, batch=8, width=4).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "resgan"
    summary: ClassVar[str] = "residual conditional GAN for few images: projection, hinge, DiffAugment, LeCam"
    steps: int = Field(default=3000, ge=1, description="steps of the generator")
    batch: int = Field(default=64, ge=2, description="images per step")
    rate: float = Field(default=4e-4, gt=0, le=1, description="learning rate of Adam")
    rate_discriminator: float = Field(default=8e-4, ge=0, le=1, description="its learning rate; 0: the generator's")
    latent: int = Field(default=128, ge=1, le=4096, description="size of the code")
    width: int = Field(default=24, ge=1, le=512, description="channels at the images' size, doubled at each halving")
    average: float = Field(
        default=0.998, ge=0, lt=1, description="decay of the mean of the generator's weights; 0: the last weights"
    )
    game: Game = Field(
        default=Game(
            loss="hinge", lecam=0.3, spectral_norm=True, diffaugment=("shift", "erase"), beta1=0.0, beta2=0.99
        ),
        description="how the players are set against each other",
    )

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator."""
        generator = ResidualGenerator(shape, classes, self.latent, self.width)
        return generator, ResidualCritic(shape, classes, width=self.width)
