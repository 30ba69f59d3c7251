"""What a store holds that no study file needs any more, and its removal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augury.errors import AuguryError, DataError
from augury.settings import read_toml
from augury.study.engine import reachable
from augury.study.extending import EXTENDS
from augury.study.layout import lay_out
from augury.study.steps import Step
from augury.study.store import FolderStore
from augury.study.study_file import TABLES, load_study

KEY = re.compile("[0-9a-f]{64}")  # nothing else in a store is a result


@dataclass(frozen=True)
class Needed:
    """What the study files of a folder need.

    Attributes:
        keys: Of all their steps.
        studies: The study files.
        others: TOML files that are no studies.
    """

    keys: frozenset[str]
    studies: tuple[Path, ...]
    others: tuple[Path, ...]


@dataclass(frozen=True)
class Leftover:
    """A folder of a store that is not needed: a result, or what is left of one that was not finished."""

    folder: Path
    size: int  # bytes

    @property
    def finished(self) -> bool:
        """Tell whether it is a result."""
        return self.folder.parent.name != "partial"


class Untouched(FolderStore):
    """A store that is not written to: images that are not in it are read into memory."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.values: dict[str, Any] = {}

    def has(self, step: Step) -> bool:
        """Tell whether a step is done."""
        return step.key in self.values or super().has(step)

    def get(self, step: Step) -> Any:
        """Return a finished step's value."""
        return self.values[step.key] if step.key in self.values else super().get(step)

    def put(self, step: Step, value: Any) -> None:
        """Keep a value in memory."""
        self.values[step.key] = value


def needed_by(folder: Path, root: Path, *, allow_plugins: bool = False) -> Needed:
    """List the steps that the study files of a folder need, finished or not.

    Raises:
        DataError: If there is no study file, or one cannot be read or its images are not there: what cannot be
            understood may need anything.
    """
    keys: set[str] = set()
    studies, others = [], []
    for path in _toml_files(folder, root):
        try:
            # a study that lost a table is one that cannot be read; only what has none of them is no study
            if not read_toml(path).keys() & {*TABLES, EXTENDS}:
                others.append(path)
                continue
            laid = lay_out(load_study(path, allow_plugins=allow_plugins), Untouched(root))
        except AuguryError as error:
            raise DataError(f"{path}: {error} Nothing was removed: mend the file, or move it away.") from None
        studies.append(path)
        keys.update(reachable(laid.targets()))
    if not studies:
        raise DataError(
            f"a study file was expected in {folder}. Got none that says what is needed: nothing was removed."
        )
    return Needed(frozenset(keys), tuple(studies), tuple(others))


def _toml_files(folder: Path, root: Path) -> Iterator[Path]:
    """List a folder's TOML files, those behind links too, in order; not those in the store."""
    seen = {root.resolve()}
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_stop):
        here = Path(place).resolve()
        if here in seen:  # the store, or a link that leads back
            folders.clear()
            continue
        seen.add(here)
        folders.sort()
        yield from (Path(place, name) for name in sorted(files) if name.lower().endswith(".toml"))


def _stop(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be looked through: {error.strerror}. Nothing was removed.")


def leftovers(store: FolderStore, needed: frozenset[str]) -> tuple[Leftover, ...]:
    """List what is not needed: results, checkpoints, and what killed processes left half written."""
    found = []
    for kind in sorted(path for path in store.root.iterdir() if path.is_dir() and not path.is_symlink()):
        for folder in sorted(kind.iterdir()):
            ours = kind.name == "partial" or KEY.fullmatch(folder.name)
            if ours and folder.name not in needed and folder.is_dir():
                found.append(
                    Leftover(folder, sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()))
                )
    return tuple(found)


def remove(store: FolderStore, gone: Sequence[Leftover]) -> None:
    """Remove leftovers; stopped at any moment, it leaves whole results and no halves that look like one.

    Raises:
        DataError: If one cannot be removed.
    """
    for leftover in gone:
        try:
            store.discard(leftover.folder)
            if not any(leftover.folder.parent.iterdir()):
                leftover.folder.parent.rmdir()
        except OSError as error:
            raise DataError(f"{leftover.folder} cannot be removed: {error.strerror}. Check the rights.") from None
