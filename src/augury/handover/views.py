"""A set that was handed over, as an image set, a PyTorch data set and NumPy arrays."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from augury.errors import DataError
from augury.generators.external import SEEN
from augury.handover.write import ARRAYS, FACTS, FORMAT, IMAGES
from augury.images import ImageSet, pixel_digest
from augury.readers import ReadSettings
from augury.readers.album import Album
from augury.readers.decoding import decoded_pieces
from augury.readers.drawn import MANIFEST
from augury.readers.tree import FolderTree, Refused, inside
from augury.stored import StoredPixels
from augury.training import torch_threads


def load(folder: str | Path) -> ImageSet:
    """Open a set that `augury augment` wrote; labels are those of the real images, whatever was left out.

    Args:
        folder: The folder.

    Returns:
        Real images first, then synthetic ones; `synthetic` tells them apart, `groups` are those of the real images.

    Raises:
        DataError: If the folder holds no such set, or an image of it is missing or damaged.
    """
    root = Path(folder)
    try:
        facts = json.loads((root / FACTS).read_text(encoding="utf-8"))
        seen = frozenset(json.loads((root / SEEN).read_text(encoding="utf-8"))["seen"])
        with (root / MANIFEST).open(newline="", encoding="utf-8") as handle:
            rows = [row for row in csv.DictReader(handle) if row["path"]]
        if facts["format"] != FORMAT:
            raise DataError(f"the set in {root} is of format {facts['format']}. This is format {FORMAT}: make it anew.")
        images, labels, digests = _arrays(root) if facts["form"] == "npz" else _files(root, rows, facts)
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"a set that augury augment wrote (a folder with {FACTS}) was expected at {root}. Got something else, or a "
            "part of one: make it anew."
        ) from None
    groups = tuple(row["group"] or f"#{row['name']}" for row in rows)
    return ImageSet(
        images=images,
        labels=labels,
        classes=tuple(facts["classes"]),
        names=tuple(row["path"] for row in rows),
        digests=digests,
        synthetic=torch.tensor([row["synthetic"] == "1" for row in rows], dtype=torch.bool),
        groups=groups if any(row["group"] for row in rows) else None,
        columns={name: tuple(row[name] for row in rows) for name in ("seed", "maker")},
        seen=seen,
    )


Opened = tuple[Tensor | StoredPixels, Tensor, tuple[str, ...]]


def _arrays(root: Path) -> Opened:
    with np.load(root / ARRAYS, allow_pickle=False) as file:
        pixels, labels = file["images"], file["labels"]
    images = torch.from_numpy(pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2).copy())
    digests = tuple(pixel_digest(image.numpy()) for image in images)
    return images, torch.from_numpy(labels), digests


def _files(root: Path, rows: Sequence[dict[str, str]], facts: dict[str, Any]) -> Opened:
    C, H, W = facts["shape"]
    names = [row["path"] for row in rows]
    settings = ReadSettings(size=(H, W), fit=facts["fit"], channels="grey" if C == 1 else "auto")
    album, tree = Album(len(names), settings.sizing), FolderTree(root)
    missing = next((name for name in names if inside(name) != name or not tree.has(name)), None)
    if missing is not None:
        raise DataError(f"{missing} stands in {MANIFEST}, and is not in {root}. Make the set anew.")
    with warnings.catch_warnings(), torch_threads(1):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for outcome in decoded_pieces(tree, names, settings):
            if isinstance(outcome, Refused):
                raise DataError(f"{outcome.name} {outcome.reason}")
            album.add(outcome)
    pixels = album.pixels()
    if pixels.shape[1] < C:  # images of a colour set without colour
        pixels = pixels[:].expand(-1, C, -1, -1).contiguous()
    homes = [name.removeprefix(f"{IMAGES}/").partition("/")[0] for name in names]
    labels = torch.tensor([facts["folders"].index(home) for home in homes], dtype=torch.int64)
    return pixels, labels, tuple(kept.digest for kept in album.kept)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images and labels for PyTorch.

    Args:
        images: The images.
        transform: What is done to each image, float32 (C, H, W) in 0..1, when it is asked for.
    """

    def __init__(self, images: ImageSet, transform: Callable[[Tensor], Tensor] | None = None) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.images.images[index].float().div(255)
        label = int(self.images.labels[index])
        return (pixels if self.transform is None else self.transform(pixels)), label


def as_dataset(images: ImageSet, transform: Callable[[Tensor], Tensor] | None = None) -> Pictures:
    """Return images as a PyTorch data set of (float32 (C, H, W) in 0..1, label).

    Example:
        >>> import augury
        >>> pixels, label = as_dataset(augury.read("digits"))[0]
        >>> tuple(pixels.shape), bool(pixels.max() <= 1), label
        ((1, 8, 8), True, 0)
    """
    return Pictures(images, transform)


def as_arrays(images: ImageSet) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images as NumPy arrays: uint8 (N, H, W) or (N, H, W, 3), and int64 (N,).

    Example:
        >>> import augury
        >>> X, y = as_arrays(augury.read("digits"))
        >>> X.shape, y.shape
        ((1797, 8, 8), (1797,))
    """
    pixels = images.images[:].numpy()
    channels_last = pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(channels_last), images.labels.numpy()
