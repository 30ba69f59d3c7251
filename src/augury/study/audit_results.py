"""From the audits of single splits to what the report says: decisions, means, and what fidelity foretold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
from scipy import stats

from augury.audit import (
    Controls,
    Copying,
    CopyingInSpace,
    Decision,
    Fidelity,
    PairDiversity,
    SpaceFidelity,
    decide_copying,
)
from augury.generators.external import leak_not_ruled_out
from augury.metrics.classification import METRICS
from augury.study.audit_outcome import Audited, AuditedMaker, Predicted
from augury.study.audits import PlannedAudit
from augury.study.block import Block
from augury.study.engine import Ran
from augury.study.grid import ArmPlan
from augury.study.layout import Laid
from augury.study.outcome import Gate
from augury.study.steps import Step
from augury.study.study import REAL, NamedGenerator

UNDONE = "It has no result. Run the study to its end: until then nobody knows whether these images are copies"
FEWEST_MAKERS = 4  # generators; with three the least p value of a rank correlation is 0.33
MEASURES: dict[str, tuple[str, int]] = {  # field -> name in words, sign that makes larger better
    "kid": ("KID", -1),
    "cmmd": ("CMMD", -1),
    "density": ("density", 1),
    "coverage": ("coverage", 1),
    "detector": ("detector AUC", -1),
}
Row = TypeVar("Row", CopyingInSpace, SpaceFidelity, PairDiversity)


def audited(laid: Laid, ran: Ran) -> Audited:
    """Summarise the audits whose results are there; without gains, which take the scored cells: see `with_gains`."""
    by_maker: dict[str, list[PlannedAudit]] = {}
    for planned in laid.audits.makers:
        by_maker.setdefault(planned.maker, []).append(planned)

    def found(step: Step | None) -> Any:
        return laid.store.get(step) if step is not None and not ran.missing(step) and laid.store.has(step) else None

    decisions, controls = _decisions(laid, by_maker, found)
    makers = tuple(_maker(laid, name, rows, decisions.get(name), found) for name, rows in by_maker.items())
    pending = tuple(name for name, rows in by_maker.items() if name not in decisions and _pending(rows, found))
    return Audited(tuple(maker for maker in makers if maker.splits), controls, pending=pending)


def _pending(rows: Sequence[PlannedAudit], found: Callable[[Step | None], Any]) -> bool:
    """Tell whether an audit of copying was planned in some split, and has no result there."""
    return any(planned.copying is not None and found(planned.copying) is None for planned in rows)


def judged(found: Audited, rows: Sequence[ArmPlan]) -> tuple[dict[str, str], tuple[Gate, ...]]:
    """Return the arms that are withheld because their images are copies, each with the reason, and what was checked.

    Where that leaves no arm with generated images, none is withheld, and a gate fails: so is the verdict.
    """
    copied = {arm: maker for maker in found.makers if maker.withheld for arm in maker.arms}
    generated = [row.name for row in rows if row.uses_generated and row.chosen_from]
    nothing_left = bool(generated) and all(name in copied for name in generated)
    gates = tuple(_gate(maker.decision, nothing_left) for maker in found.makers if maker.decision)
    if found.controls is not None and not found.controls.passed:
        gates = (Gate("copying audit", None, f"void: {found.controls.sentence}"),)
    gates += tuple(Gate(f"copying audit: {name}", None, UNDONE) for name in found.pending)
    reasons = {arm: maker.decision.sentence for arm, maker in copied.items() if maker.decision}
    return ({} if nothing_left else reasons), gates


def _gate(decision: Decision, nothing_left: bool) -> Gate:
    name = f"copying audit: {decision.name}"
    if decision.state != "red":
        return Gate(name, True, decision.sentence)
    if nothing_left:
        return Gate(name, False, f"{decision.sentence} No arm with generated images is left")
    return Gate(name, None, f"{decision.sentence} Its arms take no part in the verdict")


def audit_notes(found: Audited) -> tuple[str, ...]:
    """Say which generators copy."""
    return tuple(maker.decision.sentence for maker in found.makers if maker.withheld and maker.decision)


def with_gains(found: Audited, block: Block) -> Audited:
    """Add what each generator's images were worth, and whether its fidelity had foretold it."""
    makers = tuple(replace(maker, gain=_gain(maker, block)) for maker in found.makers)
    return replace(found, makers=makers, predicted=predicted(makers))


def predicted(makers: Sequence[AuditedMaker]) -> tuple[Predicted, ...]:
    """Correlate ranks of fidelity and of usefulness over generators; empty with fewer than four."""
    rows = [maker for maker in makers if maker.gain is not None and maker.fidelity]
    if len(rows) < FEWEST_MAKERS:
        return ()
    gains = [float(maker.gain or 0.0) for maker in rows]
    columns: dict[str, tuple[list[float], int]] = {}
    for space in dict.fromkeys(row.space for maker in rows for row in maker.fidelity):
        for field, (name, sign) in MEASURES.items():
            columns[f"{name} ({space})"] = ([_pooled(maker, space, field) for maker in rows], sign)
    if all(maker.tstr is not None for maker in rows):
        columns["TSTR"] = ([float(maker.tstr or 0.0) for maker in rows], 1)
    return tuple(_predicted(name, values, sign, gains) for name, (values, sign) in columns.items())


def _predicted(name: str, values: Sequence[float], sign: int, gains: Sequence[float]) -> Predicted:
    a, b = np.array(values) * sign, np.array(gains)
    if np.ptp(a) == 0 or np.ptp(b) == 0 or not np.isfinite(a).all():
        return Predicted(name, float("nan"), float("nan"), len(a))
    shuffled = stats.permutation_test(
        (a,), lambda x: stats.spearmanr(x, b).statistic, permutation_type="pairings", n_resamples=2000, rng=0
    )
    return Predicted(name, float(shuffled.statistic), float(shuffled.pvalue), len(a))


def _pooled(maker: AuditedMaker, space: str, field: str) -> float:
    row = next((row for row in maker.fidelity if row.space == space and not row.name), None)
    return float("nan") if row is None else float(getattr(row, field))


def _decisions(
    laid: Laid, by_maker: Mapping[str, Sequence[PlannedAudit]], found: Callable[[Step | None], Any]
) -> tuple[dict[str, Decision], Controls | None]:
    controls = [found(step) for step in laid.audits.controls]
    controls = [pair for pair in controls if pair is not None]
    audits = {
        name: [one.witness for planned in rows if (one := found(planned.copying)) is not None and one.spaces]
        for name, rows in by_maker.items()
    }
    audits = {name: rows for name, rows in audits.items() if rows}
    if not controls or not audits:
        return {}, None
    decisions, checked = decide_copying(audits, [copies for copies, _ in controls], [fresh for _, fresh in controls])
    return {decision.name: decision for decision in decisions}, checked


def _maker(
    laid: Laid,
    name: str,
    rows: Sequence[PlannedAudit],
    decision: Decision | None,
    found: Callable[[Step | None], Any],
) -> AuditedMaker:
    copies: list[Copying] = [one for row in rows if (one := found(row.copying)) is not None and one.spaces]
    looked = [(row, one) for row in rows if (one := found(row.fidelity)) is not None and one[1] is not None]
    measured: list[tuple[Fidelity, float]] = [one for _, one in looked]  # filters may leave no image of a split
    named = next(each for each in laid.study.generators if each.name == rows[0].generator)
    return AuditedMaker(
        maker=name,
        generator=named.name,
        near_copies=named.recipe.near_copies,
        arms=rows[0].arms,
        splits=max(len(copies), len(measured)),
        decision=decision,
        copying=_means([one.spaces for one in copies], ("space",)),
        fidelity=_means([one.rows for one, _ in measured], ("space", "name")),
        diversity=_means([one.diversity for one, _ in measured], ("measure", "name")),
        tstr=_mean([_balanced(laid, planned, found) for planned, _ in looked]),
        trts=_mean([trts for _, trts in measured]),
        real=_mean([_balanced_real(laid, planned, found) for planned in rows]),
        gain=None,
        unknown=_unknown(named, found(rows[0].copying and rows[0].copying.pool[0].chunks[0].fit)),
    )


def _unknown(named: NamedGenerator, sampler: Any) -> str:
    return leak_not_ruled_out(named.name) if getattr(sampler, "unknown_training_set", False) else ""


def _balanced(laid: Laid, planned: PlannedAudit, found: Callable[[Step | None], Any]) -> float | None:
    probabilities = found(planned.tstr)
    return None if probabilities is None else _score(laid, planned, probabilities)


def _balanced_real(laid: Laid, planned: PlannedAudit, found: Callable[[Step | None], Any]) -> float | None:
    first = laid.study.classifiers[0].name
    cell = next(c for c in laid.cells if (c.classifier, c.arm.name, c.split) == (first, REAL, planned.split))
    probabilities = found(cell.predictions["test"])
    return None if probabilities is None else _score(laid, planned, probabilities)


def _score(laid: Laid, planned: PlannedAudit, probabilities: Any) -> float:
    labels = laid.images.labels.numpy()[list(planned.split.test)]
    return float(METRICS["balanced_accuracy"].function(labels, probabilities))


def _gain(maker: AuditedMaker, block: Block) -> float | None:
    """Return the best mean difference of its arms to real images only, oriented so that more is better."""
    sign = 1 if METRICS[block.metric].higher_is_better else -1
    found = [interval.mean * sign for arm in maker.arms if (interval := block.beside_real(arm)) is not None]
    return max(found, default=None)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _means(splits: Sequence[Sequence[Row]], keys: tuple[str, ...]) -> tuple[Row, ...]:
    """Average rows of the same keys over splits; of texts and pairs the first counts."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for rows in splits:
        for row in rows:
            groups.setdefault(tuple(getattr(row, key) for key in keys), []).append(row)
    return tuple(_mean_row(rows) for rows in groups.values())


def _mean_row(rows: Sequence[Row]) -> Row:
    values = {field.name: [getattr(row, field.name) for row in rows] for field in fields(rows[0])}
    changed: dict[str, Any] = {
        name: _mean(found) for name, found in values.items() if not isinstance(found[0], str | tuple)
    }
    if "worst_class" in values:
        changed["worst_class"] = max(values["worst_class"], key=lambda pair: pair[1])
    return replace(rows[0], **changed)
