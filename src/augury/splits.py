"""Splits: grouped, stratified, repeated folds; given parts; scarce subsets. A group is never cut in two.

scikit-learn's StratifiedGroupKFold shuffles only groups of one label distribution, so its repeats resemble each other
when groups have unequal sizes; here each repeat deals the groups anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from augury.dealing import Groups, Rows, dealt, presence, shared_out
from augury.errors import DataError, SettingsError
from augury.images import PARTS, ImageSet
from augury.seeds import seed_for
from augury.settings import Recipe, by_name, nearest

_FEWEST = 3  # groups of a class: one to train, one to choose, one to test


@dataclass(frozen=True)
class Split:
    """One way to cut an image set: positions of images, in order.

    Attributes:
        repeat: Which repeat.
        fold: Which fold of the repeat is the test part.
        inner: Which inner fold is the validation part.
        train: What classifiers and generators learn from.
        val: What arms are chosen on.
        test: What is scored.
        rest: What a scarce subset left out: a second, external test set; else empty.
    """

    repeat: int
    fold: int
    inner: int
    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    rest: tuple[int, ...] = ()

    def part(self, name: Literal["train", "val", "test", "rest"]) -> tuple[int, ...]:
        """Return the positions of one part."""
        positions: tuple[int, ...] = getattr(self, name)
        return positions


class SplitPlan(Recipe):
    """How an image set is cut into training, validation and test parts."""

    kind: ClassVar[str] = "split"

    plan: Literal["folds", "given"] = Field(
        default="folds", description="folds: repeated cross-validation; given: the test part that came with the images"
    )
    folds: int = Field(default=5, ge=2, le=20, description="test folds of each repeat")
    repeats: int = Field(
        default=5, ge=1, le=100, description="how often all folds are cut anew; given: trainings, each with other seeds"
    )
    inner_share: float = Field(
        default=0.25,
        ge=0.1,
        le=0.5,
        description="share of the training part that arms are chosen on; with one inner fold",
    )
    inner_folds: int = Field(default=1, ge=1, le=5, description="inner folds; 1: one inner part of inner_share")
    per_class: int | None = Field(
        default=None, ge=1, description="scarce: at most so many images of each class are kept"
    )
    keep: Annotated[tuple[tuple[str, Annotated[int, Field(ge=1)]], ...], AfterValidator(by_name)] = Field(
        default=(), description="scarce: images kept of named classes, in pairs of class and number"
    )

    def cut(self, images: ImageSet, seed: int) -> tuple[Split, ...]:
        """Cut an image set.

        Args:
            images: N images with their groups and, for the plan "given", parts.
            seed: Seed of the study: the same seed gives the same cut.

        Returns:
            One split per repeat, fold and inner fold; with given parts one per repeat (and inner fold, unless a
            validation part is given too).

        Raises:
            DataError: If a class has too few groups, or given parts are missing or share a group.
            SettingsError: If `keep` names a class that is not there.

        Example:
            >>> import torch
            >>> from augury.images import real_set
            >>> labels = torch.tensor([0, 1] * 6)
            >>> images = real_set(torch.zeros(12, 1, 8, 8, dtype=torch.uint8), labels, ["a", "b"])
            >>> splits = SplitPlan(folds=3, repeats=2).cut(images, seed=0)
            >>> len(splits), len(splits[0].train), len(splits[0].val), len(splits[0].test)
            (6, 6, 2, 4)
        """
        return tuple(split for repeat in range(self.repeats) for split in self.cut_once(images, seed, repeat))

    def cut_once(self, images: ImageSet, seed: int, repeat: int) -> tuple[Split, ...]:
        """Cut one repeat, which is the same however many there are; see `cut`."""
        groups = Groups.of(images)
        cut = self._given if self.plan == "given" else self._folds
        return tuple(cut(images, groups, seed, repeat))

    def _folds(self, images: ImageSet, groups: Groups, seed: int, repeat: int) -> list[Split]:
        everything = np.arange(len(groups))
        kept = self._scarce(images, groups, everything, seed)
        rest = groups.positions(np.setdiff1d(everything, kept))
        _check_enough(images, groups.take(kept), self.folds)
        fold_of = dealt(groups.take(kept), self.folds, _rng(seed, "folds", repeat))
        _check_everywhere(images, groups.take(kept), fold_of, self.folds)
        splits = []
        for fold in range(self.folds):
            test = groups.positions(kept[fold_of == fold])
            inner = self._inner(groups, kept[fold_of != fold], _rng(seed, "inner", repeat, fold))
            splits += [Split(repeat, fold, i, train, val, test, rest) for i, (train, val) in enumerate(inner)]
        return splits

    def _given(self, images: ImageSet, groups: Groups, seed: int, repeat: int) -> list[Split]:
        part_of = _given_parts(images, groups)
        train, val, test = (np.flatnonzero(part_of == part) for part in range(len(PARTS)))
        _check_given(images, groups, train, test)
        train = self._scarce(images, groups, train, seed)
        if len(val):
            inner = [(groups.positions(train), groups.positions(val))]
        else:
            inner = self._inner(groups, train, _rng(seed, "inner", repeat, 0))
        scored = groups.positions(test)
        return [Split(repeat, 0, i, fitted, chosen, scored) for i, (fitted, chosen) in enumerate(inner)]

    def _inner(
        self, groups: Groups, outer: Rows, rng: np.random.Generator
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Cut the outer training groups into (train, val), once per inner fold."""
        chosen = groups.take(outer)
        # the only group of a class must be trained on
        pinned = (chosen.has & (chosen.has.sum(axis=0) == 1)).any(axis=1)
        free = np.flatnonzero(~pinned)
        if self.inner_folds == 1:
            part_of, vals = shared_out(chosen, free, self.inner_share, rng), range(1, 2)
        else:
            part_of, vals = np.full(len(chosen), -1), range(self.inner_folds)
            part_of[free] = dealt(chosen.take(free), self.inner_folds, rng)
        if not all((part_of == part).any() and chosen.has[part_of != part].any(axis=0).all() for part in vals):
            few = f"{len(chosen)} groups of images are left for training and validation"
            raise DataError(f"{few}: too few for an inner part. Use more folds, fewer inner folds, or add images.")
        return [(groups.positions(outer[part_of != part]), groups.positions(outer[part_of == part])) for part in vals]

    def _scarce(self, images: ImageSet, groups: Groups, rows: Rows, seed: int) -> Rows:
        """Keep whole groups in seeded order, never more images of a class than asked for."""
        limits = self._limits(images, groups.take(rows).counts.sum(axis=0))
        if limits is None:
            return rows
        taken = np.zeros_like(limits)
        kept = []
        for row in _rng(seed, "scarce").permutation(rows):
            if (taken + groups.counts[row] <= limits)[groups.has[row]].all():
                taken += groups.counts[row]
                kept.append(row)
        if not taken.all():
            label = int(np.argmin(taken))
            asked = f"{limits[label]} images of class {images.classes[label]!r} are to be kept"
            raise DataError(f"{asked}, but each of its groups would bring more. Keep more, or cut the groups smaller.")
        return np.sort(np.array(kept, dtype=np.int64))

    def _limits(self, images: ImageSet, counts: Rows) -> Rows | None:
        if self.per_class is None and not self.keep:
            return None
        limits = counts.copy() if self.per_class is None else np.minimum(counts, self.per_class)
        for name, count in self.keep:
            if name not in images.classes:
                raise SettingsError(f"keep names a class {name!r}{nearest(name, list(images.classes))}")
            label = images.classes.index(name)
            if count > counts[label]:
                raise DataError(
                    f"keep asks for {count} images of class {name!r}: there are {counts[label]}. Ask for fewer."
                )
            limits[label] = count
        return limits


def fold_ratio(folds: int) -> float:
    """Return n_test / n_train of K folds, 1 / (K - 1), for the Nadeau-Bengio correction.

    Example:
        >>> fold_ratio(5)
        0.25
    """
    return 1 / (folds - 1)


def smallest_class_groups(images: ImageSet) -> tuple[str, int]:
    """Return the class that the fewest groups have images of, and their number."""
    numbers = Groups.of(images).has.sum(axis=0)
    label = int(np.argmin(numbers))
    return images.classes[label], int(numbers[label])


def suggested_folds(images: ImageSet) -> int:
    """Return the largest number of folds, 2..5, that leaves each test part 5 groups of the rarest class."""
    return max(2, min(5, smallest_class_groups(images)[1] // 5))


def cross_folds(images: ImageSet, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Deal images to folds, whole groups, label by label, so that each can be judged by who has not seen it.

    Args:
        images: N images.
        folds: 2 or more.
        seed: Seed of the dealing.

    Returns:
        int64 (N,): the fold of each image; -1 for the only group of a class, which every judge must have seen.

    Raises:
        DataError: If there are fewer groups than folds, or a fold is left without an image.

    Example:
        >>> import augury
        >>> np.bincount(cross_folds(augury.read("digits").take(range(90)), 3, seed=0)).tolist()
        [30, 30, 30]
    """
    groups = Groups.of(images)
    only = (groups.has & (groups.has.sum(axis=0) == 1)).any(axis=1)
    free = np.flatnonzero(~only)
    if len(free) < folds:
        raise DataError(
            f"{folds} folds need {folds} groups of images whose classes have others. Got {len(free)}: add images."
        )
    fold_of, places = np.full(len(groups), -1), np.full(len(images), -1)
    fold_of[free] = dealt(groups.take(free), folds, _rng(seed, "cross folds"))
    for fold, members in zip(fold_of, groups.members, strict=True):
        places[members] = fold
    return places


def _rng(seed: int, *names: str | int) -> np.random.Generator:
    return np.random.default_rng(seed_for(seed, *names))


def _given_parts(images: ImageSet, groups: Groups) -> Rows:
    if images.parts is None or "test" not in images.parts:
        remedy = "Use the plan 'folds', or give a train and a test part"
        raise DataError(f"the given split is asked for, but the images have no given test part. {remedy}.")
    parts = images.parts
    for members in groups.members:
        first, other = members[0], next((row for row in members if parts[row] != parts[members[0]]), None)
        if other is not None:
            both = f"{images.names[first]} ({parts[first]}) and {images.names[other]} ({parts[other]})"
            raise DataError(f"a group lies in two given parts: {both}. Correct the parts, or use the plan 'folds'.")
    return np.array([PARTS.index(parts[members[0]]) for members in groups.members], dtype=np.int64)


def _check_given(images: ImageSet, groups: Groups, train: Rows, test: Rows) -> None:
    for part, rows in (("train", train), ("test", test)):
        missing = np.flatnonzero(~groups.has[rows].any(axis=0))
        if len(missing):
            name = images.classes[missing[0]]
            raise DataError(f"class {name!r} has no images in the given {part} part. Add images or remove the class.")


def _check_enough(images: ImageSet, groups: Groups, folds: int) -> None:
    numbers = groups.has.sum(axis=0)
    label, unit = int(np.argmin(numbers)), "image" if images.groups is None else "group"
    found = f"class {images.classes[label]!r} has {numbers[label]} {unit}{'' if numbers[label] == 1 else 's'}"
    if numbers[label] < _FEWEST:
        raise DataError(f"{found}: a split needs at least {_FEWEST}. Remove the class or add images.")
    if numbers[label] < folds:
        remedy = f"Use at most folds = {numbers[label]}, or add images"
        raise DataError(f"{found}: {folds} folds need at least {folds}. {remedy}.")


def _check_everywhere(images: ImageSet, groups: Groups, fold_of: Rows, folds: int) -> None:
    missing = np.argwhere(presence(groups, fold_of, folds) == 0)
    if len(missing):
        name = images.classes[missing[0][1]]
        mixed = "its groups hold other classes, too"
        raise DataError(f"class {name!r} cannot be put into each of {folds} folds: {mixed}. Use fewer folds.")
