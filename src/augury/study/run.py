"""A study from start to finish: lay out, make what is missing, score, decide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from augury.files import write_whole
from augury.generators.base import refuse_small
from augury.study.engine import Executor, Progress, Ran
from augury.study.executors import FreshProcesses, InProcess
from augury.study.ground import require_store
from augury.study.journal import Journal
from augury.study.layout import Laid, lay_out
from augury.study.store import FolderStore, Store, open_store
from augury.study.study import Study
from augury.study.study_file import dump_study
from augury.training import choose_device

if TYPE_CHECKING:  # statistics take a second to load, and every worker process loads this module
    from augury.study.block import Block
    from augury.study.outcome import Outcome
    from augury.study.table import ScoredCell


@dataclass(frozen=True, eq=False)
class Finished:
    """A study that has run."""

    laid: Laid
    outcome: Outcome
    scored: tuple[ScoredCell, ...]
    ran: Ran = field(repr=False)

    def block(self, classifier: str) -> Block:
        """Return one classifier's scored cells: scores by arm and split, choices, comparisons."""
        from augury.study.block import Block

        withheld = {arm.arm: arm.withheld for arm in self.outcome.arms if arm.withheld}
        return Block.of(self.laid, self.scored, classifier, withheld)

    def save(self, folder: Path) -> None:
        """Write `results.csv`, `scores.csv` and the resolved `study.toml`."""
        from augury.study.table import results_csv, scores_csv

        write_whole(folder / "results.csv", results_csv(self.outcome))
        write_whole(folder / "scores.csv", scores_csv(self.scored))
        keep_study(self.laid.study, folder)


def keep_study(study: Study, folder: Path) -> None:
    """Write the resolved `study.toml`, which is all it takes to look at a study, to go on with it or to report it.

    Raises:
        DataError: If it cannot be written.
    """
    write_whole(folder / "study.toml", dump_study(study))


def run(
    study: Study,
    store: Path | None = None,
    *,
    jobs: int = 1,
    device: str = "auto",
    force: bool = False,
    progress: Progress | None = None,
) -> Finished:
    """Run a study, or finish one: what is in the store is not done again.

    Args:
        study: The study.
        store: Folder that keeps every step; None keeps them in memory until the call returns.
        jobs: Processes; more than one needs a store, and a script that guards its call: `if __name__ == "__main__":`.
        device: `auto`, `cpu` or `cuda`.
        force: Whether to go on where a class is too small for a generator.
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
    with open_store(store, where) as kept:
        return make(lay_out(study, kept), jobs=jobs, device=where, force=force, progress=progress)


def make(
    laid: Laid, *, jobs: int = 1, device: str = "cpu", force: bool = False, progress: Progress | None = None
) -> Finished:
    """Make what a laid out study misses, score and decide; see `run`.

    Raises:
        DataError: If a class is too small for a generator, and `force` is not set.
    """
    refuse_small(laid.too_small(), force=force)
    executor: Executor = InProcess(device, laid.study.threads)
    if jobs > 1 and isinstance(laid.store, FolderStore):
        executor = FreshProcesses(jobs, device, laid.study.threads)
    with listening(laid.store, progress or Progress(), jobs=jobs, device=device) as listener:
        ran = executor.run(laid.plan(), laid.store, listener)
    return _finish(laid, ran, device)


@contextmanager
def listening(store: Store, progress: Progress, *, jobs: int, device: str) -> Iterator[Progress]:
    """Keep a journal of a run where there is a folder to keep it in."""
    if not isinstance(store, FolderStore):
        yield progress
        return
    with Journal(store.root, progress, jobs=jobs, device=device) as journal:
        yield journal


def collect(study: Study, store: Path) -> Finished:
    """Return the outcome of what a store holds, without making a step.

    Raises:
        DataError: If there is no store.
        StepDiedError: If too little is there.
    """
    require_store(store)
    laid = lay_out(study, FolderStore(store))
    missing = frozenset(step.key for step in laid.plan().steps)
    return _finish(laid, Ran((), (), missing), "cpu")


def _finish(laid: Laid, ran: Ran, device: str) -> Finished:
    from augury.study.conclude import conclude
    from augury.study.table import score

    scored = tuple(score(laid.cells, laid.images, laid.store, ran))
    return Finished(laid, conclude(laid, scored, ran, device), scored, ran)
