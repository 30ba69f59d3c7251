"""The steps of a study: frozen values whose nesting is the graph, and whose key is known before anything runs."""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch

from augury.classifiers.base import Classifier, Exposure, Predictor
from augury.classifiers.features import FeatureBank, FeatureMaker
from augury.duplicates import Cleaned, Conflicts, Near, clean
from augury.generators.base import Card, Generator, Sampler
from augury.images import ImageSet
from augury.metrics.classification import choice_losses
from augury.mixing import mix
from augury.readers import ReadSettings, read_source
from augury.settings import tuples
from augury.splits import Split, SplitPlan
from augury.stored import join
from augury.study.identity import Keyed, digest
from augury.training import Run

EXPOSURE = "exposure.json"
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
    """

    cleaned: Cleaned
    skipped: tuple[tuple[str, str], ...] = ()
    levels: str = ""


@dataclass(frozen=True)
class ReadImages(Step):
    """Decode a source once, and set its duplicates right."""

    version: ClassVar[int] = 2

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
        """Read and clean."""
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
        return Prepared(cleaned, tuple((item.name, item.reason) for item in reading.skipped), reading.levels)

    def save(self, value: Prepared, folder: Path) -> None:
        """Write the image set and what was done."""
        cleaned = value.cleaned
        cleaned.images.save(folder)
        done = {f.name: getattr(cleaned, f.name) for f in dataclasses.fields(cleaned) if f.name != "images"}
        rest = {"cleaned": done, "skipped": value.skipped, "levels": value.levels}
        (folder / "prepared.json").write_text(json.dumps(rest), encoding="utf-8")

    def load(self, folder: Path, device: str) -> Prepared:
        """Open the image set, memory-mapped."""
        rest = tuples(json.loads((folder / "prepared.json").read_text(encoding="utf-8")))
        cleaned = Cleaned(images=ImageSet.load(folder), **rest["cleaned"])
        return Prepared(cleaned, rest["skipped"], rest["levels"])


@lru_cache(maxsize=4)
def _cut(images: ImageSet, plan: SplitPlan, seed: int, groups_ignored: bool) -> tuple[Split, ...]:
    return plan.cut(dataclasses.replace(images, groups=None) if groups_ignored else images, seed)


class StoredSplit:
    """A split on disk: three or four files, of which a step opens only those it may see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def part(self, name: Part) -> tuple[int, ...]:
        """Return the positions of one part."""
        return tuple(np.load(self.folder / f"{name}.npy", allow_pickle=False).tolist())


@dataclass(frozen=True)
class MakeSplit(Step):
    """Cut one of a plan's splits; `groups_ignored` is the declared flaw that cuts groups in two."""

    images: ReadImages
    plan: SplitPlan
    seed: int
    index: int
    groups_ignored: bool = False

    def make(self, work: Work) -> Split:
        """Cut."""
        return _cut(work.get(self.images).cleaned.images, self.plan, self.seed, self.groups_ignored)[self.index]

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


@dataclass(frozen=True)
class DrawImages(Step):
    """Draw one chunk of one class: image j of a class has its own seed, whatever is drawn beside it."""

    fit: FitGenerator
    label: int
    chunk: int

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"draw {self.fit.generator.kind}"

    def make(self, work: Work) -> ImageSet:
        """Draw."""
        index = range(self.chunk * CHUNK, (self.chunk + 1) * CHUNK)
        sampler: Sampler = work.get(self.fit)
        return sampler.draw_rows([self.label] * CHUNK, list(index), seed=self.fit.seed)

    def save(self, value: ImageSet, folder: Path) -> None:
        """Write the images and their manifest."""
        value.save(folder)

    def load(self, folder: Path, device: str) -> ImageSet:
        """Open the images; one of many chunks, they stay on disk until they are joined."""
        return ImageSet.load(folder, lazily=True)


@dataclass(frozen=True)
class Features(Step):
    """Compute the features of all images, or of one chunk of drawn ones, under a backbone that is not trained."""

    images: ReadImages | DrawImages
    maker: FeatureMaker

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"features of {self.maker.network}"

    def make(self, work: Work) -> FeatureBank:
        """Compute."""
        found = work.get(self.images)
        images: ImageSet = found.cleaned.images if isinstance(found, Prepared) else found
        return self.maker.compute(images, work.device, work.on_step)

    def save(self, value: FeatureBank, folder: Path) -> None:
        """Write the bank."""
        value.save(folder)

    def load(self, folder: Path, device: str) -> FeatureBank:
        """Open the bank."""
        return FeatureBank.load(folder)


@dataclass(frozen=True)
class FitClassifier(Step):
    """Fit a classifier on the training part and the first `counts[k]` drawn images of each class.

    `tuned` has found some of its settings; `features` are those of its images, if it is a head on a frozen backbone.
    """

    split: MakeSplit
    classifier: Classifier
    seed: int
    pool: tuple[DrawImages, ...] = ()
    counts: tuple[int, ...] = ()
    features: tuple[Features, ...] = ()
    tuned: Tune | None = None

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"fit {self.classifier.kind}"

    def make(self, work: Work) -> Predictor:
        """Mix and fit."""
        train = part_of(work, self.split, "train")
        pool = join_chunks([work.get(chunk) for chunk in self.pool]) if self.pool else None
        mixed = mix(train, pool, self.counts)
        val = part_of(work, self.split, "val")
        run = dataclasses.replace(self._run(self.seed, work), features=self.known(work))
        return self._tuned(work).fit(mixed, val, run)

    def known(self, work: Work) -> FeatureBank | None:
        """Return the features of its images, if it works on features."""
        return FeatureBank.joined([work.get(step) for step in self.features]) if self.features else None

    def _tuned(self, work: Work) -> Classifier:
        if self.tuned is None:
            return self.classifier
        found: Tuned = work.get(self.tuned)
        return self.classifier.replace(**dict(found.settings))

    def save(self, value: Predictor, folder: Path) -> None:
        """Write the predictor, and what its training consisted of."""
        value.save(folder)
        (folder / EXPOSURE).write_text(json.dumps(dataclasses.asdict(value.trained.exposure)), encoding="utf-8")

    def load(self, folder: Path, device: str) -> Predictor:
        """Open the predictor."""
        return type(self.classifier).load(folder, device)

    def exposure(self, folder: Path) -> Exposure:
        """Read what its training consisted of, without opening the predictor."""
        return Exposure(**json.loads((folder / EXPOSURE).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Tuned:
    """What tuning has found.

    Attributes:
        settings: The candidate with the least loss.
        losses: The loss of each trial on the inner part.
    """

    settings: tuple[tuple[str, Any], ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Tune(Step):
    """Choose the candidate settings whose trial has the least log-loss on the inner part; a tie goes to the first.

    With `even` each class weighs alike: see `choice_losses`.
    """

    split: MakeSplit
    candidates: tuple[tuple[tuple[str, Any], ...], ...]
    even: bool
    trials: tuple[Predict, ...]

    def make(self, work: Work) -> Tuned:
        """Compare the trials."""
        labels = part_of(work, self.split, "val").labels.numpy()
        losses = [float(choice_losses(labels, work.get(trial), even=self.even).mean()) for trial in self.trials]
        return Tuned(self.candidates[int(np.argmin(losses))], tuple(losses))

    def save(self, value: Tuned, folder: Path) -> None:
        """Write what was found."""
        record = {"chosen": self.candidates.index(value.settings), "losses": value.losses}
        (folder / "tuned.json").write_text(json.dumps(record), encoding="utf-8")

    def load(self, folder: Path, device: str) -> Tuned:
        """Read what was found."""
        record = json.loads((folder / "tuned.json").read_text(encoding="utf-8"))
        return Tuned(self.candidates[record["chosen"]], tuple(record["losses"]))


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


@dataclass(frozen=True)
class Predict(Step):
    """Score one part; predictions are stored, so that a new metric needs no new training."""

    fit: FitClassifier
    part: Part
    flaws: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"score {self.part}"

    def make(self, work: Work) -> np.ndarray:
        """Predict, unless an image was seen in training."""
        predictor: Predictor = work.get(self.fit)
        images = part_of(work, self.fit.split, self.part)
        return predictor.predict(images, flaws=self.flaws, features=self.fit.known(work))

    def save(self, value: np.ndarray, folder: Path) -> None:
        """Write float32 (N, K)."""
        np.save(folder / "probabilities.npy", value, allow_pickle=False)

    def load(self, folder: Path, device: str) -> np.ndarray:
        """Read float32 (N, K)."""
        probabilities: np.ndarray = np.load(folder / "probabilities.npy", allow_pickle=False)
        return probabilities
