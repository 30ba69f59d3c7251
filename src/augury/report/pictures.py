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


def picture(image: np.ndarray) -> Picture:
    """Encode one image: small ones are enlarged by a whole factor on the page, large ones are shrunk before.

    Args:
        image: uint8 (C, H, W) with 1 or 3 channels.

    >>> shown = picture(np.zeros((1, 28, 28), dtype=np.uint8))
    >>> shown.width, shown.enlarged, shown.uri[:22]
    (56, True, 'data:image/png;base64,')
    """
    pixels = image[0] if image.shape[0] == 1 else np.moveaxis(image[:3], 0, 2)
    drawn = Image.fromarray(np.ascontiguousarray(pixels))
    drawn.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    factor = math.ceil(SMALLEST / max(drawn.size))
    return Picture(_uri(drawn), drawn.width * factor, drawn.height * factor, factor > 1)


def _uri(drawn: Image.Image) -> str:
    file = io.BytesIO()
    drawn.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
