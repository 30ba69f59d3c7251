"""A tree with one folder of image files per class, or train, val and test folders of such, wrapped or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from augury.errors import DataError
from augury.readers.base import Entry, Listing
from augury.readers.dicom import MARK_ENDS, is_dicom
from augury.readers.pixels import EXTENSIONS, KINDS
from augury.readers.tree import Refused, Tree

PART_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_MAYBE_DICOM = re.compile(r"[^.]+|.*\.\d+")  # scanners write files without an extension, or named by numbers and dots
_TABLES = (".csv", ".tsv")


def image_names(tree: Tree) -> tuple[str, ...]:
    """Return the names of the image files of a tree."""
    return tuple(name for name in tree.files if _is_image(name, tree))


def tables(tree: Tree) -> tuple[str, ...]:
    """Return the names of the tables (CSV, TSV) of a tree."""
    return tuple(name for name in tree.files if name.lower().endswith(_TABLES))


def class_count(images: Sequence[str]) -> int:
    """Return how many class folders some image names would give."""
    depth = _wraps(images)
    return len({name.split("/")[depth] for name in images if name.count("/") > depth})


def list_class_folders(tree: Tree, images: Sequence[str]) -> Listing:
    """List the images of a tree by their class folders.

    Raises:
        DataError: If the tree is not laid out as expected.
    """
    depth = _wraps(images)
    wrap = "/".join(images[0].split("/")[:depth]) if images else ""
    within = f"{wrap}/" if wrap else ""
    folders = _below(tree.folders, within)
    if not folders and tree.refused:
        return Listing(tree, (), (), refused=tree.refused)
    if not folders:
        raise DataError(f"{tree.title} holds no folders: one folder of images per class was expected.")
    parts = _are_parts(folders)
    homes: dict[str, str | None] = {f"{within}{folder}": None for folder in folders}
    if parts:
        homes = {
            f"{home}/{name}": PART_FOLDERS[home.rpartition("/")[2].lower()]
            for home in homes
            for name in _below(tree.folders, f"{home}/")
        }
    closed = dict(tree.refused)
    for home in filter(closed.__contains__, homes):
        raise DataError(f"the class folder {home} {closed[home]}")
    entries = [entry for home, part in homes.items() for entry in _in_class(home, part, images)]
    strays = [*tree.refused, *_strays(tree, images, homes, within)]
    classes = tuple(sorted({home.rpartition("/")[2] for home in homes}))
    return Listing(tree, tuple(sorted(entries, key=lambda entry: entry.name)), classes, refused=tuple(sorted(strays)))


def _wraps(images: Sequence[str]) -> int:
    """Return how many folders wrap all class folders: those that all images share and that are no parts."""
    if not images:
        return 0
    split = [name.split("/") for name in images]
    depth, deepest = 0, min(len(parts) for parts in split) - 2
    first = split[0]
    while depth < deepest and first[depth].lower() not in PART_FOLDERS:
        if any(parts[depth] != first[depth] for parts in split):
            break
        depth += 1
    return depth


def _is_image(name: str, tree: Tree) -> bool:
    lower = name.lower()
    if lower.endswith(EXTENSIONS):
        return True
    if not _MAYBE_DICOM.fullmatch(lower.rpartition("/")[2]):
        return False
    return is_dicom(tree.head(name, MARK_ENDS))


def _below(folders: Sequence[str], within: str) -> list[str]:
    """Return the names of the folders directly in a folder."""
    return [name[len(within) :] for name in folders if name.startswith(within) and "/" not in name[len(within) :]]


def _are_parts(folders: Sequence[str]) -> bool:
    parts = [folder for folder in folders if folder.lower() in PART_FOLDERS]
    others = [folder for folder in folders if folder.lower() not in PART_FOLDERS]
    # one such name among others can be a class: there are sets of vehicles with a class 'train'
    if others and len(parts) > 1:
        beside = f"the folders {parts[0]!r} and {parts[1]!r} stand beside {others[0]!r}"
        raise DataError(f"{beside}: expected either parts (train, val, test) or classes. Move {others[0]!r} away.")
    return not others


def _in_class(home: str, part: str | None, images: Sequence[str]) -> Iterator[Entry]:
    found = [Entry(name, home.rpartition("/")[2], part) for name in images if name.startswith(f"{home}/")]
    if not found:
        raise DataError(f"the class folder {home!r} holds no images. Add images or remove the folder.")
    yield from found


def _strays(tree: Tree, images: Sequence[str], homes: dict[str, str | None], within: str) -> Iterator[Refused]:
    """Yield images outside the class folders, and other files inside them."""
    known = set(images)
    depth = next(iter(homes)).count("/") if homes else 0
    for name in tree.files:
        in_class = "/".join(name.split("/")[: depth + 1]) in homes and name.count("/") > depth
        if name in known and not in_class:
            yield Refused(name, "lies in no class folder. Move it into the folder of its class.")
        if name not in known and in_class:
            yield Refused(name, f"is not an image file: expected {KINDS}. Convert it or remove it.")
