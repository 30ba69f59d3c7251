"""Toy steps for the engine's tests, in a module of their own so that worker processes can import them."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.errors import DataError
from augury.study.steps import Step, Work, where


@dataclass(frozen=True)
class Toy(Step):
    """A step that makes one number and writes its name into a log when it does."""

    name: str
    terms: tuple[Step, ...] = ()
    log: str = where()

    def make(self, work: Work) -> int:
        with Path(self.log).open("a") as log:
            log.write(f"{self.name} {os.getpid()}\n")
        return self.number(work)

    def number(self, work: Work) -> int:
        return 1 + sum(work.get(term) for term in self.terms)

    def save(self, value: int, folder: Path) -> None:
        (folder / "number.txt").write_text(str(value))

    def load(self, folder: Path, device: str) -> int:
        return int((folder / "number.txt").read_text())


class Refuses(Toy):
    """Fails as long as a file named `broken` lies beside the log."""

    def number(self, work: Work) -> int:
        if (Path(self.log).parent / "broken").exists():
            raise DataError(f"{self.name} does not work today.")
        return super().number(work)


class Crashes(Toy):
    """Fails by a mistake in the code."""

    def number(self, work: Work) -> int:
        return [1, 2][7]


class KillsItself(Toy):
    """Ends its process as the system does when memory runs out."""

    def number(self, work: Work) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0


class SavesHalf(Toy):
    """Fails after the first of two files."""

    def save(self, value: Any, folder: Path) -> None:
        super().save(value, folder)
        raise OSError("no space left on device")


class DiesSaving(Toy):
    """Is killed after the first of two files."""

    def save(self, value: Any, folder: Path) -> None:
        super().save(value, folder)
        os.kill(os.getpid(), signal.SIGKILL)


class SavesMuch(Toy):
    """Writes a megabyte, in the way that the first word of its name says."""

    def save(self, value: Any, folder: Path) -> None:
        size = 1 << 20
        if self.name.startswith("numpy"):
            np.save(folder / "much.npy", np.zeros(size, dtype=np.uint8))
        elif self.name.startswith("torch"):
            torch.save(torch.zeros(size, dtype=torch.uint8), folder / "much.pt")
        else:
            (folder / "much").write_bytes(bytes(size))
        super().save(value, folder)


class ChecksMuchIn(Toy):
    """Writes a checkpoint of a megabyte."""

    def number(self, work: Work) -> int:
        folder = work.folder_of(self)
        assert folder is not None
        folder.mkdir(parents=True)
        torch.save(torch.zeros(1 << 20, dtype=torch.uint8), folder / "checkpoint.tmp")
        return super().number(work)


class OutOfMemoryScore(Toy):
    """Makes how soon the system would end its process for want of memory."""

    def number(self, work: Work) -> int:
        return int(Path("/proc/self/oom_score_adj").read_text())


class KeepsCheckpoint(Toy):
    """Leaves a checkpoint on its way."""

    def number(self, work: Work) -> int:
        folder = work.folder_of(self)
        assert folder is not None
        folder.mkdir(parents=True)
        (folder / "checkpoint.pt").write_text("half way")
        return super().number(work)
