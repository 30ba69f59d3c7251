"""Trees of files: a folder or a zip archive, read by relative names, never beyond their own root."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from augury.errors import DataError

MAX_FILE_BYTES = 512 * 2**20  # of one image file, expanded

_SYSTEM_NAMES = ("thumbs.db", "desktop.ini", "__macosx", "dicomdir")  # left behind by file managers and scanners
_REMEDY = "Check its rights, or remove it."


class Refused(NamedTuple):
    """A file that cannot be read, and why: `<name> <reason>` is a sentence with its remedy."""

    name: str
    reason: str


class UnreadableError(Exception):
    """Why one file cannot be read; it becomes a `Refused`, or part of a DataError."""


class Tree(Protocol):
    """Files by relative name, with forward slashes; hidden files and those of file managers do not exist."""

    @property
    def title(self) -> str:
        """Return how a message names it."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of all files, sorted."""
        ...

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the names of all folders, sorted."""
        ...

    @property
    def refused(self) -> tuple[Refused, ...]:
        """Return what is there and may not be read."""
        ...

    def has(self, name: str) -> bool:
        """Tell whether a file may be read under a name."""
        ...

    def read(self, name: str) -> bytes:
        """Return the bytes of a file; raise `UnreadableError` if that cannot be."""
        ...

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file, none if it cannot be read."""
        ...

    def digest(self, names: Sequence[str]) -> bytes:
        """Return a digest of the names and contents of some files."""
        ...


def visible(name: str) -> bool:
    """Tell whether no part of a relative name is hidden or made by a file manager.

    Example:
        >>> visible("a/1.png"), visible("a/.cache/1.png"), visible("__MACOSX/a/1.png")
        (True, False, False)
    """
    return not any(part.startswith(".") or part.lower() in _SYSTEM_NAMES for part in name.split("/"))


def inside(name: str) -> str | None:
    """Return a relative name in its plain form, or None if it leads out of its root.

    Example:
        >>> inside("./a//1.png"), inside("a/../../1.png"), inside("/etc/passwd"), inside("C:/1.png")
        ('a/1.png', None, None, None)
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    absolute = name.startswith("/") or (bool(parts) and len(parts[0]) == 2 and parts[0][1] == ":")
    if absolute or ".." in parts or "\0" in name or not parts:
        return None
    return "/".join(parts)


class FolderTree:
    """The files of a folder; links are followed only to files inside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.title = str(root)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of all files, sorted."""
        return self._found[0]

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the names of all folders, sorted."""
        return self._found[1]

    @property
    def refused(self) -> tuple[Refused, ...]:
        """Return links that lead nowhere or out, and what is no file."""
        return self._found[2]

    @cached_property
    def _found(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Refused, ...]]:
        files: list[str] = []
        folders: list[str] = []
        refused: list[Refused] = []
        waiting = [""]  # not os.walk: before Python 3.12 that calls itself for each level
        while waiting:
            within = waiting.pop()
            for name, is_folder, reason in self._listed(within):
                if reason:
                    refused.append(Refused(name, reason))
                else:
                    (folders if is_folder else files).append(name)
                    waiting += [f"{name}/"] if is_folder else []
        return tuple(sorted(files)), tuple(sorted(folders)), tuple(sorted(refused))

    def _listed(self, within: str) -> Iterator[tuple[str, bool, str | None]]:
        """Yield the name of all that is in a folder, whether it is a folder itself, and why it may not be read."""
        try:
            with os.scandir(self.root / within) as entries:
                for entry in filter(lambda entry: visible(entry.name), entries):
                    name = within + entry.name
                    is_folder = entry.is_dir(follow_symlinks=False)
                    plain = is_folder or entry.is_file(follow_symlinks=False)
                    yield name, is_folder, None if plain else self._why_not(name)
        except OSError as error:  # too deep for the system, not allowed, or gone meanwhile
            if not within:
                raise DataError(f"the folder {self.root} cannot be opened ({error.strerror}). Check it.") from None
            yield within[:-1], True, f"cannot be opened ({error.strerror}). {_REMEDY}"

    def _why_not(self, name: str) -> str | None:
        path = self.root / name
        if not path.is_symlink():
            return "is no file (a pipe, a socket or a device). Remove it."
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return "is a link to nothing. Remove it."
        if not target.is_relative_to(self.root.resolve()):
            return "is a link that leaves the folder. Copy the file to its place instead."
        if target.is_dir():
            return "is a link to a folder, which is not followed. Copy the files instead."
        return None if target.is_file() else "is no file (a pipe, a socket or a device). Remove it."

    def has(self, name: str) -> bool:
        """Tell whether a file may be read under a name; the folder is not walked for it."""
        try:
            path = self.root / name
            return path.is_file() and path.resolve().is_relative_to(self.root.resolve())
        except (OSError, ValueError):  # a name that the system cannot hold
            return False

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        try:
            with open(f"{self.root}/{name}", "rb") as file:  # noqa: PTH123 - half of the time of a small file
                size = os.fstat(file.fileno()).st_size
                if size > MAX_FILE_BYTES:
                    raise UnreadableError(too_large(size))
                return file.read()
        except OSError as error:
            raise UnreadableError(f"cannot be opened ({error.strerror}). {_REMEDY}") from None

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file, none if it cannot be read."""
        try:
            with (self.root / name).open("rb") as file:
                return file.read(size)
        except OSError:
            return b""

    def digest(self, names: Sequence[str]) -> bytes:
        """Return a digest of the names and contents of some files."""
        hasher = hashlib.sha256()
        for name in names:
            encoded = name.encode("utf-8", "surrogateescape")
            hasher.update(len(encoded).to_bytes(8, "big") + encoded + self._content(name))
        return hasher.digest()

    def _content(self, name: str) -> bytes:
        try:
            with (self.root / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return b""  # what cannot be read is refused when it is read


def too_large(size: int) -> str:
    """Return the reason of a file that is too large to be one image."""
    return f"has {size:,} bytes, at most {MAX_FILE_BYTES:,} are read. Make it smaller or remove it."
