"""Files and folders that appear whole or not at all, and text that is safe in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from augury.errors import DataError


def write_whole(path: Path, text: str) -> None:
    """Write a text file under its name only when all of it is there.

    Raises:
        DataError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a file name that is not valid Unicode holds surrogates, which UTF-8 cannot write
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}. Check space and rights.") from None
    finally:
        with suppress(OSError):  # where nothing can be written, nothing can be removed
            partial.unlink(missing_ok=True)


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that appears under its name only when the block ends well.

    Raises:
        DataError: If the name is taken or cannot be written.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists already. Name another folder, or remove it.")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}. Check space and rights.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def formula_safe(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula.

    Example:
        >>> formula_safe("=cmd()"), formula_safe("nevus")
        ("'=cmd()", 'nevus')
    """
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
