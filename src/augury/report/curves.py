"""Curves of a training: one line per player against the steps done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from augury.report.svg import FIRST, LAST, Axis, anchor, axis, drawing, element
from augury.study.exhibit import Curve
from augury.study.watching import COPIES

TOP, FOOT = 12, 40  # pixels above the plot, and below it for ticks and the axis' name
TALL, SMALL = 240, 110  # pixels of a plot
WIDE = 1000  # units across a plot, stretched to its place
COLOURS = 8
LOGARITHMIC_FROM = 20.0  # times: positive values that differ by more are drawn on a logarithmic axis
LEAST_SHARE = 0.05  # that an axis of shares reaches: a line of zeros lies at its foot
OUTLYING = 3.0  # times: a range that some few values stretch by more than this is cut

Curves = Mapping[str, Curve]


@dataclass(frozen=True)
class Upright:
    """A vertical axis.

    Attributes:
        axis: Where values lie; their common logarithms, if it is logarithmic.
        logarithmic: Whether it is.
        cut: Whether some values lie beyond it, and are drawn at its edge.
    """

    axis: Axis
    logarithmic: bool = False
    cut: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the bottom and 1 at the top, held inside the axis."""
        return self.axis.share(math.log10(value) if self.logarithmic else value)

    def ticks(self) -> list[tuple[float, str]]:
        """Return the ticks: share and label of each."""
        if self.logarithmic:
            return [(self.axis.share(tick), f"{10**tick:.3g}") for tick in self.axis.ticks]
        return [(self.axis.share(tick), self.axis.label(tick, signed=False)) for tick in self.axis.ticks]


def upright(curves: Curves) -> Upright:
    """Lay a vertical axis for some curves.

    Positive values over a wide range get a logarithmic one; of others, a few that lie far out are cut.

    >>> upright({"a": Curve(0, 9, (1.0, 2.0))}).logarithmic
    False
    >>> [label for _, label in upright({"a": Curve(0, 9, (0.01, 2.0))}).ticks()]
    ['0.01', '0.1', '1']
    """
    values = np.array([value for curve in curves.values() for value in curve.values if math.isfinite(value)] or [0.0])
    if values.min() > 0 and values.max() > LOGARITHMIC_FROM * values.min():
        return Upright(_decades(math.log10(values.min()), math.log10(values.max())), logarithmic=True)
    low, high = (float(end) for end in np.quantile(values, [0.01, 0.99]))
    if float(np.ptp(values)) > OUTLYING * (high - low) > 0:
        return Upright(axis([low, high]), cut=True)
    return Upright(axis(values.tolist()))


def loss_chart(name: str, curves: Curves, steps: int) -> Markup:
    """Draw the losses of all players of a generator on one axis; the legend stands beside it."""
    scale = upright(curves)
    kind = "loss, logarithmic" if scale.logarithmic else "loss"
    title = f"Losses of {name} over {steps:,} steps: {', '.join(curves)}"
    return _chart(title, curves, steps, scale, TALL, kind)


def share_chart(name: str, curve: Curve, steps: int) -> Markup:
    """Draw a share as it changed over the training, in percent."""
    title = f"{name} over {steps:,} steps: from {100 * curve.values[0]:.0f} to {100 * curve.values[-1]:.0f} %"
    percent = replace(curve, values=tuple(100 * value for value in curve.values))
    return _chart(title, {name: percent}, steps, Upright(Axis(0.0, 100.0, (0.0, 50.0, 100.0), 0)), SMALL, "%")


def snapshot_chart(name: str, curve: Curve, steps: int, chosen: int) -> Markup:
    """Draw what was measured of the networks that were kept, and where the chosen one stands; shares from 0 on."""
    scale = (
        Upright(axis([0.0, max(LEAST_SHARE, *curve.values)], room=0.0)) if name == COPIES else upright({name: curve})
    )
    title = f"{name.capitalize()} over {steps:,} steps, network chosen after {chosen:,}: from {curve.values[0]:.3g} to "
    mark = axis([0.0, float(steps)], room=0.0).across(float(chosen))
    return _chart(f"{title}{curve.values[-1]:.3g}", {name: curve}, steps, scale, SMALL, name, mark)


def _chart(title: str, curves: Curves, steps: int, scale: Upright, tall: int, kind: str, mark: str = "") -> Markup:
    marked = [element("line", x1=mark, x2=mark, y1=TOP, y2=TOP + tall, class_="mark")] if mark else []
    lines = [_line(curve, steps, scale, index, tall) for index, curve in enumerate(curves.values())]
    # A nested drawing with units of its own: a line cannot be given in percent.
    plot = element(
        "svg",
        *lines,
        x=f"{FIRST}%",
        width=f"{LAST - FIRST}%",
        y=TOP,
        height=tall,
        viewBox=f"0 0 {WIDE} {tall}",
        preserveAspectRatio="none",
    )
    parts = [*_levels(scale, tall), *_steps(steps, tall, kind), *marked, plot]
    return drawing(title, TOP + tall + FOOT, *parts, class_="chart curves")


def _levels(scale: Upright, tall: int) -> list[Markup]:
    parts = []
    for share, label in scale.ticks():
        down = round(TOP + tall * (1 - share), 2)
        parts.append(element("line", x1="0", x2="100%", y1=down, y2=down, class_="grid"))
        parts.append(element("text", label, x="-8", y=down + 4, text_anchor="end", class_="tick-label"))
    return parts


def _steps(steps: int, tall: int, kind: str) -> list[Markup]:
    across, bottom = axis([0.0, float(steps)], room=0.0), TOP + tall
    parts = [element("line", x1="0", x2="100%", y1=bottom, y2=bottom, class_="base")]
    for tick in across.ticks:
        if float(tick).is_integer():
            place = across.across(tick)
            parts.append(element("line", x1=place, x2=place, y1=bottom, y2=bottom + 4, class_="tick"))
            label = {"x": place, "y": bottom + 17, "text_anchor": anchor(place), "class_": "tick-label"}
            parts.append(element("text", f"{tick:,.0f}", **label))
    parts.append(element("text", f"{kind} ↑", x="-44", y=bottom + 35, class_="direction"))
    parts.append(element("text", "steps →", x="100%", y=bottom + 35, text_anchor="end", class_="direction"))
    return parts


def _line(curve: Curve, steps: int, scale: Upright, index: int, tall: int) -> Markup:
    """Draw means over equal stretches of a training, each in the middle of its stretch; a single one as a level."""
    stretch = (curve.last - curve.first) / len(curve.values)
    places = [curve.first + stretch * (i + 0.5) for i in range(len(curve.values))]
    known = [(place, value) for place, value in zip(places, curve.values, strict=True) if math.isfinite(value)]
    if len(curve.values) == 1:
        known = [(end, value) for _, value in known for end in (curve.first, curve.last)]
    points = (f"{WIDE * place / steps:.1f},{tall * (1 - scale.share(value)):.1f}" for place, value in known)
    return element("polyline", points=" ".join(points), class_=f"curve player-{index % COLOURS}")


def _decades(low: float, high: float) -> Axis:
    """Lay an axis between two common logarithms: ticks at 1, 2, 5, 10, ..., or at powers of ten where they are many."""
    free = 0.08 * (high - low)
    low, high = low - free, high + free
    powers = range(math.floor(low), math.ceil(high) + 1)
    apart = math.ceil(len(powers) / 7)
    if high - low < 2.5:
        ticks = [power + math.log10(digit) for power in powers for digit in (1, 2, 5)]
    else:
        ticks = [float(power) for power in powers if power % apart == 0]
    return Axis(low, high, tuple(tick for tick in ticks if low <= tick <= high), 0)
