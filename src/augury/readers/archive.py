"""Zip archives as trees of files, read in memory: nothing is ever unpacked to disk."""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

from augury.errors import DataError
from augury.readers.tree import MAX_FILE_BYTES, Refused, UnreadableError, inside, too_large, visible

MAX_TREE_BYTES = 64 * 2**30  # of an archive, expanded
PIECE_BYTES = 1 << 20  # expanded at once: an archive may hold more than it declares

_BROKEN = (OSError, EOFError, ValueError, RuntimeError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
# zipfile cannot bound what a piece of another packing expands to, and a bomb of bzip2 takes gigabytes
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipTree:
    """The files of a zip archive, read in memory: nothing is ever unpacked.

    Raises:
        DataError: If the file is no archive, or expands too far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.title = path.name
        try:
            self._open()
            members = self._archive.infolist()
        except (*_BROKEN, NotImplementedError) as error:
            raise DataError(f"{path.name} cannot be opened as a zip archive ({error}). Pack it anew.") from None
        expanded = sum(member.file_size for member in members)
        if expanded > MAX_TREE_BYTES:
            raise DataError(
                f"{path.name} expands to {expanded:,} bytes, at most {MAX_TREE_BYTES:,} are read. Use a part of it."
            )
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._refused = tuple(sorted(self._sorted_in(members)))

    def _sorted_in(self, members: Sequence[zipfile.ZipInfo]) -> Iterator[Refused]:
        for member in members:
            name = inside(member.filename.replace("\\", "/"))
            if name is None:
                yield Refused(member.filename, "leads out of the archive. Pack it anew, with relative names.")
            elif visible(name) and not _is_folder(member):
                reason = _why_not(member, name in self._members)
                if reason:
                    yield Refused(name, reason)
                else:
                    self._members[name] = member

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Return the names of all files, sorted."""
        return tuple(sorted(self._members))

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Return the names of all folders, sorted."""
        members = self._archive.infolist()
        listed = [inside(member.filename.replace("\\", "/")) for member in members if _is_folder(member)]
        found = {name for name in listed if name and visible(name)}
        for name in self._members:
            parts = name.split("/")
            found |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        return tuple(sorted(found))

    @property
    def refused(self) -> tuple[Refused, ...]:
        """Return members that lead out, are links, encrypted, too large, or stand twice."""
        return self._refused

    def has(self, name: str) -> bool:
        """Tell whether there is such a member."""
        return name in self._members

    def read(self, name: str) -> bytes:
        """Return the bytes of a member, at most as many as the archive declares, and checked."""
        try:
            with self._own().open(self._members[name]) as file:
                return b"".join(iter(partial(file.read, PIECE_BYTES), b""))
        except (*_BROKEN, NotImplementedError) as error:
            raise UnreadableError(f"cannot be unpacked ({error}). Pack the archive anew.") from None

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a member, none if it cannot be read."""
        try:
            with self._own().open(self._members[name]) as file:
                return file.read(size)
        except (*_BROKEN, NotImplementedError):
            return b""

    def _own(self) -> zipfile.ZipFile:
        """Return the archive as this process has it open: processes that share a file share its position."""
        if self._process != os.getpid():
            self._open()
        return self._archive

    def _open(self) -> None:
        self._archive, self._process = zipfile.ZipFile(self.path), os.getpid()
        # held by an error's traceback, tree and file are collected in any order: the file would warn that it is open
        weakref.finalize(self, self._archive.close)

    def digest(self, names: Sequence[str]) -> bytes:
        """Return a digest of the whole archive."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(("/", "\\"))  # archives made on Windows may hold the latter


def _why_not(member: zipfile.ZipInfo, known: bool) -> str | None:
    if known:
        return "stands in the archive twice. Pack it anew."
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link, which is not followed. Pack the file itself."
    if member.flag_bits & 1:
        return "is encrypted. Pack it without a password."
    if member.compress_type not in PACKED:
        return "is packed in an unusual way. Pack it anew as a plain zip archive (deflate)."
    return too_large(member.file_size) if member.file_size > MAX_FILE_BYTES else None
