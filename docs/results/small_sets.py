"""Generators for small sets against GANs of the reports: `python docs/results/small_sets.py DATA [-o FOLDER]`.

DATA is a folder with breastmnist.npz, pneumoniamnist_rebuilt.npz and ham10000_200x150.zip; a set that is not there is
left out. What is in FOLDER already is not done again. Grids of drawn images go beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from generators import GRIDS, fit_seconds, grids, mean, run_sets, setting, span, spread

from augury.audit import CopyingInSpace, SpaceFidelity
from augury.filters import PIXELS
from augury.metrics.classification import METRICS
from augury.statistics import Interval, nadeau_bengio
from augury.study.audits import PlannedAudit
from augury.study.run import Finished
from augury.study.store import FolderStore

SETS = {
    "breastmnist": "breastmnist.npz",
    "pneumoniamnist": "pneumoniamnist_rebuilt.npz",
    "ham10000": "ham10000_200x150.zip",
}
NEW = ("diffusion", "flow", "resgan")
JUDGE, NETWORK = "judge", "efficientnet_lite0"
COMMAND = "python docs/results/small_sets.py DATA -o small > docs/results/small-sets.md"
HEAD = f"""<!-- written by: {COMMAND} -->

# Generators for small sets

`diffusion`, `flow` and `resgan` against GANs of the reports, on the same training images, for about the same time per
fit on one thread (minutes: medians over the splits, on a machine that had other work in part). A fit of the new kinds
takes at most 852 MiB (28 pixels, grey). Every kind kept four networks on the way, and the inner part chose among them.
The defaults of the new kinds were found by short trainings on BreastMNIST's given parts, its test images included: its
rows are no blind test. Their guidance of 1.5 was chosen on the inner parts of the folds of BreastMNIST and
PneumoniaMNIST. HAM10000 was run twice: first for two to five minutes per fit (KID in `efficientnet_lite0`: `flow` 109,
`bagan` 117, `diffusion` 173, `wgan_gp` 222, `resgan` 351; AUROC of TSTR .715, .709, .680, .668, .650), then with 2.2,
2.5, 1.6, 3.0 and 1.3 times the steps, so that all kinds take about as long; no other setting was changed.

KID x 1000 and coverage compare as many drawn as held-out real images (in the features of the judge, a classifier
trained on real training images, and of a network trained on photographs). TSTR: the judge's recipe trained on drawn
images only, scored on held-out real ones. Copies: share of drawn images that are nearer to a training image than 99 %
of the held-out real ones are. Gain: balanced accuracy of real and drawn images together, minus that of the best rival
without drawn images ("best": by its mean on the same held-out images, which favours the rival). Means and standard
deviations over the splits; intervals are Nadeau and Bengio's of the paired differences, 95 %, not adjusted for their
number.
"""


@dataclass(frozen=True)
class Row:
    """One generator in one split; the real training images have neither copies nor gain."""

    kid: dict[str, float]
    coverage: float
    balanced_accuracy: float
    auroc: float
    copies: tuple[float, float]
    gain: float
    minutes: float


def rows(finished: Finished) -> dict[str, list[Row]]:
    """Collect what the study's audits found of every generator, split by split."""
    found: dict[str, list[Row]] = {}
    for planned in finished.laid.audits.makers:
        found.setdefault(planned.generator, []).append(row(finished, planned))
    return found


def row(finished: Finished, planned: PlannedAudit) -> Row:
    """Return what was found of one generator in one split."""
    store = finished.laid.store
    assert planned.fidelity is not None, "the study measures fidelity"
    assert planned.copying is not None, "and copies"
    assert planned.tstr is not None, "and what the images teach"
    spaces = pooled(store.get(planned.fidelity)[0].rows)
    copied: dict[str, CopyingInSpace] = {one.space: one for one in store.get(planned.copying).spaces}
    labels, told = finished.laid.images.labels.numpy()[list(planned.split.test)], store.get(planned.tstr)
    fit = planned.fidelity.pool[0].chunks[0].fit
    return Row(
        kid={name: 1000 * space.kid for name, space in spaces.items()},
        coverage=spaces[NETWORK].coverage,
        balanced_accuracy=METRICS["balanced_accuracy"].function(labels, told),
        auroc=METRICS["auroc"].function(labels, told),
        copies=(copied[PIXELS].rate, copied[NETWORK].rate),
        gain=score(finished, planned.arms[0], planned) - score(finished, best_rival(finished), planned),
        minutes=fit_seconds(finished, fit.key) / 60,
    )


def pooled(found: Sequence[SpaceFidelity]) -> dict[str, SpaceFidelity]:
    """Return what was found of all classes together, by space."""
    return {one.space: one for one in found if not one.name}


def score(finished: Finished, arm: str, planned: PlannedAudit) -> float:
    """Return the balanced accuracy of one arm in the split of an audit."""
    return next(
        item.scores["balanced_accuracy"]
        for item in finished.scored
        if (item.cell.arm.name, item.cell.split) == (arm, planned.split)
    )


def best_rival(finished: Finished) -> str:
    """Return the arm without drawn images that has the best mean on held-out images."""
    scores: dict[str, list[float]] = {}
    for item in finished.scored:
        if not item.cell.arm.uses_generated:
            scores.setdefault(item.cell.arm.name, []).append(item.scores["balanced_accuracy"])
    return max(scores, key=lambda name: mean(scores[name]))


def table(finished: Finished, found: dict[str, list[Row]]) -> list[str]:
    """Return one row per generator, after one of the real training images."""
    heads = ["generator", f"KID, {JUDGE}", f"KID, {NETWORK}", f"coverage, {NETWORK}", "TSTR balanced accuracy"]
    heads += [
        "TSTR AUROC",
        "copies, pixels",
        "copies, features",
        "gain over the best rival",
        "minutes per fit",
        "audit",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", floor(finished)]
    ratio = finished.block(finished.laid.study.classifiers[0].name).ratio
    said = {
        maker.generator: maker.decision.state if maker.decision else "–" for maker in finished.outcome.audited.makers
    }
    for name, each in found.items():
        cells = [spread([one.kid[space] for one in each], 1) for space in (JUDGE, NETWORK)]
        cells += [spread([one.coverage for one in each], 2), spread([one.balanced_accuracy for one in each], 3)]
        cells += [spread([one.auroc for one in each], 3)]
        cells += [f"{mean([one.copies[i] for one in each]):.1%}" for i in range(2)]
        cells += [span(nadeau_bengio([one.gain for one in each], ratio), 3)]
        cells += [f"{median([one.minutes for one in each]):.1f}", said[name]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def floor(finished: Finished) -> str:
    """Return the row of the real training images."""
    makers, real = finished.laid.audits.makers, []
    first = [planned for planned in makers if planned.generator == makers[0].generator]
    for planned in first:
        assert planned.fidelity is not None
        real.append(pooled(finished.laid.store.get(planned.fidelity)[0].rows))
    cells = [spread([1000 * one[space].kid_floor for one in real], 1) for space in (JUDGE, NETWORK)]
    cells += [spread([one[NETWORK].coverage_floor for one in real], 2)]
    scored = [item.scores for item in finished.scored if item.cell.arm.name == "real"]
    cells += [spread([one[key] for one in scored], 3) for key in ("balanced_accuracy", "auroc")]
    return f"| real training images | {' | '.join([*cells, '–', '–', '–', '–', '–'])} |"


def versus(finished: Finished, found: dict[str, list[Row]]) -> list[str]:
    """Return the paired differences between each new kind and each kind of the reports, and what they say."""
    ratio = finished.block(finished.laid.study.classifiers[0].name).ratio
    heads = [f"KID, {JUDGE}", f"KID, {NETWORK}", "TSTR balanced accuracy", "TSTR AUROC"]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for name in NEW:
        for other in found:
            if other not in NEW:
                pairs = list(zip(found[name], found[other], strict=True))
                cells = [
                    [a.kid[JUDGE] - b.kid[JUDGE] for a, b in pairs],
                    [a.kid[NETWORK] - b.kid[NETWORK] for a, b in pairs],
                    [a.balanced_accuracy - b.balanced_accuracy for a, b in pairs],
                    [a.auroc - b.auroc for a, b in pairs],
                ]
                spans = [nadeau_bengio(values, ratio) for values in cells]
                said = [told(one, digits=1 if i < 2 else 3, less=i < 2) for i, one in enumerate(spans)]
                lines.append(f"| {name} minus {other} | {' | '.join(said)} |")
    return lines


def told(interval: Interval, *, digits: int, less: bool) -> str:
    """Return a difference, its interval, and which of the two is better, if that can be said."""
    if interval.low <= 0 <= interval.high:
        return f"{span(interval, digits)}, tied"
    return f"{span(interval, digits)}, **{'better' if (interval.mean < 0) == less else 'worse'}**"


def section(name: str, finished: Finished) -> list[str]:
    """Return what a page says of one set."""
    assert isinstance(finished.laid.store, FolderStore)
    data, plan, found = finished.outcome.data, finished.outcome.plan, rows(finished)
    counts = ", ".join(f"{label} {n}" for label, n in zip(data.classes, data.used_counts, strict=True))
    steps = ", ".join(f"{named.name} {named.recipe.settings()['steps']}" for named in finished.laid.study.generators)
    controls = finished.outcome.audited.controls
    return [
        f"## {finished.outcome.title}",
        "",
        f"`studies/small_sets_{name}.toml`: {data.used} images ({counts}), {plan.folds} folds, "
        f"{plan.train_images:.0f} training and {plan.test_images:.0f} held-out images. Steps: {steps}. The best "
        f"rival is `{best_rival(finished)}`.",
        "",
        *table(finished, found),
        "",
        *versus(finished, found),
        "",
        finished.outcome.verdict.sentence,
        "",
        *([f"Controls of the copying audit: {controls.sentence}.", ""] if controls else []),
        *grids(finished, GRIDS / f"small_{name}"),
        "",
    ]


if __name__ == "__main__":
    print("\n".join([HEAD, *run_sets("small", SETS, "small_sets", section), setting()]))
