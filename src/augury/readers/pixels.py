"""Image files to uint8 pixels of one kind: what the readers share."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from augury.duplicates import STAGE, thumbnail
from augury.errors import SettingsError
from augury.images import pixel_digest
from augury.readers import dicom
from augury.readers.levels import Levels, Pixels, Values
from augury.readers.tree import UnreadableError
from augury.resizing import Fit as Fit
from augury.resizing import resized

Size = int | tuple[int, int] | Literal["auto", "native"]
Channels = Literal["auto", "grey"]

MIN_SIDE, MAX_SIDE = 8, 1024
AUTO_SIDE = 64
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", *dicom.EXTENSIONS)
KINDS = "PNG, JPEG, BMP, TIFF, GIF, WebP or DICOM"

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
# what Pillow's parsers of broken files raise
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error, zlib.error)
_ORIENTATION, _PHOTOMETRIC = 0x0112, 0x0106
_PLAIN_LAYOUTS = {"L": 1, "RGB": 3}


@dataclass(frozen=True)
class Sizing:
    """The size that all images of a set get.

    Attributes:
        size: A side, (height, width), "native": as they are, or "auto": as they are when all have one size and no side
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
        if self.size in ("auto", "native"):
            return
        sides = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if len(sides) != 2 or not all(type(side) is int and MIN_SIDE <= side <= MAX_SIDE for side in sides):
            expected = f"a side from {MIN_SIDE} to {MAX_SIDE}, (height, width), 'auto' or 'native'"
            raise SettingsError(f"size must be {expected}. Got {self.size!r}.")

    @property
    def target(self) -> tuple[int, int] | None:
        """Return (H, W), or None when it depends on the images."""
        if isinstance(self.size, int):
            return self.size, self.size
        return self.size if isinstance(self.size, tuple) else None


def parse_size(text: str) -> Size:
    """Read a size from a command line.

    Raises:
        SettingsError: If it is none.

    Example:
        >>> parse_size("64"), parse_size("48x64"), parse_size("auto")
        (64, (48, 64), 'auto')
    """
    if text in ("auto", "native"):
        return text  # type: ignore[return-value]
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise SettingsError(f"size must be a side such as 64, HEIGHTxWIDTH, 'auto' or 'native'. Got {text!r}.")
    numbers = tuple(int(side) for side in sides)
    return Sizing(numbers[0] if len(numbers) == 1 else numbers).size  # type: ignore[arg-type]


@dataclass(frozen=True)
class Facts:
    """What an image was before it became pixels of one kind and size.

    Attributes:
        format: PNG, JPEG, ..., DICOM, or `array`.
        mode: How the file holds its pixels, in Pillow's words (`L`, `RGB`, `P`, `I;16`, ...).
        height: As decoded.
        width: As decoded.
        several: The file holds several pictures, of which this is the first.
        wide: It held more than eight bits per pixel, as levels were applied to.
    """

    format: str
    mode: str
    height: int
    width: int
    several: bool = False
    wide: bool = False


@dataclass(frozen=True, eq=False)
class Decoded:
    """The pixels of one file.

    Attributes:
        values: As they stand in it: (H, W) of any number type, or uint8 (H, W, 3).
        shown: As they are shown: uint8 (H, W) or (H, W, 3).
        facts: What the file was.
        group: What the file itself says it belongs to, or None.
    """

    values: Values
    shown: Pixels
    facts: Facts
    group: str | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded picture on its way into a set.

    Attributes:
        name: Its name in the set.
        pixels: uint8 (C, H, W), C = 1 or 3; shrunk already where that is certain, so that memory stays modest.
        facts: What it was.
        digest: Digest of the pixels as decoded; a colour picture without colour counts as a grey one, and where colours
            are left out every one does, so that a picture and its grey copy are the same.
        thumbnail: uint8 (S, S), grey: what near duplicates are found by.
        group: What the file itself says it belongs to (the patient, in DICOM), or None.
    """

    name: str
    pixels: Pixels
    facts: Facts
    digest: str
    thumbnail: Pixels
    group: str | None = None


def picture(name: str, decoded: Decoded, sizing: Sizing, channels: Channels = "auto") -> Picture:
    """Prepare a decoded image for a set.

    Args:
        name: Its name in the set.
        decoded: Its pixels.
        sizing: The size the set gets.
        channels: "auto": as they are; "grey": a colour picture becomes its luma, 0.299 R + 0.587 G + 0.114 B, as
            decoded, before anything is resized.

    Reference: ITU-R BT.601-7, 2.5.1 (luma).

    Example:
        >>> grey = picture("a", from_array(np.zeros((10, 12, 3), dtype=np.uint8), Levels()), Sizing())
        >>> grey.pixels.shape, grey.facts.height, grey.facts.width
        ((1, 10, 12), 10, 12)
        >>> red = from_array(np.full((10, 12, 3), [255, 0, 0], dtype=np.uint8), Levels())
        >>> picture("b", red, Sizing(), "grey").pixels[:, 0, 0].tolist()
        [76]
    """
    pixels = _channels_first(_luma(decoded.shown) if channels == "grey" else decoded.shown)
    original = pixels.shape[1:]
    target = sizing.target
    if sizing.size == "auto" and max(original) > AUTO_SIDE:
        target = (AUTO_SIDE, AUTO_SIDE)
    shown = pixels if target is None else resized(pixels, target, sizing.fit)
    digested = pixels if decoded.values is decoded.shown else _native(decoded.values)[None]
    # the most frequent size is the one on the way to a thumbnail
    stage = shown if sizing.fit == "stretch" and target == (STAGE, STAGE) else pixels
    return Picture(name, shown, decoded.facts, pixel_digest(digested), thumbnail(stage), decoded.group)


def _luma(shown: Pixels) -> Pixels:
    """Leave out colours; three equal channels give the very values of each."""
    return shown if shown.ndim == 2 else np.array(Image.fromarray(shown).convert("L"))


def _native(values: Values) -> Values:
    """Return values in this machine's order of bytes: a file's own order makes no other picture."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def from_array(values: Values, levels: Levels) -> Decoded:
    """Take an array (H, W), (H, W, 1) or uint8 (H, W, 3) as an image."""
    flat = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    facts = Facts("array", str(values.dtype), flat.shape[0], flat.shape[1], wide=values.dtype != np.uint8)
    return Decoded(flat, levels.apply(flat) if facts.wide else flat, facts)


def decode(data: bytes, levels: Levels) -> Decoded:
    """Decode the bytes of one image file, whatever its name promises.

    Raises:
        UnreadableError: If they are not one whole image, or more pixels than Pillow allows. The caller must have
            turned Pillow's `DecompressionBombWarning` into an error, and ignored others: warning filters are shared by
            all threads.
    """
    if dicom.is_dicom(data):
        values, shown, group = dicom.decode(data, levels)
        facts = Facts("DICOM", str(values.dtype), shown.shape[0], shown.shape[1], wide=shown is not values)
        return Decoded(values, shown, facts, group)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return _decoded(image, levels)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise UnreadableError(f"has more than {limit} pixels. Make it smaller or remove it.") from None
    except UnidentifiedImageError:
        raise UnreadableError(f"is not an image: expected {KINDS}. Replace it or remove it.") from None
    except _BROKEN as error:
        raise UnreadableError(f"cannot be read as an image ({error}). Replace it or remove it.") from None


def _decoded(image: Image.Image, levels: Levels) -> Decoded:
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    # a phone's JPEG may carry a second, derived picture: the first one is the photograph
    several = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    mode, orientation = image.mode, image.getexif().get(_ORIENTATION, 1)
    upright = image if orientation == 1 else ImageOps.exif_transpose(image)
    facts = Facts(kind, mode, upright.height, upright.width, several, mode == "F" or mode.startswith("I"))
    if not facts.wide:
        shown = np.array(_grey_or_rgb(upright))
        return Decoded(shown, shown, facts)
    values = np.array(upright)
    if not np.isfinite(values).all():
        raise UnreadableError("holds values that are no numbers (NaN or infinite). Replace it or remove it.")
    shown = levels.apply(values)
    return Decoded(values, 255 - shown if _is_negative(image) else shown, facts)


def _is_negative(image: Image.Image) -> bool:
    """Tell whether a TIFF says that 0 is white, which Pillow heeds in images of eight bits only."""
    return image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image if image.mode in _PLAIN_LAYOUTS else image.convert("RGB")


def _channels_first(decoded: Pixels) -> Pixels:
    if decoded.ndim == 2:
        return decoded[None]
    pixels = decoded.transpose(2, 0, 1)
    # most colour images show it in their first row
    return pixels[:1] if _is_grey(pixels[:, :1]) and _is_grey(pixels) else pixels


def _is_grey(pixels: Pixels) -> bool:
    return np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[1], pixels[2])
