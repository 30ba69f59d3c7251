"""Differentiable augmentation: what a discriminator sees of real and generated images alike.

A discriminator that is shown few real images learns them by heart. Here both its kinds of images are changed at
random, and the gradient reaches the generator through the change, so that the generator does not learn the change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from augury.augment import rectangles
from augury.settings import only_known

# The first three are the paper's colour, translation and cutout under the names that a study's `safe` list uses. The
# flips are ours: half of all images mirrored cannot be told from a generator that mirrors half of its own, so a flip
# does show in what is generated. They belong where `safe` says that a mirrored image is as good.
FAMILIES = ("colour", "shift", "erase", "flip", "flip_vertical")

BRIGHTNESS = 0.5  # added, up or down; images have a range of 2
FARTHEST = 1 / 8  # shift, as a share of the side
CUT = 1 / 2  # side of the square that is erased, as a share of the image's


def diff_augment(images: Tensor, families: tuple[str, ...]) -> Tensor:
    """Change every image of a batch in its own way, differentiably; draws from torch's current generator.

    Brightness, saturation and contrast first (`colour`), then flips, then a `shift`, then a square is taken out
    (`erase`). What is shifted in and what is erased is 0, the middle of the range, as in the paper, also where a
    medical image has a black background: the strip is the same on real and generated images, so it tells nobody which
    is which, but it tells how far an image was moved. With black strips an off-centre generated image would pass for
    a shifted real one, and the generator would learn to be off-centre.

    Args:
        images: float (B, C, H, W) in -1..1, C = 1 or 3.
        families: Some of FAMILIES; the others have no effect on what these do.

    Returns:
        The same shape and type; with no family the images themselves. `colour` can leave -1..1.

    Raises:
        SettingsError: If a family is not one of FAMILIES.

    Reference: Zhao et al. 2020 (arXiv 2006.10738), section 3.2, with its strengths.

    Example:
        >>> changed = diff_augment(torch.ones(8, 1, 16, 16), ("erase",))
        >>> bool((changed.mean((1, 2, 3)) >= 0.75).all())  # at most a quarter is taken out
        True
    """
    if not known_families(families):
        return images
    # drawn on the CPU, and always all of them: one seed gives one augmentation on every device and beside any other
    chances = torch.rand(9, len(images))
    if "colour" in families:
        images = _coloured(images, chances[:3].to(images))
    if not {"shift", "flip", "flip_vertical"}.isdisjoint(families):
        images = _moved(images, chances[3:7], families)
    return _erased(images, chances[7:]) if "erase" in families else images


def known_families(families: tuple[str, ...]) -> tuple[str, ...]:
    """Return the families.

    Raises:
        SettingsError: If a family is not one of FAMILIES.
    """
    only_known(families, FAMILIES, "diffaugment")
    return families


def _coloured(images: Tensor, chances: Tensor) -> Tensor:
    """Change brightness by +-0.5, saturation by a factor of 0..2 and contrast by a factor of 0.5..1.5."""
    added, saturation, contrast = chances.view(3, -1, 1, 1, 1)
    saturation, contrast = 2 * saturation, 0.5 + contrast
    grey = images.mean(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True)
    # one after the other they would take three passes over all pixels; multiplied out it is one
    rest = contrast * (1 - saturation) * grey + (1 - contrast) * mean + BRIGHTNESS * (2 * added - 1)
    changed: Tensor = contrast * saturation * images + rest
    return changed


def _moved(images: Tensor, chances: Tensor, families: tuple[str, ...]) -> Tensor:
    """Flip and shift by whole pixels, in one look-up."""
    down, right, mirror_rows, mirror_columns = chances
    flip_rows, flip_columns = "flip_vertical" in families, "flip" in families
    rows = _origins(down, mirror_rows < 0.5 * flip_rows, images.shape[2], "shift" in families)
    columns = _origins(right, mirror_columns < 0.5 * flip_columns, images.shape[3], "shift" in families)
    B, C, H, W = images.shape
    outside = ((rows < 0) | (rows >= H))[:, :, None] | ((columns < 0) | (columns >= W))[:, None, :]
    places = rows.clamp(0, H - 1)[:, :, None] * W + columns.clamp(0, W - 1)[:, None, :]
    found = images.flatten(2).gather(2, places.view(B, 1, -1).to(images.device).expand(B, C, -1))
    return found.view(B, C, H, W).masked_fill(outside[:, None].to(images.device), 0)


def _origins(chances: Tensor, mirrored: Tensor, side: int, shifted: bool) -> Tensor:
    """Return where each row (or column) comes from, int64 (B, side); outside 0..side-1 there is nothing."""
    farthest = int(FARTHEST * side + 0.5) if shifted else 0
    moved = (chances * (2 * farthest + 1)).floor().long() - farthest
    origins = torch.arange(side) - moved[:, None]
    return torch.where(mirrored[:, None], side - 1 - origins, origins)


def _erased(images: Tensor, chances: Tensor) -> Tensor:
    """Take out one square of half the side, anywhere, also partly beyond the edge."""
    H, W = images.shape[-2:]
    (top, bottom), (left, right) = _cut(chances[0], H), _cut(chances[1], W)
    return images.masked_fill(rectangles(top, bottom, left, right, (H, W)).to(images.device), 0)


def _cut(chances: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return the first row (or column) that is taken out and the first behind it, each (B,)."""
    length = int(CUT * side + 0.5)
    middle = (chances * (side + 1 - length % 2)).floor()  # of an even length it lies between two pixels
    return middle - length // 2, middle - length // 2 + length
