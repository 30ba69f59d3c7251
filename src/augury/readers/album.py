"""Decoded pictures, one after the other, into one array: in memory while it is small, on disk when it is not."""

from __future__ import annotations

import os
import tempfile
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from augury import stored
from augury.errors import DataError
from augury.readers.levels import Pixels
from augury.readers.pixels import AUTO_SIDE, MAX_SIDE, MIN_SIDE, Facts, Picture, Sizing
from augury.resizing import resized
from augury.stored import StoredPixels


class Kept(NamedTuple):
    """What is kept of a picture beside its pixels."""

    name: str
    facts: Facts
    digest: str
    group: str | None


class Album:
    """Takes N pictures at most, and brings them to one size and one number of channels.

    Both can change on the way: the first colour picture makes all of them colour, and with the size "auto" the first
    one of another size makes all of them 64 x 64. Either happens once at most.

    Args:
        most: N.
        sizing: The size the set gets.
    """

    def __init__(self, most: int, sizing: Sizing) -> None:
        self.most, self.sizing = most, sizing
        self.kept: list[Kept] = []
        self._thumbnails: list[Pixels] = []
        self._rows: Pixels | None = None

    def add(self, picture: Picture) -> None:
        """Take one picture.

        Raises:
            DataError: If the size is "native" and sizes differ, the images as they are are too small or too large, or
            there is no room for them.
        """
        self._make_room(picture)
        assert self._rows is not None
        self._rows[len(self.kept)] = resized(picture.pixels, self._rows.shape[2:], self.sizing.fit)
        _trim(self._rows, len(self.kept))
        self.kept.append(Kept(picture.name, picture.facts, picture.digest, picture.group))
        self._thumbnails.append(picture.thumbnail)

    @property
    def thumbnails(self) -> Pixels:
        """Return uint8 (N, S, S)."""
        return np.stack(self._thumbnails)

    def pixels(self) -> Tensor | StoredPixels:
        """Return uint8 (N, C, H, W).

        Raises:
            DataError: If the images as they are are too small.
        """
        assert self._rows is not None
        _check_sides(*self._rows.shape[2:])
        rows = self._rows[: len(self.kept)]
        return StoredPixels(rows) if isinstance(rows, np.memmap) else torch.from_numpy(rows)

    def _make_room(self, picture: Picture) -> None:
        C, H, W = picture.pixels.shape
        if self._rows is None:
            if self.sizing.size == "native":
                _check_sides(H, W)
            self._rows = _room(self.most, (C, H, W))
            return
        had = self._rows.shape[1:]
        if self.sizing.target is None and had[1:] != (H, W):
            self._refuse_native(picture)
            H = W = AUTO_SIDE
        if (max(C, had[0]), H, W) != had:
            self._rows = self._moved(_room(self.most, (max(C, had[0]), H, W)))

    def _refuse_native(self, picture: Picture) -> None:
        if self.sizing.size == "native":
            first = self.kept[0]
            sizes = f"{first.name} is {_size(first.facts)}, {picture.name} is {_size(picture.facts)}"
            raise DataError(f"without a size all images must have one size. {sizes} (height x width): give a size.")

    def _moved(self, room: Pixels) -> Pixels:
        assert self._rows is not None
        for row in range(len(self.kept)):
            room[row] = resized(self._rows[row], room.shape[2:], self.sizing.fit)
            _trim(room, row)
            _trim(self._rows, row)
        return room


def _check_sides(H: int, W: int) -> None:
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in (H, W)):
        expected = f"sides from {MIN_SIDE} to {MAX_SIDE} were expected"
        raise DataError(f"the images are {H} x {W} (height x width): {expected}. Give a size.")


def _room(most: int, shape: tuple[int, int, int]) -> Pixels:
    size = most * int(np.prod(shape))
    if size <= stored.IN_MEMORY_BYTES:
        return np.empty((most, *shape), dtype=np.uint8)
    # the file has no name and goes with the array
    try:
        with tempfile.TemporaryFile(prefix="augury-") as file:
            if hasattr(os, "posix_fallocate"):  # a disk that fills up under a mapped file would kill the process
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=np.uint8, mode="w+", shape=(most, *shape))
    except OSError as error:
        needed = f"the images need {size / 2**20:,.0f} MB of disk while they are read"
        where = f"{tempfile.gettempdir()} does not give them ({error.strerror})"
        raise DataError(f"{needed}. {where}: free some, or set TMPDIR to a folder on another disk.") from None


def _trim(rows: Pixels, row: int) -> None:
    """Give back the memory of rows that lie on disk, once every few megabytes."""
    if isinstance(rows, np.memmap) and row % max(1, stored.CHUNK_BYTES // rows[0].nbytes) == 0:
        stored.give_back(rows)


def _size(facts: Facts) -> str:
    return f"{facts.height} x {facts.width}"
