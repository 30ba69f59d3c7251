"""Pictures: uint8 arrays as PNG data URIs."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

SMALLEST, LARGEST = 56, 112  # pixels of the longer side on the page


@dataclass(frozen=True)
class Picture:
    """A picture as it stands on the page: its data URI, its size in CSS pixels, and whether it was enlarged."""

    uri: str
    width: int
    height: int
    enlarged: bool


def picture(image: np.ndarray, largest: int = LARGEST) -> Picture:
    """Encode one image: small ones are enlarged by a whole factor on the page, large ones are shrunk before.

    Args:
        image: uint8 (C, H, W) with 1 or 3 channels.
        largest: Pixels of the longer side, at most.

    >>> shown = picture(np.zeros((1, 28, 28), dtype=np.uint8))
    >>> shown.width, shown.enlarged, shown.uri[:22]
    (56, True, 'data:image/png;base64,')
    """
    return _enlarged(_shrunk(image, largest), SMALLEST)


def mosaic(images: np.ndarray) -> Picture:
    """Encode rows of images of one size as one picture, with a transparent line between them.

    Args:
        images: uint8 (rows, columns, C, H, W) with 1 or 3 channels.

    >>> shown = mosaic(np.zeros((2, 3, 1, 28, 28), dtype=np.uint8))
    >>> shown.width, shown.height  # 3 x 28 + 2 and 2 x 28 + 1 pixels, twice enlarged
    (172, 114)
    """
    rows, columns = images.shape[:2]
    tiles = [[_shrunk(image, SMALLEST) for image in row] for row in images]
    width, height = tiles[0][0].size
    mode = "LA" if tiles[0][0].mode == "L" else "RGBA"
    size = columns * (width + 1) - 1, rows * (height + 1) - 1
    sheet = Image.new(mode, size, (0,) * len(mode))
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            sheet.paste(tile.convert(mode), (j * (width + 1), i * (height + 1)))
    return _enlarged(sheet, SMALLEST * max(size) // max(width, height))


def _shrunk(image: np.ndarray, largest: int) -> Image.Image:
    pixels = image[0] if image.shape[0] == 1 else np.moveaxis(image[:3], 0, 2)
    drawn = Image.fromarray(np.ascontiguousarray(pixels))
    drawn.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return drawn


def _enlarged(drawn: Image.Image, smallest: int) -> Picture:
    factor = math.ceil(smallest / max(drawn.size))
    return Picture(_uri(drawn), drawn.width * factor, drawn.height * factor, factor > 1)


def _uri(drawn: Image.Image) -> str:
    file = io.BytesIO()
    drawn.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
