"""Conditional variational autoencoders: encoder and decoder, both told the class; fully connected or convolutional."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from augury.networks.convgan import SLOPE, doublings, start_map, told, with_planes
from augury.networks.mlp import perceptron

WIDEST = 8  # channels of the smallest maps, in units of those of the largest


class VAE(nn.Module, ABC):
    """What both forms have in common: codes of `latent` numbers, and images that are means of the pixels."""

    latent: int

    @abstractmethod
    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) and (B,) to mean and log-variance, each (B, latent)."""

    @abstractmethod
    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to logits of the pixels, (B, C, H, W)."""

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map codes (B, latent) and (B,) to images in -1..1, (B, C, H, W): the means of the pixels."""
        return 2 * torch.sigmoid(self.decode(codes, labels)) - 1


class ConditionalVAE(VAE):
    """Encoder C*H*W + K -> hidden -> mean and log-variance; decoder latent + K -> hidden reversed -> C*H*W.

    Args:
        shape: (C, H, W).
        classes: K.
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse.
        latent: Size of the latent code.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, hidden: Sequence[int], latent: int) -> None:
        super().__init__()
        self.shape, self.classes, self.latent = shape, classes, latent
        pixels = math.prod(shape)
        self.encoder = perceptron([pixels + classes, *hidden, 2 * latent])
        self.decoder = perceptron([latent + classes, *reversed(hidden), pixels])

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) and (B,) to mean and log-variance, each (B, latent)."""
        mean, log_variance = self.encoder(told(images.flatten(1), labels, self.classes)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to logits of the pixels, (B, C, H, W)."""
        pixels: Tensor = self.decoder(told(codes, labels, self.classes))
        return pixels.view(-1, *self.shape)


class ConvConditionalVAE(VAE):
    """The same with convolutions: the encoder sees the label as planes, the decoder has it appended to its code.

    Args:
        shape: (C, H, W), sides of 8 or more.
        classes: K.
        width: Channels at half the size; twice as many at each halving, at most `WIDEST` times as many.
        latent: Size of the latent code.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, latent: int) -> None:
        super().__init__()
        self.shape, self.classes, self.latent = shape, classes, latent
        self.encoder = conv_encoder((shape[0] + classes, *shape[1:]), width, 2 * latent)
        self.decoder = ConvDecoder(latent + classes, width, shape)

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) and (B,) to mean and log-variance, each (B, latent)."""
        mean, log_variance = self.encoder(with_planes(images, labels, self.classes)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to logits of the pixels, (B, C, H, W)."""
        pixels: Tensor = self.decoder(told(codes, labels, self.classes))
        return pixels


def conv_encoder(shape: tuple[int, int, int], width: int, outputs: int) -> nn.Sequential:
    """Return halvings by convolutions k3 s2 p1, each with batch norm and LeakyReLU, and a linear layer to the outputs.

    Args:
        shape: (C, H, W) of what comes in.
        width: Channels after the first halving.
        outputs: Numbers that come out.
    """
    n = doublings(*shape[1:])
    layers: list[nn.Module] = []
    for incoming, outgoing in pairwise([shape[0], *_widths(width, n)]):
        layers += [nn.Conv2d(incoming, outgoing, 3, 2, 1), *_normed(outgoing)]
    smallest = _widths(width, n)[-1] * math.prod(start_map(*shape[1:], n))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(smallest, outputs))


class ConvDecoder(nn.Module):
    """Numbers -> small map -> doublings by transposed convolutions k4 s2 p1 -> a convolution k3 to the channels.

    Where the doublings go beyond the image, its middle is cut out.

    Args:
        inputs: Numbers that come in.
        width: Channels at half the size, twice as many at each smaller one, half as many at full size.
        shape: (C, H, W) of what comes out.
    """

    def __init__(self, inputs: int, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape
        n = doublings(*shape[1:])
        widths, start = [*reversed(_widths(width, n)), max(width // 2, 1)], start_map(*shape[1:], n)
        layers: list[nn.Module] = [
            nn.Linear(inputs, widths[0] * math.prod(start)),
            nn.Unflatten(1, (widths[0], *start)),
        ]
        layers += _normed(widths[0])
        for incoming, outgoing in pairwise(widths):
            layers += [nn.ConvTranspose2d(incoming, outgoing, 4, 2, 1), *_normed(outgoing)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], shape[0], 3, 1, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """Map (B, inputs) to (B, C, H, W), any numbers."""
        pixels: Tensor = self.layers(codes)
        top, left = ((made - wanted) // 2 for made, wanted in zip(pixels.shape[2:], self.shape[1:], strict=True))
        return pixels[:, :, top : top + self.shape[1], left : left + self.shape[2]]


def _widths(width: int, n: int) -> list[int]:
    return [width * min(2**i, WIDEST) for i in range(n)]


def _normed(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE)]
