"""What a clinician asks of a study's classifiers, computed: operating points, calibration, one test set, subgroups."""

from __future__ import annotations

from dataclasses import dataclass

from augury.metrics.calibration import ReliabilityBin
from augury.one_test_set import AurocDifference, McNemar, PatientBootstrap
from augury.statistics import Interval


@dataclass(frozen=True)
class Operating:
    """What a threshold from the inner part gives on the test part: means over splits.

    `target` is the specificity aimed at; `change` the difference in sensitivity to real images only, None for that arm.
    """

    target: float
    sensitivity: float
    specificity: float
    change: Interval | None


@dataclass(frozen=True)
class ClinicArm:
    """One arm as a clinician would ask about it.

    Attributes:
        arm: Its name.
        points: Operating points of the positive class; empty when none is named.
        average_precision: Of the positive class, mean over splits; None when none is named.
        recalibrated: log_loss, brier and ece after recalibration (temperature and class shifts, fitted on the inner
            part), mean over splits; what they were before stands in `ArmResult.scores`.
        even_balanced_accuracy: Balanced accuracy once the classes are weighed alike, fitted on the inner part.
        reliability: Bins of the highest probability, every scored image of the first repeat once.
        reliability_recalibrated: Likewise, after recalibration.
    """

    arm: str
    points: tuple[Operating, ...]
    average_precision: float | None
    recalibrated: dict[str, float]
    even_balanced_accuracy: float
    reliability: tuple[ReliabilityBin, ...]
    reliability_recalibrated: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class OneTestSet:
    """Two arms on one test set, probabilities averaged over trainings: what chance in its patients does.

    Attributes:
        part: `test` (a given test part) or `rest` (what a scarce subset left out).
        images: Images of the part.
        groups: Their groups.
        one: The arm chosen most often.
        other: The arm that it is compared with; the same one where nothing else was chosen.
        one_score: Primary metric.
        other_score: Likewise.
        auroc: DeLong's comparison, one minus other; two classes only.
        mcnemar: The images that only one of them got right.
        bootstrap: Difference in the primary metric with its BCa interval over groups.
        reasons: Why something of this is missing.
    """

    part: str
    images: int
    groups: int
    one: str
    other: str
    one_score: float
    other_score: float
    auroc: AurocDifference | None = None
    mcnemar: McNemar | None = None
    bootstrap: PatientBootstrap | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subgroup:
    """The scored images with one value of a further column; `scores` hold one value per arm, None if undefined."""

    value: str
    images: int
    groups: int
    scores: tuple[float | None, ...]


@dataclass(frozen=True)
class Subgroups:
    """The primary metric of some arms in the subgroups of one further column."""

    column: str
    arms: tuple[str, ...]
    rows: tuple[Subgroup, ...]


@dataclass(frozen=True)
class Clinic:
    """What a clinician asks of one classifier, for real images only and the arms chosen most often.

    `prevalence` is the share of the positive class in the test parts; None when none is named.
    """

    classifier: str
    arms: tuple[ClinicArm, ...]
    prevalence: float | None = None
    test_sets: tuple[OneTestSet, ...] = ()
    subgroups: tuple[Subgroups, ...] = ()
