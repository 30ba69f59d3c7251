"""The report's figures, as inline SVG: no script, colours by style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from augury.report.findings import bounded, plain, share, signed, span
from augury.report.picks import REAL, arms_of, named, score
from augury.report.svg import Axis, anchor, axis, drawing, element, percent
from augury.report.wording import wording
from augury.statistics import Bootstrap, Interval, Posterior
from augury.study.outcome import ArmResult, Contrast, Outcome
from augury.verdict import Verdict

Estimate = Interval | Bootstrap | Verdict

LABEL, ROW, DOTS, FOOT = 22, 54, 16, 44  # pixels: a row's label, a row with it, the dots below, ticks and directions
BAR = 30
DOSE_TOP, DOSE_BOTTOM, DOSE_HEIGHT = 22, 210, 268
TICK_LABEL = 16  # letters; what is longer would run into its neighbour
DOSE_FIRST, DOSE_LAST = 15.0, 88.0  # percent of the width


@dataclass(frozen=True)
class Row:
    """One interval of a chart: its label, its numbers and, as dots, the values that it was made from."""

    label: str
    mean: float
    low: float
    high: float
    dots: tuple[float, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """Return all that must fit on the axis."""
        return (self.mean, self.low, self.high, *self.dots)


def verdict_chart(verdict: Verdict, rope: float, metric_label: str, lower: str) -> Markup:
    """Draw the verdict's interval, its left end in words; empty without a finite estimate."""
    if not math.isfinite(verdict.estimate):
        return Markup("")
    title = f"Difference in {metric_label}: {signed(verdict.estimate)}, {span(verdict)}"
    return intervals(title, [Row("", verdict.estimate, verdict.low, verdict.high)], rope, lower)


def contrast_chart(contrast: Contrast, rope: float, metric_label: str) -> Markup:
    """Draw the primary contrast with its splits, the secondary one and the second endpoint on one axis."""
    verdict = contrast.verdict
    words = wording(contrast.generated)
    label = f"{words.score_one} - {words.score_other}"
    rows = [Row(label, verdict.estimate, verdict.low, verdict.high, contrast.differences)]
    if contrast.pipeline and contrast.generated:
        rows.append(_row("free choice among all arms - best arm without", contrast.pipeline))
    if contrast.external:
        rows.append(_row(f"images that the scarce subset left out: {words.brief}", contrast.external))
    return intervals(f"Contrasts in {metric_label} with 95 % intervals; one dot per split", rows, rope, words.lower)


def intervals(title: str, rows: Sequence[Row], rope: float, lower: str) -> Markup:
    """Draw intervals on one axis with its zero line, the shaded region of practical equivalence, and the directions."""
    scale = scale_around((value for row in rows for value in row.values), rope)
    parts, top = [], 0.0
    for row in rows:
        parts += [_region(scale, rope, top, row), _interval(row, scale, top)]
        top += _height(row)
    return drawing(title, top + FOOT, *parts, *_ticks(scale, top), *_directions(top + 34, lower))


def scale_around(values: Iterable[float], rope: float) -> Axis:
    """Lay an axis around differences, zero and the region of practical equivalence."""
    return axis([*values, 0.0, -rope, rope])


def shared_scale(arms: Iterable[ArmResult], rope: float) -> Axis:
    """Lay one axis for the differences of several arms."""
    kept = [arm.difference for arm in arms if arm.difference]
    return scale_around([end for item in kept for end in (item.mean, item.low, item.high)], rope)


def change_scale(arms: Iterable[ArmResult]) -> Axis:
    """Lay one axis for the changes of recall of several arms."""
    kept = [row.recall_change for arm in arms for row in arm.classes if row.recall_change]
    return scale_around([end for item in kept for end in (item.mean, item.low, item.high)], 0.0)


def cell_plot(interval: Interval | None, scale: Axis, rope: float) -> Markup:
    """Draw one interval for a table's cell; all cells of a column share their axis."""
    band = element("rect", x=scale.across(-rope), width=scale.width(-rope, rope), y="0", height="100%", class_="rope")
    zero = _line(scale.across(0.0), 0, "100%", "zero")
    if interval is None or not math.isfinite(interval.mean):
        return drawing("no difference to draw", 34, band, zero, class_="cell-plot")
    # A nested drawing, because its middle is the cell's, however high the row is.
    mark = element("svg", *_mark(interval, scale, 0, 4), y="50%", height="1", overflow="visible")
    return drawing(f"{signed(interval.mean)}, {span(interval)}", 34, band, zero, mark, class_="cell-plot")


def cell_axis(scale: Axis) -> Markup:
    """Draw the axis above a column of `cell_plot`."""
    labels = [_tick_label(scale, tick, 12) for tick in _few(scale)]
    lines = [_line(scale.across(tick), 16, 20, "tick") for tick in _few(scale)]
    return drawing("axis of differences", 20, *labels, *lines, class_="cell-plot")


def posterior_bar(posterior: Posterior, rope: float) -> Markup:
    """Draw the three probabilities side by side; a small one is named in the legend only."""
    names = ("below", "inside", "above")
    values = (posterior.left, posterior.inside, posterior.right)
    parts, left = [], 0.0
    for name, value in zip(names, values, strict=True):
        width = 100 * value
        parts.append(element("rect", x=percent(left), width=percent(width), y="0", height=BAR, class_=f"part {name}"))
        if value >= 0.15:
            middle = percent(left + width / 2)
            parts.append(_text(f"{value:.3f}", middle, BAR / 2 + 4, "middle", f"on-{name}"))
        left += width
    title = f"Below -{rope:.3f}: {values[0]:.3f}; inside: {values[1]:.3f}; above +{rope:.3f}: {values[2]:.3f}"
    return drawing(title, BAR, *parts, class_="chart bar")


def share_bar(value: float) -> Markup:
    """Draw a share as a bar of its place's width."""
    full = element("rect", x="0", y="0", width="100%", height="8", class_="empty")
    part = element("rect", x="0", y="0", width=percent(100 * value), height="8", class_="filled")
    return drawing(f"{100 * value:.0f} %", 8, full, part, class_="share-bar")


def dose_chart(family: str, arms: Sequence[ArmResult], outcome: Outcome, without: ArmResult | None) -> Markup:
    """Draw the mean score of one generator's amounts between the lines of the arms that do without."""
    real = named(arms_of(outcome, arms[0].classifier), REAL)
    lines = [(kind, score(arm, outcome.metric)) for kind, arm in (("real", real), ("without", without)) if arm]
    ends = [_ends(arm, outcome.metric) for arm in arms]
    scale = axis([*(value for _, value in lines), *(value for item in ends for value in item)])
    parts = [*_grid(scale), *(_level(kind, value, scale) for kind, value in lines if math.isfinite(value))]
    places = [_place(index, len(arms)) for index in range(len(arms))]
    for before, after in zip(range(len(arms)), range(1, len(arms)), strict=False):
        parts.append(
            _segment(places[before], places[after], _down(ends[before][0], scale), _down(ends[after][0], scale))
        )
    for arm, place, (mean, low, high) in zip(arms, places, ends, strict=True):
        parts.append(_dose_point(arm, place, mean, low, high, scale))
    return drawing(f"{family}: {outcome.metric_label} against the number of images", DOSE_HEIGHT, *parts)


def _row(label: str, estimate: Estimate) -> Row:
    mean = estimate.estimate if isinstance(estimate, Verdict) else estimate.mean
    return Row(label, mean, estimate.low, estimate.high)


def _height(row: Row) -> float:
    return ROW + (DOTS if row.dots else 0)


def _interval(row: Row, scale: Axis, top: float) -> Markup:
    middle = top + (LABEL + 16 if row.label else ROW / 2)
    label = [_text(row.label, "0", top + 15, "start", "label")] if row.label else []
    dots = [element("circle", cx=scale.across(dot), cy=middle + 18, r=2.5, class_="split") for dot in row.dots]
    return element("g", *label, *_mark(row, scale, middle, 6), *dots)


def _mark(item: Row | Interval, scale: Axis, middle: float, radius: float) -> list[Markup]:
    mean = element("circle", cx=scale.across(item.mean), cy=middle, r=radius, class_="mean")
    if not (math.isfinite(item.low) and math.isfinite(item.high)):
        return [mean]
    low, high = scale.across(item.low), scale.across(item.high)
    return [
        element("line", x1=low, x2=high, y1=middle, y2=middle, class_="interval"),
        _line(low, middle - radius, middle + radius, "interval"),
        _line(high, middle - radius, middle + radius, "interval"),
        mean,
    ]


def _region(scale: Axis, rope: float, top: float, row: Row) -> Markup:
    above, bottom = top + (LABEL if row.label else 0), top + _height(row)
    width = scale.width(-rope, rope)
    band = element("rect", x=scale.across(-rope), width=width, y=above, height=bottom - above, class_="rope")
    return element("g", band, _line(scale.across(0.0), above, bottom, "zero"))


def _ticks(scale: Axis, top: float) -> list[Markup]:
    base = element("line", x1="0", x2="100%", y1=top, y2=top, class_="base")
    marks = [_line(scale.across(tick), top, top + 4, "tick") for tick in scale.ticks]
    return [base, *marks, *(_tick_label(scale, tick, top + 16) for tick in scale.ticks)]


def _directions(top: float, lower: str) -> list[Markup]:
    worse, better = f"← {lower}", "higher →"
    return [_text(worse, "0", top, "start", "direction"), _text(better, "100%", top, "end", "direction")]


def _tick_label(scale: Axis, tick: float, top: float) -> Markup:
    place = scale.across(tick)
    return _text(scale.label(tick), place, top, anchor(place), "tick-label")


def _few(scale: Axis) -> list[float]:
    """Return zero and the outermost ticks, as far as a narrow column holds their labels side by side."""
    ends = {scale.ticks[0], scale.ticks[-1]}
    return sorted({0.0} | {tick for tick in ends if abs(scale.share(tick) - scale.share(0.0)) > 0.25})


def _ends(arm: ArmResult, metric: str) -> tuple[float, float, float]:
    """Return an arm's score with the ends of its difference's interval, laid around the score."""
    mean = score(arm, metric)
    if arm.difference is None or not bounded(arm.difference):
        return mean, mean, mean
    shift = mean - arm.difference.mean
    return mean, shift + arm.difference.low, shift + arm.difference.high


def _grid(scale: Axis) -> list[Markup]:
    parts = []
    for tick in scale.ticks:
        down = _down(tick, scale)
        parts.append(element("line", x1="0", x2="100%", y1=down, y2=down, class_="grid"))
        parts.append(_text(scale.label(tick, signed=False), "0", down - 4, "start", "tick-label"))
    return parts


def _level(kind: str, value: float, scale: Axis) -> Markup:
    down = _down(value, scale)
    return element("line", x1="9%", x2="100%", y1=down, y2=down, class_=f"level {kind}")


def _dose_point(arm: ArmResult, place: float, mean: float, low: float, high: float, scale: Axis) -> Markup:
    across, down = percent(place), _down(mean, scale)
    side, anchored = (1, "start") if place < DOSE_LAST else (-1, "end")  # the last one's label is kept inside
    ends = [_down(low, scale), _down(high, scale)]
    caps = [
        element("line", x1=percent(place - 0.8), x2=percent(place + 0.8), y1=y, y2=y, class_="interval") for y in ends
    ]
    return element(
        "g",
        _line(across, ends[0], ends[1], "interval"),
        *caps,
        element("circle", cx=across, cy=down, r=5, class_="mean"),
        element("text", plain(mean), x=across, y=down - 6, dx=9 * side, text_anchor=anchored, class_="value"),
        _text(_cut(arm.policy or ""), across, DOSE_BOTTOM + 20, "middle", "label"),
        _text(f"{arm.added:,.0f} images", across, DOSE_BOTTOM + 36, "middle", "tick-label"),
        *_chosen(arm, across, down),
    )


def _chosen(arm: ArmResult, across: str, down: float) -> list[Markup]:
    """Mark a dose that the inner part chose, and say how often."""
    if not arm.chosen > 0:
        return []
    ring = element("circle", cx=across, cy=down, r=9, class_="ring")
    return [ring, _text(f"chosen {share(arm.chosen)}", across, DOSE_BOTTOM + 52, "middle", "tick-label")]


def _cut(words: str) -> str:
    return words if len(words) <= TICK_LABEL else f"{words[: TICK_LABEL - 1].rstrip()}…"


def _segment(left: float, right: float, start: float, end: float) -> Markup:
    return element("line", x1=percent(left), x2=percent(right), y1=start, y2=end, class_="path")


def _place(index: int, count: int) -> float:
    return DOSE_FIRST + (DOSE_LAST - DOSE_FIRST) * index / (count - 1)


def _down(value: float, scale: Axis) -> float:
    return round(DOSE_BOTTOM - (DOSE_BOTTOM - DOSE_TOP) * scale.share(value), 2)


def _line(across: str, top: float | str, bottom: float | str, class_: str) -> Markup:
    return element("line", x1=across, x2=across, y1=top, y2=bottom, class_=class_)


def _text(text: str, across: str, down: float, side: str, class_: str) -> Markup:
    return element("text", text, x=across, y=down, text_anchor=side, class_=class_)
