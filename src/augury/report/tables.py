"""The arms' numbers as table cells: the rounded text, and the value as `results.csv` has it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from augury.metrics.classification import METRICS
from augury.report.findings import plain, probability, share, signed, whole
from augury.study.outcome import ArmResult, Outcome

Value = float | int | None


@dataclass(frozen=True)
class Cell:
    """A number of the page: its column in `results.csv`, its value there, and the text to read."""

    column: str
    value: str
    text: str


@dataclass(frozen=True)
class Column:
    """A column of numbers: its key in `results.csv`, its heading, and what lies behind it."""

    key: str
    heading: str
    read: Callable[[ArmResult], Value]
    show: Callable[[Value], str]

    def cell(self, arm: ArmResult) -> Cell:
        """Return the cell of one arm."""
        value = self.read(arm)
        return Cell(self.key, exact(value), self.show(value))


def exact(value: Value) -> str:
    """Write a value as `results.csv` does: six decimals, integers plain, nothing where it is undefined.

    >>> exact(0.5), exact(300), exact(float("nan"))
    ('0.500000', '300', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    return str(value) if isinstance(value, int) else format(value, ".6f")


def metric_label(key: str) -> str:
    """Return the name of a metric, and its direction where less is better.

    >>> metric_label("log_loss")
    'log-loss (lower is better)'
    """
    if key not in METRICS:
        return key
    return METRICS[key].label + ("" if METRICS[key].higher_is_better else " (lower is better)")


def footnotes(arms: Sequence[ArmResult]) -> tuple[str, ...]:
    """Return why arms are withheld, each reason once, in the order of their numbers.

    >>> footnotes(())
    ()
    """
    return tuple(dict.fromkeys(arm.withheld for arm in arms if arm.withheld))


def main_columns(outcome: Outcome) -> dict[str, Column]:
    """Return the columns of the arms table, by key."""
    columns = [
        _score(outcome.metric, outcome.metric_label),
        Column("difference", "difference", _difference("mean"), signed),
        Column("difference_low", "low", _difference("low"), signed),
        Column("difference_high", "high", _difference("high"), signed),
        Column("p_holm", "Holm p", lambda arm: arm.p_holm, probability),
        _score("log_loss", "log-loss"),
        Column("added", "images added", lambda arm: arm.added, whole),
        Column("share", "share per batch", lambda arm: arm.share, share),
        Column("chosen", "chosen", lambda arm: arm.chosen, share),
        Column("failed", "failed", lambda arm: arm.failed, whole),
    ]
    return {column.key: column for column in columns}


def budget_columns() -> list[Column]:
    """Return the columns that say what each arm was given."""
    return [
        Column("steps", "steps", lambda arm: arm.steps, whole),
        Column("batch", "images per step", lambda arm: arm.batch, whole),
        Column("trials", "trials", lambda arm: arm.trials, whole),
        Column("real_exposures", "real images shown", lambda arm: arm.real_exposures, whole),
        Column("added", "images added", lambda arm: arm.added, whole),
        Column("dose", "added per real image", lambda arm: arm.dose, _two),
        Column("share", "share per batch", lambda arm: arm.share, share),
        Column("splits", "splits scored", lambda arm: arm.splits, whole),
        Column("failed", "failed splits", lambda arm: arm.failed, whole),
    ]


def score_columns(outcome: Outcome, arms: Sequence[ArmResult]) -> list[Column]:
    """Return the columns of all scores and of what else the arms table has no room for."""
    keys = list(dict.fromkeys(key for arm in arms for key in arm.scores))
    columns = [_score(key, metric_label(key)) for key in keys]
    columns.append(Column("p_value", "p", _difference("p_value"), probability))
    extra = [
        Column("sensitivity", "sensitivity", lambda arm: arm.sensitivity, plain),
        Column("specificity", "specificity", lambda arm: arm.specificity, plain),
        Column("external", f"{outcome.metric_label}, left-out images", lambda arm: arm.external, plain),
    ]
    return columns + [column for column in extra if any(column.read(arm) is not None for arm in arms)]


def calibration_columns() -> dict[str, Column]:
    """Return the columns that recalibration changes, by key."""
    return {key: _score(key, metric_label(key)) for key in ("log_loss", "brier", "ece", "balanced_accuracy")}


def _score(key: str, heading: str) -> Column:
    return Column(key, heading, lambda arm: arm.scores.get(key), plain)


def _difference(part: Literal["mean", "low", "high", "p_value"]) -> Callable[[ArmResult], Value]:
    def read(arm: ArmResult) -> Value:
        value: float | None = getattr(arm.difference, part, None)
        return value

    return read


def _two(value: Value) -> str:
    return plain(value, 2)
