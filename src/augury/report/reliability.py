"""The reliability diagram: how often the classifier is right, against how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from augury.metrics.calibration import ReliabilityBin
from augury.report.svg import Axis, anchor, axis, drawing, element
from augury.study.clinic_outcome import ClinicArm

TOP, BOTTOM, HEIGHT = 14, 268, 308  # pixels: the plot's upper and lower edge, and all with ticks and the axis' name


def reliability_chart(arm: ClinicArm) -> Markup:
    """Draw share right against confidence before and after recalibration, with Wilson bars and the diagonal."""
    both = (*arm.reliability, *arm.reliability_recalibrated)
    confidence, share = axis([*(point.confidence for point in both), 1.0]), axis([0.0, 1.0])
    title = f"{arm.arm}: share right against confidence, before and after recalibration, 95 % intervals"
    return drawing(
        title,
        HEIGHT,
        *_grid(confidence, share),
        _diagonal(confidence, share),
        _points("before", arm.reliability, confidence, share),
        _points("after", arm.reliability_recalibrated, confidence, share),
    )


def _grid(confidence: Axis, share: Axis) -> list[Markup]:
    parts = []
    for tick in share.ticks:
        down = _down(tick, share)
        parts.append(element("line", x1="0", x2="100%", y1=down, y2=down, class_="grid"))
        parts.append(element("text", share.label(tick, signed=False), x="0", y=down - 4, class_="tick-label"))
    for tick in confidence.ticks:
        place = confidence.across(tick)
        parts.append(element("line", x1=place, x2=place, y1=BOTTOM, y2=BOTTOM + 4, class_="tick"))
        label = confidence.label(tick, signed=False)
        parts.append(element("text", label, x=place, y=BOTTOM + 17, text_anchor=anchor(place), class_="tick-label"))
    parts.append(element("line", x1="0", x2="100%", y1=BOTTOM, y2=BOTTOM, class_="base"))
    parts.append(element("text", "share right ↑", x="0", y=BOTTOM + 36, class_="direction"))
    parts.append(element("text", "confidence →", x="100%", y=BOTTOM + 36, text_anchor="end", class_="direction"))
    return parts


def _diagonal(confidence: Axis, share: Axis) -> Markup:
    low = max(confidence.low, 0.0)
    return _segment((low, low), (1.0, 1.0), confidence, share, "zero")


def _points(kind: str, points: Sequence[ReliabilityBin], confidence: Axis, share: Axis) -> Markup:
    places = [(point.confidence, point.frequency) for point in points]
    parts = [_segment(one, other, confidence, share, "path") for one, other in pairwise(places)]
    for point in points:
        low, high = ((point.confidence, end) for end in point.interval)
        parts.append(_segment(low, high, confidence, share, "interval"))
        centre = {"cx": confidence.across(point.confidence), "cy": _down(point.frequency, share)}
        parts.append(element("circle", **centre, r=4, class_="mean"))
    return element("g", *parts, class_=f"reliability {kind}")


def _segment(
    one: tuple[float, float], other: tuple[float, float], confidence: Axis, share: Axis, class_: str
) -> Markup:
    ends = {"x1": confidence.across(one[0]), "x2": confidence.across(other[0])}
    return element("line", **ends, y1=_down(one[1], share), y2=_down(other[1], share), class_=class_)


def _down(value: float, scale: Axis) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * scale.share(value), 2)
