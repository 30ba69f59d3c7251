"""A conditional GAN of four transposed convolutions up and four convolutions down; both embed the label as a map."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from augury.networks.convgan import SLOPE, doublings, initialise, start_map

LAYERS = 4


class LoeyGenerator(nn.Module):
    """Code -> dense start maps, the embedded label as one of them -> four transposed convolutions -> tanh.

    The last of them double the sides (k4 s2 p1), as many as the image has room for; those before keep them (k3 s1 p1).
    Batch norm and ReLU after each but the last.

    Args:
        shape: (C, H, W).
        classes: K.
        latent: Size of the code.
        width: Channels before the last convolution; each earlier one has twice as many.

    Reference: Loey, Manogaran & Khalifa 2020 (doi 10.1007/s00521-020-05437-x): the four layers and the label.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int = 100, width: int = 32) -> None:
        super().__init__()
        self.shape, self.latent = shape, latent
        n = min(LAYERS, doublings(*shape[1:]))
        widths = [width * 2**i for i in reversed(range(LAYERS))]
        sides = start_map(*shape[1:], n)
        self.start = (widths[0] - 1, *sides)
        self.dense = nn.Linear(latent, math.prod(self.start))
        self.label_map = nn.Embedding(classes, math.prod(sides))
        layers: list[nn.Module] = []
        for i, (incoming, outgoing) in enumerate(pairwise([*widths, shape[0]])):
            kernel, stride = (4, 2) if i >= LAYERS - n else (3, 1)
            layers += [nn.ConvTranspose2d(incoming, outgoing, kernel, stride, 1), nn.BatchNorm2d(outgoing), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-2], nn.Tanh())
        initialise(self)

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to images in -1..1, (B, C, H, W)."""
        maps = self.dense(codes).view(-1, *self.start)
        told = self.label_map(labels).to(maps.dtype).view(-1, 1, *self.start[1:])
        images: Tensor = self.layers(torch.cat([maps, told], dim=1))
        return images[:, :, : self.shape[1], : self.shape[2]]


class LoeyDiscriminator(nn.Module):
    """Image, and the embedded label as one channel more -> four convolutions, the last over the rest of the map.

    The first of them halve the sides (k4 s2 p1), as many as the image has room for; the others keep them (k3 s1 p1).
    LeakyReLU after each but the last, batch norm after the second and the third.

    Args:
        shape: (C, H, W).
        classes: K.
        outputs: Columns of the output; the first is the score.
        width: Channels of the first convolution; each later one has twice as many.

    Reference: as `LoeyGenerator`.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, outputs: int = 1, width: int = 32) -> None:
        super().__init__()
        self.label_map = nn.Embedding(classes, shape[1] * shape[2])
        n = min(LAYERS - 1, doublings(*shape[1:]))
        layers: list[nn.Module] = []
        for i, (incoming, outgoing) in enumerate(pairwise([shape[0] + 1, *(width * 2**i for i in range(LAYERS - 1))])):
            kernel, stride = (4, 2) if i < n else (3, 1)
            after = [nn.BatchNorm2d(outgoing)] if i else []
            layers += [nn.Conv2d(incoming, outgoing, kernel, stride, 1), *after, nn.LeakyReLU(SLOPE)]
        rest = (shape[1] // 2**n, shape[2] // 2**n)
        self.layers = nn.Sequential(*layers, nn.Conv2d(width * 2 ** (LAYERS - 2), outputs, rest), nn.Flatten())
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B,) to (B, outputs)."""
        told = self.label_map(labels).to(images.dtype).view(-1, 1, *images.shape[-2:])
        outputs: Tensor = self.layers(torch.cat([images, told], dim=1))
        return outputs
