"""A study: the frozen description of the whole experiment, and the cells it consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SerializeAsAny, model_validator

from augury.augment import FAMILIES
from augury.classifiers.base import GENERATOR_SEES_TEST, Classifier
from augury.duplicates import Conflicts, Near
from augury.generators.base import Generator
from augury.images import ImageSet
from augury.mixing import class_shares
from augury.policies import Nothing, Policy
from augury.readers import ReadSettings
from augury.seeds import seed_for
from augury.settings import Recipe, by_name, nearest
from augury.splits import Split, SplitPlan
from augury.study.steps import CHUNK, DrawImages, FitClassifier, FitGenerator, MakeSplit, Part, Predict, ReadImages

REAL = "real"
IMBALANCED = 1.25  # largest class over smallest, from which on balancing is worth an arm of its own
FLAWS = (
    GENERATOR_SEES_TEST,
    "groups_ignored",
    "given_split_as_is",
    "no_rebalancing_control",
)


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
    safe: tuple[str, ...] = Field(
        default=("shift", "rotate", "crop"), description="augmentations that cannot change a label here"
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


class Arm(Recipe):
    """One way to train: which generator's images, how many, and what is changed in the classifier."""

    name: str
    generator: str | None = Field(default=None, description="name of a generator; none: real images only")
    amounts: tuple[SerializeAsAny[Policy], ...] = Field(default=(), description="policies, one arm each")
    classifier: Annotated[tuple[tuple[str, Any], ...], AfterValidator(by_name)] = Field(
        default=(), description="changed settings of the classifier"
    )


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
        for family in self.data.safe:
            if family not in FAMILIES:
                raise ValueError(f"there is no augmentation {family!r}{nearest(family, list(FAMILIES))}")
        if not self.classifiers:
            raise ValueError("a study needs at least one [[classifiers]].")
        for named in (self.generators, self.classifiers, self.arms):
            _unique([item.name for item in named])
        for arm in self.arms:
            self._check_arm(arm)
        if REAL not in [arm.name for arm in self.arms]:
            raise ValueError(f"the arm {REAL!r} (real images only) always runs: add [[arms]] with name = {REAL!r}.")
        return self

    def _check_arm(self, arm: Arm) -> None:
        names = [named.name for named in self.generators]
        if arm.generator is not None and arm.generator not in names:
            raise ValueError(f"arm {arm.name!r} names the generator {arm.generator!r}{nearest(arm.generator, names)}")
        if (arm.generator is None) != (not arm.amounts):
            raise ValueError(f"arm {arm.name!r} needs both a generator and amounts, or neither of them.")
        labels = [policy.label for policy in arm.amounts]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"arm {arm.name!r} has the amount {label!r} twice: give each an arm of its own.")
        if arm.name == REAL and (arm.generator is not None or arm.classifier):
            raise ValueError(f"the arm {REAL!r} is the plain classifier on real images: it has no further settings.")
        for name in ("steps", "batch"):
            if name in dict(arm.classifier):
                raise ValueError(
                    f"arm {arm.name!r} changes {name!r}: every arm has one budget, set in [[classifiers]]."
                )
        for classifier in self.classifiers:
            changed = classifier.recipe.replace(**dict(arm.classifier))
            augment = getattr(changed, "augment", None)
            unsafe = [name for name in augment.families() if name not in self.data.safe] if augment else []
            if unsafe:
                raise ValueError(
                    f"arm {arm.name!r} augments by {unsafe[0]!r}, which [data] safe does not list "
                    f"({', '.join(self.data.safe) or 'nothing'}). List it if it cannot change a label here."
                )


def _unique(names: Sequence[str]) -> None:
    for name in names:
        if not name.strip():
            raise ValueError("a name is empty.")
        if names.count(name) > 1:
            raise ValueError(f"the name {name!r} stands twice: give each its own.")


@dataclass(frozen=True)
class ArmPlan:
    """One row of the arms table: an arm at one amount."""

    name: str
    generator: NamedGenerator | None
    policy: Policy
    overrides: tuple[tuple[str, Any], ...]

    @property
    def uses_generated(self) -> bool:
        """Tell whether its classifiers see generated images that are news to them."""
        return self.generator is not None and not self.generator.recipe.control

    @property
    def copies(self) -> bool:
        """Tell whether it is a copycat: real images again, through a generator's path, nothing else changed."""
        return self.generator is not None and self.generator.recipe.kind == "repeat" and not self.overrides


@dataclass(frozen=True)
class Cell:
    """One arm, one classifier, one split: the steps whose predictions are scored."""

    classifier: str
    arm: ArmPlan
    split: Split
    counts: tuple[int, ...]
    real_counts: tuple[int, ...]
    fit: FitClassifier
    predictions: dict[Part, Predict]


def arm_plans(study: Study) -> tuple[ArmPlan, ...]:
    """List the rows of the arms table, real images first."""
    named = {generator.name: generator for generator in study.generators}
    rows = []
    for arm in sorted(study.arms, key=lambda arm: arm.name != REAL):
        if arm.generator is None:
            rows.append(ArmPlan(arm.name, None, Nothing(), arm.classifier))
        rows += [
            ArmPlan(f"{arm.name} · {policy.label}", named[str(arm.generator)], policy, arm.classifier)
            for policy in arm.amounts
        ]
    return tuple(rows)


def cells(study: Study, read: ReadImages, images: ImageSet) -> tuple[Cell, ...]:
    """Lay out the grid: every classifier on every split with every arm.

    All cells of one block (classifier, split) share one seed; equal steps are one step, because their keys are equal.
    """
    grid = []
    for index, split in enumerate(study.split.cut(images, study.seed)):
        made = MakeSplit(read, study.split, study.seed, index, "groups_ignored" in study.flaws)
        for classifier in study.classifiers:
            block = _Block(study, images, split, made, classifier)
            grid += [block.cell(arm) for arm in (*arm_plans(study), *_twins(study, block))]
    return tuple(grid)


@dataclass(frozen=True)
class _Block:
    study: Study
    images: ImageSet
    split: Split
    made: MakeSplit
    classifier: NamedClassifier

    def real_counts(self) -> tuple[int, ...]:
        labels = self.images.labels[list(self.split.train)]
        return tuple(labels.bincount(minlength=len(self.images.classes)).tolist())

    def seed(self, name: str) -> int:
        return seed_for(self.study.seed, name, self.split.repeat, self.split.fold, self.split.inner)

    def cell(self, arm: ArmPlan) -> Cell:
        real = self.real_counts()
        counts = arm.policy.counts(real, self.images.classes)
        fit = FitClassifier(
            split=self.made,
            classifier=self.classifier.recipe.replace(**dict(arm.overrides)),
            seed=self.seed("classifier"),
            pool=self._pool(arm, counts),
            counts=counts if any(counts) else (),
        )
        parts: tuple[Part, ...] = ("val", "test", "rest") if self.split.rest else ("val", "test")
        predictions = {part: Predict(fit, part, self.study.flaws) for part in parts}
        return Cell(self.classifier.name, arm, self.split, counts, real, fit, predictions)

    def _pool(self, arm: ArmPlan, counts: tuple[int, ...]) -> tuple[DrawImages, ...]:
        if arm.generator is None:
            return ()
        sees_test = GENERATOR_SEES_TEST in self.study.flaws
        fit = FitGenerator(self.made, arm.generator.recipe, self.seed(f"generator {arm.generator.name}"), sees_test)
        return tuple(
            DrawImages(fit, label, chunk) for label, count in enumerate(counts) for chunk in range(-(-count // CHUNK))
        )


def twin_name(arm: ArmPlan) -> str:
    """Return the name of the oversampling arm that shows each class as often as a copycat arm does."""
    return f"oversampling as in {arm.name}"


def _twins(study: Study, block: _Block) -> list[ArmPlan]:
    """Return the oversampling arms that the copycat gate compares with (PROTOCOL, Decisions 10)."""
    return [
        ArmPlan(twin_name(arm), None, Nothing(), _shown_as_often(block, arm))
        for arm in arm_plans(study)
        if arm.copies and any(arm.policy.counts(block.real_counts(), block.images.classes))
    ]


def _shown_as_often(block: _Block, arm: ArmPlan) -> tuple[tuple[str, Any], ...]:
    real = block.real_counts()
    cap = getattr(block.classifier.recipe, "max_synthetic_share", 1.0)
    shares = class_shares(real, arm.policy.counts(real, block.images.classes), cap)
    natural = class_shares(real, [0] * len(real))
    if max(abs(a - b) for a, b in zip(shares, natural, strict=True)) < 0.01:
        return ()  # the same step as the arm of real images only
    if max(shares) - min(shares) < 0.01:
        return (("sampling", "balanced"),)  # the same step as class-balanced sampling
    return (("sampling", shares),)
