"""Which pools of a study are audited, and the steps that each audit consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from augury.classifiers.features import FeatureMaker
from augury.filters import labels_of
from augury.seeds import seed_for
from augury.splits import Split
from augury.study.audit_steps import AuditControls, AuditCopying, MeasureFidelity
from augury.study.classifier_steps import Features, FitClassifier, Predict
from augury.study.curation_steps import Curate, Select
from augury.study.grid import Cell, chunks_of
from augury.study.steps import Pool, Step
from augury.study.study import NO_NETWORK, REAL, Study


@dataclass(frozen=True)
class PlannedAudit:
    """One generator, with or without filters, in one split.

    Attributes:
        maker: The generator's name and its filters.
        generator: The generator's name.
        arms: Rows of the arms table that use these images.
        split: The split.
        copying: Whether they are copies.
        fidelity: How near they come to real ones.
        tstr: Predictions on the test part of a classifier that was trained on them only.
    """

    maker: str
    generator: str
    arms: tuple[str, ...]
    split: Split
    copying: AuditCopying | None
    fidelity: MeasureFidelity | None
    tstr: Predict | None

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps that there are."""
        return tuple(step for step in (self.copying, self.fidelity, self.tstr) if step is not None)


@dataclass(frozen=True)
class PlannedAudits:
    """All audits of a study, and their controls: one of each per split of the first repeat."""

    makers: tuple[PlannedAudit, ...] = ()
    controls: tuple[AuditControls, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return all steps."""
        return (*(step for planned in self.makers for step in planned.steps), *self.controls)


def audits(study: Study, grid: Sequence[Cell]) -> PlannedAudits:
    """Plan the audits: of the first repeat, in which each image is held out once, with the first classifier."""
    first = study.classifiers[0].name
    cells = [cell for cell in grid if cell.classifier == first and not (cell.split.repeat or cell.split.inner)]
    makers: dict[tuple[str, Split], list[Cell]] = {}
    for cell in cells:
        if cell.arm.uses_generated and cell.fit.pool:
            makers.setdefault((_maker(cell), cell.split), []).append(cell)
    if not makers or not (study.audit.copying or study.audit.fidelity):
        return PlannedAudits()
    judges = {cell.split: cell.fit for cell in cells if cell.arm.name == REAL}
    planned = tuple(_planned(study, maker, found, judges[split]) for (maker, split), found in makers.items())
    return PlannedAudits(planned, tuple(_controls(study, judge) for judge in judges.values()) * study.audit.copying)


def _maker(cell: Cell) -> str:
    assert cell.arm.generator is not None, "generated images have a generator"
    name = cell.arm.generator.name
    return f"{name}, {labels_of(cell.arm.filters)}" if cell.arm.filters else name


def _planned(study: Study, maker: str, cells: Sequence[Cell], judge: FitClassifier) -> PlannedAudit:
    cell = cells[0]
    assert cell.arm.generator is not None, "generated images have a generator"
    pool, seed = _pool(study, cell), seed_for(study.seed, "audit", maker) % 2**32
    features = _features(study, judge, pool)
    wanted, split = study.audit, judge.split
    return PlannedAudit(
        maker=maker,
        generator=cell.arm.generator.name,
        arms=tuple(cell.arm.name for cell in cells),
        split=cell.split,
        copying=AuditCopying(split, pool, seed, features) if wanted.copying else None,
        fidelity=MeasureFidelity(split, pool, judge, seed, features) if wanted.fidelity else None,
        tstr=_tstr(study, cell, judge, pool) if wanted.fidelity else None,
    )


def _pool(study: Study, cell: Cell) -> tuple[Pool, ...]:
    """Return as many images of each class as it has training images, drawn and filtered as the arm's are."""
    first = cell.fit.chunks[0]
    counts = [min(count, study.audit.images) for count in cell.real_counts]
    chunks = chunks_of(first, counts)
    source = cell.fit.pool[0]
    source = source.pool[0] if isinstance(source, Select) else source
    return tuple(replace(source, chunk=chunk) for chunk in chunks) if isinstance(source, Curate) else chunks


def _features(study: Study, judge: FitClassifier, pool: Sequence[Pool] = ()) -> tuple[Features, ...]:
    if study.audit.network == NO_NETWORK:
        return ()
    maker = FeatureMaker(network=study.audit.network, weights=study.audit.weights)
    chunks = (Features(chunk, maker) for source in pool for chunk in source.chunks)
    return (Features(judge.split.images, maker), *chunks)


def _tstr(study: Study, cell: Cell, judge: FitClassifier, pool: tuple[Pool, ...]) -> Predict | None:
    """Return what a classifier trained on the drawn images only says of the test part; None for kinds that cannot."""
    recipe = judge.classifier
    if not hasattr(recipe, "synthetic") or recipe.feature_maker() is not None:
        return None
    only = recipe.replace(synthetic=recipe.synthetic.replace(share=1.0))
    counts = tuple(min(count, study.audit.images) for count in cell.real_counts)
    return Predict(replace(judge, classifier=only, pool=pool, counts=counts), "test", study.flaws)


def _controls(study: Study, judge: FitClassifier) -> AuditControls:
    return AuditControls(judge.split, seed_for(study.seed, "audit controls") % 2**32, _features(study, judge))
