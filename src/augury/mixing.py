"""From real images, a pool and counts to a training set, and the order in which its images are shown.

All arms of a block see the real images in one seeded order; an arm whose batches hold a share q of
synthetic images walks through (1 - q) of it (PROTOCOL, Decisions 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from augury.errors import DataError, SettingsError
from augury.images import ImageSet
from augury.seeds import generator_for
from augury.stored import StoredPixels, in_chunks, join, take
from augury.training import Batch, Draw, to_float

DEFAULT_MAX_SHARE = 0.5
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


def synthetic_share(real: int, synthetic: int, max_share: float = DEFAULT_MAX_SHARE) -> float:
    """Return the share of synthetic images per batch: their share of the training set, at most `max_share`.

    Example:
        >>> synthetic_share(100, 25), synthetic_share(100, 900)
        (0.2, 0.5)
    """
    return min(max_share, synthetic / (real + synthetic)) if synthetic else 0.0


def class_shares(
    real: Sequence[int], synthetic: Sequence[int], max_share: float = DEFAULT_MAX_SHARE
) -> tuple[float, ...]:
    """Return how often each class is shown, as shares that add up to 1, when synthetic images are mixed in.

    Example:
        >>> class_shares([90, 10], [0, 80])
        (0.5, 0.5)
    """
    share = synthetic_share(sum(real), sum(synthetic), max_share)
    drawn = max(1, sum(synthetic))
    return tuple(
        round((1 - share) * r / sum(real) + share * s / drawn, 6) for r, s in zip(real, synthetic, strict=True)
    )


class Mixture:
    """The seeded order in which a classifier is shown a training set: a `Source` of batches.

    Real images come in random order, each once before any comes twice (`natural`), or with each class at a
    given share (`balanced`, or K shares). Synthetic images fill a fixed share of every batch.

    Args:
        training: What `mix` returned.
        seed: Seed of the order.
        sampling: `natural`, `balanced` or K class shares; of the real images.
        max_share: Greatest share of synthetic images per batch.
        device: Where batches are needed.
    """

    def __init__(
        self,
        training: ImageSet,
        *,
        seed: int,
        sampling: str | tuple[float, ...] = "natural",
        max_share: float = DEFAULT_MAX_SHARE,
        device: str = "cpu",
    ) -> None:
        self.pixels = Pixels(training, device)
        self.seed = seed
        self.real = torch.nonzero(~training.synthetic).flatten()
        self.drawn = torch.nonzero(training.synthetic).flatten()
        self.share = synthetic_share(len(self.real), len(self.drawn), max_share)
        self.weights = _image_weights(training, self.real, sampling)

    def at(self, step: int) -> Draw:
        """Return the draw of one step; it is to be called once, with the same n at every step."""
        return lambda n: self.pixels.batch(self.index(step, n))

    def index(self, step: int, n: int) -> Tensor:
        """Return the positions of the n images of one step."""
        before, after = math.floor(step * n * self.share), math.floor((step + 1) * n * self.share)
        synthetic = after - before
        parts = [self._real(step, step * n - before, n - synthetic)]
        if synthetic:
            parts.append(self.drawn[_walk(len(self.drawn), before, synthetic, self.seed, "synthetic order")])
        return torch.cat(parts)

    def _real(self, step: int, start: int, n: int) -> Tensor:
        if self.weights is None:
            return self.real[_walk(len(self.real), start, n, self.seed, "real order")]
        generator = generator_for(self.seed, "weighted order", step)
        return self.real[torch.multinomial(self.weights, n, replacement=True, generator=generator)]

    def real_exposures(self, steps: int, batch: int) -> int:
        """Return how many real images, repeats counted, a training of some steps is shown."""
        return steps * batch - math.floor(steps * batch * self.share)


class Uniform:
    """Batches of a generator's training images: without repeats inside a batch, another order at every call."""

    def __init__(self, training: ImageSet, *, seed: int, device: str = "cpu") -> None:
        self.pixels = Pixels(training, device)
        self.n = len(training)
        self.seed = seed

    def at(self, step: int) -> Draw:
        """Return the draw of one step, to be called as often as the method needs."""
        calls = iter(range(1_000_000))

        def draw(n: int) -> Batch:
            generator = generator_for(self.seed, "batch", step, next(calls))
            rounds = [torch.randperm(self.n, generator=generator) for _ in range(math.ceil(n / self.n))]
            return self.pixels.batch(torch.cat(rounds)[:n])

        return draw


class Pixels:
    """The images of a set as batches on a device; a set that fits into a GPU is moved there once."""

    def __init__(self, images: ImageSet, device: str) -> None:
        fits = images.images.numel() <= ON_DEVICE_BYTES
        self.home = device if fits else "cpu"
        self.device = device
        self.images = images.images if self.home == "cpu" else _moved(images.images, self.home)
        self.labels = images.labels.to(self.home)

    def batch(self, index: Tensor) -> Batch:
        """Return the images at some positions, as floats in -1..1."""
        rows = index.to(self.home)
        return Batch(to_float(self.images[rows].to(self.device)), self.labels[rows].to(self.device))


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


def _image_weights(training: ImageSet, real: Tensor, sampling: str | tuple[float, ...]) -> Tensor | None:
    if sampling == "natural":
        return None
    labels = training.labels[real]
    counts = torch.bincount(labels, minlength=len(training.classes)).double()
    even = isinstance(sampling, str)
    if not even and len(sampling) != len(counts):
        raise SettingsError(f"'sampling' has {len(sampling)} class shares, and the images have {len(counts)} classes.")
    shares = (counts > 0).double() if even else torch.tensor(sampling, dtype=torch.float64)
    return (shares / counts.clamp(min=1))[labels]
