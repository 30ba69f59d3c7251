"""Exact duplicates: pictures that are the same pixel by pixel, found by their digests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from augury.errors import DataError
from augury.images import PARTS, ImageSet


@dataclass(frozen=True)
class Cleaned:
    """An image set without the duplicates that would spoil a comparison, and what was done.

    Attributes:
        images: The images that stay, in their order. Groups that were made here have names that start with `#`.
        set_aside: Names of the images that show one picture under different labels: all of them were removed.
        dropped: (name, name of its twin) of images whose twin stands in a given part that is kept for scoring.
        merged: Number of groups that were joined with another because they share a picture.
    """

    images: ImageSet
    set_aside: tuple[tuple[str, ...], ...]
    dropped: tuple[tuple[str, str], ...]
    merged: int


def clean(images: ImageSet, *, given_split: bool, as_is: bool = False) -> Cleaned:
    """Set conflicting duplicates aside, drop copies across given parts, join the groups of the others.

    Args:
        images: N real images.
        given_split: The given parts will be used: of a picture in several parts only the test (else val) copy stays.
        as_is: Leave everything as it is: a declared flaw.

    Raises:
        DataError: If the given parts are to be used and there are none, or a class loses all its images.

    Example:
        >>> import torch
        >>> from augury.images import real_set
        >>> pictures = torch.tensor([0, 0, 1, 2], dtype=torch.uint8).view(4, 1, 1, 1).repeat(1, 1, 8, 8)
        >>> clean(real_set(pictures, torch.tensor([0, 1, 0, 1]), ["a", "b"]), given_split=False).set_aside
        (('0', '1'),)
    """
    if given_split and images.parts is None:
        raise DataError("the given split is asked for, but the images have no given parts. Use the plan 'folds'.")
    if as_is:
        return Cleaned(images, (), (), 0)
    labels = images.labels.tolist()
    twins = _twins(images.digests)
    conflicts = [rows for rows in twins if len({labels[row] for row in rows}) > 1]
    agreeing = [rows for rows in twins if len({labels[row] for row in rows}) == 1]
    twin_of = _across_parts(agreeing, images.parts) if given_split and images.parts is not None else {}
    gone = {row for rows in conflicts for row in rows} | twin_of.keys()
    kept = [row for row in range(len(images)) if row not in gone]
    _check_nothing_vanished(images, kept, conflicts)
    joined, merged = _joined(images.take(kept)) if gone else _joined(images)
    return Cleaned(
        images=joined,
        set_aside=tuple(tuple(images.names[row] for row in rows) for rows in conflicts),
        dropped=tuple((images.names[row], images.names[twin]) for row, twin in sorted(twin_of.items())),
        merged=merged,
    )


def _check_nothing_vanished(images: ImageSet, kept: Sequence[int], conflicts: Sequence[tuple[int, ...]]) -> None:
    left = {int(images.labels[row]) for row in kept}
    for label, name in enumerate(images.classes):
        if label not in left and images.counts()[label]:
            rows = next(rows for rows in conflicts if any(int(images.labels[row]) == label for row in rows))
            raise DataError(
                f"every image of class {name!r} stands in another class, too, first: "
                f"{' = '.join(images.names[row] for row in rows)}. Remove the wrong copies."
            )


def _twins(digests: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the positions of each picture that occurs more than once."""
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        rows.setdefault(digest, []).append(row)
    return [tuple(same) for same in rows.values() if len(same) > 1]


def _across_parts(twins: Sequence[tuple[int, ...]], parts: Sequence[str]) -> dict[int, int]:
    """Return, for each image to drop, the twin that stays: test before val before train."""
    dropped: dict[int, int] = {}
    for rows in twins:
        stays = max(rows, key=lambda row: (PARTS.index(parts[row]), -row))
        dropped |= {row: stays for row in rows if parts[row] != parts[stays]}
    return dropped


def _joined(images: ImageSet) -> tuple[ImageSet, int]:
    names = images.group_names
    parent: dict[str, str] = {}
    for rows in _twins(images.digests):
        first = _root(parent, names[rows[0]])
        parent |= {root: first for row in rows[1:] if (root := _root(parent, names[row])) != first}
    if not parent:
        return images, 0
    groups = tuple(_root(parent, name) for name in names)
    return dataclasses.replace(images, groups=groups), len(parent.keys() | {_root(parent, name) for name in parent})


def _root(parent: dict[str, str], name: str) -> str:
    while name in parent:
        name = parent[name]
    return name
