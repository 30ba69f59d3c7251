"""What a reader is, and the checks that the labels of every source must pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch

from augury.errors import DataError
from augury.images import ImageSet, real_set
from augury.readers.pixels import Fit, Picture, Size, Sizing, stack


class Reader(Protocol):
    """A way from one kind of source to an image set."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def matches(self, source: str) -> bool:
        """Tell whether this reader is meant for a source; nothing is decoded."""
        ...

    def digest(self, source: str) -> str:
        """Return the SHA-256 of the content of a source, wherever it lies."""
        ...

    def read(self, source: str, *, size: Size, fit: Fit) -> ImageSet:
        """Read all images of a source, at one size."""
        ...


def labelled(
    pictures: Sequence[Picture],
    labels: Sequence[int],
    classes: Sequence[str],
    sizing: Sizing,
    *,
    groups: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
) -> ImageSet:
    """Build the image set of some decoded pictures.

    Args:
        pictures: N pictures.
        labels: N labels, 0..K-1.
        classes: K class names.
        sizing: The size the set gets.
        groups: N group names, or None.
        parts: N given parts, or None.

    Raises:
        DataError: If there are fewer than two classes, or a class has no image (in the training part).
    """
    _check_classes(labels, classes, parts)
    return real_set(
        stack(pictures, sizing),
        torch.tensor(labels, dtype=torch.int64),
        classes,
        names=[picture.name for picture in pictures],
        digests=[picture.digest for picture in pictures],
        groups=groups,
        parts=parts,
    )


def _check_classes(labels: Sequence[int], classes: Sequence[str], parts: Sequence[str] | None) -> None:
    if len(classes) < 2:
        found = f"Got only {classes[0]!r}" if classes else "Got none"
        raise DataError(f"at least 2 classes are needed to train a classifier. {found}: add images of another class.")
    train = labels if parts is None else [label for label, part in zip(labels, parts, strict=True) if part == "train"]
    where = "" if parts is None else " in the train part"
    missing = sorted(set(range(len(classes))) - set(train))
    if missing:
        name = classes[missing[0]]
        raise DataError(f"class {name!r} has no images{where}: every class needs some. Remove the class or add images.")
