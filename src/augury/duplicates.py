"""Duplicates: the same picture pixel by pixel, found by its digest, or nearly so, found by how it looks."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy.fft

from augury.errors import DataError, SettingsError
from augury.images import PARTS, ImageSet
from augury.resizing import resized

Near = Literal["join", "leave"]
Conflicts = Literal["set_aside", "join"]
Rows = tuple[int, ...]

SIDE = 32  # pixels of a thumbnail
STAGE = 2 * SIDE  # of the square on the way to it
MIN_SIDE = 24  # smaller originals, such as 8 x 8 digits, look too much alike
MAX_BITS = 4
MIN_CORRELATION = 0.975
MIN_CONTRAST = 2.0  # standard deviation in grey levels: below it, a thumbnail shows noise
MAX_PAIRS = 5_000_000

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_FREQUENCIES = sorted(((row, column) for row in range(9) for column in range(9)), key=lambda at: (np.hypot(*at), at))
_HASHED = tuple(np.array(_FREQUENCIES[1:65]).T)  # the 64 lowest but the mean
_BLOCK = 512  # images that are compared with all others at once
_BATCH = 8192  # pairs whose correlations are computed at once


@dataclass(frozen=True)
class Duplicates:
    """Rows of an image set that show one picture.

    Attributes:
        exact: Rows with the same pixels, at least two each.
        near: Rows that look the same. A copy of a member is one, too, but copies of a single picture are only exact.
    """

    exact: tuple[Rows, ...]
    near: tuple[Rows, ...]

    def without(self, gone: Iterable[int]) -> Duplicates:
        """Leave out some pictures, each with all its copies, and the groups that are none any more."""
        out = set(gone)
        exact = tuple(rows for rows in self.exact if out.isdisjoint(rows))
        first = {row: rows[0] for rows in exact for row in rows}
        near = (tuple(row for row in rows if row not in out) for rows in self.near)
        return Duplicates(exact, tuple(rows for rows in near if len({first.get(row, row) for row in rows}) > 1))

    def clusters(self) -> list[Rows]:
        """Return what belongs together: near groups, and the exact groups outside them, in order of their first row."""
        covered = set(chain.from_iterable(self.near))
        return sorted([*self.near, *(rows for rows in self.exact if rows[0] not in covered)])


@dataclass(frozen=True)
class Cleaned:
    """An image set without the duplicates that would spoil a comparison, and what was done.

    Attributes:
        images: The images that stay, in their order. Groups that were made here have names that start with `#`.
        set_aside: Names of the images that show one picture under different labels: all of them were removed.
        dropped: (name, name of its twin or near duplicate) of images that also stand in a part kept for scoring.
        merged: Number of groups that were joined with another because they share a picture, or nearly so.
        near: Names of the images of each near group, whether they stay or were dropped because of it.
        near_conflicts: Those of `near` whose labels differ.
    """

    images: ImageSet
    set_aside: tuple[tuple[str, ...], ...]
    dropped: tuple[tuple[str, str], ...]
    merged: int
    near: tuple[tuple[str, ...], ...] = ()
    near_conflicts: tuple[tuple[str, ...], ...] = ()


def clean(
    images: ImageSet,
    *,
    given_split: bool,
    as_is: bool = False,
    thumbnails: npt.NDArray[np.uint8] | None = None,
    sides: Sequence[int] | None = None,
    near: Near = "join",
    conflicts: Conflicts = "set_aside",
) -> Cleaned:
    """Set conflicting duplicates aside, drop copies across given parts, join the groups of the others.

    Args:
        images: N real images.
        given_split: The given parts will be used: of a picture in several parts only the test (else val) copy stays.
        as_is: Leave everything as it is: a declared flaw.
        thumbnails: uint8 (N, 32, 32), one `thumbnail` per image; None: only exact duplicates are looked for.
        sides: N smaller sides of the originals in pixels, or None: all are large enough.
        near: What becomes of near duplicates: "join" treats them as copies, whatever their labels; "leave" does not
            look for them.
        conflicts: What becomes of one picture under different labels: "set_aside" removes all its copies, "join"
            treats them as copies.

    Raises:
        DataError: If the given parts are to be used and there are none, a class loses all its images, or the
            thumbnails do not fit the images.
        SettingsError: If `near` or `conflicts` cannot be meant.

    Example:
        >>> import torch
        >>> from augury.images import real_set
        >>> pictures = torch.tensor([0, 0, 1, 2], dtype=torch.uint8).view(4, 1, 1, 1).repeat(1, 1, 8, 8)
        >>> clean(real_set(pictures, torch.tensor([0, 1, 0, 1]), ["a", "b"]), given_split=False).set_aside
        (('0', '1'),)
    """
    _check_choices(near, conflicts)
    if given_split and images.parts is None:
        raise DataError("the given split is asked for, but the images have no given parts. Use the plan 'folds'.")
    if as_is:
        return Cleaned(images, (), (), 0)
    found = find(images, None if near == "leave" else thumbnails, sides)
    aside = _differing(found.exact, images) if conflicts == "set_aside" else ()
    left = found.without(chain.from_iterable(aside))
    stays_for = _across_parts(left.clusters(), images) if given_split else {}
    reason_of = {row: rows for rows in aside for row in rows} | {row: (row, stays_for[row]) for row in stays_for}
    _check_nothing_vanished(images, reason_of, stays_for)
    joined, merged = _joined(images, left.clusters(), reason_of.keys())
    return Cleaned(
        images=joined,
        set_aside=_named(aside, images),
        dropped=tuple((images.names[row], images.names[twin]) for row, twin in sorted(stays_for.items())),
        merged=merged,
        near=_named(left.near, images),
        near_conflicts=_named(_differing(left.near, images), images),
    )


def find(images: ImageSet, thumbnails: npt.NDArray[np.uint8] | None, sides: Sequence[int] | None = None) -> Duplicates:
    """Find the images that show one picture: exactly, by their digests, and nearly, by their thumbnails.

    Args:
        images: N images.
        thumbnails: uint8 (N, 32, 32), one `thumbnail` per image; None: only exact duplicates are looked for.
        sides: N smaller sides of the originals in pixels, or None: all are large enough.

    Raises:
        DataError: If the thumbnails or sides do not fit the images, or most images look alike.

    Example:
        >>> import torch
        >>> from augury.images import real_set
        >>> pictures = torch.tensor([0, 1, 0], dtype=torch.uint8).view(3, 1, 1, 1).repeat(1, 1, 8, 8)
        >>> find(real_set(pictures, torch.tensor([0, 1, 0]), ["a", "b"]), None)
        Duplicates(exact=((0, 2),), near=())
    """
    copies: dict[str, list[int]] = {}
    for row, digest in enumerate(images.digests):
        copies.setdefault(digest, []).append(row)
    exact = tuple(tuple(rows) for rows in copies.values() if len(rows) > 1)
    if thumbnails is None:
        return Duplicates(exact, ())
    _check_thumbnails(thumbnails, sides, expected=len(images))
    pictures = list(copies.values())
    first = [rows[0] for rows in pictures]
    groups = near_duplicates(thumbnails[first], None if sides is None else [sides[row] for row in first])
    near = (tuple(sorted(row for member in group for row in pictures[member])) for group in groups)
    return Duplicates(exact, tuple(sorted(near)))


def thumbnail(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Shrink decoded pixels to a small grey square, by way of one twice its size.

    Args:
        pixels: uint8 (C, H, W), 0..255, C = 1 or 3, of any size; another aspect ratio is stretched.

    Returns:
        uint8 (32, 32). Pixels that were stretched to 64 x 64 already give the same as the original's.

    Raises:
        DataError: If the pixels have another type or shape.

    Example:
        >>> thumbnail(np.full((3, 150, 200), 7, dtype=np.uint8)).shape
        (32, 32)
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or 0 in pixels.shape:
        found = f"{pixels.dtype} {pixels.shape}"
        raise DataError(f"pixels must be uint8 (C, H, W), C = 1 or 3. Got {found}: convert the image to grey or RGB.")
    staged = resized(pixels, (STAGE, STAGE), "stretch").reshape(len(pixels), -1).astype(np.float32)
    weights = _LUMA if len(pixels) == 3 else np.ones(1, dtype=np.float32)
    pairs = (weights @ staged).reshape(SIDE, 2, STAGE)
    rows = pairs[:, 0] + pairs[:, 1]
    return np.rint((rows[:, ::2] + rows[:, 1::2]) / 4).astype(np.uint8)


def near_duplicates(thumbnails: npt.NDArray[np.uint8], sides: Sequence[int] | None = None) -> tuple[Rows, ...]:
    """Group the pictures that look the same.

    Two do when their 64-bit perceptual hashes differ in at most 4 bits and their thumbnails correlate by 0.975 or more.
    A group is complete: every two of its members do, there are no chains. The order of the rows makes no difference.

    Args:
        thumbnails: uint8 (N, S, S), S >= 16, one `thumbnail` per picture; those without contrast take no part.
        sides: N smaller sides of the originals in pixels: below 24 they take no part. None: all are large enough.

    Returns:
        Groups of at least two rows, ascending, in order of their first row.

    Raises:
        DataError: If the shapes are others, or more than 5,000,000 pairs look alike.

    Reference:
        The hash: signs of the 64 lowest DCT-II coefficients but the mean, after C. Zauner, Implementation and
        Benchmarking of Perceptual Image Hash Functions, 2010. Complete linkage: T. Sørensen, 1948.

    Example:
        >>> scene = np.random.default_rng(0).integers(0, 200, (32, 32), dtype=np.uint8)
        >>> near_duplicates(np.stack([scene, scene.T, scene + 9]))
        ((0, 2),)
    """
    _check_thumbnails(thumbnails, sides, expected=len(thumbnails))
    takes_part = thumbnails.std(axis=(1, 2), dtype=np.float32) >= MIN_CONTRAST
    if sides is not None:
        takes_part &= np.asarray(sides) >= MIN_SIDE
    if not takes_part.any():
        return ()
    rows_of: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(takes_part).tolist():
        rows_of.setdefault(thumbnails[row].tobytes(), []).append(row)
    looks = [rows_of[content] for content in sorted(rows_of)]  # by content: the order of the rows plays no part
    pairs = _alike(thumbnails[np.array([rows[0] for rows in looks], dtype=np.intp)])
    groups = (sorted(row for look in group for row in looks[look]) for group in _complete(pairs, len(looks)))
    return tuple(sorted(tuple(rows) for rows in groups if len(rows) > 1))


def _check_choices(near: str, conflicts: str) -> None:
    for name, choice, kinds in (("near", near, Near), ("conflicts", conflicts, Conflicts)):
        expected = " or ".join(repr(kind) for kind in get_args(kinds))
        if choice not in get_args(kinds):
            raise SettingsError(f"{name} must be {expected}. Got {choice!r}: choose one of them.")


def _check_thumbnails(thumbnails: npt.NDArray[np.uint8], sides: Sequence[int] | None, expected: int) -> None:
    shape = thumbnails.shape
    square = thumbnails.ndim == 3 and shape[1] == shape[2] >= 16
    if thumbnails.dtype != np.uint8 or not square or shape[0] != expected:
        found = f"{thumbnails.dtype} {shape}"
        raise DataError(
            f"thumbnails must be uint8 ({expected}, {SIDE}, {SIDE}). Got {found}: take one thumbnail of each image."
        )
    if sides is not None and len(sides) != expected:
        raise DataError(f"sides must have {expected} entries, one per image. Got {len(sides)}: give all, or None.")


def _check_nothing_vanished(images: ImageSet, reason_of: dict[int, Rows], stays_for: dict[int, int]) -> None:
    gone: dict[int, list[int]] = {}
    for row in sorted(reason_of):
        gone.setdefault(int(images.labels[row]), []).append(row)
    for label, name in enumerate(images.classes):
        if len(gone.get(label, ())) == images.counts()[label] > 0:
            row = gone[label][0]
            where = "is in a part kept for scoring" if row in stays_for else "stands in another class"
            same = " = ".join(images.names[copy] for copy in reason_of[row])
            raise DataError(f"every image of class {name!r} {where}, too, first: {same}. Remove the wrong copies.")


def _named(groups: Iterable[Rows], images: ImageSet) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(images.names[row] for row in rows) for rows in groups)


def _differing(groups: Iterable[Rows], images: ImageSet) -> tuple[Rows, ...]:
    """Return the groups whose labels differ."""
    labels = images.labels.tolist()
    return tuple(rows for rows in groups if len({labels[row] for row in rows}) > 1)


def _across_parts(clusters: Iterable[Rows], images: ImageSet) -> dict[int, int]:
    """Return, for each image to drop, the copy that stays: test before val before train, an exact one if there is."""
    assert images.parts is not None
    parts, digests = images.parts, images.digests
    dropped: dict[int, int] = {}
    for rows in clusters:
        best = max((parts[row] for row in rows), key=PARTS.index)
        staying = [row for row in rows if parts[row] == best]
        exact = {digests[row]: row for row in reversed(staying)}
        dropped |= {row: exact.get(digests[row], staying[0]) for row in rows if parts[row] != best}
    return dropped


def _joined(images: ImageSet, clusters: Iterable[Rows], gone: Iterable[int]) -> tuple[ImageSet, int]:
    """Return the images that stay, the groups of each cluster joined, and how many groups were."""
    out = set(gone)
    kept = [row for row in range(len(images)) if row not in out]
    place = {row: new for new, row in enumerate(kept)}
    left = images.take(kept) if out else images
    names = left.group_names
    parent: dict[str, str] = {}
    for rows in clusters:
        roots = [_root(parent, names[place[row]]) for row in rows if row in place]
        first = min(roots, key=lambda name: name.startswith("#"))  # the first, but a given name before one made here
        parent |= {root: first for root in roots if root != first}
    if not parent:
        return left, 0
    groups = tuple(_root(parent, name) for name in names)
    return dataclasses.replace(left, groups=groups), len(parent.keys() | {_root(parent, name) for name in parent})


def _root(parent: dict[str, str], name: str) -> str:
    while name in parent:
        parent[name] = parent.get(parent[name], parent[name])  # half the way for the next who asks
        name = parent[name]
    return name


def _alike(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the pairs that look the same, (P, 2), the most alike first."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    found: list[npt.NDArray[Any]] = [np.empty((0, 3))]
    total = 0
    for pairs in _close_hashes(_signs(pictures)):
        correlation = np.einsum("pk,pk->p", flat[pairs[:, 0]], flat[pairs[:, 1]])
        alike = correlation >= MIN_CORRELATION
        found.append(np.column_stack([correlation[alike], pairs[alike]]))
        total += len(found[-1])
        if total > MAX_PAIRS:
            expected = f"at most {MAX_PAIRS:,} pairs of images that look alike were expected"
            raise DataError(f"{expected}. Got more in {len(pictures):,} images: leave near duplicates (near='leave').")
    pairs = np.concatenate(found)
    order = np.lexsort((pairs[:, 2], pairs[:, 1], -pairs[:, 0]))
    return pairs[order, 1:].astype(np.int64)


def _signs(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the perceptual hashes, (N, 64), as -1 and 1: their products count the bits that agree."""
    waves = scipy.fft.dctn(pictures.astype(np.float32), axes=(1, 2), norm="ortho")[:, _HASHED[0], _HASHED[1]]
    # not > 0: of a symmetric picture half the coefficients are 0, but for the rounding of its pixels
    return np.where(waves > 0.5, np.float32(1), np.float32(-1))


def _close_hashes(signs: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the pairs (P, 2), first < second, whose hashes differ in at most MAX_BITS bits, thousands at a time."""
    for start in range(0, len(signs), _BLOCK):
        agreeing = signs[start : start + _BLOCK] @ signs[start:].T  # 64 - 2 * Hamming distance, exact in float32
        close = np.argwhere(agreeing >= signs.shape[1] - 2 * MAX_BITS)
        pairs = close[close[:, 0] < close[:, 1]] + start
        yield from (pairs[at : at + _BATCH] for at in range(0, len(pairs), _BATCH))


def _complete(pairs: npt.NDArray[np.int64], count: int) -> list[list[int]]:
    """Cluster by complete linkage: two groups join as soon as all pairs between them have come, the best first."""
    group_of = list(range(count))
    members = [[one] for one in range(count)]
    between: list[Counter[int]] = [Counter() for _ in range(count)]
    for one, other in pairs.tolist():
        a, b = group_of[one], group_of[other]
        between[a][b] += 1
        between[b][a] += 1
        if between[a][b] < len(members[a]) * len(members[b]):
            continue
        del between[a][b], between[b][a]
        for third, seen in between[b].items():
            between[a][third] += seen
            between[third][a] += between[third].pop(b)
        for member in members[b]:
            group_of[member] = a
        members[a] += members[b]
        members[b] = []
    return [rows for rows in members if rows]
