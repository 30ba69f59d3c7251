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
        distances: Kernel distance to the inner part by steps; empty where no snapshot was kept.
        chosen: The steps of the network that the study's images are drawn from.
        traversals: What single codes change, where the generator has such.
    """

    steps: int
    losses: dict[str, Curve]
    frames: dict[int, np.ndarray]
    rows: tuple[str, ...]
    distances: dict[int, float]
    chosen: int
    traversals: tuple[Traversal, ...] = ()


@dataclass(frozen=True, eq=False)
class Gallery:
    """Real and drawn images side by side, from the first split; and how the network was trained, if there is one."""

    generator: str
    contains_training_images: bool
    classes: tuple[ClassGallery, ...] = field(default=())
    training: Training | None = None
