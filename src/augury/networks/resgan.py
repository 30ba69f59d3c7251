"""Residual generator and critic: blocks that double or halve the map, conditional batch norm, label by projection."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.networks.convgan import doublings, start_map


class ResidualGenerator(nn.Module):
    """Code -> small map -> residual blocks that double it -> batch norm, ReLU, convolution, tanh.

    The last block has `width` channels, the one before twice as many, and so on. With width 64 and 64 x 64 pixels these
    are the maps of the paper's 64-pixel network: 512, 512, 256, 128, 64. The label enters every batch norm.

    Args:
        shape: (C, H, W), sides of 8 or more.
        classes: K, or 0 for a network that is not told the label.
        latent: Size of the code.
        width: Channels at full size.

    Reference: Gulrajani et al. 2017 (arXiv 1704.00028), appendix on the residual networks; Miyato, Koyama 2018 (arXiv
    1802.05637) for the label.

    Example:
        >>> network = ResidualGenerator((3, 28, 20), 7, width=4)
        >>> network(torch.randn(2, network.latent), torch.tensor([0, 6])).shape
        torch.Size([2, 3, 28, 20])
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int = 128, width: int = 64) -> None:
        super().__init__()
        self.shape, self.classes, self.latent = shape, classes, latent
        n = doublings(*shape[1:])
        widths = [width * 2 ** (n - 1), *(width * 2**i for i in reversed(range(n)))]
        self.start = (widths[0], *start_map(*shape[1:], n))
        self.dense = nn.Linear(latent, math.prod(self.start))
        self.blocks = nn.ModuleList(UpBlock(incoming, outgoing, classes) for incoming, outgoing in pairwise(widths))
        self.norm = ConditionalNorm(width, classes)
        self.last = nn.Conv2d(width, shape[0], 3, padding=1)
        initialise(self)

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to images in -1..1, (B, C, H, W)."""
        maps = self.dense(codes).view(-1, *self.start)
        for block in self.blocks:
            maps = block(maps, labels)
        maps = maps[:, :, : self.shape[1], : self.shape[2]]
        return torch.tanh(self.last(F.relu(self.norm(maps, labels))))


class ResidualCritic(nn.Module):
    """Residual blocks that halve the image, one that does not, ReLU, sum over the map -> outputs. No batch norm.

    With h the sum over the map, column 0 is the score linear(h) + <embedding(label), h>, further columns are linear(h).
    Without a norm each image has its own score, as a penalty on each image's gradient needs.

    Args:
        shape: (C, H, W), sides of 8 or more.
        classes: K, or 0 for a network that is not told the label.
        outputs: Columns of the output; the first is the score.
        width: Channels of the first block; each later one that halves has twice as many.
        projection: Whether the label enters the score. A network that has to tell the class must not be told it.

    Reference: Gulrajani et al. 2017 (arXiv 1704.00028), appendix on the residual networks; Miyato, Koyama 2018 (arXiv
    1802.05637), section 3 for the projection.

    Example:
        >>> ResidualCritic((1, 9, 13), 2, width=4)(torch.zeros(3, 1, 9, 13), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        outputs: int = 1,
        width: int = 64,
        *,
        projection: bool = True,
    ) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(doublings(*shape[1:]))]
        down = (DownBlock(incoming, outgoing) for incoming, outgoing in pairwise(widths))
        first, last = DownBlock(shape[0], width, first=True), DownBlock(widths[-1], widths[-1], halve=False)
        self.body = nn.Sequential(first, *down, last)
        self.heads = nn.Linear(widths[-1], outputs)
        self.embedding = nn.Embedding(classes, widths[-1]) if projection and classes else None
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B,) to (B, outputs)."""
        features = F.relu(self.body(images)).sum((2, 3))
        outputs: Tensor = self.heads(features)
        if self.embedding is None:
            return outputs
        told = (self.embedding(labels) * features).sum(1, keepdim=True)
        return torch.cat([outputs[:, :1] + told, outputs[:, 1:]], dim=1)


class ConditionalNorm(nn.Module):
    """Batch norm whose scale and shift belong to the class; they begin as 1 and 0.

    Args:
        channels: Channels of the maps.
        classes: K, or 0 for one scale and shift for all.

    Reference: Dumoulin et al. 2017 (arXiv 1610.07629), with batch in place of instance normalisation.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not classes)
        self.told = nn.Embedding(classes, 2 * channels) if classes else None
        if self.told is not None:
            nn.init.ones_(self.told.weight[:, :channels])
            nn.init.zeros_(self.told.weight[:, channels:])

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B,) to (B, C, H, W)."""
        normed: Tensor = self.norm(maps)
        if self.told is None:
            return normed
        scale, shift = self.told(labels)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, normed, scale)


class DoublingConv(nn.Conv2d):
    """Nearest-neighbour doubling and a 3 x 3 convolution, as one transposed 4 x 4 one with 4/9 of the work."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', 2H, 2W)."""
        kernel = 4 * _widened(self.weight).flip(2, 3).transpose(0, 1)
        return F.conv_transpose2d(maps, kernel, self.bias, stride=2, padding=1)


class HalvingConv(nn.Conv2d):
    """A 3 x 3 convolution and the mean of each 2 x 2 pixels, as one 4 x 4 convolution with 4/9 of the work."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H // 2, W // 2)."""
        return F.conv2d(maps, _widened(self.weight), self.bias, stride=2, padding=1)


def _widened(kernel: Tensor) -> Tensor:
    """Return the 4 x 4 kernel that is a 3 x 3 kernel followed by the mean of 2 x 2 pixels."""
    return F.avg_pool2d(kernel, 2, stride=1, padding=1)


class UpBlock(nn.Module):
    """Norm, ReLU, doubling, convolution, norm, ReLU, convolution; beside it doubling and a 1 x 1 convolution."""

    def __init__(self, incoming: int, outgoing: int, classes: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalNorm(incoming, classes), ConditionalNorm(outgoing, classes)
        self.conv1 = DoublingConv(incoming, outgoing, 3)
        self.conv2 = nn.Conv2d(outgoing, outgoing, 3, padding=1)
        self.shortcut = nn.Conv2d(incoming, outgoing, 1)

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B,) to (B, C', 2H, 2W)."""
        residual: Tensor = self.conv1(F.relu(self.norm1(maps, labels)))
        residual = self.conv2(F.relu(self.norm2(residual, labels)))
        # doubled last: a 1 x 1 convolution of the small map is the same, and a quarter of the work
        shortcut: Tensor = F.interpolate(self.shortcut(maps), scale_factor=2.0)
        return residual + shortcut


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, mean of 2 x 2 pixels; beside it that mean and a 1 x 1 convolution.

    Args:
        incoming: Channels of the maps.
        outgoing: Channels of the result.
        first: Whether the maps are the image: a ReLU would cut away all that is dark, and is left out.
        halve: Whether there are means; without, there must be as many channels as before.
    """

    def __init__(self, incoming: int, outgoing: int, *, first: bool = False, halve: bool = True) -> None:
        super().__init__()
        self.start = nn.Identity() if first else nn.ReLU()
        self.conv1 = nn.Conv2d(incoming, outgoing, 3, padding=1)
        self.conv2 = HalvingConv(outgoing, outgoing, 3) if halve else nn.Conv2d(outgoing, outgoing, 3, padding=1)
        self.shortcut = nn.Sequential(*([nn.AvgPool2d(2), nn.Conv2d(incoming, outgoing, 1)] if halve else []))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H // 2, W // 2), or to its own size."""
        residual: Tensor = self.conv2(F.relu(self.conv1(self.start(maps))))
        shortcut: Tensor = self.shortcut(maps)
        return residual + shortcut


def initialise(network: nn.Module) -> None:
    """Draw weights by Glorot and Bengio's rule, with gain sqrt(2) before a ReLU, as Miyato and Koyama do; biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            follows_relu = isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
            nn.init.xavier_uniform_(module.weight, math.sqrt(2) if follows_relu else 1.0)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
