"""A folder with one folder of image files per class, or train, val and test folders of such."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from augury.errors import DataError
from augury.images import ImageSet
from augury.readers.base import labelled
from augury.readers.pixels import Fit, Size, Sizing, decode_files

_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")
_PART_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")  # left behind by file managers, visible on other systems


@dataclass(frozen=True)
class _Entry:
    name: str  # path relative to the folder, with forward slashes
    path: Path
    class_name: str
    part: str | None


@dataclass(frozen=True)
class Folder:
    """Reads a folder of class folders; files at any depth below a class folder belong to that class.

    Hidden files are ignored, links that leave the folder are refused.
    """

    name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "a folder with one folder of images per class, or train, val and test folders of such"

    def matches(self, source: str) -> bool:
        """Tell whether the source is a folder."""
        return Path(source).is_dir()

    def digest(self, source: str) -> str:
        """Return the SHA-256 over the relative paths and the bytes of all image files.

        Raises:
            DataError: If the folder is not laid out as expected.
        """
        hasher = hashlib.sha256()
        for entry in _entries(Path(source)):
            name = entry.name.encode("utf-8", "surrogateescape")
            with entry.path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            hasher.update(len(name).to_bytes(8, "big") + name + content)
        return hasher.hexdigest()

    def read(self, source: str, *, size: Size, fit: Fit) -> ImageSet:
        """Decode all image files, in the order of their names.

        Raises:
            DataError: If the folder is not laid out as expected, or a file is not an image.
        """
        sizing = Sizing(size, fit)
        entries = _entries(Path(source))
        classes = sorted({entry.class_name for entry in entries})
        label_of = {name: label for label, name in enumerate(classes)}
        parts = [entry.part for entry in entries if entry.part is not None]
        return labelled(
            decode_files([(entry.name, entry.path) for entry in entries], sizing),
            [label_of[entry.class_name] for entry in entries],
            classes,
            sizing,
            parts=parts or None,
        )


def _entries(root: Path) -> list[_Entry]:
    folders = _folders(root, root)
    if not folders:
        raise DataError(f"{root} holds no folders: one folder of images per class was expected.")
    if _are_parts(folders):
        found = [
            entry
            for part in folders
            for folder in _folders(part, root)
            for entry in _in_class(folder, root, _PART_FOLDERS[part.name.lower()])
        ]
    else:
        found = [entry for folder in folders for entry in _in_class(folder, root, None)]
    return sorted(found, key=lambda entry: entry.name)


def _are_parts(folders: list[Path]) -> bool:
    parts = [folder.name for folder in folders if folder.name.lower() in _PART_FOLDERS]
    others = [folder.name for folder in folders if folder.name.lower() not in _PART_FOLDERS]
    # one such name among others can be a class: there are sets of vehicles with a class 'train'
    if others and len(parts) > 1:
        beside = f"the folders {parts[0]!r} and {parts[1]!r} stand beside {others[0]!r}"
        raise DataError(f"{beside}: expected either parts (train, val, test) or classes. Move {others[0]!r} away.")
    return not others


def _folders(folder: Path, root: Path) -> list[Path]:
    """Return the visible folders in a folder; images beside them would have no class."""
    inside = _visible(folder, root)
    stray = next((path for path in inside if path.is_file() and path.suffix.lower() in _EXTENSIONS), None)
    if stray is not None:
        raise DataError(f"{_name(stray, root)} lies in no class folder. Move it into the folder of its class.")
    return [path for path in inside if path.is_dir()]


def _in_class(folder: Path, root: Path, part: str | None) -> list[_Entry]:
    entries = [_Entry(_name(path, root), path, folder.name, part) for path in _files(folder, root)]
    if not entries:
        raise DataError(f"the class folder {_name(folder, root)!r} holds no images. Add images or remove the folder.")
    return entries


def _files(folder: Path, root: Path) -> Iterator[Path]:
    for path in _visible(folder, root):
        if path.is_dir():
            yield from _files(path, root)
        elif path.name.lower() in _SYSTEM_FILES:
            continue
        elif path.is_file() and path.suffix.lower() in _EXTENSIONS:
            yield path
        else:
            kinds = ", ".join(extension[1:] for extension in _EXTENSIONS)
            raise DataError(f"{_name(path, root)} is not an image file: expected {kinds}. Convert it or remove it.")


def _visible(folder: Path, root: Path) -> list[Path]:
    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    for path in paths:
        if path.is_symlink():
            _check_link(path, root)
    return paths


def _check_link(path: Path, root: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise DataError(f"{_name(path, root)} is a link to nothing. Remove it.") from None
    if not target.is_relative_to(root.resolve()):
        raise DataError(f"{_name(path, root)} is a link that leaves the folder. Copy the file to its place instead.")
    if target.is_dir():
        raise DataError(f"{_name(path, root)} is a link to a folder, which is not followed. Copy the files instead.")


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
