"""A study from start to finish: lay out, make what is missing, score, decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from augury.errors import DataError
from augury.files import write_whole
from augury.study.conclude import conclude
from augury.study.engine import Executor, Progress, Ran
from augury.study.executors import FreshProcesses, InProcess
from augury.study.layout import Laid, lay_out
from augury.study.outcome import Outcome
from augury.study.store import FolderStore, open_store
from augury.study.study import Study
from augury.study.study_file import dump_study
from augury.study.table import ScoredCell, results_csv, score, scores_csv
from augury.training import choose_device


@dataclass(frozen=True, eq=False)
class Finished:
    """A study that has run."""

    laid: Laid
    outcome: Outcome
    scored: tuple[ScoredCell, ...]
    ran: Ran = field(repr=False)

    def save(self, folder: Path) -> None:
        """Write `results.csv`, `scores.csv` and the resolved `study.toml`."""
        write_whole(folder / "results.csv", results_csv(self.outcome))
        write_whole(folder / "scores.csv", scores_csv(self.scored))
        write_whole(folder / "study.toml", dump_study(self.laid.study))


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
    with open_store(store, where) as kept:
        return make(lay_out(study, kept), jobs=jobs, device=where, progress=progress)


def make(laid: Laid, *, jobs: int = 1, device: str = "cpu", progress: Progress | None = None) -> Finished:
    """Make what a laid out study misses, score and decide; see `run`."""
    executor: Executor = InProcess(device, laid.study.threads)
    if jobs > 1 and isinstance(laid.store, FolderStore):
        executor = FreshProcesses(jobs, device, laid.study.threads)
    ran = executor.run(laid.plan(), laid.store, progress or Progress())
    return _finish(laid, ran, device)


def collect(study: Study, store: Path) -> Finished:
    """Return the outcome of what a store holds, without making a step.

    Raises:
        DataError: If there is no store.
        StepDiedError: If too little is there.
    """
    if not store.is_dir():
        raise DataError(
            f"the store of a study that has run was expected at {store}. Got nothing: run it, or name its --store."
        )
    laid = lay_out(study, FolderStore(store, "cpu"))
    missing = frozenset(step.key for step in laid.plan().steps)
    return _finish(laid, Ran((), (), missing), "cpu")


def _finish(laid: Laid, ran: Ran, device: str) -> Finished:
    scored = tuple(score(laid.cells, laid.images, laid.store, ran))
    return Finished(laid, conclude(laid, scored, ran, device), scored, ran)
