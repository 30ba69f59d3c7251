"""Images from one size to another, by a bicubic filter that averages over all source pixels when it shrinks.

torch's works on uint8 in integers, like Pillow's (within a grey level of it), and is several times as fast.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

Fit = Literal["stretch", "crop", "pad"]
Pixels = npt.NDArray[np.uint8]


def resized(pixels: Pixels, target: tuple[int, int], fit: Fit) -> Pixels:
    """Bring uint8 (C, H, W) to another size.

    Example:
        >>> resized(np.full((1, 20, 60), 9, dtype=np.uint8), (8, 8), "pad")[0, :, 4].tolist()
        [0, 0, 9, 9, 9, 0, 0, 0]
    """
    if pixels.shape[1:] == target:
        return pixels
    if fit == "crop":
        return _scaled(_cropped(pixels, *target), *target)
    return _padded(pixels, *target) if fit == "pad" else _scaled(pixels, *target)


def _scaled(pixels: Pixels, H: int, W: int) -> Pixels:
    source = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())[None]
    # colour planes one after the other, as sets hold them, which torch copies faster than NumPy
    scaled: Pixels = interpolate(source, (H, W), mode="bicubic", antialias=True)[0].contiguous().numpy()
    return scaled


def _cropped(pixels: Pixels, H: int, W: int) -> Pixels:
    """Cut the centre, in the target's aspect ratio."""
    _, h, w = pixels.shape
    scale = min(h / H, w / W)
    height, width = max(1, round(H * scale)), max(1, round(W * scale))
    top, left = (h - height) // 2, (w - width) // 2
    return pixels[:, top : top + height, left : left + width]


def _padded(pixels: Pixels, H: int, W: int) -> Pixels:
    C, h, w = pixels.shape
    scale = min(H / h, W / w)
    height, width = max(1, round(h * scale)), max(1, round(w * scale))
    top, left = (H - height) // 2, (W - width) // 2
    canvas = np.zeros((C, H, W), dtype=np.uint8)
    canvas[:, top : top + height, left : left + width] = _scaled(pixels, height, width)
    return canvas
