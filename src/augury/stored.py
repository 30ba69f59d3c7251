"""Pixels that stay on disk: indexed like a tensor, read a batch at a time, never all in memory at once."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augury.errors import DataError

IN_MEMORY_BYTES = 128 * 1024**2  # a larger set stays on disk
CHUNK_BYTES = 8 * 1024**2  # read before pages are given back; the system may map 2 MB around each image

Index = int | slice | Sequence[int] | np.ndarray | Tensor


class NpyFile:
    """Where the images of one .npy file lie; it is open only while they are read."""

    def __init__(self, path: Path) -> None:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        self.path, self.start = path.resolve(), mapped.offset
        self.dtype, self.shape, self.ndim = mapped.dtype, mapped.shape, mapped.ndim

    def __len__(self) -> int:
        return int(self.shape[0])

    def open(self) -> np.ndarray:
        """Map the file; its pages are given back when the map is let go."""
        return np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.start, shape=self.shape)


class StoredPixels:
    """uint8 images (N, C, H, W), most of them on disk, of which an index brings a few into memory.

    `pixels[i]`, `pixels[3:7]` and `pixels[rows]` give tensors, as they do of a tensor; `pixels[:]` would bring in all.
    The pages of a file that were read are given back at once, so that resident memory holds no more than what was
    asked for last.

    Args:
        sources: Arrays, uint8 (n, C, H, W), and files of such, one after the other. An `np.memmap` stays on disk; one
            of a temporary file holds that file as long as needed, and may be handed over while it is written to.
        rows: int64 (N,), positions in the sources, in the order wanted; None: all of them.

    Attributes:
        shape: (N, C, H, W).

    Raises:
        DataError: If a source is of another type, or their sizes differ.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     decoded = np.memmap(file, dtype=np.uint8, mode="w+", shape=(3, 1, 8, 8))
        >>> decoded[2] = 255
        >>> pixels = StoredPixels(decoded)
        >>> tuple(pixels.shape), pixels[[2, 0]].amax((1, 2, 3)).tolist()
        ((3, 1, 8, 8), [255, 0])
    """

    dtype, ndim = torch.uint8, 4

    def __init__(self, *sources: np.ndarray | NpyFile, rows: npt.NDArray[np.int64] | None = None) -> None:
        for source in sources:
            if source.dtype != np.uint8 or source.ndim != 4 or source.shape[1:] != sources[0].shape[1:]:
                raise DataError(f"images must be uint8 (N, C, H, W). Got {source.dtype} {source.shape}.")
        self.sources = sources
        self._ends = np.cumsum([len(source) for source in sources])
        self.rows = np.arange(self._ends[-1]) if rows is None else rows
        _, C, H, W = sources[0].shape
        self.shape = torch.Size((len(self.rows), C, H, W))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"StoredPixels{tuple(self.shape)}"

    def numel(self) -> int:
        """Return the number of pixel values, which is that of bytes."""
        return self.shape.numel()

    def __getitem__(self, index: Index) -> Tensor:
        if isinstance(index, tuple):
            raise TypeError(f"images on disk are indexed by image alone. Got {index}: write pixels[rows][...] instead.")
        rows = self.rows[_positions(index)]
        return self._read(rows) if rows.ndim else self._read(rows[None])[0]

    def __iter__(self) -> Iterator[Tensor]:
        for chunk in in_chunks(self):
            yield from chunk

    def take(self, rows: Sequence[int] | np.ndarray | Tensor) -> StoredPixels:
        """Return the images at some positions, in that order, without reading any."""
        return StoredPixels(*self.sources, rows=self.rows[_positions(rows)])

    def split(self, size: int) -> Iterator[Tensor]:
        """Walk through the images, `size` at a time, as `Tensor.split` does."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def _read(self, rows: npt.NDArray[np.int64]) -> Tensor:
        pixels = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        size = _chunk_size(self.shape)
        for start in range(0, len(rows), size):
            self._copy(rows[start : start + size], pixels[start : start + size])
        return torch.from_numpy(pixels)

    def _copy(self, rows: npt.NDArray[np.int64], to: np.ndarray) -> None:
        which = np.searchsorted(self._ends, rows, side="right")
        from_end = rows - self._ends[which]  # negative, and NumPy takes it
        for number in np.unique(which):
            source = self.sources[number]
            images = source.open() if isinstance(source, NpyFile) else source
            pixels = np.asarray(images)  # a view of a memmap is slow to make, one of this is not
            for place in np.flatnonzero(which == number):
                to[place] = pixels[from_end[place]]
            give_back(images)


def _positions(index: Index) -> slice | np.ndarray:
    if isinstance(index, slice):
        return index
    positions = np.asarray(index)
    return positions if positions.dtype == np.bool_ else positions.astype(np.int64)


def give_back(source: np.ndarray) -> None:
    """Let go of the pages of a mapped file; they come back from the file when they are read again."""
    pages = getattr(source, "_mmap", None)
    # mode c holds changes that are in no file; Windows has no such advice, and trims mapped pages itself
    if pages is not None and hasattr(mmap, "MADV_DONTNEED") and getattr(source, "mode", "c") != "c":
        pages.madvise(mmap.MADV_DONTNEED)


def in_chunks(images: Tensor | StoredPixels) -> Iterator[Tensor]:
    """Walk through images some megabytes at a time: uint8 (n, C, H, W) each.

    Example:
        >>> [len(chunk) for chunk in in_chunks(torch.zeros(3, 1, 2048, 2048, dtype=torch.uint8))]
        [2, 1]
    """
    yield from images.split(_chunk_size(images.shape))


def _chunk_size(shape: torch.Size) -> int:
    return max(1, CHUNK_BYTES // max(1, shape[1:].numel()))


def take(images: Tensor | StoredPixels, rows: Tensor) -> Tensor | StoredPixels:
    """Return the images at some positions: a copy, unless they lie on disk and are many."""
    return images[rows] if isinstance(images, Tensor) else _in_memory_if_small(images.take(rows))


def join(parts: Sequence[Tensor | StoredPixels]) -> Tensor | StoredPixels:
    """Put images of one size one after the other: a copy, unless they are many.

    Example:
        >>> join([torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.ones(1, 1, 8, 8, dtype=torch.uint8)]).shape
        torch.Size([3, 1, 8, 8])
    """
    if sum(part.numel() for part in parts) <= IN_MEMORY_BYTES:
        return torch.cat([part[:] for part in parts])
    stored = [StoredPixels(part.numpy()) if isinstance(part, Tensor) else part for part in parts]
    sources = [source for part in stored for source in part.sources]
    before = np.cumsum([0] + [sum(map(len, part.sources)) for part in stored])
    rows = np.concatenate([part.rows + start for part, start in zip(stored, before[:-1], strict=True)])
    return StoredPixels(*sources, rows=rows)


def save_pixels(images: Tensor | StoredPixels, path: Path) -> None:
    """Write images as one .npy file, a chunk at a time."""
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(images.shape)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in in_chunks(images):
            file.write(np.ascontiguousarray(chunk.numpy()).data)


def open_pixels(path: Path, lazily: bool = False) -> Tensor | StoredPixels:
    """Open a .npy file of images; the pixels stay on disk until they are used.

    Args:
        path: The file.
        lazily: Give stored pixels, however few they are.

    Raises:
        DataError: If it holds something else than uint8 (N, C, H, W).
    """
    file = NpyFile(path)
    pixels = StoredPixels(file)
    if lazily or pixels.numel() > IN_MEMORY_BYTES:
        return pixels
    # pages are read when touched, and what is written never reaches the file. Unlike NumPy's, torch's map keeps no
    # file open: a training set may be drawn in a thousand chunks
    mapped = torch.from_file(str(path), shared=False, size=file.start + pixels.numel(), dtype=torch.uint8)
    return mapped[file.start :].view(pixels.shape)


def _in_memory_if_small(pixels: StoredPixels) -> Tensor | StoredPixels:
    return pixels[:] if pixels.numel() <= IN_MEMORY_BYTES else pixels
