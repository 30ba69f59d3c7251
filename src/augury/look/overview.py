"""What there is to see of some images: counts, sizes, groups, duplicates, shortcuts; nothing is judged here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from augury.duplicates import MIN_SIDE, Rows, find
from augury.images import PARTS, ImageSet
from augury.look.shortcuts import Shortcut, find_shortcuts
from augury.readers import Reading, ReadSettings, Told, read_source
from augury.stored import in_chunks

BLANK = 2.0  # of 255: standard deviation over the pixels of an image, below which there is nothing to be seen
PROMISES = {"JPG": "JPEG", "TIF": "TIFF", "DCM": "DICOM", "IMA": "DICOM"}  # extensions that are no format's name


@dataclass(frozen=True)
class Twins:
    """Images that show one picture, exactly or nearly.

    Attributes:
        names: Their names.
        labels: Their class names.
        parts: Their given parts, or None.
        exact: Pixel by pixel.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    parts: tuple[str, ...] | None
    exact: bool

    @property
    def across_classes(self) -> bool:
        """Tell whether their labels differ."""
        return len(set(self.labels)) > 1

    @property
    def across_parts(self) -> bool:
        """Tell whether they lie in several given parts."""
        return self.parts is not None and len(set(self.parts)) > 1

    @property
    def kind(self) -> str:
        """Return where they lie, in words."""
        places = [("across classes", self.across_classes), ("across given splits", self.across_parts)]
        return " and ".join(place for place, holds in places if holds) or "within a class"


@dataclass(frozen=True, eq=False)
class Look:
    """Some images as they were found.

    Attributes:
        source: The name of the source, without its place.
        reading: The images that can be read, and the files that cannot.
        twins: Groups of exact and near duplicates, exact ones first.
        shortcuts: Properties that differ among the images, and how well each tells the classes apart.
        small: The images are too small to look for near duplicates.
    """

    source: str
    reading: Reading
    twins: tuple[Twins, ...]
    shortcuts: tuple[Shortcut, ...]
    small: bool

    @property
    def images(self) -> ImageSet:
        """Return the images that can be read."""
        return self.reading.images

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of images by class and given part; without parts all lie in ``."""
        parts = self.images.parts or [""] * len(self.images)
        found = Counter(zip(self.images.labels.tolist(), parts, strict=True))
        order = [part for part in ("", *PARTS) if part in set(parts)]
        return {name: {part: found[label, part] for part in order} for label, name in enumerate(self.images.classes)}

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Return the number of images of each size, HEIGHT x WIDTH, most frequent first."""
        return _counted([f"{facts.height} x {facts.width}" for facts in self.reading.facts])

    @cached_property
    def formats(self) -> dict[str, int]:
        """Return the number of images of each file format."""
        return _counted([facts.format for facts in self.reading.facts])

    @cached_property
    def modes(self) -> dict[str, int]:
        """Return the number of images of each mode, in Pillow's words."""
        return _counted([facts.mode for facts in self.reading.facts])

    @cached_property
    def misnamed(self) -> tuple[str, ...]:
        """Return the images whose name promises another format."""
        return tuple(
            name
            for name, facts in zip(self.images.names, self.reading.facts, strict=True)
            if facts.format != "array" and _promised(name) not in ("", facts.format)
        )

    @cached_property
    def several(self) -> int:
        """Return how many files hold several pictures."""
        return sum(facts.several for facts in self.reading.facts)

    @cached_property
    def blank(self) -> tuple[str, ...]:
        """Return the names of the images that show next to nothing: every channel is nearly of one value."""
        spreads = [chunk.flatten(2).float().std(2, correction=0).amax(1) for chunk in in_chunks(self.images.images)]
        flat = (torch.cat(spreads) < BLANK).tolist()
        return tuple(name for name, is_flat in zip(self.images.names, flat, strict=True) if is_flat)

    @cached_property
    def group_sizes(self) -> tuple[int, ...]:
        """Return the number of images of each group, largest first; empty without groups."""
        if not self.images.groups_given:
            return ()
        return tuple(sorted(Counter(self.images.group_names).values(), reverse=True))

    @cached_property
    def groups_in_classes(self) -> dict[str, int]:
        """Return how many groups have images of each class."""
        found = set(zip(self.images.labels.tolist(), self.images.group_names, strict=True))
        by_label = Counter(label for label, _ in found)
        return {name: by_label[label] for label, name in enumerate(self.images.classes)}

    def spanning(self, values: Sequence[object]) -> tuple[str, ...]:
        """Return the groups whose images have different values: of class, or of given part."""
        found: dict[str, set[object]] = defaultdict(set)
        for group, value in zip(self.images.group_names, values, strict=True):
            found[group].add(value)
        return tuple(group for group, own in found.items() if len(own) > 1)


def look(source: str | Path, settings: ReadSettings | None = None, told: Told | None = None) -> Look:
    """Look at some images; files that cannot be read are listed, not refused.

    Args:
        source: What `augury.read` takes.
        settings: How to read.
        told: Hears (images read, images in all).

    Raises:
        DataError: If there is nothing to look at: no source, no classes, no image that can be read.

    Example:
        >>> seen = look("digits")
        >>> seen.sizes, len(seen.twins)
        ({'8 x 8': 1797}, 0)
    """
    how = (settings or ReadSettings()).replace(skip_unreadable=True)
    reading = read_source(source, how, told)
    found = find(reading.images, reading.thumbnails, reading.sides)
    twins = [_twins(reading.images, rows, True) for rows in found.exact]
    twins += [_twins(reading.images, rows, False) for rows in found.near]
    small = not any(side >= MIN_SIDE for side in reading.sides)
    return Look(Path(source).name, reading, tuple(twins), find_shortcuts(reading), small)


def _twins(images: ImageSet, rows: Rows, exact: bool) -> Twins:
    return Twins(
        tuple(images.names[row] for row in rows),
        tuple(images.classes[int(images.labels[row])] for row in rows),
        None if images.parts is None else tuple(images.parts[row] for row in rows),
        exact,
    )


def _counted(values: Sequence[str]) -> dict[str, int]:
    known, counts = np.unique(np.array(values), return_counts=True)
    return {str(known[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def _promised(name: str) -> str:
    file_name = name.rpartition("/")[2]
    extension = file_name.rpartition(".")[2].upper() if "." in file_name else ""
    extension = PROMISES.get(extension, extension)
    return extension if extension in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "DICOM") else ""
