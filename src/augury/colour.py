"""Photometric operations on batches, each image at its own strength.

Images are float (B, C, H, W) in 0..1 with C = 1 or 3, strengths (B,) on the same device; what comes out is new and in
0..1. On 8-bit images every operation gives what torchvision's gives, up to rounding; the tests hold them together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # weights of R, G, B in brightness: ITU-R BT.601
LEVELS = 256


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend each image with black: 0 gives black, 1 the image, 2 twice its brightness.

    Example:
        >>> brightness(torch.full((1, 1, 8, 8), 0.4), torch.tensor([2.0]))[0, 0, 0, 0].item()
        0.800000011920929
    """
    return (images * _each(factors)).clamp_(0, 1)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend each image with its mean grey: 0 gives that grey, 1 the image.

    Example:
        >>> image = torch.tensor([0.25, 0.75]).view(1, 1, 1, 2)
        >>> contrast(image, torch.tensor([0.5])).flatten().tolist()
        [0.375, 0.625]
    """
    return _blend(_grey(images).mean((1, 2, 3), keepdim=True), images, factors)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blend each image with its own grey version: 0 gives that, 1 the image; a grey image stays as it is.

    Example:
        >>> grey = torch.rand(1, 1, 8, 8)
        >>> saturation(grey, torch.tensor([0.5])) is grey
        True
    """
    return images if images.shape[1] == 1 else _blend(_grey(images), images, factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend each image with a smoothed version: 0 gives that, 1 the image, 2 sharpens.

    The filter is 3 x 3, weight 5 in the middle and 1 around it, over 13; the outermost pixels are left as they are.

    Example:
        >>> flat = torch.full((1, 1, 8, 8), 0.5)
        >>> bool(torch.allclose(sharpness(flat, torch.tensor([2.0])), flat))
        True
    """
    channels = images.shape[1]
    kernel = torch.ones(channels, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel / 13, groups=channels)
    return _blend(smooth, images, factors)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest 1 to 8 of the 8 bits of every value.

    Example:
        >>> bands = posterize(torch.linspace(0, 1, 256).view(1, 1, 16, 16), torch.tensor([2.0]))
        >>> len(bands.unique())
        4
    """
    width = _each(2 ** (8 - bits))
    return _levels(images).div_(width).floor_().mul_(width).div_(LEVELS - 1)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert every value from a threshold on; a threshold above 1 changes nothing.

    Example:
        >>> solarize(torch.tensor([0.25, 0.75]).view(1, 1, 1, 2), torch.tensor([0.5])).flatten().tolist()
        [0.25, 0.25]
    """
    return torch.where(images >= _each(thresholds), 1 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel of each image to 0..1; a constant channel stays as it is.

    Example:
        >>> autocontrast(torch.tensor([0.25, 0.5, 0.75]).view(1, 1, 1, 3)).flatten().tolist()
        [0.0, 0.5, 1.0]
    """
    lowest, highest = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    constant = lowest == highest
    return (images - lowest.masked_fill(constant, 0)) / (highest - lowest).masked_fill(constant, 1)


def equalize(images: Tensor) -> Tensor:
    """Give each channel of each image an even histogram of its 256 levels.

    Level v becomes (n(v) + s // 2) // s, where n(v) pixels are darker than v and s is the number of pixels per new
    level, of those that are not of the highest level; with s = 0 nothing is changed. All in whole numbers: the table
    is the one that Pillow and torchvision make.

    Example:
        >>> equalize(torch.tensor([0.4, 0.6]).repeat(512).view(1, 1, 32, 32)).unique().tolist()
        [0.0, 1.0]
    """
    levels = _levels(images).long().flatten(0, 1).flatten(1)
    counts = torch.zeros(len(levels), LEVELS, dtype=torch.long, device=images.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    highest = counts.gather(1, levels.amax(1, keepdim=True))
    step = (levels.shape[1] - highest) // (LEVELS - 1)
    even = (counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)
    unchanged = torch.arange(LEVELS, device=images.device).expand_as(even)
    table = torch.where(step > 0, even, unchanged).clamp(max=LEVELS - 1)
    return table.gather(1, levels).view(images.shape) / (LEVELS - 1)


def _levels(images: Tensor) -> Tensor:
    """Return the 8-bit levels, as whole floats."""
    return images.mul(LEVELS - 1).round_().clamp_(0, LEVELS - 1)


def _grey(images: Tensor) -> Tensor:
    """Return (B, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    grey: Tensor = (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
    return grey


def _blend(plain: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    return torch.lerp(plain.expand_as(images), images, _each(factors)).clamp_(0, 1)


def _each(strengths: Tensor) -> Tensor:
    """Shape one strength per image so that it stands against (B, C, H, W)."""
    return strengths.view(-1, 1, 1, 1)
