"""The outcome of a study: every number that the report, the tables and `--json` show, all computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from augury.statistics import Bootstrap, Interval
from augury.study.audit_outcome import Audited
from augury.study.clinic_outcome import Clinic
from augury.verdict import Verdict

if TYPE_CHECKING:
    from augury.study.doses import DoseReading


@dataclass(frozen=True)
class ClassResult:
    """One class in one arm: means over the splits.

    `recall_change` is the recall's difference to real images only, with its Nadeau–Bengio interval; None for
    that arm itself. `recall_interval` is Wilson's 95 % interval of the recall, each image counted once, however often
    it was predicted; None without an image.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    recall_change: Interval | None
    recall_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ArmResult:
    """One row of the arms table: one classifier, one arm, all splits.

    Attributes:
        classifier: Name of the classifier.
        arm: Name of the arm, unique for a classifier.
        generator: Name of the generator, or None.
        policy: How many images: `balance`, `ratio 0.5`, ...; None without a generator.
        uses_generated: Whether its images count as generated (copies and mixtures of real ones do not).
        added: Synthetic images in the training set, mean over splits; fewer than wanted where filters left fewer.
        dose: Synthetic images per real one.
        share: Share of synthetic images per batch.
        steps: Optimiser steps per fit, as recorded.
        batch: Images per step, as recorded.
        trials: Trials that found its settings.
        real_exposures: Real images shown per fit, repeats counted, as recorded.
        splits: Splits scored.
        failed: Splits without a result.
        scores: Metric key -> mean over splits; NaN where undefined.
        difference: Primary metric minus real images only; None for that arm itself or with fewer than 2 splits.
        p_holm: Holm-adjusted p of `difference`; None where there is none.
        chosen: Share of splits in which the inner part chose this arm within its kind (with or without generated).
        classes: Per-class means.
        confusion: Counts summed over splits, rows actual, columns predicted.
        sensitivity: Of the named positive class; None when none is named.
        specificity: Likewise.
        external: Mean primary metric on the images a scarce subset left out; None without them.
        sensitivity_row: Whether it has another budget, or a person picked its images: it is shown and never chosen.
        withheld: Why it takes no part in the verdict; empty where it does.
    """

    classifier: str
    arm: str
    generator: str | None
    policy: str | None
    uses_generated: bool
    added: float
    dose: float
    share: float
    steps: float
    batch: float
    real_exposures: float
    splits: int
    failed: int
    scores: dict[str, float]
    difference: Interval | None
    p_holm: float | None
    chosen: float
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    sensitivity: float | None = None
    specificity: float | None = None
    external: float | None = None
    trials: float = 0
    sensitivity_row: bool = False
    withheld: str = ""


@dataclass(frozen=True)
class Contrast:
    """The one comparison that the sentence is about, for one classifier.

    `differences` holds one value per split (best arm with generated images minus best arm without, each chosen
    on the inner part), oriented so that positive is better. `using` and `without` count the chosen arms.
    `pipeline` is the secondary contrast: the pipeline that may use generated images minus the one that may not;
    `pipeline_share` the share of splits in which it did. `tipping` says what would change the verdict.
    """

    classifier: str
    differences: tuple[float, ...]
    interval: Interval | None
    bootstrap: Bootstrap | None
    using: dict[str, int]
    without: dict[str, int]
    using_score: float
    without_score: float
    pipeline: Interval | None
    pipeline_share: float
    verdict: Verdict
    external: Bootstrap | None = None  # second endpoint: the images that a scarce subset left out
    tipping: tuple[str, ...] = ()
    generated: bool = True  # False: a study without generated images, its chosen arm against real images only


@dataclass(frozen=True)
class Gate:
    """A check that must pass before a verdict is given; `passed` is None when it could not be checked."""

    name: str
    passed: bool | None
    text: str


@dataclass(frozen=True)
class DataSummary:
    """What the study was run on."""

    source: str
    images: int
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    shape: tuple[int, int, int]
    groups: int
    groups_given: bool
    used: int  # images in the splits, after scarce subsets
    used_counts: tuple[int, ...]
    set_aside: tuple[tuple[str, ...], ...]
    dropped: tuple[tuple[str, str], ...]
    merged: int
    near: tuple[tuple[str, ...], ...] = ()
    near_conflicts: tuple[tuple[str, ...], ...] = ()
    near_duplicates: str = "join"  # or leave: they were not looked for
    skipped: tuple[tuple[str, str], ...] = ()  # (name, reason) of files that could not be read
    levels: str = ""  # how images of more than 8 bits became images of 8
    shortcuts: tuple[tuple[str, str], ...] = ()  # (property, sentence) of what gives the classes away


@dataclass(frozen=True)
class PlanSummary:
    """How the images were split."""

    plan: str  # folds | given
    folds: int
    repeats: int
    inner_folds: int
    train_images: float
    val_images: float
    test_images: float
    ratio: float  # n_test / n_train, in groups


@dataclass(frozen=True)
class Diversity:
    """How diverse a generator's images of one class are against the training images of the class.

    Attributes:
        name: Name of the class.
        splits: Splits in which it could be judged.
        collapsed: Splits of these in which its images were too much alike.
        real: Real images that were looked at, mean over splits.
        drawn: Drawn images that were looked at, mean over splits.
        spread: Root mean squared distance to the mean image, drawn / real, mean over splits.
        least_spread: The least of them.
        modes: Effective number of clusters of real images, drawn / real, mean over splits; None with too few images.
        least_modes: The least of them.
    """

    name: str
    splits: int
    collapsed: int
    real: float
    drawn: float
    spread: float
    least_spread: float
    modes: float | None
    least_modes: float | None


@dataclass(frozen=True)
class GeneratorResult:
    """A generator of the study.

    Attributes:
        name: Its name in the study.
        kind: Its kind.
        settings: Its settings.
        control: Whether its images are no news to a classifier.
        contains_training_images: Whether a fitted model holds images it was fitted on.
        parameters: Number of trained weights.
        looked: Splits in which the diversity of its images was looked at.
        collapsed: Splits of these in which the collapse detector fired.
        discriminator_won: Splits of these in which its discriminator told nearly every image apart.
        diversity: Of every class that could be judged.
        findings: What the detector said in the worst of these splits.
        remarks: What else a reader should know, in sentences: of images made elsewhere where they come from.
    """

    name: str
    kind: str
    settings: dict[str, object]
    control: bool
    contains_training_images: bool
    parameters: int
    looked: int = 0
    collapsed: int = 0
    discriminator_won: int = 0
    diversity: tuple[Diversity, ...] = ()
    findings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curation:
    """What filters and a selection left of the images drawn for one arm, over all splits.

    Attributes:
        arm: Name of the arm.
        rules: Its filters and its selection, in words.
        classes: Names of the classes that images were drawn of.
        drawn: Images drawn, by class.
        kept: Images left by the filters, by class.
        reasons: Filter -> images it dropped first, by class.
        wanted: Synthetic images wanted in all splits.
        used: Synthetic images used in all splits.
    """

    arm: str
    rules: str
    classes: tuple[str, ...]
    drawn: tuple[int, ...]
    kept: tuple[int, ...]
    reasons: dict[str, tuple[int, ...]]
    wanted: int
    used: int


@dataclass(frozen=True)
class Failure:
    """A step that failed, and how many cells it took with it."""

    step: str
    reason: str
    cells: int


@dataclass(frozen=True)
class Outcome:
    """A finished study.

    `contrasts[0]` belongs to the first classifier of the study, and its verdict is the study's.
    """

    title: str
    version: str
    metric: str  # key
    metric_label: str
    rope: float
    positive: str
    data: DataSummary
    plan: PlanSummary
    contrasts: tuple[Contrast, ...]
    arms: tuple[ArmResult, ...]
    generators: tuple[GeneratorResult, ...]
    gates: tuple[Gate, ...]
    flaws: tuple[str, ...]
    budget: str  # "every arm: 300 steps x 64 images; settings fixed beforehand, no tuning"
    failures: tuple[Failure, ...]
    cells_failed: int
    cells: int
    settings: str  # the resolved study, TOML
    environment: dict[str, str]
    notes: tuple[str, ...] = ()
    clinics: tuple[Clinic, ...] = ()
    audited: Audited = field(default_factory=Audited)
    curations: tuple[Curation, ...] = ()
    doses: tuple[DoseReading, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Return the study's verdict."""
        return self.contrasts[0].verdict
