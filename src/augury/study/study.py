"""A study: the frozen description of the whole experiment, and the cells it consists of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, model_validator

from augury.augment import safe_families
from augury.classifiers.base import GENERATOR_SEES_TEST, Classifier
from augury.duplicates import Conflicts, Near
from augury.filters import Filter
from augury.generators.base import Generator
from augury.policies import Policy
from augury.readers import ReadSettings
from augury.selections import Selection
from augury.settings import Recipe, by_name, nearest
from augury.splits import SplitPlan

REAL = "real"
NO_NETWORK = "none"
LARGEST_GRID = 10_000  # combinations: all are listed before some are drawn
Recalibrate = Literal["none", "temperature", "prior", "both", "even"]
IMBALANCED = 1.25  # largest class over smallest, from which on balancing is worth an arm of its own
MORE_STEPS, BEST_TEST_EPOCH, PICKED = "more_steps_with_synthetic", "best_test_epoch", "picked_with_test_knowledge"
FLAWS = (
    GENERATOR_SEES_TEST,
    "groups_ignored",
    "given_split_as_is",
    "no_rebalancing_control",
    MORE_STEPS,
    BEST_TEST_EPOCH,
    PICKED,
)


def _listed(names: Any) -> Any:
    return (names,) if isinstance(names, str) else names


class DataSettings(ReadSettings):
    """Which images, how they are read, and what may be done to them."""

    kind: ClassVar[str] = "data"

    source: str = Field(
        description="folder, .zip, .csv, .tsv, .npz, medmnist:NAME or digits; a path is relative to the study file"
    )
    near_duplicates: Near = Field(
        default="join", description="join: pictures that look the same are one group; leave: they are not looked for"
    )
    conflicting_duplicates: Conflicts = Field(
        default="set_aside", description="one picture under two labels: set_aside, or join into one group"
    )
    safe: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(safe_families)] = Field(
        default=("shift", "rotate", "crop"),
        description="augmentations that cannot change a label here, or a modality: chest, dermoscopy, ...",
    )
    positive: str = Field(default="", description="the class whose sensitivity is reported; two classes only")

    def how(self) -> ReadSettings:
        """Return how the images are read: what decides about their pixels, labels and groups."""
        return ReadSettings(**{name: getattr(self, name) for name in ReadSettings.model_fields})


class NamedGenerator(Recipe):
    """A generator under the name by which arms refer to it."""

    name: str
    recipe: SerializeAsAny[Generator]


class NamedClassifier(Recipe):
    """A classifier under the name by which the report refers to it."""

    name: str
    recipe: SerializeAsAny[Classifier]


class Tuning(Recipe):
    """How some settings of the classifiers are found: trials on the inner part, the same number for every arm."""

    kind: ClassVar[str] = "tune"
    trials: int = Field(default=0, ge=0, le=1000, description="trials per outer split; 0: nothing is tuned")
    grid: Annotated[tuple[tuple[str, tuple[Any, ...]], ...], AfterValidator(by_name)] = Field(
        default=(), description="settings of the classifiers and the values to try"
    )
    per_arm: bool = Field(
        default=False, description="a search for every arm; else one, on real images only, that all arms share"
    )

    @model_validator(mode="after")
    def _something_to_try(self) -> Self:
        if bool(self.trials) != bool(self.grid):
            raise ValueError("[tune] needs both trials and a grid, such as grid = { rate = [0.0003, 0.001, 0.003] }.")
        for name, values in self.grid:
            if not values:
                raise ValueError(f"[tune] grid has no value to try for {name!r}.")
            if any(isinstance(value, dict) for value in values):
                raise ValueError(f"[tune] grid tries tables for {name!r}, which has none.")
        if math.prod(len(values) for _, values in self.grid) > LARGEST_GRID:
            raise ValueError(f"[tune] grid has more than {LARGEST_GRID} combinations. List fewer values.")
        return self

    def candidates(self, seed: int) -> tuple[tuple[tuple[str, Any], ...], ...]:
        """Return the settings of each trial: the whole grid if it is no larger, else a seeded sample without repeats.

        Example:
            >>> Tuning(trials=3, grid=(("rate", (0.001, 0.003)), ("dropout", (0.0, 0.5)))).candidates(seed=0)[0]
            (('dropout', 0.0), ('rate', 0.001))
        """
        rows = [tuple(zip(dict(self.grid), values, strict=True)) for values in product(*dict(self.grid).values())]
        if len(rows) <= self.trials:
            return tuple(rows)
        order = np.random.default_rng(seed).permutation(len(rows))[: self.trials]
        return tuple(rows[i] for i in sorted(order.tolist()))


class Arm(Recipe):
    """One way to train: which generator's images, how many, and what is changed in the classifier."""

    name: str
    generator: str | None = Field(default=None, description="name of a generator; none: real images only")
    amounts: tuple[SerializeAsAny[Policy], ...] = Field(default=(), description="policies, one arm each")
    filters: tuple[SerializeAsAny[Filter], ...] = Field(
        default=(), description="which images are kept: agreement, typicality, near_copy, difficulty"
    )
    select: SerializeAsAny[Selection] | None = Field(
        default=None, description="which of the kept images come first: diverse, or handpicked (a person's list)"
    )
    factor: float = Field(
        default=2.0, ge=1, le=100, description="images drawn per image wanted, where filters or a selection choose"
    )
    classifier: Annotated[tuple[tuple[str, Any], ...], AfterValidator(by_name)] = Field(
        default=(), description="changed settings of the classifier"
    )
    recalibrate: Recalibrate = Field(
        default="none", description="of the probabilities, on the inner part: temperature, prior, both, or even classes"
    )
    longer: float = Field(
        default=1.0, gt=0, le=100, description="times the steps; other than 1: shown as a sensitivity row, never chosen"
    )


class Audit(Recipe):
    """What is looked at in the images of every generator, in the splits of the first repeat."""

    kind: ClassVar[str] = "audit"
    copying: bool = Field(default=True, description="whether they are copies; a generator whose are loses its arms")
    fidelity: bool = Field(default=True, description="how near they come to real ones; it decides nothing")
    images: int = Field(
        default=200, ge=10, le=10_000, description="drawn images of a class that are looked at, at most"
    )
    network: str = Field(
        default=NO_NETWORK, description="a second space: efficientnet_lite0, timm:NAME, fidelity:dinov2-vit-b-14, ..."
    )
    weights: str = Field(default="imagenet", description="its weights: imagenet (the published ones) or file:PATH")

    @model_validator(mode="after")
    def _network_exists(self) -> Self:
        from augury.networks.fidelity_extractors import check_network  # only other networks load torchvision

        if self.weights != "imagenet" and not self.weights.startswith("file:"):
            raise ValueError(f"'weights' is imagenet or file:PATH. Got {self.weights!r}.")
        if self.network != NO_NETWORK:
            check_network(self.network)
        elif self.weights != "imagenet":
            raise ValueError(f"'weights' are a network's, and none is named. Got {self.weights!r}: set 'network'.")
        return self


class Study(Recipe):
    """Everything that decides a study's result.

    Example:
        >>> import augury
        >>> study = augury.study.demo()
        >>> [arm.name for arm in study.arms][:3]
        ['real', 'balanced', 'classical']
    """

    kind: ClassVar[str] = "study"
    title: str = Field(default="Study", description="heading of the report")
    seed: int = Field(default=0, ge=0, description="seed of everything")
    metric: Literal["auto", "auroc", "balanced_accuracy", "accuracy", "macro_f1", "mcc"] = Field(
        default="auto", description="the primary metric; auto: auroc for two classes, else balanced_accuracy"
    )
    rope: float = Field(default=0.01, gt=0, lt=0.5, description="differences up to this are of no practical interest")
    exploratory: bool = Field(default=False, description="end in EXPLORATORY, whatever comes out")
    flaws: tuple[str, ...] = Field(default=(), description="declared flaws; each withholds the verdict")
    threads: int = Field(default=1, ge=1, le=256, description="threads per step, part of the result's identity")
    tune: Tuning = Field(default=Tuning(), description="trials that find settings of the classifiers")
    audit: Audit = Field(default=Audit(), description="copying and fidelity of generated images")
    data: DataSettings
    split: SplitPlan = Field(default=SplitPlan())
    generators: tuple[NamedGenerator, ...] = ()
    classifiers: tuple[NamedClassifier, ...]
    arms: tuple[Arm, ...]

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for flaw in self.flaws:
            if flaw not in FLAWS:
                raise ValueError(f"there is no flaw {flaw!r}{nearest(flaw, list(FLAWS))}")
        by_epochs = any(getattr(each.recipe, "published", False) for each in self.classifiers)
        if BEST_TEST_EPOCH in self.flaws and not by_epochs:
            raise ValueError(
                f"{BEST_TEST_EPOCH!r} lifts nothing here: no classifier is trained by epochs. Set published = true, "
                f"and declare {MORE_STEPS!r} too."
            )
        if not self.classifiers:
            raise ValueError("a study needs at least one [[classifiers]].")
        for named in (self.generators, self.classifiers, self.arms):
            _unique([item.name for item in named])
        for generator in self.generators:
            self._check_seen(generator)
        for arm in self.arms:
            self._check_arm(arm)
        if REAL not in [arm.name for arm in self.arms]:
            raise ValueError(f"the arm {REAL!r} (real images only) always runs: add [[arms]] with name = {REAL!r}.")
        return self

    def _check_seen(self, named: NamedGenerator) -> None:
        recipe = getattr(named.recipe, "generator", named.recipe)  # of an enlarged one, the generator behind it
        game = getattr(recipe, "game", None)
        unsafe = [family for family in game.diffaugment if family not in self.data.safe] if game else []
        if unsafe:
            raise ValueError(
                f"generator {named.name!r} shows its discriminator images changed by {unsafe[0]!r}, which [data] safe "
                f"does not list ({', '.join(self.data.safe) or 'nothing'}). List it if it cannot change a label here."
            )

    def primary_metric(self, classes: int) -> str:
        """Return the key of the primary metric for K classes."""
        from augury.metrics.classification import primary_metric  # loads statistics: worker processes do without

        return self.metric if self.metric != "auto" else primary_metric(classes)

    def _check_arm(self, arm: Arm) -> None:
        names = [named.name for named in self.generators]
        if arm.generator is not None and arm.generator not in names:
            raise ValueError(f"arm {arm.name!r} names the generator {arm.generator!r}{nearest(arm.generator, names)}")
        if (arm.generator is None) != (not arm.amounts):
            raise ValueError(f"arm {arm.name!r} needs both a generator and amounts, or neither of them.")
        _check_curation(arm)
        labels = [policy.label for policy in arm.amounts]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"arm {arm.name!r} has the amount {label!r} twice: give each an arm of its own.")
        if arm.name == REAL and arm != Arm(name=REAL):
            raise ValueError(f"the arm {REAL!r} is the plain classifier on real images: it has no further settings.")
        for name in ("steps", "batch"):
            if name in dict(arm.classifier):
                raise ValueError(
                    f"arm {arm.name!r} changes {name!r}: every arm has one budget, set in [[classifiers]]. "
                    "An arm with longer = 2.0 is shown beside them."
                )
        for name in sorted(set(dict(arm.classifier)) & set(dict(self.tune.grid))):
            raise ValueError(f"arm {arm.name!r} changes {name!r}, which [tune] finds. Leave it out of one of them.")
        for classifier in self.classifiers:
            changed = classifier.recipe.replace(**dict(arm.classifier))
            for tried in (changed, *self._tried(changed)):
                self._check_budget(classifier, tried)
                self._check_safe(arm, tried)

    def _tried(self, changed: Classifier) -> list[Classifier]:
        """Return a classifier with the settings of each trial."""
        candidates = [dict(candidate) for candidate in self.tune.candidates(self.seed)] if self.tune.trials else []
        tried = [changed.replace(**candidate) for candidate in candidates]
        if {"steps", "batch", "synthetic"} & set(dict(self.tune.grid)):
            raise ValueError("[tune] finds no 'steps', 'batch' or 'synthetic': they decide what an arm is shown.")
        if any(each.feature_maker() != changed.feature_maker() for each in tried):
            raise ValueError("[tune] finds settings of the head only where the network is frozen.")
        return tried

    def _check_budget(self, classifier: NamedClassifier, changed: Classifier) -> None:
        if getattr(changed, "published", False) and MORE_STEPS not in self.flaws:
            raise ValueError(
                f"classifier {classifier.name!r} is trained as published: more images get more steps, and the best "
                f"epoch counts. Declare flaws = [{MORE_STEPS!r}] (no verdict then), or leave 'published' out."
            )

    def _check_safe(self, arm: Arm, changed: Classifier) -> None:
        augment = getattr(changed, "augment", None)
        unsafe = [name for name in augment.families() if name not in self.data.safe] if augment else []
        if unsafe:
            raise ValueError(
                f"arm {arm.name!r} augments by {unsafe[0]!r}, which [data] safe does not list "
                f"({', '.join(self.data.safe) or 'nothing'}). List it if it cannot change a label here."
            )


def _check_curation(arm: Arm) -> None:
    if arm.generator is None and (arm.filters or arm.select):
        raise ValueError(f"arm {arm.name!r} has filters or a selection, and no generator whose images they choose.")
    if arm.factor != Arm.model_fields["factor"].default and not (arm.filters or arm.select):
        raise ValueError(f"arm {arm.name!r} has a factor, and neither filters nor a selection that would choose.")
    labels = [rule.label for rule in arm.filters]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"arm {arm.name!r} has the filter {label!r} twice: once is enough.")


def _unique(names: Sequence[str]) -> None:
    for name in names:
        if not name.strip():
            raise ValueError("a name is empty.")
        if names.count(name) > 1:
            raise ValueError(f"the name {name!r} stands twice: give each its own.")
