"""What is seen of a generator: its images beside real ones, its training, its closest pairs, what filters dropped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from augury.curation import Curated, vectors_of
from augury.filters import PIXELS, Filter
from augury.generators.base import Card, Sampler
from augury.generators.neural import NetworkSampler
from augury.generators.superres import SuperResolutionSampler
from augury.images import ImageSet
from augury.metrics.copying import copy_rate, nearest
from augury.seeds import seed_for
from augury.stored import StoredPixels, in_chunks
from augury.study.audit_steps import HELD_OUT
from augury.study.audits import PlannedAudit
from augury.study.classifier_steps import images_of
from augury.study.curation_results import sources
from augury.study.exhibit import (
    ClassGallery,
    ClosePairs,
    Closest,
    Curve,
    Gallery,
    Sifted,
    SiftedClass,
    Training,
    Traversal,
)
from augury.study.grid import Cell
from augury.study.layout import Laid
from augury.study.run import Finished
from augury.study.steps import DrawImages, Step, chosen, join_chunks
from augury.study.watching import Choice

CLASSES_TRAVERSED, CODES_TRAVERSED = 2, 3  # a grid of each; more would fill pages
LONGEST = 12  # rows and columns of such a grid
SHOWN = 8  # images per class and kind
EXAMPLES = 6  # of a class that filters kept, and as many that they dropped
COMPARED = 500  # real images whose nearest neighbour is looked for, to say what is usual
COMPARED_PIXELS = (
    COMPARED * 3 * 64 * 64
)  # of larger images they are fewer: it would take minutes, and a median needs few


def galleries(finished: Finished) -> tuple[Gallery, ...]:
    """Return one gallery per generator, from the first split that has its images, controls last."""
    laid, made = finished.laid, dict[str, Gallery]()
    for cell in laid.cells:
        if cell.arm.generator is not None and cell.arm.generator.name not in made and cell.fit.chunks:
            chunk = cell.fit.chunks[0]
            if all(_is_there(finished, step) for step in (chunk.fit, chunk.choice) if step is not None):
                made[cell.arm.generator.name] = _gallery(
                    cell.arm.generator.name, chunk, laid.images.take(cell.split.train), laid.store.get
                )
    controls = {named.name for named in laid.study.generators if named.recipe.control}
    shown = [
        replace(gallery, closest=closest_pairs(finished, name), sifted=sifted(finished, name))
        for name, gallery in made.items()
    ]
    return tuple(sorted(shown, key=lambda gallery: gallery.generator in controls))


def _is_there(finished: Finished, step: Step) -> bool:
    return not finished.ran.missing(step) and finished.laid.store.has(step)


def _gallery(name: str, chunk: DrawImages, train: ImageSet, get: Callable[[Step], Any]) -> Gallery:
    sampler, fit = chosen(chunk, get), chunk.fit
    classes = []
    for label in range(len(train.classes)):
        drawn = sampler.draw_rows([label] * SHOWN, list(range(SHOWN)), seed=fit.seed).images
        classes.append(class_gallery(train.classes[label], train.of_class(label).images, drawn[:]))
    choice = get(chunk.choice) if chunk.choice is not None else None
    trained = training(sampler, choice, seed=fit.seed)
    return Gallery(name, fit.generator.contains_training_images, tuple(classes), trained)


def training(sampler: Sampler, choice: Choice | None = None, *, seed: int = 0) -> Training | None:
    """Return what was seen of the training of a sampler's network; None where no network was trained.

    Args:
        sampler: The sampler that images are drawn from.
        choice: Which of its snapshots that is, if any were kept.
        seed: Where the noise of traversals comes from.
    """
    trained = sampler.inner if isinstance(sampler, SuperResolutionSampler) else sampler
    if not isinstance(trained, NetworkSampler):
        return None
    classes, frames = trained.card.classes, trained.film.frames()
    steps = trained.recipe.total_steps(len(classes))
    return Training(
        steps=steps,
        losses={
            name: Curve(*trained.recipe.stretch(name, len(classes)), tuple(values))
            for name, values in trained.film.losses().items()
        },
        frames=frames,
        rows=tuple(classes[label] for label in trained.strip_labels.tolist()),
        measured={name: dict(sorted(of.items())) for name, of in choice.measured.items()} if choice is not None else {},
        chosen=choice.steps if choice is not None else steps,
        traversals=traversals(trained, seed) if isinstance(trained, Steered) else (),
        learned=choice.learned if choice is not None else {},
        guidance=choice.guidance if choice is not None else None,
    )


@runtime_checkable
class Steered(Protocol):
    """A sampler whose images can be steered by codes: its recipe names them as `code_names`."""

    card: Card
    recipe: Any

    def traverse(self, label: int, seed: int, *, code: str) -> Tensor:
        """Draw images that differ in one code from column to column: uint8 (rows, columns, C, H, W)."""
        ...


def traversals(sampler: Steered, seed: int) -> tuple[Traversal, ...]:
    """Return what the first codes change in the first classes."""
    found = []
    for label, name in enumerate(sampler.card.classes[:CLASSES_TRAVERSED]):
        for code in sampler.recipe.code_names[:CODES_TRAVERSED]:
            images = sampler.traverse(label, seed_for(seed, "image", label, 0), code=code)
            found.append(Traversal(name, code, images[:LONGEST, :LONGEST].numpy()))
    return tuple(found)


def class_gallery(name: str, real: Tensor | StoredPixels, drawn: Tensor) -> ClassGallery:
    """Build the gallery of one class.

    Args:
        name: The class.
        real: uint8 (R, C, H, W), on disk or not: all real training images of the class.
        drawn: uint8 (n, C, H, W).
    """
    distances = rms_distances(drawn, real)
    compared = max(SHOWN, min(COMPARED, COMPARED_PIXELS // real.shape[1:].numel()))
    among = rms_distances(real[:compared], real).fill_diagonal_(torch.inf)
    return ClassGallery(
        name=name,
        real=real[:SHOWN].numpy(),
        drawn=drawn.numpy(),
        nearest=real[distances.argmin(1)].numpy(),
        distances=distances.min(1).values.numpy().astype(np.float64),
        real_distance=float(among.min(1).values.median()) if len(real) > 1 else float("nan"),
    )


def rms_distances(a: Tensor, b: Tensor | StoredPixels) -> Tensor:
    """Return the root mean squared pixel differences (A, B), 0..255, between two stacks of uint8 images."""
    flat, start = a.flatten(1).float(), 0
    distances = torch.empty(len(a), len(b))  # small tensors made between large ones would keep their memory in pieces
    for chunk in in_chunks(b):
        others, stop = chunk.flatten(1).float(), start + len(chunk)
        distances[:, start:stop] = torch.cdist(flat, others, compute_mode="donot_use_mm_for_euclid_dist")
        start = stop
    return distances.div_(flat.shape[1] ** 0.5)


def closest_pairs(finished: Finished, generator: str) -> tuple[Closest, ...]:
    """Return the closest pairs of every audited pool of one generator, from the first split whose audit is there."""
    found: dict[str, Closest] = {}
    for planned in finished.laid.audits.makers:
        step = planned.copying
        if planned.generator != generator or step is None or planned.maker in found:
            continue
        if not all(_is_there(finished, each) for each in (step, *step.pool)):
            continue
        drawn = join_chunks([images_of(finished.laid.store.get(each)) for each in step.pool])
        if len(drawn):  # else filters left none
            found[planned.maker] = _closest(planned, drawn, finished.laid)
    return tuple(found.values())


def _closest(planned: PlannedAudit, drawn: ImageSet, laid: Laid) -> Closest:
    held_out = [i for part in HELD_OUT for i in getattr(planned.split, part)]
    train = laid.images.take(planned.split.train)
    ours, theirs, real = (vectors_of(each, PIXELS) for each in (drawn, train, laid.images.take(held_out)))
    distances, index = nearest(ours, theirs)
    threshold = copy_rate(distances, nearest(real, theirs)[0]).threshold
    labels, classes = drawn.labels.numpy(), []
    for label in np.unique(labels).tolist():
        places = np.flatnonzero(labels == label)
        rows = places[np.argsort(distances[places], kind="stable")[:SHOWN]]
        shown, beside = drawn.images[rows].numpy(), train.images[index[rows]].numpy()
        classes.append(ClosePairs(drawn.classes[label], shown, beside, distances[rows]))
    return Closest(planned.maker, threshold, tuple(classes))


def sifted(finished: Finished, generator: str) -> tuple[Sifted, ...]:
    """Return what each set of filters kept and dropped of one generator's images, from the first split that has it."""
    cells: dict[tuple[Filter, ...], list[Cell]] = defaultdict(list)
    for cell in finished.laid.cells:
        if cell.arm.filters and cell.arm.generator is not None and cell.arm.generator.name == generator:
            cells[cell.arm.filters].append(cell)
    found = []
    for alike in cells.values():
        arms = tuple(dict.fromkeys(cell.arm.name for cell in alike))
        steps = next((each for cell in alike if (each := _filtered(finished, cell))), ())
        if steps:
            found.append(Sifted(arms, _sifted([finished.laid.store.get(step) for step in steps])))
    return tuple(found)


def _filtered(finished: Finished, cell: Cell) -> tuple[Step, ...]:
    steps = sources(cell.fit.pool)
    return steps if all(_is_there(finished, step) for step in steps) else ()


def _sifted(chunks: Sequence[Curated]) -> tuple[SiftedClass, ...]:
    pool = join_chunks([chunk.pool for chunk in chunks])
    keep = np.concatenate([chunk.keep for chunk in chunks])
    reasons = [reason for chunk in chunks for reason in chunk.reasons]
    labels, classes = pool.labels.numpy(), []
    for label in np.unique(labels).tolist():
        kept = np.flatnonzero((labels == label) & keep)[:EXAMPLES]
        dropped = one_of_each(np.flatnonzero((labels == label) & ~keep).tolist(), reasons)[:EXAMPLES]
        why = tuple(reasons[i] for i in dropped)
        images = (pool.images[kept].numpy(), pool.images[np.array(dropped, dtype=np.int64)].numpy())
        classes.append(SiftedClass(pool.classes[label], *images, why))
    return tuple(classes)


def one_of_each(places: Sequence[int], reasons: Sequence[str]) -> list[int]:
    """Put places in such an order that each reason comes once before any comes twice.

    Example:
        >>> one_of_each([0, 1, 2, 3], ["far", "far", "copy", "far"])
        [0, 2, 1, 3]
    """
    seen: defaultdict[str, count[int]] = defaultdict(count)
    rounds = {place: next(seen[reasons[place]]) for place in places}
    return sorted(places, key=rounds.__getitem__)
