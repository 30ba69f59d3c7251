"""Small image sets, fits that are stopped, and a watch over what must not be touched: builders for many tests."""

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from augury.generators import Blend
from augury.images import ImageSet, real_set
from augury.seeds import generator_for
from augury.training import Run

Made = TypeVar("Made")
PARTS = ("train", "train", "val", "test")


def toy_images(
    classes: int = 2,
    channels: int = 1,
    size: tuple[int, int] = (8, 8),
    per_class: int | Sequence[int] = 12,
    seed: int = 0,
    groups: bool = False,
    parts: bool = False,
) -> ImageSet:
    """Return bright blobs on noise; each class has its own place, and its own colour if there are colours.

    `per_class` is one number, or one per class. A group holds two images of one class; every fourth image of
    a class is a validation image, every fourth a test image.
    """
    counts = (per_class,) * classes if isinstance(per_class, int) else tuple(per_class)
    rows = [(label, j) for label, count in enumerate(counts) for j in range(count)]
    generator = generator_for(seed, "toy images")
    return real_set(
        torch.stack([_blob(label / len(counts), channels, size, generator) for label, _ in rows]),
        torch.tensor([label for label, _ in rows]),
        [f"class {label}" for label in range(len(counts))],
        names=[f"{label}/{j}.png" for label, j in rows],
        groups=[f"patient {label}-{j // 2}" for label, j in rows] if groups else None,
        parts=[PARTS[j % 4] for _, j in rows] if parts else None,
    )


def _blob(turn: float, channels: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    H, W = size
    angle = 2 * math.pi * turn
    y = torch.linspace(-1, 1, H)[:, None] - 0.6 * math.sin(angle)
    x = torch.linspace(-1, 1, W)[None, :] - 0.6 * math.cos(angle)
    tint = torch.tensor([1 - 0.5 * abs(math.sin(angle / 2 + channel)) for channel in range(channels)])
    clean = 40 + 150 * tint[:, None, None] * torch.exp(-4 * (x**2 + y**2))
    noisy = clean + 12 * torch.randn(channels, H, W, generator=generator)
    return noisy.round().clamp(0, 255).to(torch.uint8)


def toy_pool(train: ImageSet, per_class: int = 6, seed: int = 0) -> ImageSet:
    """Return synthetic images of every class: blends, which have seen all of `train`."""
    return Blend().fit(train, Run(seed)).draw(per_class, seed=seed)


def joined(one: ImageSet, other: ImageSet) -> ImageSet:
    """Return the images of two sets of the same classes and size, all of them as real ones."""
    return real_set(
        torch.cat([one.images, other.images]),
        torch.cat([one.labels, other.labels]),
        one.classes,
        names=one.names + other.names,
        digests=one.digests + other.digests,
    )


def class_means(images: ImageSet) -> Tensor:
    """Return the mean image of each class: float (K, C, H, W)."""
    return torch.stack([images.of_class(label).images.float().mean(0) for label in range(len(images.classes))])


def nearest_class(images: ImageSet, centres: Tensor) -> Tensor:
    """Return the class whose centre each image is nearest to: (N,)."""
    return torch.cdist(images.images.float().flatten(1), centres.flatten(1)).argmin(1)


def contents(images: ImageSet) -> dict[str, Any]:
    """Return all that is in an image set, in a form that `==` compares."""
    values = {f.name: getattr(images, f.name) for f in dataclasses.fields(images)} | {"images": images.images[:]}
    return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in values.items()}


@contextmanager
def nothing_touched(*sets: ImageSet) -> Iterator[None]:
    """Fail when the block changes an image set or one of the global random generators."""
    before = _state(sets)
    yield
    assert _state(sets) == before


def _state(sets: Sequence[ImageSet]) -> list[Any]:
    legacy = np.random.get_state()  # noqa: NPY002  this is the generator that must stay as it is
    return [*map(contents, sets), torch.get_rng_state().tolist(), repr(legacy), random.getstate()]


def stop_at_half(done: int, in_all: int) -> None:
    """Stop a training as Ctrl-C does, in the middle."""
    if 2 * done >= in_all:
        raise KeyboardInterrupt


def stopped_and_continued(fit: Callable[[Run], Made], folder: Path, seed: int) -> Made:
    """Fit, stopped at half, then fit again from the checkpoint; check that the second fit did not start anew."""
    ran: list[int] = []
    with suppress(KeyboardInterrupt):
        fit(Run(seed, folder=folder, on_step=stop_at_half, checkpoint_seconds=0))
    continued = fit(Run(seed, folder=folder, on_step=lambda *step: ran.append(step), checkpoint_seconds=0))
    assert all(2 * done > in_all for done, in_all in ran)
    return continued
