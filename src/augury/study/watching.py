"""What is looked at about a fitted generator: which of its snapshots is used, and whether it has collapsed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from augury.collapse import ClassDiversity, Collapse, detect
from augury.generators.base import Sampler
from augury.images import ImageSet
from augury.study.classifier_steps import FitClassifier
from augury.study.steps import DrawImages, FitGenerator, Step, Work, join_chunks, part_of

RIGHT = "discriminator right"  # the loss record's name for the share of images that are told apart


@dataclass(frozen=True)
class Choice:
    """Which snapshot is used.

    Attributes:
        steps: Its training's steps.
        distances: Kernel distance to the inner part by steps; the last is that of the whole training.
    """

    steps: int
    distances: dict[int, float]


@dataclass(frozen=True)
class ChooseSnapshot(Step):
    """Choose the snapshot whose images are nearest to the inner part's, in the features of a judge that saw neither.

    The judge is the study's first classifier, trained on the real training images; the distance is KID, from as many
    images of each class as the inner part has. The test part is not opened (PROTOCOL, Decisions 9).
    """

    fit: FitGenerator
    judge: FitClassifier

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"choose among snapshots of {self.fit.generator.kind}"

    def make(self, work: Work) -> Choice:
        """Compare the snapshots and the last step."""
        from augury.metrics.fidelity import kid  # loads SciPy, which other steps do without

        sampler: Sampler = work.get(self.fit)
        film = sampler.film
        assert film is not None, "who keeps snapshots keeps a film"
        val, judge = part_of(work, self.fit.split, "val"), work.get(self.judge)
        kept = {steps: sampler.at(steps) for steps in film.snapshots()} | {max(film.frames()): sampler}
        features = judge.features(val.images)
        drawn = {steps: judge.features(_like(each, val, self.fit.seed).images) for steps, each in kept.items()}
        distances = {steps: kid(features, each) for steps, each in drawn.items()}
        return Choice(min(distances, key=lambda steps: (distances[steps], -steps)), distances)

    def save(self, value: Choice, folder: Path) -> None:
        """Write the choice."""
        record = {"steps": value.steps, "distances": list(value.distances.items())}
        (folder / "choice.json").write_text(json.dumps(record), encoding="utf-8")

    def load(self, folder: Path, device: str) -> Choice:
        """Read the choice."""
        record = json.loads((folder / "choice.json").read_text(encoding="utf-8"))
        return Choice(record["steps"], {int(steps): float(distance) for steps, distance in record["distances"]})


def _like(sampler: Sampler, images: ImageSet, seed: int) -> ImageSet:
    """Draw as many images of each class as a set has."""
    counts = images.counts()
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return sampler.draw_rows(labels, [i for count in counts for i in range(count)], seed=seed)


@dataclass(frozen=True)
class LookForCollapse(Step):
    """Compare the diversity of a generator's images, within each class, with that of its training images."""

    pool: tuple[DrawImages, ...]

    @property
    def fit(self) -> FitGenerator:
        """Return the fit that is looked at."""
        return self.pool[0].fit

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"look at the diversity of {self.fit.generator.kind}"

    def make(self, work: Work) -> Collapse:
        """Compare."""
        film = work.get(self.fit).film
        right = film.losses().get(RIGHT, []) if film is not None else []
        real, drawn = part_of(work, self.fit.split, "train"), join_chunks([work.get(chunk) for chunk in self.pool])
        return detect(real, drawn, right, seed=self.fit.seed % 2**32)

    def save(self, value: Collapse, folder: Path) -> None:
        """Write what was found."""
        (folder / "collapse.json").write_text(json.dumps(asdict(value)), encoding="utf-8")

    def load(self, folder: Path, device: str) -> Collapse:
        """Read what was found."""
        record = json.loads((folder / "collapse.json").read_text(encoding="utf-8"))
        return Collapse(**{**record, "classes": tuple(ClassDiversity(**each) for each in record["classes"])})
