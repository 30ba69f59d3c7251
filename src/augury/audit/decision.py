"""From audits of single splits to one decision per generator, with the controls that make it worth something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from statsmodels.stats.multitest import multipletests

from augury.audit.copying import Witness
from augury.metrics.audit_test import CopyingTest, copying_test
from augury.metrics.nearer_test import nearer_test

ALPHA = 0.05  # over all generators of a study
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
    """

    name: str
    state: State
    p: float
    space: str
    near: int
    expected: float
    limit: float | None
    splits: int

    @property
    def sentence(self) -> str:
        """Return the finding in fixed words."""
        if self.state == "void":
            return f"{self.name}: the copying audit is void, for one of its controls failed."
        beside = (
            f"{self.near} of its images among the nearest to training images, {self.expected:.1f} expected of new ones"
        )
        if self.state == "red":
            return f"{self.name}: copies training images (in {self.space}: {beside}; p = {self.p:.2g})."
        limit = (
            f"a detection limit of {self.limit:.1%} of its images" if self.limit is not None else "no detection limit"
        )
        return f"{self.name}: no copying detected at {limit} ({beside})."


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
    the two exact p values counts. The least over the spaces counts as often as there are spaces (Bonferroni), and
    Holm's adjustment goes over the generators.

    Args:
        audits: Generator -> its audits, one per split.
        copycat: Audits of copies of training images.
        unused: Audits of held-out real images in place of drawn ones.

    Returns:
        A decision per generator, and the controls.
    """
    controls = Controls(_tested(copycat)[1], _tested(unused)[1])
    tested = {name: _tested(found, among=len(audits)) for name, found in audits.items()}
    adjusted = multipletests([p for _, p, _ in tested.values()], method="holm")[1] if tested else []
    rows = []
    for (name, (space, _, test)), p in zip(tested.items(), adjusted, strict=True):
        state: State = ("red" if p < ALPHA else "green") if controls.passed else "void"
        rows.append(Decision(name, state, float(p), space, test.near, test.expected, test.limit, len(audits[name])))
    return tuple(rows), controls


def _tested(audits: Sequence[Witness], among: int = 1) -> tuple[str, float, CopyingTest]:
    """Return the space with the least p value, that p value times the number of spaces, and its test."""
    spaces = list(audits[0].distances)
    level = ALPHA / (len(spaces) * among)  # what a single p value must be below, at the worst
    tests = {space: copying_test([audit.distances[space] for audit in audits], alpha=level) for space in spaces}
    p = {space: max(tests[space].p, nearer_test([audit.hits[space] for audit in audits])) for space in spaces}
    space = min(p, key=lambda name: p[name])
    return space, min(1.0, p[space] * len(spaces)), tests[space]
