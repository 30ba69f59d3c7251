"""Few steps of `flow`, copies, larger images: `python docs/results/denoisers.py DATA [-o FOLDER]`.

DATA is a folder with breastmnist.npz, ham10000_200x150.zip and covid_ct_manifest.csv. FOLDER is that of
`small_sets.py`, whose fitted models are drawn from; what is in it already is not done again. Pictures go beside this
file.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generators import GRIDS, STUDIES, grid, mean, setting, span, spread

import augury
from augury.classifiers import SmallCNNClassifier
from augury.classifiers.features import FeatureMaker
from augury.curation import vectors_of
from augury.files import fresh_folder, write_whole
from augury.filters import PIXELS
from augury.generators import Diffusion, Flow, Latent, Sampler, load_sampler
from augury.generators.denoiser import Denoiser
from augury.images import ImageSet
from augury.metrics.classification import METRICS
from augury.metrics.copying import copy_rate, nearest
from augury.metrics.fidelity import kid
from augury.report.svg import element
from augury.statistics import nadeau_bengio
from augury.study import load_study
from augury.study.layout import lay_out
from augury.study.run import Finished, collect
from augury.study.steps import chosen
from augury.study.store import MemoryStore
from augury.study.watching import COPIES, LOSS, by_loss
from augury.training import Run

SECTIONS = ("steps", "given", "memory", "larger")
STUDY, SOURCE, KIND = "breastmnist", "breastmnist.npz", "flow"
STEPS, SEEDS, REPEATS = (1, 2, 4, 8, 50), 2, 5
SIZES, HELD_OUT, KEPT = (50, 150, 500), 200, 11
REMEMBERING = Diffusion(steps=2000, snapshots=KEPT)
COMMAND = "python docs/results/denoisers.py DATA -o small > docs/results/denoisers.md"
HEAD = f"""<!-- written by: {COMMAND} -->

# Few steps, few images, larger images: what the denoisers do then
"""
FEW_STEPS = """## `flow` in 1 to 50 steps

BreastMNIST, the models of [the comparison](small-sets.md), three folds: {weights:.2f} M weights, Heun's method (two
evaluations of the network per step), guidance {guidance:g}. As many images of each class are drawn as there are
training images; TSTR is that of {seeds} classifiers per split (`small_cnn`, 300 steps), trained on them only. Images
per second on one thread.
"""
GIVEN = """## Classifiers that saw drawn images only, on the given test part

BreastMNIST's given training part ({train} images) and test part ({test}; near duplicates on both sides are left in, as
in published figures): {repeats} `small_cnn` (600 steps) each, trained on real images, or on drawn ones, so many times
as many. Mean, least and greatest; the test part alone gives an AUROC a standard error of about .03. The defaults of
these kinds were found on these very parts. `flow` with 8,000 steps, tried once, was no better with ten times as many
(.859; .867 with guidance 1).
"""
ALONE, TIMES = {"diffusion": Diffusion(), "flow": Flow()}, (2, 10)
FEW_IMAGES = """## When `diffusion` begins to copy

BreastMNIST, trained on N images of it, its loss measured on {held_out} others of other groups and on the training
images themselves; copies are the share of drawn images nearer to a training image, in pixels, than 99 % of these others
are. "Chosen" is the network that a study would draw from: the least loss on held-out images among those that do not
copy.
"""


LARGER = """## Larger images

Trained on two thirds of the real images, without any of their groups among the last third, for as long as is said, on
one thread: no GPU was at hand. KID x 1000 (`{network}`) is that of as many drawn as held-out images, beside that of
training images; copies are the share of drawn images nearer to a training image, in pixels, than 99 % of held-out ones
are.
"""
NETWORK, MOST = "efficientnet_lite0", 600


@dataclass(frozen=True)
class Larger:
    """What is trained on larger images: the study whose images these are, their side, and the recipe."""

    study: str
    side: int
    recipe: Denoiser


LARGER_ONES = {
    "HAM10000 at 64 pixels": Larger(
        "ham10000", 64, Diffusion(steps=2500, sampling="root", augment=("flip", "flip_vertical", "scale", "shift"))
    ),
    "COVID-CT at 128 pixels": Larger("covid_ct", 128, Latent(pretrain=700, steps=4000)),
}


class Notes:
    """Numbers that are kept in a file as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """Compute what is not known yet, and keep it."""
        if key not in self.known:
            self.known[key] = compute()
            write_whole(self.path, json.dumps(self.known))
        return self.known[key]


def few_steps(finished: Finished, notes: Notes) -> list[str]:
    """Return the table of drawing in few steps."""
    cells = [cell for cell in finished.laid.cells if cell.arm.generator is not None and cell.arm.generator.name == KIND]
    found: dict[int, list[dict[str, float]]] = {steps: [] for steps in STEPS}
    for i, cell in enumerate(cells):
        sampler = chosen(cell.fit.pool[0], finished.laid.store.get)
        train, test = (finished.laid.images.take(rows) for rows in (cell.split.train, cell.split.test))
        for steps in STEPS:
            found[steps].append(notes.once(f"steps {i} {steps}", partial(taught, sampler, steps, train, test)))
    recipe: Any = sampler.recipe
    weights = sum(value.numel() for value in sampler.network.parameters()) / 1e6
    head = FEW_STEPS.format(weights=weights, guidance=recipe.guidance, seeds=SEEDS)
    ratio = finished.block(finished.laid.study.classifiers[0].name).ratio
    return [head, *steps_table(found, ratio), ""]


def taught(sampler: Sampler, steps: int, train: ImageSet, test: ImageSet) -> dict[str, float]:
    """Draw in some steps, and return what classifiers learn from it, and images per second."""
    recipe = sampler.recipe.replace(drawing_steps=steps)
    few = recipe.sampler(sampler.card, sampler.network, "cpu", sampler.film)
    start = time.perf_counter()
    drawn = few.draw(dict(zip(train.classes, train.counts(), strict=True)), seed=0)
    rate, labels = len(drawn) / (time.perf_counter() - start), test.labels.numpy()
    judge = load_study(STUDIES / f"small_sets_{STUDY}.toml").classifiers[0].recipe
    told = [judge.fit(drawn, None, Run(seed=seed)).predict(test) for seed in range(SEEDS)]
    scores = {key: mean([METRICS[key].function(labels, one) for one in told]) for key in ("balanced_accuracy", "auroc")}
    return {"rate": rate, **scores}


def steps_table(found: dict[int, list[dict[str, float]]], ratio: float) -> list[str]:
    """Return a row per number of steps, with the paired difference to the most."""
    heads = ["steps", "images per second", "TSTR balanced accuracy", "TSTR AUROC"]
    heads += [f"{key}, minus {STEPS[-1]} steps" for key in ("balanced accuracy", "AUROC")]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for steps, each in found.items():
        keys = ("balanced_accuracy", "auroc")
        cells = [str(steps), f"{mean([one['rate'] for one in each]):.1f}"]
        cells += [spread([one[key] for one in each], 3) for key in keys]
        pairs = list(zip(each, found[STEPS[-1]], strict=True))
        cells += (
            ["–"] * 2
            if steps == STEPS[-1]
            else [span(nadeau_bengio([a[key] - b[key] for a, b in pairs], ratio), 3) for key in keys]
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def given_parts(data: Path, folder: Path, notes: Notes) -> list[str]:
    """Return what classifiers learn from the images of models that were fitted on the given training part."""
    images = augury.read(data / SOURCE)
    train = images.take([i for i, part in enumerate(images.parts or ()) if part == "train"])
    new = [digest not in set(train.digests) for digest in images.digests]
    test = images.take([i for i, part in enumerate(images.parts or ()) if part == "test" and new[i]])
    lines = [GIVEN.format(train=len(train), test=len(test), repeats=REPEATS)]
    lines += ["| trained on | AUROC | balanced accuracy |", "|---|---|---|"]
    found = {"real images": notes.once("real", partial(taught_often, train, test))}
    for name, recipe in ALONE.items():
        sampler = kept_model(recipe, train, folder / "given" / name)
        for times in TIMES:
            key = f"{name}, {recipe.steps} steps, {times} times"
            found[key] = notes.once(key, partial(taught_alone, sampler, times, train, test))
    for name, scores in found.items():
        cells = [f"{mean(each):.3f} ({min(each):.3f} to {max(each):.3f})" for each in scores.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def taught_alone(sampler: Sampler, times: int, train: ImageSet, test: ImageSet) -> dict[str, list[float]]:
    """Return the scores of classifiers that saw drawn images only, so many times as many as there are real ones."""
    counts = {label: times * count for label, count in zip(train.classes, train.counts(), strict=True)}
    return taught_often(sampler.draw(counts, seed=0), test)


def taught_often(images: ImageSet, test: ImageSet) -> dict[str, list[float]]:
    """Return the scores on a test part of several classifiers that were trained on some images."""
    labels, judge = test.labels.numpy(), SmallCNNClassifier(steps=600, sampling="balanced")
    told = [judge.fit(images, None, Run(seed=seed)).predict(test) for seed in range(REPEATS)]
    return {key: [METRICS[key].function(labels, one) for one in told] for key in ("auroc", "balanced_accuracy")}


def kept_model(recipe: Denoiser, train: ImageSet, model: Path) -> Sampler:
    """Fit a model, or open it if that was done before."""
    if not model.exists():
        with fresh_folder(model) as new:
            recipe.fit(train, Run(seed=0)).save(new)
    return load_sampler(model)


def few_images(data: Path, notes: Notes) -> list[str]:
    """Return the tables of loss and copies over the training, and draw them."""
    held_out, pool = parts(data)
    found: dict[int, dict[str, Any]] = {}
    for size in SIZES:
        found[size] = notes.once(f"memory {size}", partial(remembered, REMEMBERING, pool.take(range(size)), held_out))
    path = GRIDS / "memory.svg"
    write_whole(path, curves(found))
    link = f'![loss on held-out images and copies over the training](generators/{path.name} "when diffusion copies")'
    return [FEW_IMAGES.format(held_out=len(held_out)), link, "", *memory_table(found), ""]


def parts(data: Path) -> tuple[ImageSet, ImageSet]:
    """Return held-out images and those to train on, in random order; no group has images in both."""
    study = load_study(STUDIES / f"small_sets_{STUDY}.toml")
    images = lay_out(study.replace(data=study.data.replace(source=str(data / SOURCE))), MemoryStore()).images
    order = np.random.default_rng(0).permutation(sorted(set(images.group_names))).tolist()
    place = {name: i for i, name in enumerate(order)}
    rows = sorted(range(len(images)), key=lambda i: place[images.group_names[i]])
    last = images.group_names[rows[HELD_OUT - 1]]
    kept = next(i for i in range(HELD_OUT, len(rows)) if images.group_names[rows[i]] != last)
    return images.take(rows[:kept]), images.take(rows[kept:])


def remembered(recipe: Diffusion, train: ImageSet, held_out: ImageSet) -> dict[str, Any]:
    """Train, and return by steps: loss on held-out and training images, share of copies; and the chosen steps."""
    last: Any = recipe.fit(train, Run(seed=0))
    kept: dict[int, Any] = {steps: last.at(steps) for steps in last.film.snapshots()} | {recipe.steps: last}
    counts = dict(zip(held_out.classes, held_out.counts(), strict=True))
    losses = {steps: each.held_out_loss(held_out, seed=0) for steps, each in kept.items()}
    own = {steps: each.held_out_loss(train, seed=0) for steps, each in kept.items()}
    choice = by_loss(losses, {steps: each.draw(counts, seed=0) for steps, each in kept.items()}, train, held_out)
    return {
        "steps": list(kept),
        "held out": list(choice.measured[LOSS].values()),
        "training": list(own.values()),
        "copies": list(choice.measured[COPIES].values()),
        "chosen": choice.steps,
    }


def memory_table(found: dict[int, dict[str, Any]]) -> list[str]:
    """Return one row per number of images: at the chosen network, where the loss is least, and at the end."""
    heads = ["N", "least loss after", "chosen", "loss there, held out / training", "copies there"]
    heads += ["loss at the end, held out / training", "copies at the end"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for size, of in found.items():
        at, least = of["steps"].index(of["chosen"]), of["steps"][int(np.argmin(of["held out"]))]
        cells = [str(size), str(least), str(of["chosen"])]
        for i in (at, -1):
            cells += [f"{of['held out'][i]:.3f} / {of['training'][i]:.3f}", f"{of['copies'][i]:.1%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def larger(name: str, of: Larger, data: Path, folder: Path, notes: Notes) -> list[str]:
    """Return what a page says of one recipe on larger images, and write its pictures."""
    train, held_out = larger_parts(of, data)
    start = time.process_time()
    sampler = kept_model(of.recipe, train, folder / "larger" / f"{of.study}-{of.side}")
    notes.once(f"{name} minutes", lambda: (time.process_time() - start) / 60)
    path = GRIDS / "larger" / f"{of.study}-{of.side}.png"
    grid(sampler, 0, path)
    found = notes.once(name, partial(compared, sampler, train, held_out))
    settings = ", ".join(
        f"{key} {value}" for key, value in of.recipe.settings().items() if key in ("pretrain", "steps")
    )
    return [
        f"### {name}",
        "",
        f"`{of.recipe.kind}`, {settings}, {sampler.card.parameters / 1e6:.2f} M weights, {len(train)} training images, "
        f"{notes.known[f'{name} minutes']:.0f} minutes of processor time. KID {found['kid']:.1f}; training images "
        f"{found['floor']:.1f}. Copies {found['copies']:.1%}. {found['rate']:.2f} images per second.",
        "",
        f"Rows: {', '.join(train.classes)}.",
        "",
        f'![{name}](generators/larger/{path.name} "{name}")',
        "",
    ]


def larger_parts(of: Larger, data: Path) -> tuple[ImageSet, ImageSet]:
    """Return training and held-out images of a study at another size, all that there are."""
    study = load_study(STUDIES / f"generators_{of.study}.toml")
    source = study.data.replace(source=str(data / Path(study.data.source).name), size=(of.side, of.side))
    laid = lay_out(study.replace(data=source, split=study.split.replace(keep=())), MemoryStore())
    split = laid.cells[0].split
    return laid.images.take([*split.train, *split.val]), laid.images.take(split.test)


def compared(sampler: Sampler, train: ImageSet, held_out: ImageSet) -> dict[str, float]:
    """Return kernel distances to held-out images, the share of copies, and images per second."""
    held_out, seen = thinned(held_out), thinned(train)
    start = time.perf_counter()
    drawn = sampler.draw(dict(zip(held_out.classes, held_out.counts(), strict=True)), seed=1)
    rate = len(drawn) / (time.perf_counter() - start)
    maker = FeatureMaker(network=NETWORK, weights="imagenet")
    theirs, real, ours = (maker.compute(each).of(each)[:, 0].astype(np.float64) for each in (held_out, seen, drawn))
    pixels = [vectors_of(each, PIXELS) for each in (drawn, held_out, train)]
    copies = copy_rate(nearest(pixels[0], pixels[2])[0], nearest(pixels[1], pixels[2])[0]).rate
    return {"kid": 1000 * kid(theirs, ours), "floor": 1000 * kid(theirs, real), "copies": copies, "rate": rate}


def thinned(images: ImageSet) -> ImageSet:
    """Return at most MOST images, in the proportions of the classes."""
    every = max(1, -(-len(images) // MOST))
    return images.take(sorted(range(len(images)), key=lambda i: (int(images.labels[i]), i))[::every])


WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 150, 46, 34, 70
COLOURS = {50: "#b3261e", 150: "#a35f00", 500: "#0b57a4"}


def curves(found: dict[int, dict[str, Any]]) -> str:
    """Draw loss and copies over the training: a line for each N, a ring where chosen."""
    panels = []
    for down, (key, what) in enumerate((("held out", "loss on held-out images"), ("copies", "share of copies"))):
        values = [value for each in found.values() for value in each[key]]
        least = min(values) if key == "held out" else 0.0
        corner = (LEFT, TOP + down * (HEIGHT + GAP))
        panels += panel(found, key, corner, (least, max(*values, least + 0.02)), what)
    size = (LEFT + WIDTH + GAP, TOP + 2 * (HEIGHT + GAP) + 10)
    body = element("rect", width=size[0], height=size[1], fill="#ffffff")
    legend = [
        element("text", f"N = {n}", x=LEFT + i * 80, y=size[1] - 8, fill=COLOURS[n], font_size=12)
        for i, n in enumerate(SIZES)
    ]
    box = {"viewBox": f"0 0 {size[0]} {size[1]}", "width": size[0], "height": size[1], "font-family": "sans-serif"}
    return str(element("svg", body, *panels, *legend, xmlns="http://www.w3.org/2000/svg", **box))


def panel(
    of: dict[int, dict[str, Any]], key: str, corner: tuple[int, int], span: tuple[float, float], title: str
) -> list[str]:
    """Draw one panel: its frame, its ends, and the lines."""
    (left, top), (low, high) = corner, span
    last = max(of[SIZES[0]]["steps"])

    def place(steps: float, value: float) -> tuple[float, float]:
        return left + WIDTH * steps / last, top + HEIGHT * (1 - (value - low) / (high - low))

    def label(text: str, x: float, y: float, anchor: str) -> str:
        return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, fill="#333333", font_size=11)

    form = "{:.0%}" if key == "copies" else "{:.2f}"
    drawn = [element("rect", x=left, y=top, width=WIDTH, height=HEIGHT, fill="none", stroke="#999999")]
    drawn += [label(title, left, top - 8, "start"), label(form.format(high), left - 4, top + 8, "end")]
    drawn += [label(form.format(low), left - 4, top + HEIGHT, "end"), label("0", left, top + HEIGHT + 14, "middle")]
    drawn += [label(f"{last} steps", left + WIDTH, top + HEIGHT + 14, "end")]
    for n, each in of.items():
        points = " ".join("{:.1f},{:.1f}".format(*place(*pair)) for pair in zip(each["steps"], each[key], strict=True))
        drawn.append(element("polyline", points=points, fill="none", stroke=COLOURS[n], stroke_width=1.8))
        x, y = place(each["chosen"], each[key][each["steps"].index(each["chosen"])])
        drawn.append(
            element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=5, fill="#ffffff", stroke=COLOURS[n], stroke_width=2)
        )
    return drawn


def main() -> None:
    """Compute what is missing, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("small"))
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = [HEAD]
    if "steps" in arguments.only:
        study = load_study(STUDIES / f"small_sets_{STUDY}.toml")
        study = study.replace(data=study.data.replace(source=str(arguments.data / SOURCE)))
        lines += few_steps(collect(study, arguments.out / STUDY), Notes(arguments.out / "steps.json"))
    if "given" in arguments.only:
        lines += given_parts(arguments.data, arguments.out, Notes(arguments.out / "given.json"))
    if "memory" in arguments.only:
        lines += few_images(arguments.data, Notes(arguments.out / "memory.json"))
    if "larger" in arguments.only:
        lines.append(LARGER.format(network=NETWORK))
        for name, of in LARGER_ONES.items():
            lines += larger(name, of, arguments.data, arguments.out, Notes(arguments.out / f"{of.study}.json"))
    print("\n".join([*lines, setting()]))


if __name__ == "__main__":
    main()
