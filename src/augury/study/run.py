"""A study from start to finish: read, plan, make what is missing, score, decide."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import augury
from augury.duplicates import Cleaned
from augury.errors import SettingsError, StepDiedError
from augury.images import ImageSet
from augury.metrics.classification import METRICS
from augury.readers import content_digest
from augury.splits import fold_ratio
from augury.study.block import Block
from augury.study.contrast import contrast, gates
from augury.study.engine import Executor, Plan, Progress, Ran, StoreWork, plan
from augury.study.executors import FreshProcesses, InProcess
from augury.study.outcome import DataSummary, Failure, GeneratorResult, Outcome, PlanSummary
from augury.study.steps import FitGenerator, ReadImages, Step
from augury.study.store import FolderStore, MemoryStore, Store
from augury.study.study import Cell, Study, cells
from augury.study.study_file import dump_study, kind_of
from augury.study.summary import arm_results
from augury.study.table import ScoredCell, results_csv, score, scores_csv
from augury.training import choose_device


@dataclass(frozen=True, eq=False)
class Laid:
    """A study whose images are read and whose cells are laid out: all keys are known, nothing is trained."""

    study: Study
    read: ReadImages
    cleaned: Cleaned
    cells: tuple[Cell, ...]
    store: Store

    @property
    def images(self) -> ImageSet:
        """Return the images that take part."""
        return self.cleaned.images

    def targets(self) -> tuple[Step, ...]:
        """Return the steps that the study needs in the end."""
        return tuple(step for cell in self.cells for step in cell.predictions.values())

    def plan(self) -> Plan:
        """Return what is missing."""
        return plan(self.targets(), self.store)


@dataclass(frozen=True, eq=False)
class Finished:
    """A study that has run."""

    laid: Laid
    outcome: Outcome
    scored: tuple[ScoredCell, ...]
    ran: Ran = field(repr=False)

    def save(self, folder: Path) -> None:
        """Write `results.csv`, `scores.csv` and the resolved `study.toml`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.csv").write_text(results_csv(self.outcome), encoding="utf-8")
        (folder / "scores.csv").write_text(scores_csv(self.scored), encoding="utf-8")
        (folder / "study.toml").write_text(self.outcome.settings, encoding="utf-8")


def lay_out(study: Study, store: Store) -> Laid:
    """Read the images (once, into the store) and lay out the cells.

    Raises:
        DataError: If the images cannot be read or split.
        SettingsError: If the study does not fit the images.
    """
    read = ReadImages(
        content=content_digest(study.data.source),
        size=study.data.size,
        fit=study.data.fit,
        given_split=study.split.plan == "given",
        as_is="given_split_as_is" in study.flaws,
        source=study.data.source,
    )
    if not store.has(read):
        store.put(read, read.make(StoreWork(store, "cpu")))
    cleaned: Cleaned = store.get(read)
    images = _grouped(cleaned.images, study)
    positive = study.data.positive
    if positive and positive not in images.classes:
        raise SettingsError(f"[data] positive must be one of {', '.join(images.classes)}. Got {positive!r}.")
    return Laid(study, read, replace(cleaned, images=images), cells(study, read, images), store)


def _grouped(images: ImageSet, study: Study) -> ImageSet:
    return replace(images, groups=None) if "groups_ignored" in study.flaws else images


def run(
    study: Study,
    store: Path | None = None,
    *,
    jobs: int = 1,
    device: str = "auto",
    progress: Progress | None = None,
) -> Finished:
    """Run a study, or finish one: what is in the store is not done again.

    Args:
        study: The study.
        store: Folder that keeps every step; None keeps them in memory until the call returns.
        jobs: Processes; more than one needs a store.
        device: `auto`, `cpu` or `cuda`.
        progress: Told of what happens.

    Returns:
        The outcome, the scored cells and what was done.

    Raises:
        AuguryError: If the request is wrong. A step that fails is no error: it is listed in the outcome.

    Example:
        >>> import augury
        >>> finished = augury.study.run(augury.study.toy())
        >>> finished.outcome.verdict.kind.value
        'EXPLORATORY'
    """
    where = choose_device(device)
    progress = progress or Progress()
    if store is None:
        return _run(study, MemoryStore(), InProcess(where, study.threads), progress, where)
    folder = FolderStore(store, where)
    with folder.lock():
        executor: Executor = InProcess(where, study.threads)
        if jobs > 1:
            executor = FreshProcesses(jobs, where, study.threads)
        return _run(study, folder, executor, progress, where)


def _run(study: Study, store: Store, executor: Executor, progress: Progress, device: str) -> Finished:
    laid = lay_out(study, store)
    ran = executor.run(laid.plan(), store, progress)
    return finish(laid, ran, device)


def finish(laid: Laid, ran: Ran, device: str) -> Finished:
    """Score what there is and decide.

    Raises:
        StepDiedError: If no split has what a verdict needs.
    """
    scored = tuple(score(laid.cells, laid.images, laid.store, ran))
    return Finished(laid, _outcome(laid, scored, ran, device), scored, ran)


def collect(study: Study, store: Path) -> Finished:
    """Return the outcome of what a store holds, without making a step.

    Raises:
        StepDiedError: If too little is there.
    """
    folder = FolderStore(store, "cpu")
    laid = lay_out(study, folder)
    missing = frozenset(step.key for step in laid.plan().steps)
    return finish(laid, Ran((), (), missing), "cpu")


def _outcome(laid: Laid, scored: tuple[ScoredCell, ...], ran: Ran, device: str) -> Outcome:
    study = laid.study
    blocks = [_block(laid, scored, named.name) for named in study.classifiers]
    checks = gates(blocks[0])
    contrasts = [contrast(block, checks if block is blocks[0] else gates(block)) for block in blocks]
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
        arms=tuple(row for block in blocks for row in arm_results(block)),
        generators=tuple(_generator_results(laid, ran)),
        gates=checks,
        flaws=study.flaws,
        budget=_budget(study),
        failures=_failures(laid.cells, ran),
        cells_failed=len(laid.cells) - len(scored),
        cells=len(laid.cells),
        settings=dump_study(study),
        environment=environment(device, study.threads),
    )


def _too_little(ran: Ran, planned: int, scored: int) -> str:
    first = f" First failure: {ran.failures[0].step.title}: {ran.failures[0].reason}" if ran.failures else ""
    return (
        f"a verdict needs at least 2 splits with every arm and at least one arm with generated images. "
        f"Got {scored} of {planned} cells: run the study to its end, or add an arm.{first}"
    )


def _block(laid: Laid, scored: Sequence[ScoredCell], name: str) -> Block:
    return Block(
        laid.study,
        laid.images,
        name,
        tuple(item for item in scored if item.cell.classifier == name),
        tuple(cell for cell in laid.cells if cell.classifier == name),
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
        groups_given=images.groups is not None and not all(name.startswith("#") for name in images.groups),
        used=len(used),
        used_counts=images.take(used).counts(),
        set_aside=cleaned.set_aside,
        dropped=cleaned.dropped,
        merged=cleaned.merged,
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


def _generator_results(laid: Laid, ran: Ran) -> list[GeneratorResult]:
    fits = {chunk.fit.generator: chunk.fit for cell in laid.cells for chunk in cell.fit.pool}
    return [
        GeneratorResult(
            name=named.name,
            kind=kind_of(named.recipe),
            settings=named.recipe.settings(),
            control=named.recipe.control,
            contains_training_images=named.recipe.contains_training_images,
            parameters=_parameters(laid, fits.get(named.recipe), ran),
        )
        for named in laid.study.generators
    ]


def _parameters(laid: Laid, fit: FitGenerator | None, ran: Ran) -> int:
    if fit is None or ran.missing(fit) or not laid.store.has(fit):
        return 0
    parameters: int = laid.store.get(fit).card.parameters
    return parameters


def _budget(study: Study) -> str:
    parts = []
    for named in study.classifiers:
        steps, batch = getattr(named.recipe, "steps", "?"), getattr(named.recipe, "batch", "?")
        parts.append(f"{named.name}, every arm: {steps} steps x {batch} images")
    return "; ".join(parts) + "; settings fixed beforehand, no tuning"


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
    import sklearn
    import torch
    import torchvision

    return {
        "augury": augury.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads per step": str(threads),
    }


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain values for `--json`; what is undefined is null."""
    return {"verdict": str(outcome.verdict.kind), "sentence": outcome.verdict.sentence, **_plain(asdict(outcome))}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
