"""How images are read that are added to real ones or picked from: drawn ones, of one class or more."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from augury.readers import is_place
from augury.readers.archive import ZipTree
from augury.readers.how import ReadSettings
from augury.readers.tree import FolderTree, Tree

MANIFEST = "manifest.csv"  # what Augury writes beside the images that it draws


class DrawnSettings(ReadSettings):
    """How images are read that nobody trains on by themselves: they may be of one class only."""

    to_train_on: ClassVar[bool] = False


def settings_for_drawn(source: str, **settings: Any) -> DrawnSettings:
    """Return how to read a source: by the table that Augury wrote, where there is one, else as any images."""
    return DrawnSettings(columns=columns_of(source), **settings)


def columns_of(source: str) -> tuple[tuple[str, str], ...]:
    """Return the columns to read by where Augury's own table lies in a source, whose folders then name no classes."""
    tree = tree_of(source)
    name = lies_in(tree, MANIFEST) if tree else None
    if tree is None or name is None:
        return ()
    header = tree.head(name, 4096).decode("utf-8", "replace").partition("\n")[0].strip().split(",")
    return (("path", "path"), ("label", "label")) if {"path", "label", "seed", "maker"} <= set(header) else ()


def tree_of(source: str) -> FolderTree | ZipTree | None:
    """Return the folder or archive that a source is; None if it is another file, or none."""
    path = Path(source)
    if is_place(source) and path.is_dir():
        return FolderTree(path)
    return ZipTree(path) if path.suffix.lower() == ".zip" and path.is_file() else None


def lies_in(tree: Tree, file: str) -> str | None:
    """Return where a file of some name lies in a tree; None if nowhere."""
    return next((name for name in tree.files if name.rpartition("/")[2] == file), None)
