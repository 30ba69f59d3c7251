"""What a clinician asks of the arms that the report shows: operating points, calibration, one test set, subgroups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from augury.errors import DataError
from augury.metrics.arrays import Array
from augury.metrics.calibration import BINS, ReliabilityBin, fit_recalibration, reliability
from augury.metrics.classification import METRICS
from augury.metrics.operating import average_precision, operating_point, prevalence
from augury.one_test_set import AurocDifference, PatientBootstrap, delong, mcnemar, patient_bootstrap
from augury.study.block import Block, Unit
from augury.study.clinic_outcome import Clinic, ClinicArm, OneTestSet, Operating
from augury.study.steps import Part
from augury.study.study import REAL
from augury.study.subgroups import subgroups
from augury.study.table import ScoredCell

TARGETS = (0.90, 0.95)  # specificities
CALIBRATION = ("log_loss", "brier", "ece")
PER_BIN = 20  # images in a bin of a reliability diagram, at least: fewer say little
RESAMPLES = 2000

Measure = Callable[[ScoredCell], Array]


def clinic(block: Block) -> Clinic | None:
    """Draw what a clinician asks of one classifier; None without a result of real images only."""
    if REAL not in block.by_arm:
        return None
    arms = shown_arms(block)
    return Clinic(
        classifier=block.classifier,
        arms=tuple(_arm(block, arm) for arm in arms),
        prevalence=_prevalence(block),
        test_sets=_test_sets(block),
        subgroups=subgroups(block, arms),
    )


def shown_arms(block: Block) -> tuple[str, ...]:
    """Return real images only, the arm most often chosen without generated images, and the one with; each once."""
    return tuple(dict.fromkeys([REAL, *_most(block.without), *_most(block.using)]))


def _most(choice: dict[Unit, str]) -> list[str]:
    return [arm for arm, _ in Counter(choice.values()).most_common(1)]


def _arm(block: Block, arm: str) -> ClinicArm:
    positive = _positive(block)
    after = np.mean(list(_per_split(block, arm, _after).values()), axis=0).tolist()
    first = block.passes(arm)[0]
    return ClinicArm(
        arm=arm,
        points=() if positive is None else tuple(_operating(block, arm, positive, target) for target in TARGETS),
        average_precision=None if positive is None else _mean(_per_split(block, arm, partial(_precision, positive))),
        recalibrated=dict(zip(CALIBRATION, after[:-1], strict=True)),
        even_balanced_accuracy=after[-1],
        reliability=_bins(first, [item.probabilities["test"] for item in first]),
        reliability_recalibrated=_bins(first, [_recalibrated(item) for item in first]),
    )


def _positive(block: Block) -> int | None:
    name = block.study.data.positive
    return block.images.classes.index(name) if name else None


def _prevalence(block: Block) -> float | None:
    positive = _positive(block)
    if positive is None:
        return None
    return _mean(_per_split(block, REAL, lambda item: np.array(prevalence(item.labels["test"], positive))))


def _per_split(block: Block, arm: str, of: Measure) -> dict[Unit, Array]:
    """Return a value per split, mean over inner folds; a split in which it is undefined is left out."""
    values = {}
    for unit, cells in block.by_arm.get(arm, {}).items():
        try:
            values[unit] = np.mean([of(item) for item in cells], axis=0)
        except DataError:
            continue  # a given part need not hold every class
    return values


def _mean(values: Mapping[Unit, Array | float]) -> float:
    return float(np.mean(list(values.values()))) if values else float("nan")


def _operating(block: Block, arm: str, positive: int, target: float) -> Operating:
    pairs, real = (_per_split(block, name, partial(_point, positive, target)) for name in (arm, REAL))
    sensitivity, plain = ({unit: float(pair[0]) for unit, pair in found.items()} for found in (pairs, real))
    specificity = {unit: pair[1] for unit, pair in pairs.items()}
    change = None if arm == REAL else block.change(sensitivity, plain)
    return Operating(target, _mean(sensitivity), _mean(specificity), change)


def _point(positive: int, target: float, item: ScoredCell) -> Array:
    inner, scores = item.probabilities["val"][:, positive], item.probabilities["test"][:, positive]
    found = operating_point(item.labels["val"], inner, item.labels["test"], scores, positive, target)
    return np.array([found.sensitivity, found.specificity])


def _precision(positive: int, item: ScoredCell) -> Array:
    return np.array(average_precision(item.labels["test"], item.probabilities["test"][:, positive], positive))


def _recalibrated(item: ScoredCell) -> Array:
    found = fit_recalibration(item.labels["val"], item.probabilities["val"], "both")
    return found.apply(item.probabilities["test"])


def _after(item: ScoredCell) -> Array:
    """Return log-loss, Brier and ECE after recalibration, then balanced accuracy with even classes."""
    labels, moved = item.labels["test"], _recalibrated(item)
    even = fit_recalibration(item.labels["val"], item.probabilities["val"], "even").apply(item.probabilities["test"])
    scores = [METRICS[key].function(labels, moved) for key in CALIBRATION]
    return np.array([*scores, METRICS["balanced_accuracy"].function(labels, even)])


def _bins(items: list[ScoredCell], probabilities: list[Array]) -> tuple[ReliabilityBin, ...]:
    labels, rows = np.concatenate([item.labels["test"] for item in items]), np.concatenate(probabilities)
    confidences = np.minimum(rows.max(axis=1).astype(np.float64), 1.0)
    return reliability(confidences, rows.argmax(axis=1) == labels, bins=max(1, min(BINS, len(labels) // PER_BIN)))


def _test_sets(block: Block) -> tuple[OneTestSet, ...]:
    """Compare the arms chosen most often where all trainings are scored on the same images."""
    one, other = _most(block.using), _most(block.without)
    if not any(arm.uses_generated for arm in block.rivals):
        one, other = other, [REAL]
    if not one or not other:
        return ()
    scarce = any(item.cell.split.rest for item in block.scored)
    shared: dict[Part, bool] = {"test": block.given, "rest": scarce}
    return tuple(_test_set(block, part, one[0], other[0]) for part, there in shared.items() if there)


def _test_set(block: Block, part: Part, one: str, other: str) -> OneTestSet:
    items = block.passes(one)[0]
    positions = list(items[0].cell.split.part(part))
    labels, groups = items[0].labels[part], [block.images.group_names[i] for i in positions]
    a, b = (_averaged(block, arm, part) for arm in (one, other))
    score = METRICS[block.metric].function
    sizes = (len(positions), len(set(groups)))
    row = OneTestSet(part, *sizes, one, other, score(labels, a), score(labels, b))
    if one == other:
        return replace(row, reasons=("both sides chose this arm most often: there is nothing to compare",))
    area, why = _delong(labels, a, b)
    resampled, doubt = _resampled(block, labels, a, b, groups)
    counted = mcnemar(labels, a.argmax(axis=1), b.argmax(axis=1))
    return replace(row, auroc=area, mcnemar=counted, bootstrap=resampled, reasons=(*why, *doubt))


def _averaged(block: Block, arm: str, part: Part) -> Array:
    rows = [item.probabilities[part] for items in block.by_arm[arm].values() for item in items]
    return np.asarray(np.mean(rows, axis=0, dtype=np.float64))


def _delong(labels: Array, a: Array, b: Array) -> tuple[AurocDifference | None, tuple[str, ...]]:
    if a.shape[1] != 2:
        return None, ()
    try:
        return delong(labels, _log_odds(a), _log_odds(b)), ()
    except DataError as error:
        return None, (f"no comparison by DeLong: {error}",)


def _log_odds(probabilities: Array) -> Array:
    """Return scores for class 1: of two probabilities that round to 1 the surer one still ranks higher."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return np.asarray(logs[:, 1] - logs[:, 0])


def _resampled(
    block: Block, labels: Array, a: Array, b: Array, groups: list[str]
) -> tuple[PatientBootstrap | None, tuple[str, ...]]:
    metric, seed = METRICS[block.metric].function, block.study.seed
    try:
        return patient_bootstrap(metric, labels, a, groups, other=b, resamples=RESAMPLES, seed=seed), ()
    except DataError as error:
        return None, (f"no bootstrap over groups: {error}",)
