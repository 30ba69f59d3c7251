"""Inline SVG: elements, axes and ticks.

Positions across are percentages, so that a drawing takes the width of its place while its text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

FIRST, LAST = 2.0, 98.0  # percent of the width at which an axis begins and ends


def element(name: str, *children: str, **attributes: object) -> Markup:
    """Write an element; text and attribute values are escaped.

    >>> element("text", "a < b", x="5%", text_anchor="end", class_="label")
    Markup('<text x="5%" text-anchor="end" class="label">a &lt; b</text>')
    """
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, pairs, inside)


def drawing(title: str, height: float, *children: str, class_: str = "chart") -> Markup:
    """Write a drawing as wide as its place, with a title for those who cannot see it."""
    return element(
        "svg",
        element("title", title),
        *children,
        role="img",
        width="100%",
        height=f"{height:g}",
        class_=class_,
    )


def percent(value: float) -> str:
    """Write a percentage of the width.

    >>> percent(12.345)
    '12.35%'
    """
    return f"{value:.2f}%"


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high` with its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    decimals: int

    def share(self, value: float) -> float:
        """Return where a value lies, 0..1, held inside the axis."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def across(self, value: float) -> str:
        """Return the place of a value across a drawing."""
        return percent(self._place(value))

    def width(self, low: float, high: float) -> str:
        """Return the width between two values."""
        return percent(self._place(high) - self._place(low))

    def label(self, tick: float, *, signed: bool = True) -> str:
        """Write a tick's value.

        >>> axis((-0.02, 0.03)).label(0.01)
        '+0.01'
        """
        if signed:
            return f"{tick:+.{self.decimals}f}" if tick else "0"
        return f"{tick:.{self.decimals}f}"

    def _place(self, value: float) -> float:
        return FIRST + (LAST - FIRST) * self.share(value)


def axis(values: Iterable[float], *, most: int = 6, room: float = 0.08) -> Axis:
    """Lay an axis around the finite ones among some values, with `most` ticks or fewer.

    Args:
        values: What must fit on it.
        most: Number of ticks.
        room: Share of the values' range that is left free at each end.

    >>> axis([0.0, 0.04]).ticks
    (0.0, 0.01, 0.02, 0.03, 0.04)
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    free = room * (high - low) if high > low else 0.01
    low, high = low - free, high + free
    step = _step((high - low) / most)
    count = range(math.ceil(low / step), math.floor(high / step) + 1)
    decimals = max(0, -math.floor(math.log10(step)) + (1 if f"{step:e}".startswith("2.5") else 0))
    return Axis(low, high, tuple(round(index * step, 10) + 0.0 for index in count), decimals)


def anchor(place: str) -> str:
    """Return the side by which text at a place hangs, so that it is not cut at the drawing's edge.

    >>> anchor("3.00%"), anchor("50.00%"), anchor("97.00%")
    ('start', 'middle', 'end')
    """
    across = float(place.rstrip("%"))
    return "start" if across < 7 else "end" if across > 93 else "middle"


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
