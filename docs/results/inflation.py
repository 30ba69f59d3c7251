"""Measure what flaws are worth: `python docs/results/inflation.py DATA [-o FOLDER]`.

DATA is a folder with breastmnist.npz, covid_ct_manifest.csv and ham10000_200x150.zip; what has no data is left out.
What is in FOLDER already is not done again. A drawing goes beside this file.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from generators import setting, span, study_on

from augury.classifiers.base import GENERATOR_SEES_TEST
from augury.files import write_whole
from augury.processes import cores
from augury.report.svg import element
from augury.statistics import Interval, nadeau_bengio
from augury.study import Study, run
from augury.study.block import Block, Unit
from augury.study.run import Finished
from augury.study.study import BEST_TEST_EPOCH, PICKED, REAL

COMMAND = "python docs/results/inflation.py DATA -o inflation > docs/results/inflation.md"
DRAWING = Path(__file__).parent / "inflation.svg"
HEAD = f"""<!-- written by: {COMMAND} -->

# What flaws are worth

Each flaw is a switch: the same study is run with it and without it, on ten paired splits (five folds, twice) of a real
set, and what it adds to the number that a paper would print is measured, with Nadeau and Bengio's 95 % interval of the
paired differences. "Gain" is the arm with generated images minus the best arm without, each chosen on the inner part;
"score" is that of real images only.
"""
NOTES = """Of each flaw, what is the same and what is not:

* **The generators saw the test images**: the same splits and classifiers; generators are trained on the test part, too.
* **The best arm by its test score**: the same trainings; of the arms with generated images the one is reported that is
  best on the test part. Six arms are few: papers try more.
* **No rival that rebalances**: the same trainings; the arm that fills up rare classes is compared with real images only
  in place of the best arm without generated images, among them class-balanced sampling.
* **More images, more steps**: copies of the real images, which are no news, are added; training by epochs gives them
  twice the steps, training by steps does not.
* **The best epoch on the test part**: the same trainings of 50 epochs; the epoch is kept that is best on the test part
  in place of the inner part.
* **One patient on both sides**, **near duplicates on both sides**: the splits are other ones, for that is the flaw;
  they are paired by their number only, and the intervals are wide.
"""
Read = Callable[[Block], dict[Unit, float]]


def gain(block: Block) -> dict[Unit, float]:
    """Return the chosen arm with generated images minus the chosen one without, split by split."""
    a, b = block.of_choice(block.using), block.of_choice(block.without)
    return {unit: a[unit] - b[unit] for unit in a}


def gain_over_real(block: Block) -> dict[Unit, float]:
    """Return the chosen arm with generated images minus real images only: no rival evens out the classes."""
    a, b = block.of_choice(block.using), block.scores(REAL)
    return {unit: a[unit] - b[unit] for unit in a}


def score(block: Block) -> dict[Unit, float]:
    """Return the score of real images only."""
    return block.scores(REAL)


def copies(block: Block) -> dict[Unit, float]:
    """Return what copies of real images gain over them."""
    a, b = block.scores("copies · ratio 1"), block.scores(REAL)
    return {unit: a[unit] - b[unit] for unit in a}


@dataclass(frozen=True)
class Flaw:
    """One switch.

    Attributes:
        name: What a paper would have done.
        study: A study file's stem.
        honest: The study without the flaw.
        flawed: The study with it.
        quantity: What is printed.
        read: How it is read from a study.
        read_flawed: How it is read from the flawed one, if otherwise.
    """

    name: str
    study: str
    honest: Callable[[Study], Study]
    flawed: Callable[[Study], Study]
    quantity: str
    read: Read
    read_flawed: Read | None = None


def declared(*flaws: str) -> Callable[[Study], Study]:
    """Return what adds declared flaws to a study."""
    return lambda study: study.replace(flaws=(*study.flaws, *flaws))


def left_in(study: Study) -> Study:
    """Let near duplicates stand on both sides of a split; nothing is generated then."""
    plain = tuple(arm for arm in study.arms if arm.generator is None)
    return study.replace(data=study.data.replace(near_duplicates="leave"), arms=plain, generators=())


def as_it_is(study: Study) -> Study:
    """Return the study itself."""
    return study


def by_steps(study: Study) -> Study:
    """Train all arms for as many steps as the epochs of the real images alone are, and keep the last weights."""
    (named,) = study.classifiers
    recipe = named.recipe.replace(published=False, best="loss", steps=STEPS)
    return study.replace(flaws=(), classifiers=(named.replace(recipe=recipe),))


STEPS = 300  # 50 epochs of about 370 images in batches of 64
EPOCHS = "inflation-epochs"
FLAWS = (
    Flaw(
        "the generators saw the test images",
        "inflation-breastmnist",
        as_it_is,
        declared(GENERATOR_SEES_TEST),
        "gain",
        gain,
    ),
    Flaw("the best arm by its test score", "inflation-breastmnist", as_it_is, declared(PICKED), "gain", gain),
    Flaw("no rival that rebalances", "inflation-ham10000", as_it_is, as_it_is, "gain", gain, gain_over_real),
    Flaw("more images, more steps", EPOCHS, by_steps, as_it_is, "gain of mere copies", copies),
    Flaw("the best epoch on the test part", EPOCHS, as_it_is, declared(BEST_TEST_EPOCH), "score", score),
    Flaw("one patient on both sides", "inflation-covid-ct", as_it_is, declared("groups_ignored"), "score", score),
    Flaw("near duplicates on both sides", "inflation-breastmnist", as_it_is, left_in, "score", score),
)


@dataclass(frozen=True)
class Measured:
    """What one flaw is worth: means over the splits, and the interval of the paired differences."""

    flaw: Flaw
    title: str
    metric: str
    honest: float
    flawed: float
    inflation: Interval


def measured(flaw: Flaw, data: Path, out: Path) -> Measured | None:
    """Run a study without the flaw and with it; None without its data."""
    study = study_on(flaw.study, data)
    if not Path(study.data.source).exists():
        return None
    runs = [run(change(study), out / flaw.study, jobs=cores(), force=True) for change in (flaw.honest, flaw.flawed)]
    blocks = [finished.block(finished.laid.study.classifiers[0].name) for finished in runs]
    a, b = flaw.read(blocks[0]), (flaw.read_flawed or flaw.read)(blocks[1])
    units = sorted(set(a) & set(b))
    inflation = nadeau_bengio([b[unit] - a[unit] for unit in units], blocks[0].ratio)
    return Measured(flaw, title_of(runs[0]), runs[0].outcome.metric_label, middle(a), middle(b), inflation)


def title_of(finished: Finished) -> str:
    """Return the set and its size."""
    data, plan = finished.outcome.data, finished.outcome.plan
    return f"{finished.outcome.title}; {data.used} images, {plan.folds} folds x {plan.repeats}"


def middle(values: dict[Unit, float]) -> float:
    """Return the mean over the splits."""
    return sum(values.values()) / len(values)


def table(found: Sequence[Measured]) -> list[str]:
    """Return one row per flaw."""
    heads = ["flaw", "study", "what is printed", "without", "with", "inflation (95 % interval)"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in found:
        what, form = f"{each.flaw.quantity}, {each.metric}", "{:.3f}" if each.flaw.read is score else "{:+.3f}"
        cells = [
            each.flaw.name,
            each.title,
            what,
            form.format(each.honest),
            form.format(each.flawed),
            span(each.inflation, 3),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


WIDTH, ROW, LEFT, TOP, TICK = 760, 42, 300, 44, 0.05


def drawing(found: Sequence[Measured]) -> str:
    """Draw the inflation of each flaw with its interval."""
    ends = [0.0, *(value for each in found for value in (each.inflation.low, each.inflation.high))]
    low, high = min(ends) - 0.01, max(ends) + 0.01
    height = TOP + ROW * len(found) + 30

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (value - low) / (high - low)

    def text(words: str, x: float, y: float, anchor: str = "start", size: int = 13) -> str:
        return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, fill="#222222", font_size=size)

    parts = [element("rect", width=WIDTH, height=height, fill="#ffffff")]
    parts += [text("What each flaw adds to the printed number", 10, 20)]
    for step in range(math.ceil(low / TICK), math.floor(high / TICK) + 1):
        x = across(step * TICK)
        parts += [line(x, TOP - 12, x, height - 26, "#dddddd" if step else "#666666", 1)]
        parts += [text(f"{step * TICK:+.2f}" if step else "0", x, height - 8, "middle", 11)]
    for i, each in enumerate(found):
        y = TOP + ROW * i + 10
        where = re.split(r"[,;]| at ", each.title)[0]
        what = f"{each.flaw.quantity}, {each.metric}; {where}"
        parts += [text(each.flaw.name, 10, y + 4), text(what, 10, y + 18, size=10)]
        parts += [text(f"{each.inflation.mean:+.3f}", across(each.inflation.mean), y - 8, "middle", 11)]
        parts += [line(across(each.inflation.low), y, across(each.inflation.high), y, "#0b57a4", 2)]
        parts += [element("circle", cx=f"{across(each.inflation.mean):.1f}", cy=y, r=5, fill="#0b57a4")]
    box = {"viewBox": f"0 0 {WIDTH} {height}", "width": WIDTH, "height": height, "font-family": "sans-serif"}
    return str(element("svg", *parts, xmlns="http://www.w3.org/2000/svg", **box))


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int) -> str:
    """Draw a line."""
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return element("line", stroke=colour, stroke_width=width, **ends)


def main() -> None:
    """Run what has its data, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("inflation"))
    arguments = parser.parse_args()
    found = [each for flaw in FLAWS if (each := measured(flaw, arguments.data, arguments.out)) is not None]
    write_whole(DRAWING, drawing(found))
    link = '![what each flaw adds to the printed number](inflation.svg "what flaws are worth")'
    print("\n".join([HEAD, link, "", *table(found), "", NOTES, setting()]))


if __name__ == "__main__":
    main()
