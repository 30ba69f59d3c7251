"""Compare generators on real images and print the page: `python docs/results/generators.py DATA [-o FOLDER]`.

DATA is a folder with breastmnist.npz, ham10000_200x150.zip and covid_ct_manifest.csv; a set that is not there is left
out. What is in FOLDER already is not done again. Grids of drawn images go beside this file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augury.classifiers import Predictor
from augury.classifiers.features import FeatureBank, FeatureMaker
from augury.files import write_whole
from augury.generators import Sampler
from augury.images import ImageSet
from augury.metrics.copying import copy_rate, nearest
from augury.metrics.fidelity import kid
from augury.models import slug
from augury.processes import cores
from augury.statistics import Interval, nadeau_bengio
from augury.study import Study, load_study, run
from augury.study.conclude import environment
from augury.study.grid import Cell
from augury.study.journal import read_history
from augury.study.run import Finished
from augury.study.steps import chosen
from augury.study.store import FolderStore

STUDIES = Path(__file__).parents[2] / "studies"
GRIDS = Path(__file__).parent / "generators"
SETS = {
    "breastmnist": "breastmnist.npz",
    "confirm": "breastmnist.npz",
    "ham10000": "ham10000_200x150.zip",
    "covid_ct": "covid_ct_manifest.csv",
    "s0": "ham10000_200x150.zip",
}
REPEATED = "confirm"  # kinds whose grids stand above already
COMMAND = "python docs/results/generators.py DATA -o generators > docs/results/generators.md"
SPACES = ("judge", "efficientnet_lite0")
MOST = 300  # real images of a part that distances are measured with; more would take minutes each
COLUMNS = 12  # of a grid
HEAD = f"""<!-- written by: {COMMAND} -->

# Generators on real images

Each generator is trained on the same training images, on one thread, for a declared number of steps, about one to two
minutes of processor time per fit (the minutes below are those of a machine that did other work, too). The defaults of
the kinds were found by short trainings on BreastMNIST, all of its images: its rows are no blind test of them.
HAM10000 and COVID-CT were not looked at before. Grids are kept of what was drawn, without real images, and not of kinds
that stay close to real images; the report of `augury run` shows them side by side.

KID: unbiased squared kernel distance (polynomial, degree 3) between as many drawn as held-out real images of
each class, in the features of the judge (`small_cnn`, trained on the real training images) and of a network
trained on photographs; lower is nearer, and it may be below zero. TSTR: the judge's recipe trained on drawn
images only, scored on held-out real ones. Copies: share of drawn images that are nearer to a training image
than 99 % of the held-out real images are; 1 % is expected of new images. Mean ± standard deviation over splits.
"""
REAL = "real images (training part)"


@dataclass(frozen=True)
class Measured:
    """One generator in one split.

    Attributes:
        kid: Unbiased squared kernel distance to the held-out real images, by feature space.
        copies: Share of images nearer to the training images than 1 % of the held-out real ones, pixels and features.
        balanced_accuracy: Of a classifier trained on its images only, on held-out real images.
        auroc: Likewise.
        fit_seconds: Wall seconds of the fit, on one thread; NaN where it was not seen.
        collapse: What the collapse detector said.
    """

    kid: dict[str, float]
    copies: tuple[float, float]
    balanced_accuracy: float
    auroc: float
    fit_seconds: float
    collapse: tuple[str, ...]


class Meter:
    """Measures the generators of one study; what was measured before is read from its folder.

    Args:
        finished: The study.
        folder: Its store.
    """

    def __init__(self, finished: Finished, folder: Path) -> None:
        self.finished, self.store = finished, finished.laid.store
        self.kept = folder / "measured.json"
        self.known = json.loads(self.kept.read_text(encoding="utf-8")) if self.kept.exists() else {}
        self.real = {cell.split: cell for cell in finished.laid.cells if cell.arm.name == "real"}
        self.photographs = FeatureMaker(network="efficientnet_lite0", weights="imagenet")

    def rows(self) -> dict[str, list[Measured]]:
        """Measure every generator in every split, and the training images themselves."""
        rows = {REAL: [self.of_real(cell) for cell in self.real.values()]}
        for cell in self.finished.laid.cells:
            if cell.arm.uses_generated:
                assert cell.arm.generator is not None
                rows.setdefault(cell.arm.generator.name, []).append(self.of_drawn(cell))
        return rows

    def of_real(self, cell: Cell) -> Measured:
        """Measure the training images: what the best generator could reach."""
        found = self.once(cell.fit.key, lambda: self.distances(cell, self.part(cell, cell.split.train)))
        return Measured(found["kid"], (np.nan, np.nan), *scores(self.finished, cell), np.nan, ())

    def of_drawn(self, cell: Cell) -> Measured:
        """Measure the images that one fitted generator draws: as many of each class as are held out."""
        first = cell.fit.pool[0]
        found = self.once(first.key, lambda: self.distances(cell, self.drawn(cell)))
        look = next(look for look in self.finished.laid.looks if look.fit == first.fit)
        seconds = fit_seconds(self.finished, first.fit.key)
        said = self.store.get(look).sentences()
        return Measured(found["kid"], tuple(found["copies"]), *scores(self.finished, cell), seconds, said)

    def once(self, key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Compute what is not known yet, and keep it."""
        if key not in self.known:
            self.known[key] = compute()
            write_whole(self.kept, json.dumps(self.known))
        return self.known[key]

    def distances(self, cell: Cell, images: ImageSet) -> dict[str, Any]:
        """Return kernel distances to the held-out images, and how many images are copies of training images."""
        judge = self.store.get(self.real[cell.split].fit)
        test, train = (self.part(cell, rows) for rows in (cell.split.test, cell.split.train))
        spaces = {name: [self.features(name, judge, each) for each in (images, test, train)] for name in SPACES}
        pixels = [each.images[:].flatten(1).numpy().astype(np.float64) for each in (images, test, train)]
        return {
            "kid": {name: kid(space[1], space[0]) for name, space in spaces.items()},
            "copies": [rate(*pixels), rate(*(each.astype(np.float64) for each in spaces[SPACES[1]]))],
        }

    def features(self, space: str, judge: Predictor, images: ImageSet) -> np.ndarray:
        """Return features under the judge, or under a network of photographs; those of real images are kept."""
        if space == SPACES[0]:
            return judge.features(images.images)
        if images.synthetic.any():
            return self.photographs.compute(images, "cpu").of(images)[:, 0]
        return self.bank.of(images)[:, 0]

    @cached_property
    def bank(self) -> FeatureBank:
        """Return the features of all real images that take part."""
        used = sorted({i for cell in self.real.values() for part in (cell.split.train, cell.split.test) for i in part})
        return self.photographs.compute(self.finished.laid.images.take(used), "cpu")

    def part(self, cell: Cell, rows: Sequence[int]) -> ImageSet:
        """Return some real images, at most MOST in the proportions of the classes."""
        images = self.finished.laid.images.take(rows)
        every = max(1.0, len(images) / MOST)
        return images.take(sorted({int(i * every) for i in range(int(len(images) / every))})) if every > 1 else images

    def drawn(self, cell: Cell) -> ImageSet:
        """Draw as many images of each class as are held out."""
        first = cell.fit.pool[0]
        counts = self.part(cell, cell.split.test).counts()
        labels = [label for label, count in enumerate(counts) for _ in range(count)]
        index = [i for count in counts for i in range(count)]
        return chosen(first, self.store.get).draw_rows(labels, index, seed=first.fit.seed)


def rate(drawn: np.ndarray, test: np.ndarray, train: np.ndarray) -> float:
    """Return the calibrated copy rate."""
    return copy_rate(nearest(drawn, train)[0], nearest(test, train)[0]).rate


def scores(finished: Finished, cell: Cell) -> tuple[float, float]:
    """Return balanced accuracy and AUROC on held-out real images."""
    item = next(item for item in finished.scored if item.cell is cell)
    return item.scores["balanced_accuracy"], item.scores["auroc"]


def fit_seconds(finished: Finished, key: str) -> float:
    """Return how long a fit took, from the run's journal."""
    assert isinstance(finished.laid.store, FolderStore)
    noted = read_history(finished.laid.store.root).steps.get(key)
    return noted.seconds if noted else np.nan


def table(rows: dict[str, list[Measured]]) -> list[str]:
    """Return one row per generator: means over the splits, and their standard deviation."""
    heads = ["generator", *(f"KID x 1000, {name}" for name in SPACES), "TSTR balanced accuracy", "TSTR AUROC"]
    heads += ["copies, pixels", "copies, features", "minutes per fit", "collapse seen"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, found in rows.items():
        cells = [spread([1000 * item.kid[space] for item in found], 1) for space in SPACES]
        cells += [spread([item.balanced_accuracy for item in found], 3), spread([item.auroc for item in found], 3)]
        copied = [mean([item.copies[i] for item in found]) for i in range(2)]
        cells += ["–" if np.isnan(value) else f"{value:.1%}" for value in copied]
        minutes = mean([item.fit_seconds for item in found]) / 60
        cells += ["–" if np.isnan(minutes) else f"{minutes:.1f}"]
        cells += ["–" if name == REAL else f"{sum(bool(item.collapse) for item in found)} of {len(found)}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def mean(values: list[float]) -> float:
    """Return the mean."""
    return float(np.mean(values))


def spread(values: list[float], digits: int) -> str:
    """Return mean and standard deviation."""
    return (
        f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
        if len(values) > 1
        else f"{values[0]:.{digits}f}"
    )


def versus(finished: Finished, rows: dict[str, list[Measured]]) -> list[str]:
    """Return the paired differences between each generator and the fully connected GAN."""
    block = finished.block(finished.laid.study.classifiers[0].name)
    lines = [
        "| minus `cgan` | KID x 1000, judge | KID x 1000, efficientnet_lite0 | TSTR balanced accuracy | TSTR AUROC |"
    ]
    lines.append("|---|---|---|---|---|")
    for name, found in rows.items():
        if name not in (REAL, "cgan"):
            pairs = list(zip(found, rows["cgan"], strict=True))
            cells = [[1000 * (a.kid[space] - b.kid[space]) for a, b in pairs] for space in SPACES]
            cells += [
                [a.balanced_accuracy - b.balanced_accuracy for a, b in pairs],
                [a.auroc - b.auroc for a, b in pairs],
            ]
            spans = [span(nadeau_bengio(values, block.ratio), 1 if i < 2 else 3) for i, values in enumerate(cells)]
            lines.append(f"| {name} | {' | '.join(spans)} |")
    return lines


def span(interval: Interval, digits: int) -> str:
    """Return a difference with its interval."""
    return f"{interval.mean:+.{digits}f} ({interval.low:+.{digits}f} to {interval.high:+.{digits}f})"


def grids(finished: Finished, folder: Path) -> list[str]:
    """Write one grid per generator, a row per class, from the first split; of those that draw new images only."""
    links, seen = [], set()
    copying = {maker.generator for maker in finished.outcome.audited.makers if maker.withheld}
    for cell in finished.laid.cells:
        named = cell.arm.generator
        if cell.arm.uses_generated and named is not None and named.name not in seen:
            seen.add(named.name)
            if named.recipe.near_copies or named.name in copying:
                continue  # data that may not be passed on could be recognised
            chunk, path = cell.fit.chunks[0], folder / f"{slug(named.name)}.png"
            grid(chosen(chunk, finished.laid.store.get), chunk.fit.seed, path)
            links.append(f'![{named.name}](generators/{folder.name}/{path.name} "{named.name}")')
    return links


def grid(sampler: Sampler, seed: int, path: Path) -> None:
    """Write a grid of drawn images, at least 56 pixels each."""
    classes = len(sampler.card.classes)
    pool = sampler.draw_rows(
        [k for k in range(classes) for _ in range(COLUMNS)], list(range(COLUMNS)) * classes, seed=seed
    )
    pixels = pool.images[:].permute(0, 2, 3, 1).numpy()
    H, W, C = pixels.shape[1:]
    rows = pixels.reshape(classes, COLUMNS, H, W, C).transpose(0, 2, 1, 3, 4).reshape(classes * H, COLUMNS * W, C)
    larger = max(1, round(56 / H))
    image = Image.fromarray(rows[..., 0] if C == 1 else rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * larger, image.height * larger), Image.Resampling.NEAREST).save(path, optimize=True)


def setting() -> str:
    """Return what the figures were computed with."""
    return "Environment: " + ", ".join(f"{name} {value}" for name, value in environment("cpu", 1).items()) + "."


def section(name: str, finished: Finished) -> list[str]:
    """Return what a page says of one study."""
    assert isinstance(finished.laid.store, FolderStore)
    rows = Meter(finished, finished.laid.store.root).rows()
    data, plan = finished.outcome.data, finished.outcome.plan
    counts = ", ".join(f"{label} {n}" for label, n in zip(data.classes, data.used_counts, strict=True))
    _, H, W = data.shape
    lines = [
        f"## {finished.outcome.title}",
        "",
        f"`studies/generators_{name}.toml`: {data.used} images ({counts}), {H} x {W} pixels, {plan.folds} folds x "
        f"{plan.repeats}, {plan.train_images:.0f} training and {plan.test_images:.0f} held-out images.",
        "",
        *table(rows),
        "",
    ]
    if "cgan" in rows:
        lines += [*versus(finished, rows), ""]
    steps = {named.name: named.recipe.settings().get("steps") for named in finished.laid.study.generators}
    lines += ["Steps: " + ", ".join(f"{kind} {n}" for kind, n in steps.items()) + ".", ""]
    for kind, found in rows.items():
        worst = max((item.collapse for item in found), key=len)
        lines += [f"- {kind}, in the worst split: {'; '.join(worst)}." for _ in worst[:1]]
    return [*lines, "", *([] if name == REPEATED else grids(finished, GRIDS / name)), ""]


def study_on(stem: str, data: Path) -> Study:
    """Return a study that finds its images in a folder."""
    study = load_study(STUDIES / f"{stem}.toml")
    return study.replace(data=study.data.replace(source=str(data / Path(study.data.source).name)))


def run_sets(
    folder: str, sets: dict[str, str], prefix: str, section: Callable[[str, Finished], list[str]]
) -> list[str]:
    """Run the studies of a page that have their data, as the command line says; return what the page says of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path(folder))
    parser.add_argument("--only", nargs="*", choices=sets, default=list(sets))
    arguments = parser.parse_args()
    lines = []
    for name in arguments.only:
        if (arguments.data / sets[name]).exists():
            study = load_study(STUDIES / f"{prefix}_{name}.toml")
            study = study.replace(data=study.data.replace(source=str(arguments.data / sets[name])))
            lines += section(name, run(study, arguments.out / name, jobs=cores(), force=True))
    return lines


if __name__ == "__main__":
    print("\n".join([HEAD, *run_sets("generators", SETS, "generators", section), setting()]))
