"""What is shown of a generator: its images beside real ones, and what was seen of its training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class ClassGallery:
    """Images of one class: uint8 (n, C, H, W) each; `nearest[i]` is the real training image nearest to `drawn[i]`."""

    name: str
    real: np.ndarray
    drawn: np.ndarray
    nearest: np.ndarray
    distances: np.ndarray  # (n,) root mean squared pixel difference, 0..255
    real_distance: float  # median distance of a real image to its nearest other training image of the class


@dataclass(frozen=True, eq=False)
class Traversal:
    """Images of one class that differ in one code of their generator from column to column."""

    name: str  # of the class
    code: str
    images: np.ndarray  # uint8 (rows, columns, C, H, W)


@dataclass(frozen=True)
class Curve:
    """One loss of a training: means over equal stretches of the steps from `first` to `last`."""

    first: int
    last: int
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Training:
    """What was seen of the training of a generator's network.

    Attributes:
        steps: Steps of the whole training.
        losses: The curves of every player.
        frames: Images of the same seeds by steps done: uint8 (R, C, H, W).
        rows: The class of each of the R images.
        measured: What was measured of each network that was kept, by name and steps; empty where none was kept.
        learned: Log-loss on the inner part of a classifier trained on drawn images only, by weight of guidance.
        guidance: The weight that was chosen; None where there was no choice.
        chosen: The steps of the network that the study's images are drawn from.
        traversals: What single codes change, where the generator has such.
    """

    steps: int
    losses: dict[str, Curve]
    frames: dict[int, np.ndarray]
    rows: tuple[str, ...]
    measured: dict[str, dict[int, float]]
    chosen: int
    traversals: tuple[Traversal, ...] = ()
    learned: dict[float, float] = field(default_factory=dict)
    guidance: float | None = None


@dataclass(frozen=True, eq=False)
class ClosePairs:
    """The drawn images of one class that are nearest to a training image, which is `nearest[i]`: uint8 (n, C, H, W)."""

    name: str
    drawn: np.ndarray
    nearest: np.ndarray
    distances: np.ndarray  # (n,) ascending, in the space that the copying audit calls pixels: 0..2


@dataclass(frozen=True)
class Closest:
    """The closest pairs among the images that were audited in one split.

    Attributes:
        maker: The generator's name and its filters.
        threshold: The distance that nearly no held-out real image falls below (`copy_rate`).
        classes: The pairs of each class that images were drawn of.
    """

    maker: str
    threshold: float
    classes: tuple[ClosePairs, ...]


@dataclass(frozen=True, eq=False)
class SiftedClass:
    """Some drawn images of one class that filters kept, and some that they dropped: uint8 (n, C, H, W) each."""

    name: str
    kept: np.ndarray
    dropped: np.ndarray
    reasons: tuple[str, ...]  # of each dropped one, the filter that dropped it first


@dataclass(frozen=True)
class Sifted:
    """What some filters did to one generator's images in one split; `arms` are those that use these filters."""

    arms: tuple[str, ...]
    classes: tuple[SiftedClass, ...]


@dataclass(frozen=True, eq=False)
class Gallery:
    """What is shown of one generator, from the first split.

    Attributes:
        generator: Its name.
        contains_training_images: Whether a fitted model holds images it was fitted on.
        classes: Real and drawn images side by side.
        training: How its network was trained, if there is one.
        closest: The closest pairs of every audited pool.
        sifted: Kept and dropped images of every set of filters.
    """

    generator: str
    contains_training_images: bool
    classes: tuple[ClassGallery, ...] = ()
    training: Training | None = None
    closest: tuple[Closest, ...] = ()
    sifted: tuple[Sifted, ...] = ()
