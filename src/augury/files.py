"""Files and folders that appear whole or not at all, and text that is safe in them."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from augury.errors import DataError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under its name only when all of it is there.

    Raises:
        DataError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a file name that is not valid Unicode holds surrogates, which UTF-8 cannot write
        data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
        partial.write_bytes(data)
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
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    made: tuple[Path, ...] = ()
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataError(f"{out} exists already. Name another folder, or remove it.")
        made = tuple(folder for folder in out.parents if not folder.exists())
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}. Check space and rights.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # the one that holds the result is not empty, and stays
                folder.rmdir()


def formula_safe(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula.

    Example:
        >>> formula_safe("=cmd()"), formula_safe("nevus")
        ("'=cmd()", 'nevus')
    """
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def printable(text: str) -> str:
    r"""Return text that does nothing to a terminal but stand there: control characters become their escapes.

    So do line breaks, marks that turn the direction of writing, and halves of characters, which cannot be printed.

    Example:
        >>> printable("nevus\x1b[2J\n")
        'nevus\\x1b[2J\\n'
    """
    unsafe = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    escaped = (c.encode("unicode_escape").decode("ascii") if unicodedata.category(c) in unsafe else c for c in text)
    return "".join(escaped)
