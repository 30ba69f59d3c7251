"""Stores: a result exists whole or not at all, under the name of what it was made from."""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from augury.study.ground import check_format, create, hold, refuse_if_full
from augury.study.journal import note_opening
from augury.study.steps import Step

KEPT_IN_MEMORY = 64  # loaded values; most are memory-mapped, so this holds little


class Store(Protocol):
    """Where finished steps are kept."""

    def has(self, step: Step) -> bool:
        """Tell whether a step is done."""
        ...

    def get(self, step: Step) -> Any:
        """Return a finished step's value."""
        ...

    def put(self, step: Step, value: Any) -> None:
        """Keep a finished step's value."""
        ...

    def partial(self, step: Step) -> Path | None:
        """Return where a step may keep checkpoints until it is done."""
        ...

    def folder(self, step: Step) -> Path | None:
        """Return where a finished step lies; None if it lies in memory."""
        ...

    def check(self, step: Step) -> None:
        """Raise `StoreFullError` if a step that failed may have failed for want of room."""
        ...


class MemoryStore:
    """Keeps values for the life of the process: for small studies and tests."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def has(self, step: Step) -> bool:
        """Tell whether a step is done."""
        return step.key in self.values

    def get(self, step: Step) -> Any:
        """Return a finished step's value."""
        return self.values[step.key]

    def put(self, step: Step, value: Any) -> None:
        """Keep a finished step's value."""
        self.values[step.key] = value

    def partial(self, step: Step) -> None:
        """Return None: nothing outlives the process."""
        return

    def folder(self, step: Step) -> None:
        """Return None: it lies in memory."""
        return

    def check(self, step: Step) -> None:
        """Memory that runs out says so itself."""


class FolderStore:
    """Keeps values in `root/<Kind>/<key>/`, each put there by one atomic rename.

    Opening one creates nothing: the folder appears with the lock of a run, or with the first result.

    Raises:
        DataError: If something else lies there, or the store of another format.
    """

    def __init__(self, root: Path, device: str = "cpu") -> None:
        self.root, self.device = root, device
        self.recent: OrderedDict[str, Any] = OrderedDict()
        self.partials = root / "partial"
        check_format(root)

    def folder(self, step: Step) -> Path:
        """Return where a finished step lies."""
        return self.root / type(step).__name__ / step.key

    def has(self, step: Step) -> bool:
        """Tell whether a step is done."""
        return self.folder(step).is_dir()

    def get(self, step: Step) -> Any:
        """Return a finished step's value; recent ones come from memory."""
        if step.key not in self.recent:
            self.recent[step.key] = step.load(self.folder(step), self.device)
            while len(self.recent) > KEPT_IN_MEMORY:
                self.recent.popitem(last=False)
        self.recent.move_to_end(step.key)
        return self.recent[step.key]

    def put(self, step: Step, value: Any) -> None:
        """Write a step's value beside its checkpoints, then rename it into place.

        Raises:
            StoreFullError: If the store takes no more.
        """
        # the process id keeps a dying process of a killed run and its successor apart
        fresh, home = self.partials / f"{step.key}.{os.getpid()}", self.folder(step)
        try:
            create(self.root)
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            step.save(value, fresh)
            home.parent.mkdir(exist_ok=True)
            if not home.is_dir():
                fresh.rename(home)
        except (OSError, RuntimeError):  # torch reports a full disk by the latter, and by nothing else
            refuse_if_full(self.root, fresh.rglob("*"))
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.partials / step.key, ignore_errors=True)

    def check(self, step: Step) -> None:
        """Raise `StoreFullError` if a step that failed may have failed because its checkpoint found no room."""
        refuse_if_full(self.root, (self.partials / step.key).glob("*.tmp"))

    def partial(self, step: Step) -> Path:
        """Return the folder of a step's checkpoints."""
        return self.partials / step.key

    def sweep(self) -> None:
        """Remove what killed processes left half written; checkpoints stay."""
        for left in self.partials.glob("*.*"):
            self.discard(left)

    def discard(self, folder: Path) -> None:
        """Remove a folder of the store; at no moment does half of it lie under the name of a result."""
        gone = self.partials / f"{folder.name.partition('.')[0]}.gone.{os.getpid()}"
        gone.parent.mkdir(exist_ok=True)
        shutil.rmtree(gone, ignore_errors=True)
        with suppress(FileNotFoundError):  # a dying process of a killed run finished it at this very moment
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the store for one run; see `hold`."""
        return hold(self.root)


def existing_store(folder: Path, device: str) -> Store:
    """Return the store of a folder, to look at what is there; one in memory where there is none, so none is made."""
    return FolderStore(folder, device) if folder.is_dir() else MemoryStore()


@contextmanager
def open_store(folder: Path | None, device: str) -> Iterator[Store]:
    """Open a store for one run: a locked folder, or memory when none is named."""
    if folder is None:
        yield MemoryStore()
        return
    store = FolderStore(folder, device)
    with store.lock():
        store.sweep()
        note_opening(folder)
        try:
            yield store
        finally:
            store.sweep()  # what an ended worker left half written
