"""TrivialAugment and RandAugment of whole batches: images are grouped by operation, and each group is changed at once.

Random numbers come from torch's current generator on the CPU, so that one seed gives one augmentation on every device.
Strengths are continuous; what leaves the image is filled with its mirrored edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from augury.colour import autocontrast, brightness, contrast, equalize, posterize, saturation, sharpness, solarize

GEOMETRIC = ("shear_x", "shear_y", "shift_x", "shift_y", "rotate")


@dataclass(frozen=True)
class Strongest:
    """What strength 1 of each operation means.

    Attributes:
        shear: Pixels sideways per pixel.
        shift: Share of the side.
        rotate: Degrees.
        colour: Distance from 1 of the factor on brightness, contrast, saturation and sharpness.
        bits: How many of 8 bits posterizing takes away.
    """

    shear: float
    shift: float
    rotate: float
    colour: float
    bits: int


# 32 pixels of the 224 for which the wide space was made: a share, as images here are of any size
WIDE = Strongest(shear=0.99, shift=32 / 224, rotate=135, colour=0.99, bits=6)
USUAL = Strongest(shear=0.3, shift=150 / 331, rotate=30, colour=0.9, bits=4)

_Photometric = Callable[[Tensor, Tensor, Strongest], Tensor]
PHOTOMETRIC: dict[str, _Photometric] = {
    "brightness": lambda images, amounts, most: brightness(images, 1 + most.colour * amounts),
    "contrast": lambda images, amounts, most: contrast(images, 1 + most.colour * amounts),
    "sharpness": lambda images, amounts, most: sharpness(images, 1 + most.colour * amounts),
    "posterize": lambda images, amounts, most: posterize(images, 8 - (most.bits * amounts.abs()).round()),
    # from just above white, where nothing is inverted, down to black, where all is
    "solarize": lambda images, amounts, _: solarize(images, (1 - amounts.abs()) * 256 / 255),
    "autocontrast": lambda images, *_: autocontrast(images),
    "equalize": lambda images, *_: equalize(images),
    "saturation": lambda images, amounts, most: saturation(images, 1 + most.colour * amounts),
}
OPERATIONS = ("identity", *GEOMETRIC, *PHOTOMETRIC)  # saturation last: grey images go without it


def trivial_augment(images: Tensor) -> Tensor:
    """Change each image by one random operation at a random strength.

    Args:
        images: float (B, C, H, W) in -1..1, C = 1 or 3.

    Returns:
        A new batch of the same shape, in -1..1.

    Reference: Müller & Hutter 2021 (arXiv 2103.10158), algorithm 1, wide space; shifts reach 1/7 of the side.

    Example:
        >>> trivial_augment(torch.zeros(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """
    return perform(images, _drawn(images), _signed(torch.rand(len(images))), WIDE)


def rand_augment(images: Tensor, number: int, magnitude: float) -> Tensor:
    """Change each image by some random operations, one after the other, all at one strength.

    Args:
        images: float (B, C, H, W) in -1..1, C = 1 or 3.
        number: Operations per image.
        magnitude: Strength 0..1; the paper's 9 of 30 is 0.3.

    Returns:
        A batch of the same shape, in -1..1.

    Reference: Cubuk et al. 2020 (arXiv 1909.13719), section 3.

    Example:
        >>> rand_augment(torch.zeros(4, 3, 8, 8), number=2, magnitude=0.3).shape
        torch.Size([4, 3, 8, 8])
    """
    for _ in range(number):
        images = perform(images, _drawn(images), _signed(torch.full((len(images),), magnitude)), USUAL)
    return images


def _drawn(images: Tensor) -> Tensor:
    operations = len(OPERATIONS) - (images.shape[1] == 1)
    return torch.randint(operations, (len(images),))


def _signed(amounts: Tensor) -> Tensor:
    return torch.where(torch.rand(len(amounts)) < 0.5, -amounts, amounts)


def perform(images: Tensor, operations: Tensor, amounts: Tensor, most: Strongest) -> Tensor:
    """Change each image by its operation.

    Args:
        images: float (B, C, H, W) in -1..1, C = 1 or 3.
        operations: int64 (B,) on the CPU, positions in OPERATIONS.
        amounts: float (B,) on the CPU, -1..1; operations without a direction take the size alone.
        most: What an amount of 1 means.

    Returns:
        A new batch of the same shape, in -1..1.
    """
    changed = images.clone()
    moved = (operations >= 1) & (operations <= len(GEOMETRIC))
    rows = moved.nonzero().flatten()
    if len(rows):
        matrices = _matrices(operations[rows], amounts[rows], images.shape[-2] / images.shape[-1], most)
        rows = rows.to(images.device)
        changed[rows] = resample(images[rows], matrices)
    for name, operation in PHOTOMETRIC.items():
        rows = (operations == OPERATIONS.index(name)).nonzero().flatten()
        if len(rows):
            strengths, rows = amounts[rows].to(images.device), rows.to(images.device)
            changed[rows] = operation(images[rows].add_(1).div_(2), strengths, most).mul(2).sub_(1)
    return changed


def _matrices(operations: Tensor, amounts: Tensor, aspect: float, most: Strongest) -> Tensor:
    """Return (B, 2, 3): from output coordinates to input coordinates, both -1..1; aspect is H / W."""
    by = {name: (operations == OPERATIONS.index(name)) * amounts for name in GEOMETRIC}
    angle = by["rotate"] * math.radians(most.rotate)
    cos, sin = torch.cos(angle), torch.sin(angle)
    across, along = (most.shear * by["shear_x"] - sin) * aspect, (most.shear * by["shear_y"] + sin) / aspect
    rows = [
        torch.stack([cos, across, 2 * most.shift * by["shift_x"]], 1),
        torch.stack([along, cos, 2 * most.shift * by["shift_y"]], 1),
    ]
    return torch.stack(rows, 1)


def resample(images: Tensor, matrices: Tensor, displaced: Tensor | None = None) -> Tensor:
    """Look up each output pixel where an affine map, and a displacement, point to: bilinear, edges mirrored.

    Args:
        images: float (B, C, H, W).
        matrices: (B, 2, 3), from output coordinates (x, y, 1) to input coordinates; both run from -1 to 1.
        displaced: (B, H, W, 2) that is added to the input coordinates; None adds nothing.

    Returns:
        float (B, C, H, W).

    Example:
        >>> image = torch.arange(8.0).expand(1, 1, 8, 8)
        >>> mirror = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> resample(image, mirror)[0, 0, 0].round().int().tolist()
        [7, 6, 5, 4, 3, 2, 1, 0]
    """
    matrices = matrices.to(images.device)[:, None]
    y, x = ((2 * torch.arange(side, device=images.device) + 1) / side - 1 for side in images.shape[-2:])
    # a sum of rows and columns: F.affine_grid gives the same from a product of matrices, in three times the time
    down = y[:, None] * matrices[..., 1] + matrices[..., 2]
    grid = (x[:, None] * matrices[..., 0])[:, None] + down[:, :, None]
    if displaced is not None:
        grid += displaced.to(images.device)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
