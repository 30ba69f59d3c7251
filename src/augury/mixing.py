"""From real images, a pool and counts to a training set, and the order in which its images are shown.

All arms of a block see the real images in one seeded order; an arm whose batches hold a share q of
synthetic images walks through (1 - q) of it (PROTOCOL, Decisions 4).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Protocol

import torch
from pydantic import Field
from torch import Tensor

from augury.errors import DataError, SettingsError
from augury.images import ImageSet
from augury.seeds import generator_for
from augury.settings import Recipe
from augury.stored import StoredPixels, in_chunks, join, take
from augury.training import Batch, Draw, to_float

ON_DEVICE_BYTES = 2 * 1024**3  # a larger set stays where it is, and its batches travel one by one


def mix(train: ImageSet, pool: ImageSet | None, counts: Sequence[int]) -> ImageSet:
    """Join the real training images and the first `counts[k]` pool images of each class k.

    Args:
        train: Real images.
        pool: Synthetic images of the same classes and size; None when no count is above 0.
        counts: K non-negative integers.

    Returns:
        The real images first, in their order, then the synthetic ones by class.

    Raises:
        DataError: If the pool's classes or size differ, or it holds fewer images than asked for.
    """
    if pool is None or not any(counts):
        if any(counts):
            raise DataError(f"a pool was expected for {sum(counts)} synthetic images. Got none: draw one first.")
        return train
    if pool.classes != train.classes or pool.shape != train.shape:
        raise DataError(
            f"the pool must have the classes and the size of the real images, {train.classes} {train.shape}. "
            f"Got {pool.classes} {pool.shape}."
        )
    return _join(train, pool, _first_of_each(pool, counts))


def _first_of_each(pool: ImageSet, counts: Sequence[int]) -> Tensor:
    chosen = []
    for label, count in enumerate(counts):
        positions = torch.nonzero(pool.labels == label).flatten()
        if len(positions) < count:
            raise DataError(
                f"class {pool.classes[label]!r} needs {count} synthetic images. "
                f"The pool holds {len(positions)}: draw more."
            )
        chosen.append(positions[:count])
    return torch.cat(chosen)


def _join(train: ImageSet, pool: ImageSet, chosen: Tensor) -> ImageSet:
    names = tuple(pool.names[i] for i in chosen.tolist())
    rows = torch.cat([torch.arange(len(train)), len(train) + chosen])
    return replace(
        train,
        images=take(join([train.images, pool.images]), rows),  # taken last: of many images nothing is copied at all
        labels=torch.cat([train.labels, pool.labels[chosen]]),
        synthetic=torch.cat([train.synthetic, pool.synthetic[chosen]]),
        names=train.names + names,
        digests=train.digests + tuple(pool.digests[i] for i in chosen.tolist()),
        groups=None if train.groups is None else train.groups + names,
        parts=None,
        columns={},
        seen=train.seen | pool.seen,
    )


class Synthetic(Recipe):
    """How a classifier uses the synthetic images of its training set.

    Example:
        >>> Synthetic().batch_share([100], [25]), Synthetic().batch_share([100], [900])
        (0.2, 0.5)
        >>> Synthetic(share=1.0).batch_share([100], [25])
        1.0
    """

    kind: ClassVar[str] = "synthetic"
    max_share: float = Field(default=0.5, ge=0, le=1, description="greatest share of synthetic images per batch")
    share: float = Field(
        default=0.0, ge=0, le=1, description="their share per batch; 1: synthetic only; 0: as in the training set"
    )
    weight: float = Field(default=1.0, gt=0, le=1, description="weight of a synthetic image in the loss")
    real_last: float = Field(default=0.0, ge=0, lt=1, description="share of the steps, the last, with real images only")
    replaces: bool = Field(default=False, description="each takes the place of a real image of its class")
    smoothing: float = Field(default=0.0, ge=0, lt=1, description="label smoothing of synthetic images")

    def real_left(self, real: Sequence[int], synthetic: Sequence[int]) -> tuple[int, ...]:
        """Return how many real images of each class take part."""
        if not self.replaces:
            return tuple(real)
        return tuple(max(0, r - s) for r, s in zip(real, synthetic, strict=True))

    def batch_share(self, real: Sequence[int], synthetic: Sequence[int]) -> float:
        """Return the share of synthetic images per batch while they are shown, from counts per class."""
        drawn, left = sum(synthetic), sum(self.real_left(real, synthetic))
        if not drawn:
            return 0.0
        if not left:
            return 1.0
        return self.share or min(self.max_share, drawn / (left + drawn))

    def mean_share(self, real: Sequence[int], synthetic: Sequence[int]) -> float:
        """Return the share of synthetic images over the whole training."""
        return (1 - self.real_last) * self.batch_share(real, synthetic)


def class_shares(
    real: Sequence[int], synthetic: Sequence[int], use: Synthetic | None = None, sampled: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Return how often each class is shown, as shares that add up to 1, when synthetic images are mixed in.

    Args:
        real: Real images by class.
        synthetic: Synthetic images by class.
        use: How they are used.
        sampled: Shares at which real images are sampled; None: as they come.

    Example:
        >>> class_shares([90, 10], [0, 80])
        (0.5, 0.5)
    """
    use = use or Synthetic()
    left, share = use.real_left(real, synthetic), use.mean_share(real, synthetic)
    drawn, taken = max(1, sum(synthetic)), max(1, sum(left))
    natural = sampled if sampled is not None else [r / taken for r in left]
    return tuple(round((1 - share) * r + share * s / drawn, 6) for r, s in zip(natural, synthetic, strict=True))


class Rows(Protocol):
    """What batches are made of: pixels, or features of a network that is not trained."""

    def batch(self, index: Tensor) -> Batch:
        """Return the images at some positions."""
        ...


class Mixture:
    """The seeded order in which a classifier is shown a training set: a `Source` of batches.

    Real images come in random order, each once before any comes twice (`natural`), or with each class at a
    given share (`balanced`, or K shares). Synthetic images fill a fixed share of every batch.

    Args:
        training: What `mix` returned.
        seed: Seed of the order.
        sampling: `natural`, `balanced` or K class shares; of the real images.
        use: How synthetic images are used.
        steps: Optimiser steps of the whole training; needed for `use.real_last`.
        device: Where batches are needed.
        rows: What batches are made of; None: the pixels of the training set.
    """

    def __init__(
        self,
        training: ImageSet,
        *,
        seed: int,
        sampling: str | tuple[float, ...] = "natural",
        use: Synthetic | None = None,
        steps: int = 0,
        device: str = "cpu",
        rows: Rows | None = None,
    ) -> None:
        use = use or Synthetic()
        self.rows = rows or Pixels(training, device)
        self.seed = seed
        self.drawn = torch.nonzero(training.synthetic).flatten()
        real, synthetic = (_counts(training, part) for part in (~training.synthetic, training.synthetic))
        self.real = _left(training, use.real_left(real, synthetic), seed)
        if use.real_last and not len(self.real):
            raise DataError(
                "the last steps show real images only, and all of them were replaced. "
                "Set real_last = 0, or ask for fewer synthetic images."
            )
        self.share = use.batch_share(real, synthetic)
        self.mixed_steps = math.inf if not use.real_last else steps - round(steps * use.real_last)
        self.weights = _image_weights(training, self.real, sampling)
        self.counts = torch.tensor(use.real_left(real, synthetic)) + torch.tensor(synthetic)
        self.class_shares = torch.tensor(class_shares(real, synthetic, use, _sampled(training, self.real, sampling)))

    def at(self, step: int) -> Draw:
        """Return the draw of one step; it is to be called once, with the same n at every step."""
        return lambda n: self.rows.batch(self.index(step, n))

    def index(self, step: int, n: int) -> Tensor:
        """Return the positions of the n images of one step."""
        before, after = self._shown(step, n), self._shown(step + 1, n)
        synthetic = after - before
        parts = [self._real(step, step * n - before, n - synthetic)]
        if synthetic:
            parts.append(self.drawn[_walk(len(self.drawn), before, synthetic, self.seed, "synthetic order")])
        return torch.cat(parts)

    def _shown(self, steps: int, n: int) -> int:
        """Return how many synthetic images some first steps show."""
        return math.floor(min(steps, self.mixed_steps) * n * self.share)

    def _real(self, step: int, start: int, n: int) -> Tensor:
        if self.weights is None or not n:
            return self.real[_walk(len(self.real), start, n, self.seed, "real order")]
        generator = generator_for(self.seed, "weighted order", step)
        return self.real[torch.multinomial(self.weights, n, replacement=True, generator=generator)]

    def real_exposures(self, steps: int, batch: int) -> int:
        """Return how many real images, repeats counted, a training of some steps is shown."""
        return steps * batch - self._shown(steps, batch)


class Uniform:
    """Batches of a generator's training images: without repeats inside a batch, another order at every call."""

    def __init__(self, training: ImageSet, *, seed: int, device: str = "cpu") -> None:
        self.pixels = Pixels(training, device)
        self.n = len(training)
        self.seed = seed

    def at(self, step: int) -> Draw:
        """Return the draw of one step, to be called as often as the method needs."""
        calls = itertools.count()

        def draw(n: int) -> Batch:
            generator = generator_for(self.seed, "batch", step, next(calls))
            rounds = [torch.randperm(self.n, generator=generator) for _ in range(math.ceil(n / self.n))]
            return self.pixels.batch(torch.cat(rounds)[:n])

        return draw


class BySize:
    """Batches of a generator's training images, drawn with replacement, small classes more often than they come.

    A class of n images is shown in proportion to n^power: 0 shows all classes that have images alike, 1 would show them
    as they come.

    Args:
        training: The images.
        power: 0..1.
        seed: Seed of the batches.
        device: Where they are needed.
    """

    def __init__(self, training: ImageSet, *, power: float, seed: int, device: str = "cpu") -> None:
        self.pixels = Pixels(training, device)
        self.weights = torch.bincount(training.labels)[training.labels].double() ** (power - 1)
        self.seed = seed

    def at(self, step: int) -> Draw:
        """Return the draw of one step, to be called as often as the method needs."""
        calls = itertools.count()

        def draw(n: int) -> Batch:
            generator = generator_for(self.seed, "classes alike", step, next(calls))
            return self.pixels.batch(torch.multinomial(self.weights, n, replacement=True, generator=generator))

        return draw


class Pixels:
    """The images of a set as batches on a device; a set that fits into a GPU is moved there once."""

    def __init__(self, images: ImageSet, device: str) -> None:
        fits = images.images.numel() <= ON_DEVICE_BYTES
        self.home = device if fits else "cpu"
        self.device = device
        self.images = images.images if self.home == "cpu" else _moved(images.images, self.home)
        self.labels, self.synthetic = images.labels.to(self.home), images.synthetic.to(self.home)

    def batch(self, index: Tensor) -> Batch:
        """Return the images at some positions, as floats in -1..1."""
        rows = index.to(self.home)
        images, labels, synthetic = self.images[rows], self.labels[rows], self.synthetic[rows]
        return Batch(to_float(images.to(self.device)), labels.to(self.device), synthetic.to(self.device))


def _moved(images: Tensor | StoredPixels, device: str) -> Tensor:
    moved, start = torch.empty(images.shape, dtype=torch.uint8, device=device), 0
    for chunk in in_chunks(images):
        moved[start : start + len(chunk)] = chunk
        start += len(chunk)
    return moved


def _walk(n: int, start: int, count: int, seed: int, name: str) -> Tensor:
    """Return entries start..start+count of an endless row of shuffled rounds over n items."""
    rounds = range(start // n, (start + count - 1) // n + 1) if count else range(0)
    row = [torch.randperm(n, generator=generator_for(seed, name, r)) for r in rounds]
    return torch.cat(row)[start % n : start % n + count] if row else torch.empty(0, dtype=torch.int64)


def _counts(training: ImageSet, part: Tensor) -> list[int]:
    counts: list[int] = torch.bincount(training.labels[part], minlength=len(training.classes)).tolist()
    return counts


def _left(training: ImageSet, counts: Sequence[int], seed: int) -> Tensor:
    """Return the positions of the real images that take part, `counts[k]` of class k; the others were replaced."""
    real = torch.nonzero(~training.synthetic).flatten()
    if sum(counts) == len(real):
        return real
    shuffled = real[torch.randperm(len(real), generator=generator_for(seed, "replaced"))]
    rows = [shuffled[training.labels[shuffled] == k][:count] for k, count in enumerate(counts)]
    return torch.cat(rows).sort().values


def _sampled(training: ImageSet, real: Tensor, sampling: str | tuple[float, ...]) -> list[float] | None:
    """Return the class shares at which real images are sampled; None: as they come."""
    if sampling == "natural":
        return None
    counts = torch.bincount(training.labels[real], minlength=len(training.classes))
    if not isinstance(sampling, str) and len(sampling) != len(counts):
        raise SettingsError(f"'sampling' has {len(sampling)} class shares, and the images have {len(counts)} classes.")
    wanted = torch.ones(len(counts)) if isinstance(sampling, str) else torch.tensor(sampling)
    present = wanted.double() * (counts > 0)
    if not present.any():  # all were replaced
        return None
    shares: list[float] = (present / present.sum()).tolist()
    return shares


def _image_weights(training: ImageSet, real: Tensor, sampling: str | tuple[float, ...]) -> Tensor | None:
    shares = _sampled(training, real, sampling)
    if shares is None:
        return None
    labels = training.labels[real]
    counts = torch.bincount(labels, minlength=len(training.classes)).double()
    return (torch.tensor(shares, dtype=torch.float64) / counts.clamp(min=1))[labels]
