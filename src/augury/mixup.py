"""Mixup and CutMix: images and their labels mixed in pairs within a batch.

Random numbers come from torch's current generator on the CPU, so that one seed gives one mixture on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from augury.augment import rectangles
from augury.errors import DataError, SettingsError


def mixup(images: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Blend each image, and its label, with another of the batch: l of its own and 1 - l of the partner's.

    Args:
        images: float (B, C, H, W).
        targets: float (B, K), soft or one-hot labels; rows sum to 1.
        alpha: l ~ Beta(alpha, alpha), one per image; small values leave most images nearly whole.

    Returns:
        New images and targets of the same shapes.

    Raises:
        SettingsError: If `alpha` is not above 0.
        DataError: If there is not one row of targets per image.

    Reference: Zhang et al. 2018 (arXiv 1710.09412), section 2.

    Example:
        >>> _, targets = mixup(torch.rand(4, 1, 8, 8), torch.eye(4), alpha=0.2)
        >>> bool(torch.allclose(targets.sum(1), torch.ones(4)))
        True
    """
    own, partners = _shares(images, targets, alpha)
    own, partners = own.to(images.device), partners.to(images.device)
    mixed = torch.lerp(images[partners], images, own.view(-1, 1, 1, 1))
    return mixed, torch.lerp(targets[partners], targets, own[:, None])


def cutmix(images: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image of the batch into each image; labels are mixed by area.

    The rectangle has the sides W * sqrt(1 - l) and H * sqrt(1 - l) about a uniform centre, and is cut off at the edge;
    the labels are mixed by the area that is really pasted.

    Args:
        images: float (B, C, H, W).
        targets: float (B, K), soft or one-hot labels; rows sum to 1.
        alpha: l ~ Beta(alpha, alpha), one per image.

    Returns:
        New images and targets of the same shapes.

    Raises:
        SettingsError: If `alpha` is not above 0.
        DataError: If there is not one row of targets per image.

    Reference: Yun et al. 2019 (arXiv 1905.04899), eq. 1 and 2.

    Example:
        >>> _, targets = cutmix(torch.rand(4, 1, 8, 8), torch.eye(4), alpha=1.0)
        >>> bool(torch.allclose(targets.sum(1), torch.ones(4)))
        True
    """
    own, partners = _shares(images, targets, alpha)
    H, W = images.shape[-2:]
    top, bottom = _cut(own, H)
    left, right = _cut(own, W)
    pasted = (bottom - top) * (right - left) / (H * W)
    inside = rectangles(top, bottom, left, right, (H, W)).to(images.device)
    partners, pasted = partners.to(images.device), pasted.to(images.device)
    return torch.where(inside, images[partners], images), torch.lerp(targets, targets[partners], pasted[:, None])


def blend(images: Tensor, targets: Tensor, *, mixup_alpha: float, cutmix_alpha: float) -> tuple[Tensor, Tensor]:
    """Mix a batch by mixup, by CutMix, or, when both are on, by one of the two at even odds.

    Args:
        images: float (B, C, H, W).
        targets: float (B, K), soft or one-hot labels; rows sum to 1.
        mixup_alpha: Alpha of `mixup`; 0 turns it off.
        cutmix_alpha: Alpha of `cutmix`; 0 turns it off.

    Returns:
        Images and targets of the same shapes; what was given when both are off.

    Raises:
        SettingsError: If an alpha is below 0.
        DataError: If there is not one row of targets per image.

    Example:
        >>> images, targets = torch.rand(4, 1, 8, 8), torch.eye(4)
        >>> blend(images, targets, mixup_alpha=0.0, cutmix_alpha=0.0)[0] is images
        True
    """
    if not (mixup_alpha or cutmix_alpha):
        return images, targets
    if cutmix_alpha and (not mixup_alpha or torch.rand(()) < 0.5):
        return cutmix(images, targets, cutmix_alpha)
    return mixup(images, targets, mixup_alpha)


def _shares(images: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return the share that each image keeps of itself, float (B,), and its partner, int64 (B,)."""
    if not alpha > 0:
        raise SettingsError(f"alpha of mixup and CutMix: expected a number above 0. Got {alpha}: 0 turns them off.")
    if targets.ndim != 2 or len(targets) != len(images) or not targets.is_floating_point():
        raise DataError(
            f"targets of mixup and CutMix: expected a row of class shares per image, float ({len(images)}, K). "
            f"Got {targets.dtype} {tuple(targets.shape)}: make them one-hot first."
        )
    own = torch.distributions.Beta(alpha, alpha).sample((len(images),))
    return own, torch.randperm(len(images))


def _cut(own: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return where the rectangles begin and end along one side, int64 (B,) each."""
    length = (side * (1 - own).sqrt()).long()
    begin = torch.randint(side, (len(own),)) - length // 2
    return begin.clamp(min=0), (begin + length).clamp(max=side)
