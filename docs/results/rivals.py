"""Run the study of rivals and print its page: `python docs/results/rivals.py DATA [-o FOLDER]`.

DATA is the folder or .zip with HAM10000's images and its table. What is in FOLDER already is not done again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from augury.metrics import METRICS
from augury.processes import cores
from augury.report.findings import external
from augury.statistics import Interval, nadeau_bengio
from augury.study import load_study, run
from augury.study.block import Block
from augury.study.run import Finished

STUDY = Path(__file__).parents[2] / "studies" / "rivals.toml"
SHOWN = ("balanced_accuracy", "auroc")
COMMAND = "python docs/results/rivals.py ham10000.zip -o rivals > docs/results/rivals.md"


def page(finished: Finished) -> str:
    """Return the page."""
    outcome = finished.outcome
    block = finished.block(outcome.contrasts[0].classifier)
    data = outcome.data
    counts = ", ".join(f"{name} {n}" for name, n in zip(data.classes, data.used_counts, strict=True))
    head = [
        f"<!-- written by: {COMMAND} -->",
        "",
        "# Rivals without generators",
        "",
        "What does a gain from generated images have to beat? HAM10000, a declared scarce subset in its natural",
        f"proportions ({data.used} images: {counts}), lesions as groups, 64 x 64 pixels,",
        f"{outcome.plan.folds} folds x {outcome.plan.repeats}. Twelve rivals are trained, one trial each; the two with",
        f"even classes move the threshold of an arm that is trained anyway. {outcome.budget}.",
        "",
        f"**{outcome.verdict.sentence}**",
        "",
        *(f"- {line}" for line in outcome.verdict.details),
        f"- {external(outcome.contrasts[0], outcome.metric_label)}",
        "",
    ]
    return "\n".join([*head, *table(block), "", *choices(block), "", *setting(finished)]) + "\n"


def table(block: Block) -> list[str]:
    """Return scores and differences to plain cross-entropy, each with its Nadeau-Bengio interval."""
    labels = [METRICS[key].label for key in SHOWN]
    heads = [f"{label} | minus real" for label in labels]
    rows = [f"| arm | {' | '.join(heads)} | log-loss | ECE |", "|---" * (2 * len(SHOWN) + 3) + "|"]
    for arm in block.rows:
        cells = [cell for key in SHOWN for cell in scored(block, arm.name, key)]
        others = [f"{mean(block, arm.name, key):.3f}" for key in ("log_loss", "ece")]
        rows.append(f"| {arm.name} | {' | '.join([*cells, *others])} |")
    return rows


def scored(block: Block, arm: str, key: str) -> tuple[str, str]:
    """Return a score and its difference to real images only, in words."""
    values, real = (block.values(name, lambda item: item.scores[key]) for name in (arm, "real"))
    level = nadeau_bengio(list(values.values()), block.ratio)
    difference = block.compare(values, real) if arm != "real" else None
    return f"{level.mean:.3f} ({level.low:.3f} to {level.high:.3f})", span(difference)


def span(interval: Interval | None) -> str:
    """Return a difference in words."""
    return f"{interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})" if interval else "–"


def mean(block: Block, arm: str, key: str) -> float:
    """Return the mean of a score over the splits."""
    return float(np.mean(list(block.values(arm, lambda item: item.scores[key]).values())))


def choices(block: Block) -> list[str]:
    """Say what the inner part chose, what that was worth, and what plain log-loss would have chosen."""
    plain = replace(block, study=block.study.replace(metric="auroc"))  # in which classes do not weigh alike
    lines = []
    for how, chosen in (("with classes weighing alike", block.without), ("plain, for comparison", plain.without)):
        counted = Counter(chosen.values()).most_common()
        lines += [
            f"Chosen on the inner part by log-loss, {how}: {', '.join(f'{name} ({n})' for name, n in counted)}.",
            "",
        ]
        for key in SHOWN:
            picked = {unit: one(block, arm, unit, key) for unit, arm in chosen.items()}
            real = block.values("real", lambda item, key=key: item.scores[key])
            gain = span(block.compare(picked, real))
            lines.append(f"- Chosen arm minus plain cross-entropy, {METRICS[key].label}: {gain}.")
        lines.append("")
    return lines[:-1]


def one(block: Block, arm: str, unit: tuple[int, int], key: str) -> float:
    """Return a score of one arm in one split."""
    return block.values(arm, lambda item: item.scores[key])[unit]


def setting(finished: Finished) -> list[str]:
    """Return what it was computed with."""
    found = finished.outcome.environment
    return ["Environment: " + ", ".join(f"{name} {value}" for name, value in found.items()) + "."]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("-o", "--out", type=Path, default=Path("rivals"))
    asked = parser.parse_args()
    study = load_study(STUDY)
    study = study.replace(data=study.data.replace(source=str(Path(asked.data).resolve())))
    print(page(run(study, asked.out / "store", jobs=cores())), end="")


if __name__ == "__main__":
    main()
