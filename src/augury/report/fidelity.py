"""Fidelity on the page: how near drawn images come to real ones, and whether that foretold their usefulness here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from augury.audit import SpaceFidelity
from augury.report.findings import DASH, plain, probability, signed
from augury.study.audit_outcome import AuditedMaker, Predicted
from augury.study.audit_steps import JUDGE

NO_VERDICT = (
    "None of these numbers enters the verdict or withholds an arm: images may look right and be of no use, or look "
    "wrong and help. Beside each stands what other real images, those of the training part, have against the same "
    "held-out real images: as good as that is as good as can be."
)
MEANINGS = (
    ("KID", "distance between the two sets of images; 0: one law. p: how often shuffled sets are as far apart"),
    ("CMMD", "the same by another kernel, in which very unlike images count no more than unlike ones"),
    ("Density", "do drawn images lie where real ones do? 1: as real ones; below: beside them"),
    ("Coverage", "share of real images with a drawn one near them; low: kinds of images are missing"),
    ("Fréchet", "distance between the two sets by mean and spread; only where there are images enough for it"),
    ("Detector", "AUC of a classifier that tells drawn from real images; 0.5: it cannot, 1: it always can"),
)
TRAINED = (
    "Balanced accuracy of the study's first classifier. TSTR: trained on drawn images only, tested on real ones. TRTS: "
    "trained on real images, tested on drawn ones; far above real on real, the drawn images are easier than real ones."
)
VARIED = (
    "Means over random pairs of images of a class. MS-SSIM: 1 for equal images; LPIPS: 0 for equal images. Drawn "
    "images that are more alike than real ones are a sign of collapse."
)
TOO_FEW = "Too few generators to tell: a rank correlation takes four or more with a result."
CAUTION = (
    "A rank correlation of 1 means: the better the measure, the larger the gain. With few generators even a perfect "
    "order is weak evidence (four in perfect order: p = 0.083), and the more measures are looked at, the better the "
    "best looks."
)


@dataclass(frozen=True)
class Column:
    """A column of fidelity: its heading, how it is written, and whether it is what real images have."""

    heading: str
    write: Callable[[SpaceFidelity], str]
    floor: bool = False


@dataclass(frozen=True)
class Cell:
    """A written number, and whether it is what real images have."""

    text: str
    floor: bool


@dataclass(frozen=True)
class Row:
    """A line of a table: who or what it is about, and its cells."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Fidelity in one space: a row per generator, and the classes of each generator."""

    space: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    classes: tuple[tuple[str, tuple[Row, ...]], ...]


def tables(makers: Sequence[AuditedMaker]) -> tuple[Table, ...]:
    """Return one table per space."""
    spaces = dict.fromkeys(row.space for maker in makers for row in maker.fidelity)
    return tuple(_table(space, makers) for space in spaces)


def place(space: str) -> str:
    """Say where distances were measured.

    >>> place("efficientnet_lite0")
    'In the features of efficientnet_lite0'
    """
    return "In the features of the study’s own classifier" if space == JUDGE else f"In the features of {space}"


def three(value: float | None) -> str:
    """Write a number of any size with three digits.

    >>> three(0.01234), three(-1.5), three(31.4159), three(12345.6), three(float("nan"))
    ('0.012', '-1.50', '31.4', '12,346', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return plain(value, max(0, 3 - len(f"{abs(value):.0f}"))) if abs(value) >= 1 else plain(value)


def trained(makers: Sequence[AuditedMaker]) -> tuple[Row, ...]:
    """Return a row per generator whose images were trained on, or tested with: TSTR, TRTS, real on real, best gain."""
    rows = []
    for maker in makers:
        if maker.tstr is not None or maker.trts is not None:
            cells = (Cell(plain(maker.tstr), False), Cell(plain(maker.trts), False), Cell(plain(maker.real), True))
            rows.append(Row(maker.maker, (*cells, Cell(signed(maker.gain), False))))
    return tuple(rows)


def varied(makers: Sequence[AuditedMaker]) -> tuple[Row, ...]:
    """Return a row per generator, measure and class: how different its images are from each other, and real ones."""
    return tuple(
        Row(f"{maker.maker}: {one.measure}, {one.name}", (Cell(plain(one.drawn), False), Cell(plain(one.real), True)))
        for maker in makers
        for one in maker.diversity
        if not one.reason
    )


def not_varied(makers: Sequence[AuditedMaker]) -> tuple[str, ...]:
    """Say which measures of that could not be computed, and why."""
    return tuple(dict.fromkeys(one.reason for maker in makers for one in maker.diversity if one.reason))


def predicted(found: Sequence[Predicted]) -> tuple[Row, ...]:
    """Return a row per measure: rank correlation, p value, number of generators."""
    return tuple(
        Row(one.measure, tuple(Cell(t, False) for t in (signed(one.rho), probability(one.p), str(one.makers))))
        for one in found
    )


def _table(space: str, makers: Sequence[AuditedMaker]) -> Table:
    found = [(maker.maker, row) for maker in makers for row in maker.fidelity if row.space == space]
    columns = tuple(column for column in COLUMNS if any(column.write(row) != DASH for _, row in found))
    pooled = tuple(_row(name, row, columns) for name, row in found if not row.name)
    by_class = {
        maker: tuple(_row(row.name, row, columns) for name, row in found if name == maker and row.name)
        for maker, _ in found
    }
    return Table(space, columns, pooled, tuple((maker, rows) for maker, rows in by_class.items() if rows))


def _row(name: str, row: SpaceFidelity, columns: Sequence[Column]) -> Row:
    return Row(name, tuple(Cell(column.write(row), column.floor) for column in columns))


def _kid(row: SpaceFidelity) -> str:
    p = probability(row.kid_p)
    sign = "" if p.startswith("<") else "= "
    return three(1000 * row.kid) + ("" if p == DASH else f" (p {sign}{p})")


COLUMNS = (
    Column("KID x 1000", _kid),
    Column("KID, real images", lambda row: three(1000 * row.kid_floor), floor=True),
    Column("CMMD x 1000", lambda row: three(row.cmmd)),
    Column("CMMD, real images", lambda row: three(row.cmmd_floor), floor=True),
    Column("density", lambda row: plain(row.density, 2)),
    Column("coverage", lambda row: plain(row.coverage, 2)),
    Column("coverage, real images", lambda row: plain(row.coverage_floor, 2), floor=True),
    Column("Fréchet", lambda row: three(row.frechet)),
    Column("detector AUC", lambda row: plain(row.detector, 2)),
    Column("detector AUC, real images", lambda row: plain(row.detector_floor, 2), floor=True),
)
