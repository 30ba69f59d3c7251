"""What a reader is, and the way from listed or decoded images to an image set that all readers share."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import torch
from PIL import Image

from augury.errors import DataError
from augury.images import ImageSet, real_set
from augury.readers.album import Album
from augury.readers.decoding import decoded_pieces
from augury.readers.grouping import grouped
from augury.readers.how import ReadSettings
from augury.readers.levels import Levels, Pixels
from augury.readers.pixels import KINDS, Facts, Picture
from augury.readers.tree import Refused, Tree
from augury.settings import nearest
from augury.training import torch_threads

SHOWN = 3  # files named in one message

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Entry:
    """One listed image: its name in the tree, and what is known of it before it is decoded."""

    name: str
    class_name: str
    part: str | None = None
    group: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The images of a tree of files, not yet decoded.

    Attributes:
        tree: Where their bytes are.
        entries: N images.
        classes: K class names, in label order.
        columns: Names of the further columns, one value of each in every entry.
        refused: Files that are there and cannot be images.
        origin: What else decided: the bytes of a manifest.
    """

    tree: Tree
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    columns: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    origin: bytes = b""


@dataclass(frozen=True, eq=False)
class Reading:
    """What reading a source gave.

    Attributes:
        images: N images at one size.
        facts: N descriptions of what they were.
        thumbnails: uint8 (N, S, S), grey: what near duplicates are found by.
        skipped: Files that could not be read; empty unless that was allowed.
        levels: How images of more than eight bits became images of eight; empty if there were none.
    """

    images: ImageSet
    facts: tuple[Facts, ...]
    thumbnails: Pixels
    skipped: tuple[Refused, ...] = ()
    levels: str = ""

    def take(self, rows: Sequence[int]) -> Reading:
        """Return what was read of some images."""
        return replace(
            self,
            images=self.images.take(rows),
            facts=tuple(self.facts[row] for row in rows),
            thumbnails=self.thumbnails[list(rows)],
        )

    @property
    def sides(self) -> tuple[int, ...]:
        """Return the smaller side of each image as decoded, in pixels."""
        return tuple(min(facts.height, facts.width) for facts in self.facts)


class Reader(Protocol):
    """A way from one kind of source to an image set."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def matches(self, source: str) -> bool:
        """Tell whether this reader is meant for a source; nothing is decoded."""
        ...

    def digest(self, source: str, settings: ReadSettings) -> str:
        """Return the SHA-256 of the content of a source, wherever it lies."""
        ...

    def read(self, source: str, settings: ReadSettings, told: Told | None = None) -> Reading:
        """Read all images of a source, at one size; `told` hears (images read, images in all)."""
        ...


@dataclass(frozen=True)
class Labels:
    """What a source says about its N images.

    Attributes:
        labels: N labels, 0..K-1.
        classes: K class names.
        groups: N group names or None, or None for all.
        parts: N given parts, or None.
        columns: Further columns of N values.
    """

    labels: Sequence[int]
    classes: Sequence[str]
    groups: Sequence[str | None] | None = None
    parts: Sequence[str] | None = None
    columns: dict[str, Sequence[str]] = field(default_factory=dict)


def read_listed(listing: Listing, settings: ReadSettings, told: Told | None = None) -> Reading:
    """Decode all images of a listing, in order.

    Raises:
        DataError: If a file cannot be read and that is not allowed, or what is left cannot be used.
    """
    if not listing.entries:
        why = _unreadable(listing.refused, settings) if listing.refused else f"Expected some of {KINDS}: add images."
        raise DataError(f"{listing.tree.title} holds no images that can be read. {why}")
    listed = renamed(_labels(listing, listing.entries), settings)
    if not listing.refused:  # else a class may be empty because its files are refused, and those are to be named
        _check_classes(listed, settings)
    album = Album(len(listing.entries), settings.sizing)
    kept: list[Entry] = []
    refused = list(listing.refused)
    with closing(_decoded(listing, settings)) as decoded:  # puts warnings and threads back when an image is refused
        for done, (entry, outcome) in enumerate(decoded, start=1):
            if isinstance(outcome, Refused):
                refused.append(outcome)
            elif settings.skip_unreadable or not refused:  # else what is left only finds out what else is to be named
                album.add(outcome)
                kept.append(entry)
            if told is not None:
                told(done, len(listing.entries))
    if refused and not (settings.skip_unreadable and kept):
        raise DataError(_unreadable(refused, settings))
    return read_album(album, _labels(listing, kept), settings, sorted(refused))


def _labels(listing: Listing, kept: Sequence[Entry]) -> Labels:
    label_of = {name: label for label, name in enumerate(listing.classes)}
    parts = [entry.part for entry in kept if entry.part is not None]
    return Labels(
        [label_of[entry.class_name] for entry in kept],
        listing.classes,
        [entry.group for entry in kept],
        parts or None,
        {name: [entry.columns[i] for entry in kept] for i, name in enumerate(listing.columns)},
    )


def _unreadable(refused: Sequence[Refused], settings: ReadSettings) -> str:
    count = "" if len(refused) == 1 else f"{len(refused)} files cannot be read. "
    first = " ".join(f"{item.name} {item.reason}" for item in refused[:SHOWN])
    more = f" And {len(refused) - SHOWN} more: augury look DATA lists them." if len(refused) > SHOWN else ""
    without = "it" if len(refused) == 1 else "them"
    remedy = "" if settings.skip_unreadable else f" To go on without {without}: --skip-unreadable."
    return f"{count}{first}{more}{remedy}"


def _decoded(listing: Listing, settings: ReadSettings) -> Generator[tuple[Entry, Picture | Refused], None, None]:
    # warning filters and torch's threads are handed on to the processes that decode
    with warnings.catch_warnings(), torch_threads(1):
        warnings.simplefilter("ignore")  # Pillow and pydicom warn of harmless departures from the standards
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        outcomes = decoded_pieces(listing.tree, [entry.name for entry in listing.entries], settings)
        yield from zip(listing.entries, outcomes, strict=True)


def read_album(album: Album, found: Labels, settings: ReadSettings, skipped: Sequence[Refused] = ()) -> Reading:
    """Make the image set of the pictures in an album, one for each label.

    Raises:
        DataError: If there are fewer than two classes, a class has no image (in the training part), or the images
            cannot be grouped as asked.
    """
    found = renamed(found, settings)
    _check_classes(found, settings, skipped)
    names = [kept.name for kept in album.kept]
    own = found.groups or [None] * len(names)
    given = [group or kept.group for group, kept in zip(own, album.kept, strict=True)]
    images = real_set(
        album.pixels(),
        torch.tensor(found.labels, dtype=torch.int64).clamp(min=0),  # those that are left out go below
        found.classes,
        names=names,
        digests=[kept.digest for kept in album.kept],
        groups=grouped(settings.group, names, given, found.columns, [found.classes[i] for i in found.labels]),
        parts=found.parts,
    )
    facts = tuple(kept.facts for kept in album.kept)
    images = replace(images, columns={name: tuple(values) for name, values in found.columns.items()})
    reading = Reading(images, facts, album.thumbnails, tuple(skipped), _levels_said(facts, settings))
    rows = [i for i, label in enumerate(found.labels) if label >= 0]
    return reading if len(rows) == len(facts) else reading.take(rows)


def renamed(found: Labels, settings: ReadSettings) -> Labels:
    """Call classes what the settings say; an image of a class that is left out has the label -1.

    Raises:
        DataError: If the settings name a class that is not there.
    """
    new = dict(settings.classes)
    for name in new:
        if name not in found.classes:
            raise DataError(f"'classes' renames {name!r}, and no class is called that{nearest(name, [*found.classes])}")
    if not new:
        return found
    names = [new.get(name, name) for name in found.classes]
    classes = sorted({name for name in names if name})
    place = {name: label for label, name in enumerate(classes)}
    return replace(found, labels=[place.get(names[label], -1) for label in found.labels], classes=classes)


def _levels_said(facts: Sequence[Facts], settings: ReadSettings) -> str:
    wide = sum(item.wide for item in facts)
    if not wide:
        return ""
    levels = Levels.parse(settings.levels)
    how = str(levels) if levels.declared else f"the file's own window (DICOM), else {levels}"
    return f"{wide:,} of {len(facts):,} images hold more than 8 bits per pixel: brought to 8 by {how}"


def _check_classes(found: Labels, settings: ReadSettings, skipped: Sequence[Refused] = ()) -> None:
    if not settings.to_train_on:
        return
    labels, classes, parts = found.labels, found.classes, found.parts
    if len(classes) < 2:
        got = f"Got only {classes[0]!r}" if classes else "Got none"
        raise DataError(f"at least 2 classes are needed to train a classifier. {got}: add images of another class.")
    train = labels if parts is None else [label for label, part in zip(labels, parts, strict=True) if part == "train"]
    where = "" if parts is None else " in the train part"
    count = "a file" if len(skipped) == 1 else f"{len(skipped)} files"
    why = f" ({count} could not be read)" if skipped else ""
    missing = sorted(set(range(len(classes))) - set(train))
    if missing:
        name = classes[missing[0]]
        raise DataError(
            f"class {name!r} has no images{where}{why}: every class needs some. Remove the class or add images."
        )


def listing_digest(listing: Listing) -> str:
    """Return the SHA-256 of all files of a listing and of the table that lists them."""
    content = listing.tree.digest([entry.name for entry in listing.entries])
    return hashlib.sha256(content + hashlib.sha256(listing.origin).digest()).hexdigest()
