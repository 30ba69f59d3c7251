"""The generator of DAGAN: a small U-Net from a real image and noise to another image of the same class."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.networks.convgan import SLOPE, doublings

NEARLY = 0.98  # of black and white are within reach of tanh
NOISE_MAPS = 8  # feature maps that the noise adds at each level


class DAGANGenerator(nn.Module):
    """Halve the image n times, join the noise, and double again with skip connections.

    It is not told the class: the class is what source and output have in common, and a class of which there are
    few images borrows from the others what may differ between two images of one class.

    The noise is projected to `NOISE_MAPS` maps and joined at the smallest map and at every larger one but the
    full size. Maps are enlarged to the size of their skip connection, so that odd sizes come out as they went in.
    The outermost skip connection adds the source itself to the output, before the tanh: at first an image is its
    source, changed at random, and the critic has to drive it away from there.

    A code is a source image and noise in one row, (B, latent) with latent = C * H * W + noise.

    Args:
        shape: (C, H, W), sides of 8 or more.
        noise: Size of the noise.
        width: Channels at full size; twice as many at each halving, at most eight times as many.

    Reference: Antoniou, Storkey, Edwards 2017 (arXiv 1711.04340), section 3 and figure 3.
    """

    def __init__(self, shape: tuple[int, int, int], noise: int, width: int) -> None:
        super().__init__()
        C, H, W = shape
        self.shape, self.noise, self.latent = shape, noise, math.prod(shape) + noise
        n = doublings(H, W)
        widths = [width * min(2**level, 8) for level in range(n + 1)]
        extra = [0, *[NOISE_MAPS] * n]
        self.stem = nn.Sequential(nn.Conv2d(C, width, 3, padding=1), nn.LeakyReLU(SLOPE))
        self.down = nn.ModuleList(_block(*pair, kernel=4, stride=2) for pair in pairwise(widths))
        self.project = nn.ModuleList(_noise(noise, (H >> level, W >> level)) for level in range(1, n + 1))
        self.bottom = _block(widths[n] + NOISE_MAPS, widths[n])
        self.up = nn.ModuleList(_block(widths[i + 1] + widths[i] + extra[i], widths[i]) for i in range(n))
        self.last = nn.Conv2d(width, C, 3, padding=1)

    def code(self, sources: Tensor, noise: Tensor) -> Tensor:
        """Join source images (B, C, H, W) in -1..1 and noise (B, noise) to codes (B, latent)."""
        return torch.cat([sources.flatten(1), noise], dim=1)

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map codes (B, latent) to images in -1..1, (B, C, H, W); the labels (B,) are those of the sources."""
        pixels, noise = codes[:, : -self.noise], codes[:, -self.noise :]
        sources = pixels.unflatten(1, self.shape)
        maps = [self.stem(sources.contiguous(memory_format=torch.channels_last))]
        for down in self.down:
            maps.append(down(maps[-1]))
        made = self.bottom(torch.cat([maps[-1], self.project[-1](noise)], dim=1))
        for level in reversed(range(len(self.up))):
            joined = [F.interpolate(made, size=maps[level].shape[-2:]), maps[level]]
            if level:
                joined.append(self.project[level - 1](noise))
            made = self.up[level](torch.cat(joined, dim=1))
        start = torch.atanh(NEARLY * sources)
        return torch.tanh(self.last(made) + start)


def _block(incoming: int, outgoing: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(incoming, outgoing, kernel, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outgoing), nn.LeakyReLU(SLOPE))


def _noise(noise: int, size: tuple[int, int]) -> nn.Sequential:
    H, W = size
    return nn.Sequential(nn.Linear(noise, NOISE_MAPS * H * W), nn.Unflatten(1, (NOISE_MAPS, H, W)))
