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
from augury.study.watching import RIGHT

DIVERSITY = (
    "Drawn images against the real training images of their class; 1 is as diverse as these. Spread: root mean squared "
    "distance to the mean image. Kinds: effective number of clusters of real images that the images lie in. Means over "
    f"the splits, in brackets the least. Collapsed: a spread below {LEAST_SPREAD:g} or kinds below "
    f"{LEAST_SHARE_OF_MODES:g}."
)
SNAPSHOTS = (
    "Kernel distance (KID, unbiased) of images drawn from each network to the real images of the inner part, in the "
    "features of a classifier that was trained on real images only. The test part was not opened. The study's images "
    "are drawn from the chosen network."
)


@dataclass(frozen=True)
class Snapshot:
    """One network of those that were kept."""

    steps: int
    distance: str
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
        traversals: What single codes change.
    """

    result: GeneratorResult
    steps: int
    losses: dict[str, Curve]
    right: Curve | None
    strip_steps: tuple[int, ...]
    strips: tuple[tuple[str, list[list[Picture]]], ...]
    snapshots: tuple[Snapshot, ...]
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


NOTHING = Training(steps=0, losses={}, frames={}, rows=(), distances={}, chosen=0)


def _watched(result: GeneratorResult, training: Training, *, hidden: bool) -> Watched:
    return Watched(
        result=result,
        steps=training.steps,
        losses={name: curve for name, curve in training.losses.items() if name != RIGHT},
        right=training.losses.get(RIGHT),
        strip_steps=() if hidden else tuple(training.frames),
        strips=() if hidden or not training.frames else _strips(training),
        snapshots=_snapshots(training.distances, training.chosen),
        traversals=() if hidden else tuple((each, mosaic(each.images)) for each in training.traversals),
    )


def _strips(training: Training) -> tuple[tuple[str, list[list[Picture]]], ...]:
    rows = [
        (name, [picture(images[i], SMALLEST) for images in training.frames.values()])
        for i, name in enumerate(training.rows)
    ]
    return tuple((name, [row for _, row in group]) for name, group in groupby(rows, key=lambda row: row[0]))


def _snapshots(distances: Mapping[int, float], chosen: int) -> tuple[Snapshot, ...]:
    return tuple(Snapshot(steps, f"{distance:.3g}", steps == chosen) for steps, distance in distances.items())


def verdict(result: GeneratorResult) -> str:
    """Say in how many splits the collapse detector fired."""
    if not result.looked:
        return "The diversity of its images was not looked at."
    splits = f"{result.looked} split{'' if result.looked == 1 else 's'}"
    if result.collapsed == 0:
        return f"The collapse detector did not fire in any of {splits}."
    where = "There it says" if result.collapsed == 1 else "In the worst of them it says"
    return f"The collapse detector fired in {result.collapsed} of {splits}. {where}:"


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
