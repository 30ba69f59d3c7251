"""NumPy .npz files: MedMNIST's layout with given parts, or plain `images` and `labels`."""

from __future__ import annotations

import hashlib
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.lib.npyio import NpzFile

from augury.errors import DataError
from augury.images import PARTS
from augury.readers.album import Album
from augury.readers.archive import PACKED
from augury.readers.base import Labels, Reading, Told, read_album
from augury.readers.how import ReadSettings
from augury.readers.levels import Levels
from augury.readers.manifest import check_mapping
from augury.readers.pixels import from_array, picture

MAX_BYTES = 16 * 2**30  # what a file may expand to

_UNPACKING = (OSError, EOFError, RuntimeError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile)
# what numpy's parser of a broken header raises; a RuntimeError is a RecursionError or an encrypted member
_PARSING = (ValueError, TypeError, KeyError, IndexError, MemoryError, SyntaxError, OverflowError, tokenize.TokenError)
_BROKEN = (*_UNPACKING, *_PARSING)
_OBJECT = re.compile(r":? <[^>]* object at 0x[0-9a-f]+>")  # in messages that are meant for programmers

_ORGANS = (
    *("bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right"),
    *("liver", "lung-left", "lung-right", "pancreas", "spleen"),
)
# the files hold numbers only; names as published with MedMNIST v2
_MEDMNIST_CLASSES = {
    "bloodmnist": (
        *("basophil", "eosinophil", "erythroblast", "immature granulocytes"),
        *("lymphocyte", "monocyte", "neutrophil", "platelet"),
    ),
    "breastmnist": ("malignant", "normal, benign"),
    "dermamnist": (
        *("actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma", "benign keratosis-like lesions"),
        *("dermatofibroma", "melanoma", "melanocytic nevi", "vascular lesions"),
    ),
    "octmnist": ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    "organamnist": _ORGANS,
    "organcmnist": _ORGANS,
    "organsmnist": _ORGANS,
    "pathmnist": (
        *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa"),
        *("cancer-associated stroma", "colorectal adenocarcinoma epithelium"),
    ),
    "pneumoniamnist": ("normal", "pneumonia"),
    "tissuemnist": (
        *("collecting duct, connecting tubule", "distal convoluted tubule", "glomerular endothelial cells"),
        *("interstitial endothelial cells", "leukocytes", "podocytes", "proximal tubule segments"),
        "thick ascending limb",
    ),
}


@dataclass(frozen=True)
class Npz:
    """Reads `train_images`, `train_labels` (and val, test), or `images`, `labels`; optional `classes`, `groups`."""

    name: ClassVar[str] = "npz"
    summary: ClassVar[str] = "a .npz file in MedMNIST's layout, or with plain images and labels"

    def matches(self, source: str) -> bool:
        """Tell whether the source is a file that ends in .npz."""
        return source.lower().endswith(".npz") and Path(source).is_file()

    def digest(self, source: str, settings: ReadSettings) -> str:
        """Return the SHA-256 of the file and of the published set it is known as, which names its classes."""
        try:
            with Path(source).open("rb") as file:
                content = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise DataError(f"{Path(source).name} cannot be opened ({error.strerror}). Check its rights.") from None
        content.update((_published(source) or "").encode())
        return content.hexdigest()

    def read(self, source: str, settings: ReadSettings, told: Told | None = None) -> Reading:
        """Read all parts of a file; image i of a part is named `<part>/<i>`.

        Raises:
            DataError: If an array is missing or has the wrong type or shape, or a label between others is unused.
        """
        path = Path(source)
        check_mapping(settings, path.name)
        with _opened(path) as file:
            return _read(_Arrays(file, path.name), _published(source), settings, told)


def _read(arrays: _Arrays, published: str | None, settings: ReadSettings, told: Told | None) -> Reading:
    counted = [(part, prefix, arrays.labels(f"{prefix}labels")) for part, prefix in arrays.parts()]
    most = sum(len(labels) for _, _, labels in counted)
    album, levels, sizing = Album(most, settings.sizing), Levels.parse(settings.levels), settings.sizing
    for part, prefix, labels in counted:
        for i, image in enumerate(arrays.images(f"{prefix}images", len(labels))):
            name = f"{part}/{i}" if part else f"{i}"
            album.add(picture(name, from_array(image, levels), sizing, settings.channels))
            if told is not None:
                told(len(album.kept), most)
    labels = [label for _, _, own in counted for label in own]
    parts = [part for part, _, own in counted for _ in own if part]
    classes = _class_names(labels, arrays.texts("classes"), published)
    return read_album(album, Labels(labels, classes, _groups(arrays, most), parts or None), settings)


class _Arrays:
    """The arrays of one file, each checked when it is asked for."""

    def __init__(self, file: NpzFile, name: str) -> None:
        self._file = file
        self._name = name
        assert file.zip is not None
        self._keys = {name.removesuffix(".npy") for name in file.zip.namelist() if name.endswith(".npy")}

    def parts(self) -> list[tuple[str, str]]:
        """Return (part, prefix of its arrays); plain arrays have no part."""
        given = [(part, f"{part}_") for part in PARTS if f"{part}_images" in self._keys]
        if given and given[0][0] != "train":
            raise DataError(
                f"{self._name} has {given[0][0]}_images but no train_images. Add them, or rename to images."
            )
        if given or "images" in self._keys:
            return given or [("", "")]
        found = ", ".join(sorted(self._keys)) or "no arrays"
        raise DataError(f"{self._name} needs train_images and train_labels, or images and labels. Got {found}.")

    def images(self, key: str, count: int) -> np.ndarray:
        """Return uint8 (N, H, W) or (N, H, W, 3), or 16-bit (N, H, W)."""
        images = self._load(key)
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)) or 0 in images.shape[1:]:
            raise DataError(
                f"{key} of {self._name} must be (N, H, W) or (N, H, W, 3). Got {images.shape}: shape them so."
            )
        is_grey = images.ndim == 3 or images.shape[3] == 1
        if images.dtype.kind in "iu" and images.dtype.itemsize == 2:
            images = images.astype(images.dtype.newbyteorder("="), copy=False)
        if images.dtype != np.uint8 and not (is_grey and images.dtype in (np.uint16, np.int16)):
            remedy = "Scale them to 0..255 and store them as uint8: (255 * images).round().astype('uint8') from 0..1"
            expected = "uint8, 0..255, or grey and 16-bit"
            raise DataError(f"{key} of {self._name} must be {expected}. Got {images.dtype} {images.shape}. {remedy}.")
        if len(images) != count:
            labels = key.replace("images", "labels")
            expected = f"{len(images)} labels, one per image"
            raise DataError(f"{labels} of {self._name} must have {expected}. Got {count}: add or remove some.")
        return images

    def labels(self, key: str) -> list[int]:
        labels = self._load(key)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            one = "one label per image, (N,) or (N, 1)"
            raise DataError(
                f"{key} of {self._name} must be {one}. Got {labels.shape}: several labels are not supported."
            )
        if labels.dtype.kind not in "iu":
            raise DataError(
                f"{key} of {self._name} must be whole numbers, 0, 1, .... Got {labels.dtype}: convert them."
            )
        return [int(label) for label in labels]

    def texts(self, key: str) -> tuple[str, ...] | None:
        if key not in self._keys:
            return None
        values = self._load(key)
        if values.ndim != 1 or values.dtype.kind not in "iuU":
            found = f"{values.dtype} {values.shape}"
            raise DataError(f"{key} of {self._name} must be texts, one dimension. Got {found}: convert them.")
        return tuple(str(value) for value in values)

    def _load(self, key: str) -> np.ndarray:
        if key not in self._keys:
            raise DataError(f"{self._name} has no {key}. Got {', '.join(sorted(self._keys))}: add it.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of headers as Python 2 wrote them
                return _array(self._file, key)
        except _BROKEN as error:
            remedy = "Arrays of numbers of one size were expected: write them with numpy.savez"
            raise DataError(f"{key} of {self._name} cannot be read ({_first_line(error)}). {remedy}.") from None


def _array(file: NpzFile, key: str) -> np.ndarray:
    assert file.zip is not None
    with file.zip.open(f"{key}.npy") as member:
        if member.read(len(MAGIC_PREFIX)) != MAGIC_PREFIX:  # numpy would return the bytes
            raise ValueError("it holds something else")
    array: np.ndarray = file[key]
    return array


def _first_line(error: Exception) -> str:
    if "pickle" in str(error):  # what numpy says then is how to open it all the same
        return "it holds Python objects"
    return _OBJECT.sub("", str(error)).partition("\n")[0] or type(error).__name__


def _opened(path: Path) -> NpzFile:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        expanded = sum(member.file_size for member in members)
        if expanded <= MAX_BYTES and all(member.compress_type in PACKED for member in members):
            file: NpzFile = np.load(path, allow_pickle=False)
            return file
    except _BROKEN as error:
        raise DataError(f"{path.name} is not a .npz file ({_first_line(error)}). Write it with numpy.savez.") from None
    if expanded > MAX_BYTES:
        raise DataError(f"{path.name} expands to {expanded:,} bytes, at most {MAX_BYTES:,} are read. Use a part of it.")
    raise DataError(f"{path.name} is not packed as numpy packs .npz files. Write it with numpy.savez.")


def _published(source: str) -> str | None:
    stem = Path(source).stem.lower()
    return next((name for name in _MEDMNIST_CLASSES if stem.startswith(name)), None)


def _class_names(labels: Sequence[int], given: tuple[str, ...] | None, published: str | None) -> Sequence[str]:
    present: list[Any] = sorted(set(labels))
    gap = next((row for row, label in enumerate(present) if label != row), None)
    if gap is not None:
        expected = "labels must count up from 0 without a gap"
        raise DataError(f"{expected}. Got {present[gap]} but no {gap}: number the classes anew.")
    names = set(filter(str.strip, given or ()))
    if given is not None and not len(given) == len(names) == len(present):
        expected = f"classes must name {len(present)} classes, one for each label"
        raise DataError(f"{expected}. Got {len(given)}: {', '.join(given[:9])}. Name each once.")
    known = _MEDMNIST_CLASSES.get(published or "", ())
    return given or (known if len(known) == len(present) else [str(label) for label in present])


def _groups(arrays: _Arrays, count: int) -> tuple[str, ...] | None:
    groups = arrays.texts("groups")
    if groups is not None and len(groups) != count:
        raise DataError(f"groups must have {count} entries, one per image. Got {len(groups)}: add or remove some.")
    return groups
