"""Real and drawn images side by side, each drawn one with the real training image nearest to it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from augury.images import ImageSet
from augury.study.outcome import ClassGallery, Gallery
from augury.study.run import Finished
from augury.study.steps import FitGenerator

SHOWN = 8  # images per class and kind
COMPARED = 500  # real images whose nearest neighbour is looked for, to say what is usual


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
        classes.append(class_gallery(train.classes[label], train.of_class(label).images, drawn))
    return Gallery(name, fit.generator.contains_training_images, tuple(classes))


def class_gallery(name: str, real: Tensor, drawn: Tensor) -> ClassGallery:
    """Build the gallery of one class.

    Args:
        name: The class.
        real: uint8 (R, C, H, W), all real training images of the class.
        drawn: uint8 (n, C, H, W).
    """
    distances = rms_distances(drawn, real)
    among = rms_distances(real[:COMPARED], real).fill_diagonal_(torch.inf)
    return ClassGallery(
        name=name,
        real=real[:SHOWN].numpy(),
        drawn=drawn.numpy(),
        nearest=real[distances.argmin(1)].numpy(),
        distances=distances.min(1).values.numpy().astype(np.float64),
        real_distance=float(among.min(1).values.median()) if len(real) > 1 else float("nan"),
    )


def rms_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the root mean squared pixel differences (A, B), 0..255, between two stacks of uint8 images."""
    flat_a, flat_b = a.flatten(1).float(), b.flatten(1).float()
    distances: Tensor = torch.cdist(flat_a, flat_b, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.div(flat_a.shape[1] ** 0.5)
