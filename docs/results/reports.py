"""The five reports redone: `python docs/results/reports.py STUDY DATA [-o FOLDER] > docs/results/STUDY.md`.

STUDY is one of those below, DATA a folder with the sets that its study files name. What a report printed, and what is
to be said of it, stands in printed/STUDY.md; what is computed follows. What is in FOLDER already is not done again;
`--only` names some of the study files.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from generators import GRIDS, grids, mean, setting, span, study_on

from augury.metrics.classification import METRICS
from augury.processes import cores
from augury.statistics import Interval, nadeau_bengio
from augury.study import run
from augury.study.block import Block
from augury.study.curve import curve
from augury.study.journal import read_history
from augury.study.learning_curve import LearningCurve
from augury.study.run import Finished
from augury.study.store import FolderStore
from augury.study.study import REAL

PRINTED = Path(__file__).parent / "printed"


@dataclass(frozen=True)
class Part:
    """One run of a study file, and what is shown of it.

    Attributes:
        title: Heading.
        study: A study file's stem.
        metrics: Columns of its table.
        kept: Levels, for a learning curve in place of one run.
        classes: Whether precision, recall and F1 of every class are shown.
    """

    title: str
    study: str
    metrics: tuple[str, ...] = ("accuracy", "auroc", "balanced_accuracy")
    kept: tuple[int, ...] = ()
    classes: bool = False


@dataclass(frozen=True)
class Report:
    """One report: its runs, and what it printed each arm to gain in accuracy, where we have that arm."""

    parts: tuple[Part, ...]
    printed: dict[str, float] = field(default_factory=dict)


PUBLISHED, HONEST = "The published protocol, here", "The honest protocol, here"
REPORTS = {
    "medmnist-2020": Report(
        (
            Part(f"{PUBLISHED}: BreastMNIST", "medmnist-2020-published", ("accuracy", "auroc")),
            Part(f"{PUBLISHED}: PneumoniaMNIST", "medmnist-2020-pneumonia-published", ("accuracy", "auroc")),
            Part(f"{HONEST}: BreastMNIST", "medmnist-2020"),
            Part(f"{HONEST}: PneumoniaMNIST", "medmnist-2020-pneumonia"),
        ),
    ),
    "covid-ct-gan": Report(
        (Part(PUBLISHED, "covid-ct-gan-published"), Part(HONEST, "covid-ct-gan")),
        {"classical": 0.0603, "own GAN": 0.0402, "Loey GAN": 0.0452},
    ),
    "skin-dcgan": Report(
        (
            Part(PUBLISHED, "skin-dcgan-ham10000-published", classes=True),
            Part(HONEST, "skin-dcgan-ham10000", classes=True),
        ),
        {"DCGAN · add 120": 0.03, "DCGAN · add 480": 0.04},
    ),
    "skin-infogan": Report((Part(HONEST, "skin-infogan-ham10000", kept=(10, 50, 100, 250, 500)),)),
    "isic-2019-cwgan": Report(
        (
            Part(HONEST, "isic-2019-cwgan-ham10000", classes=True),
            Part("Four rare classes from synthetic images only", "isic-2019-cwgan-ham10000-rare", classes=True),
        )
    ),
}


def section(part: Part, data: Path, out: Path) -> tuple[list[str], Finished | None]:
    """Run a part, or read what is there, and return what a page says of it."""
    study, folder = study_on(part.study, data), out / part.study
    head = [f"## {part.title}", "", f"`studies/{part.study}.toml`."]
    if part.kept:
        return [*head, "", *levels(curve(study, part.kept, folder, jobs=cores(), force=True)), *took(folder)], None
    finished = run(study, folder, jobs=cores(), force=True)
    assert isinstance(finished.laid.store, FolderStore)
    lines = [*head, told(finished), "", f"**{finished.outcome.verdict.sentence}**", ""]
    lines += [f"- {detail}" for detail in finished.outcome.verdict.details]
    for named in finished.laid.study.classifiers:
        lines += ["", *arms(finished.block(named.name), part.metrics, named.name), ""]
    lines += classes(finished) if part.classes else []
    return [*lines, *grids(finished, GRIDS / part.study), "", *took(folder)], finished


def told(finished: Finished) -> str:
    """Return the data and the splits in a sentence."""
    data, plan = finished.outcome.data, finished.outcome.plan
    counts = ", ".join(f"{name} {n}" for name, n in zip(data.classes, data.used_counts, strict=True))
    cut = (
        f"{plan.folds} folds x {plan.repeats}" if plan.plan == "folds" else f"the given parts, {plan.repeats} training"
    )
    sizes = f"{plan.train_images:.0f} images to train, {plan.val_images:.0f} to choose, {plan.test_images:.0f} held out"
    return f" {data.used} images ({counts}), {cut}: {sizes}. {finished.outcome.budget}."


def arms(block: Block, metrics: Sequence[str], classifier: str) -> list[str]:
    """Return a row per arm: each metric with its interval, and minus real images only."""
    names = [arm.name for arm in block.rows if arm.name in block.by_arm]
    heads = [f"{METRICS[key].label}{extra}" for key in metrics for extra in ("", ", minus real")]
    lines = [f"| {classifier} | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    return [*lines, *(f"| {name} | {' | '.join(cells(block, name, metrics))} |" for name in names)]


def cells(block: Block, arm: str, metrics: Sequence[str]) -> list[str]:
    """Return the cells of one arm; without an interval where there is one split only."""
    found = []
    for key in metrics:
        values, real = ([*scores(block, name, key).values()] for name in (arm, REAL))
        if len(values) < 2:
            found += [f"{mean(values):.3f}", f"{mean(values) - mean(real):+.3f}" if arm != REAL else "–"]
            continue
        level, change = nadeau_bengio(values, block.ratio), difference(block, arm, key)
        found.append(f"{level.mean:.3f} ({level.low:.3f} to {level.high:.3f})")
        found.append(span(change, 3) if change and arm != REAL else "–")
    return found


def scores(block: Block, arm: str, key: str) -> dict[tuple[int, int], float]:
    """Return one score of an arm, split by split."""
    return block.values(arm, lambda item: item.scores[key])


def difference(block: Block, arm: str, key: str) -> Interval | None:
    """Return an arm minus real images only, over the splits that both have."""
    a, b = scores(block, arm, key), scores(block, REAL, key)
    return block.compare(a, b)


def classes(finished: Finished) -> list[str]:
    """Return precision, recall and F1 of every class, and the confusion matrices."""
    shown = [arm for arm in finished.outcome.arms if arm.classes]
    lines = ["| precision / recall / F1 | " + " | ".join(finished.outcome.data.classes) + " |"]
    lines.append("|---" * (1 + len(finished.outcome.data.classes)) + "|")
    for arm in shown:
        each = [f"{one.precision:.2f} / {one.recall:.2f} / {one.f1:.2f}" for one in arm.classes]
        lines.append(f"| {arm.arm} | {' | '.join(each)} |")
    if finished.outcome.positive:
        names = ", ".join(finished.outcome.data.classes)
        heads = ["", "sensitivity", "specificity", f"confusion (rows: actual {names})"]
        lines += ["", f"Positive: {finished.outcome.positive}.", "", f"| {' | '.join(heads)} |", "|---|---|---|---|"]
        for arm in shown:
            matrix = " / ".join(" ".join(map(str, row)) for row in arm.confusion)
            lines.append(f"| {arm.arm} | {arm.sensitivity:.3f} | {arm.specificity:.3f} | {matrix} |")
    return [*lines, ""]


def levels(curves: Sequence[LearningCurve]) -> list[str]:
    """Return the learning curves: a row per level and side, and what they say."""
    lines = []
    for found in curves:
        lines += [
            "| real images kept | with | score (95 % interval) | synthetic per class | chosen |",
            "|---" * 5 + "|",
        ]
        for point in found.points:
            chosen = ", ".join(f"{name} ({n})" for name, n in point.chosen)
            score = f"{point.mean:.3f} ({point.low:.3f} to {point.high:.3f})"
            lines.append(f"| {point.kept} | {point.side} | {score} | {point.added:.0f} | {chosen} |")
        lines += ["", *(f"- {sentence}" for sentence in found.sentences), ""]
    return lines


def took(folder: Path) -> list[str]:
    """Return how long the steps of a run took, from its journal."""
    seconds = sum(sum(each) for each in read_history(folder).seconds.values())
    return [f"The steps of this run took {seconds / 60:.0f} minutes in all, on one thread each.", ""]


def gains(report: Report, parts: Sequence[tuple[Part, Finished | None]]) -> list[str]:
    """Return what was printed for each arm beside what is found in both protocols, in accuracy."""
    runs = [(part, finished) for part, finished in parts if finished is not None]
    if not report.printed or not runs:
        return []
    heads = ["gain in accuracy over real images only", "printed", *(part.title for part, _ in runs)]
    lines = ["## What is left of the gain", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for arm, printed in report.printed.items():
        found = [gain(finished, arm) for _, finished in runs]
        lines.append(f"| {arm} | {printed:+.3f} | {' | '.join(found)} |")
    return [*lines, ""]


def gain(finished: Finished, arm: str) -> str:
    """Return the gain of one arm in accuracy, with the first classifier; a dash where it was not run."""
    block = finished.block(finished.laid.study.classifiers[0].name)
    name = next((name for name in block.by_arm if name == arm or name.split(" · ")[0] == arm), None)
    found = difference(block, name, "accuracy") if name else None
    return span(found, 3) if found else "–"


def main() -> None:
    """Run what is missing, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=REPORTS)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("reports"))
    parser.add_argument("--only", nargs="*", help="stems of study files")
    asked = parser.parse_args()
    report = REPORTS[asked.study]
    parts = [part for part in report.parts if asked.only is None or part.study in asked.only]
    lines, found = [], []
    for part in parts:
        said, finished = section(part, asked.data.resolve(), asked.out)
        lines += said
        found.append((part, finished))
    text = (PRINTED / f"{asked.study}.md").read_text(encoding="utf-8")
    command = f"<!-- written by: python docs/results/reports.py {asked.study} DATA -o reports, after printed/ -->"
    print("\n".join([command, "", text, *gains(report, found), *lines, setting()]))


if __name__ == "__main__":
    main()
