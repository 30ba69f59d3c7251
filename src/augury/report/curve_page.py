"""The page of a learning curve: what synthetic images are worth in real ones, a chart and the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from augury.files import write_whole
from augury.report import findings
from augury.report.svg import Axis, axis, drawing, element, percent
from augury.report.templates import template
from augury.study.learning_curve import SIDES, LearningCurve, Point, Side, curve_csv

NAMES: dict[Side, str] = {
    "real": "real images only",
    "without": "best arm without generated images",
    "with": "best arm with generated images",
}
TOP, BOTTOM, HEIGHT = 14, 250, 296  # pixels: first and last grid line, the whole drawing
FIRST, LAST = 12.0, 94.0  # percent of the width
APART = 0.7  # percent of the width between points of one level, so that their intervals do not hide each other


def write_curves(curves: Sequence[LearningCurve], folder: Path) -> None:
    """Write `curve.html` and `curve.csv`, each whole or not at all.

    Args:
        curves: One per classifier, of one study.
        folder: Where they are written; older ones are replaced.

    Raises:
        DataError: If a file cannot be written.
    """
    write_whole(folder / "curve.csv", curve_csv(curves))
    write_whole(folder / "curve.html", render(curves))


def render(curves: Sequence[LearningCurve]) -> str:
    """Return the page as text."""
    page = template("augury.report", "curve.html.jinja")
    return page.render(curves=curves, chart=chart, names=NAMES, sides=SIDES, say=findings)


def chart(curve: LearningCurve) -> Markup:
    """Draw the scores of all sides against the number of real images, on a logarithmic axis."""
    scale = axis(value for point in curve.points for value in (point.mean, point.low, point.high))
    sizes = [point.real for point in curve.side("real")]
    sides = [_side(curve.side(side), sizes, scale, (index - 1) * APART) for index, side in enumerate(SIDES)]
    title = f"{curve.metric_label} of {curve.classifier} against the number of real images per class"
    return drawing(title, HEIGHT, *_levels(scale), *_sizes(sizes), *sides, class_="chart kept")


def _side(points: Sequence[Point], sizes: Sequence[float], scale: Axis, shift: float) -> Markup:
    places = [_across(point.real, sizes) + shift for point in points]
    downs = [_down(point.mean, scale) for point in points]
    ends = zip(places, places[1:], downs, downs[1:], strict=False)
    paths = [element("line", x1=percent(a), x2=percent(b), y1=c, y2=d, class_="path") for a, b, c, d in ends]
    marks = [_mark(point, place, scale) for point, place in zip(points, places, strict=True)]
    return element("g", *paths, *marks, class_=points[0].side)


def _mark(point: Point, place: float, scale: Axis) -> Markup:
    top, middle, bottom = (_down(value, scale) for value in (point.high, point.mean, point.low))
    told = f"{NAMES[point.side]}, {point.real:g} real images: {point.mean:.3f} ({point.low:.3f} to {point.high:.3f})"
    return element(
        "g",
        element("title", told),
        element("line", x1=percent(place), x2=percent(place), y1=top, y2=bottom, class_="interval"),
        element("circle", cx=percent(place), cy=middle, r=5, class_="mean"),
    )


def _levels(scale: Axis) -> Iterable[Markup]:
    for tick in scale.ticks:
        down = _down(tick, scale)
        label = scale.label(tick, signed=False)
        yield element("line", x1="0", x2="100%", y1=down, y2=down, class_="grid")
        yield element("text", label, x="0", y=down - 4, text_anchor="start", class_="tick-label")


def _sizes(sizes: Sequence[float]) -> Iterable[Markup]:
    for size in sizes:
        place = percent(_across(size, sizes))
        yield element("text", f"{size:,.0f}", x=place, y=BOTTOM + 20, text_anchor="middle", class_="label")
    name = "real images per class, logarithmic →"
    yield element("text", name, x="100%", y=BOTTOM + 40, text_anchor="end", class_="direction")


def _across(size: float, sizes: Sequence[float]) -> float:
    return FIRST + (LAST - FIRST) * math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])


def _down(value: float, scale: Axis) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * scale.share(value), 2)
