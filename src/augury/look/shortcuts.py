"""Shortcuts: what gives a class away without the picture being looked at.

A model that learns the file format, the size or the margin of an image scores well on images of the same origin and
fails on others (Geirhos et al. 2020, arXiv 2004.07780; DeGrave et al. 2021, doi:10.1038/s42256-021-00338-7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from augury.readers import Facts, Reading

FOLDS, DEPTH = 5, 3
MARGIN = 0.1  # of the way from chance to certainty; beyond it a property is called a shortcut
RING = 2  # pixels of a thumbnail that count as its border
WORDS = {
    "format": "the file format",
    "mode": "the mode (grey, colour, palette, ...)",
    "size": "the size and shape",
    "border": "the brightness of the border",
}

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """How well one property alone tells the classes apart.

    Attributes:
        property: `format`, `mode`, `size` or `border`.
        score: Balanced accuracy of a small decision tree that sees nothing else, on images that it was not fitted on.
        chance: What guessing scores: 1 / K.
        low: Lower end of the score's 95 % interval (binomial, by class).
        gives_away: Whether that end lies clearly above chance.
        by_class: For each class its most frequent value, in words.
    """

    property: str
    score: float
    chance: float
    low: float
    gives_away: bool
    by_class: tuple[str, ...]

    def told(self, classes: Sequence[str]) -> str:
        """Say how well it tells K classes apart, and what it is in each."""
        each = "; ".join(f"{name}: {own}" for name, own in zip(classes, self.by_class, strict=True))
        return (
            f"{WORDS[self.property]} alone tells the classes apart with a balanced accuracy of {self.score:.2f} "
            f"(chance {self.chance:.2f}): {each}"
        )


def find_shortcuts(reading: Reading) -> tuple[Shortcut, ...]:
    """Score every property that differs among some images.

    Args:
        reading: N images with their facts and thumbnails.

    Returns:
        The properties that take more than one value, best first.
    """
    labels = reading.images.labels.numpy()
    counts = np.bincount(labels, minlength=len(reading.images.classes))
    if counts.min() < FOLDS or len(set(reading.images.group_names)) < FOLDS:
        return ()  # too few images of a class, or too few groups, to tell
    tables = {"format": _one_hot([facts.format for facts in reading.facts]), "mode": _one_hot(_modes(reading.facts))}
    tables |= {"size": _sizes(reading.facts), "border": _borders(reading.thumbnails)}
    found = [_scored(name, table, reading) for name, table in tables.items() if len(np.unique(table, axis=0)) > 1]
    return tuple(sorted(found, key=lambda shortcut: -shortcut.score))


def _scored(name: str, table: Table, reading: Reading) -> Shortcut:
    labels = reading.images.labels.numpy()
    _, groups = np.unique(np.array(reading.images.group_names), return_inverse=True)
    tree: Any = DecisionTreeClassifier(max_depth=DEPTH, class_weight="balanced", random_state=0)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    guesses = cross_val_predict(tree, table, labels, groups=groups, cv=folds)
    K = len(reading.images.classes)
    recalls = np.array([(guesses[labels == k] == k).mean() for k in range(K)])
    counts = np.bincount(labels, minlength=K)
    error = math.sqrt(float((recalls * (1 - recalls) / counts).sum())) / K
    score, chance = float(recalls.mean()), 1 / K
    low = score - 1.96 * error
    by_class = tuple(_typical(name, reading, k) for k in range(K))
    return Shortcut(name, score, chance, low, low > chance + MARGIN * (1 - chance), by_class)


def _modes(facts: Sequence[Facts]) -> list[str]:
    return [item.mode for item in facts]


def _one_hot(values: Sequence[str]) -> Table:
    known = sorted(set(values))
    return np.array([[value == name for name in known] for value in values], dtype=np.float64)


def _sizes(facts: Sequence[Facts]) -> Table:
    return np.array([[item.height, item.width, item.width / item.height] for item in facts], dtype=np.float64)


def _borders(thumbnails: npt.NDArray[np.uint8]) -> Table:
    """Return mean and spread of the outer ring of each thumbnail."""
    ring = np.ones(thumbnails.shape[1:], dtype=bool)
    ring[RING:-RING, RING:-RING] = False
    pixels = thumbnails[:, ring].astype(np.float64)
    return np.stack([pixels.mean(axis=1), pixels.std(axis=1)], axis=1)


def _typical(name: str, reading: Reading, label: int) -> str:
    rows = np.flatnonzero(reading.images.labels.numpy() == label)
    if name == "border":
        return f"mean {np.median(_borders(reading.thumbnails[rows])[:, 0]):.0f}"
    facts = [reading.facts[row] for row in rows]
    if name == "size":
        return f"median {np.median([f.height for f in facts]):.0f} x {np.median([f.width for f in facts]):.0f}"
    values = [item.format for item in facts] if name == "format" else _modes(facts)
    known, counts = np.unique(values, return_counts=True)
    best = int(counts.argmax())
    return f"{known[best]} {100 * counts[best] / len(rows):.0f} %"
