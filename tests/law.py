"""A toy law whose truth is known: 8 x 8 images of a few classes, a fast classifier, and generators good and bad.

An image is the mean of its class, plus strong noise along a few directions that all classes share, plus weak white
noise. The directions must be learned, so more images of the true law help a great deal, and anything else does not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from augury.classifiers.base import Classifier, Exposure, Predictor, Trained
from augury.errors import DataError
from augury.generators import Blend, Repeat
from augury.generators.base import Card, Generator, Sampler
from augury.images import ImageSet, StoredPixels, real_set
from augury.mixing import Mixture, Synthetic
from augury.policies import Policy, Ratio
from augury.readers import read
from augury.seeds import seed_for
from augury.settings import Recipe
from augury.splits import SplitPlan
from augury.study import Arm, Audit, DataSettings, NamedClassifier, NamedGenerator, Study
from augury.training import Run

SIDE = 8
DIRECTIONS = 40  # of the shared noise
GREY = 128.0  # mean of all images, 0..255


class Law(Recipe):
    """What images are drawn from."""

    kind: ClassVar[str] = "law"
    classes: int = 2
    signal: float = 2.6  # distance of a class mean from grey, in units of the white noise
    shared: float = 10.0  # strength of the shared noise, in the same units
    white: float = 4.0  # standard deviation of the white noise, grey levels

    @property
    def names(self) -> tuple[str, ...]:
        return tuple("abc"[: self.classes])

    def draw(self, label: int, rng: np.random.Generator) -> Tensor:
        """Draw one image of a class: uint8 (1, 8, 8)."""
        means, directions = _fixed(self.classes)
        noise = self.shared * rng.standard_normal(DIRECTIONS) @ directions + rng.standard_normal(SIDE**2)
        return _pixels(GREY + self.white * (self.signal * means[label] + noise))


@cache
def _fixed(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit class means (K, 64) and the directions (40, 64) of the shared noise."""
    rng = np.random.default_rng(seed_for("toy law", classes))
    means = rng.standard_normal((classes, SIDE**2))
    means -= means.mean(axis=0)
    return means / np.linalg.norm(means, axis=1, keepdims=True), rng.standard_normal((DIRECTIONS, SIDE**2)) / SIDE


def _pixels(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.round().clip(0, 255).astype(np.uint8).reshape(1, SIDE, SIDE))


def draw_images(n_per_class: int | Sequence[int], seed: int, law: Law | None = None) -> ImageSet:
    """Draw real images from the law, classes mixed."""
    law = law or Law()
    counts = [n_per_class] * law.classes if isinstance(n_per_class, int) else n_per_class
    rng = np.random.default_rng(seed_for("toy images", seed))
    labels = rng.permutation(np.repeat(np.arange(law.classes), counts))
    images = torch.stack([law.draw(int(label), rng) for label in labels])
    return real_set(images, torch.from_numpy(labels), law.names)


def write(images: ImageSet, path: Path, **columns: Any) -> str:
    """Write images as a .npz file that `augury.read` reads, and return its path."""
    np.savez(path, images=images.images[:, 0].numpy(), labels=images.labels.numpy(), classes=images.classes, **columns)
    return str(path)


class Discriminant(Classifier):
    """Linear discriminant analysis in closed form, each image weighted by how often it is shown."""

    kind: ClassVar[str] = "discriminant"
    summary: ClassVar[str] = "toy: class means and one shrunk covariance"
    steps: int = Field(default=4, ge=1)
    batch: int = Field(default=128, ge=2)
    sampling: Literal["natural", "balanced"] | tuple[float, ...] = "natural"
    synthetic: Synthetic = Synthetic(max_share=0.8)
    shrink: float = 0.03

    def fit(self, train: ImageSet, val: ImageSet | None, run: Run) -> DiscriminantPredictor:
        source = Mixture(train, seed=run.seed, sampling=self.sampling, use=self.synthetic)
        shown = torch.cat([source.index(step, self.batch) for step in range(self.steps)])
        weights = torch.bincount(shown, minlength=len(train)).double()
        real, drawn = len(source.real), len(source.drawn)
        exposures = source.real_exposures(self.steps, self.batch)
        exposure = Exposure(self.steps, self.batch, real, drawn, source.share, exposures)
        coefficients, offsets = _discriminant(train, weights, self.shrink)
        return DiscriminantPredictor(Trained.of(train, exposure), coefficients, offsets)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> DiscriminantPredictor:
        trained = Trained.from_record(json.loads((folder / "trained.json").read_text()))
        with np.load(folder / "weights.npz") as saved:
            return DiscriminantPredictor(trained, *(torch.from_numpy(saved[name]) for name in ("w", "b")))


def _discriminant(train: ImageSet, weights: Tensor, shrink: float) -> tuple[Tensor, Tensor]:
    """Return coefficients (64, K) and offsets (K,) of the log-posterior under equal class shares."""
    x = _features(train.images)
    members = torch.nn.functional.one_hot(train.labels, len(train.classes)).double() * weights[:, None]
    means = (members.T @ x) / members.sum(0).clamp(min=1e-9)[:, None]
    centred = x - means[train.labels]
    scatter = (centred * weights[:, None]).T @ centred / weights.sum()
    even = scatter.diagonal().mean().clamp(min=1e-6) * torch.eye(len(scatter), dtype=torch.float64)
    coefficients = torch.linalg.solve((1 - shrink) * scatter + shrink * even, means.T)
    return coefficients, -0.5 * (means.T * coefficients).sum(0)


def _features(images: Tensor | StoredPixels) -> Tensor:
    return (images[:].flatten(1).double() - GREY) / 10


class DiscriminantPredictor(Predictor):
    def __init__(self, trained: Trained, coefficients: Tensor, offsets: Tensor) -> None:
        self.trained, self.coefficients, self.offsets = trained, coefficients, offsets

    def probabilities(self, images: Tensor | StoredPixels) -> np.ndarray:
        return (_features(images) @ self.coefficients + self.offsets).softmax(1).float().numpy()

    def features(self, images: Tensor | StoredPixels) -> np.ndarray:
        return _features(images).float().numpy()

    def save(self, folder: Path) -> None:
        (folder / "trained.json").write_text(json.dumps(self.trained.record()))
        np.savez(folder / "weights.npz", w=self.coefficients.numpy(), b=self.offsets.numpy())


class OfTheLaw(Generator):
    """A generator that learns nothing: what it draws follows from its settings."""

    law: Law = Law()

    def fit(self, train: ImageSet, run: Run) -> LawSampler:
        return LawSampler(Card.of(self, train, run.seed), self)

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> LawSampler:
        law = {name: value for name, value in card.settings["law"].items() if name != "kind"}
        return LawSampler(card, cls(law=Law(**law)))

    def image(self, label: int, rng: np.random.Generator) -> Tensor:
        raise NotImplementedError


class Oracle(OfTheLaw):
    kind: ClassVar[str] = "oracle"
    summary: ClassVar[str] = "toy: the true law"

    def image(self, label: int, rng: np.random.Generator) -> Tensor:
        return self.law.draw(label, rng)


class Noise(OfTheLaw):
    kind: ClassVar[str] = "noise"
    summary: ClassVar[str] = "toy: pixels without any law"

    def image(self, label: int, rng: np.random.Generator) -> Tensor:
        return _pixels(rng.uniform(0, 255, SIDE**2))


class ShuffledLabels(OfTheLaw):
    kind: ClassVar[str] = "shuffled_labels"
    summary: ClassVar[str] = "toy: the true law, but any class's image under any label"

    def image(self, label: int, rng: np.random.Generator) -> Tensor:
        return self.law.draw(int(rng.integers(self.law.classes)), rng)


class Broken(OfTheLaw):
    kind: ClassVar[str] = "broken"
    summary: ClassVar[str] = "toy: cannot be fitted"

    def fit(self, train: ImageSet, run: Run) -> LawSampler:
        raise DataError("this generator is broken.")


class LawSampler(Sampler):
    def __init__(self, card: Card, recipe: OfTheLaw) -> None:
        super().__init__(card)
        self.recipe = recipe

    def sample(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        pairs = zip(labels.tolist(), seeds, strict=True)
        return torch.stack([self.recipe.image(label, np.random.default_rng(seed)) for label, seed in pairs])

    def save_model(self, folder: Path) -> None:
        """Write nothing: the card says it all."""


class SecondRepeat(Repeat):
    """Real images again, passed off as generated ones: a generator that cannot help."""

    kind: ClassVar[str] = "second_repeat"
    summary: ClassVar[str] = "toy: repeat, not marked as a control"
    control: ClassVar[bool] = False


class Peeper(Generator):
    """Learns from the whole source instead of the training part it is given.

    An honest one says so on its card, and what it draws are new mixtures; the other hands out the images themselves.
    """

    kind: ClassVar[str] = "peeper"
    summary: ClassVar[str] = "toy: looks at the test images"
    source: str
    honest: bool = True

    def fit(self, train: ImageSet, run: Run) -> Sampler:
        everything = read(self.source)
        sampler = (Blend(parents=8) if self.honest else Repeat()).fit(everything, run)
        sampler.card = Card.of(self, everything if self.honest else train, run.seed)
        return sampler

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> Sampler:
        raise NotImplementedError("peepers live in memory.")


REAL = Arm(name="real")
BALANCED = Arm(name="balanced", classifier=(("sampling", "balanced"),))


def arm(generator: str, *doses: float | Policy, name: str = "", **classifier: Any) -> Arm:
    """Return an arm with a generator's images, one row per dose (synthetic images per real one) or policy."""
    amounts = tuple(dose if isinstance(dose, Policy) else Ratio(r=float(dose)) for dose in doses)
    changed = tuple(sorted(classifier.items()))
    return Arm(name=name or generator, generator=generator, amounts=amounts, classifier=changed)


def toy_study(source: str, generators: Sequence[Generator], arms: Sequence[Arm], **changes: Any) -> Study:
    """Return a study of the discriminant, 5 folds twice unless told otherwise; generators go by their kind."""
    plain: dict[str, Any] = {
        "data": DataSettings(source=source),
        "split": SplitPlan(folds=5, repeats=2),
        "generators": tuple(NamedGenerator(name=recipe.kind, recipe=recipe) for recipe in generators),
        "classifiers": (NamedClassifier(name="discriminant", recipe=Discriminant()),),
        "arms": (REAL, *arms),
        "audit": Audit(copying=False, fidelity=False),  # studies of audits switch it on
    }
    return Study(**{**plain, **changes})
