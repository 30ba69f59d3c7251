"""Stores: a result exists whole or not at all, under the name of what it was made from."""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from augury.errors import DataError, StoreBusyError
from augury.study.steps import Step

FORMAT = "augury store 1"
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


class FolderStore:
    """Keeps values in `root/<Kind>/<key>/`, each put there by one atomic rename.

    Raises:
        DataError: If the folder cannot be written, or is the store of another format.
    """

    def __init__(self, root: Path, device: str = "cpu") -> None:
        self.root, self.device = root, device
        self.recent: OrderedDict[str, Any] = OrderedDict()
        marker = root / "FORMAT"
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not marker.exists():
                marker.write_text(FORMAT + "\n", encoding="utf-8")
            found = marker.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise DataError(f"a folder to keep results in was expected at {root}. Got: {error.strerror}.") from None
        if found != FORMAT:
            raise DataError(f"the store in {root} has the format {found!r}. Expected {FORMAT!r}: name another.")

    def _folder(self, step: Step) -> Path:
        return self.root / type(step).__name__ / step.key

    def has(self, step: Step) -> bool:
        """Tell whether a step is done."""
        return self._folder(step).is_dir()

    def get(self, step: Step) -> Any:
        """Return a finished step's value; recent ones come from memory."""
        if step.key not in self.recent:
            self.recent[step.key] = step.load(self._folder(step), self.device)
            while len(self.recent) > KEPT_IN_MEMORY:
                self.recent.popitem(last=False)
        self.recent.move_to_end(step.key)
        return self.recent[step.key]

    def put(self, step: Step, value: Any) -> None:
        """Write a step's value beside its checkpoints, then rename it into place."""
        # the process id keeps a dying process of a killed run and its successor apart
        fresh = self.root / "partial" / f"{step.key}.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        step.save(value, fresh)
        home = self._folder(step)
        home.parent.mkdir(exist_ok=True)
        if not home.is_dir():
            fresh.rename(home)
        shutil.rmtree(self.root / "partial" / step.key, ignore_errors=True)

    def partial(self, step: Step) -> Path:
        """Return the folder of a step's checkpoints."""
        return self.root / "partial" / step.key

    def sweep(self) -> None:
        """Remove what killed processes left half written; checkpoints stay."""
        for left in (self.root / "partial").glob("*.*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for one run.

        Raises:
            StoreBusyError: If another run holds it.
        """
        held = FileLock(self.root / "lock", timeout=0)  # the system lets go of it when the process dies
        try:
            held.acquire()
        except Timeout:
            raise StoreBusyError(
                f"another run is using the store {self.root}. Wait for it, or give this one another folder (-o)."
            ) from None
        try:
            self.sweep()
            yield
        finally:
            held.release()


@contextmanager
def open_store(folder: Path | None, device: str) -> Iterator[Store]:
    """Open a store for one run: a locked folder, or memory when none is named."""
    if folder is None:
        yield MemoryStore()
        return
    store = FolderStore(folder, device)
    with store.lock():
        yield store
