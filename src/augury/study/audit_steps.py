"""The steps that audit a generator in one split: whether its images are copies, and how near they come to real ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from augury.classifiers.features import FeatureBank
from augury.curation import vectors_of
from augury.filters import PIXELS
from augury.images import ImageSet
from augury.study.classifier_steps import Features, FitClassifier, images_of
from augury.study.steps import MakeSplit, Part, Pool, Step, Work, join_chunks, part_of

if TYPE_CHECKING:  # statistics take a second to load, and every worker process loads this module
    from augury.audit import Copying, Fidelity, Parts, Witness
    from augury.audit.spaces import Rules

JUDGE = "judge"
HELD_OUT: tuple[Part, ...] = ("val", "test")  # what no generator has seen


@dataclass(frozen=True)
class AuditCopying(Step):
    """Audit whether drawn images are copies of training images, against real images that were held out."""

    version: ClassVar[int] = 3  # looks at each class alone, and at enough of the nearest images

    split: MakeSplit
    pool: tuple[Pool, ...]
    seed: int
    features: tuple[Features, ...] = ()

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"audit {self.pool[0].chunks[0].fit.generator.kind}"

    def make(self, work: Work) -> Copying:
        """Audit."""
        from augury.audit import copying

        return copying(_parts(work, self.split, HELD_OUT, self.pool, _fixed(work, self.features)), self.seed)

    def save(self, value: Copying, folder: Path) -> None:
        """Write what was found."""
        (folder / "copying.json").write_text(json.dumps(value.record()), encoding="utf-8")

    def load(self, folder: Path, device: str) -> Copying:
        """Read what was found."""
        from augury.audit import Copying

        return Copying.from_record(json.loads((folder / "copying.json").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class AuditControls(Step):
    """Audit copies of training images, which must be flagged, and unused real images, which must not be."""

    version: ClassVar[int] = 3  # likewise

    split: MakeSplit
    seed: int
    features: tuple[Features, ...] = ()

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return "audit the controls"

    def make(self, work: Work) -> tuple[Witness, Witness]:
        """Audit both."""
        from augury.audit import copycat, unused

        parts = _parts(work, self.split, HELD_OUT, (), _fixed(work, self.features))
        return copycat(parts, self.seed), unused(parts, self.seed)

    def save(self, value: tuple[Witness, Witness], folder: Path) -> None:
        """Write what was found."""
        (folder / "controls.json").write_text(json.dumps([one.record() for one in value]), encoding="utf-8")

    def load(self, folder: Path, device: str) -> tuple[Witness, Witness]:
        """Read what was found."""
        from augury.audit import Witness

        copies, fresh = json.loads((folder / "controls.json").read_text(encoding="utf-8"))
        return Witness.from_record(copies), Witness.from_record(fresh)


@dataclass(frozen=True)
class MeasureFidelity(Step):
    """Compare drawn with held-out real images, in the features of the judge and of a network that knows neither."""

    split: MakeSplit
    pool: tuple[Pool, ...]
    judge: FitClassifier
    seed: int
    features: tuple[Features, ...] = ()

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"fidelity of {self.pool[0].chunks[0].fit.generator.kind}"

    def make(self, work: Work) -> tuple[Fidelity, float | None]:
        """Compare; the second value is the judge's balanced accuracy on drawn images (TRTS); None without any."""
        from augury.audit import Fidelity, diversity, fidelity
        from augury.metrics.classification import METRICS

        judge = work.get(self.judge)
        rules = {JUDGE: lambda images: judge.features(images.images), **_network(work, self.features)}
        drawn = _drawn(work, self.pool)
        if not len(drawn):  # filters left none
            return Fidelity(()), None
        score = METRICS["balanced_accuracy"].function(drawn.labels.numpy(), judge.probabilities(drawn.images))
        found = fidelity(_parts(work, self.split, ("test",), self.pool, rules), self.seed)
        spread = diversity(drawn, part_of(work, self.split, "test"), self.seed)
        return replace(found, diversity=spread), float(score)

    def save(self, value: tuple[Fidelity, float | None], folder: Path) -> None:
        """Write what was found."""
        rows, spread = ([asdict(row) for row in rows] for rows in (value[0].rows, value[0].diversity))
        record = {"rows": rows, "diversity": spread, "trts": value[1]}
        (folder / "fidelity.json").write_text(json.dumps(record), encoding="utf-8")

    def load(self, folder: Path, device: str) -> tuple[Fidelity, float | None]:
        """Read what was found."""
        from augury.audit import Fidelity, PairDiversity, SpaceFidelity

        record = json.loads((folder / "fidelity.json").read_text(encoding="utf-8"))
        spread = tuple(PairDiversity(**row) for row in record.get("diversity", ()))
        return Fidelity(tuple(SpaceFidelity(**row) for row in record["rows"]), spread), record["trts"]


def _parts(work: Work, split: MakeSplit, held_out: Sequence[Part], pool: tuple[Pool, ...], rules: Rules) -> Parts:
    from augury.audit import Parts, Views

    train, others = part_of(work, split, "train"), part_of(work, split, *held_out)
    sides = [Views.of(images, rules) for images in (train, others, *([_drawn(work, pool)] if pool else []))]
    return Parts(train.classes, sides[0], sides[1], sides[-1])


def _drawn(work: Work, pool: tuple[Pool, ...]) -> ImageSet:
    return join_chunks([images_of(work.get(source)) for source in pool])


def _fixed(work: Work, features: tuple[Features, ...]) -> Rules:
    """Return the spaces that know no real image: a judge would have seen one side and not the other."""
    return {PIXELS: lambda images: vectors_of(images, PIXELS), **_network(work, features)}


def _network(work: Work, features: tuple[Features, ...]) -> Rules:
    if not features:
        return {}
    bank, maker = FeatureBank.joined([work.get(step) for step in features]), features[0].maker
    name = maker.network if maker.weights == "imagenet" else f"{maker.network}, weights from a file"
    return {name: lambda images: bank.of(images)[:, 0]}
