"""Real and drawn images side by side, each drawn one with the real training image nearest to it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from augury.images import ImageSet
from augury.stored import StoredPixels, in_chunks
from augury.study.outcome import ClassGallery, Gallery
from augury.study.run import Finished
from augury.study.steps import FitGenerator

SHOWN = 8  # images per class and kind
COMPARED = 500  # real images whose nearest neighbour is looked for, to say what is usual
COMPARED_PIXELS = (
    COMPARED * 3 * 64 * 64
)  # of larger images they are fewer: it would take minutes, and a median needs few


def galleries(finished: Finished) -> tuple[Gallery, ...]:
    """Return one gallery per generator, from the first split that has its images, controls last."""
    made: dict[str, Gallery] = {}
    for cell in finished.laid.cells:
        if cell.arm.generator is not None and cell.arm.generator.name not in made and cell.fit.pool:
            fit = cell.fit.pool[0].fit
            if not finished.ran.missing(fit) and finished.laid.store.has(fit):
                train = finished.laid.images.take(cell.split.train)
                made[cell.arm.generator.name] = _gallery(finished, cell.arm.generator.name, fit, train)
    controls = {named.name for named in finished.laid.study.generators if named.recipe.control}
    return tuple(sorted(made.values(), key=lambda gallery: gallery.generator in controls))


def _gallery(finished: Finished, name: str, fit: FitGenerator, train: ImageSet) -> Gallery:
    sampler = finished.laid.store.get(fit)
    classes = []
    for label in range(len(train.classes)):
        drawn = sampler.draw_rows([label] * SHOWN, list(range(SHOWN)), seed=fit.seed).images
        classes.append(class_gallery(train.classes[label], train.of_class(label).images, drawn[:]))
    return Gallery(name, fit.generator.contains_training_images, tuple(classes))


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
