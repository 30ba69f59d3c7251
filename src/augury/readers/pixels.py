"""Image files to uint8 pixels, and pixels to one size: what the readers share.

Sizes are changed by Pillow's bicubic filter, which averages over all source pixels when it shrinks (antialiasing).
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from augury.errors import DataError, SettingsError
from augury.images import pixel_digest

Size = int | tuple[int, int] | Literal["auto"] | None
Fit = Literal["stretch", "crop", "pad"]
Pixels = npt.NDArray[np.uint8]

MIN_SIDE, MAX_SIDE = 8, 1024
AUTO_SIDE = 64

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


@dataclass(frozen=True)
class Sizing:
    """The size that all images of a set get.

    Attributes:
        size: A side, (height, width), None: as they are, or "auto": as they are when all have one size and no side
            is over 64, else 64 x 64.
        fit: What becomes of another aspect ratio: "stretch", "crop" (scale to cover, cut the centre) or "pad" (scale
            to fit, black around).

    Raises:
        SettingsError: If the size or the fit cannot be meant.

    Example:
        >>> Sizing(32).target, Sizing("auto").target
        ((32, 32), None)
    """

    size: Size = "auto"
    fit: Fit = "stretch"

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise SettingsError(f"fit must be 'stretch', 'crop' or 'pad'. Got {self.fit!r}.")
        if self.size is None or self.size == "auto":
            return
        sides = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if len(sides) != 2 or not all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in sides):
            expected = f"a side from {MIN_SIDE} to {MAX_SIDE}, (height, width), 'auto' or None"
            raise SettingsError(f"size must be {expected}. Got {self.size!r}.")

    @property
    def target(self) -> tuple[int, int] | None:
        """Return (H, W), or None when it depends on the images."""
        if isinstance(self.size, int):
            return self.size, self.size
        return self.size if isinstance(self.size, tuple) else None


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded picture on its way into a set.

    Attributes:
        name: Its name in the set.
        pixels: uint8 (C, H, W), C = 1 or 3; shrunk already where that is certain, so that memory stays modest.
        original: (H, W) as decoded.
        digest: Digest of the pixels as decoded; a colour picture without colour counts as a grey one.
    """

    name: str
    pixels: Pixels
    original: tuple[int, int]
    digest: str


def picture(name: str, decoded: Pixels, sizing: Sizing) -> Picture:
    """Prepare decoded pixels, uint8 (H, W), (H, W, 1) or (H, W, 3), for a set.

    Example:
        >>> grey = picture("a", np.zeros((10, 12, 3), dtype=np.uint8), Sizing())
        >>> grey.pixels.shape, grey.original
        ((1, 10, 12), (10, 12))
    """
    pixels = _channels_first(decoded)
    original = (pixels.shape[1], pixels.shape[2])
    target = sizing.target
    if sizing.size == "auto" and max(original) > AUTO_SIDE:
        target = (AUTO_SIDE, AUTO_SIDE)
    shown = pixels if target is None else _resized(pixels, target, sizing.fit)
    return Picture(name, shown, original, pixel_digest(pixels))


def stack(pictures: Sequence[Picture], sizing: Sizing) -> Tensor:
    """Bring pictures to one size and one number of channels.

    Returns:
        uint8 (N, C, H, W): C = 1 if all pictures are grey, else 3.

    Raises:
        DataError: If `size` is None and sizes differ, or the images as they are are too small or too large.
    """
    H, W = sizing.target or _common_size(pictures, sizing)
    C = max(one.pixels.shape[0] for one in pictures)
    stacked = np.empty((len(pictures), C, H, W), dtype=np.uint8)
    for row, one in enumerate(pictures):
        stacked[row] = _resized(one.pixels, (H, W), sizing.fit)
    return torch.from_numpy(stacked)


def decode_files(files: Sequence[tuple[str, Path]], sizing: Sizing) -> list[Picture]:
    """Decode image files in a few threads, in order.

    Args:
        files: (name, path) of each file.
        sizing: The size the set will get.

    Raises:
        DataError: If a file is not one whole 8-bit image, or holds more pixels than Pillow allows.
    """

    def one(file: tuple[str, Path]) -> Picture:
        return picture(file[0], _decode(*file), sizing)

    # warning filters are shared by all threads: set here, once, not in each of them
    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return list(pool.map(one, files))


def _decode(name: str, path: Path) -> Pixels:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check_kind(name, image)
            return np.asarray(_grey_or_rgb(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise DataError(f"{name} has more than {limit} pixels: make it smaller or remove it.") from None
    except UnidentifiedImageError:
        kinds = "PNG, JPEG, BMP, TIFF, GIF or WebP"
        raise DataError(f"{name} is not an image: expected {kinds}. Replace it or remove it.") from None
    except _BROKEN as error:
        raise DataError(f"{name} cannot be read as an image ({error}). Replace it or remove it.") from None


def _check_kind(name: str, image: Image.Image) -> None:
    if image.mode == "F" or image.mode.startswith("I"):
        remedy = "Scale it to 0..255 and save it as an 8-bit PNG"
        raise DataError(f"{name} is a 16-bit or float image, which is not supported yet. {remedy}.")
    # a phone's JPEG may carry a second, derived picture: the first one is the photograph
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise DataError(f"{name} holds several pictures: one was expected. Save the one that is meant as a PNG.")


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "L" else image.convert("RGB")


def _channels_first(decoded: Pixels) -> Pixels:
    pixels = decoded[None] if decoded.ndim == 2 else decoded.transpose(2, 0, 1)
    is_grey = len(pixels) == 3 and np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[1], pixels[2])
    return pixels[:1] if is_grey else pixels


def _common_size(pictures: Sequence[Picture], sizing: Sizing) -> tuple[int, int]:
    first = pictures[0]
    other = next((one for one in pictures if one.original != first.original), None)
    if sizing.size == "auto" and (other is not None or max(first.original) > AUTO_SIDE):
        return AUTO_SIDE, AUTO_SIDE
    if other is not None:
        sizes = f"{first.name} is {_text(first.original)}, {other.name} is {_text(other.original)}"
        raise DataError(f"without a size all images must have one size. {sizes} (height x width): give a size.")
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in first.original):
        expected = f"sides from {MIN_SIDE} to {MAX_SIDE} were expected"
        raise DataError(f"the images are {_text(first.original)} (height x width): {expected}. Give a size.")
    return first.original


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _resized(pixels: Pixels, target: tuple[int, int], fit: Fit) -> Pixels:
    if pixels.shape[1:] == target:
        return pixels
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    H, W = target
    if fit == "pad":
        image = _padded(image, H, W)
    elif fit == "crop":
        image = ImageOps.fit(image, (W, H), Image.Resampling.BICUBIC)
    else:
        image = image.resize((W, H), Image.Resampling.BICUBIC)
    shown = np.asarray(image)
    return shown[None] if shown.ndim == 2 else shown.transpose(2, 0, 1)


def _padded(image: Image.Image, H: int, W: int) -> Image.Image:
    scale = min(H / image.height, W / image.width)
    inner = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BICUBIC
    )
    canvas = Image.new(image.mode, (W, H))
    canvas.paste(inner, ((W - inner.width) // 2, (H - inner.height) // 2))
    return canvas
