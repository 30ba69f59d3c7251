"""Classical augmentation of whole batches on the device."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from augury.settings import Recipe

FAMILIES = ("flip", "flip_vertical", "shift", "rotate", "crop")


class Augment(Recipe):
    """Random flips, shifts, rotations and crops; all off by default.

    None of them is harmless everywhere: a flipped chest has its heart on the wrong side, a turned 6 is a 9.
    A study therefore declares which families are safe for its images, and refuses the others.

    Example:
        >>> Augment(shift=0.1, rotate=10.0).families()
        ('shift', 'rotate')
    """

    kind: ClassVar[str] = "augment"
    flip: bool = Field(default=False, description="mirror left and right, every second image")
    flip_vertical: bool = Field(default=False, description="mirror top and bottom, every second image")
    shift: float = Field(default=0.0, ge=0, le=0.5, description="largest shift, as a share of the side")
    rotate: float = Field(default=0.0, ge=0, le=180, description="largest rotation, degrees")
    crop: float = Field(default=1.0, gt=0, le=1, description="smallest share of the side that is kept; 1 keeps all")
    share: float = Field(default=0.5, gt=0, le=1, description="share of the images that are shifted, turned or cropped")

    def families(self) -> tuple[str, ...]:
        """Return the names of what is switched on."""
        off = Augment.model_fields
        return tuple(name for name in FAMILIES if getattr(self, name) != off[name].default)

    def apply(self, images: Tensor) -> Tensor:
        """Augment a batch: float (B, C, H, W) in, the same out; draws from torch's current generator.

        All is one resampling (bilinear, edges reflected), so that quality is lost once only.
        """
        if not self.families():
            return images
        matrix = self._matrices(len(images), images.shape[-2:], images.device)
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    def _matrices(self, n: int, size: tuple[int, ...], device: torch.device) -> Tensor:
        """Return (n, 2, 3): from output coordinates to input coordinates, both -1..1."""
        aspect = size[0] / size[1]  # turning must not shear an image that is not square
        # drawn on the CPU, and always all of them: one seed gives one augmentation on every device
        turn, scale, dx, dy, flip_x, flip_y, chosen = torch.rand(7, n)
        # resampling smooths: a network that never saw an untouched image would not know the sharp ones it is scored on
        touched = (chosen < self.share).float()
        angle = touched * (2 * turn - 1) * math.radians(self.rotate)
        kept = 1 - touched * (1 - self.crop) * scale
        room = (1 - kept)[:, None] + 2 * self.shift * touched[:, None]
        moved = (2 * torch.stack([dx, dy], 1) - 1) * room
        sign_x = 1 - 2 * ((flip_x < 0.5) & self.flip).float()
        sign_y = 1 - 2 * ((flip_y < 0.5) & self.flip_vertical).float()
        cos, sin = torch.cos(angle) * kept, torch.sin(angle) * kept
        rows = [
            torch.stack([cos * sign_x, -sin * aspect * sign_y, moved[:, 0]], 1),
            torch.stack([sin / aspect * sign_x, cos * sign_y, moved[:, 1]], 1),
        ]
        return torch.stack(rows, 1).to(device)
