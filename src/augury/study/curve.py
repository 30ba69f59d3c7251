"""How many: one study at several numbers of real images, read as a learning curve and as an exchange rate.

Every level keeps so many real images of each class, drawn in one order, so that smaller levels are subsets of larger
ones (whole groups are kept: groups of several images can break that). All levels are scored on the same images: the
given test part, or what no level kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augury.errors import DataError, SettingsError
from augury.generators.base import refuse_small
from augury.images import ImageSet
from augury.readers import Told
from augury.study.engine import Progress
from augury.study.grid import ArmPlan, Cell, arm_plans
from augury.study.layout import Laid, lay, read_images
from augury.study.run import make
from augury.study.steps import Part
from augury.study.store import Store, open_store
from augury.study.study import REAL, Study
from augury.training import choose_device

if TYPE_CHECKING:  # statistics take a second to load, and every worker process loads this module
    from augury.study.learning_curve import LearningCurve

KEPT = (10, 25, 50, 100)


def curve(
    study: Study,
    kept: Sequence[int] = KEPT,
    store: Path | None = None,
    *,
    jobs: int = 1,
    device: str = "auto",
    force: bool = False,
    progress: Progress | None = None,
) -> tuple[LearningCurve, ...]:
    """Run a study at several numbers of real images, and read what its synthetic images are worth in real ones.

    Args:
        study: A study with an arm that uses generated images; its `split.per_class` is set level by level.
        kept: 2 or more levels: real images kept of each class that `split.keep` does not name.
        store: Folder that keeps every step of all levels; None keeps them in memory until the call returns.
        jobs: Processes; more than one needs a store, and a script that guards its call: `if __name__ == "__main__":`.
        device: `auto`, `cpu` or `cuda`.
        force: Whether to go on where a class is too small for a generator.
        progress: Told of what happens.

    Returns:
        One learning curve per classifier.

    Raises:
        AuguryError: If the request is wrong, or too little has a result.

    Example:
        >>> import augury
        >>> (found,) = augury.study.curve(augury.study.toy(), kept=(16, 32))
        >>> found.sentences[0][:66]
        'With 8 real images per class (16 kept), 6 synthetic ones per class'
    """
    where = choose_device(device)
    with open_store(store, where) as opened:
        laid = lay_levels(study, kept, opened, force=force)
        return make_curves(laid, jobs=jobs, device=where, progress=progress)


def lay_levels(
    study: Study, kept: Sequence[int], store: Store, told: Told | None = None, *, force: bool = False
) -> tuple[Laid, ...]:
    """Lay out a study at every level, ascending: the images are read once, nothing is trained.

    Raises:
        SettingsError: If there are too few levels, or no arm adds generated images.
        DataError: If a level cannot be cut from the images, or leaves nothing to score on; if a class is too small
            for a generator, and `force` is not set.
    """
    levels = sorted(set(kept))
    if len(levels) < 2 or levels[0] < 1:
        raise SettingsError(f"a curve needs 2 or more different levels of at least 1 image. Got {list(kept)}.")
    if not any(arm.uses_generated and arm.chosen_from for arm in arm_plans(study)):
        raise SettingsError("a curve compares with and without generated images. Got no arm with a generator: add one.")
    given = study.split.plan == "given"
    read, prepared = read_images(
        study.data, store, given_split=given, as_is="given_split_as_is" in study.flaws, told=told
    )
    _check_enough(study, prepared.cleaned.images, levels[-1])
    laid = []
    for level in levels:
        try:
            laid.append(lay(study.replace(split=study.split.replace(per_class=level)), read, prepared, store))
        except DataError as error:
            raise DataError(f"with {level} images kept per class: {error}") from None
    _check_levels(laid)
    for each in laid:
        refuse_small(each.too_small(), force=force)
    return tuple(laid)


def make_curves(
    laid: Sequence[Laid], *, jobs: int = 1, device: str = "cpu", progress: Progress | None = None
) -> tuple[LearningCurve, ...]:
    """Make what laid out levels miss, and read their curves, one per classifier.

    Raises:
        StepDiedError: If no split has a result of every arm at every level.
    """
    from augury.study.learning_curve import learning_curve

    levels = [make(each, jobs=jobs, device=device, force=True, progress=progress) for each in laid]
    return tuple(learning_curve(levels, named.name) for named in laid[0].study.classifiers)


def adding(laid: Laid) -> list[ArmPlan]:
    """Return the arms to choose from that add at least one generated image."""
    found = {cell.arm.name for cell in laid.cells if any(cell.counts)}
    return [arm for arm in arm_plans(laid.study) if arm.uses_generated and arm.chosen_from and arm.name in found]


def followers(laid: Laid) -> list[int]:
    """Return the classes that follow the levels: those that `split.keep` does not name."""
    named = dict(laid.study.split.keep)
    return [k for k, name in enumerate(laid.images.classes) if name not in named]


def size_of(laid: Laid) -> float:
    """Return the real images per class that are learned from: means over splits and over the classes that follow."""
    labels, classes = laid.images.labels.numpy(), len(laid.images.classes)
    counts = [np.bincount(labels[list(_learned(laid, cell))], minlength=classes) for cell in _real_cells(laid)]
    return float(np.mean(counts, axis=0)[followers(laid)].mean())


def nested(laid: Sequence[Laid]) -> bool:
    """Tell whether the images of each level are among those of the next."""
    kept = [{i for cell in _real_cells(each) for i in _learned(each, cell)} for each in laid]
    return all(small <= large for small, large in pairwise(kept))


def scored_part(laid: Laid) -> Part:
    """Return the part that all levels have in common: the given test part, or what the scarce subsets left out."""
    return "test" if laid.study.split.plan == "given" else "rest"


def shared_images(laid: Sequence[Laid]) -> tuple[int, ...]:
    """Return the positions of the images that all levels are scored on."""
    parts = [set(each.cells[0].split.part(scored_part(each))) for each in laid]
    return tuple(sorted(set.intersection(*parts)))


def _real_cells(laid: Laid) -> list[Cell]:
    """Return one cell per split."""
    first = laid.study.classifiers[0].name
    return [cell for cell in laid.cells if cell.classifier == first and cell.arm.name == REAL]


def _learned(laid: Laid, cell: Cell) -> tuple[int, ...]:
    """Return what a level gives a split to learn from; a given validation part is the same at all levels."""
    own = laid.study.split.plan == "folds" or "val" not in (laid.images.parts or ())
    return cell.split.train + (cell.split.val if own else ())


def _check_enough(study: Study, images: ImageSet, most: int) -> None:
    parts = images.parts or ()
    if study.split.plan == "given" and parts:
        images = images.take([i for i, part in enumerate(parts) if part == "train"])
    named = dict(study.split.keep)
    counts = {name: n for name, n in zip(images.classes, images.counts(), strict=True) if name not in named}
    if not counts:
        raise SettingsError(
            "[split] keep names every class: no class is left that the levels could change. Name fewer."
        )
    name = min(counts, key=lambda name: counts[name])
    if counts[name] < most:
        raise DataError(
            f"level {most} keeps {most} images of every class. Class {name!r} has {counts[name]}: keep no more, or "
            "name it in [split] keep, with a number that is the same at all levels."
        )


def _check_levels(laid: Sequence[Laid]) -> None:
    images, sizes = laid[0].images, [size_of(each) for each in laid]
    if min(np.diff(sizes)) <= 0:
        named = ", ".join(f"{each.study.split.per_class}: {size:g}" for each, size in zip(laid, sizes, strict=True))
        raise DataError(f"each level must have more images per class to learn from. Got {named}. Take wider steps.")
    for each in laid:
        if not adding(each):
            raise SettingsError(
                f"with {each.study.split.per_class} images kept per class no arm adds a generated one: classes of one "
                "size leave 'balance' nothing to fill up. Use an amount such as 'ratio 1' or 'add 50'."
            )
    counts = images.take(shared_images(laid)).counts()
    missing = [name for name, count in zip(images.classes, counts, strict=True) if not count]
    if missing:
        raise DataError(
            f"all levels are scored on images that none of them keeps. Of class {missing[0]!r} none is left: keep "
            "fewer, or use plan = 'given' with a test part."
        )
