"""Cells of the reports' pages: a score of an arm with its interval, and what it differs by from another arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from generators import span

from augury.metrics.classification import METRICS
from augury.statistics import group_members, nadeau_bengio, resample_groups
from augury.study.block import Block, Unit
from augury.study.steps import Part
from augury.study.study import REAL

DRAWS = 300  # resamples of shared test images, and of trainings
Bounds = tuple[float, float, float]


def by_metric(block: Block, key: str) -> Block:
    """Return a classifier's scored cells with another metric as the primary one."""
    return dataclasses.replace(block, study=block.study.replace(metric=key))


def names_of(block: Block) -> list[str]:
    """Return the arms that have a result, in the order of the study."""
    return [arm.name for arm in block.rows if arm.name in block.by_arm]


def level(block: Block, arm: str) -> str:
    """Return the mean primary metric of an arm, which ends at 0 and 1, with its 95 % interval.

    The interval is over folds, or over resampled test images.
    """
    if block.given:
        first = block.by_arm[arm][min(block.by_arm[arm])][0].cell.split
        return ranged(Shared(block, "test", first.test).level(arm))
    found = nadeau_bengio(list(block.scores(arm).values()), block.ratio)
    return ranged((found.mean, max(found.low, 0.0), min(found.high, 1.0)))


def change(block: Block, arm: str, other: dict[Unit, str]) -> str:
    """Return an arm minus another one, or minus the one chosen in each split, in the primary metric."""
    if set(other.values()) == {arm}:
        return "–"
    if block.given:
        drawn = block.bootstrap(dict.fromkeys(other, arm), other, "test", draws=DRAWS)
        return signed((drawn.mean, drawn.low, drawn.high)) if drawn else "–"
    found = block.compare(block.scores(arm), block.of_choice(other))
    return span(found, 3) if found else "–"


def always(block: Block, arm: str) -> dict[Unit, str]:
    """Return the choice of one arm in every split that it has."""
    return dict.fromkeys(sorted(block.by_arm.get(arm, {})), arm)


def arms(block: Block, metrics: Sequence[str], classifier: str) -> list[str]:
    """Return a row per arm: each metric with its interval, and minus real images only."""
    heads = [f"{METRICS[key].label}{extra}" for key in metrics for extra in ("", ", minus real")]
    lines = [f"| {classifier} | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    blocks = [by_metric(block, key) for key in metrics]
    for name in names_of(block):
        cells = [cell for each in blocks for cell in (level(each, name), change(each, name, always(each, REAL)))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def ranged(found: Bounds) -> str:
    """Return a score with its interval."""
    return "{:.3f} ({:.3f} to {:.3f})".format(*found)


def signed(found: Bounds) -> str:
    """Return a difference with its interval."""
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*found)


@dataclass(frozen=True, eq=False)
class Shared:
    """Images that several trainings are scored on: their intervals are of resampled trainings and groups of images.

    Attributes:
        block: One classifier's scored cells.
        part: Which of a split's parts holds the images.
        rows: Positions of the images in the set; all of that part, or some.
        known: What was computed before.
    """

    block: Block
    part: Part
    rows: Sequence[int]
    known: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def labels(self) -> np.ndarray:
        """Return (N,) class indices."""
        return self.block.images.labels.numpy()[list(self.rows)]

    @cached_property
    def groups(self) -> list[str]:
        """Return N group names."""
        names = self.block.images.group_names
        return [names[i] for i in self.rows]

    @cached_property
    def metric(self) -> Callable[[np.ndarray, np.ndarray], float]:
        """Return the block's primary metric."""
        return METRICS[self.block.metric].function

    def probabilities(self, arm: str) -> np.ndarray:
        """Return (S, N, K) probabilities of an arm, one set for each training that all arms have."""
        cells = [self.block.by_arm[arm][unit] for unit in self.block.complete_units()]
        place = {row: i for i, row in enumerate(getattr(cells[0][0].cell.split, self.part))}
        picked = [place[row] for row in self.rows]
        return np.stack([np.mean([item.probabilities[self.part][picked] for item in row], axis=0) for row in cells])

    @cached_property
    def resamples(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return rows of images and trainings, drawn with replacement: the same ones for all arms."""
        rng, members = np.random.default_rng(self.block.study.seed), group_members(self.groups)
        trainings = len(self.block.complete_units())
        drawn = (resample_groups(rng, members, self.labels, np.unique(self.labels)) for _ in range(DRAWS))
        return [(rows, rng.integers(trainings, size=trainings)) for rows in drawn]

    def scores(self, arm: str) -> np.ndarray:
        """Return (1 + DRAWS,) mean metrics of an arm: on all images, then on each resample."""
        if arm not in self.known:
            held = self.probabilities(arm)
            means = [np.mean([self.metric(self.labels, each) for each in held])]
            for rows, trainings in self.resamples:
                each = {i: self.metric(self.labels[rows], held[i][rows]) for i in set(trainings.tolist())}
                means.append(np.mean([each[i] for i in trainings.tolist()]))
            self.known[arm] = np.array(means)
        return self.known[arm]

    def level(self, arm: str) -> Bounds:
        """Return the mean metric of an arm and its interval."""
        return bounds(self.scores(arm))

    def change(self, arm: str, other: str) -> Bounds:
        """Return the mean difference of two arms and its interval, resample by resample."""
        return bounds(self.scores(arm) - self.scores(other))


def bounds(values: np.ndarray) -> Bounds:
    """Return the first value, and the ends of the 95 % interval of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return float(values[0]), float(low), float(high)
