"""Run the COVID-CT studies and print their page: `python docs/results/covid_ct.py DATA [-o FOLDER]`.

DATA is a table with the columns path, label and group. What is in FOLDER already is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from augury.metrics import METRICS
from augury.processes import cores
from augury.statistics import nadeau_bengio
from augury.study import load_study, run
from augury.study.run import Finished

STUDIES = Path(__file__).parents[2] / "studies"
NAMES = ("covid_ct_64", "covid_ct_224")
SHOWN = ("accuracy", "balanced_accuracy", "auroc")
COMMAND = "python docs/results/covid_ct.py covid_ct_manifest.csv -o covid_ct > docs/results/covid_ct.md"
PRINTED = """\
The report (one split, 199 test images, images of a patient on both sides, best epoch by validation loss):

| test accuracy | raw | raw + classical | raw + own GAN |
|---|---|---|---|
| own CNN (256 px) | .658 | .719 | .699 |
| VGG-16 | .754 | .784 | .809 |
| ResNet-50 | .764 | .769 | .804 |"""


def page(studies: dict[str, Finished]) -> str:
    """Return the page."""
    data = next(iter(studies.values())).outcome.data
    head = [
        f"<!-- written by: {COMMAND} -->",
        "",
        "# COVID-CT: raw and classical, from scratch and transferred",
        "",
        f"{data.used} images in {data.groups} groups (patients, or the paper that an image was cut from where the set",
        "names no patient), kept together; 5 folds x 2. The set: <https://github.com/UCSD-AI4H/COVID-CT>, with a table",
        "of path, label and group.",
        "",
        PRINTED,
        "",
        "Here (mean over splits, 95 % Nadeau-Bengio interval):",
        "",
    ]
    heads = " | ".join(METRICS[key].label for key in SHOWN)
    rows = [f"| network | arm | {heads} | accuracy minus raw |", "|---" * (len(SHOWN) + 3) + "|"]
    rows += [row for finished in studies.values() for row in table(finished)]
    budgets = [f"- {finished.outcome.title}: {finished.outcome.budget}." for finished in studies.values()]
    found = next(iter(studies.values())).outcome.environment
    last = "Environment: " + ", ".join(f"{name} {value}" for name, value in found.items()) + "."
    return "\n".join([*head, *rows, "", *budgets, "", last]) + "\n"


def table(finished: Finished) -> list[str]:
    """Return one row per classifier and arm."""
    rows = []
    for arm in finished.outcome.arms:
        block = finished.block(arm.classifier)
        cells = []
        for key in SHOWN:
            values = block.values(arm.arm, lambda item, key=key: item.scores[key])
            level = nadeau_bengio(list(values.values()), block.ratio)
            cells.append(f"{level.mean:.3f} ({level.low:.3f} to {level.high:.3f})")
        change = arm.difference
        span = f"{change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})" if change else "–"
        name = "raw" if arm.arm == "real" else arm.arm
        title = finished.outcome.title.partition(": ")[2]
        network = title if len(finished.outcome.contrasts) == 1 else f"{title}, {arm.classifier}"
        rows.append(f"| {network} | {name} | {' | '.join(cells)} | {span} |")
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("-o", "--out", type=Path, default=Path("covid_ct"))
    asked = parser.parse_args()
    finished = {}
    for name in NAMES:
        study = load_study(STUDIES / f"{name}.toml")
        study = study.replace(data=study.data.replace(source=str(Path(asked.data).resolve())))
        finished[name] = run(study, asked.out / name, jobs=cores())
    print(page(finished), end="")


if __name__ == "__main__":
    main()
