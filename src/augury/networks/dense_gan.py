"""The networks of the GAN that starts from one large dense layer: two doublings up, two halvings down."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from augury.networks.convgan import SLOPE, start_map, told, with_planes

DOUBLINGS = 2  # and halvings, at any size


class DenseGenerator(nn.Module):
    """Code -> dense `width` maps -> two transposed convolutions k4 s2, 2 * width filters -> convolution k7 -> sigmoid.

    LeakyReLU between them, no batch norm. The start map has a quarter of the image's sides, rounded up, and what is too
    much in the end is cropped: at (1, 256, 256) with 64 maps the dense layer has 64 * 64 * 64 = 262,144 units.

    Args:
        shape: (C, H, W).
        classes: K, or 0 for a network that is not told the label; else the label is appended to the code.
        latent: Size of the code.
        width: Maps that the dense layer makes.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int = 100, width: int = 64) -> None:
        super().__init__()
        self.shape, self.classes, self.latent = shape, classes, latent
        self.start = (width, *start_map(*shape[1:], DOUBLINGS))
        self.dense = nn.Linear(latent + classes, math.prod(self.start))
        self.layers = nn.Sequential(
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.ConvTranspose2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.ConvTranspose2d(2 * width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
            # with stride 1 a transposed convolution is a convolution with its kernel mirrored; with so few channels to
            # make it takes half the time on a CPU
            nn.ConvTranspose2d(2 * width, shape[0], 7, 1, 3),
        )
        initialise(self, nn.init.xavier_uniform_)  # Glorot & Bengio 2010, eq. 16: it begins with nearly grey images

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to images in -1..1, (B, C, H, W)."""
        logits = self.layers(self.dense(told(codes, labels, self.classes)).view(-1, *self.start))
        return 2 * torch.sigmoid(logits[:, :, : self.shape[1], : self.shape[2]]) - 1


class DenseDiscriminator(nn.Module):
    """Image -> two convolutions k3 s2, each with LeakyReLU and dropout -> dense.

    Args:
        shape: (C, H, W).
        classes: K, or 0 for a network that is not told the label; else one plane per class is appended to the image.
        outputs: Columns of the output; the first is the score.
        width: Filters of both convolutions.
        dropout: Share of features that are left out in training.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, outputs: int = 1, width: int = 64, dropout: float = 0.4
    ) -> None:
        super().__init__()
        self.classes = classes
        layers: list[nn.Module] = []
        for incoming in (shape[0] + classes, width):
            layers += [nn.Conv2d(incoming, width, 3, 2, 1), nn.LeakyReLU(SLOPE, inplace=True), nn.Dropout(dropout)]
        last = nn.Linear(width * math.prod(start_map(*shape[1:], DOUBLINGS)), outputs)
        self.layers = nn.Sequential(*layers, nn.Flatten(), last)
        # He et al. 2015, eq. 15: the signal keeps its variance, and the scores tell images apart from the first step on
        initialise(self, partial(nn.init.kaiming_normal_, a=SLOPE))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B,) to (B, outputs)."""
        outputs: Tensor = self.layers(with_planes(images, labels, self.classes))
        return outputs


def initialise(network: nn.Module, law: Callable[[Tensor], Tensor]) -> None:
    """Draw all weights from a law and begin with biases of 0: without batch norm, the first scale of a signal stays."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            law(module.weight)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
