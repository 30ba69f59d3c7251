"""Filters: which images of a pool are worth training on. Each verdict depends on its own image only.

Every filter measures an image and asks how many real images measure no better, where each real image is measured by
judges that have not seen it (Vovk 2015, Cross-conformal predictors): so a filter's one number is the share of new real
images that it would drop, whatever the data set or the judge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from augury.errors import SettingsError
from augury.settings import Recipe, nearest

Rows = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

PIXELS = "pixels"
NEIGHBOURS = 5  # real images that typicality measures the distance to; as `density` and `coverage` do


def known_space(name: str) -> str:
    """Return the name of a space as it is: `pixels`, or a network that can be opened here.

    Raises:
        SettingsError: If there is no such network: said when a study is read, not in the middle of a run.
    """
    from augury.networks.backbones import check_backbone  # only a network other than ours loads torchvision

    if name != PIXELS:
        check_backbone(name)
    return name


@dataclass(frozen=True, eq=False)
class Opinion:
    """What one judge makes of some images.

    Attributes:
        labels: int64 (N,): the classes that the images are said to be of.
        probabilities: (N, K).
        features: (N, D).
    """

    labels: Labels
    probabilities: Rows
    features: Rows


@dataclass(frozen=True, eq=False)
class Fold:
    """The training images as one judge sees them: those that it was trained on, and those that it was not."""

    inside: Opinion
    outside: Opinion


@dataclass(frozen=True, eq=False)
class Known:
    """What filters know of the training images.

    Attributes:
        folds: One entry per judge.
        vectors: Space -> (N, D) of the training images.
        between: Space -> (N,) distances from each training image to the nearest one of another group.
    """

    folds: tuple[Fold, ...]
    vectors: dict[str, Rows]
    between: dict[str, Rows]


@dataclass(frozen=True, eq=False)
class Seen:
    """What filters know of the pool.

    Attributes:
        opinions: One per judge.
        vectors: Space -> (M, D).
    """

    opinions: tuple[Opinion, ...]
    vectors: dict[str, Rows]


class Filter(Recipe, ABC):
    """A rule that keeps or drops one image at a time.

    Attributes:
        summary: One line for `augury list`.
        judged: Whether it asks judges that were trained on real images.
    """

    summary: ClassVar[str]
    judged: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """Return its name in tables, with the settings that are not as usual."""
        usual = type(self).model_fields
        changed = [f"{name} {value}" for name, value in self.settings().items() if value != usual[name].default]
        return f"{self.kind} ({', '.join(changed)})" if changed else self.kind

    def spaces(self) -> tuple[str, ...]:
        """Return the spaces, beside those of the judges, that it measures distances in."""
        return ()

    @abstractmethod
    def scores(self, seen: Seen, known: Known) -> Rows:
        """Return, for each image of a pool, the share of real images that are no better: float64 (M,), 0..1."""

    @abstractmethod
    def keep(self, scores: Rows, known: Known) -> npt.NDArray[np.bool_]:
        """Return which images are kept: bool (M,)."""


class Judged(Filter):
    """A filter that asks judges."""

    @abstractmethod
    def measure(self, one: Opinion, inside: Opinion) -> Rows:
        """Return a number per image, larger for what is more like a real image: (N,)."""

    def least(self) -> int:
        """Return how many real images of a class it takes to judge that class by itself."""
        return 1

    def count(self, real: Rows, ours: Rows) -> Rows:
        """Return how many real images, of sorted measures, are no better than each of ours."""
        return np.searchsorted(real, ours, side="right").astype(np.float64)

    def scores(self, seen: Seen, known: Known) -> Rows:
        """Compare each image with the real ones of its class, under the judges that have not seen those."""
        labels = seen.opinions[0].labels
        no_better, of = np.zeros(len(labels)), np.zeros(len(labels))
        counts = np.bincount(np.concatenate([fold.outside.labels for fold in known.folds]), minlength=_classes(seen))
        for opinion, fold in zip(seen.opinions, known.folds, strict=True):
            ours, theirs = self.measure(opinion, fold.inside), self.measure(fold.outside, fold.inside)
            for label in np.unique(labels):
                rows = labels == label
                alike = fold.outside.labels == label
                if counts[label] < self.least():  # a class too small to be judged by itself
                    alike = np.ones(len(theirs), dtype=bool)
                no_better[rows] += self.count(np.sort(theirs[alike]), ours[rows])
                of[rows] += int(alike.sum())
        return np.asarray((no_better + 1) / (of + 1))


class Agreement(Judged):
    """Keep images to whose class the judges give enough probability.

    Example:
        >>> Agreement().label, Agreement(drops=0.1).label
        ('agreement', 'agreement (drops 0.1)')
    """

    kind: ClassVar[str] = "agreement"
    summary: ClassVar[str] = "judges trained on real images give the asked class enough probability"
    drops: float = Field(default=0.05, gt=0, lt=1, description="share of new real images that it would drop")

    def measure(self, one: Opinion, inside: Opinion) -> Rows:
        """Return the probability of the class that an image is said to be of."""
        return one.probabilities[np.arange(len(one.labels)), one.labels]

    def least(self) -> int:
        """Return how many real images of a class it takes to judge that class by itself."""
        return int(np.ceil(1 / self.drops))

    def keep(self, scores: Rows, known: Known) -> npt.NDArray[np.bool_]:
        """Keep what is no worse than nearly all real images of its class."""
        return np.asarray(scores > self.drops)


class Typicality(Judged):
    """Keep images that are no farther from the real images of their class than real ones are."""

    kind: ClassVar[str] = "typicality"
    summary: ClassVar[str] = "no farther from the real images of the class than real ones are"
    drops: float = Field(default=0.05, gt=0, lt=1, description="share of new real images that it would drop")

    def measure(self, one: Opinion, inside: Opinion) -> Rows:
        """Return minus the mean distance to the nearest real images of the class, in the judge's features."""
        found = np.full(len(one.labels), -np.inf)
        for label in np.unique(one.labels):
            rows, real = one.features[one.labels == label], inside.features[inside.labels == label]
            if len(real):
                found[one.labels == label] = -_mean_distance(rows, real)
        return found

    def least(self) -> int:
        """Return how many real images of a class it takes to judge that class by itself."""
        return int(np.ceil(1 / self.drops))

    def keep(self, scores: Rows, known: Known) -> npt.NDArray[np.bool_]:
        """Keep what is no farther than nearly all real images of its class."""
        return np.asarray(scores > self.drops)


class Difficulty(Judged):
    """Keep the middle band of the judges' uncertainty: neither what they know already nor what is beyond them.

    Reference: arXiv 2411.18109 (images of medium difficulty help most, the hardest harm).
    """

    kind: ClassVar[str] = "difficulty"
    summary: ClassVar[str] = "neither certain nor hopeless to the judges"
    easiest: float = Field(default=0.25, ge=0, lt=1, description="share of new real images dropped as too easy")
    hardest: float = Field(default=0.25, ge=0, lt=1, description="share of new real images dropped as too hard")

    def measure(self, one: Opinion, inside: Opinion) -> Rows:
        """Return the entropy of a judge's probabilities: larger is harder."""
        p = one.probabilities
        return np.asarray(-(p * np.log(np.maximum(p, 1e-12))).sum(axis=1))

    def count(self, real: Rows, ours: Rows) -> Rows:
        """Return how many real images are easier, those just as easy by half: judges may be certain of all."""
        return np.asarray((np.searchsorted(real, ours, side="left") + np.searchsorted(real, ours, side="right")) / 2)

    def keep(self, scores: Rows, known: Known) -> npt.NDArray[np.bool_]:
        """Keep the band."""
        return np.asarray((scores > self.easiest) & (scores <= 1 - self.hardest))


class NearCopy(Filter):
    """Drop images that are nearer to a training image than images of different groups are to each other.

    Distances are between images shrunk to at most 32 pixels a side, each brought to mean 0 and length 1 (so that a
    copy in another brightness or contrast is a copy), or between features of a network that knows none of them.
    """

    kind: ClassVar[str] = "near_copy"
    summary: ClassVar[str] = "no nearer to a training image than images of different patients are to each other"
    judged: ClassVar[bool] = False
    drops: float = Field(default=0.01, gt=0, lt=1, description="share of new real images that it would drop")
    space: Annotated[str, AfterValidator(known_space)] = Field(
        default=PIXELS, description="pixels, or a network with published weights: efficientnet_lite0"
    )

    def spaces(self) -> tuple[str, ...]:
        """Return the space that distances are measured in."""
        return (self.space,)

    def scores(self, seen: Seen, known: Known) -> Rows:
        """Return the share of training images that lie at least as near to one of another group."""
        from augury.metrics.copying import nearest as nearest_rows  # loads statistics

        between = np.sort(known.between[self.space])
        distances, _ = nearest_rows(seen.vectors[self.space], known.vectors[self.space])
        return np.asarray((np.searchsorted(between, distances, side="right") + 1) / (len(between) + 1))

    def keep(self, scores: Rows, known: Known) -> npt.NDArray[np.bool_]:
        """Keep what is farther than the given share of training images; always drop what is nearer than all."""
        nearer_than_all = 1 / (len(known.between[self.space]) + 1)
        return np.asarray(scores > max(self.drops, nearer_than_all * (1 + 1e-9)))


FILTERS: dict[str, type[Filter]] = {rule.kind: rule for rule in (Agreement, Typicality, NearCopy, Difficulty)}


def filter_from(value: Any) -> Filter:
    """Read a filter as a study file writes it: `"agreement"` or a table with `kind`.

    Raises:
        SettingsError: If there is no such filter, or a setting is wrong.

    Example:
        >>> filter_from({"kind": "near_copy", "drops": 0.02}).drops
        0.02
    """
    if isinstance(value, Filter):
        return value
    table = dict(value) if isinstance(value, Mapping) else {"kind": value}
    kind = str(table.pop("kind", ""))
    if kind not in FILTERS:
        raise SettingsError(f"there is no filter {kind!r}{nearest(kind, list(FILTERS))}")
    return FILTERS[kind](**table)


def labels_of(filters: Sequence[Filter]) -> str:
    """Return some filters in words.

    Example:
        >>> labels_of([Agreement(), NearCopy()])
        'agreement + near_copy'
    """
    return " + ".join(rule.label for rule in filters)


def _classes(seen: Seen) -> int:
    return int(seen.opinions[0].probabilities.shape[1])


def _mean_distance(rows: Rows, real: Rows) -> Rows:
    from augury.metrics.neighbours import neighbours  # loads statistics

    return np.asarray(neighbours(rows, real, min(NEIGHBOURS, len(real)))[0].mean(axis=1))
