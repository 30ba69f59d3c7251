"""The image set: uint8 pixels, labels, names, groups and digests. The pixels of a large set stay on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augury.errors import DataError
from augury.stored import StoredPixels, open_pixels, save_pixels, take

__all__ = ["PARTS", "ImageSet", "StoredPixels", "pixel_digest", "real_set"]

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one size.

    Attributes:
        images: uint8 (N, C, H, W), 0..255: a tensor, or, above 128 MB, pixels that stay on disk. Indexed alike, and
            `images[rows]` is a tensor of either.
        labels: int64 (N,), 0..K-1.
        classes: K names, in label order.
        names: N names: the path in the folder, or `<maker>/<class>/<index>`.
        digests: N SHA-256 digests of the decoded pixels, before any resizing.
        synthetic: bool (N,): not an image of the user's, but drawn by a generator.
        groups: N names of patients, lesions, ...: a group is never cut in two. None: each image stands for itself.
        parts: N given parts (`train`, `val`, `test`), or None.
        columns: Further columns of N values each (age, sex, site).
        seen: Digests of all images that the makers of these images saw. Empty for real images.

    Raises:
        DataError: If shapes, types or lengths do not agree.
    """

    images: Tensor | StoredPixels
    labels: Tensor
    classes: tuple[str, ...]
    names: tuple[str, ...]
    digests: tuple[str, ...]
    synthetic: Tensor
    groups: tuple[str, ...] | None = None
    parts: tuple[str, ...] | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(f"images must be uint8 (N, C, H, W). Got {self.images.dtype} {tuple(self.images.shape)}.")
        if self.labels.dtype != torch.int64 or self.labels.shape != (len(self),):
            raise DataError(f"labels must be int64 ({len(self)},). Got {self.labels.dtype} {tuple(self.labels.shape)}.")
        if len(self) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            found = f"{int(self.labels.min())}..{int(self.labels.max())}"
            raise DataError(f"labels must lie in 0..{len(self.classes) - 1}. Got {found}.")
        for name in ("names", "digests", "synthetic", "groups", "parts"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self):
                raise DataError(f"{name} must have {len(self)} entries, one per image. Got {len(column)}.")

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}: {count}" for name, count in zip(self.classes, self.counts(), strict=True))
        return f"ImageSet({len(self)} images {tuple(self.shape)}; {counts})"

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of one image."""
        _, C, H, W = self.images.shape
        return C, H, W

    @property
    def group_names(self) -> tuple[str, ...]:
        """Return N group names; without groups each image is a group of its own."""
        return self.groups if self.groups is not None else tuple(f"#{i}" for i in range(len(self)))

    @property
    def groups_given(self) -> bool:
        """Tell whether someone said what belongs together; groups of exact duplicates alone (`#...`) do not count."""
        return self.groups is not None and not all(name.startswith("#") for name in self.groups)

    def counts(self) -> tuple[int, ...]:
        """Return the number of images of each class."""
        return tuple(torch.bincount(self.labels, minlength=len(self.classes)).tolist())

    def take(self, index: Sequence[int] | np.ndarray | Tensor) -> ImageSet:
        """Return the images at some positions, in that order, or those that a mask marks.

        Pixels are copied, unless they lie on disk and are many: then they stay there.
        """
        positions = np.asarray(index)
        if positions.dtype == np.bool_:  # as positions, True and False would mean the images 1 and 0
            positions = np.flatnonzero(positions)
        rows = torch.from_numpy(positions.astype(np.int64))
        chosen = rows.tolist()
        return dataclasses.replace(
            self,
            images=take(self.images, rows),
            labels=self.labels[rows],
            synthetic=self.synthetic[rows],
            names=tuple(self.names[i] for i in chosen),
            digests=tuple(self.digests[i] for i in chosen),
            groups=None if self.groups is None else tuple(self.groups[i] for i in chosen),
            parts=None if self.parts is None else tuple(self.parts[i] for i in chosen),
            columns={name: tuple(values[i] for i in chosen) for name, values in self.columns.items()},
        )

    def of_class(self, label: int) -> ImageSet:
        """Return the images of one class."""
        return self.take(torch.nonzero(self.labels == label).flatten())

    def save(self, folder: Path) -> None:
        """Write `images.npy` and `set.json` into a folder."""
        save_pixels(self.images, folder / "images.npy")
        rest = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "images"}
        rest |= {"labels": self.labels.tolist(), "synthetic": self.synthetic.tolist(), "seen": sorted(self.seen)}
        rest["columns"] = {name: list(values) for name, values in self.columns.items()}
        (folder / "set.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, *, lazily: bool = False) -> ImageSet:
        """Open a saved image set; the pixels stay on disk until they are used.

        Args:
            folder: Where it was saved.
            lazily: Leave the pixels on disk, however few they are: for one of many sets that are to be joined.
        """
        rest = json.loads((folder / "set.json").read_text(encoding="utf-8"))
        return cls(
            images=open_pixels(folder / "images.npy", lazily),
            labels=torch.tensor(rest["labels"], dtype=torch.int64),
            synthetic=torch.tensor(rest["synthetic"], dtype=torch.bool),
            classes=tuple(rest["classes"]),
            names=tuple(rest["names"]),
            digests=tuple(rest["digests"]),
            groups=None if rest["groups"] is None else tuple(rest["groups"]),
            parts=None if rest["parts"] is None else tuple(rest["parts"]),
            columns=rest["columns"],
            seen=frozenset(rest["seen"]),
        )


def real_set(
    images: Tensor | StoredPixels,
    labels: Tensor,
    classes: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    digests: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
) -> ImageSet:
    """Build an image set of real images.

    Args:
        images: uint8 (N, C, H, W): a tensor, or `StoredPixels(memmap)` for pixels that are to stay in a file.
        labels: int64 (N,).
        classes: K class names.
        names: N names; default `0`, `1`, ...
        digests: N digests; default those of `images`.
        groups: N group names, or None.
        parts: N given parts, or None.

    Example:
        >>> import torch
        >>> real_set(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), ["a", "b"]).counts()
        (1, 1)
    """
    return ImageSet(
        images=images,
        labels=labels,
        classes=tuple(classes),
        names=tuple(names) if names is not None else tuple(str(i) for i in range(len(images))),
        digests=tuple(digests) if digests is not None else tuple(pixel_digest(image.numpy()) for image in images),
        synthetic=torch.zeros(len(images), dtype=torch.bool),
        groups=tuple(groups) if groups is not None else None,
        parts=tuple(parts) if parts is not None else None,
    )


def pixel_digest(pixels: np.ndarray) -> str:
    """Return the SHA-256 of an image's shape and pixels: uint8 (C, H, W)."""
    hasher = hashlib.sha256(f"{pixels.dtype}:{pixels.shape}:".encode())
    # colours last, as decoders lay them out: nothing is copied for it
    hasher.update(np.ascontiguousarray(pixels.transpose(1, 2, 0)).data)
    return hasher.hexdigest()
