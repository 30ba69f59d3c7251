"""Readers: from a folder, a file or a word to an image set. `READERS` is the table of all kinds."""

from __future__ import annotations

from pathlib import Path

from augury.errors import DataError
from augury.images import ImageSet
from augury.readers.base import Reader as Reader
from augury.readers.digits import Digits
from augury.readers.folder import Folder
from augury.readers.npz import Npz
from augury.readers.pixels import Fit as Fit
from augury.readers.pixels import Size as Size

READERS: dict[str, Reader] = {"digits": Digits(), "folder": Folder(), "npz": Npz()}


def read(source: str | Path, *, size: Size = "auto", fit: Fit = "stretch") -> ImageSet:
    """Read labelled images.

    Args:
        source: A folder with one folder per class, a .npz file, or the word `digits`.
        size: A side in pixels (8..1024), (height, width), None: as they are, or "auto": as they are when all have one
            size and no side is over 64, else 64 x 64.
        fit: What becomes of another aspect ratio: "stretch", "crop" or "pad".

    Returns:
        uint8 images (N, C, H, W), C = 1 when no image has colour, else 3, with labels, names, digests of the pixels
        before any resizing, and the given parts if there are any.

    Raises:
        DataError: If nothing can read the source, or its content cannot be used as it is.
        SettingsError: If the size or the fit cannot be meant.

    Example:
        >>> digits = read("digits")
        >>> len(digits), digits.shape, digits.classes[:3]
        (1797, (1, 8, 8), ('0', '1', '2'))
    """
    return reader_for(source).read(_text(source), size=size, fit=fit)


def content_digest(source: str | Path) -> str:
    """Return the SHA-256 of the content of a source; where it lies is not part of it.

    Raises:
        DataError: If nothing can read the source.
    """
    return reader_for(source).digest(_text(source))


def reader_for(source: str | Path) -> Reader:
    """Return the reader that is meant for a source.

    Raises:
        DataError: If there is none.

    Example:
        >>> reader_for("digits").name
        'digits'
    """
    text = _text(source)
    for reader in READERS.values():
        if reader.matches(text):
            return reader
    expected = "; ".join(reader.summary for reader in READERS.values())
    found = f"a file of the kind {Path(text).suffix!r}" if Path(text).exists() else "nothing there: check the path"
    raise DataError(f"no images at {text!r}: found {found}. Expected one of: {expected}.")


def _text(source: str | Path) -> str:
    # Path("digits") means a folder, whatever words the readers know
    return source if isinstance(source, str) else str(source.absolute())
