"""What is looked at about a fitted generator: which of its snapshots is used, and whether it has collapsed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from augury.classifiers import Predictor
from augury.collapse import ClassDiversity, Collapse, detect
from augury.curation import vectors_of
from augury.filters import PIXELS
from augury.generators.base import Generator, Sampler
from augury.images import ImageSet
from augury.study.classifier_steps import FitClassifier
from augury.study.steps import DrawImages, FitGenerator, Step, Work, as_drawn, join_chunks, part_of
from augury.training import Run

DISTANCE, LOSS, COPIES = "kernel distance", "loss on held-out images", "share of copies"
MOST_LEARNED = 300  # drawn images of a class that a classifier is trained on to choose a weight of guidance
RIGHT = "discriminator right"  # the loss record's name for the share of images that are told apart


@dataclass(frozen=True)
class Choice:
    """Which network is used, and how.

    Attributes:
        steps: Its training's steps.
        measured: What was measured of each network on the inner part, by name and steps; the last is that of the whole
            training.
        guidance: The weight of guidance; None: that of the recipe.
        learned: Log-loss on the inner part of a classifier trained on drawn images only, by weight of guidance.
    """

    steps: int
    measured: dict[str, dict[int, float]]
    guidance: float | None = None
    learned: dict[float, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ChooseSnapshot(Step):
    """Choose among the networks that were kept of a training, on the inner part; the test part is not opened.

    A network that can tell its loss on images it did not see is chosen by that, among those whose images are not copies
    of training images more often than held-out images would be. Of others the one whose images are nearest to the inner
    part's is chosen, in the features of a judge that saw neither: the study's first classifier, trained on the real
    training images; the distance is KID. Images are drawn as many of each class as the inner part has (PROTOCOL,
    Decisions 9).

    Where several weights of guidance are to choose from, the one is taken from whose images, as many of each class as
    the training part has (at most MOST_LEARNED), the study's first classifier learns best: least log-loss on the inner
    part, each class weighing alike.
    """

    version: ClassVar[int] = 2
    fit: FitGenerator
    judge: FitClassifier
    drawn_by: Generator | None = None

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"choose among snapshots of {self.fit.generator.kind}"

    def make(self, work: Work) -> Choice:
        """Compare the snapshots and the last step."""
        sampler = as_drawn(work.get(self.fit), self.drawn_by)
        film = sampler.film
        assert film is not None, "who keeps snapshots keeps a film"
        val = part_of(work, self.fit.split, "val")
        kept = {steps: sampler.at(steps) for steps in film.snapshots()} | {max(film.frames()): sampler}
        drawn = {steps: _like(each, val, self.fit.seed) for steps, each in kept.items()}
        losses = {steps: each.held_out_loss(val, seed=self.fit.seed) for steps, each in kept.items()}
        known = {steps: loss for steps, loss in losses.items() if loss is not None}
        if known:
            found = by_loss(known, drawn, part_of(work, self.fit.split, "train"), val)
        else:
            found = _by_distance(drawn, val, work.get(self.judge))
        return self._guided(found, kept[found.steps], work, val)

    def _guided(self, found: Choice, sampler: Sampler, work: Work, val: ImageSet) -> Choice:
        from augury.metrics.classification import choice_losses  # loads statistics, which other steps do without

        train = part_of(work, self.fit.split, "train")
        counts = {name: min(n, MOST_LEARNED) for name, n in zip(train.classes, train.counts(), strict=True) if n}
        learned = {}
        for weight in getattr(self.drawn_by, "guidances", ()):
            drawn = sampler.drawn_with(guidance=weight).draw(counts, seed=self.fit.seed)
            told = self.judge.classifier.by_steps().fit(drawn, None, Run(self.judge.seed, work.device)).predict(val)
            learned[weight] = float(choice_losses(val.labels.numpy(), told, even=True).mean())
        if not learned:
            return found
        return replace(found, guidance=min(learned, key=learned.__getitem__), learned=learned)

    def save(self, value: Choice, folder: Path) -> None:
        """Write the choice."""
        record = {
            "steps": value.steps,
            "measured": {name: list(of.items()) for name, of in value.measured.items()},
            "guidance": value.guidance,
            "learned": list(value.learned.items()),
        }
        (folder / "choice.json").write_text(json.dumps(record), encoding="utf-8")

    def load(self, folder: Path, device: str) -> Choice:
        """Read the choice."""
        record = json.loads((folder / "choice.json").read_text(encoding="utf-8"))
        measured = {name: dict(map(tuple, of)) for name, of in record["measured"].items()}
        return Choice(record["steps"], measured, record["guidance"], dict(map(tuple, record["learned"])))


def _by_distance(drawn: Mapping[int, ImageSet], val: ImageSet, judge: Predictor) -> Choice:
    """Choose the images that are nearest to those of the inner part; of equal ones the later."""
    from augury.metrics.fidelity import kid  # loads SciPy, which other steps do without

    real = judge.features(val.images)
    distances = {steps: kid(real, judge.features(images.images)) for steps, images in drawn.items()}
    return Choice(min(distances, key=lambda steps: (distances[steps], -steps)), {DISTANCE: distances})


def by_loss(losses: dict[int, float], drawn: Mapping[int, ImageSet], train: ImageSet, val: ImageSet) -> Choice:
    """Choose the least loss where copies are no more than chance would have; where all copy, what does least.

    Args:
        losses: Of each network on held-out images, by steps of its training.
        drawn: What each network draws.
        train: The images that it was trained on.
        val: Images that it was not trained on.
    """
    from augury.metrics.copying import copy_rate, nearest

    seen = vectors_of(train, PIXELS)
    held_out = nearest(vectors_of(val, PIXELS), seen)[0]
    found = {steps: copy_rate(nearest(vectors_of(each, PIXELS), seen)[0], held_out) for steps, each in drawn.items()}
    copies = {steps: each.rate for steps, each in found.items()}
    new = [steps for steps, each in found.items() if each.lower <= each.expected]
    steps = min(new, key=losses.__getitem__) if new else min(copies, key=copies.__getitem__)
    return Choice(steps, {LOSS: losses, COPIES: copies})


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
