"""The steps that train classifiers and score images with them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.classifiers.base import Classifier, Exposure, Predictor
from augury.classifiers.features import FeatureBank, FeatureMaker
from augury.curation import Curated
from augury.images import ImageSet
from augury.mixing import mix
from augury.study.steps import DrawImages, MakeSplit, Part, Pool, Prepared, ReadImages, Step, Work, join_chunks, part_of

EXPOSURE = "exposure.json"


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


def images_of(value: ImageSet | Curated) -> ImageSet:
    """Return the images of a pool: all that were drawn, or those that filters kept."""
    return value.kept() if isinstance(value, Curated) else value


@dataclass(frozen=True)
class FitClassifier(Step):
    """Fit a classifier on the training part and the first `counts[k]` images of each class of a pool.

    A pool of which filters or a person have left fewer than that gives what it has. `tuned` has found some settings of
    the classifier; `features` are those of the real images, then of each chunk of the pool, if it is a head on a frozen
    backbone. `watched` is the part that a training by epochs looks at: another than the inner part is a declared flaw.
    """

    split: MakeSplit
    classifier: Classifier
    seed: int
    pool: tuple[Pool, ...] = ()
    counts: tuple[int, ...] = ()
    features: tuple[Features, ...] = ()
    tuned: Tune | None = None
    watched: Part = "val"

    @property
    def title(self) -> str:
        """Return a few words for progress and failures."""
        return f"fit {self.classifier.kind}"

    @property
    def chunks(self) -> tuple[DrawImages, ...]:
        """Return the steps that drew the pool."""
        return tuple(chunk for source in self.pool for chunk in source.chunks)

    def make(self, work: Work) -> Predictor:
        """Mix and fit."""
        train = part_of(work, self.split, "train")
        pool = join_chunks([images_of(work.get(source)) for source in self.pool]) if self.pool else None
        there = pool.counts() if pool else ()
        mixed = mix(train, pool, [min(pair) for pair in zip(self.counts, there, strict=False)])
        val = part_of(work, self.split, self.watched)
        known = FeatureBank.joined([work.get(step) for step in self.features]) if self.features else None
        run = dataclasses.replace(self._run(self.seed, work), features=known)
        return self._tuned(work).fit(mixed, val, run)

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
        from augury.metrics.classification import choice_losses  # loads statistics, which other steps do without

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
        known = work.get(self.fit.features[0]) if self.fit.features else None  # of real images: no others are scored
        return predictor.predict(images, flaws=self.flaws, features=known)

    def save(self, value: np.ndarray, folder: Path) -> None:
        """Write float32 (N, K)."""
        np.save(folder / "probabilities.npy", value, allow_pickle=False)

    def load(self, folder: Path, device: str) -> np.ndarray:
        """Read float32 (N, K)."""
        probabilities: np.ndarray = np.load(folder / "probabilities.npy", allow_pickle=False)
        return probabilities
