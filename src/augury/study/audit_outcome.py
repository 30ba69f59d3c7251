"""What the audits of a study's generators found, computed: copies, fidelity, what fidelity foretold."""

from __future__ import annotations

from dataclasses import dataclass

from augury.audit import Controls, CopyingInSpace, Decision, PairDiversity, SpaceFidelity


@dataclass(frozen=True)
class AuditedMaker:
    """A generator, with or without filters, as it was audited in the splits of the first repeat.

    Attributes:
        maker: Its name and its filters.
        generator: Its name.
        near_copies: Whether its images keep close to single real ones by construction.
        arms: Arms that use these images.
        splits: Splits audited.
        decision: Whether they are copies; None if that was not looked at.
        copying: What was found, by space: means over splits.
        fidelity: How near they come to real ones: means over splits; all classes, then each class.
        tstr: Balanced accuracy on real images of a classifier trained on them only, mean over splits; None without one.
        trts: Balanced accuracy on them of the classifier trained on real images, mean over splits; None without one.
        real: Balanced accuracy on real images of the classifier trained on real images, mean over these splits.
        gain: Best difference of its arms to real images only in the primary metric, mean over splits; None without one.
        unknown: Why a leak cannot be ruled out; empty where it can.
        diversity: How different its images of a class are from each other, by measure and class: means over splits.
    """

    maker: str
    generator: str
    near_copies: bool
    arms: tuple[str, ...]
    splits: int
    decision: Decision | None
    copying: tuple[CopyingInSpace, ...]
    fidelity: tuple[SpaceFidelity, ...]
    tstr: float | None
    trts: float | None
    real: float | None
    gain: float | None
    unknown: str = ""
    diversity: tuple[PairDiversity, ...] = ()

    @property
    def withheld(self) -> bool:
        """Tell whether its arms take no part in the verdict."""
        return self.decision is not None and self.decision.state == "red"


@dataclass(frozen=True)
class Predicted:
    """Whether a measure of fidelity went along with usefulness over the generators of this study.

    Attributes:
        measure: Name of the measure.
        rho: Spearman's rank correlation, signed so that 1 means: the better the measure, the larger the gain.
        p: Its p value, two-sided, from permutations.
        makers: Number of generators.
    """

    measure: str
    rho: float
    p: float
    makers: int


@dataclass(frozen=True)
class Audited:
    """The audits of a study: its generators, the controls, and whether fidelity foretold usefulness.

    `pending` names those of which nobody has looked for copies yet, because the study has not run to its end.
    """

    makers: tuple[AuditedMaker, ...] = ()
    controls: Controls | None = None
    predicted: tuple[Predicted, ...] = ()
    pending: tuple[str, ...] = ()
