"""A fully connected conditional variational autoencoder: encoder and decoder, both told the class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConditionalVAE(nn.Module):
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
        self.encoder = _perceptron([pixels + classes, *hidden, 2 * latent])
        self.decoder = _perceptron([latent + classes, *reversed(hidden), pixels])

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) and (B,) to mean and log-variance, each (B, latent)."""
        mean, log_variance = self.encoder(self._told(images.flatten(1), labels)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to logits of the pixels, (B, C, H, W)."""
        pixels: Tensor = self.decoder(self._told(codes, labels))
        return pixels.view(-1, *self.shape)

    def _told(self, values: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([values, F.one_hot(labels, self.classes).to(values.dtype)], dim=1)


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for incoming, outgoing in pairwise(widths):
        layers += [nn.Linear(incoming, outgoing), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
