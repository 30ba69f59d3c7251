"""The contract of every generator: a recipe that is fitted on training images, and the sampler it makes."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from augury.errors import DataError, SettingsError
from augury.generators.film import Film
from augury.images import ImageSet, pixel_digest
from augury.seeds import seed_for
from augury.settings import Recipe, lists, nearest
from augury.training import Run

CARD = "card.json"


@dataclass(frozen=True)
class Card:
    """What a fitted generator says of itself.

    Attributes:
        kind: The generator's name.
        version: The recipe's version.
        settings: The recipe's settings.
        classes: K class names.
        shape: (C, H, W) of the images it draws.
        counts: Training images per class.
        seen: Digests of all images it saw.
        contains_training_images: Whether the saved model holds images it was fitted on.
        seed: Seed of the fit.
        parameters: Number of trained weights.
    """

    kind: str
    version: int
    settings: Mapping[str, Any]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: tuple[int, ...]
    seen: frozenset[str]
    contains_training_images: bool
    seed: int
    parameters: int = 0

    @classmethod
    def of(cls, recipe: Generator, train: ImageSet, seed: int, parameters: int = 0) -> Self:
        """Write the card of a recipe fitted on some images."""
        return cls(
            kind=recipe.kind,
            version=recipe.version,
            settings=lists(recipe.settings()),
            classes=train.classes,
            shape=train.shape,
            counts=train.counts(),
            seen=frozenset(train.digests) | train.seen,
            contains_training_images=recipe.contains_training_images,
            seed=seed,
            parameters=parameters,
        )

    def save(self, folder: Path) -> None:
        """Write `card.json`."""
        text = json.dumps({**asdict(self), "seen": sorted(self.seen)}, indent=1)
        (folder / CARD).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `card.json`.

        Raises:
            DataError: If the folder holds no fitted generator.
        """
        try:
            values = json.loads((folder / CARD).read_text(encoding="utf-8"))
            sequences = {name: tuple(values[name]) for name in ("classes", "shape", "counts")}
            return cls(**{**values, **sequences, "seen": frozenset(values["seen"])})
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(
                f"a fitted generator (a folder with {CARD}) was expected at {folder}. Make one with augury fit."
            ) from None


class Generator(Recipe, ABC):
    """A recipe for a generator.

    Attributes:
        summary: One line for `augury list`.
        control: The images are no news to a classifier (copies and mixtures of real ones): an arm with them
            counts as one that does not use generated images.
        contains_training_images: A fitted model holds images it was fitted on.
        near_copies: What it draws keeps close to single real images by construction.
        drawing: Settings that decide how images are drawn and that no training depends on.
    """

    summary: ClassVar[str]
    control: ClassVar[bool] = False
    contains_training_images: ClassVar[bool] = False
    near_copies: ClassVar[bool] = False
    drawing: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(self, train: ImageSet, run: Run) -> Sampler:
        """Fit on training images and on nothing else."""

    def as_trained(self) -> Self:
        """Return what its training depends on: itself, with the settings of drawing at their defaults."""
        return self.replace(**{name: type(self).model_fields[name].get_default() for name in self.drawing})

    def least_per_class(self) -> int:
        """Return how many images of a class it takes, roughly, to be worth training; 0: any number."""
        return 0

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> Sampler:
        """Open what the sampler saved."""


def small_class(recipe: Generator, name: str, count: int) -> str:
    """Say that a class is too small for a generator, and why; empty if it is not."""
    least = recipe.least_per_class()
    if count >= least:
        return ""
    return (
        f"class {name!r} has {count} training images, and {recipe.kind}, trained from scratch, needs about {least}: "
        "with fewer it repeats the ones it has seen, or collapses"
    )


def first_of(sentences: Sequence[str]) -> str:
    """Return the first of some sentences, and how many more there are."""
    return sentences[0] + (f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else "")


def refuse_small(sentences: Sequence[str], *, force: bool) -> None:
    """Stop where classes are too small for a generator, unless that is wanted.

    Raises:
        DataError: If there is such a class and `force` is not set.
    """
    if sentences and not force:
        raise DataError(
            f"{first_of(sentences)}. Use dagan, cvae, or augmentation for such a class, add images, "
            "or go on all the same with --force (in Python: force=True)."
        )


class Sampler(ABC):
    """A fitted generator.

    Attributes:
        card: What it says of itself.
        film: What was seen of its training; None where no network was trained.
    """

    film: Film | None = None

    def __init__(self, card: Card) -> None:
        self.card = card

    def at(self, steps: int) -> Sampler:
        """Return the sampler as it was after some steps of its training, from a snapshot.

        Raises:
            SettingsError: If there is none.
        """
        raise SettingsError(f"{self.card.kind} keeps no snapshots. Got {steps} steps.")

    def drawn_with(self, **settings: Any) -> Sampler:
        """Return the sampler with other settings of drawing.

        Raises:
            SettingsError: If it has none of that name.
        """
        raise SettingsError(f"{self.card.kind} has no settings of drawing. Got {', '.join(settings)}.")

    def held_out_loss(self, images: ImageSet, *, seed: int) -> float | None:
        """Return the loss of a training on images that it did not see; None where a kind's loss says nothing there.

        Args:
            images: Of the classes and size of the training images.
            seed: Of what the loss draws.
        """
        return None

    @abstractmethod
    def sample(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Draw images.

        Args:
            labels: int64 (N,), 0..K-1.
            seeds: N seeds.

        Returns:
            uint8 (N, C, H, W). Image i depends on `labels[i]` and `seeds[i]` only: not on its neighbours, on the
            batch size or on N.
        """

    @abstractmethod
    def save_model(self, folder: Path) -> None:
        """Write what `Generator.load` needs, beside the card."""

    def save(self, folder: Path) -> None:
        """Write card and model into an existing folder."""
        self.card.save(folder)
        self.save_model(folder)

    def draw(self, per_class: Mapping[str, int] | int, *, seed: int) -> ImageSet:
        """Draw a labelled pool: image j of a class depends on (seed, class, j) only, so 100 are a prefix of 500.

        Args:
            per_class: Images of each class by name, or one number for all.
            seed: Seed of the pool.

        Raises:
            DataError: If a class is unknown.
            SettingsError: If a number is negative.
        """
        wanted = per_class if isinstance(per_class, Mapping) else dict.fromkeys(self.card.classes, per_class)
        labels, index = [], []
        for name, count in wanted.items():
            if count < 0:
                raise SettingsError(f"the number of images of {name!r} must be 0 or more. Got {count}.")
            if name not in self.card.classes:
                raise DataError(f"this model has no class {name!r}{nearest(name, list(self.card.classes))}")
            labels += [self.card.classes.index(name)] * count
            index += list(range(count))
        return self.draw_rows(labels, index, seed=seed)

    def draw_rows(self, labels: Sequence[int], index: Sequence[int], *, seed: int) -> ImageSet:
        """Draw image number `index[i]` of class `labels[i]` for each i."""
        kind, classes = self.card.kind, self.card.classes
        seeds = [seed_for(seed, "image", label, j) for label, j in zip(labels, index, strict=True)]
        rows = torch.tensor(labels, dtype=torch.int64)
        images = self.sample(rows, seeds)
        return ImageSet(
            images=images,
            labels=rows,
            classes=classes,
            names=tuple(f"{kind}/{classes[label]}/{j}" for label, j in zip(labels, index, strict=True)),
            digests=tuple(pixel_digest(image.numpy()) for image in images),
            synthetic=torch.ones(len(rows), dtype=torch.bool),
            columns={"seed": tuple(seeds), "maker": (kind,) * len(seeds)},
            seen=self.card.seen,
        )
