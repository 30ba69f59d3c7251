"""One study at several numbers of real images: the arms of every level on the same images, as a table and a drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
from cells import Shared, by_metric, names_of, ranged, signed
from matplotlib.figure import Figure

from augury.metrics.classification import METRICS
from augury.study.curve import scored_part, shared_images
from augury.study.learning_curve import LearningCurve
from augury.study.run import Finished
from augury.study.study import REAL


@dataclass(frozen=True)
class Printed:
    """What a report printed at one level: accuracy and AUC of real images only, and with generated ones."""

    real: tuple[float, float]
    filled: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Levels:
    """Runs of one study by the number of real images kept, scored on the images that they have in common."""

    runs: Mapping[int, Finished]
    known: dict[tuple[int, str], Shared] = field(default_factory=dict)

    def of(self, kept: int, metric: str) -> Shared:
        """Return the arms of one level with a metric."""
        if (kept, metric) not in self.known:
            laid = [finished.laid for finished in self.runs.values()]
            block = self.runs[kept].block(laid[0].study.classifiers[0].name)
            self.known[kept, metric] = Shared(by_metric(block, metric), scored_part(laid[0]), shared_images(laid))
        return self.known[kept, metric]


def arms_table(levels: Levels, metrics: Sequence[str], controls: Sequence[str]) -> list[str]:
    """Return a row per level and arm: each metric with its interval, and minus each of the controls."""
    heads = ["real images kept", "arm"]
    for key in metrics:
        heads += [METRICS[key].label, *(f"minus {name}" for name in controls)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for kept in levels.runs:
        scored = [levels.of(kept, key) for key in metrics]
        for arm in names_of(scored[0].block):
            cells = [cell for each in scored for cell in row(each, arm, controls)]
            lines.append(f"| {kept} | {arm} | {' | '.join(cells)} |")
    return lines


def row(scored: Shared, arm: str, controls: Sequence[str]) -> list[str]:
    """Return the cells of one arm and metric."""
    return [ranged(scored.level(arm)), *("–" if arm == name else signed(scored.change(arm, name)) for name in controls)]


def printed_table(
    levels: Levels, printed: Mapping[int, Printed], metrics: Sequence[str], filled: str, control: str
) -> list[str]:
    """Return a row per level: the gains as printed, and here, over real images only and over the control."""
    heads = ["real images kept", "printed, accuracy", "printed, AUC"]
    heads += [f"here, {METRICS[key].label}, minus {name}" for key in metrics for name in (REAL, control)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for kept in levels.runs:
        was = printed[kept]
        gains = [f"{b - a:+.2f}" for a, b in zip(was.real, was.filled, strict=True)]
        gains += [signed(levels.of(kept, key).change(filled, name)) for key in metrics for name in (REAL, control)]
        lines.append(f"| {kept} | {' | '.join(gains)} |")
    return lines


def sentences(curves: Sequence[LearningCurve]) -> list[str]:
    """Return what the curves say of the worth of generated images in real ones, and what a reader must know."""
    return [f"- {text}" for found in curves for text in (*found.sentences, *found.notes)]


COLOURS = ("#444444", "#0b57a4", "#7a7a00", "#b3261e", "#7b3fa0", "#00796b")
APART = 0.03  # of a level, between points of one level, so that their intervals do not hide each other


def draw(levels: Levels, metric: str, path: Path) -> None:
    """Draw a metric of every arm against the number of real images kept, with intervals."""
    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    plot = figure.add_subplot()
    names = names_of(levels.of(min(levels.runs), metric).block)
    for i, (arm, colour) in enumerate(zip(names, COLOURS, strict=False)):
        found = {kept: levels.of(kept, metric).level(arm) for kept in levels.runs}
        means = [mean for mean, _, _ in found.values()]
        ends = [[mean - low for mean, low, _ in found.values()], [high - mean for mean, _, high in found.values()]]
        places = [kept * (1 + APART * (i - (len(names) - 1) / 2)) for kept in levels.runs]
        plot.errorbar(places, means, ends, label=arm, color=colour, marker="o", markersize=4, linewidth=1.3)
    plot.set(xscale="log", xlabel="real images kept, logarithmic", ylabel=METRICS[metric].label)
    plot.set_xticks(list(levels.runs), [str(kept) for kept in levels.runs], minor=False)
    plot.minorticks_off()
    plot.grid(axis="y", color="#dddddd")
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a drawing, the same file each time."""
    matplotlib.rcParams |= {"svg.hashsalt": "augury", "svg.fonttype": "none"}
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
