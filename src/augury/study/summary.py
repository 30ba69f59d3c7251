"""The rows of the arms table: means over splits, changes per class, budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from augury.metrics.classification import METRICS, sensitivity_specificity
from augury.statistics import holm, wilson
from augury.study.block import Block, Unit, share_of
from augury.study.grid import ArmPlan
from augury.study.outcome import ArmResult, ClassResult
from augury.study.study import REAL
from augury.study.table import ScoredCell


def arm_results(block: Block) -> tuple[ArmResult, ...]:
    """Summarise every arm of one classifier, p-values Holm-adjusted over its arms."""
    differences = {arm.name: block.beside_real(arm.name) for arm in block.rows}
    p_values = {name: d.p_value for name, d in differences.items() if d is not None and np.isfinite(d.p_value)}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    results = []
    for arm in block.rows:
        row = _arm_result(block, arm)
        withheld = block.withheld.get(arm.name, "")
        results.append(replace(row, difference=differences[arm.name], p_holm=adjusted.get(arm.name), withheld=withheld))
    return tuple(results)


def _arm_result(block: Block, arm: ArmPlan) -> ArmResult:
    items = [item for items in block.by_arm.get(arm.name, {}).values() for item in items]
    planned = [cell for cell in block.planned if cell.arm.name == arm.name]
    shown = [item.exposure for item in items]
    wanted = [sum(cell.counts) for cell in planned]
    added = float(np.mean([e.synthetic for e in shown] if shown else wanted))
    real = float(np.mean([sum(cell.real_counts) for cell in planned]))
    choice = block.using if arm.uses_generated else block.without
    sensitivity, specificity = _operating_point(block, items)
    return ArmResult(
        classifier=block.classifier,
        arm=arm.name,
        generator=arm.generator.name if arm.generator else None,
        policy=arm.policy.label if arm.generator else None,
        uses_generated=arm.uses_generated,
        added=added,
        dose=added / real,
        share=_average([1 - e.real_exposures / (e.steps * e.batch) for e in shown]),
        steps=_common([e.steps for e in shown]),
        batch=_common([e.batch for e in shown]),
        trials=_common([item.trials for item in items]),
        real_exposures=_common([e.real_exposures for e in shown]),
        splits=len(block.by_arm.get(arm.name, {})),
        failed=len(planned) - len(items),
        scores={key: _mean(block.values(arm.name, lambda item, key=key: item.scores[key])) for key in METRICS},  # type: ignore[misc]
        difference=None,
        p_holm=None,
        chosen=share_of([name == arm.name for name in choice.values()]),
        classes=_class_results(block, arm.name),
        confusion=_confusion(items, len(block.images.classes)),
        sensitivity=sensitivity,
        specificity=specificity,
        external=_external(block, items),
        sensitivity_row=not arm.chosen_from,
    )


def _mean(values: dict[Unit, float]) -> float:
    return _average(list(values.values()))


def _average(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _common(counts: Sequence[int]) -> float:
    """Return the count that all have, or their mean."""
    return counts[0] if len(set(counts)) == 1 else _average(counts)


def _confusion(items: Sequence[ScoredCell], classes: int) -> tuple[tuple[int, ...], ...]:
    total = sum((item.confusion for item in items), start=np.zeros((classes, classes), dtype=np.int64))
    return tuple(tuple(int(n) for n in row) for row in total)


def _class_results(block: Block, arm: str) -> tuple[ClassResult, ...]:
    return tuple(_class_result(block, arm, k, name) for k, name in enumerate(block.images.classes))


def _class_result(block: Block, arm: str, k: int, name: str) -> ClassResult:
    def per_split(of: str, column: int) -> dict[Unit, float]:
        return block.values(of, lambda item: float(item.classes[k, column]))

    items = [item for items in block.by_arm.get(arm, {}).values() for item in items]
    precision, recall, f1 = (_mean(per_split(arm, column)) for column in range(3))
    return ClassResult(
        name=name,
        precision=precision,
        recall=recall,
        f1=f1,
        support=sum(int(item.confusion[k].sum()) for item in items),
        recall_change=None if arm == REAL else block.change(per_split(arm, 1), per_split(REAL, 1)),
        recall_interval=_recall_interval(block, arm, k),
    )


def _recall_interval(block: Block, arm: str, k: int) -> tuple[float, float] | None:
    """Return Wilson's interval of a class's recall: n is its images, the hits are a mean over the repeats."""
    rows = [item.confusion[k] for items in block.passes(arm) for item in items]
    passes, support = len(block.passes(arm)), int(sum(row.sum() for row in rows))
    n = round(support / passes) if passes else 0
    return wilson(round(n * sum(int(row[k]) for row in rows) / support), n) if n else None


def _operating_point(block: Block, items: Sequence[ScoredCell]) -> tuple[float | None, float | None]:
    positive = block.study.data.positive
    if not positive or not items:
        return None, None
    label = block.images.classes.index(positive)
    pairs = [sensitivity_specificity(item.labels["test"], item.predicted, label) for item in items]
    return float(np.mean([p[0] for p in pairs])), float(np.mean([p[1] for p in pairs]))


def _external(block: Block, items: Sequence[ScoredCell]) -> float | None:
    scored = [item for item in items if "rest" in item.probabilities]
    if not scored:
        return None
    function = METRICS[block.metric].function
    return float(np.mean([function(item.labels["rest"], item.probabilities["rest"]) for item in scored]))
