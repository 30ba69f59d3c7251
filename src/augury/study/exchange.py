"""The exchange rate: what synthetic images are worth in further real ones, read off a learning curve.

A learning curve gives the score of n real images. If n real images with synthetic ones score s, and real images alone
reach s at n + m of them, the synthetic ones are worth m real images here. It is read between the measured sizes only:
what lies beyond them is a bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError, SettingsError

Array = npt.NDArray[Any]

DRAWS = 2000


@dataclass(frozen=True)
class Worth:
    """What the synthetic images of one size are worth in further real images of each class.

    Attributes:
        value: The estimate; inf and -inf where it lies beyond the largest or below the smallest size.
        low: Lower end of the percentile interval, infinite likewise.
        high: Upper end.
        least: The lowest value that could be read, smallest size - this size: 0 or less.
        most: The highest value that could be read, largest size - this size: 0 or more.
    """

    value: float
    low: float
    high: float
    least: float
    most: float

    @property
    def claim(self) -> str:
        """Say what they are worth or cost, with the interval.

        Example:
            >>> Worth(12.2, -4.0, math.inf, least=-15, most=75).claim
            'are worth 12 (95 % interval -4 to more than 75) further real ones'
            >>> Worth(-math.inf, -math.inf, 3.0, least=-15, most=75).claim
            'cost more than 15 real ones (95 % interval of their worth less than -15 to 3)'
        """
        low, high = self._words(self.low), self._words(self.high)
        span = low if low == high and math.isinf(self.low) else f"{low} to {high}"
        if self.value < 0 and (math.isinf(self.value) or round(self.value) < 0):
            return f"cost {self._cost()} (95 % interval of their worth {span})"
        if math.isinf(self.value) and round(self.most) == 0:
            return f"are worth further real ones, more than the largest size tells (95 % interval {span})"
        return f"are worth {self._words(self.value)} (95 % interval {span}) further real ones"

    def _cost(self) -> str:
        if math.isfinite(self.value):
            return f"{-round(self.value):,} real ones"
        least = -round(self.least)
        return f"more than {least:,} real ones" if least else "real ones, how many the smallest size does not tell"

    def _words(self, value: float) -> str:
        if math.isinf(value):
            return f"more than {round(self.most):,}" if value > 0 else f"less than {round(self.least):,}"
        return f"{round(value):,}"

    def record(self) -> dict[str, float | bool | None]:
        """Return plain values: an end that lies beyond the sizes is None, and `least` and `most` bound it."""
        ends = {name: getattr(self, name) for name in ("value", "low", "high")}
        finite = {name: end if math.isfinite(end) else None for name, end in ends.items()}
        return {**finite, "beyond": math.isinf(self.value), "least": self.least, "most": self.most}


def exchange_rates(
    sizes: Sequence[float], plain: Array, using: Array, *, seed: int, draws: int = DRAWS, level: float = 0.95
) -> tuple[Worth, ...]:
    """Read, for each size, how many further real images the synthetic ones are worth.

    The level means of the scores without synthetic images are made monotone (isotonic regression) and interpolated
    linearly over log n. The interval is the expanded percentile interval of a bootstrap that draws splits, the same
    ones at all sizes and on both sides, and with each draw one of the resampled test sets.

    Args:
        sizes: L >= 2 numbers of real images, ascending.
        plain: (T, L, J) scores without synthetic images on T test sets, the first one as it is, the others
            resamples of it; J splits. More is better.
        using: (T, L, J) scores with synthetic images.
        seed: Of the bootstrap.
        draws: Number of resamples.
        level: Coverage of the interval, in (0, 1).

    Raises:
        SettingsError: Sizes that are fewer than 2, not positive or not ascending.
        DataError: Scores that do not fit, or are not finite.

    Reference: Hesterberg 2015, The American Statistician 69:371 (the expanded percentile interval).

    Example:
        >>> plain = np.array([[[0.6], [0.7], [0.8]]])
        >>> worth = exchange_rates([10, 20, 40], plain, plain + 0.1, seed=0, draws=9)
        >>> [round(each.value, 1) for each in worth]
        [10.0, 20.0, inf]
    """
    _check(sizes, plain, using)
    estimates = _worth(sizes, plain[:1].mean(axis=2), using[:1].mean(axis=2))[0]
    drawn = _worth(sizes, resampled_means(plain, seed, draws), resampled_means(using, seed, draws))
    low, high = percentiles(drawn, plain.shape[2], level)
    return tuple(
        Worth(float(value), float(a), float(b), sizes[0] - size, sizes[-1] - size)
        for value, a, b, size in zip(estimates, low, high, sizes, strict=True)
    )


def resampled_means(scores: Array, seed: int, draws: int = DRAWS) -> Array:
    """Draw splits with replacement, and a resampled test set with each draw: level means, float64 (draws, L).

    One seed gives the same draws for all scores of one shape (T, L, J), so that they stay paired.
    """
    tests, _, splits = scores.shape
    counts = np.random.default_rng(seed).multinomial(splits, np.full(splits, 1 / splits), size=draws)
    which = 1 + np.arange(draws) % (tests - 1) if tests > 1 else np.zeros(draws, dtype=np.int64)
    return np.asarray(np.einsum("blj,bj->bl", scores[which], counts / splits))


def percentiles(values: Array, splits: int, level: float = 0.95) -> tuple[Array, Array]:
    """Return the ends of the expanded percentile interval of each column of draws, which are drawn values: also inf.

    A bootstrap of J splits is too narrow by sqrt((J - 1) / J) and by the normal law that it takes for Student's; its
    interval therefore ends further out, at the shares Phi(-+ sqrt(J / (J - 1)) t) of the draws.

    Example:
        >>> [float(end[0]) for end in percentiles(np.arange(1001.0)[:, None], splits=1000)]
        [24.0, 976.0]
    """
    from scipy import stats

    ordered, last = np.sort(values, axis=0), len(values) - 1
    reach = stats.t.ppf((1 + level) / 2, splits - 1) * math.sqrt(splits / (splits - 1)) if splits > 1 else math.inf
    tail = float(stats.norm.cdf(-reach))
    return ordered[math.floor(tail * last)], ordered[math.ceil((1 - tail) * last)]


def _worth(sizes: Sequence[float], plain: Array, using: Array) -> Array:
    """Return what synthetic images are worth: (B, L) of level means (B, L) without and with them."""
    places, curve = np.log(np.asarray(sizes, dtype=np.float64)), _monotone(plain)
    low, high = (_place(places, curve, using, strictly=strictly) for strictly in (True, False))
    # where the curve is flat a whole stretch of it has one score: the place in it that is nearest to the size itself
    found = np.clip(places, low, high)
    return np.asarray(np.where(np.isneginf(found), -np.inf, np.exp(found) - np.asarray(sizes)))


def _place(places: Array, curve: Array, scores: Array, *, strictly: bool) -> Array:
    """Return the first place (strictly) or the last at which curves (B, L) have scores (B, L); +-inf beyond them."""
    shape = curve[:, None, :], scores[:, :, None]
    below = (shape[0] < shape[1] if strictly else shape[0] <= shape[1]).sum(axis=2)
    left, right = np.clip(below - 1, 0, None), np.clip(below, None, len(places) - 1)
    start, end = np.take_along_axis(curve, left, axis=1), np.take_along_axis(curve, right, axis=1)
    rise = np.where(end > start, end - start, 1.0)
    found = places[left] + (places[right] - places[left]) * (scores - start) / rise
    found = np.where(scores > curve[:, -1:], np.inf, np.where(scores < curve[:, :1], -np.inf, found))
    return np.asarray(found)


def _monotone(means: Array) -> Array:
    """Return the isotonic regression of each row; rows that ascend are their own."""
    from sklearn.isotonic import isotonic_regression

    fitted = np.array(means, dtype=np.float64)
    for row in np.flatnonzero((np.diff(fitted, axis=1) < 0).any(axis=1)):
        fitted[row] = isotonic_regression(fitted[row])
    return fitted


def _check(sizes: Sequence[float], plain: Array, using: Array) -> None:
    if len(sizes) < 2 or sizes[0] <= 0 or (np.diff(sizes) <= 0).any():
        raise SettingsError(f"sizes must be 2 or more, above 0 and ascending. Got {list(sizes)}.")
    if plain.ndim != 3 or plain.shape != using.shape or plain.shape[1] != len(sizes) or 0 in plain.shape:
        raise DataError(f"scores must be test sets x sizes x splits on both sides. Got {plain.shape}, {using.shape}.")
    if not (np.isfinite(plain).all() and np.isfinite(using).all()):
        raise DataError("scores must be finite. Got nan or inf: look for a split whose score is missing.")
