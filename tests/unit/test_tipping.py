"""What would change a verdict: each number that is named does change it."""

import re
from dataclasses import replace

import numpy as np
import pytest

from augury.statistics import Bootstrap
from augury.tipping import tipping_points
from augury.verdict import Evidence, Kind, decide

NUMBER = r"([+-]?\d+\.\d{3})"
STEP = 0.001  # the sentences are rounded to it


def evidence(mean: float, spread: float, splits: int = 10, rope: float = 0.01) -> Evidence:
    """Make differences of exactly this mean and standard deviation."""
    values = np.random.default_rng(0).normal(size=splits)
    values = mean + spread * (values - values.mean()) / values.std(ddof=1)
    return Evidence("AUROC", tuple(values.tolist()), ratio=0.25, rope=rope, groups=100)


def named(lines: tuple[str, ...], pattern: str) -> float:
    """Return the number that one of the sentences names."""
    return next(abs(float(found[1])) for line in lines if (found := re.search(pattern.replace("#", NUMBER), line)))


@pytest.mark.parametrize(("spread", "splits"), [(0.004, 5), (0.02, 10), (0.05, 25)])
def test_the_difference_from_which_it_helps(spread: float, splits: int) -> None:
    """A little above the named difference it is HELPS, a little below it is not; likewise for HARMS."""
    least = named(tipping_points(evidence(0.01, spread, splits)), "HELPS from #")
    for sign, kind in ((1, Kind.HELPS), (-1, Kind.HARMS)):
        assert decide(evidence(sign * (least + STEP), spread, splits)).kind is kind
        assert decide(evidence(sign * (least - STEP), spread, splits)).kind is not kind


@pytest.mark.parametrize(
    ("mean", "spread", "rope", "pattern", "inside", "outside"),
    [
        (0.05, 0.02, 0.01, r"up to ±#", Kind.HELPS, Kind.SUGGESTIVE),
        (-0.05, 0.02, 0.01, r"up to ±#", Kind.HARMS, Kind.SUGGESTIVE),
        (0.05, 0.03, 0.03, r"at most ±#", Kind.HELPS, Kind.SUGGESTIVE),
    ],
)
def test_the_region_up_to_which_it_holds(
    mean: float, spread: float, rope: float, pattern: str, inside: Kind, outside: Kind
) -> None:
    """The named region is where the verdict changes."""
    found = evidence(mean, spread, rope=rope)
    region = named(tipping_points(found), pattern)
    assert decide(replace(found, rope=region - STEP)).kind is inside
    assert decide(replace(found, rope=region + STEP)).kind is outside


@pytest.mark.parametrize(("mean", "spread", "rope"), [(0.01, 0.03, 0.01), (0.001, 0.003, 0.02)])
def test_the_region_from_which_nothing_differs(mean: float, spread: float, rope: float) -> None:
    """Below the named region the verdict is another one than NO PRACTICAL DIFFERENCE, above it is that one."""
    found = evidence(mean, spread, rope=rope)
    region = named(tipping_points(found), r"±# (?:or wider|on)")
    assert decide(replace(found, rope=region + STEP)).kind is Kind.NO_PRACTICAL_DIFFERENCE
    assert decide(replace(found, rope=region - STEP)).kind is not Kind.NO_PRACTICAL_DIFFERENCE


def test_a_verdict_that_rests_on_one_split() -> None:
    """Leaving out the one split that disagrees makes it HELPS, and the sentence says so."""
    found = Evidence("AUROC", (0.05, 0.05, 0.06, 0.05, 0.04, -0.07), ratio=0.2, rope=0.01, groups=60)
    lines = tipping_points(found)
    assert "It rests on single splits: it would be HELPS without one of the 6 splits." in lines
    steady = tipping_points(evidence(0.0, 0.05))
    assert "It stays INCONCLUSIVE whichever single split is left out." in steady


def test_how_many_groups_would_tell() -> None:
    """With the named number of groups, the interval just excludes 0 if its width falls with their square root."""
    found = evidence(0.01, 0.03)
    (line,) = [line for line in tipping_points(found) if "about" in line]
    verdict, needed = decide(found), int(re.search(r"about (\d+) groups", line)[1])  # type: ignore[index]
    half = (verdict.high - verdict.low) / 2
    assert half * (100 / needed) ** 0.5 <= verdict.estimate < half * (100 / (needed - 1)) ** 0.5
    assert not any("about" in line for line in tipping_points(evidence(0.0001, 0.05)))


def test_the_weaker_rival() -> None:
    """Against real images only it would have read HELPS; a withheld study is given no such word."""
    found = evidence(0.005, 0.02)
    line = tipping_points(found, over_real=[0.06, 0.05, 0.055, 0.06, 0.065])[-1]
    assert "differs by +0.058" in line
    assert "which would read HELPS" in line
    line = tipping_points(replace(found, withheld=("a flaw",)), over_real=[0.06, 0.05, 0.055, 0.06, 0.065])[-1]
    assert "HELPS" not in line


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"withheld": ("a flaw",)}, "Where a generator copies, another one, or the filter near_copy"),
        ({"exploratory": ("few",)}, "without the reasons listed"),
        ({"external": Bootstrap(0.02, 0.01, 0.03, 0.1, 0.9, 0.0, 1000)}, "splits over all images"),
        (
            {"external": Bootstrap(0.02, 0.01, 0.03, 0.1, 0.9, 0.0, 1000), "withheld": ("a flaw",)},
            "Where a generator copies, another one, or the filter near_copy",
        ),
    ],
)
def test_what_no_number_changes(change: dict[str, object], word: str) -> None:
    """A study that cannot end in a finding is told what it takes."""
    assert word in tipping_points(replace(evidence(0.05, 0.02), **change))[0]  # type: ignore[arg-type]


def test_a_gain_that_the_other_side_leaves_no_room_for() -> None:
    """Scores end at 1: a difference above what is left to gain cannot be measured, and that is said."""
    found = evidence(0.005, 0.02)
    least = named(tipping_points(found), "HELPS from #")
    assert not any("out of reach" in line for line in tipping_points(found, room=least + STEP))
    line = tipping_points(found, room=least - STEP)[0]
    assert f"on, which is out of reach: {found.other} leaves {least - STEP:.3f} to gain, and HARMS from" in line


@pytest.mark.parametrize("reasons", [{"withheld": ("a flaw",)}, {"exploratory": ("few",)}])
def test_with_reasons_against_a_finding_the_numbers_are_those_without_them(reasons: dict[str, tuple[str]]) -> None:
    """It is not said in one line that no number changes a verdict, and in the next which one would."""
    found = evidence(0.005, 0.02)
    line = tipping_points(replace(found, **reasons))[1]  # type: ignore[arg-type]
    assert line.startswith("Without these reasons, and with this spread over the splits it would be HELPS from")
    assert named((line,), "HELPS from #") == named(tipping_points(found), "HELPS from #")


def test_no_spread() -> None:
    """Splits that all agree have no interval to reason about."""
    same = Evidence("AUROC", (0.0, 0.0, 0.0), ratio=0.5, rope=0.01, groups=10)
    assert tipping_points(same) == ("The difference is the same in every split: only other splits could change that.",)
