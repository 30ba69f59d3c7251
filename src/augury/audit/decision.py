"""From audits of single splits to one decision per generator, with the controls that make it worth something."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from statsmodels.stats.multitest import multipletests

from augury.audit.copying import Witness
from augury.metrics.audit_test import CopyingTest, copying_test
from augury.metrics.nearer_test import PERMUTATIONS, nearer_test

ALPHA = 0.05  # over all generators of a study
ALL = ""  # in place of a class: all images
CONTROL_ALPHA = 0.01  # of the unused images that must not be flagged: one audit in a hundred is void by chance

State = Literal["green", "red", "void"]


@dataclass(frozen=True)
class Decision:
    """What the audit says of one generator.

    Attributes:
        name: The generator's name.
        state: `red`: its images copy training images; `green`: no copying detected; `void`: a control failed.
        p: P value, Holm-adjusted over generators, of images as new as held-out real ones being as near.
        space: The space in which copying is clearest.
        near: Drawn images among the nearest to the training images, over all splits.
        expected: How many of them there would be by chance.
        limit: Detection limit: the least share of copies that would be found with 80 % power; None: none would.
        splits: Splits looked at.
        among: The class whose images alone the numbers are of, where these are copies; empty: all images.
        weakest: The class in which the detection limit is highest, and that limit; None with one class.
        untold: Classes of too few images to find any number of copies in.
    """

    name: str
    state: State
    p: float
    space: str
    near: int
    expected: float
    limit: float | None
    splits: int
    among: str = ""
    weakest: tuple[str, float | None] | None = None
    untold: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Return the finding in fixed words."""
        if self.state == "void":
            return f"{self.name}: the copying audit is void, for one of its controls failed."
        beside = (
            f"{self.near} of its images among the nearest to training images, {self.expected:.1f} expected of new ones"
        )
        if self.state == "red":
            where = f"in images of {self.among}, {self.space}" if self.among else f"in {self.space}"
            return f"{self.name}: copies training images ({where}: {beside}; p = {self.p:.2g})."
        return f"{self.name}: no copying detected at {_limit(self.limit)} of its images ({beside}){self._by_class}."

    @property
    def _by_class(self) -> str:
        """Return what can be found in single classes."""
        parts = [f"in {self.weakest[0]} alone at {_limit(self.weakest[1])}"] if self.weakest else []
        few = ", ".join(self.untold)
        parts += [f"of {few} alone nothing can be told: too few images"] if few else []
        return "".join(f"; {part}" for part in parts)


def _limit(share: float | None) -> str:
    return "no detection limit" if share is None else f"a detection limit of {share:.1%}"


@dataclass(frozen=True)
class Controls:
    """The audits of what must be flagged, and of what must not be.

    Attributes:
        copycat: P value of copies of training images.
        unused: P value of real images that were held out, against others that were.
        passed: Whether copies were flagged and unused images were not.
    """

    copycat: float
    unused: float

    @property
    def passed(self) -> bool:
        """Tell whether the audit can be trusted."""
        return self.copycat < ALPHA and self.unused >= CONTROL_ALPHA

    @property
    def sentence(self) -> str:
        """Return the finding in fixed words."""
        flagged = "were flagged" if self.copycat < ALPHA else "were NOT flagged"
        green = "were not" if self.unused >= CONTROL_ALPHA else "WERE, too"
        return (
            f"copies of training images {flagged} (p = {self.copycat:.2g}), "
            f"unused real images {green} (p = {self.unused:.2g})"
        )


def decide_copying(
    audits: Mapping[str, Sequence[Witness]], copycat: Sequence[Witness], unused: Sequence[Witness]
) -> tuple[tuple[Decision, ...], Controls]:
    """Decide once per generator, over all splits (PROTOCOL, Decisions 11).

    To be called copies, images must be nearer to training images than held-out real images are (else they are merely
    like them), and near to training images rather than to held-out ones (else they are merely smooth): the larger of
    the two exact p values counts. It is asked of all images together and of those of each class alone, for copies of a
    rare class drown among the others: half of the level is for all together, half is shared by the classes in which
    anything could be found. The least p value counts as often as there are spaces (Bonferroni), and Holm's adjustment
    goes over the generators.

    Args:
        audits: Generator -> its audits, one per split.
        copycat: Audits of copies of training images.
        unused: Audits of held-out real images in place of drawn ones.

    Returns:
        A decision per generator, and the controls.
    """
    controls = Controls(_tested(copycat).p, _tested(unused).p)
    tested = {name: _tested(found, among=len(audits)) for name, found in audits.items()}
    adjusted = multipletests([found.p for found in tested.values()], method="holm")[1] if tested else []
    decisions = (
        _decision(name, found, float(p), controls, len(audits[name]))
        for (name, found), p in zip(tested.items(), adjusted, strict=True)
    )
    return tuple(decisions), controls


def _decision(name: str, found: _Tested, p: float, controls: Controls, splits: int) -> Decision:
    state: State = ("red" if p < ALPHA else "green") if controls.passed else "void"
    shown = found.clearest if state == "red" else found.clearest_of_all
    return Decision(
        name,
        state,
        p,
        shown.space,
        shown.test.near,
        shown.test.expected,
        shown.test.limit,
        splits,
        among=shown.among,
        weakest=found.weakest,
        untold=found.untold,
    )


@dataclass(frozen=True)
class _Finding:
    """One test in one space: of all images, or of those of a class; `p` counts the tests beside it."""

    among: str
    space: str
    p: float
    test: CopyingTest


@dataclass(frozen=True)
class _Tested:
    """All tests of one generator; those of all images come first."""

    findings: tuple[_Finding, ...]
    untold: tuple[str, ...]

    @property
    def clearest(self) -> _Finding:
        return min(self.findings, key=lambda one: one.p)

    @property
    def clearest_of_all(self) -> _Finding:
        return min((one for one in self.findings if not one.among), key=lambda one: one.p)

    @property
    def p(self) -> float:
        return self.clearest.p

    @property
    def weakest(self) -> tuple[str, float | None] | None:
        limits = {one.among: one.test.limit for one in self.findings if one.among}
        return max(limits.items(), key=lambda one: 1.0 if one[1] is None else one[1], default=None)


def _tested(audits: Sequence[Witness], among: int = 1) -> _Tested:
    """Test all images and the classes in which copies of every image would be found, by their numbers alone."""
    spaces = list(audits[0].distances)
    classes = {name: [one.classes[name] for one in audits if name in one.classes] for name in _names(audits)}
    told = {name: found for name, found in classes.items() if _near(found, spaces[0], ALPHA).limit is not None}
    findings = []
    for name, found in {ALL: audits, **told}.items():
        counts = len(spaces) * ((2 * len(told) if name else 2) if told else 1)
        findings += [_finding(found, name, space, counts, among) for space in spaces]
    return _Tested(tuple(findings), tuple(name for name in classes if name not in told))


def _finding(audits: Sequence[Witness], name: str, space: str, counts: int, among: int) -> _Finding:
    test = _near(audits, space, ALPHA / (counts * among))  # what a single p value must be below, at the worst
    # shuffles enough for p values that, so often counted, are still below the level
    permutations = max(PERMUTATIONS, math.ceil(10 * counts * among / ALPHA))
    hits = [one.hits[space] for one in audits if one.hits]
    nearer = nearer_test(hits, permutations=permutations) if test.p * counts < 1 else 1.0
    return _Finding(name, space, min(1.0, counts * max(test.p, nearer)), test)


def _near(audits: Sequence[Witness], space: str, alpha: float) -> CopyingTest:
    pairs = [pair for one in audits for pair in one.distances[space]]
    classes = max(len(one.distances[space]) for one in audits)
    return copying_test(pairs, alpha=alpha, classes=classes) if pairs else CopyingTest(1.0, 0, 0.0, None)


def _names(audits: Sequence[Witness]) -> list[str]:
    return list(dict.fromkeys(name for one in audits for name in one.classes))
