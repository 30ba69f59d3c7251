"""Fully connected networks: the two players of a conditional GAN, and the layers they share with others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from augury.networks.convgan import SLOPE, told

HIDDEN = (256, 512, 1024)


def perceptron(widths: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return linear layers of the given widths with an activation between each two: none after the last.

    Example:
        >>> [type(layer).__name__ for layer in perceptron([9, 5, 2])]
        ['Linear', 'ReLU', 'Linear']
    """
    layers: list[nn.Module] = []
    for incoming, outgoing in pairwise(widths):
        layers += [nn.Linear(incoming, outgoing), activation()]
    return nn.Sequential(*layers[:-1])


class MLPGenerator(nn.Module):
    """Code and label -> hidden layers with LeakyReLU -> tanh.

    Args:
        shape: (C, H, W).
        classes: K, or 0 for a network that is not told the label.
        latent: Size of the code.
        hidden: Widths of the hidden layers.

    Reference: Mirza, Osindero 2014 (arXiv 1411.1784), section 3.2.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, latent: int = 100, hidden: Sequence[int] = HIDDEN
    ) -> None:
        super().__init__()
        self.shape, self.classes, self.latent = shape, classes, latent
        self.layers = perceptron([latent + classes, *hidden, math.prod(shape)], leaky)

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to images in -1..1, (B, C, H, W)."""
        pixels: Tensor = self.layers(told(codes, labels, self.classes))
        return pixels.tanh().view(-1, *self.shape)


class MLPDiscriminator(nn.Module):
    """Image and label -> hidden layers with LeakyReLU and dropout -> outputs.

    Args:
        shape: (C, H, W).
        classes: K, or 0 for a network that is not told the label.
        outputs: Columns of the output; the first is the score.
        hidden: Widths of the hidden layers.
        dropout: Share of each hidden layer's values that are left out in training.

    Reference: Mirza, Osindero 2014 (arXiv 1411.1784), section 3.2; section 4.1 for dropout.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        outputs: int = 1,
        hidden: Sequence[int] = HIDDEN[::-1],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.classes = classes
        widths = [math.prod(shape) + classes, *hidden, outputs]
        self.layers = perceptron(widths, lambda: nn.Sequential(leaky(), nn.Dropout(dropout)) if dropout else leaky())

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B,) to the score and the other outputs, (B, outputs)."""
        outputs: Tensor = self.layers(told(images.flatten(1), labels, self.classes))
        return outputs


def leaky() -> nn.Module:
    """Return the activation of both players."""
    return nn.LeakyReLU(SLOPE)
