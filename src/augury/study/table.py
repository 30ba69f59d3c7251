"""From stored predictions to scores per cell: labels, probabilities and metrics of every cell that has them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from augury.classifiers.base import Exposure
from augury.files import formula_safe
from augury.images import ImageSet
from augury.metrics.calibration import How, cross_fitted, fit_recalibration
from augury.metrics.classification import METRICS, confusion, per_class, per_image_log_loss
from augury.study.engine import Ran
from augury.study.grid import Cell
from augury.study.outcome import ArmResult, Outcome
from augury.study.steps import Part
from augury.study.store import Store

FIRST_COLUMNS = ("classifier", "arm", "generator", "policy", "uses_generated")
COUNT_COLUMNS = ("added", "dose", "share", "steps", "batch", "trials", "real_exposures", "splits", "failed")


@dataclass(frozen=True, eq=False)
class ScoredCell:
    """A cell with its predictions.

    `labels` and `probabilities` hold one array per part, after the recalibration that its arm asks for; `exposure` is
    what its training consisted of, as recorded, and `trials` how many trials found its settings.
    """

    cell: Cell
    labels: dict[Part, np.ndarray]
    probabilities: dict[Part, np.ndarray]
    exposure: Exposure
    trials: int = 0

    @property
    def unit(self) -> tuple[int, int]:
        """Return (repeat, fold): the splits that are paired between arms."""
        return self.cell.split.repeat, self.cell.split.fold

    @cached_property
    def scores(self) -> dict[str, float]:
        """Return every metric on the test part."""
        labels, probabilities = self.labels["test"], self.probabilities["test"]
        return {key: metric.function(labels, probabilities) for key, metric in METRICS.items()}

    @cached_property
    def predicted(self) -> np.ndarray:
        """Return the predicted classes of the test part."""
        return np.asarray(self.probabilities["test"].argmax(1))

    @cached_property
    def confusion(self) -> np.ndarray:
        """Return the confusion matrix of the test part: rows actual, columns predicted."""
        return confusion(self.labels["test"], self.predicted, self.probabilities["test"].shape[1])

    @cached_property
    def classes(self) -> np.ndarray:
        """Return (K, 3): precision, recall and F1 of each class on the test part."""
        rows = per_class(self.labels["test"], self.predicted, self.probabilities["test"].shape[1])
        return np.array([[row.precision, row.recall, row.f1] for row in rows])

    @cached_property
    def inner_losses(self) -> np.ndarray:
        """Return the log-loss of every image of the inner part."""
        return per_image_log_loss(self.labels["val"], self.probabilities["val"])


def score(cells: Iterable[Cell], images: ImageSet, store: Store, ran: Ran) -> list[ScoredCell]:
    """Open the predictions of every cell that has them all."""
    return [
        _scored(cell, images, store)
        for cell in cells
        if not any(ran.missing(step) for step in cell.predictions.values())
    ]


def _scored(cell: Cell, images: ImageSet, store: Store) -> ScoredCell:
    positions = {part: np.asarray(getattr(cell.split, part)) for part in cell.predictions}
    labels = {part: images.labels.numpy()[rows] for part, rows in positions.items()}
    probabilities = {part: store.get(step) for part, step in cell.predictions.items()}
    if cell.arm.recalibrate != "none":
        names = images.group_names
        groups = [names[i] for i in cell.split.val]
        probabilities = recalibrated(labels["val"], probabilities, groups, cell.arm.recalibrate)
    folder = store.folder(cell.fit)
    exposure = cell.fit.exposure(folder) if folder else store.get(cell.fit).trained.exposure
    return ScoredCell(cell, labels, probabilities, exposure, len(cell.fit.tuned.trials) if cell.fit.tuned else 0)


def recalibrated(
    labels: np.ndarray, probabilities: dict[Part, np.ndarray], groups: Sequence[str], how: How
) -> dict[Part, np.ndarray]:
    """Recalibrate all parts on the inner part; its own images by what was fitted on other groups of it."""
    found = fit_recalibration(labels, probabilities["val"], how)
    moved = {part: found.apply(rows) for part, rows in probabilities.items()}
    return {**moved, "val": cross_fitted(labels, probabilities["val"], groups, how)}


def number(value: float | int | bool | None) -> str:
    """Write a value as the tables hold it: six decimals, integers plain, nothing for what is undefined."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return format(value, ".6f") if isinstance(value, float) else str(value)


def arms_row(arm: ArmResult) -> dict[str, str]:
    """Return one row of `results.csv`."""
    interval = arm.difference
    return {
        **{name: formula_safe(str(getattr(arm, name) or "")) for name in FIRST_COLUMNS[:-1]},
        "uses_generated": number(int(arm.uses_generated)),
        **{name: number(getattr(arm, name)) for name in COUNT_COLUMNS},
        **{key: number(value) for key, value in arm.scores.items()},
        "difference": number(interval.mean if interval else None),
        "difference_low": number(interval.low if interval else None),
        "difference_high": number(interval.high if interval else None),
        "p_value": number(interval.p_value if interval else None),
        **{name: number(getattr(arm, name)) for name in ("p_holm", "chosen", "sensitivity", "specificity", "external")},
        "withheld": formula_safe(arm.withheld),
    }


def results_csv(outcome: Outcome) -> str:
    """Return the arms table as CSV; it holds no times, so equal studies give equal bytes."""
    return _csv([arms_row(arm) for arm in outcome.arms])


def scores_csv(scored: Sequence[ScoredCell]) -> str:
    """Return every cell's scores as CSV, one row per classifier, arm and split."""
    rows = [
        {
            "classifier": formula_safe(item.cell.classifier),
            "arm": formula_safe(item.cell.arm.name),
            "repeat": str(item.cell.split.repeat),
            "fold": str(item.cell.split.fold),
            "inner": str(item.cell.split.inner),
            "added": str(item.exposure.synthetic),
            "inner_log_loss": number(float(item.inner_losses.mean())),
            **{key: number(value) for key, value in item.scores.items()},
        }
        for item in scored
    ]
    return _csv(rows)


def _csv(rows: Sequence[dict[str, str]]) -> str:
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()
