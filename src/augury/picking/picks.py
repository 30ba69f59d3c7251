"""The list of images that a person picked: a table that says which, by their pixels, so that files may move."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from augury.errors import DataError
from augury.files import formula_safe, write_whole

COLUMNS = ("digest", "label", "name", "picked_at")

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MEANT = f"a list made by augury pick, with the columns {','.join(COLUMNS)}, was expected"


@dataclass(frozen=True)
class Pick:
    """One picked image.

    Attributes:
        digest: SHA-256 of its pixels, see `augury.images.pixel_digest`.
        label: Its class.
        name: Its name in the pool that it was picked from; it helps people, and decides nothing.
        picked_at: When it was picked, with a time zone.
    """

    digest: str
    label: str
    name: str
    picked_at: datetime

    def cells(self) -> tuple[str, ...]:
        """Return its row of the table, in which no text is a formula."""
        when = self.picked_at.astimezone(UTC).isoformat(timespec="seconds")
        return self.digest, formula_safe(self.label), formula_safe(self.name), when


@dataclass(frozen=True)
class Picks:
    """A person's picks, in the order of picking.

    Attributes:
        entries: Picks, each image once.

    Example:
        >>> when = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
        >>> picks = Picks((Pick("c" * 64, "benign", "benign/2", when), Pick("a" * 64, "benign", "benign/0", when)))
        >>> pool = ["a" * 64, "b" * 64, "c" * 64]
        >>> picks.order(pool), picks.counts()
        ([2, 0], {'benign': 2})
        >>> [pick.name for pick in picks.missing(pool[:2])]
        ['benign/2']
    """

    entries: tuple[Pick, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def load(cls, path: Path, classes: Sequence[str] | None = None) -> Picks:
        """Read a list.

        Args:
            path: The table.
            classes: What a label may be; None: anything.

        Raises:
            DataError: If it cannot be read, is no list of picks, or picks an image twice or of an unknown class.
        """
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise DataError(f"{path}: {_MEANT}. It cannot be opened ({error.strerror}): check the path.") from None
        except UnicodeDecodeError:
            raise DataError(f"{path}: {_MEANT}. It is not UTF-8 text: save it as 'CSV UTF-8', or pick anew.") from None
        picks = cls(_entries(path.name, text))
        if classes is not None:
            picks.check_classes(classes, path.name)
        return picks

    def save(self, path: Path) -> None:
        """Write the list: all of it or nothing.

        Raises:
            DataError: If it cannot be written.
        """
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *(pick.cells() for pick in self.entries)])
        write_whole(path, text.getvalue())

    def order(self, digests: Sequence[str]) -> list[int]:
        """Return where the picked images stand in a pool, in the order of picking.

        Args:
            digests: Of all images of the pool; of several images with the same pixels the first one is taken.
        """
        place = first_places(digests)
        return [place[pick.digest] for pick in self.entries if pick.digest in place]

    def missing(self, digests: Sequence[str]) -> tuple[Pick, ...]:
        """Return the picks that are in no image of a pool."""
        known = set(digests)
        return tuple(pick for pick in self.entries if pick.digest not in known)

    def counts(self) -> dict[str, int]:
        """Return how many images of each class are picked."""
        return dict(Counter(pick.label for pick in self.entries))

    def check_classes(self, classes: Sequence[str], title: str) -> None:
        """Refuse a list with a label that is no class.

        Args:
            classes: What a label may be.
            title: How a message names the list.

        Raises:
            DataError: If there is such a label.
        """
        known = {formula_safe(name) for name in classes}
        unknown = next((pick.label for pick in self.entries if formula_safe(pick.label) not in known), None)
        if unknown is not None:
            named = ", ".join(repr(name) for name in classes[:8]) + (", ..." if len(classes) > 8 else "")
            raise DataError(f"{title} picks images of {unknown!r}. The classes are {named}: name another list.")


def first_places(digests: Sequence[str]) -> dict[str, int]:
    """Return where each digest stands first.

    Example:
        >>> first_places(["a", "b", "a"]) == {"a": 0, "b": 1}
        True
    """
    return {digest: i for i, digest in reversed(list(enumerate(digests)))}


def _entries(title: str, text: str) -> tuple[Pick, ...]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line_of: dict[str, int] = {}
    entries = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if tuple(header) != COLUMNS:
            raise DataError(f"{title}: {_MEANT}. Got {','.join(header)[:100] or 'nothing'}. Name another file.")
        for cells in filter(any, reader):
            pick = _entry(f"line {reader.line_num} of {title}", cells)
            first = line_of.setdefault(pick.digest, reader.line_num)
            if first != reader.line_num:
                raise DataError(f"lines {first} and {reader.line_num} of {title} pick the same image. Remove one.")
            entries.append(pick)
    except csv.Error as error:
        raise DataError(f"{title}: {_MEANT}. Line {reader.line_num} is no row of one ({error}). Pick anew.") from None
    return tuple(entries)


def _entry(where: str, cells: Sequence[str]) -> Pick:
    if len(cells) != len(COLUMNS):
        raise DataError(f"{where} has {len(cells)} cells, {len(COLUMNS)} were expected. Correct or remove it.")
    digest, label, name, when = cells
    if not _DIGEST.fullmatch(digest):
        raise DataError(f"{where}: a digest of 64 hexadecimal digits was expected. Got {digest[:80]!r}. Remove it.")
    try:
        picked_at = datetime.fromisoformat(when)
    except ValueError:
        picked_at = datetime.min
    if picked_at.tzinfo is None:
        example = "2026-01-31T12:00:00+00:00"
        raise DataError(
            f"{where}: a time with a time zone such as {example} was expected. Got {when[:40]!r}. Correct it."
        )
    return Pick(digest, label, name, picked_at)
