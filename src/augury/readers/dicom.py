"""DICOM files: one 2-D image with rescale, window and photometric interpretation applied (extra `dicom`).

Reference: DICOM PS3.3 C.7.6.3.1.2 (photometric interpretation), C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from augury.readers.levels import Levels, Pixels, Values, windowed
from augury.readers.tree import MAX_FILE_BYTES, UnreadableError

EXTENSIONS = (".dcm", ".dicom", ".ima")
MARK_ENDS = 132
_MARK_AT = 128
_META_GROUP = 2
_REMEDY = "Replace it or remove it."
# what pydicom's parsers and decoders of broken files raise
_BROKEN = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError),
    *(NotImplementedError, MemoryError, struct.error, zlib.error),
)


def is_dicom(data: bytes) -> bool:
    """Tell whether a file begins like a DICOM file: 128 bytes of anything, then `DICM`."""
    return data[_MARK_AT:MARK_ENDS] == b"DICM"


def decode(data: bytes, levels: Levels) -> tuple[Values, Pixels, str | None]:
    """Decode one DICOM file.

    Returns:
        The values as stored (after rescale for grey ones), the image as it is shown, uint8 (H, W) or (H, W, 3), and a
        name for the patient: a digest, so that no store and no report holds a patient's id.

    Raises:
        UnreadableError: If pydicom is missing, or the file is not one whole 2-D image. The caller must have silenced
            warnings: pydicom warns of harmless departures from the standard.
    """
    try:
        import pydicom
        from pydicom.errors import BytesLengthException, InvalidDicomError
    except ImportError:
        raise UnreadableError("is a DICOM file. To read it: pip install 'augury[dicom]'.") from None
    try:
        _check_expansion(data)
        dataset = pydicom.dcmread(io.BytesIO(data))
        values, shown = _shown(dataset, levels)
        patient = str(dataset.get("PatientID", "") or "").strip()
    except (InvalidDicomError, BytesLengthException, *_BROKEN) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        if "missing dependencies" in why:
            why, _, _ = why.partition(" because ")
            why = f"{why}: install pylibjpeg and its plug-ins, or export the file uncompressed"
        raise UnreadableError(f"cannot be read as a DICOM image ({why}). {_REMEDY}") from None
    return values, shown, _pseudonym(patient) if patient else None


def _check_expansion(data: bytes) -> None:
    """Refuse a deflated file that expands too far; pydicom would unpack all of it at once."""
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    file = io.BytesIO(data)
    read_preamble(file, force=False)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != _META_GROUP)  # always written so
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        expanded = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[file.tell() :], MAX_FILE_BYTES + 1)
        if len(expanded) > MAX_FILE_BYTES:
            raise UnreadableError(f"expands to more than {MAX_FILE_BYTES:,} bytes. {_REMEDY}")


def _pseudonym(patient: str) -> str:
    return "patient " + hashlib.sha256(patient.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _shown(dataset: Any, levels: Levels) -> tuple[Values, Pixels]:
    if not all(name in dataset for name in ("PixelData", "Rows", "Columns")):
        raise UnreadableError(f"holds no picture. {_REMEDY}")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise UnreadableError(f"holds {frames} pictures (a volume or a film): one was expected. Export them singly.")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and int(dataset.Rows) * int(dataset.Columns) > limit:
        raise UnreadableError(f"has more than {limit:,} pixels. Make it smaller or remove it.")
    kind = str(dataset.PhotometricInterpretation)
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        colour = _colour(dataset, kind)
        return colour, colour
    values, shown = _grey(dataset, levels)
    if kind == "MONOCHROME2":
        return values, shown
    inverted = 255 - shown
    return inverted if values is shown else values, inverted


def _grey(dataset: Any, levels: Levels) -> tuple[Values, Pixels]:
    from pydicom.pixels.processing import apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    raw = np.asarray(pixel_array(dataset))
    if raw.ndim != 2:
        raise UnreadableError(f"holds values of the shape {raw.shape}: one picture was expected. {_REMEDY}")
    values = np.asarray(apply_modality_lut(raw, dataset))
    if not np.isfinite(values).all():
        raise UnreadableError(f"holds values that are no numbers (NaN or infinite). {_REMEDY}")
    window = None if levels.declared else _own_window(dataset)
    if window is not None:
        return values, windowed(values, *window)
    if raw.dtype == np.uint8 and dataset.BitsStored == 8 and np.array_equal(values, raw):
        return raw, raw  # like any other image of eight bits
    return values, levels.apply(values)


def _own_window(dataset: Any) -> tuple[float, float, str] | None:
    """Return centre, width and function of the file's first window."""
    centre, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centre in (None, "") or width in (None, ""):
        return None
    first = [float(value[0]) if hasattr(value, "__len__") else float(value) for value in (centre, width)]
    meant = np.isfinite(first).all() and first[1] > 0
    return (first[0], first[1], str(dataset.get("VOILUTFunction") or "LINEAR")) if meant else None


def _colour(dataset: Any, kind: str) -> Pixels:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    values = np.asarray(pixel_array(dataset))  # YBR becomes RGB here
    highest = 2 ** int(dataset.BitsStored) - 1
    if kind == "PALETTE COLOR":
        values = np.asarray(apply_color_lut(values, dataset))[..., :3]
        highest = np.iinfo(values.dtype).max
    if values.dtype != np.uint8:
        values = np.rint(np.clip(values / highest, 0, 1) * 255).astype(np.uint8)
    if values.ndim != 3 or values.shape[2] != 3:
        raise UnreadableError(f"is a DICOM image of the kind {kind!r}, which is not supported. {_REMEDY}")
    return np.ascontiguousarray(values)
