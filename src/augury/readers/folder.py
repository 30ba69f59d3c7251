"""Folders and zip archives of image files: a folder per class, or a table inside that names path and label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from augury.errors import DataError
from augury.readers.archive import ZipTree
from augury.readers.base import Listing, Reading, Told, listing_digest, read_listed
from augury.readers.class_folders import class_count, image_names, list_class_folders, tables
from augury.readers.how import ReadSettings
from augury.readers.manifest import Table, check_mapping, list_manifest
from augury.readers.tree import FolderTree, Tree, UnreadableError


@dataclass(frozen=True)
class Folder:
    """Reads a folder of class folders; files at any depth below a class folder belong to that class.

    Hidden files are ignored, links that leave the folder are refused.
    """

    name: ClassVar[str] = "folder"
    summary: ClassVar[str] = (
        "a folder with one folder of images per class, or train, val and test folders of such, or with a table"
    )

    def matches(self, source: str) -> bool:
        """Tell whether the source is a folder."""
        return Path(source).is_dir()

    def digest(self, source: str, settings: ReadSettings) -> str:
        """Return the SHA-256 over the relative paths and the bytes of all image files."""
        return listing_digest(list_tree(FolderTree(Path(source)), settings))

    def read(self, source: str, settings: ReadSettings, told: Told | None = None) -> Reading:
        """Decode all image files, in the order of their names.

        Raises:
            DataError: If the folder is not laid out as expected, or a file is not an image.
        """
        return read_listed(list_tree(FolderTree(Path(source)), settings), settings, told)


@dataclass(frozen=True)
class Zipped:
    """Reads a zip archive as the folder it would become; nothing is unpacked to disk."""

    name: ClassVar[str] = "zip"
    summary: ClassVar[str] = "a .zip archive of such a folder"

    def matches(self, source: str) -> bool:
        """Tell whether the source is a file that ends in .zip."""
        return source.lower().endswith(".zip") and Path(source).is_file()

    def digest(self, source: str, settings: ReadSettings) -> str:
        """Return the SHA-256 of the archive."""
        return listing_digest(list_tree(ZipTree(Path(source)), settings))

    def read(self, source: str, settings: ReadSettings, told: Told | None = None) -> Reading:
        """Decode all image files, in the order of their names.

        Raises:
            DataError: If the archive is not laid out as expected, or a file is not an image.
        """
        return read_listed(list_tree(ZipTree(Path(source)), settings), settings, told)


def list_tree(tree: Tree, settings: ReadSettings) -> Listing:
    """List the images of a tree: by class folders, or by the table inside if there are none or columns are named.

    Raises:
        DataError: If it is laid out in neither way.
    """
    images, found = image_names(tree), tables(tree)
    if settings.columns or (found and class_count(images) < 2):
        if len(found) == 1:
            return _by_table(tree, found[0], settings)
        if found:
            raise DataError(
                f"{tree.title} holds {len(found)} tables, {found[0]} and {found[1]} among them, and no class folders. "
                "Name the right table itself, beside the images or their archive."
            )
        check_mapping(settings, tree.title)
    return list_class_folders(tree, images)


def _by_table(tree: Tree, name: str, settings: ReadSettings) -> Listing:
    try:
        data = tree.read(name)
    except UnreadableError as error:
        raise DataError(f"{name} {error}") from None
    return list_manifest(Table.parse(name, data, settings), tree, data, base=name.rpartition("/")[0])
