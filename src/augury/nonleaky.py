"""Changes of training images that a network is told of, so that it does not learn to make them itself.

A generator that was trained on mirrored images draws mirrored ones. One that is told which image was mirrored, and is
told "none" when it draws, learns from the mirrored images without drawing any (non-leaky augmentation).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from augury.settings import only_known

FAMILIES = ("flip", "flip_vertical", "scale", "rotate", "stretch", "shift")
TOLD = {"flip": 1, "flip_vertical": 1, "scale": 1, "rotate": 2, "stretch": 2, "shift": 2}

# strengths: Karras et al. 2022, appendix F.2
SCALE, STRETCH, SHIFT = 0.2, 0.2, 1 / 8  # standard deviations: of log2 of a factor twice, and as a share of the side


def known_changes(families: tuple[str, ...]) -> tuple[str, ...]:
    """Return the families in the order of FAMILIES.

    Raises:
        SettingsError: If a family is not one of FAMILIES.
    """
    only_known(families, FAMILIES, "a generator's augmentation")
    return tuple(family for family in FAMILIES if family in families)


def told_numbers(families: tuple[str, ...]) -> int:
    """Return how many numbers describe a change.

    Example:
        >>> told_numbers(("flip", "shift"))
        3
    """
    return sum(TOLD[family] for family in families)


def change(images: Tensor, families: tuple[str, ...], chance: float) -> tuple[Tensor, Tensor]:
    """Change each image in its own way, each family with the same chance; draws from torch's current generator.

    All changes are one look-up of the image, bilinear, continued at the edge by reflection. Images that are not changed
    come out as they are.

    Args:
        images: float32 (B, C, H, W).
        families: Some of FAMILIES, in their order.
        chance: Of each family and image, 0..1.

    Returns:
        The changed images, and what a network is told of them: float32 (B, told_numbers(families)); 0 is no change.

    Reference: Karras et al. 2022 (arXiv 2206.00364), appendix F.2, its families and strengths.

    Example:
        >>> images, told = change(torch.rand(64, 1, 8, 8), ("flip",), 0.12)
        >>> images.shape, told.shape
        (torch.Size([64, 1, 8, 8]), torch.Size([64, 1]))
    """
    B = len(images)
    if not families or not chance:
        return images, torch.zeros(B, told_numbers(families), device=images.device)
    matrix, told = torch.eye(3).repeat(B, 1, 1), []
    for family in families:
        made = (torch.rand(B) < chance).float()
        step, numbers = _STEPS[family](made, images.shape[2] / images.shape[3])
        matrix = matrix @ step
        told.append(numbers)
    numbers = torch.cat(told, dim=1)
    moved = numbers.abs().sum(1) > 0
    changed = images.clone()
    if moved.any():
        rows = moved.to(images.device)
        grid = F.affine_grid(matrix[moved, :2].to(images), list(images[rows].shape), align_corners=False)
        changed[rows] = F.grid_sample(images[rows], grid, padding_mode="reflection", align_corners=False)
    return changed, numbers.to(images.device)


def _diagonal(across: Tensor, down: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([across, down, torch.ones_like(across)], dim=1))


def _flip(made: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    mirrored = made * torch.randint(2, made.shape)
    return _diagonal(1 - 2 * mirrored, torch.ones_like(made)), mirrored[:, None]


def _flip_vertical(made: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    mirrored = made * torch.randint(2, made.shape)
    return _diagonal(torch.ones_like(made), 1 - 2 * mirrored), mirrored[:, None]


def _scale(made: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    amount = made * torch.randn(made.shape)
    factor = 2 ** (-SCALE * amount)
    return _diagonal(factor, factor), amount[:, None]


def _rotate(made: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    angle = made * math.pi * (2 * torch.rand(made.shape) - 1)
    return _turn(angle, ratio), torch.stack([angle.cos() - 1, angle.sin()], dim=1)


def _stretch(made: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    amount, direction = made * torch.randn(made.shape), math.pi * torch.rand(made.shape)
    factor = 2 ** (-STRETCH * amount)
    told = torch.stack([amount * (2 * direction).cos(), amount * (2 * direction).sin()], dim=1)
    turn = _turn(direction, ratio)
    return turn.inverse() @ _diagonal(factor, 1 / factor) @ turn, told


def _turn(angle: Tensor, ratio: float) -> Tensor:
    # places go from -1 to 1 on both sides: of an oblong image a turn has to know its shape
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos(), -angle.sin() * ratio
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin() / ratio, angle.cos()
    return matrix


def _shift(made: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    amount = made[:, None] * torch.randn(len(made), 2)
    matrix = torch.eye(3).repeat(len(made), 1, 1)
    matrix[:, :2, 2] = 2 * SHIFT * amount
    return matrix, amount


_STEPS = {
    "flip": _flip,
    "flip_vertical": _flip_vertical,
    "scale": _scale,
    "rotate": _rotate,
    "stretch": _stretch,
    "shift": _shift,
}
