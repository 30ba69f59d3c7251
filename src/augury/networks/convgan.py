"""DCGAN's networks: transposed convolutions from a code to an image, strided ones from an image to a score."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of LeakyReLU, in all of these networks


def doublings(height: int, width: int, least: int = 4) -> int:
    """Return how often the sides of a small map are doubled to reach an image, at least once.

    Example:
        >>> doublings(32, 32), doublings(28, 28), doublings(112, 112), doublings(9, 13)
        (3, 2, 4, 1)
    """
    n = 1
    while min(height, width) / 2 ** (n + 1) >= least:
        n += 1
    return n


def start_map(height: int, width: int, n: int) -> tuple[int, int]:
    """Return the sides of the map that n doublings bring to an image or, where they do not fit, a little beyond it."""
    return math.ceil(height / 2**n), math.ceil(width / 2**n)


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Return labels as 0 and 1, (B, classes), in the type of another tensor."""
    return F.one_hot(labels, classes).to(like.dtype)


def told(values: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Append the label to rows of numbers, 1 in the column of its class: (B, D + classes)."""
    return torch.cat([values, one_hot(labels, classes, values)], dim=1) if classes else values


def with_planes(images: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Append one plane per class to images, 1 for their own class: (B, C + classes, H, W)."""
    if not classes:
        return images
    planes = one_hot(labels, classes, images)[:, :, None, None].expand(-1, -1, *images.shape[-2:])
    return torch.cat([images, planes], dim=1)


class DCGANGenerator(nn.Module):
    """Code -> small map -> doublings by transposed convolutions k4 s2 p1 -> tanh.

    Every convolution but the last is followed by batch norm and ReLU; none has a bias. At (3, 32, 32) with width 32 it
    is 100 -> 128 -> 64 -> 32 -> 3. With classes, the label is appended to the code.

    Args:
        shape: (C, H, W).
        classes: K, or 0 for a network that is not told the label.
        latent: Size of the code.
        width: Channels before the last convolution; each earlier one has twice as many.

    Reference: Radford et al. 2016 (arXiv 1511.06434), section 3.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int = 100, width: int = 32) -> None:
        super().__init__()
        self.shape, self.classes, self.latent = shape, classes, latent
        n = doublings(*shape[1:])
        widths = [width * 2**i for i in reversed(range(n))]
        start = start_map(*shape[1:], n)
        layers = [nn.ConvTranspose2d(latent + classes, widths[0], start, bias=False), *_normed(widths[0])]
        for incoming, outgoing in pairwise(widths):
            layers += [nn.ConvTranspose2d(incoming, outgoing, 4, 2, 1, bias=False), *_normed(outgoing)]
        layers += [nn.ConvTranspose2d(widths[-1], shape[0], 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to images in -1..1, (B, C, H, W)."""
        images: Tensor = self.layers(told(codes, labels, self.classes)[:, :, None, None])
        return images[:, :, : self.shape[1], : self.shape[2]]


class DCGANDiscriminator(nn.Module):
    """Image -> halvings by convolutions k4 s2 p1 -> one convolution over the rest of the map -> outputs.

    Batch norm and LeakyReLU after each but the last, also after the first; no bias. With classes, one plane per class
    joins the image.

    Args:
        shape: (C, H, W).
        classes: K, or 0 for a network that is not told the label.
        outputs: Columns of the output; the first is the score.
        width: Channels of the first convolution; each later one has twice as many.
        norm: Whether there is batch norm; a gradient penalty needs a network without.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, outputs: int = 1, width: int = 32, *, norm: bool = True
    ) -> None:
        super().__init__()
        self.classes = classes
        n = doublings(*shape[1:])
        widths = [shape[0] + classes, *(width * 2**i for i in range(n))]
        layers: list[nn.Module] = []
        for incoming, outgoing in pairwise(widths):
            after = [nn.BatchNorm2d(outgoing)] if norm else []
            layers += [nn.Conv2d(incoming, outgoing, 4, 2, 1, bias=False), *after, nn.LeakyReLU(SLOPE)]
        rest = (shape[1] // 2**n, shape[2] // 2**n)
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], outputs, rest, bias=False))
        initialise(self)
        if not norm:
            for_no_norm(self)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B,) to (B, outputs)."""
        outputs: Tensor = self.layers(with_planes(images, labels, self.classes))
        return outputs.flatten(1)


def _normed(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()]


def initialise(network: nn.Module) -> None:
    """Draw convolutions from N(0, .02) and scales of batch norm from N(1, .02): Radford et al. 2016, section 4."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


def for_no_norm(network: nn.Module) -> None:
    """Draw the convolutions of a network without norm so that every layer keeps the size of its input.

    DCGAN's own start, N(0, .02), relies on batch norm: without it a critic's scores are near 0 for hundreds of steps.

    Reference: He et al. 2015 (arXiv 1502.01852), eq. 15, for LeakyReLU.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, SLOPE)
