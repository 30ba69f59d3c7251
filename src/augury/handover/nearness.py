"""How near drawn images come to real ones: the nearest of each, look-alikes, and what that says of copying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augury.duplicates import near_duplicates, thumbnail
from augury.errors import DataError
from augury.images import ImageSet, pixel_digest
from augury.metrics.audit_test import CopyingTest, copying_test
from augury.metrics.copying import nearest
from augury.metrics.nearer_test import hits, nearer_test
from augury.resizing import resized

SIDE = 32  # pixels, at most, of an image whose distances are measured
FEWEST = 20  # held-out groups that say what distances are usual
ALPHA = 0.05  # of the test for copies

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
        test: Drawn against held-out images; None where those are too few to say anything.
        p: Probability that images as new as the held-out ones come as near to the training images, and to these rather
            than to the held-out ones; 1 where nothing was tested.
    """

    distances: Distances
    held_out: int = 0
    test: CopyingTest | None = None
    p: float = 1.0

    @property
    def detected(self) -> bool:
        """Tell whether copying was detected."""
        return self.p < ALPHA


def audit(drawn: ImageSet, trained: ImageSet, held_out: ImageSet, *, seed: int = 0) -> Audit:
    """Compare how near drawn and held-out images come to the images that a generator was fitted on.

    Args:
        drawn: N >= 1 images.
        trained: What it was fitted on, as far as it is known.
        held_out: Real images of other groups.
        seed: Of the shuffles of the second test.

    Copies are nearer to the training images than held-out ones are (else they are merely like them), and nearer to
    these than to the held-out ones (else they are merely smooth): the larger p value counts.

    Reference: `augury.metrics.audit_test` and `augury.metrics.nearer_test`.
    """
    if not len(trained):
        return Audit(np.empty(0))
    ours, _ = nearest_images(drawn, trained)
    first = {name: row for row, name in reversed(list(enumerate(held_out.group_names)))}
    if len(first) < FEWEST:
        return Audit(ours, len(first))
    theirs, _ = nearest_images(held_out.take(sorted(first.values())), trained)
    test = copying_test([(ours, theirs)], alpha=ALPHA)
    near = hits(
        *(_flat(images) for images in (drawn, trained, held_out)),
        labels=(trained.labels.numpy(), held_out.labels.numpy()),
        groups=([f"seen {name}" for name in trained.group_names], [f"new {name}" for name in held_out.group_names]),
    )
    return Audit(ours, len(first), test, max(test.p, nearer_test([near], seed=seed)))


def seen_and_new(images: ImageSet, seen: frozenset[str]) -> tuple[ImageSet, ImageSet]:
    """Part real images into those that a generator has seen, and those of other groups that it has not."""
    known = np.array([digest in seen for digest in images.digests])
    touched = {name for name, is_seen in zip(images.group_names, known, strict=True) if is_seen}
    new = np.array([name not in touched for name in images.group_names])
    return images.take(known), images.take(new)
