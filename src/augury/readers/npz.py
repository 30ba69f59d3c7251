"""NumPy .npz files: MedMNIST's layout with given parts, or plain `images` and `labels`."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.lib.npyio import NpzFile

from augury.errors import DataError
from augury.images import PARTS, ImageSet
from augury.readers.base import labelled
from augury.readers.pixels import Fit, Picture, Size, Sizing, picture

MAX_BYTES = 16 * 2**30  # what a file may expand to

_BROKEN = (ValueError, OSError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile)

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
}


@dataclass(frozen=True)
class Npz:
    """Reads `train_images`, `train_labels` (and val, test), or `images`, `labels`; optional `classes`, `groups`."""

    name: ClassVar[str] = "npz"
    summary: ClassVar[str] = "a .npz file in MedMNIST's layout, or with plain images and labels"

    def matches(self, source: str) -> bool:
        """Tell whether the source is a file that ends in .npz."""
        return source.lower().endswith(".npz") and Path(source).is_file()

    def digest(self, source: str) -> str:
        """Return the SHA-256 of the file and of the published set it is known as, which names its classes."""
        with Path(source).open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        content.update((_published(source) or "").encode())
        return content.hexdigest()

    def read(self, source: str, *, size: Size, fit: Fit) -> ImageSet:
        """Read all parts of a file; image i of a part is named `<part>/<i>`.

        Raises:
            DataError: If an array is missing or has the wrong type or shape, or a label between others is unused.
        """
        sizing = Sizing(size, fit)
        with _opened(Path(source)) as file:
            return _read(_Arrays(file, Path(source).name), _published(source), sizing)


def _read(arrays: _Arrays, published: str | None, sizing: Sizing) -> ImageSet:
    pictures: list[Picture] = []
    labels: list[int] = []
    parts: list[str] = []
    for part, prefix in arrays.parts():
        images = arrays.images(f"{prefix}images")
        labels += arrays.labels(f"{prefix}labels", len(images))
        parts += [part] * len(images) if part else []
        pictures += [picture(f"{part}/{i}" if part else f"{i}", image, sizing) for i, image in enumerate(images)]
    classes = _class_names(labels, arrays.texts("classes"), published)
    return labelled(pictures, labels, classes, sizing, groups=_groups(arrays, len(labels)), parts=parts or None)


class _Arrays:
    """The arrays of one file, each checked when it is asked for."""

    def __init__(self, file: NpzFile, name: str) -> None:
        self._file = file
        self._name = name
        self._keys = set(file.files)

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

    def images(self, key: str) -> np.ndarray:
        images = self._load(key)
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)) or 0 in images.shape:
            raise DataError(f"{key} of {self._name} must be (N, H, W) or (N, H, W, 3). Got {images.shape}.")
        if images.dtype != np.uint8:
            remedy = "Scale them to 0..255 and store them as uint8: (255 * images).round().astype('uint8') from 0..1"
            raise DataError(f"{key} of {self._name} must be uint8, 0..255. Got {images.dtype}. {remedy}.")
        return images

    def labels(self, key: str, count: int) -> list[int]:
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
        if len(labels) != count:
            raise DataError(f"{key} of {self._name} must have {count} labels, one per image. Got {len(labels)}.")
        return [int(label) for label in labels]

    def texts(self, key: str) -> tuple[str, ...] | None:
        if key not in self._keys:
            return None
        values = self._load(key)
        if values.ndim != 1 or values.dtype.kind not in "iuU":
            raise DataError(f"{key} of {self._name} must be texts, one dimension. Got {values.dtype} {values.shape}.")
        return tuple(str(value) for value in values)

    def _load(self, key: str) -> np.ndarray:
        if key not in self._keys:
            raise DataError(f"{self._name} has no {key}. Got {', '.join(sorted(self._keys))}: add it.")
        try:
            array: np.ndarray = self._file[key]
        except _BROKEN as error:
            remedy = "Arrays of numbers of one size were expected: write them with numpy.savez"
            raise DataError(f"{key} of {self._name} cannot be read ({error}). {remedy}.") from None
        return array


def _opened(path: Path) -> NpzFile:
    try:
        with zipfile.ZipFile(path) as members:
            expanded = sum(member.file_size for member in members.infolist())
        if expanded <= MAX_BYTES:
            file: NpzFile = np.load(path, allow_pickle=False)
            return file
    except _BROKEN as error:
        raise DataError(f"{path.name} is not a .npz file ({error}). Write it with numpy.savez.") from None
    raise DataError(f"{path.name} expands to {expanded:,} bytes, at most {MAX_BYTES:,} are read. Use a part of it.")


def _published(source: str) -> str | None:
    stem = Path(source).stem.lower()
    return next((name for name in _MEDMNIST_CLASSES if stem.startswith(name)), None)


def _class_names(labels: Sequence[int], given: tuple[str, ...] | None, published: str | None) -> Sequence[str]:
    present: list[Any] = sorted(set(labels))
    gap = next((row for row, label in enumerate(present) if label != row), None)
    if gap is not None:
        expected = "labels must count up from 0 without a gap"
        raise DataError(f"{expected}. Got {present[gap]} but no {gap}: number the classes anew.")
    if given is not None and (len(given) != len(present) or len(set(given)) != len(given)):
        raise DataError(f"classes must name {len(present)} classes, each once. Got {len(given)}: {', '.join(given)}.")
    known = _MEDMNIST_CLASSES.get(published or "", ())
    return given or (known if len(known) == len(present) else [str(label) for label in present])


def _groups(arrays: _Arrays, count: int) -> tuple[str, ...] | None:
    groups = arrays.texts("groups")
    if groups is not None and len(groups) != count:
        raise DataError(f"groups must have {count} entries, one per image. Got {len(groups)}.")
    return groups
