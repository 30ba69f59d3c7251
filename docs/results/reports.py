"""The five reports redone: `python docs/results/reports.py STUDY DATA [-o FOLDER] > docs/results/STUDY.md`.

STUDY is one of those below, DATA a folder with the sets that its study files name. What a report printed, and what is
to be said of it, stands in printed/STUDY.md; what is computed follows. What is in FOLDER already is not done again;
`--only` names some of the study files.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cells import always, arms, by_metric, change
from generators import GRIDS, grids, setting, span, study_on
from levels import Levels, Printed, arms_table, draw, printed_table, sentences
from trained import collapse, losses

from augury.processes import cores
from augury.study import run
from augury.study.block import Block
from augury.study.curve import lay_levels
from augury.study.journal import read_history
from augury.study.learning_curve import learning_curve
from augury.study.outcome import ArmResult
from augury.study.run import Finished, make
from augury.study.store import FolderStore, open_store
from augury.study.study import REAL

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """One run of a study file, and what is shown of it.

    Attributes:
        title: Heading.
        study: A study file's stem.
        metrics: Columns of its table.
        classes: Whether precision, recall and F1 of every class are shown.
    """

    title: str
    study: str
    metrics: tuple[str, ...] = ("accuracy", "auroc", "balanced_accuracy")
    classes: bool = False


@dataclass(frozen=True)
class Counted:
    """A study file at several numbers of real images.

    Attributes:
        title: Heading.
        study: A study file's stem.
        metrics: Columns of its table.
        printed: What the report printed at each of the levels.
        filled: The arm that does what the report did.
        control: The arm that does the same without generated images.
    """

    title: str
    study: str
    metrics: tuple[str, ...]
    printed: Mapping[int, Printed]
    filled: str
    control: str


@dataclass(frozen=True)
class Compared:
    """Gains in accuracy that a report printed, and the runs that redo them.

    Attributes:
        what: Data set or network, where a report has several.
        published: Stem of the study in the published protocol.
        honest: Stem of the study in the honest one.
        printed: Gain in accuracy over real images only, by arm.
        classifier: Which of the studies' classifiers.
    """

    what: str
    published: str
    honest: str
    printed: Mapping[str, float]
    classifier: int = 0


@dataclass(frozen=True)
class Report:
    """One report: its runs, and what it printed."""

    parts: tuple[Part | Counted, ...]
    compared: tuple[Compared, ...] = field(default=())


LOSSES = "losses.svg"
PUBLISHED, HONEST = "The published protocol, here", "The honest protocol, here"
REPORTS = {
    "medmnist-2020": Report(
        (
            Part(f"{PUBLISHED}: BreastMNIST", "medmnist-2020-published", ("accuracy", "auroc")),
            Part(f"{PUBLISHED}: PneumoniaMNIST", "medmnist-2020-pneumonia-published", ("accuracy", "auroc")),
            Part(f"{HONEST}: BreastMNIST", "medmnist-2020"),
            Part(f"{HONEST}: PneumoniaMNIST", "medmnist-2020-pneumonia"),
        ),
        (
            Compared(
                "BreastMNIST",
                "medmnist-2020-published",
                "medmnist-2020",
                {"autoencoder": 0.026, "cVAE": 0.057, "cGAN": -0.011},
            ),
            Compared(
                "PneumoniaMNIST",
                "medmnist-2020-pneumonia-published",
                "medmnist-2020-pneumonia",
                {"autoencoder": -0.003, "cVAE": 0.014, "cGAN": 0.011},
            ),
        ),
    ),
    "covid-ct-gan": Report(
        (Part(PUBLISHED, "covid-ct-gan-published"), Part(HONEST, "covid-ct-gan")),
        (
            Compared(
                "own CNN",
                "covid-ct-gan-published",
                "covid-ct-gan",
                {"classical": 0.0603, "own GAN": 0.0402, "Loey GAN": 0.0452},
            ),
            Compared(
                "VGG-16; here `efficientnet_lite0`",
                "covid-ct-gan-published",
                "covid-ct-gan",
                {"classical": 0.0301, "own GAN": 0.0552, "Loey GAN": -0.0201},
                classifier=1,
            ),
        ),
    ),
    "skin-dcgan": Report(
        (
            Part(PUBLISHED, "skin-dcgan-ham10000-published", classes=True),
            Part(HONEST, "skin-dcgan-ham10000", classes=True),
        ),
        (
            Compared(
                "",
                "skin-dcgan-ham10000-published",
                "skin-dcgan-ham10000",
                {"DCGAN · add 120": 0.03, "DCGAN · add 480": 0.04},
            ),
        ),
    ),
    "skin-infogan": Report(
        (
            Counted(
                "Five numbers of real malignant images, here",
                "skin-infogan-ham10000",
                ("balanced_accuracy", "auroc"),
                {
                    10: Printed((0.55, 0.50), (0.54, 0.49)),
                    50: Printed((0.58, 0.54), (0.58, 0.54)),
                    100: Printed((0.54, 0.50), (0.59, 0.55)),
                    250: Printed((0.68, 0.65), (0.70, 0.67)),
                    500: Printed((0.81, 0.81), (0.79, 0.77)),
                },
                filled="InfoGAN · level 1197",
                control="balanced",
            ),
        )
    ),
    "isic-2019-cwgan": Report(
        (
            Part(PUBLISHED, "isic-2019-cwgan-ham10000-published", classes=True),
            Part(HONEST, "isic-2019-cwgan-ham10000", classes=True),
            Part("Four rare classes from synthetic images only", "isic-2019-cwgan-ham10000-rare", classes=True),
        ),
        tuple(
            Compared(
                name,
                "isic-2019-cwgan-ham10000-published",
                "isic-2019-cwgan-ham10000",
                {"cWGAN-GP · 128 of akiec, bcc, df, vasc": 0.06},
                classifier=i,
            )
            for i, name in enumerate(("`small_cnn`", "`efficientnet_lite0`"))
        ),
    ),
}


def ran(part: Part, data: Path, out: Path) -> Finished:
    """Run a part, or read what is there."""
    finished = run(study_on(part.study, data), out / part.study, jobs=cores(), force=True)
    finished.save(out / part.study)
    return finished


def section(part: Part, finished: Finished) -> list[str]:
    """Return what a page says of one run."""
    assert isinstance(finished.laid.store, FolderStore)
    lines = [*heading(part), told(finished), "", f"**{finished.outcome.verdict.sentence}**", ""]
    lines += [f"- {detail}" for detail in finished.outcome.verdict.details]
    lines += [*copying(finished), *collapse(finished)]
    for named in finished.laid.study.classifiers:
        lines += ["", *arms(finished.block(named.name), part.metrics, named.name), ""]
    lines += classes(finished) if part.classes else []
    lines += [*pictures(finished, part.study), *losses(finished, GRIDS / part.study / LOSSES)]
    return [*lines, *took(finished.laid.store.root)]


def counted(part: Counted, data: Path, out: Path) -> list[str]:
    """Run a study at several numbers of images, and return what a page says of it."""
    study, folder = study_on(part.study, data), out / part.study
    with open_store(folder, "cpu") as store:
        laid = lay_levels(study, tuple(part.printed), store, force=True)
        runs = {int(each.study.split.per_class or 0): make(each, jobs=cores(), force=True) for each in laid}
    curves = [learning_curve(list(runs.values()), named.name) for named in study.classifiers]
    levels = Levels(runs)
    drawing = GRIDS / part.study / "levels.svg"
    draw(levels, part.metrics[0], drawing)
    lines = [*heading(part), told(runs[max(runs)]), "", *sentences(curves), ""]
    lines += [f"## What is left of the gain: {part.filled}", ""]
    lines += [*printed_table(levels, part.printed, part.metrics, part.filled, part.control), ""]
    lines += [f'![scores at each level](generators/{part.study}/{drawing.name} "scores at each level")', ""]
    lines += ["## Every arm at every level", "", *arms_table(levels, part.metrics, (REAL, part.control)), ""]
    for kept, finished in runs.items():
        lines += [f"With {kept} real images kept:", "", *copying(finished), *collapse(finished), ""]
        lines += pictures(finished, f"{part.study}-{kept}")
    most = max(runs)
    lines += losses(runs[most], GRIDS / f"{part.study}-{most}" / LOSSES)
    return [*lines, *took(folder)]


def copying(finished: Finished) -> list[str]:
    """Return what the copying audits found."""
    found = [gate.text for gate in finished.outcome.gates if gate.name.startswith("copying audit")]
    return [f"- Copying audit: {text.rstrip('.')}." for text in found]


def pictures(finished: Finished, name: str) -> list[str]:
    """Write and return a grid of every generator that draws new images; none of classes too small for one.

    What a GAN draws of a handful of images is those images again, and data that may not be passed on.
    """
    if finished.laid.too_small():
        return ["Too few to learn from: what is drawn repeats the real images, and is not shown.", ""]
    shown = grids(finished, GRIDS / name)
    if not shown:
        return ["What is drawn keeps close to single real images, and is not shown.", ""]
    return [f"Drawn in the first split, a row per class: {', '.join(finished.outcome.data.classes)}.", "", *shown, ""]


def heading(part: Part | Counted) -> list[str]:
    """Return a part's heading and its study file."""
    return [f"## {part.title}", "", f"`studies/{part.study}.toml`."]


def told(finished: Finished) -> str:
    """Return the data and the splits in a sentence."""
    data, plan = finished.outcome.data, finished.outcome.plan
    counts = ", ".join(f"{name} {n}" for name, n in zip(data.classes, data.used_counts, strict=True))
    cut = (
        f"{plan.folds} folds x {plan.repeats}" if plan.plan == "folds" else f"the given parts, {plan.repeats} training"
    )
    sizes = f"{plan.train_images:.0f} images to train, {plan.val_images:.0f} to choose, {plan.test_images:.0f} held out"
    return f" {data.used} images ({counts}), {cut}: {sizes}. {finished.outcome.budget}."


def classes(finished: Finished) -> list[str]:
    """Return precision, recall and F1 of every class, and the confusion matrices."""
    several = len(finished.laid.study.classifiers) > 1
    shown = [
        (f"{arm.classifier}: {arm.arm}" if several else arm.arm, arm) for arm in finished.outcome.arms if arm.classes
    ]
    lines = ["| precision / recall / F1 | " + " | ".join(finished.outcome.data.classes) + " |"]
    lines.append("|---" * (1 + len(finished.outcome.data.classes)) + "|")
    for name, arm in shown:
        each = [f"{one.precision:.2f} / {one.recall:.2f} / {one.f1:.2f}" for one in arm.classes]
        lines.append(f"| {name} | {' | '.join(each)} |")
    return [*lines, "", *(positives(finished, shown) if finished.outcome.positive else [])]


def positives(finished: Finished, shown: Sequence[tuple[str, ArmResult]]) -> list[str]:
    """Return sensitivity and specificity of the named class, and the confusion matrices."""
    names, positive = ", ".join(finished.outcome.data.classes), finished.outcome.positive
    heads = ["", "sensitivity", "minus real", "specificity", f"confusion (rows: actual {names})"]
    lines = [f"Positive: {positive}.", "", f"| {' | '.join(heads)} |", "|---" * 5 + "|"]
    for name, arm in shown:
        matrix = " / ".join(" ".join(map(str, row)) for row in arm.confusion)
        found = next(one.recall_change for one in arm.classes if one.name == positive)
        cells = [f"{arm.sensitivity:.3f}", span(found, 3) if found else "–", f"{arm.specificity:.3f}", matrix]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def took(folder: Path) -> list[str]:
    """Return how long the steps of a run took, from its journal."""
    seconds = sum(sum(each) for each in read_history(folder).seconds.values())
    return [f"The steps of this run took {seconds / 60:.0f} minutes in all, on one thread each.", ""]


def gains(compared: Sequence[Compared], runs: Mapping[str, Finished]) -> list[str]:
    """Return what was printed for each arm beside what is found in both protocols, in accuracy."""
    known = [each for each in compared if each.honest in runs]
    if not known:
        return []
    heads = ["gain in accuracy", "printed", "published protocol, here", "its splits one by one"]
    heads += ["honest protocol, here", "honest, over the best arm without generated images"]
    lines = ["## What is left of the gain", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in known:
        for arm, printed in each.printed.items():
            published, honest = (Gain(runs.get(stem), each.classifier, arm) for stem in (each.published, each.honest))
            found = [published.over(REAL), published.one_by_one(), honest.over(REAL), honest.over(CHOSEN)]
            name = f"{each.what}: {arm}" if each.what else arm
            lines.append(f"| {name} | {printed:+.3f} | {' | '.join(found)} |")
    return [*lines, "", "All but the last column: minus real images only.", ""]


CHOSEN = ""  # in place of an arm's name: the one without generated images that the inner part chose


@dataclass(frozen=True)
class Gain:
    """One arm of one run, in accuracy; a dash where it was not run."""

    finished: Finished | None
    classifier: int
    arm: str

    @cached_property
    def block(self) -> Block | None:
        """Return the run's scored cells of the classifier."""
        if self.finished is None:
            return None
        return self.finished.block(self.finished.laid.study.classifiers[self.classifier].name)

    @cached_property
    def name(self) -> str | None:
        """Return the arm's whole name: `own GAN` stands for `own GAN · add 125`."""
        known = self.block.by_arm if self.block else {}
        return next((name for name in known if self.arm in (name, name.split(" · ")[0])), None)

    def over(self, other: str) -> str:
        """Return the gain over another arm, or over the chosen one, with its interval."""
        if self.block is None or self.name is None:
            return "–"
        choice = always(self.block, other) if other else self.block.without
        return change(by_metric(self.block, "accuracy"), self.name, choice)

    def one_by_one(self) -> str:
        """Return the gain over real images only of every split, ascending: what a single one would have printed."""
        if self.block is None or self.name is None:
            return "–"
        block = by_metric(self.block, "accuracy")
        a, b = block.scores(self.name), block.scores(REAL)
        return ", ".join(f"{each:+.3f}" for each in sorted(a[unit] - b[unit] for unit in set(a) & set(b)))


def main() -> None:
    """Run what is missing, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=REPORTS)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("reports"))
    parser.add_argument("--only", nargs="*", help="stems of study files")
    asked = parser.parse_args()
    report, data, lines = REPORTS[asked.study], asked.data.resolve(), []
    runs: dict[str, Finished] = {}
    for part in report.parts:
        if asked.only is not None and part.study not in asked.only:
            continue
        if isinstance(part, Counted):
            lines += counted(part, data, asked.out)
        else:
            runs[part.study] = ran(part, data, asked.out)
            lines += section(part, runs[part.study])
    text = (HERE / "printed" / f"{asked.study}.md").read_text(encoding="utf-8")
    only = f" --only {' '.join(asked.only)}" if asked.only else ""
    command = f"<!-- written by: python docs/results/reports.py {asked.study} DATA -o reports{only}, after printed/ -->"
    print("\n".join([command, "", text, *gains(report.compared, runs), *lines, setting()]))


if __name__ == "__main__":
    main()
