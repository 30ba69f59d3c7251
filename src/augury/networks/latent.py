"""An autoencoder whose code is a small image, and the U-Net that works on such codes, as one network."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.networks.published_codes import PublishedCodes
from augury.networks.resgan import DoublingConv
from augury.networks.unet import UNet, groups

DEVIATION = 0.5  # standard deviation that codes are brought to: that of images in -1..1


class CodeImages(nn.Module):
    """An autoencoder from images to images of a quarter or an eighth of the side, and back.

    Pixels are taken in squares of 2 x 2, then maps are halved; the code is a mean and a variance at every place. Images
    whose sides do not fit are continued at their edge, and the rest is cut off again.

    Args:
        shape: (C, H, W).
        factor: 4 or 8, the image's side by the code's.
        channels: Channels of the code.
        width: Channels of the largest maps; twice as many after each halving.

    Reference: Rombach et al. 2022 (arXiv 2112.10752), section 3.1, without its perceptual and adversarial losses.

    Example:
        >>> network = CodeImages((1, 30, 20), factor=4, channels=3, width=16)
        >>> mean, log_variance = network.encode(torch.zeros(2, 1, 30, 20))
        >>> mean.shape, network.decode(mean).shape
        (torch.Size([2, 3, 8, 5]), torch.Size([2, 1, 30, 20]))
    """

    def __init__(self, shape: tuple[int, int, int], *, factor: int, channels: int, width: int) -> None:
        super().__init__()
        C, H, W = shape
        self.shape, self.factor = shape, factor
        self.code_shape = (channels, math.ceil(H / factor), math.ceil(W / factor))
        widths = [width * 2**i for i in range(int(math.log2(factor)))]
        down: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(4 * C, width, 3, padding=1), Residual(width)]
        for narrow, wide in pairwise(widths):
            down += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), Residual(wide)]
        up: list[nn.Module] = [nn.Conv2d(channels, widths[-1], 3, padding=1), Residual(widths[-1])]
        for narrow, wide in reversed(list(pairwise(widths))):
            up += [Residual(wide), DoublingConv(wide, narrow, 3)]
        up += [Residual(width), Residual(width)]
        self.encoder = nn.Sequential(*down, *_last(widths[-1], 2 * channels))
        self.decoder = nn.Sequential(*up, *_last(width, 4 * C), nn.PixelShuffle(2))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to mean and log-variance, each (B, channels, h, w)."""
        H, W = images.shape[-2:]
        fitted = F.pad(images, (0, -W % self.factor, 0, -H % self.factor), mode="replicate")
        mean, log_variance = self.encoder(fitted).chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def decode(self, codes: Tensor) -> Tensor:
        """Map (B, channels, h, w) to images of about -1..1, (B, C, H, W)."""
        images: Tensor = self.decoder(codes)
        return images[:, :, : self.shape[1], : self.shape[2]]


class Residual(nn.Module):
    """Norm, SiLU, convolution, twice; beside it the maps as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.GroupNorm(groups(channels), channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, channels, h, w) to the same shape."""
        added: Tensor = maps + self.layers(maps)
        return added


def _last(incoming: int, outgoing: int) -> list[nn.Module]:
    return [nn.GroupNorm(groups(incoming), incoming), nn.SiLU(), nn.Conv2d(incoming, outgoing, 3, padding=1)]


class LatentNetwork(nn.Module):
    """A U-Net on codes, and the autoencoder that they come from; codes are brought to mean 0 and one deviation.

    Args:
        autoencoder: From images to codes and back.
        unet: Works on the codes.
    """

    def __init__(self, autoencoder: CodeImages | PublishedCodes, unet: UNet) -> None:
        super().__init__()
        self.autoencoder, self.unet = autoencoder, unet
        self.shape, self.classes = unet.shape, unet.classes
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(1, unet.shape[0], 1, 1))
        self.register_buffer("scale", torch.ones(1, unet.shape[0], 1, 1))

    def forward(self, noisy: Tensor, noise: Tensor, labels: Tensor, told: Tensor | None = None) -> Tensor:
        """Ask the U-Net about noisy codes."""
        said: Tensor = self.unet(noisy, noise, labels, told)
        return said

    def standardise(self, codes: Tensor) -> None:
        """Take mean and deviation of each channel from codes (N, channels, h, w)."""
        self.mean.copy_(codes.mean((0, 2, 3), keepdim=True))
        self.scale.copy_(DEVIATION / codes.std((0, 2, 3), keepdim=True).clamp(min=1e-6))

    def encode(self, images: Tensor) -> Tensor:
        """Map images to standardised codes."""
        return (self.autoencoder.encode(images)[0].float() - self.mean) * self.scale

    def decode(self, codes: Tensor) -> Tensor:
        """Map standardised codes to images."""
        return self.autoencoder.decode(codes / self.scale + self.mean)
