"""From paired differences to one sentence: gates first, then fixed words, no adjectives."""

import math
from dataclasses import dataclass
from enum import StrEnum

from augury.statistics import (
    PROBABLE,
    Bootstrap,
    Interval,
    Posterior,
    correlated_t,
    groups_needed,
    minimum_detectable_effect,
    nadeau_bengio,
)

WITH, WITHOUT = "the best arm with generated images", "the best arm without them"
RIVAL, PLAIN = "the arm chosen on the inner part", "real images only"  # of a study without generated images
NO_SPREAD = "Nothing differs, so there is no spread to judge by: no interval, no probability, no finding either way."
ABSENCE = "Absence of evidence is not evidence of absence."


class Kind(StrEnum):
    """Name the seven ways in which a study can end."""

    HELPS = "HELPS"
    HARMS = "HARMS"
    SUGGESTIVE = "SUGGESTIVE"
    NO_PRACTICAL_DIFFERENCE = "NO PRACTICAL DIFFERENCE"
    INCONCLUSIVE = "INCONCLUSIVE"
    EXPLORATORY = "EXPLORATORY"
    WITHHELD = "WITHHELD"


@dataclass(frozen=True)
class Evidence:
    """Hold what a verdict rests on: the best arm with generated images minus the best arm without them.

    Attributes:
        metric_label: the primary metric in words, such as "AUROC".
        differences: J >= 2 paired differences, positive where generated images score better; not read if `external`.
        ratio: n_test / n_train in groups.
        rope: half-width of the region of practical equivalence, >= 0, declared before the run.
        groups: number of independent groups (patients) in the study, >= 1.
        same_predictions: whether the two arms predicted the same everywhere.
        external: the two-level bootstrap, in place of splits, when one test part was given.
        exploratory: why the study can give an estimate only.
        withheld: declared flaws and failed gates.
        one: what is compared, in words.
        other: what it is compared with.
    """

    metric_label: str
    differences: tuple[float, ...]
    ratio: float
    rope: float
    groups: int
    same_predictions: bool = False
    external: Bootstrap | None = None
    exploratory: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    one: str = WITH
    other: str = WITHOUT


@dataclass(frozen=True)
class Verdict:
    """Hold the headline sentence, further fixed sentences, and the numbers that they print.

    `minimum_detectable` and `groups_needed` are 0 where they are not defined: on a given test part, without any spread
    between splits, and, for the groups, with a region of width 0. `reasons`, the first of the details,
    say why it is WITHHELD or EXPLORATORY.
    """

    kind: Kind
    sentence: str
    details: tuple[str, ...]
    estimate: float
    low: float
    high: float
    posterior: Posterior
    minimum_detectable: float
    groups_needed: int
    reasons: tuple[str, ...] = ()


def decide(evidence: Evidence) -> Verdict:
    """Turn evidence into one of seven verdicts.

    The first rule that holds decides: WITHHELD for any declared flaw or failed gate; EXPLORATORY for any reason given;
    INCONCLUSIVE if nothing differs, for then there is no spread to judge by; HELPS and HARMS if the interval excludes 0
    and the difference lies beyond the region with probability >= 0.95; NO PRACTICAL DIFFERENCE if it lies inside with
    probability >= 0.95; SUGGESTIVE if the interval excludes 0; else INCONCLUSIVE.

    A given test part carries a finding about that part only, so HELPS and HARMS become SUGGESTIVE, with the direction
    in words. NO PRACTICAL DIFFERENCE stays possible, because it claims no gain and "on this test set" bounds it.

    Raises:
        SettingsError: fewer than 2 differences without `external`, a negative ratio or rope, or no group.
        DataError: a difference that is not finite.

    Reference: Nadeau & Bengio 2003 (interval); Benavoli et al. 2017 (region of practical equivalence).

    >>> decide(Evidence("AUROC", (0.04, 0.05, 0.045, 0.05), ratio=0.25, rope=0.01, groups=80)).sentence
    'HELPS: the best arm with generated images scores +0.046 AUROC above the best arm without them \
(95 % interval +0.035 to +0.057).'
    """
    interval, posterior = _measure(evidence)
    detectable, needed = _power(evidence, interval)
    kind = _kind(evidence, interval, posterior)
    sentence = f"{kind}: {_claim(kind, evidence, interval)}."
    reasons, details = _reasons(kind, evidence), _details(kind, evidence, interval, posterior)
    details = (*reasons, *details, *_outlook(kind, evidence, detectable, needed))
    numbers = (interval.mean, interval.low, interval.high, posterior, detectable, needed)
    return Verdict(kind, sentence, details, *numbers, reasons)


def _measure(evidence: Evidence) -> tuple[Interval, Posterior]:
    external = evidence.external
    if external is None:
        interval = nadeau_bengio(evidence.differences, evidence.ratio)
        return interval, correlated_t(evidence.differences, evidence.ratio, evidence.rope)
    # A percentile interval comes without a standard error, a spread over splits or a p value.
    interval = Interval(external.mean, external.low, external.high, math.nan, math.nan, external.draws, math.nan)
    return interval, Posterior(external.left, external.inside, external.right)


def _kind(evidence: Evidence, interval: Interval, posterior: Posterior) -> Kind:
    if evidence.withheld:
        return Kind.WITHHELD
    if evidence.exploratory:
        return Kind.EXPLORATORY
    if _nothing_differs(evidence, interval):
        return Kind.INCONCLUSIVE
    if posterior.inside >= PROBABLE:
        return Kind.NO_PRACTICAL_DIFFERENCE
    if interval.low <= 0 <= interval.high:
        return Kind.INCONCLUSIVE
    if evidence.external or max(posterior.left, posterior.right) < PROBABLE:
        return Kind.SUGGESTIVE
    return Kind.HELPS if interval.low > 0 else Kind.HARMS


def _nothing_differs(evidence: Evidence, interval: Interval) -> bool:
    return evidence.same_predictions or interval.mean == interval.low == interval.high == 0


def _claim(kind: Kind, evidence: Evidence, interval: Interval) -> str:
    place = " on this test set" if evidence.external else ""
    if kind is Kind.WITHHELD:
        return f"the reasons listed rule out a verdict on {evidence.one} against {evidence.other}{place}"
    opening = "as an estimate only, " if kind is Kind.EXPLORATORY else ""
    if _nothing_differs(evidence, interval):
        done = "made the same predictions" if evidence.same_predictions else f"score the same {evidence.metric_label}"
        return f"{opening}{evidence.one} and {evidence.other} {done}{place or ' in every split'}"
    size = f"{signed(interval.mean)} {evidence.metric_label}"
    span = f" (95 % interval {signed(interval.low)} to {signed(interval.high)}){place}"
    if kind in (Kind.HELPS, Kind.HARMS, Kind.SUGGESTIVE):
        where = f"{size} above {evidence.other}" if interval.low > 0 else f"below {evidence.other}, {size}"
        return f"{evidence.one} scores {where}{span}"
    region = f", inside ±{evidence.rope:.3f}" if kind is Kind.NO_PRACTICAL_DIFFERENCE else ""
    return f"{opening}{evidence.one} differs from {evidence.other} by {size}{region}{span}"


def _reasons(kind: Kind, evidence: Evidence) -> tuple[str, ...]:
    if kind is Kind.WITHHELD:
        return tuple(f"Withheld because: {reason}." for reason in evidence.withheld)
    if kind is Kind.EXPLORATORY:
        return tuple(f"Exploratory because: {reason}." for reason in evidence.exploratory)
    return ()


def _details(kind: Kind, evidence: Evidence, interval: Interval, posterior: Posterior) -> tuple[str, ...]:
    if _nothing_differs(evidence, interval):
        return (NO_SPREAD,)
    rope = f"{evidence.rope:.3f}"
    name = "Share of resamples with" if evidence.external else "Probability of"
    spread = (
        f"{name} a difference below -{rope}: {posterior.left:.3f}; from -{rope} to +{rope}: {posterior.inside:.3f}; "
        f"above +{rope}: {posterior.right:.3f}."
    )
    return (*_limits(kind, evidence, interval), spread)


def _limits(kind: Kind, evidence: Evidence, interval: Interval) -> tuple[str, ...]:
    """Say what keeps a measured difference from being a finding."""
    if kind is Kind.WITHHELD:
        span = f"95 % interval {signed(interval.low)} to {signed(interval.high)}"
        measured = f"{signed(interval.mean)} {evidence.metric_label} ({span})"
        return (f"The measured difference is {measured}; it is not a finding.",)
    if kind is Kind.SUGGESTIVE and evidence.external:
        return ("A single given test part supports no more than SUGGESTIVE.",)
    if kind is Kind.SUGGESTIVE:
        return (f"The interval excludes 0, but a difference beyond {evidence.rope:.3f} has a probability below 0.95.",)
    return ()


def _outlook(kind: Kind, evidence: Evidence, detectable: float, needed: int) -> tuple[str, ...]:
    lines = []
    if detectable:
        lines.append(f"This study could detect a difference of {detectable:.3f} or more with 80 % power.")
    if needed:
        lines.append(
            f"About {needed} groups would be needed for an interval of half-width {evidence.rope:.3f}; "
            f"this study has {evidence.groups}."
        )
    if kind is Kind.INCONCLUSIVE:
        lines.append(ABSENCE)
    return tuple(lines)


def _power(evidence: Evidence, interval: Interval) -> tuple[float, int]:
    if evidence.external:
        return 0.0, 0
    detectable = minimum_detectable_effect(interval.sd, interval.n, evidence.ratio)
    half_width = (interval.high - interval.low) / 2
    return detectable, groups_needed(evidence.groups, half_width, evidence.rope) if evidence.rope > 0 else 0


def signed(value: float) -> str:
    """Write a difference with its sign and three decimals.

    >>> signed(0.0409), signed(-0.0001)
    ('+0.041', '+0.000')
    """
    # Adding 0.0 turns the -0.0 that rounding leaves into 0.0.
    return f"{round(value, 3) + 0.0:+.3f}"
