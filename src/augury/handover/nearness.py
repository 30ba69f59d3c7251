"""How near drawn images come to real ones: the nearest of each, look-alikes, and what that says of copying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augury.audit import Controls, Decision, Parts, Views, copycat, decide_copying, unused, witness
from augury.curation import vectors_of
from augury.duplicates import near_duplicates, thumbnail
from augury.errors import DataError
from augury.filters import PIXELS
from augury.images import ImageSet, pixel_digest
from augury.metrics.copying import nearest
from augury.resizing import resized

SIDE = 32  # pixels, at most, of an image whose distances are measured
FEWEST = 20  # held-out groups that say what distances are usual

Bytes = npt.NDArray[np.uint8]
Distances = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


def nearest_images(images: ImageSet, real: ImageSet) -> tuple[Distances, Positions]:
    """Find the nearest real image of each of some images.

    Args:
        images: N images.
        real: M >= 1 images of the same size.

    Returns:
        Root mean squared differences of the pixels (N,), 0..255, of images shrunk to at most 32 pixels a side, and
        positions in `real` (N,).

    Example:
        >>> import augury
        >>> digits = augury.read("digits")
        >>> distances, index = nearest_images(digits.take([3, 5]), digits)
        >>> distances.tolist(), index.tolist()
        ([0.0, 0.0], [3, 5])
    """
    if not len(images):
        return np.empty(0), np.empty(0, dtype=np.int64)
    ours, theirs = _flat(images), _flat(real)
    distances, index = nearest(ours, theirs)
    return distances / np.sqrt(ours.shape[1]), index


def _flat(images: ImageSet) -> Bytes:
    _, H, W = images.shape
    scale = min(1.0, SIDE / max(H, W))
    size = (max(1, round(H * scale)), max(1, round(W * scale)))
    return np.stack([resized(image.numpy(), size, "stretch").reshape(-1) for image in images.images])


def pixel_digests(images: ImageSet) -> list[str]:
    """Return the digests of the pixels as they are, unlike `ImageSet.digests` after any resizing."""
    return [pixel_digest(image.numpy()) for image in images.images]


def thumbnails(images: ImageSet) -> Bytes:
    """Return one thumbnail per image, by which look-alikes are found: uint8 (N, 32, 32)."""
    return np.stack([thumbnail(image.numpy()) for image in images.images])


def look_alikes(drawn: Bytes, real: Bytes, drawn_side: int, real_sides: Sequence[int]) -> set[int]:
    """Return the drawn images that look like a real one or like a drawn one before them.

    What is left has no near duplicates that were not among the real images already.

    Args:
        drawn: uint8 (N, 32, 32), thumbnails.
        real: uint8 (M, 32, 32), likewise.
        drawn_side: The smaller side of the drawn images in pixels.
        real_sides: M smaller sides.

    Raises:
        DataError: If nearly all of them look alike.
    """
    gone: set[int] = set()
    while True:
        left = [row for row in range(len(drawn)) if row not in gone]
        sides = [*real_sides, *[drawn_side] * len(left)]
        try:
            groups = near_duplicates(np.concatenate([real, drawn[left]]), sides)
        except DataError as error:
            raise DataError(
                f"drawn images that differ were expected. Got millions of pairs that look alike ({error}): "
                "the generator has collapsed. Fit another one, or for longer."
            ) from None
        found = {left[row - len(real)] for rows in groups for row in rows[_stays(rows, len(real)) :]}
        if not found:
            return gone
        gone |= found


def _stays(rows: Sequence[int], real: int) -> int:
    """Return how many of a group stay: all real ones, or the first drawn one where there is none."""
    return max(1, sum(row < real for row in rows))


@dataclass(frozen=True)
class Audit:
    """What the distances of handed over images to the generator's training images say.

    Attributes:
        distances: (N,), as `nearest_images` gives them.
        held_out: Groups of real images that the generator has not seen.
        decision: Whether they are copies; None where those groups are too few to say anything.
        controls: What the audit says of copies of training images, and of unused real ones; None likewise.
    """

    distances: Distances
    held_out: int = 0
    decision: Decision | None = None
    controls: Controls | None = None


def audit(drawn: ImageSet, trained: ImageSet, held_out: ImageSet, *, seed: int = 0) -> Audit:
    """Compare how near drawn and held-out images come to the images that a generator was fitted on.

    Args:
        drawn: N >= 1 images.
        trained: What it was fitted on, as far as it is known.
        held_out: Real images of other groups.
        seed: Of the draws of the controls.

    Reference: `augury.audit.decide_copying`, in pixels.
    """
    if not len(trained):
        return Audit(np.empty(0))
    distances, _ = nearest_images(drawn, trained)
    groups = len(set(held_out.group_names))
    if groups < FEWEST:
        return Audit(distances, groups)
    rules = {PIXELS: lambda images: vectors_of(images, PIXELS)}
    parts = Parts(trained.classes, *(Views.of(images, rules) for images in (trained, held_out, drawn)))
    found = {"the generator": [witness(parts, seed)]}
    (decision,), controls = decide_copying(found, [copycat(parts, seed)], [unused(parts, seed)])
    return Audit(distances, groups, decision, controls)


def seen_and_new(images: ImageSet, seen: frozenset[str]) -> tuple[ImageSet, ImageSet]:
    """Part real images into those that a generator has seen, and those of other groups that it has not."""
    known = np.array([digest in seen for digest in images.digests])
    touched = {name for name, is_seen in zip(images.group_names, known, strict=True) if is_seen}
    new = np.array([name not in touched for name in images.group_names])
    return images.take(known), images.take(new)
