"""Whether a printed table of precision and recall can be true: the counts behind it must exist, and must add up."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from augury.errors import DataError

COLUMNS = ("class", "support", "precision", "recall")
F1 = "f1"
Span = tuple[float, float]


@dataclass(frozen=True)
class PrintedClass:
    """One row of a printed table.

    Attributes:
        name: The class.
        support: Its images in the test part.
        precision: As printed, 0..1.
        recall: Likewise.
        f1: Likewise; None where it is not printed.
    """

    name: str
    support: int
    precision: float
    recall: float
    f1: float | None = None


@dataclass(frozen=True)
class Implied:
    """What a printed table says without saying it.

    Attributes:
        images: In the test part.
        accuracy: Least and greatest that the recalls allow.
        called: Least and greatest number of images that were called each class, by precision and recall.
        contradictions: Why the table cannot be right, in sentences; empty where it can.
    """

    images: int
    accuracy: Span
    called: dict[str, Span]
    contradictions: tuple[str, ...]


def implied(rows: Sequence[PrintedClass], *, digits: int = 2, accuracy: float | None = None) -> Implied:
    """Work out what a printed table implies, with all that rounding leaves open.

    Hits of a class are whole numbers that give its recall; hits by precision are how many images were called that
    class; every image is called one class; hits of all classes are the accuracy.

    Args:
        rows: The table.
        digits: Digits after the point that were printed.
        accuracy: As printed beside it, if it was.

    Raises:
        DataError: If a number is not one that such a table can hold.

    Example:
        >>> rows = [PrintedClass("malignant", 300, 0.70, 0.96, 0.81), PrintedClass("benign", 360, 0.95, 0.66, 0.78)]
        >>> implied(rows, accuracy=0.80).contradictions
        ()
        >>> implied(rows, accuracy=0.90).contradictions
        ('an accuracy of 0.90 is printed, and the recalls imply 0.792 to 0.800.',)
    """
    if len({row.name for row in rows}) < max(1, len(rows)):
        raise DataError(f"one row or more, each of another class, were expected. Got {len(rows)} rows.")
    for row in rows:
        _check(row)
    images = sum(row.support for row in rows)
    hits = {row.name: _hits(row, digits) for row in rows}
    called = {row.name: _called(row, hits[row.name], digits) for row in rows}
    low, high = (sum(end(span) for span in hits.values()) / images for end in (min, max))
    said = [sentence for row in rows for sentence in _row_faults(row, hits[row.name], called[row.name], images, digits)]
    said += _sum_faults(called, images)
    if accuracy is not None and not _meet((low, high), _open(accuracy, digits)):
        span = f"{low:.{digits + 1}f} to {high:.{digits + 1}f}"
        said.append(f"an accuracy of {accuracy:.{digits}f} is printed, and the recalls imply {span}.")
    return Implied(images, (low, high), called, tuple(said))


def _check(row: PrintedClass) -> None:
    shares = [row.precision, row.recall, *([row.f1] if row.f1 is not None else [])]
    if row.support < 1 or not all(0 <= share <= 1 for share in shares):
        raise DataError(
            f"class {row.name!r}: a support of 1 or more and shares of 0 to 1 were expected. Got {row.support}, "
            f"{', '.join(f'{share:g}' for share in shares)}."
        )


def _open(value: float, digits: int) -> Span:
    """Return all that is rounded to a value."""
    half = 0.5 * 10**-digits
    return max(0.0, value - half), min(1.0, value + half)


def _meet(a: Span, b: Span) -> bool:
    return a[0] <= b[1] + 1e-9 and b[0] <= a[1] + 1e-9


def _hits(row: PrintedClass, digits: int) -> Span:
    low, high = _open(row.recall, digits)
    return math.ceil(low * row.support - 1e-9), math.floor(high * row.support + 1e-9)


def _called(row: PrintedClass, hits: Span, digits: int) -> Span:
    low, high = _open(row.precision, digits)
    return hits[0] / high if high else 0.0, hits[1] / low if low else math.inf


def _row_faults(row: PrintedClass, hits: Span, called: Span, images: int, digits: int) -> list[str]:
    said = []
    if hits[0] > hits[1]:
        said.append(
            f"{row.name}: no number of hits among {row.support} images gives a recall of {row.recall:.{digits}f}."
        )
    if called[0] > images:
        said.append(
            f"{row.name}: with precision {row.precision:.{digits}f} and recall {row.recall:.{digits}f} at least "
            f"{math.ceil(called[0]):,} images were called it, and there are {images:,} in all."
        )
    if row.f1 is not None:
        spans = zip(_open(row.precision, digits), _open(row.recall, digits), strict=True)
        low, high = (_harmonic(p, r) for p, r in spans)
        if not _meet((low, high), _open(row.f1, digits)):
            said.append(
                f"{row.name}: an F1 of {row.f1:.{digits}f} is printed, and precision and recall give "
                f"{low:.{digits + 1}f} to {high:.{digits + 1}f}."
            )
    return said


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _sum_faults(called: Mapping[str, Span], images: int) -> list[str]:
    low, high = (sum(span[i] for span in called.values()) for i in range(2))
    if low > images:
        return [f"the classes together were called at least {math.ceil(low):,} times, and there are {images:,} images."]
    if high < images:
        return [
            f"the classes together were called at most {math.floor(high):,} times, and there are {images:,} images."
        ]
    return []


def read_printed(path: Path) -> tuple[list[PrintedClass], int]:
    """Read a table with the columns class, support, precision, recall and perhaps f1, and how many digits it prints.

    Raises:
        DataError: If the file is not there, a column is missing, or a cell is no number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise DataError(f"a table was expected at {path}. Got nothing readable: check the path.") from None
    lines = list(csv.DictReader(io.StringIO(text)))
    missing = [name for name in COLUMNS if not lines or name not in lines[0]]
    if missing:
        raise DataError(
            f"{path.name} needs rows with the columns {', '.join(COLUMNS)} and perhaps f1. Missing: {missing[0]}."
        )
    rows = [_printed(line, path.name, number) for number, line in enumerate(lines, start=2)]
    cells = [line.get(name) or "" for line in lines for name in ("precision", "recall", F1)]
    return rows, max(len(cell.strip().partition(".")[2]) for cell in cells)


def _printed(line: Mapping[str, str | None], name: str, number: int) -> PrintedClass:
    try:
        f1 = float(line[F1] or "") if (line.get(F1) or "").strip() else None
        numbers = [float(line[column] or "") for column in COLUMNS[2:]]
        return PrintedClass(line["class"] or "", int(line["support"] or ""), numbers[0], numbers[1], f1)
    except ValueError:
        raise DataError(
            f"line {number} of {name} holds a cell that is no number: {', '.join(map(str, line.values()))}."
        ) from None
