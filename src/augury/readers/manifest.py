"""Manifests: a table with one row per image (CSV or TSV), beside the files or the zip archive that it speaks of."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from augury.errors import DataError, SettingsError
from augury.readers.archive import ZipTree
from augury.readers.base import Entry, Listing, Reading, Told, listing_digest, read_listed
from augury.readers.class_folders import PART_FOLDERS
from augury.readers.how import ReadSettings
from augury.readers.pixels import EXTENSIONS
from augury.readers.tree import FolderTree, Refused, Tree, inside

MAX_BYTES = 256 * 2**20
_DELIMITERS = "\t;,"  # Excel writes semicolons where a comma is the decimal sign
_GROUP = "group"


@dataclass(frozen=True)
class Manifest:
    """Reads `path,label[,group][,split][,further columns]`; paths are meant from the table's own folder.

    If they are not there, they are looked for in the zip archives beside the table. A path may also be a mere file
    name, with or without its extension, as long as only one file has it.
    """

    name: ClassVar[str] = "manifest"
    summary: ClassVar[str] = "a .csv or .tsv table with the columns path, label, and perhaps group, split and more"

    def matches(self, source: str) -> bool:
        """Tell whether the source is a file that ends in .csv or .tsv."""
        return source.lower().endswith((".csv", ".tsv")) and Path(source).is_file()

    def digest(self, source: str, settings: ReadSettings) -> str:
        """Return the SHA-256 of the table and of all files that it names."""
        return listing_digest(self._listing(Path(source), settings))

    def read(self, source: str, settings: ReadSettings, told: Told | None = None) -> Reading:
        """Decode all images that the table names, in its order.

        Raises:
            DataError: If the table cannot be used, or a file it names is missing or no image.
        """
        return read_listed(self._listing(Path(source), settings), settings, told)

    def _listing(self, path: Path, settings: ReadSettings) -> Listing:
        data = _bytes(path)
        table = Table.parse(path.name, data, settings)
        return list_manifest(table, _tree_of(table, path.parent), data)


@dataclass(frozen=True)
class Row:
    """One row of a manifest."""

    line: int
    path: str
    label: str
    part: str | None
    group: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A manifest, checked: every path stands once, every row has a label, parts are known."""

    title: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, title: str, data: bytes, settings: ReadSettings) -> Table:
        """Read a table.

        Raises:
            DataError: If it is no table, lacks a column, or a row is incomplete, stands twice or contradicts another.
        """
        header, lines = _cells(title, data)
        roles = {role: settings.column(role) for role in ("path", "label", "split")}
        for role in ("path", "label"):
            _check_column(title, header, role, roles[role])
        if "split" in dict(settings.columns):
            _check_column(title, header, "split", roles["split"])
        further = tuple(name for name in header if name and name not in (roles["path"], roles["label"], roles["split"]))
        rows = tuple(_row(title, line, dict(zip(header, cells, strict=True)), roles, further) for line, cells in lines)
        if not rows:
            raise DataError(f"{title} has a header and no rows: one row per image was expected. Add the images.")
        _check_rows(title, rows)
        return cls(title, rows, further)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the labels in order: by number if all are numbers, else by name."""
        labels = {row.label for row in self.rows}
        numbers = all(label.isdecimal() and label.isascii() and len(label) < 10 for label in labels)
        return tuple(sorted(labels, key=lambda label: (int(label), label) if numbers else (0, label)))


def list_manifest(table: Table, tree: Tree, data: bytes, base: str = "") -> Listing:
    """List the images of a table as they lie in a tree; what is not there is refused.

    Args:
        table: The table.
        tree: Where the files are.
        data: The table's bytes, part of the content that was read.
        base: The folder in the tree that paths are meant from; the tree's root is tried as well.

    Raises:
        DataError: If two rows mean one file.
    """
    names = _resolved(table, tree, base)
    entries, refused = [], []
    several = {} if all(names) else _by_file_name(tree)
    first_line: dict[str, int] = {}
    for row, name in zip(table.rows, names, strict=True):
        if name is None:
            why = _why_not(row.path, tree, several.get(row.path, ()))
            refused.append(Refused(row.path, f"stands in line {row.line} of {table.title}, {why}"))
            continue
        if name in first_line:
            raise DataError(
                f"lines {first_line[name]} and {row.line} of {table.title} both mean {name}. Remove one of them."
            )
        first_line[name] = row.line
        entries.append(Entry(name, row.label, row.part, row.group, row.columns))
    return Listing(tree, tuple(entries), table.classes, table.columns, tuple(refused), data)


def _why_not(path: str, tree: Tree, several: Sequence[str]) -> str:
    if inside(path.replace("\\", "/")) is None:
        return "and leads out of its folder. Put the table into the folder that holds the images."
    if len(several) > 1:
        return f"and could mean {several[0]} or {several[1]}. Write the path from {tree.title}."
    known = dict(tree.refused) if isinstance(tree, ZipTree) else {}
    return f"and {known.get(path, f'there is no such file in {tree.title}. Correct the path or remove the row.')}"


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path.name} has {size:,} bytes: a table of at most {MAX_BYTES:,} was expected. Split it.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be opened ({error.strerror}). Check its rights.") from None


def _cells(title: str, data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and the lines of a table, each with its number."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{title} is not UTF-8 text. Save it as 'CSV UTF-8'.") from None
    first = text.partition("\n")[0]
    delimiter = "\t" if title.lower().endswith(".tsv") and "\t" in first else max(_DELIMITERS[::-1], key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of {title} cannot be read ({error}). Save it anew as CSV.") from None
    _check_header(title, header)
    for line, cells in lines:
        if len(cells) != len(header):
            raise DataError(f"line {line} of {title} has {len(cells)} cells, the header has {len(header)}. Correct it.")
    return header, lines


def _check_header(title: str, header: Sequence[str]) -> None:
    if not any(header):
        raise DataError(f"{title} is empty: a table with the columns path and label was expected.")
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{title} has the column {twice!r} twice. Rename one of them.")


def _check_column(title: str, header: Sequence[str], role: str, name: str) -> None:
    if name not in header:
        found = ", ".join(filter(None, header))
        raise DataError(
            f"{title} has no column {name!r} for the {role} of each image. Got {found}. Name the right one: "
            f"--columns {role}=NAME (in a study file: columns = {{ {role} = 'NAME' }} under [data])."
        )


def _row(title: str, line: int, cells: dict[str, str], roles: dict[str, str], further: tuple[str, ...]) -> Row:
    values = {name: value.strip() for name, value in cells.items()}
    for role in ("path", "label"):
        if not values[roles[role]]:
            raise DataError(f"line {line} of {title} has no {role}. Fill it or remove the row.")
    part = values.get(roles["split"]) or None
    if part is not None and part.lower() not in PART_FOLDERS:
        expected = "train, val or test"
        raise DataError(f"line {line} of {title} has the split {part!r}: {expected} was expected. Correct it.")
    return Row(
        line,
        values[roles["path"]],
        values[roles["label"]],
        PART_FOLDERS[part.lower()] if part else None,
        values.get(_GROUP) or None,
        tuple(values[name] for name in further),
    )


def _check_rows(title: str, rows: Sequence[Row]) -> None:
    seen: dict[str, Row] = {}
    for row in rows:
        other = seen.setdefault(row.path, row)
        if other is not row:
            both = f"{row.path} stands in lines {other.line} and {row.line} of {title}"
            if other.label != row.label:
                raise DataError(f"{both} with the labels {other.label!r} and {row.label!r}. Keep the right one.")
            raise DataError(f"{both}. Remove one of them.")
    without = next((row for row in rows if row.part is None), None)
    if without is not None and any(row.part for row in rows):
        raise DataError(f"line {without.line} of {title} has no split while others have one. Fill it.")


def _tree_of(table: Table, folder: Path) -> Tree:
    """Return the tree that holds most of a table's files: its own folder, or a zip archive beside it."""
    trees: list[Tree] = [FolderTree(folder)]
    for path in sorted(folder.glob("*.zip")):
        try:
            trees.append(ZipTree(path))
        except DataError:
            continue  # an archive that cannot be opened is none that the table speaks of
    found = [sum(_plain(row.path, tree) is not None for row in table.rows) for tree in trees]
    if not any(found):  # perhaps mere file names: those are looked for anywhere in a tree
        found = [sum(name is not None for name in _resolved(table, tree)) for tree in trees]
    return trees[found.index(max(found))]


def _resolved(table: Table, tree: Tree, base: str = "") -> list[str | None]:
    """Return the name of each row's file in a tree, or None."""
    names = [_plain(f"{base}/{row.path}", tree) if base else None for row in table.rows]
    names = [name or _plain(row.path, tree) for name, row in zip(names, table.rows, strict=True)]
    if any(names):
        return names
    known = _by_file_name(tree)
    meant = [known.get(row.path, ()) for row in table.rows]
    return [found[0] if len(found) == 1 else None for found in meant]


def _plain(path: str, tree: Tree) -> str | None:
    for written in (path, path.replace("\\", "/")):  # tables made on Windows
        name = inside(written)
        if name is not None and tree.has(name):
            return name
    return None


def _by_file_name(tree: Tree) -> dict[str, list[str]]:
    """Return the files of a tree by file name, and image files by file name without extension as well."""
    known: dict[str, list[str]] = {}
    for name in tree.files:
        file_name = name.rpartition("/")[2]
        stem, dot, extension = file_name.rpartition(".")
        known.setdefault(file_name, []).append(name)
        if f"{dot}{extension}".lower() in EXTENSIONS:
            known.setdefault(stem, []).append(name)
    return known


def check_mapping(settings: ReadSettings, source: str) -> None:
    """Refuse column names where there is no table.

    Raises:
        SettingsError: If there are any.
    """
    if settings.columns:
        raise SettingsError(f"columns were named, and {source} is no table and holds none. Leave them out.")
