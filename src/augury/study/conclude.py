"""From scored cells to the outcome: verdict, arms, summaries, failures, environment."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import augury
from augury.errors import StepDiedError
from augury.generators.base import first_of
from augury.metrics.classification import METRICS
from augury.settings import Recipe
from augury.splits import fold_ratio
from augury.study.audit_results import audit_notes, audited, judged, with_gains
from augury.study.block import Block
from augury.study.clinic import clinic
from augury.study.contrast import contrast, gates
from augury.study.curation_results import curations, shortfalls
from augury.study.doses import dose_readings
from augury.study.engine import Ran
from augury.study.generator_results import collapse_notes, generator_results
from augury.study.grid import Cell, arm_plans
from augury.study.layout import Laid
from augury.study.outcome import ArmResult, DataSummary, Failure, Gate, Outcome, PlanSummary
from augury.study.steps import Prepared, Step
from augury.study.study import REAL, Study
from augury.study.study_file import shared_text
from augury.study.summary import arm_results
from augury.study.table import ScoredCell

LITTLE = 0.1  # of the way from chance to perfection


def conclude(laid: Laid, scored: tuple[ScoredCell, ...], ran: Ran, device: str) -> Outcome:
    """Draw everything that the report shows from the scored cells.

    Raises:
        StepDiedError: If no split has what a verdict needs.
    """
    study = laid.study
    found = audited(laid, ran)
    withheld, audit_checks = judged(found, arm_plans(study))
    blocks = [Block.of(laid, scored, named.name, withheld) for named in study.classifiers]
    checks = (*gates(blocks[0]), shortcut_check(laid.prepared), *audit_checks)
    arms = tuple(row for block in blocks for row in arm_results(block))
    makers = generator_results(laid, ran)
    contrasts = [contrast(block, checks if block is blocks[0] else (*gates(block), *audit_checks)) for block in blocks]
    if contrasts[0] is None:
        raise StepDiedError(_too_little(ran, len(laid.cells), len(scored)))
    return Outcome(
        title=study.title,
        version=augury.__version__,
        metric=blocks[0].metric,
        metric_label=METRICS[blocks[0].metric].label,
        rope=study.rope,
        positive=study.data.positive,
        data=_data_summary(laid),
        plan=_plan_summary(laid),
        contrasts=tuple(c for c in contrasts if c is not None),
        arms=arms,
        generators=makers,
        gates=checks,
        flaws=study.flaws,
        budget=_budget(study),
        failures=_failures(laid.cells, ran),
        cells_failed=len(laid.cells) - len(scored),
        cells=len(laid.cells),
        settings=shared_text(study),
        notes=(
            *nothing_learned(arms, blocks[0].metric, len(laid.images.classes)),
            *nothing_to_gain(arms, blocks[0].metric, study.rope),
            *small_classes(laid.too_small()),
            *collapse_notes(makers),
            *(remark for maker in makers for remark in maker.remarks),
            *audit_notes(found),
            *shortfalls(blocks[0]),
        ),
        environment=environment(device, study.threads),
        clinics=tuple(each for each in map(clinic, blocks) if each is not None),
        audited=with_gains(found, blocks[0]),
        curations=curations(blocks[0], laid.store),
        doses=dose_readings(arms),
    )


def nothing_learned(arms: Sequence[ArmResult], metric: str, classes: int) -> tuple[str, ...]:
    """Say so when no arm scores clearly above chance, and there was nothing to gain or to lose."""
    chance = {"auroc": 0.5, "balanced_accuracy": 1 / classes}.get(metric)
    best = max((arm.scores[metric] for arm in arms if arm.splits), default=1.0)  # an arm without splits has no score
    if chance is None or best >= chance + LITTLE * (1 - chance):
        return ()
    return (
        f"No arm scores clearly above chance ({chance:.3f}; the best has {best:.3f}): the classifier has learned "
        "little, so the comparison says little. Give it more steps, larger images or more of them.",
    )


def nothing_to_gain(arms: Sequence[ArmResult], metric: str, rope: float) -> tuple[str, ...]:
    """Say so when real images alone score so high that no gain beyond the region is possible."""
    real = next((arm.scores[metric] for arm in arms if arm.arm == REAL and arm.splits), None)
    if real is None or not METRICS[metric].higher_is_better or 1 - real > rope:
        return ()
    return (
        f"Real images alone already score {real:.3f} of 1: no arm can gain more than {1 - real:.3f} on these images. "
        "Ask a harder question (fewer images: augury curve), or see whether something beside the picture gives the "
        "classes away (augury look).",
    )


def shortcut_check(prepared: Prepared) -> Gate:
    """Tell whether a property beside the picture, such as the file format, gives the classes away."""
    name = "nothing beside the picture gives the classes away"
    if not prepared.shortcuts:
        return Gate(name, True, "file format, mode, size and border do not, as far as so many images can tell")
    return Gate(name, None, "; ".join(sentence for _, sentence in prepared.shortcuts))


def small_classes(sentences: Sequence[str]) -> tuple[str, ...]:
    """Say that a generator was trained on a class that is too small for it."""
    return (f"Forced: {first_of(sentences)}.",) if sentences else ()


def _too_little(ran: Ran, planned: int, scored: int) -> str:
    first = f" First failure: {ran.failures[0].step.title}: {ran.failures[0].reason}" if ran.failures else ""
    return (
        f"a verdict needs at least 2 splits with every arm, and an arm beside real images only. "
        f"Got {scored} of {planned} cells: run the study to its end, or add an arm.{first}"
    )


def _data_summary(laid: Laid) -> DataSummary:
    images, cleaned = laid.images, laid.cleaned
    used = sorted({i for cell in laid.cells for part in ("train", "val", "test") for i in getattr(cell.split, part)})
    groups = images.group_names
    return DataSummary(
        source=Path(laid.study.data.source).name,
        images=len(images),
        classes=images.classes,
        counts=images.counts(),
        shape=images.shape,
        groups=len({groups[i] for i in used}),
        groups_given=images.groups_given,
        used=len(used),
        used_counts=images.take(used).counts(),
        set_aside=cleaned.set_aside,
        dropped=cleaned.dropped,
        merged=cleaned.merged,
        near=cleaned.near,
        near_conflicts=cleaned.near_conflicts,
        near_duplicates=laid.study.data.near_duplicates,
        skipped=laid.prepared.skipped,
        levels=laid.prepared.levels,
        shortcuts=laid.prepared.shortcuts,
    )


def _plan_summary(laid: Laid) -> PlanSummary:
    split = laid.study.split
    sizes = [[len(cell.split.train), len(cell.split.val), len(cell.split.test)] for cell in laid.cells]
    train, val, test = (float(size) for size in np.mean(sizes, axis=0))
    given = split.plan == "given"
    return PlanSummary(
        plan=split.plan,
        folds=1 if given else split.folds,
        repeats=split.repeats,
        inner_folds=split.inner_folds,
        train_images=train,
        val_images=val,
        test_images=test,
        ratio=fold_ratio(split.folds),
    )


def _budget(study: Study) -> str:
    parts = []
    for named in study.classifiers:
        steps, batch = getattr(named.recipe, "steps", "?"), getattr(named.recipe, "batch", "?")
        given = "as published, by epochs" if getattr(named.recipe, "published", False) else f"{steps} steps"
        parts.append(f"{named.name}, every arm: {given} x {batch} images")
    return "; ".join(parts) + f", {_tuning(study)}"


def _tuning(study: Study) -> str:
    if not study.tune.trials:
        return "settings fixed beforehand, no tuning"
    trials = len(study.tune.candidates(study.seed))
    names = ", ".join(name for name, _ in study.tune.grid)
    how = "each arm tuned by a search of its own" if study.tune.per_arm else "tuned once on real images"
    return f"{how} with {trials} {'trial' if trials == 1 else 'trials'} per outer split ({names})"


def _failures(planned: Sequence[Cell], ran: Ran) -> tuple[Failure, ...]:
    rows: dict[tuple[str, str], int] = {}
    for failure in ran.failures:
        lost = sum(any(_needs(step, failure.step.key) for step in cell.predictions.values()) for cell in planned)
        row = (failure.step.title, failure.reason)
        rows[row] = rows.get(row, 0) + lost
    return tuple(Failure(step, reason, lost) for (step, reason), lost in rows.items())


def _needs(step: Step, key: str) -> bool:
    return step.key == key or any(_needs(item, key) for item in step.inputs())


def environment(device: str, threads: int) -> dict[str, str]:
    """Return what the results were computed with; recorded, never part of an identity."""
    import torch

    return {
        "augury": augury.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),  # to import it would take a second
        "scikit-learn": version("scikit-learn"),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads per step": str(threads),
    }


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain values for `--json`; what is undefined is null."""
    return {"verdict": str(outcome.verdict.kind), "sentence": outcome.verdict.sentence, **_plain(asdict(outcome))}


def _plain(value: Any) -> Any:
    if isinstance(value, Recipe):
        return _plain(value.settings())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
