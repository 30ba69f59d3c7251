"""The steps of a study: frozen values whose nesting is the graph, and whose key is known before anything runs."""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import torch

from augury.duplicates import Cleaned, Conflicts, Near, clean
from augury.generators.base import Card, Generator, Sampler
from augury.images import ImageSet
from augury.readers import ReadSettings, read_source
from augury.settings import tuples
from augury.splits import Split, SplitPlan
from augury.stored import join
from augury.study.identity import Keyed, digest
from augury.training import Run

if TYPE_CHECKING:
    from augury.study.watching import ChooseSnapshot

CHUNK = 50  # images per drawing step: amount 100 is two chunks, amount 500 these two and eight more
Part = Literal["train", "val", "test", "rest"]


class Work(Protocol):
    """What a step is given while it is made."""

    device: str
    on_step: Callable[[int, int], None] | None

    def get(self, step: Step) -> Any:
        """Return the finished value of an input."""
        ...

    def folder_of(self, step: Step) -> Path | None:
        """Return where a step may keep its checkpoints until it is done; None keeps none."""
        ...


@dataclass(frozen=True)
class Step(Keyed):
    """One piece of work.

    Its key is a digest of its kind, its version and its fields; fields that are steps are its inputs. A field
    declared with `where()` (where data lies) is left out of the key.
    """

    version: ClassVar[int] = 1

    @cached_property
    def key(self) -> str:
        """Return the name of the result."""
        named = [f for f in dataclasses.fields(self) if f.metadata.get("identity", True)]
        return digest((type(self).__name__, self.version, tuple((f.name, getattr(self, f.name)) for f in named)))

    def inputs(self) -> tuple[Step, ...]:
        """Return the steps it needs."""
        values = [getattr(self, f.name) for f in dataclasses.fields(self)]
        flat = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
        return tuple(item for item in flat if isinstance(item, Step))

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return type(self).__name__

    @abstractmethod
    def make(self, work: Work) -> Any:
        """Do the work and return the value."""

    @abstractmethod
    def save(self, value: Any, folder: Path) -> None:
        """Write the value into an existing empty folder."""

    @abstractmethod
    def load(self, folder: Path, device: str) -> Any:
        """Read the value back; networks go to the device."""

    def _run(self, seed: int, work: Work) -> Run:
        return Run(seed=seed, device=work.device, folder=work.folder_of(self), on_step=work.on_step)


def where() -> Any:
    """Declare a field that says where something lies and is no part of the identity."""
    return field(default="", compare=False, metadata={"identity": False})


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images as they take part, and what was done on the way.

    Attributes:
        cleaned: The images without harmful duplicates.
        skipped: (name, reason) of each file that could not be read, where that was allowed.
        levels: How images of more than eight bits became images of eight; empty if there were none.
        shortcuts: (property, sentence) of each property beside the picture that gives the classes away.
    """

    cleaned: Cleaned
    skipped: tuple[tuple[str, str], ...] = ()
    levels: str = ""
    shortcuts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ReadImages(Step):
    """Decode a source once, look for shortcuts, and set its duplicates right."""

    version: ClassVar[int] = 3

    content: str
    how: ReadSettings
    near: Near
    conflicts: Conflicts
    given_split: bool
    as_is: bool
    source: str = where()

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return "read images"

    def make(self, work: Work) -> Prepared:
        """Read, look and clean."""
        from augury.look.shortcuts import find_shortcuts  # loads scikit-learn: steps that read nothing do without

        reading = read_source(self.source, self.how, work.on_step)
        cleaned = clean(
            reading.images,
            given_split=self.given_split,
            as_is=self.as_is,
            thumbnails=reading.thumbnails,
            sides=reading.sides,
            near=self.near,
            conflicts=self.conflicts,
        )
        skipped = tuple((item.name, item.reason) for item in reading.skipped)
        given_away = (each for each in find_shortcuts(reading) if each.gives_away)
        shortcuts = tuple((each.property, each.told(reading.images.classes)) for each in given_away)
        return Prepared(cleaned, skipped, reading.levels, shortcuts)

    def save(self, value: Prepared, folder: Path) -> None:
        """Write the image set and what was done."""
        cleaned = value.cleaned
        cleaned.images.save(folder)
        done = {f.name: getattr(cleaned, f.name) for f in dataclasses.fields(cleaned) if f.name != "images"}
        rest = {name: getattr(value, name) for name in ("skipped", "levels", "shortcuts")} | {"cleaned": done}
        (folder / "prepared.json").write_text(json.dumps(rest), encoding="utf-8")

    def load(self, folder: Path, device: str) -> Prepared:
        """Open the image set, memory-mapped."""
        rest = tuples(json.loads((folder / "prepared.json").read_text(encoding="utf-8")))
        cleaned = Cleaned(images=ImageSet.load(folder), **rest["cleaned"])
        return Prepared(cleaned, rest["skipped"], rest["levels"], rest["shortcuts"])


@lru_cache(maxsize=4)
def _cut(images: ImageSet, plan: SplitPlan, seed: int, groups_ignored: bool) -> tuple[Split, ...]:
    cut = dataclasses.replace(images, groups=None) if groups_ignored else images
    return plan.cut_once(cut, seed, plan.repeats - 1)


class StoredSplit:
    """A split on disk: three or four files, of which a step opens only those it may see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def part(self, name: Part) -> tuple[int, ...]:
        """Return the positions of one part."""
        return tuple(np.load(self.folder / f"{name}.npy", allow_pickle=False).tolist())


@dataclass(frozen=True)
class MakeSplit(Step):
    """Cut one of a plan's splits; `groups_ignored` is the declared flaw that cuts groups in two.

    The plan ends with the repeat that the split belongs to: a study that is given more repeats keeps what it has.
    """

    images: ReadImages
    plan: SplitPlan
    seed: int
    index: int
    groups_ignored: bool = False

    def make(self, work: Work) -> Split:
        """Cut."""
        found = _cut(work.get(self.images).cleaned.images, self.plan, self.seed, self.groups_ignored)
        return found[self.index % len(found)]

    def save(self, value: Split, folder: Path) -> None:
        """Write one file per part."""
        for name in ("train", "val", "test", "rest"):
            np.save(folder / f"{name}.npy", np.asarray(getattr(value, name), dtype=np.int64), allow_pickle=False)

    def load(self, folder: Path, device: str) -> StoredSplit:
        """Open the split without reading any part."""
        return StoredSplit(folder)


def part_of(work: Work, split: MakeSplit, *parts: Part) -> ImageSet:
    """Return the images of some parts of a split; the pixels of a large part stay in the store's file."""
    stored = work.get(split)
    positions = [i for part in parts for i in stored.part(part)]
    images: ImageSet = work.get(split.images).cleaned.images.take(positions)
    return images


@dataclass(frozen=True)
class FitGenerator(Step):
    """Fit a generator on the training part; `sees_test` is the declared flaw that adds the other parts."""

    split: MakeSplit
    generator: Generator
    seed: int
    sees_test: bool = False

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"fit {self.generator.kind}"

    def make(self, work: Work) -> Sampler:
        """Fit."""
        parts: tuple[Part, ...] = ("train", "val", "test") if self.sees_test else ("train",)
        return self.generator.fit(part_of(work, self.split, *parts), self._run(self.seed, work))

    def save(self, value: Sampler, folder: Path) -> None:
        """Write card and model."""
        value.save(folder)

    def load(self, folder: Path, device: str) -> Sampler:
        """Open the sampler."""
        return type(self.generator).load(folder, Card.load(folder), device)


class Pool(Step):
    """A step whose images, or a part of them, were drawn from a generator."""

    @property
    @abstractmethod
    def chunks(self) -> tuple[DrawImages, ...]:
        """Return the steps that drew them."""


@dataclass(frozen=True)
class DrawImages(Pool):
    """Draw one chunk of one class: image j of a class has its own seed, whatever is drawn beside it.

    `choice` names the snapshot that is drawn from; without one it is the network of the last step. `drawn_by` is the
    recipe whose settings of drawing are taken, where its kind has any: the fit knows nothing of them.
    """

    fit: FitGenerator
    label: int
    chunk: int
    choice: ChooseSnapshot | None = None
    drawn_by: Generator | None = None

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"draw {self.fit.generator.kind}"

    @property
    def chunks(self) -> tuple[DrawImages, ...]:
        """Return the step itself."""
        return (self,)

    def make(self, work: Work) -> ImageSet:
        """Draw."""
        index = range(self.chunk * CHUNK, (self.chunk + 1) * CHUNK)
        return chosen(self, work.get).draw_rows([self.label] * CHUNK, list(index), seed=self.fit.seed)

    def save(self, value: ImageSet, folder: Path) -> None:
        """Write the images and their manifest."""
        value.save(folder)

    def load(self, folder: Path, device: str) -> ImageSet:
        """Open the images; one of many chunks, they stay on disk until they are joined."""
        return ImageSet.load(folder, lazily=True)


def chosen(chunk: DrawImages, get: Callable[[Step], Any]) -> Sampler:
    """Return the sampler that a chunk is drawn from, given what opens steps."""
    sampler = as_drawn(get(chunk.fit), chunk.drawn_by)
    if chunk.choice is None or sampler.film is None:
        return sampler
    choice = get(chunk.choice)
    return as_chosen(sampler, choice.steps, choice.guidance)


def as_chosen(sampler: Sampler, steps: int, guidance: float | None) -> Sampler:
    """Return the network that was kept after so many steps, else the last one; with a weight of guidance, if any."""
    kept = sampler.at(steps) if sampler.film is not None and steps in sampler.film.snapshots() else sampler
    return kept.drawn_with(guidance=guidance) if guidance is not None else kept


def as_drawn(sampler: Sampler, recipe: Generator | None) -> Sampler:
    """Return a sampler with the settings of drawing of a recipe, if it has any."""
    return sampler if recipe is None else sampler.drawn_with(**{name: getattr(recipe, name) for name in recipe.drawing})


def join_chunks(chunks: list[ImageSet]) -> ImageSet:
    """Join chunks of one sampler, in order."""
    return dataclasses.replace(
        chunks[0],
        images=join([chunk.images for chunk in chunks]),
        labels=torch.cat([chunk.labels for chunk in chunks]),
        synthetic=torch.cat([chunk.synthetic for chunk in chunks]),
        names=tuple(name for chunk in chunks for name in chunk.names),
        digests=tuple(name for chunk in chunks for name in chunk.digests),
        columns={},
    )
