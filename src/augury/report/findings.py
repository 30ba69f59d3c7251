"""From numbers to sentences: fixed words, no adjectives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from augury.metrics.classification import METRICS
from augury.report.picks import score
from augury.report.wording import wording
from augury.statistics import Bootstrap, Interval, dose_region
from augury.study.exhibit import ClassGallery
from augury.study.outcome import ArmResult, ClassResult, Contrast, DataSummary, Failure, Gate, Outcome, PlanSummary
from augury.verdict import Verdict
from augury.verdict import signed as with_sign

DASH = "–"
INDEPENDENCE = "no groups were given: images of one patient, lesion or part may stand on both sides of a split"


def plain(value: float | None, decimals: int = 3) -> str:
    """Write a number, or a dash where there is none.

    >>> plain(0.81249), plain(float("nan")), plain(None)
    ('0.812', '–', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"


def signed(value: float | None) -> str:
    """Write a difference with its sign.

    >>> signed(0.0409), signed(-0.0001)
    ('+0.041', '+0.000')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return with_sign(value)


def whole(value: float | None) -> str:
    """Write a number of images: whole where it is whole, else with one decimal.

    >>> whole(1200.0), whole(12.5), whole(None)
    ('1,200', '12.5', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def share(value: float | None, decimals: int = 0) -> str:
    """Write a share as a percentage.

    >>> share(0.355), share(0.0125, 1)
    ('36 %', '1.2 %')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return f"{100 * value:.{decimals}f} %"


def probability(value: float | None) -> str:
    """Write a p value or a probability.

    >>> probability(0.0312), probability(0.00004)
    ('0.031', '<0.001')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return "<0.001" if 0 <= value < 0.0005 else f"{value:.3f}"


def bounded(interval: Interval | Bootstrap | Verdict | None) -> bool:
    """Tell whether there is an interval with two ends; splits that all agree say nothing of how far others would be."""
    if interval is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return False
    return not math.isclose(interval.low, interval.high, rel_tol=0, abs_tol=1e-12)


def span(interval: Interval | Bootstrap | Verdict) -> str:
    """Write the ends of an interval; retrainings on one given test part have none, nor has what never varies."""
    if not bounded(interval):
        return "no interval"
    return f"95 % interval {signed(interval.low)} to {signed(interval.high)}"


def claim(verdict: Verdict) -> str:
    """Return the verdict's sentence without its first word, which the page shows as a badge."""
    return verdict.sentence.removeprefix(f"{verdict.kind}: ")


def remarks(verdict: Verdict) -> tuple[str, ...]:
    """Return the verdict's sentences after its reasons."""
    return verdict.details[len(verdict.reasons) :]


def pipeline(contrast: Contrast, metric_label: str) -> str:
    """Say what the secondary contrast found."""
    if contrast.pipeline_share == 0:
        return "Free to choose among all arms, the inner part takes one without generated images in every split."
    used = (
        "Free to choose among all arms, the inner part takes one with generated images in "
        f"{share(contrast.pipeline_share)} of the splits"
    )
    if contrast.pipeline is None:
        return f"{used}; the difference from the best arm without them has no interval."
    size = f"{signed(contrast.pipeline.mean)} {metric_label}"
    return f"{used}; what it takes differs from the best arm without them by {size} ({span(contrast.pipeline)})."


def external(contrast: Contrast, metric_label: str) -> str:
    """Say what came out on the images that a scarce subset left out; empty without them."""
    if contrast.external is None:
        return ""
    size = f"{signed(contrast.external.mean)} {metric_label} ({span(contrast.external)})"
    words = wording(contrast.generated)
    difference = f"{words.one} differs from {words.other} by {size}"
    return f"Second endpoint, the images that the scarce subset left out: {difference}."


def dose(family: str, arms: Sequence[ArmResult], real: ArmResult | None, metric: str, metric_label: str) -> str:
    """Name the smallest amount within one standard error of the best, no image at all being one of the amounts."""
    rows = [*([real] if real else []), *arms]
    rows = [arm for arm in rows if math.isfinite(score(arm, metric)) and (arm is real or _has_error(arm))]
    if not any(arm is not real for arm in rows):
        return f"{family}: without a standard error its amounts are not told apart."
    means = [score(arm, metric) for arm in rows]
    errors = [arm.difference.se if arm.difference else 0.0 for arm in rows]
    arm = rows[dose_region(means, errors, [arm.added for arm in rows])]
    name = "no images (real images only)" if arm is real else f"{arm.policy} ({whole(arm.added)} images)"
    best = f"{metric_label} {max(means):.3f}"
    return f"{family}: the smallest amount within one standard error of the best ({best}) is {name}."


def withheld(arms: Sequence[ArmResult]) -> str:
    """Say which arms take no part in the choice; empty without any.

    >>> withheld(())
    ''
    """
    names = list(dict.fromkeys(arm.arm for arm in arms if arm.withheld))
    if not names:
        return ""
    generated = len(dict.fromkeys(arm.arm for arm in arms if arm.uses_generated))
    verb, they = ("is", "It takes") if len(names) == 1 else ("are", "They take")
    return (
        f"{len(names)} of {_many(generated, 'arm')} with generated images {verb} withheld: {', '.join(names)}. {they} "
        "no part in the choice and in the verdict."
    )


def class_changes(arm: ArmResult) -> tuple[str, ...]:
    """Name every class whose recall fell against real images only."""
    known = [row for row in arm.classes if _known(row)]
    if not known:
        return ("The change of recall by class is not known.",)
    unknown = [row.name for row in arm.classes if not _known(row)]
    whose = "No class with a known change lost recall." if unknown else "No class lost recall."
    fell = [row for row in known if _fell(row)]
    lines = (*(_loss(row) for row in fell if not _doubtful(row)), *_doubts([row for row in fell if _doubtful(row)]))
    lines = lines or (whose,)
    return (*lines, f"The change of recall is not known for {', '.join(unknown)}.") if unknown else lines


def trade(arm: ArmResult) -> str:
    """List gains and losses of recall in one sentence.

    The words depend on the signs only; whether an interval includes 0 is said by `class_changes` and the table.
    """
    known = [row for row in arm.classes if _known(row)]
    up, down = [row for row in known if _rose(row)], [row for row in known if _fell(row)]
    parts = [f"{verb} in {_listed(rows)}" for verb, rows in (("rose", up), ("fell", down)) if rows]
    same = len(known) - len(up) - len(down)
    unchanged = f"is unchanged in {_many(same, 'class', 'classes')}"
    if not parts:
        return f"Recall {unchanged}." if same else ""
    return f"Recall {' and '.join(parts)}" + (f"; it {unchanged}." if same else ".")


def trade_off(arm: ArmResult, real: ArmResult | None, positive: str) -> str:
    """Name the scores that fell where others rose, against real images only; empty where all went one way.

    Less is better of some scores: they are told as better or worse, with the sign of their change.
    """
    changes = _changes(arm, real, positive) if real is not None else []
    better, worse = ([text for text, up in changes if up is wanted] for wanted in (True, False))
    if not better or not worse:
        return ""
    return f"A trade-off, by the means: better in {', '.join(better)}; worse in {', '.join(worse)}."


def _changes(arm: ArmResult, real: ArmResult, positive: str) -> list[tuple[str, bool]]:
    """Return every score that changed, in words, and whether for the better."""
    rows = [
        (metric.label, arm.scores[key] - real.scores[key], metric.higher_is_better)
        for key, metric in METRICS.items()
        if key in arm.scores and key in real.scores
    ]
    for label, mine, theirs in (
        (f"sensitivity for {positive}", arm.sensitivity, real.sensitivity),
        ("specificity", arm.specificity, real.specificity),
    ):
        if mine is not None and theirs is not None:
            rows.append((label, mine - theirs, True))
    return [(f"{label} ({signed(by)})", (by > 0) == up) for label, by, up in rows if abs(by) >= 0.0005]


def positive(name: str, arms: Sequence[ArmResult | None]) -> tuple[str, ...]:
    """Give sensitivity and specificity of the named positive class, arm by arm."""
    return tuple(
        f"{arm.arm}: sensitivity for {name} {plain(arm.sensitivity)}, specificity {plain(arm.specificity)}."
        for arm in arms
        if arm is not None and arm.sensitivity is not None
    )


def nearness(gallery: ClassGallery) -> str:
    """Say how many of the drawn images lie closer to a training image than real images lie to one another."""
    typical = plain(gallery.real_distance, 1)
    if not len(gallery.distances) or not math.isfinite(gallery.real_distance):
        return f"Median distance of a real image to its nearest other training image of the class: {typical}."
    closer = int((gallery.distances < gallery.real_distance).sum())
    return (
        f"{closer} of {len(gallery.distances)} drawn images are closer to a training image than {typical}, the "
        "median distance of a real image to its nearest other training image of the class."
    )


def state(gate: Gate) -> str:
    """Name the state of a gate."""
    return "open" if gate.passed is None else "pass" if gate.passed else "fail"


def completeness(outcome: Outcome) -> str:
    """Say how many cells have a result."""
    cells = f"{outcome.cells:,} cells (classifier, arm, split; those of controls, too) have"
    if outcome.cells_failed == 0:
        return f"All {cells} a result."
    return f"{outcome.cells_failed:,} of {cells} no result."


def failure(item: Failure) -> str:
    """Say what failed, and why."""
    return f"{item.step}: {item.reason} ({_many(item.cells, 'cell')} without a result)"


def data(summary: DataSummary) -> str:
    """Say what the study was run on."""
    channels, height, width = summary.shape
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
    groups = f"in {_many(summary.groups, 'group')}" if summary.groups_given else "without given groups"
    return (
        f"{_many(summary.images, 'image')} of {_many(len(summary.classes), 'class', 'classes')} {groups}, "
        f"{kind}, {height} x {width} pixels; {summary.used:,} of them stand in the splits."
    )


def splits(plan: PlanSummary) -> str:
    """Say how the images were split."""
    if plan.plan == "given":
        cut = f"The given test part, {_many(plan.repeats, 'training')} with other seeds"
    else:
        cut = f"{_many(plan.folds, 'fold')} x {_many(plan.repeats, 'repeat')}"
    inner = f"{_many(plan.inner_folds, 'inner part')} to choose on"
    sizes = f"{whole(plan.train_images)} images to train, {whole(plan.val_images)} to choose, {whole(plan.test_images)}"
    return f"{cut}, {inner}. On average {sizes} to test. Test groups / training groups: {plan.ratio:.3f}."


def duplicates(summary: DataSummary) -> tuple[str, ...]:
    """Say what was done about duplicates."""
    aside = sum(len(names) for names in summary.set_aside)
    pictures = _many(len(summary.set_aside), "picture")
    return (
        f"{_many(aside, 'image')} set aside: {pictures} found under more than one label.",
        f"{_many(len(summary.dropped), 'image')} dropped: a copy stands in a part that is kept for scoring.",
        f"{_many(summary.merged, 'group')} merged with another group that holds the same picture, or nearly the same.",
        _near(summary),
    )


def _near(summary: DataSummary) -> str:
    if summary.near_duplicates == "leave":
        return "Near duplicates were not looked for: the study says so."
    found = _many(len(summary.near), "group")
    if not summary.near:
        return "No near duplicates were found."
    across = len(summary.near_conflicts)
    more = f", {across} of them under more than one label" if across else ""
    return f"{found} of near duplicates (nearly the same picture){more}: each stays in one part of every split."


def unreadable(summary: DataSummary) -> str:
    """Say how many files were left out because they cannot be read; empty without any."""
    if not summary.skipped:
        return ""
    return f"{_many(len(summary.skipped), 'file')} left out: they cannot be read, and the study goes on without them."


def _has_error(arm: ArmResult) -> bool:
    # a bootstrap on one given test part has two ends and no standard error
    return arm.difference is not None and bounded(arm.difference) and math.isfinite(arm.difference.se)


def _known(row: ClassResult) -> bool:
    return row.recall_change is not None and math.isfinite(row.recall_change.mean)


def _rose(row: ClassResult) -> bool:
    return row.recall_change is not None and round(row.recall_change.mean, 3) > 0


def _fell(row: ClassResult) -> bool:
    return row.recall_change is not None and round(row.recall_change.mean, 3) < 0


def _doubtful(row: ClassResult) -> bool:
    return row.recall_change is not None and row.recall_change.high >= 0


def _loss(row: ClassResult) -> str:
    assert row.recall_change is not None
    return f"{row.name}: recall fell by {-row.recall_change.mean:.3f} ({span(row.recall_change)})."


def _doubts(rows: Sequence[ClassResult]) -> tuple[str, ...]:
    """Gather losses that may be none: a line each would read like as many findings."""
    items = [
        f"{row.name} ({signed(row.recall_change.low)} to {signed(row.recall_change.high)})"
        for row in rows
        if row.recall_change
    ]
    return (f"Recall fell, but with a 95 % interval that includes 0, in {', '.join(items)}.",) if items else ()


def _listed(rows: Sequence[ClassResult]) -> str:
    items = ", ".join(f"{row.name} {signed(row.recall_change.mean)}" for row in rows if row.recall_change)
    return f"{_many(len(rows), 'class', 'classes')} ({items})"


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {several or one + 's'}"
