"""The 1,797 hand-written digits that come with scikit-learn: no download, good for a first try."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sklearn.datasets import load_digits

from augury.images import ImageSet
from augury.readers.base import labelled
from augury.readers.pixels import Fit, Pixels, Size, Sizing, picture


@dataclass(frozen=True)
class Digits:
    """Reads 8 x 8 grey digits, ten classes; the source is the word `digits`."""

    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "the word digits: 1,797 hand-written digits, 8 x 8, that come with scikit-learn"

    def matches(self, source: str) -> bool:
        """Tell whether the source is the word `digits`."""
        return source == "digits"

    def digest(self, source: str) -> str:
        """Return the SHA-256 of all digits and their labels."""
        pixels, labels = _load()
        return hashlib.sha256(pixels.tobytes() + labels.astype("<i8").tobytes()).hexdigest()

    def read(self, source: str, *, size: Size, fit: Fit) -> ImageSet:
        """Read the digits; their 17 grey values are stretched to 0..255."""
        sizing = Sizing(size, fit)
        pixels, labels = _load()
        pictures = [picture(f"{i}", image, sizing) for i, image in enumerate(pixels)]
        return labelled(pictures, labels.tolist(), [str(digit) for digit in range(10)], sizing)


def _load() -> tuple[Pixels, np.ndarray]:
    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target
