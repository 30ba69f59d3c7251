"""More than eight bits to eight: a linear map, by percentiles of each image or by a window that is one for all.

References: DICOM PS3.3 C.11.2.1.2 (window centre and width; LINEAR, LINEAR_EXACT, SIGMOID).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from augury.errors import SettingsError

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]

LOW, HIGH = 0.5, 99.5  # percent; a few hot pixels do not decide about the contrast
_FORM = re.compile(r"(percentiles|window)\s+(\S+)\s+(\S+)")


@dataclass(frozen=True)
class Levels:
    """How images of more than eight bits become images of eight.

    Attributes:
        kind: "percentiles" of each image's own values, or a "window" of values, the same for all images.
        first: The lower percentile, or the window's centre.
        second: The upper percentile, or the window's width.
        declared: Someone asked for it; else a DICOM file's own window comes first.

    Example:
        >>> Levels.parse("window 40 400")
        Levels(kind='window', first=40.0, second=400.0, declared=True)
    """

    kind: Literal["percentiles", "window"] = "percentiles"
    first: float = LOW
    second: float = HIGH
    declared: bool = False

    @classmethod
    def parse(cls, text: str) -> Levels:
        """Read `auto`, `percentiles LOW HIGH` or `window CENTRE WIDTH`.

        Raises:
            SettingsError: If it is none of them.
        """
        if text == "auto":
            return cls()
        found = _FORM.fullmatch(text.strip())
        try:
            levels = cls(found[1], float(found[2]), float(found[3]), True) if found else None  # type: ignore[arg-type]
        except ValueError:
            levels = None
        if levels is None or not levels._meant():
            expected = "'auto', 'percentiles LOW HIGH' (such as percentiles 0.5 99.5) or 'window CENTRE WIDTH'"
            raise SettingsError(f"levels must be {expected}. Got {text!r}.")
        return levels

    def _meant(self) -> bool:
        if self.kind == "percentiles":
            return 0 <= self.first < self.second <= 100
        return bool(np.isfinite(self.first)) and 0 < self.second < np.inf

    def __str__(self) -> str:
        """Return it in words."""
        if self.kind == "percentiles":
            return f"percentiles {self.first:g} to {self.second:g} of each image"
        return f"a window of centre {self.first:g} and width {self.second:g}"

    def apply(self, values: Values) -> Pixels:
        """Map values of any number type and shape to uint8."""
        if self.kind == "window":
            return windowed(values, self.first, self.second)
        low, high = np.percentile(values.astype(np.float64), [self.first, self.second])
        if low == high:  # nearly all pixels are the same: the few that differ must not vanish
            low, high = float(values.min()), float(values.max())
        return _linear(values, low, high)


def windowed(values: Values, centre: float, width: float, function: str = "LINEAR") -> Pixels:
    """Map values to uint8 by a DICOM window.

    Args:
        values: Numbers of any shape.
        centre: Middle of the window.
        width: Its width, greater than 0.
        function: LINEAR, LINEAR_EXACT or SIGMOID.

    Example:
        >>> windowed(np.array([-200, 40, 300]), 40, 400).tolist()
        [0, 128, 255]
    """
    if function == "SIGMOID":
        # the exponent is bounded: values far outside the window are 0 or 255 anyway
        exponent = np.clip(-4.0 * (values.astype(np.float64) - centre) / width, -50, 50)
        return _rounded(1 / (1 + np.exp(exponent)))
    if function == "LINEAR_EXACT" or width < 1:
        return _linear(values, centre - width / 2, centre + width / 2)
    return _linear(values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


def _linear(values: Values, low: float, high: float) -> Pixels:
    if not high > low:
        return np.where(values > low, 255, 0).astype(np.uint8)
    return _rounded((values.astype(np.float64) - low) / (high - low))


def _rounded(shares: npt.NDArray[np.float64]) -> Pixels:
    return np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)
