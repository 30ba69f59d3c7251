"""Learning curves: scores against the number of real images, with and without synthetic ones, and what they tell."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from augury.errors import StepDiedError
from augury.files import formula_safe
from augury.metrics.classification import METRICS
from augury.seeds import numbers_for, seed_for
from augury.statistics import group_members, resample_groups
from augury.study.block import Block, Unit
from augury.study.contrast import FEWEST_SPLITS
from augury.study.curve import adding, followers, nested, scored_part, shared_images, size_of
from augury.study.exchange import Worth, exchange_rates, percentiles, resampled_means
from augury.study.layout import Laid
from augury.study.run import Finished
from augury.study.study import REAL
from augury.study.table import ScoredCell
from augury.verdict import Kind

RETESTS = 50  # resamples of the test images

Side = Literal["real", "without", "with"]
SIDES: tuple[Side, ...] = ("real", "without", "with")


@dataclass(frozen=True)
class Point:
    """One point of a learning curve.

    Attributes:
        kept: Real images kept per class, as asked for.
        real: Real images per class that are learned from: those kept, less the ones of a test fold.
        side: `real`: real images only; `without` and `with`: the arm that the inner part chose among those without
            and with generated images.
        added: Synthetic images added per class, mean over the splits.
        mean: Mean primary metric over the splits.
        low: Lower end of its 95 % interval.
        high: Upper end.
        splits: Number of splits.
        chosen: How often each arm was chosen, the most often chosen first.
    """

    kept: int
    real: float
    side: Side
    added: float
    mean: float
    low: float
    high: float
    splits: int
    chosen: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Exchange:
    """What the synthetic images of one level are worth in further real images of each class.

    `against` is the curve that it is read from: real images only, or the best arm without generated images.
    """

    kept: int
    real: float
    added: float
    against: Side
    worth: Worth
    splits: int

    @property
    def sentence(self) -> str:
        """Say it."""
        folds = "" if round(self.real) == self.kept else f" ({self.kept:,} kept)"
        yardstick = "" if self.against == REAL else " and the best arm without generated images as the yardstick"
        few = f" From {self.splits} splits: the interval is too narrow to be trusted."
        return (
            f"With {round(self.real):,} real images per class{folds}{yardstick}, {round(self.added):,} synthetic ones "
            f"per class {self.worth.claim}.{few if self.splits < FEWEST_SPLITS else ''}"
        )


@dataclass(frozen=True)
class LearningCurve:
    """Scores against the number of real images with and without synthetic ones, and the exchange rates read off them.

    Attributes:
        title: Title of the study.
        classifier: Name of the classifier.
        metric_label: The primary metric in words.
        test_images: Number of images that all levels are scored on.
        points: One for each level and side, levels ascending.
        exchanges: One for each level; also against the best arm without generated images, where that is another.
        notes: What a reader must know.
        cells_failed: Cells of all levels without a result.
    """

    title: str
    classifier: str
    metric_label: str
    test_images: int
    points: tuple[Point, ...]
    exchanges: tuple[Exchange, ...]
    notes: tuple[str, ...] = ()
    cells_failed: int = 0

    @property
    def sentences(self) -> tuple[str, ...]:
        """Say what the synthetic images are worth, level by level."""
        return tuple(exchange.sentence for exchange in self.exchanges)

    def side(self, side: Side) -> tuple[Point, ...]:
        """Return the points of one side, levels ascending."""
        return tuple(point for point in self.points if point.side == side)

    def record(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        rates = [{**vars(each), "worth": each.worth.record(), "sentence": each.sentence} for each in self.exchanges]
        points = [{**vars(point), "chosen": dict(point.chosen)} for point in self.points]
        return {**vars(self), "points": points, "exchanges": rates}


def curve_csv(curves: Iterable[LearningCurve]) -> str:
    """Return the points of some curves as CSV, a row per classifier, level and arm."""
    out, numbers = io.StringIO(), ("real", "added", "mean", "low", "high")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["classifier", "level", "arm", *numbers, "splits", "chosen"])
    for curve in curves:
        for point in curve.points:
            values = [f"{getattr(point, name):.6f}" for name in numbers]
            chosen = formula_safe("; ".join(f"{name} ({count})" for name, count in point.chosen))
            writer.writerow([formula_safe(curve.classifier), point.kept, point.side, *values, point.splits, chosen])
    return out.getvalue()


def learning_curve(levels: Sequence[Finished], classifier: str) -> LearningCurve:
    """Read the curve of one classifier off finished levels, ascending.

    Raises:
        StepDiedError: If no split has a result of every arm at every level.
    """
    laid = [level.laid for level in levels]
    shared = shared_images(laid)
    sides = [_Level.of(level, classifier, shared) for level in levels]
    units = sorted(set.intersection(*(set(choice) for level in sides for choice in level.choices.values())))
    if not units:
        wanted = "a split with a result of every arm at every level, and an arm with generated images to choose there"
        raise StepDiedError(f"a curve needs {wanted}. Got none: run the study with its levels one by one to see why.")
    scores = _on_test_sets(sides, units, shared)
    return LearningCurve(
        title=laid[0].study.title,
        classifier=classifier,
        metric_label=METRICS[sides[0].block.metric].label,
        test_images=len(shared),
        points=_points(sides, units, scores),
        exchanges=_exchanges(sides, units, scores),
        notes=_notes(levels),
        cells_failed=sum(level.outcome.cells_failed for level in levels),
    )


@dataclass(frozen=True, eq=False)
class _Level:
    """One level of one classifier: its scored cells, its choices, and which rows of them are the shared test images."""

    laid: Laid
    block: Block
    choices: dict[Side, dict[Unit, str]]
    rows: np.ndarray

    @classmethod
    def of(cls, finished: Finished, classifier: str, shared: Sequence[int]) -> _Level:
        laid, block = finished.laid, finished.block(classifier)
        choices: dict[Side, dict[Unit, str]] = {
            "real": dict.fromkeys(block.complete_units(), REAL),
            "without": block.without,
            "with": block.choose([arm for arm in adding(laid) if arm in block.rivals]),
        }
        positions = np.asarray(laid.cells[0].split.part(scored_part(laid)))
        return cls(laid, block, choices, np.flatnonzero(np.isin(positions, shared)))

    @property
    def kept(self) -> int:
        """Return the images kept per class, as asked for."""
        return int(self.laid.study.split.per_class or 0)

    def added(self, side: Side, units: Sequence[Unit]) -> float:
        """Return the synthetic images per class that follows the levels, mean over splits; what fell short is less."""
        items = [item for unit in units for item in self.block.by_arm[self.choices[side][unit]][unit]]
        used = [item.exposure.synthetic / max(1, sum(item.cell.counts)) for item in items]
        asked = [np.mean([item.cell.counts[k] for k in followers(self.laid)]) for item in items]
        return float(np.mean(np.multiply(used, asked)))

    def scores(self, units: Sequence[Unit], rows: np.ndarray) -> list[list[float]]:
        """Return the primary metric of every side and split on some of the shared test images."""
        part, picked = scored_part(self.laid), self.rows[rows]
        metric = METRICS[self.block.metric].function

        def score(item: ScoredCell) -> float:
            return metric(item.labels[part][picked], item.probabilities[part][picked])

        pairs = {(self.choices[side][unit], unit) for side in SIDES for unit in units}
        known = {(arm, unit): float(np.mean([score(x) for x in self.block.by_arm[arm][unit]])) for arm, unit in pairs}
        return [[known[self.choices[side][unit], unit] for unit in units] for side in SIDES]


def _on_test_sets(levels: Sequence[_Level], units: Sequence[Unit], shared: Sequence[int]) -> dict[Side, np.ndarray]:
    """Return (T, L, J) scores of each side on the shared test images, and on resamples of them by whole groups."""
    images, seed = levels[0].laid.images, levels[0].laid.study.seed
    labels, names = images.labels.numpy()[list(shared)], images.group_names
    members, rng = group_members([names[i] for i in shared]), numbers_for(seed, "curve", "test images")
    tests = [np.arange(len(shared))]
    tests += [resample_groups(rng, members, labels, np.unique(labels)) for _ in range(RETESTS)]
    table = np.array([[level.scores(units, rows) for level in levels] for rows in tests])
    return {side: table[:, :, index] for index, side in enumerate(SIDES)}


def _points(levels: Sequence[_Level], units: Sequence[Unit], scores: dict[Side, np.ndarray]) -> tuple[Point, ...]:
    found = []
    for side in SIDES:
        low, high = percentiles(resampled_means(scores[side], _seed(levels)), len(units))
        for index, level in enumerate(levels):
            point = Point(
                kept=level.kept,
                real=size_of(level.laid),
                side=side,
                added=level.added(side, units),
                mean=float(scores[side][0, index].mean()),
                low=float(low[index]),
                high=float(high[index]),
                splits=len(units),
                chosen=tuple(Counter(level.choices[side][unit] for unit in units).most_common()),
            )
            found.append(point)
    return tuple(sorted(found, key=lambda point: point.kept))


def _exchanges(levels: Sequence[_Level], units: Sequence[Unit], scores: dict[Side, np.ndarray]) -> tuple[Exchange, ...]:
    """Read the rates against real images only, and against the best arm without where that is another anywhere."""
    sides: list[Side] = ["real"]
    if any(level.choices["without"][unit] != REAL for level in levels for unit in units):
        sides.append("without")
    sizes = [size_of(level.laid) for level in levels]
    rates = {side: exchange_rates(sizes, scores[side], scores["with"], seed=_seed(levels)) for side in sides}
    return tuple(
        Exchange(level.kept, size, level.added("with", units), side, rates[side][index], len(units))
        for side in sides
        for index, (level, size) in enumerate(zip(levels, sizes, strict=True))
    )


def _seed(levels: Sequence[_Level]) -> int:
    return seed_for(levels[0].laid.study.seed, "curve", "splits")


def _notes(levels: Sequence[Finished]) -> tuple[str, ...]:
    laid = [level.laid for level in levels]
    where = "the given test part" if laid[0].study.split.plan == "given" else "images that no level kept"
    notes = [
        f"All levels are scored on the same {len(shared_images(laid)):,} images: {where}.",
        "Which real images are kept was drawn once: the intervals cover the chance of training, of the folds and of "
        "the test images, not of that draw. Another seed of the study draws others.",
    ]
    if not nested(laid):
        notes.append("Whole groups are kept, so a smaller level is not a subset of every larger one.")
    fixed = dict(laid[0].study.split.keep)
    if fixed:
        names = ", ".join(f"{name} ({count:,})" for name, count in fixed.items())
        notes.append(f"'Per class' does not mean the classes with a number of their own: {names}.")
    return (*notes, *(note for level in levels for note in _troubles(level)))


def _troubles(level: Finished) -> list[str]:
    """Say what a level's own report would hold against it."""
    kept, outcome, notes = level.laid.study.split.per_class, level.outcome, []
    if outcome.cells_failed:
        notes.append(f"With {kept} kept, {outcome.cells_failed} of {outcome.cells} cells have no result.")
    withheld = [arm.arm for arm in outcome.arms if arm.withheld]
    if withheld:
        notes.append(f"With {kept} kept, arms are withheld and were not chosen from: {', '.join(withheld)}.")
    if outcome.verdict.kind == Kind.WITHHELD:
        notes.append(f"With {kept} kept, the study itself ends in {outcome.verdict.sentence}")
    return notes
