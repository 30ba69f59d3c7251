"""Many image files at once: a process per core where the system can fork one, in this process elsewhere.

Threads do not do: decoding small files goes in and out of Python so often that two threads wait for each other.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from augury.errors import StepDiedError
from augury.processes import cores, end_with_parent
from augury.readers.how import ReadSettings
from augury.readers.levels import Levels
from augury.readers.pixels import AUTO_SIDE, Picture, Sizing, decode, picture
from augury.readers.tree import Refused, Tree, UnreadableError

PIECE_BYTES = 3 * 2**19  # of pixels that a process hands over at once
UNKNOWN = 8  # files, where the size of their pixels is not known beforehand
FEW = 256  # files that one process decodes sooner than others could be started

Value = TypeVar("Value")


class _Pieces(Dataset[list[Picture | Refused]]):
    """Pieces of a list of files, each decoded when it is asked for."""

    def __init__(self, tree: Tree, names: Sequence[str], settings: ReadSettings) -> None:
        self.tree, self.names = tree, names
        self.levels, self.sizing = Levels.parse(settings.levels), settings.sizing
        self.channels = settings.channels
        self.size = _piece(settings.sizing)

    def __len__(self) -> int:
        return -(-len(self.names) // self.size)

    def __getitem__(self, piece: int) -> list[Picture | Refused]:
        return [self._one(name) for name in self.names[piece * self.size : (piece + 1) * self.size]]

    def _one(self, name: str) -> Picture | Refused:
        try:
            return picture(name, decode(self.tree.read(name), self.levels), self.sizing, self.channels)
        except UnreadableError as error:
            return Refused(name, str(error))


def decoded_pieces(tree: Tree, names: Sequence[str], settings: ReadSettings) -> Iterator[Picture | Refused]:
    """Decode some files of a tree, in order.

    PyTorch's DataLoader does it, which notices when one of its processes is killed.

    Args:
        tree: Where the files are.
        names: N names.
        settings: How to read them.

    Raises:
        StepDiedError: If a process is killed.
    """
    processes = _processes(len(names))
    pieces = DataLoader(
        _Pieces(tree, names, settings),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=processes,
        worker_init_fn=_begin if processes else None,
        multiprocessing_context="fork" if processes else None,
        generator=torch.Generator(),  # else it would draw from the global one
    )
    try:
        for piece in pieces:
            yield from piece
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        cause = "killed, as a system does when memory runs out, or out of memory for what it shares"
        raise StepDiedError(f"a process that decodes images ended without a result ({cause}). Try again.") from None


def _piece(sizing: Sizing) -> int:
    """Return how many files are decoded in one go."""
    if sizing.size == "native":
        return UNKNOWN
    H, W = sizing.target or (AUTO_SIDE, AUTO_SIDE)
    return max(1, PIECE_BYTES // (3 * H * W))


def _begin(_: int) -> None:
    end_with_parent()


def _as_it_is(value: Value) -> Value:
    return value


def _processes(files: int) -> int:
    """Return how many processes to start; none stands for this one."""
    # a process that runs a step may have none of its own
    if files < FEW or not sys.platform.startswith("linux") or multiprocessing.current_process().daemon:
        return 0
    return cores() if cores() > 1 else 0
