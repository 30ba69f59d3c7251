"""What an audit looks at: three sets of images, each as rows of numbers in one or more spaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from augury.images import ImageSet

Rows = npt.NDArray[np.float64]
Rules = Mapping[str, Callable[[ImageSet], Rows]]


@dataclass(frozen=True, eq=False)
class Views:
    """Some images, and what they are in each space.

    Attributes:
        labels: int64 (N,).
        groups: N names of what belongs together.
        spaces: Space -> float64 (N, D).
    """

    labels: npt.NDArray[np.int64]
    groups: tuple[str, ...]
    spaces: dict[str, Rows]

    @classmethod
    def of(cls, images: ImageSet, rules: Rules) -> Self:
        """Look at some images in every space."""
        spaces = {name: np.asarray(rule(images), dtype=np.float64) for name, rule in rules.items()}
        return cls(images.labels.numpy(), images.group_names, spaces)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Views:
        """Return some of the images, by position or by mask."""
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        groups = tuple(self.groups[i] for i in places.tolist())
        return Views(self.labels[places], groups, {name: found[places] for name, found in self.spaces.items()})

    def of_class(self, label: int) -> Views:
        """Return the images of one class."""
        return self.take(self.labels == label)

    def one_per_group(self, seed: int) -> Views:
        """Return one image of each group, drawn by a seed: images of one patient are no independent witnesses."""
        order = np.random.default_rng(seed).permutation(len(self))
        first: dict[str, int] = {}
        for i in order.tolist():
            first.setdefault(self.groups[i], i)
        return self.take(np.array(sorted(first.values()), dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Parts:
    """The images that an audit compares.

    Attributes:
        classes: K class names.
        train: Real images that the generator saw.
        held_out: Real images that it did not see, of other groups.
        drawn: Its own images.
    """

    classes: Sequence[str]
    train: Views
    held_out: Views
    drawn: Views

    @property
    def shared_classes(self) -> list[int]:
        """Return the labels that drawn and held-out images have in common."""
        return sorted(set(self.drawn.labels.tolist()) & set(self.held_out.labels.tolist()))

    def of_class(self, label: int) -> Parts:
        """Return the images of one class."""
        return Parts(
            (self.classes[label],),
            *(part.of_class(label) for part in (self.train, self.held_out, self.drawn)),
        )
