"""Networks that enlarge images, the reduction they undo, and published ones from a file.

All map (B, C, h, w) in -1..1 to (B, C, factor * h, factor * w). They enlarge whole images: an image whose sides are no
multiple of the factor was padded below and to the right before it was reduced, and the rest is cut off again.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.errors import DataError, SettingsError
from augury.networks.weights import need

SLOPE = 0.2  # of LeakyReLU, as in ESRGAN
RESIDUAL = 0.2  # what a block adds counts this much, as in ESRGAN: deep ones stay stable without batch norm


def reduced(images: Tensor, factor: int) -> Tensor:
    """Average over squares of factor x factor pixels; the last row and column are repeated where one is not full.

    Args:
        images: float (B, C, H, W).
        factor: Side of the squares, pixels.

    Returns:
        The same type, (B, C, ceil(H / factor), ceil(W / factor)).

    Example:
        >>> reduced(torch.tensor([[[[1.0, 3.0, 5.0]]]]), 2).flatten().tolist()
        [2.0, 5.0]
    """
    H, W = images.shape[-2:]
    padded = F.pad(images, (0, -W % factor, 0, -H % factor), mode="replicate")
    return F.avg_pool2d(padded, factor)


class Bicubic(nn.Module):
    """Bicubic interpolation, nothing learned.

    Reference: Keys 1981, with a = -0.75; pixels are squares (corners are not aligned), as `reduced` takes them.

    Example:
        >>> Bicubic(2)(torch.zeros(1, 1, 4, 6)).shape
        torch.Size([1, 1, 8, 12])
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        """Enlarge (B, C, h, w); values can leave the range of the images."""
        return F.interpolate(images, scale_factor=self.factor, mode="bicubic")


class ResidualEnlarger(nn.Module):
    """Adds detail to bicubic interpolation: convolution, residual blocks, one pixel shuffle per doubling, convolution.

    ESRGAN's plan without its dense connections, and with far fewer weights: no batch norm, LeakyReLU, scaled residuals.
    The last layer starts at 0, so that training starts from bicubic interpolation itself.

    Args:
        channels: C.
        factor: 2 or 4.
        width: Channels inside.
        blocks: Residual blocks.

    Reference: Wang et al. 2018 (arXiv 1809.00219), section 3.1; pixel shuffle: Shi et al. 2016 (arXiv 1609.05158).

    Example:
        >>> images = torch.rand(1, 3, 8, 8)
        >>> bool((ResidualEnlarger(3, 4, width=8, blocks=1)(images) == Bicubic(4)(images)).all())
        True
    """

    def __init__(self, channels: int, factor: int, *, width: int, blocks: int) -> None:
        super().__init__()
        self.bicubic = Bicubic(factor)
        self.first = _conv(channels, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(_conv(width, width), nn.LeakyReLU(SLOPE, inplace=True), _conv(width, width))
            for _ in range(blocks)
        )
        doublings = round(math.log2(factor))
        self.grow = nn.Sequential(*(layer for _ in range(doublings) for layer in _doubling(width)))
        self.last = _conv(width, channels)
        nn.init.zeros_(self.last.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Enlarge (B, C, h, w)."""
        first = maps = self.first(images)
        for block in self.blocks:
            maps = maps + RESIDUAL * block(maps)
        enlarged: Tensor = self.bicubic(images) + self.last(self.grow(first + maps))
        return enlarged


def _conv(incoming: int, outgoing: int) -> nn.Conv2d:
    layer = nn.Conv2d(incoming, outgoing, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _doubling(width: int) -> tuple[nn.Module, ...]:
    return _conv(width, 4 * width), nn.PixelShuffle(2), nn.LeakyReLU(SLOPE, inplace=True)


class PublishedEnlarger(nn.Module):
    """A published super-resolution network, as spandrel makes it from its weights: ESRGAN, Real-ESRGAN and others.

    Grey images are shown to a network for colour images as three equal channels, of which the mean is taken.

    Args:
        weights: A state dict.
        name: Where it comes from, for messages.
        factor: By how much it has to enlarge.
        channels: C of the images.

    Raises:
        DataError: If spandrel knows no network with these weights.
        SettingsError: If the network enlarges by another factor or takes no such images, or spandrel is missing.

    Reference: Wang et al. 2018 (arXiv 1809.00219).
    """

    def __init__(self, weights: Mapping[str, Any], name: str, factor: int, channels: int) -> None:
        super().__init__()
        # not a part of this module: it holds the network, and knows which sides the network takes
        self.described = _described(weights, name)
        if self.described.scale != factor:
            raise SettingsError(
                f"the network in {name} enlarges by a factor of {self.described.scale}. Got factor = {factor}: "
                "set it to the network's, or take other weights."
            )
        if self.described.input_channels not in (3, channels):
            raise SettingsError(f"the network in {name} takes grey images. Got {channels} channels: use other weights.")
        self.network = self.described.model

    def forward(self, images: Tensor) -> Tensor:
        """Enlarge (B, C, h, w), one image after the other: these networks fill the memory."""
        C, taken = images.shape[1], self.described.input_channels
        shown = ((images + 1) / 2).clamp(0, 1)
        enlarged = torch.cat([self.described(image[None].expand(1, taken, -1, -1)) for image in shown])
        return 2 * (enlarged if taken == C else enlarged.mean(1, keepdim=True)) - 1


def _described(weights: Mapping[str, Any], name: str) -> Any:
    need("superres", "spandrel")
    spandrel = importlib.import_module("spandrel")
    try:
        described = spandrel.ModelLoader().load_from_state_dict(dict(weights))
    except (spandrel.UnsupportedModelError, RuntimeError, KeyError, ValueError):
        described = None
    if not isinstance(described, spandrel.ImageModelDescriptor) or described.purpose != "SR":
        raise DataError(f"{name} holds no super-resolution network that spandrel knows. Use the weights of an ESRGAN.")
    return described
