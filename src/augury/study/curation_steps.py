"""The steps between a pool and what is trained on: judges, filters, selections."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augury.classifiers.base import Classifier, Predictor
from augury.classifiers.features import FeatureBank
from augury.curation import Curated, Curator, fit_judge, in_order, judge_folds, know, load_known, save_known
from augury.filters import Filter, Known
from augury.images import ImageSet
from augury.selections import Selection
from augury.study.classifier_steps import Features, images_of
from augury.study.steps import DrawImages, MakeSplit, Pool, Step, Work, join_chunks, part_of


@dataclass(frozen=True)
class FitJudge(Step):
    """Train a classifier on the training images outside of one fold, so that it can judge those inside."""

    split: MakeSplit
    classifier: Classifier
    seed: int
    fold: int
    features: tuple[Features, ...] = ()

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"fit judge {self.classifier.kind}"

    def make(self, work: Work) -> Predictor:
        """Fit."""
        train = part_of(work, self.split, "train")
        known = FeatureBank.joined([work.get(step) for step in self.features]) if self.features else None
        run = dataclasses.replace(self._run(self.seed, work), features=known)
        return fit_judge(train, judge_folds(train, self.seed), self.fold, self.classifier, run)

    def save(self, value: Predictor, folder: Path) -> None:
        """Write the predictor."""
        value.save(folder)

    def load(self, folder: Path, device: str) -> Predictor:
        """Open the predictor."""
        return type(self.classifier).load(folder, device)


@dataclass(frozen=True)
class LookAtReal(Step):
    """Note what filters need to know of the training images: what judges make of them, how far apart they are."""

    split: MakeSplit
    seed: int
    judges: tuple[FitJudge, ...]
    spaces: tuple[str, ...]

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return "look at the training images"

    def make(self, work: Work) -> Known:
        """Look."""
        train = part_of(work, self.split, "train")
        folds = judge_folds(train, self.seed) if self.judges else np.full(len(train), -1)
        return know(train, folds, [work.get(judge) for judge in self.judges], self.spaces, work.device)

    def save(self, value: Known, folder: Path) -> None:
        """Write what is known."""
        save_known(value, folder)

    def load(self, folder: Path, device: str) -> Known:
        """Read what is known."""
        return load_known(folder)


@dataclass(frozen=True)
class Curate(Pool):
    """Apply filters to one chunk; each verdict depends on its own image only, so chunks do not matter."""

    chunk: DrawImages
    filters: tuple[Filter, ...]
    judges: tuple[FitJudge, ...]
    known: LookAtReal

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"filter {self.chunk.fit.generator.kind}"

    @property
    def chunks(self) -> tuple[DrawImages, ...]:
        """Return the chunk that is filtered."""
        return (self.chunk,)

    def make(self, work: Work) -> Curated:
        """Apply."""
        judges = [work.get(judge) for judge in self.judges]
        return Curator(self.filters, judges, work.get(self.known), device=work.device).look(work.get(self.chunk))

    def save(self, value: Curated, folder: Path) -> None:
        """Write the images and the verdicts."""
        value.save(folder)

    def load(self, folder: Path, device: str) -> Curated:
        """Open them."""
        return Curated.load(folder)


@dataclass(frozen=True)
class Select(Pool):
    """Put the images of one class of a pool in order; what a selection leaves out is left out."""

    pool: tuple[Pool, ...]
    selection: Selection
    judge: FitJudge | None = None

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"select {self.selection.kind}"

    @property
    def chunks(self) -> tuple[DrawImages, ...]:
        """Return the chunks that are selected from."""
        return tuple(chunk for source in self.pool for chunk in source.chunks)

    def make(self, work: Work) -> ImageSet:
        """Put in order."""
        pool = join_chunks([images_of(work.get(source)) for source in self.pool])
        return pool.take(in_order(self.selection, pool, lambda: work.get(self.judge), work.device))  # type: ignore[arg-type]

    def save(self, value: ImageSet, folder: Path) -> None:
        """Write the images, in order."""
        value.save(folder)

    def load(self, folder: Path, device: str) -> ImageSet:
        """Open them."""
        return ImageSet.load(folder, lazily=True)
