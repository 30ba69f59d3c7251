"""Which arms the report speaks about."""

from __future__ import annotations

import math
from collections.abc import Sequence

from augury.study.outcome import ArmResult, Contrast, Outcome

REAL = "real"
SEPARATOR = " · "  # between an arm's name and its policy


def arms_of(outcome: Outcome, classifier: str) -> tuple[ArmResult, ...]:
    """List the arms of one classifier."""
    return tuple(arm for arm in outcome.arms if arm.classifier == classifier)


def named(arms: Sequence[ArmResult], name: str) -> ArmResult | None:
    """Find an arm of one classifier by its name."""
    return next((arm for arm in arms if arm.arm == name), None)


def ranked(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Order chosen arms by how often they were chosen.

    >>> ranked({"a": 2, "b": 5, "c": 2})
    [('b', 5), ('a', 2), ('c', 2)]
    """
    return sorted(counts.items(), key=lambda item: -item[1])


def score(arm: ArmResult, metric: str) -> float:
    """Return an arm's score, NaN where it has none."""
    return arm.scores.get(metric, math.nan)


def chosen_using(contrast: Contrast, arms: Sequence[ArmResult], most: int = 3) -> list[ArmResult]:
    """List the arms with generated images that were chosen, the most often chosen first."""
    return _found(contrast.using, arms)[:most]


def best_without(contrast: Contrast, arms: Sequence[ArmResult]) -> ArmResult | None:
    """Find the arm without generated images that was chosen most often."""
    return next(iter(_found(contrast.without, arms)), None)


def dose_families(arms: Sequence[ArmResult], metric: str) -> dict[str, list[ArmResult]]:
    """Group the scored arms that differ in the amount only, by what stands before the policy; two amounts at least."""
    families: dict[str, list[ArmResult]] = {}
    for arm in arms:
        if arm.generator is not None and math.isfinite(score(arm, metric)):
            families.setdefault(arm.arm.rpartition(SEPARATOR)[0] or arm.arm, []).append(arm)
    return {name: sorted(rows, key=lambda arm: arm.added) for name, rows in families.items() if len(rows) > 1}


def _found(counts: dict[str, int], arms: Sequence[ArmResult]) -> list[ArmResult]:
    found = (named(arms, name) for name, _ in ranked(counts))
    return [arm for arm in found if arm is not None]
