"""The ground a store stands on: what makes a folder one, who holds it, and when it takes no more."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from augury.errors import DataError, StoreBusyError, StoreFullError
from augury.files import write_whole

FORMAT = "augury store 1"
LOCK_SECONDS = 0.5  # a look at the lock (`is_held`) takes it for less than a millisecond
PROBE_BYTES = 1 << 20
REMEDIES = {
    errno.ENOSPC: "free some",
    errno.EDQUOT: "free some",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
}


def check_format(root: Path) -> None:
    """Make sure that a folder is a store, or can become one.

    Raises:
        DataError: If it is neither.
    """
    try:
        found = {path.name for path in root.iterdir()}
        text = (root / "FORMAT").read_text(encoding="utf-8", errors="replace").strip() if "FORMAT" in found else None
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"a folder to keep results in was expected at {root}. Got: {error.strerror}.") from None
    if text is not None and text != FORMAT:
        raise DataError(f"the store in {root} has the format {text[:40]!r}. Expected {FORMAT!r}: name another.")
    others = [name for name in found if name != "lock" and not name.startswith(".FORMAT.")]  # these a killed run leaves
    if text is None and others:
        raise DataError(
            f"a store, or a folder to make one in, was expected at {root}. Got one that holds other things, such as "
            f"{min(others)!r}: name another."
        )


def require_store(root: Path) -> None:
    """Make sure that a store is there.

    Raises:
        DataError: If it is not.
    """
    if not (root / "FORMAT").is_file():
        raise DataError(
            f"the store of a study that has run was expected at {root}. Got nothing: run it, or name its --store."
        )


def create(root: Path) -> tuple[Path, ...]:
    """Make a folder a store; return what was not there before, the store first.

    Raises:
        DataError: If it cannot be written.
    """
    if (root / "FORMAT").exists():
        return ()
    missing = tuple(path for path in (root, *root.absolute().parents) if not path.exists())
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"a folder to keep results in was expected at {root}. Got: {error.strerror}.") from None
    write_whole(root / "FORMAT", FORMAT + "\n")
    return missing


@contextmanager
def hold(root: Path) -> Iterator[None]:
    """Hold a store for one run, and create it where there is none; one that stays empty is removed again.

    Raises:
        StoreBusyError: If another run holds it.
        DataError: If it cannot be created.
        StoreFullError: If it cannot be written.
    """
    created = create(root)
    held = FileLock(root / "lock", timeout=LOCK_SECONDS)  # the system lets go of it when the process dies
    try:
        held.acquire()
    except Timeout:
        raise StoreBusyError(
            f"another run is using the store {root}. Wait for it, or give this one another folder (-o)."
        ) from None
    except OSError as error:
        raise store_full(root, error) from None
    try:
        yield
    finally:
        _leave_no_empty_store(created)
        held.release()


def _leave_no_empty_store(created: tuple[Path, ...]) -> None:
    """Remove a store that was created for a command which was then refused, and the folders made for it."""
    if not created:
        return
    root = created[0]
    with suppress(OSError):  # a checkpoint stays, and a folder that something else was put into meanwhile
        names = {path.name for path in root.iterdir()}
        if names <= {"FORMAT", "lock", "partial"}:
            if "partial" in names:
                (root / "partial").rmdir()
            (root / "FORMAT").unlink()
            (root / "lock").unlink()
            for folder in created:
                folder.rmdir()


def is_held(root: Path) -> bool:
    """Tell whether a run holds a store, without writing there and without keeping a run from starting."""
    if sys.platform == "win32":
        return False  # it has no shared locks: who is running is not seen there
    import fcntl

    try:
        with (root / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # until the file is closed, at once
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def refuse_if_full(root: Path, written: Iterable[Path]) -> None:
    """Look whether a store takes more: a new file, and more of the longest of those that were being written.

    The exception of a failed write does not tell: NumPy's has no error number, and torch's is a bare `RuntimeError`.

    Raises:
        StoreFullError: If it does not.
    """
    try:
        (root / "partial").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root / "partial") as file:
            _fill(file)
        files = [path for path in written if path.is_file() and not path.is_symlink()]
        for path in sorted(files, key=lambda path: path.stat().st_size)[-1:]:
            with path.open("ab") as file:
                _fill(file)
    except OSError as error:
        if error.errno in REMEDIES:
            raise store_full(root, error) from None


def _fill(file: IO[bytes]) -> None:
    file.write(bytes(PROBE_BYTES))
    file.flush()
    os.fsync(file.fileno())  # some file systems find out late


def store_full(root: Path, error: OSError) -> StoreFullError:
    """Return the sentence for a store that cannot be written any more."""
    reason = error.strerror or str(error)
    remedy = REMEDIES.get(error.errno or 0, "set that right")
    return StoreFullError(
        f"the store {root} takes no more: {reason[:1].lower()}{reason[1:]}. Nothing finished is lost: {remedy}, "
        "then the same command goes on."
    )
