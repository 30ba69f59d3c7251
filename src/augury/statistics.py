"""Paired differences over splits: intervals, posteriors, power, corrections and choices.

Differences are oriented by the caller: positive means that the first of the two scored better.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from augury.errors import DataError, SettingsError

Array = npt.NDArray[Any]
Score = Callable[[Array, Array], float]

PROBABLE = 0.95  # the posterior probability from which a statement counts as made
REDRAWS = 1000  # tries for one resample that holds every class


@dataclass(frozen=True)
class Interval:
    """Hold a mean difference, its interval, standard error, spread over splits and two-sided p."""

    mean: float
    low: float
    high: float
    se: float
    sd: float
    n: int
    p_value: float


@dataclass(frozen=True)
class Posterior:
    """Hold the probabilities of a difference below, inside and above the region of practical equivalence."""

    left: float
    inside: float
    right: float


@dataclass(frozen=True)
class Bootstrap:
    """Hold the estimate on all images, its percentile interval and the shares of resamples around the region."""

    mean: float
    low: float
    high: float
    inside: float
    right: float
    left: float
    draws: int


def nadeau_bengio(differences: Sequence[float], ratio: float, level: float = 0.95) -> Interval:
    """Compute the corrected resampled t interval of J paired differences.

    The variance factor is 1/J + ratio with J = len(differences): splits share training images, so 1/J alone is too
    small. Without any spread the interval is the mean itself, and p is 1 for a mean of 0, else 0.

    Args:
        differences: J >= 2 finite differences, one for each split.
        ratio: n_test / n_train in groups, 1 / (K - 1) for K folds; 0 gives the ordinary t test.
        level: coverage, in (0, 1).

    Raises:
        SettingsError: fewer than 2 differences, a negative ratio, or a level outside (0, 1).
        DataError: a difference that is not finite.

    Reference: Nadeau & Bengio 2003, Machine Learning 52:239; Bouckaert & Frank 2004 for repeated folds.

    >>> interval = nadeau_bengio([1.0, 4.0, -3.0, 2.0], ratio=0.25)
    >>> interval.mean, round(interval.se, 4)
    (1.0, 2.0817)
    """
    values = _checked(differences, ratio)
    _require(0 < level < 1, "level", "between 0 and 1", level)
    mean, sd = _moments(values)
    se = sd * math.sqrt(1 / len(values) + ratio)
    if se == 0:
        return Interval(mean, mean, mean, 0.0, 0.0, len(values), 1.0 if mean == 0 else 0.0)
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * se
    p_value = 2 * float(stats.t.sf(abs(mean) / se, len(values) - 1))
    return Interval(mean, mean - reach, mean + reach, se, sd, len(values), p_value)


def correlated_t(differences: Sequence[float], ratio: float, rope: float) -> Posterior:
    """Compute the posterior probabilities of the mean difference around +-rope (rope >= 0).

    The mean follows a Student t with J - 1 degrees of freedom and the variance of `nadeau_bengio`; without any spread
    all probability lies where the mean lies, the edges counting as inside.

    Raises:
        SettingsError: fewer than 2 differences, or a negative ratio or rope.
        DataError: a difference that is not finite.

    Reference: Benavoli et al. 2017, JMLR 18(77), section 3 (correlated Bayesian t test).

    >>> correlated_t([0.5, 0.5], ratio=0.25, rope=0.01)
    Posterior(left=0.0, inside=0.0, right=1.0)
    """
    values = _checked(differences, ratio)
    _require(rope >= 0, "rope", "0 or more", rope)
    mean, sd = _moments(values)
    if sd == 0:
        left, right = float(mean < -rope), float(mean > rope)
    else:
        law = stats.t(len(values) - 1, loc=mean, scale=sd * math.sqrt(1 / len(values) + ratio))
        left, right = float(law.cdf(-rope)), float(law.sf(rope))
    return Posterior(left, max(0.0, 1 - left - right), right)


def minimum_detectable_effect(sd: float, n: int, ratio: float, power: float = 0.8, level: float = 0.95) -> float:
    """Compute the difference that n splits of spread sd (>= 0) detect with the given power.

    (t_{(1+level)/2} + t_{power}) * sqrt(1/n + ratio) * sd, both with n - 1 degrees of freedom.

    Raises:
        SettingsError: n below 2, a negative sd or ratio, or power or level outside (0, 1).

    >>> round(minimum_detectable_effect(sd=0.03, n=25, ratio=0.25), 3)
    0.047
    """
    _require(n >= 2, "n", "2 or more", n)
    _require(min(sd, ratio) >= 0, "sd and ratio", "0 or more", (sd, ratio))
    _require(0 < power < 1 and 0 < level < 1, "power and level", "between 0 and 1", (power, level))
    quantiles = stats.t.ppf([(1 + level) / 2, power], n - 1)
    return float(quantiles.sum()) * math.sqrt(1 / n + ratio) * sd


def groups_needed(groups: int, half_width: float, target: float) -> int:
    """Estimate how many groups would bring an interval's half-width down to target: n * (now / target)^2.

    Raises:
        SettingsError: groups below 1, a negative half_width, or a target that is not positive.

    >>> groups_needed(groups=100, half_width=0.03, target=0.01)
    900
    """
    _require(groups >= 1, "groups", "1 or more", groups)
    _require(half_width >= 0 and target > 0, "half_width and target", "0 or more, above 0", (half_width, target))
    # Rounded first: 0.07 / 0.01 is a hair above 7, and ceil would add a group for it.
    return math.ceil(round(groups * (half_width / target) ** 2, 6))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p values for their number by Holm's step-down rule, in the order given.

    Raises:
        SettingsError: a value outside [0, 1].

    Reference: Holm 1979, Scandinavian Journal of Statistics 6:65.

    >>> holm([0.01, 0.04])
    (0.02, 0.04)
    """
    _require(all(0 <= p <= 1 for p in p_values), "p_values", "between 0 and 1", tuple(p_values))
    # statsmodels' multipletests collects all garbage first, a quarter of a second
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.sort(p_values) * np.arange(len(order), 0, -1))
    return tuple(float(p) for p in adjusted.clip(max=1.0))


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Compute Wilson's interval of a share, successes of n >= 1.

    Raises:
        SettingsError: n below 1, or successes outside 0..n.

    Reference: Wilson 1927, JASA 22:209.

    >>> [round(bound, 2) for bound in wilson(8, 10)]
    [0.49, 0.94]
    """
    _require(n >= 1 and 0 <= successes <= n, "successes of n", "0..n of at least 1", (successes, n))
    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    return float(low), float(high)


def one_standard_error(losses: Array, amounts: Sequence[float], groups: Sequence[str] | Array) -> int:
    """Choose the arm with the fewest generated images that is within one standard error of the best.

    Returns its index, 0..A-1. The standard error is that of the paired difference to the best arm, because all arms
    are scored on the same images: what makes an image hard for every arm cancels, and an error of each mean alone
    would let far too many arms pass. Images of one group are not independent, so differences are summed by group
    (variance G/(G-1) * sum_g (sum of centred differences)^2 / N^2); with one group or one image the error is 0.

    Args:
        losses: (A, N) log-loss of each arm on the same N inner-validation images.
        amounts: A amounts of generated images; ties go to the lower mean loss, then to the order given.
        groups: N group names.

    Raises:
        DataError: shapes that do not fit, no arm, no image, or a loss that is not finite.

    Reference: Breiman et al. 1984, Classification and Regression Trees, section 3.4.3 (the one-standard-error rule).

    >>> one_standard_error(np.array([[0.52, 0.40, 0.61], [0.50, 0.42, 0.58]]), [0, 100], ["a", "b", "c"])
    0
    """
    if losses.ndim != 2 or 0 in losses.shape or losses.shape != (len(amounts), len(groups)):
        raise DataError(
            f"losses must be arms x images, one amount for each arm and one group for each image. "
            f"Got {losses.shape}, {len(amounts)} amounts, {len(groups)} groups."
        )
    if not np.isfinite(losses).all():
        raise DataError("losses must be finite. Got nan or inf: look for an arm whose training diverged.")
    means = losses.mean(axis=1)
    to_best = losses - losses[int(np.argmin(means))]
    eligible = to_best.mean(axis=1) <= _clustered_errors(to_best, groups)
    return min(np.flatnonzero(eligible).tolist(), key=lambda arm: (amounts[arm], means[arm], arm))


def dose_region(means: Sequence[float], ses: Sequence[float], amounts: Sequence[float]) -> int:
    """Find the smallest amount whose mean lies within one standard error of the best (highest) mean.

    The error is the best amount's Nadeau-Bengio one; equal amounts are told apart by the higher mean.

    Raises:
        SettingsError: no amount, or lists of different lengths.

    >>> dose_region(means=[0.70, 0.79, 0.80], ses=[0.02, 0.02, 0.02], amounts=[0, 50, 100])
    1
    """
    sizes = (len(means), len(ses), len(amounts))
    _require(len(set(sizes)) == 1 and sizes[0] > 0, "means, ses and amounts", "equally many, at least 1", sizes)
    best = int(np.argmax(means))
    flat = [arm for arm in range(len(means)) if means[arm] >= means[best] - ses[best]]
    return min(flat, key=lambda arm: (amounts[arm], -means[arm], arm))


def copycat_gate(copycat: Sequence[float], control: Sequence[float], ratio: float, rope: float) -> tuple[bool, float]:
    """Check that copied images do no more than repeating them: an engine that lets them differ favours an arm.

    Returns whether the gate passes and P(|difference| > rope); it fails from 0.95 on. The J scores of the copycat and
    of oversampling at equal exposure come from the same splits; ratio and rope as for `correlated_t`.

    Raises:
        SettingsError: scores that do not pair up, and as for `correlated_t`.

    >>> copycat_gate([0.8, 0.7, 0.9], [0.8, 0.7, 0.9], ratio=0.5, rope=0.01)
    (True, 0.0)
    """
    sizes = (len(copycat), len(control))
    _require(sizes[0] == sizes[1], "copycat and control", "scores of the same splits", sizes)
    posterior = correlated_t([a - b for a, b in zip(copycat, control, strict=True)], ratio, rope)
    beyond = posterior.left + posterior.right
    return beyond < PROBABLE, beyond


def two_level_bootstrap(
    metric: Score,
    labels: Array,
    a: Array,
    b: Array,
    groups: Sequence[str] | Array,
    *,
    rope: float,
    seed: int,
    draws: int = 2000,
    level: float = 0.95,
) -> Bootstrap:
    """Compare two arms on one given test part by resampling training seeds and test groups.

    Every resample draws S seeds and G groups with replacement, the same for both arms, and takes the mean over seeds of
    metric(a) - metric(b); negate a metric of which less is better. A resample without a class of `labels` is redrawn:
    the interval holds for test sets with every class. With one seed it is blind to the chance of training.

    Args:
        metric: score of labels (N,) and probabilities (N, K).
        labels: (N,) class indices.
        a: (S, N, K) probabilities of the first arm, one set for each training seed.
        b: (S, N, K) probabilities of the second arm, same seeds.
        groups: N group names, at least 2 different ones.
        rope: half-width of the region of practical equivalence, >= 0.
        seed: of the resampling.
        draws: number of resamples.
        level: coverage of the percentile interval.

    Raises:
        DataError: shapes that do not fit, one group only, or classes so rare that no resample holds them all.

    >>> p = np.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]])
    >>> accuracy = lambda labels, p: float((p.argmax(axis=1) == labels).mean())
    >>> two_level_bootstrap(accuracy, np.array([0, 1, 0, 1]), p, p, list("wxyz"), rope=0.01, seed=0, draws=9).high
    0.0
    """
    _check_arms(labels, a, b, groups)
    generator, members, classes = np.random.default_rng(seed), group_members(groups), np.unique(labels)
    estimate = _gain(metric, labels, a, b, np.arange(len(a)))
    values = np.empty(draws)
    for draw in range(draws):
        rows = resample_groups(generator, members, labels, classes)
        seeds = generator.integers(len(a), size=len(a))
        values[draw] = _gain(metric, labels[rows], a[:, rows], b[:, rows], seeds)
    return _summary(estimate, values, rope, level)


def group_members(groups: Sequence[str] | Array) -> list[Array]:
    """List the image indices of each group, groups in the order of their names.

    >>> [rows.tolist() for rows in group_members(["b", "a", "b"])]
    [[1], [0, 2]]
    """
    _, inverse, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return list(np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1]))


def resample_groups(generator: np.random.Generator, members: list[Array], labels: Array, classes: Array) -> Array:
    """Draw as many groups as there are, with replacement, until every class is among their images: image indices.

    Raises:
        DataError: classes so rare that 1,000 draws do not hold them all.

    >>> members = group_members(["a", "b"])
    >>> resample_groups(np.random.default_rng(0), members, np.array([0, 0]), np.array([0])).tolist()
    [1, 1]
    """
    for _ in range(REDRAWS):
        rows = np.concatenate([members[g] for g in generator.integers(len(members), size=len(members))])
        if len(np.unique(labels[rows])) == len(classes):
            return rows
    raise DataError(
        f"a resample of the test groups must hold all {len(classes)} classes. Got none in {REDRAWS} tries: "
        "add test groups of the rarest class, or cross-validate instead."
    )


def _gain(metric: Score, labels: Array, a: Array, b: Array, seeds: Array) -> float:
    # A seed drawn twice is scored once and counted twice.
    kinds, counts = np.unique(seeds, return_counts=True)
    return float(np.average([metric(labels, a[s]) - metric(labels, b[s]) for s in kinds], weights=counts))


def _summary(estimate: float, values: Array, rope: float, level: float) -> Bootstrap:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    left, right = float((values < -rope).mean()), float((values > rope).mean())
    inside = float((np.abs(values) <= rope).mean())
    return Bootstrap(estimate, float(low), float(high), inside, right, left, len(values))


def _require(met: bool, name: str, expected: str, got: object) -> None:
    if not met:
        raise SettingsError(f"{name} must be {expected}. Got {got}.")


def _checked(differences: Sequence[float], ratio: float) -> Array:
    values = np.asarray(differences, dtype=np.float64)
    _require(values.ndim == 1 and len(values) >= 2, "differences", "2 or more, one for each split", values.shape)
    _require(0 <= ratio < math.inf, "ratio", "n_test / n_train, 0 or more", ratio)
    if not np.isfinite(values).all():
        raise DataError("differences must be finite. Got nan or inf: look for a split whose score is missing.")
    return values


def _moments(values: Array) -> tuple[float, float]:
    # Equal values have a spread of some 1e-17 by rounding, which would pass for a spread.
    if np.ptp(values) == 0:
        return float(values[0]), 0.0
    return float(values.mean()), float(values.std(ddof=1))


def _clustered_errors(to_best: Array, groups: Sequence[str] | Array) -> Array:
    members = group_members(groups)
    if len(members) < 2:
        return np.zeros(len(to_best))
    centred = to_best - to_best.mean(axis=1, keepdims=True)
    sums = np.stack([centred[:, rows].sum(axis=1) for rows in members])
    variance = len(members) / (len(members) - 1) * (sums**2).sum(axis=0) / to_best.shape[1] ** 2
    return np.asarray(np.sqrt(variance))


def _check_arms(labels: Array, a: Array, b: Array, groups: Sequence[str] | Array) -> None:
    if a.ndim != 3 or len(a) == 0 or a.shape != b.shape or not a.shape[1] == len(labels) == len(groups):
        raise DataError(
            "both arms must be seeds x images x classes, with a label and a group for each image. "
            f"Got {a.shape} and {b.shape}, {len(labels)} labels, {len(groups)} groups."
        )
    if len(set(groups)) < 2:
        raise DataError("a test part must hold at least 2 groups. Got 1: its images say nothing about other groups.")
