"""Selections: which images of a whole pool come first. A selection looks at all of a pool, whose size is fixed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, Field

from augury.errors import SettingsError
from augury.filters import Rows, known_space
from augury.images import ImageSet
from augury.settings import Recipe, nearest

JUDGE = "judge"


def _known(space: str) -> str:
    return space if space == JUDGE else known_space(space)


class Selection(Recipe, ABC):
    """A rule that puts the images of one class of a pool in order; the first ones are used.

    Attributes:
        summary: One line for `augury list`.
        exploratory: A person's choice: its arms are shown, and never decide anything.
    """

    summary: ClassVar[str]
    exploratory: ClassVar[bool] = False

    def measures_in(self) -> str:
        """Return where it measures distances: `judge`, `pixels` or a network with published weights; empty: nowhere."""
        return ""

    @abstractmethod
    def order(self, pool: ImageSet, vectors: Rows) -> list[int]:
        """Return positions in the pool, best first; what is not to be used is left out.

        Args:
            pool: M images of one class.
            vectors: (M, D) in the space that it names; (M, 0) if it names none.
        """


class Diverse(Selection):
    """Take the image in the middle, then always the one farthest from all that were taken (k-center, greedy).

    Reference: Gonzalez 1985, Clustering to minimize the maximum intercluster distance; Sener & Savarese 2018
    (arXiv 1708.00489), algorithm 1.

    Example:
        >>> import augury
        >>> rows = np.array([[0.0], [1.0], [9.0], [5.0]])
        >>> Diverse().order(augury.read("digits").take(range(4)), rows)
        [3, 0, 2, 1]
    """

    kind: ClassVar[str] = "diverse"
    summary: ClassVar[str] = "each next image is the one farthest from those taken before"
    space: Annotated[str, AfterValidator(_known)] = Field(
        default=JUDGE, description="judge, pixels, or a network with published weights"
    )

    def measures_in(self) -> str:
        """Return where it measures distances."""
        return self.space

    def order(self, pool: ImageSet, vectors: Rows) -> list[int]:
        """Return all positions, the most different first."""
        if not len(vectors):
            return []
        taken = [int(_distances(vectors, vectors.mean(axis=0)).argmin())]
        least = _distances(vectors, vectors[taken[0]])
        for _ in range(len(vectors) - 1):
            least[taken[-1]] = -1.0  # taken
            taken.append(int(least.argmax()))
            left = least >= 0
            least[left] = np.minimum(least[left], _distances(vectors[left], vectors[taken[-1]]))
        return taken


class Handpicked(Selection):
    """Take the images that a person has picked (`augury pick` writes the list): shown, and never chosen from."""

    kind: ClassVar[str] = "handpicked"
    summary: ClassVar[str] = "a person's list, as augury pick writes it; exploratory"
    exploratory: ClassVar[bool] = True
    picks: str = Field(description="the file; a path is relative to the study file")

    def identity(self) -> dict[str, object]:
        """Return what decides the order: the list counts by its content, not by its place.

        Raises:
            DataError: If there is no such file.
        """
        from augury.picking.picks import Picks

        Picks.load(Path(self.picks))  # says what is wrong with it
        return {**self.settings(), "picks": hashlib.sha256(Path(self.picks).read_bytes()).hexdigest()}

    def order(self, pool: ImageSet, vectors: Rows) -> list[int]:
        """Return the picked images' positions, in the order of the list."""
        from augury.picking.picks import Picks

        return Picks.load(Path(self.picks)).order(pool.digests)


SELECTIONS: dict[str, type[Selection]] = {rule.kind: rule for rule in (Diverse, Handpicked)}


def selection_from(value: Any) -> Selection:
    """Read a selection as a study file writes it: `"diverse"` or a table with `kind`.

    Raises:
        SettingsError: If there is no such selection, or a setting is missing or wrong.

    Example:
        >>> selection_from({"kind": "diverse", "space": "pixels"}).space
        'pixels'
    """
    if isinstance(value, Selection):
        return value
    table = dict(value) if isinstance(value, Mapping) else {"kind": value}
    kind = str(table.pop("kind", ""))
    if kind not in SELECTIONS:
        raise SettingsError(f"there is no selection {kind!r}{nearest(kind, list(SELECTIONS))}")
    return SELECTIONS[kind](**table)


def _distances(vectors: Rows, to: Rows) -> Rows:
    return np.asarray(np.linalg.norm(vectors - to, axis=1))
