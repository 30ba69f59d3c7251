"""The doses of a study, read: the amount from which more images bring nothing, and the one from which they harm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy import stats

from augury.statistics import Interval, dose_region

if TYPE_CHECKING:  # an outcome holds readings
    from augury.study.outcome import ArmResult

NORMAL = 2 * float(stats.norm.ppf(0.975))  # standard errors in the width of a 95 % interval


@dataclass(frozen=True)
class Dose:
    """One amount of synthetic images.

    Attributes:
        policy: As the study file writes it; `none` for real images only.
        added: Synthetic images, mean over splits.
        dose: Synthetic images per real one.
    """

    policy: str
    added: float
    dose: float

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.policy} ({self.added:,.0f} images)" if self.added else "no images (real images only)"


NO_IMAGES = Dose("none", 0.0, 0.0)


@dataclass(frozen=True)
class DoseReading:
    """What the doses of one arm tell, for one classifier.

    Attributes:
        arm: Name of the arm, without its policy.
        generator: Name of the generator.
        classifier: Name of the classifier.
        tried: The doses that have a result, ascending.
        saturation: The smallest dose within one standard error of the best, no images being one of the doses; None
            with fewer than two doses that add images.
        best: The dose with the highest mean, no images being one of them; None without a result.
        harm: The smallest dose from which on the interval against real images only lies below 0; None without one.
        sentence: All of this in words.
    """

    arm: str
    generator: str
    classifier: str
    tried: tuple[Dose, ...]
    saturation: Dose | None
    best: Dose | None
    harm: Dose | None
    sentence: str


def dose_readings(arms: Iterable[ArmResult]) -> tuple[DoseReading, ...]:
    """Read the doses of every arm with generated images, classifier by classifier.

    Arms of another budget, and amounts that add no image, are left out. The standard error is the Nadeau-Bengio one of
    the difference to real images only; on one given test part, where there is none, it is taken from the width of the
    difference's bootstrap interval.

    Args:
        arms: The rows of a study's arms table, of all classifiers.

    Returns:
        One reading per classifier and arm, in the order of the table.

    Reference: Breiman et al. 1984, Classification and Regression Trees, section 3.4.3 (the one-standard-error rule).

    Example:
        >>> import augury
        >>> finished = augury.study.run(augury.study.toy())
        >>> dose_readings(finished.outcome.arms)[0].sentence.partition(":")[0]
        'cvae with small_cnn'
    """
    families: dict[tuple[str, str], list[ArmResult]] = {}
    for arm in arms:
        if arm.uses_generated and not arm.sensitivity_row and arm.added > 0:
            families.setdefault((arm.classifier, arm.arm.removesuffix(f" · {arm.policy}")), []).append(arm)
    return tuple(_reading(name, sorted(rows, key=lambda arm: arm.added)) for (_, name), rows in families.items())


def _reading(name: str, rows: Sequence[ArmResult]) -> DoseReading:
    known = [(arm, arm.difference) for arm in rows if arm.difference and math.isfinite(arm.difference.mean)]
    doses = tuple(Dose(arm.policy or "", arm.added, arm.dose) for arm, _ in known)
    changes = [change for _, change in known]
    best = max([(0.0, NO_IMAGES), *zip((c.mean for c in changes), doses, strict=True)], key=lambda pair: pair[0])[1]
    saturation = _saturation(doses, changes) if len(doses) > 1 else None
    harm = _harm(doses, changes)
    words = (_amount_words(doses, saturation, best), _harm_words(changes, harm))
    sentence = f"{name} with {rows[0].classifier}: {'; '.join(filter(None, words))}."
    made_by = str(rows[0].generator)
    return DoseReading(name, made_by, rows[0].classifier, doses, saturation, best if doses else None, harm, sentence)


def _error(change: Interval) -> float:
    """Return a standard error; NaN where there is not even an interval."""
    return change.se if math.isfinite(change.se) else (change.high - change.low) / NORMAL


def _saturation(doses: Sequence[Dose], changes: Sequence[Interval]) -> Dose | None:
    means, errors = [0.0, *(change.mean for change in changes)], [0.0, *(_error(change) for change in changes)]
    if not math.isfinite(errors[means.index(max(means))]):
        return None
    every = [NO_IMAGES, *doses]
    return every[dose_region(means, errors, [dose.added for dose in every])]


def _harm(doses: Sequence[Dose], changes: Sequence[Interval]) -> Dose | None:
    found = None
    for dose, change in zip(reversed(doses), reversed(changes), strict=True):
        if not change.high < 0:
            break
        found = dose
    return found


def _amount_words(doses: Sequence[Dose], saturation: Dose | None, best: Dose) -> str:
    if not doses:
        return "none of its doses has a difference to real images only"
    if len(doses) == 1:
        return f"one dose was tried, {doses[0]}: where more images bring nothing cannot be told"
    if best is NO_IMAGES:
        return "no dose scores above real images only"
    if saturation is None:
        return f"the best dose is {best}; without a standard error its doses are not told apart"
    if saturation is NO_IMAGES:
        return f"no dose lies more than one standard error above real images only; the best is {best}"
    if saturation != best:
        return f"it saturates at {saturation}, which lies within one standard error of the best dose, {best}"
    if best == doses[-1]:
        return f"the best dose is the largest one tried, {best}: no saturation was seen"
    return f"the best dose is {best}; smaller ones lie more than one standard error below it"


def _harm_words(changes: Sequence[Interval], harm: Dose | None) -> str:
    if not changes or not math.isfinite(changes[-1].high):
        return ""
    if harm is not None:
        return f"from {harm} on it harms: the 95 % interval against real images only lies below 0"
    which = "its" if len(changes) == 1 else "the largest dose's"
    return f"no harm was found: {which} 95 % interval against real images only does not lie below 0"
