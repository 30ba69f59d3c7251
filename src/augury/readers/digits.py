"""The 1,797 hand-written digits that come with scikit-learn: no download, good for a first try."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from augury.readers.album import Album
from augury.readers.base import Labels, Reading, Told, read_album
from augury.readers.how import ReadSettings
from augury.readers.levels import Levels, Pixels
from augury.readers.manifest import check_mapping
from augury.readers.pixels import from_array, picture


@dataclass(frozen=True)
class Digits:
    """Reads 8 x 8 grey digits, ten classes; the source is the word `digits`."""

    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "the word digits: 1,797 hand-written digits, 8 x 8, that come with scikit-learn"

    def matches(self, source: str) -> bool:
        """Tell whether the source is the word `digits`."""
        return source == "digits"

    def digest(self, source: str, settings: ReadSettings) -> str:
        """Return the SHA-256 of all digits and their labels."""
        pixels, labels = _load()
        return hashlib.sha256(pixels.tobytes() + labels.astype("<i8").tobytes()).hexdigest()

    def read(self, source: str, settings: ReadSettings, told: Told | None = None) -> Reading:
        """Read the digits; their 17 grey values are stretched to 0..255."""
        check_mapping(settings, "the set of digits")
        pixels, labels = _load()
        album = Album(len(labels), settings.sizing)
        for i, image in enumerate(pixels):
            album.add(picture(f"{i}", from_array(image, Levels()), settings.sizing))
        return read_album(album, Labels(labels.tolist(), [str(digit) for digit in range(10)]), settings)


def _load() -> tuple[Pixels, np.ndarray]:
    from sklearn.datasets import load_digits  # a second and a half, which every process would wait for

    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target
