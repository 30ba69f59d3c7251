"""Readers: from a folder, a file or a word to an image set. `READERS` is the table of all kinds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from augury.errors import DataError
from augury.images import ImageSet
from augury.readers.base import Reader as Reader
from augury.readers.base import Reading as Reading
from augury.readers.base import Told as Told
from augury.readers.digits import Digits
from augury.readers.folder import Folder, Zipped
from augury.readers.how import ReadSettings as ReadSettings
from augury.readers.how import parse_classes as parse_classes
from augury.readers.how import parse_columns as parse_columns
from augury.readers.how import sized as sized
from augury.readers.manifest import Manifest
from augury.readers.medmnist import MedMNIST
from augury.readers.npz import Npz
from augury.readers.pixels import Channels as Channels
from augury.readers.pixels import Facts as Facts
from augury.readers.pixels import Fit as Fit
from augury.readers.pixels import Size as Size
from augury.readers.pixels import parse_size as parse_size

READERS: dict[str, Reader] = {
    reader.name: reader for reader in (Digits(), MedMNIST(), Folder(), Zipped(), Manifest(), Npz())
}


def read(
    source: str | Path,
    *,
    size: Size = "auto",
    fit: Fit = "stretch",
    channels: Channels = "auto",
    levels: str = "auto",
    group: str = "",
    columns: Mapping[str, str] | None = None,
    classes: Mapping[str, str] | None = None,
    skip_unreadable: bool = False,
) -> ImageSet:
    """Read labelled images.

    Args:
        source: A folder or .zip with one folder per class, a .csv or .tsv table (path, label, group, split, ...), a
            .npz file, `medmnist:NAME`, or the word `digits`.
        size: A side in pixels (8..1024), (height, width), "native": as they are, or "auto": as they are when all have
            one size and no side is over 64, else 64 x 64.
        fit: What becomes of another aspect ratio: "stretch", "crop" or "pad".
        channels: "auto": grey when no image has colour, else all are colour; "grey": colour images become their luma
            (ITU-R 601) as soon as they are decoded.
        levels: How more than eight bits become eight: "percentiles LOW HIGH" of each image, "window CENTRE WIDTH", or
            "auto": a DICOM file's own window, else percentiles 0.5 to 99.5.
        group: What belongs together: a column, "folder", a regular expression with `(?P<group>...)`, "none", or "" for
            what the source says.
        columns: A table's columns by another name, such as `{"path": "image_id", "label": "dx"}`.
        classes: What to call a class, such as `{"mel": "malignant", "bcc": "malignant"}`: two of one name are one
            class, "" leaves a class out, and a class that is not named keeps its name.
        skip_unreadable: Go on without files that cannot be read.

    Returns:
        uint8 images (N, C, H, W), C = 1 when no image has colour or colours are left out, else 3, with labels, names,
        digests of the pixels before any resizing, and groups, given parts and further columns if there are any.

    Raises:
        DataError: If nothing can read the source, or its content cannot be used as it is.
        SettingsError: If a setting cannot be meant.

    Example:
        >>> digits = read("digits")
        >>> len(digits), digits.shape, digits.classes[:3]
        (1797, (1, 8, 8), ('0', '1', '2'))
    """
    settings = ReadSettings(
        size=sized(size),
        fit=fit,
        channels=channels,
        levels=levels,
        group=group,
        columns=tuple((columns or {}).items()),
        classes=tuple((classes or {}).items()),
        skip_unreadable=skip_unreadable,
    )
    return read_source(source, settings).images


def read_source(source: str | Path, settings: ReadSettings, told: Told | None = None) -> Reading:
    """Read labelled images and what there is to know of the files they came from.

    Args:
        source: See `read`.
        settings: How to read.
        told: Hears (images read, images in all).

    Raises:
        DataError: If nothing can read the source, or its content cannot be used as it is.
    """
    return reader_for(source).read(_text(source), settings, told)


def content_digest(source: str | Path, settings: ReadSettings | None = None) -> str:
    """Return the SHA-256 of the content of a source; where it lies is not part of it.

    Raises:
        DataError: If nothing can read the source.
    """
    return reader_for(source).digest(_text(source), settings or ReadSettings())


def reader_for(source: str | Path) -> Reader:
    """Return the reader that is meant for a source.

    Raises:
        DataError: If there is none.

    Example:
        >>> reader_for("digits").name
        'digits'
    """
    text = _text(source)
    expected = "; ".join(reader.summary for reader in READERS.values())
    try:
        there = text != "" and Path(text).exists()  # no text is the present folder to Path, and a slip to us
        meant = next((reader for reader in READERS.values() if reader.matches(text)), None) if text else None
    except OSError as error:  # a name that the system cannot hold, or a folder that may not be looked into
        raise DataError(f"no images at {text[:200]!r}: {error.strerror}. Check the path and its rights.") from None
    if meant is None:
        found = f"a file of the kind {Path(text).suffix!r}" if there else "nothing there: check the path"
        raise DataError(f"no images at {text!r}: found {found}. Expected one of: {expected}.")
    return meant


def is_place(source: str) -> bool:
    """Tell whether a source is a path, which moves with its folder, rather than a word that means the same anywhere.

    Example:
        >>> is_place("digits"), is_place("medmnist:breastmnist"), is_place("scans")
        (False, False, True)
    """
    return not any(READERS[word].matches(source) for word in ("digits", "medmnist"))


def _text(source: str | Path) -> str:
    # Path("digits") means a folder, whatever words the readers know
    return source if isinstance(source, str) else str(source.absolute())
