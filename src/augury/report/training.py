"""How each generator was trained, and whether it has collapsed: pictures, curves and fixed sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from augury.collapse import LEAST_SHARE_OF_MODES, LEAST_SPREAD
from augury.generators.infogan import DISCRETE
from augury.report.findings import plain
from augury.report.pictures import SMALLEST, Picture, mosaic, picture
from augury.study.exhibit import Curve, Gallery, Training, Traversal
from augury.study.outcome import GeneratorResult
from augury.study.watching import COPIES, DISTANCE, LOSS, RIGHT

DIVERSITY = (
    "Drawn images against the real training images of their class; 1 is as diverse as these. Spread: root mean squared "
    "distance to the mean image. Kinds: effective number of clusters of real images that the images lie in. Means over "
    f"the splits, in brackets the least. Collapsed: a spread below {LEAST_SPREAD:g} or kinds below "
    f"{LEAST_SHARE_OF_MODES:g}."
)
SNAPSHOTS = {
    DISTANCE: "Kernel distance (KID, unbiased) of images drawn from each network to the real images of the inner part, "
    "in the features of a classifier that was trained on real images only.",
    LOSS: "The network's own loss on the real images of the inner part, which it did not see: where it rises again, "
    "the network learns its training images by heart.",
    COPIES: "Share of drawn images that are nearer to a training image, in pixels, than 99 % of the inner part's "
    "images are. The least loss is chosen among networks that do not copy more often than chance would.",
}
GUIDANCE = (
    "Log-loss on the real images of the inner part, each class weighing alike, of a classifier trained on drawn images "
    "only; 1 is no guidance. The test part was not opened."
)
CHOSEN = "The test part was not opened. The study's images are drawn from the chosen network."


@dataclass(frozen=True)
class Snapshot:
    """One network of those that were kept, and what was measured of it."""

    steps: int
    measured: tuple[str, ...]
    chosen: bool


@dataclass(frozen=True)
class Weighed:
    """One weight of guidance, and how well a classifier learns from what it draws."""

    weight: str
    loss: str
    chosen: bool


@dataclass(frozen=True)
class Watched:
    """One generator's part of the page; what is not there, or may not be shown, is empty.

    Attributes:
        result: What is told of it over all splits.
        steps: Steps of the training that is shown, of the first split.
        losses: Curves of its players.
        right: Curve of the share of images that its discriminator told apart.
        strip_steps: The steps after which images were drawn.
        strips: Images of the same seeds after these steps, a row for each seed, by class.
        snapshots: The networks that were kept.
        chosen: The steps of the one that is drawn from.
        measures: What was measured of them.
        measured: The same as curves over the training, where there are two networks or more.
        learned: The weights of guidance that were to choose from.
        traversals: What single codes change.
    """

    result: GeneratorResult
    steps: int
    losses: dict[str, Curve]
    right: Curve | None
    strip_steps: tuple[int, ...]
    strips: tuple[tuple[str, list[list[Picture]]], ...]
    snapshots: tuple[Snapshot, ...]
    chosen: int
    measures: tuple[str, ...]
    measured: dict[str, Curve]
    learned: tuple[Weighed, ...]
    traversals: tuple[tuple[Traversal, Picture], ...]


def watched(
    generators: Sequence[GeneratorResult], galleries: Sequence[Gallery], hidden: Set[str]
) -> tuple[Watched, ...]:
    """Return the parts of all generators that trained a network, or whose diversity was looked at.

    Args:
        generators: What is told of each generator.
        galleries: What is shown of each.
        hidden: Generators whose images may not be shown.
    """
    seen = {gallery.generator: gallery for gallery in galleries}
    parts = []
    for result in generators:
        gallery = seen.get(result.name)
        training = gallery.training if gallery is not None else None
        if training is not None or result.looked:
            parts.append(_watched(result, training or NOTHING, hidden=result.name in hidden))
    return tuple(parts)


NOTHING = Training(steps=0, losses={}, frames={}, rows=(), measured={}, chosen=0)


def _watched(result: GeneratorResult, training: Training, *, hidden: bool) -> Watched:
    return Watched(
        result=result,
        steps=training.steps,
        losses={name: curve for name, curve in training.losses.items() if name != RIGHT},
        right=training.losses.get(RIGHT),
        strip_steps=() if hidden else tuple(training.frames),
        strips=() if hidden or not training.frames else _strips(training),
        snapshots=_snapshots(training),
        chosen=training.chosen,
        measures=tuple(training.measured),
        measured={name: _curve(of) for name, of in training.measured.items() if len(of) > 1},
        learned=tuple(
            Weighed(f"{weight:g}", f"{loss:.3g}", weight == training.guidance)
            for weight, loss in training.learned.items()
        ),
        traversals=() if hidden else tuple((each, mosaic(each.images)) for each in training.traversals),
    )


def _strips(training: Training) -> tuple[tuple[str, list[list[Picture]]], ...]:
    rows = [
        (name, [picture(images[i], SMALLEST) for images in training.frames.values()])
        for i, name in enumerate(training.rows)
    ]
    return tuple((name, [row for _, row in group]) for name, group in groupby(rows, key=lambda row: row[0]))


def _snapshots(training: Training) -> tuple[Snapshot, ...]:
    kept = sorted({steps for of in training.measured.values() for steps in of})
    return tuple(
        Snapshot(steps, tuple(_written(name, of[steps]) for name, of in training.measured.items()), chosen)
        for steps in kept
        for chosen in (steps == training.chosen,)
    )


def _written(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name == COPIES else f"{value:.3g}"


def _curve(of: Mapping[int, float]) -> Curve:
    """Return a curve through values at equal distances."""
    steps = list(of)
    half = (steps[-1] - steps[0]) / (2 * (len(steps) - 1))
    return Curve(round(steps[0] - half), round(steps[-1] + half), tuple(of.values()))


def verdict(result: GeneratorResult) -> str:
    """Say in how many splits the collapse detector fired."""
    if not result.looked:
        return "The diversity of its images was not looked at."
    none, some = f"any of {result.looked} splits", f"{result.collapsed} of {result.looked} splits"
    if result.looked == 1:
        none = some = "the only split"
    if result.collapsed == 0:
        return f"The collapse detector did not fire in {none}."
    where = "There it says" if result.collapsed == 1 else "In the worst of them it says"
    return f"The collapse detector fired in {some}. {where}:"


def ratio(mean: float | None, least: float | None) -> str:
    """Write a share of the real diversity and the least one among the splits.

    >>> ratio(0.914, 0.87), ratio(None, None)
    ('0.91 (0.87)', '–')
    """
    return plain(mean, 2) if mean is None or least is None else f"{plain(mean, 2)} ({plain(least, 2)})"


def traversed(item: Traversal) -> str:
    """Say what the columns and rows of a traversal are.

    >>> import numpy as np
    >>> traversed(Traversal("a", "continuous 1", np.zeros((1, 9, 1, 8, 8), dtype=np.uint8)))
    'columns: continuous 1, from -1 to 1; rows: values of the discrete code'
    """
    if item.code == DISCRETE:
        return "columns: values of the discrete code; rows: seeds"
    return f"columns: {item.code}, from -1 to 1; rows: values of the discrete code"
