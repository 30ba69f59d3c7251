"""What would change a verdict: another difference, another region, one split less, more groups, another rival."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from scipy import optimize, stats

from augury.statistics import PROBABLE, Interval, correlated_t, groups_needed, nadeau_bengio
from augury.verdict import PLAIN, Evidence, Kind, decide, signed

MOST_GROUPS = 100  # times those of the study: beyond it an estimate from so few splits says nothing
WIDEST = 1.0  # scores differ by no more
NO_NUMBER = {
    Kind.WITHHELD: "No number changes this: it takes a run without the reasons listed. "
    "Where a generator copies, another one, or the filter near_copy, may do.",
    Kind.EXPLORATORY: "No number makes this more than an estimate: it takes a run without the reasons listed.",
}


def tipping_points(evidence: Evidence, over_real: Sequence[float] = (), room: float = math.inf) -> tuple[str, ...]:
    """Say by how much the numbers, or the choices made before them, would have to differ for another verdict.

    Nothing here is a finding. The differences, their spread and the rule are those of `decide`.

    Args:
        evidence: What the verdict rests on.
        over_real: Paired differences between the first of the two compared and real images only; empty where that is
            what is compared anyway.
        room: What the second of the two leaves to gain: how far it scores below the best score there is.

    Returns:
        Sentences, at least one.

    >>> for line in tipping_points(Evidence("AUROC", (0.04, 0.05, 0.045, 0.05), ratio=0.25, rope=0.01, groups=80)):
    ...     print(line)
    With this spread over the splits it is HELPS from +0.018 on and HARMS from -0.018 on; measured: +0.046.
    It stays HELPS for every region up to ±0.038, declared before the run.
    It stays HELPS whichever single split is left out.
    """
    kind = decide(evidence).kind
    if evidence.external and kind in NO_NUMBER:
        return (NO_NUMBER[kind],)
    if evidence.external:
        return ("No number makes this more than SUGGESTIVE: it takes splits over all images, not one given test part.",)
    interval = nadeau_bengio(evidence.differences, evidence.ratio)
    lines = [NO_NUMBER[kind]] if kind in NO_NUMBER else []
    if interval.se > 0:
        lines.append(_by_difference(kind, evidence, interval, room))
        if kind not in NO_NUMBER:
            lines += [
                *_by_region(kind, evidence, interval),
                *_by_split(kind, evidence),
                *_by_groups(evidence, interval),
            ]
    elif kind not in NO_NUMBER:
        lines.append("The difference is the same in every split: only other splits could change that.")
    return (*lines, *_by_rival(kind, evidence, over_real))


def _by_difference(kind: Kind, evidence: Evidence, interval: Interval, room: float) -> str:
    least = max(_quantile(interval, 0.975), evidence.rope + _quantile(interval, PROBABLE))
    beyond = f", which is out of reach: {evidence.other} leaves {room:.3f} to gain," if least > room else ""
    turns = f"HELPS from +{least:.3f} on{beyond} and HARMS from -{least:.3f} on; measured: {signed(interval.mean)}."
    if kind in NO_NUMBER:
        return f"Without these reasons, and with this spread over the splits it would be {turns}"
    return f"With this spread over the splits it is {turns}"


def _by_region(kind: Kind, evidence: Evidence, interval: Interval) -> list[str]:
    """Say with which region of practical equivalence another verdict would follow from the same differences."""
    widest = abs(interval.mean) - _quantile(interval, PROBABLE)
    if kind in (Kind.HELPS, Kind.HARMS):
        return [f"It stays {kind} for every region up to ±{widest:.3f}, declared before the run."]
    if kind is Kind.SUGGESTIVE and widest > 0:
        better = Kind.HELPS if interval.mean > 0 else Kind.HARMS
        return [f"With a region of at most ±{widest:.3f}, declared before the run, it would be {better}."]
    region = _least_region(evidence)
    if kind is Kind.NO_PRACTICAL_DIFFERENCE:
        return [f"It stays {kind} for every region from ±{region:.3f} on, declared before the run."]
    none = Kind.NO_PRACTICAL_DIFFERENCE
    return [f"With a region of ±{region:.3f} or wider, declared before the run, it would be {none}."]


def _least_region(evidence: Evidence) -> float:
    """Return the narrowest region that holds the difference with enough probability."""

    def missing(rope: float) -> float:
        return correlated_t(evidence.differences, evidence.ratio, rope).inside - PROBABLE

    return float(optimize.brentq(missing, 0.0, WIDEST)) if missing(WIDEST) > 0 else WIDEST


def _by_split(kind: Kind, evidence: Evidence) -> list[str]:
    """Say what each split is worth: the verdict when it is left out."""
    values = evidence.differences
    if len(values) < 3:
        return []
    kinds = Counter(
        decide(replace(evidence, differences=(*values[:i], *values[i + 1 :]))).kind for i in range(len(values))
    )
    other = ", ".join(f"{name} without {_of(n, len(values))}" for name, n in kinds.most_common() if name is not kind)
    if not other:
        return [f"It stays {kind} whichever single split is left out."]
    return [f"It rests on single splits: it would be {other}."]


def _of(count: int, splits: int) -> str:
    if count == splits:
        return "any single one"
    return f"one of the {splits} splits" if count == 1 else f"any one of {count} of the {splits} splits"


def _by_groups(evidence: Evidence, interval: Interval) -> list[str]:
    """Say how many groups would tell a difference of the measured size from none."""
    if not interval.low <= 0 <= interval.high or interval.mean == 0:
        return []
    half = (interval.high - interval.low) / 2
    needed = groups_needed(evidence.groups, half, abs(interval.mean))
    if needed > MOST_GROUPS * evidence.groups:
        return []
    return [
        f"Were the true difference as large as the measured one, about {needed} groups would give an interval that "
        f"excludes 0; this study has {evidence.groups}."
    ]


def _by_rival(kind: Kind, evidence: Evidence, over_real: Sequence[float]) -> list[str]:
    """Say what the comparison with the weakest rival would have looked like."""
    if not over_real:
        return []
    weaker = decide(replace(evidence, differences=tuple(over_real), other=PLAIN, same_predictions=False))
    size = f"{signed(weaker.estimate)} (95 % interval {signed(weaker.low)} to {signed(weaker.high)})"
    reading = "" if kind in NO_NUMBER else f", which would read {weaker.kind}"
    return [
        f"Against {PLAIN}, as is often printed, {evidence.one} differs by {size}{reading}; what an arm "
        "without generated images gains as well is not the generator's."
    ]


def _quantile(interval: Interval, level: float) -> float:
    """Return how far a t interval of one side reaches from its mean."""
    return float(stats.t.ppf(level, interval.n - 1)) * interval.se
