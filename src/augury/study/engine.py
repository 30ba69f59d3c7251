"""The engine: which steps are missing, in which order, and what becomes of a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from augury.study.steps import Step

if TYPE_CHECKING:
    from augury.study.store import Store  # it keeps a journal, which is told of progress


@dataclass(frozen=True)
class StepFailure:
    """Why a step has no result."""

    step: Step
    reason: str


@dataclass
class Progress:
    """Told of what happens; the defaults say nothing."""

    def begin(self, todo: Sequence[Step]) -> None:
        """Hear which steps are missing, in order."""

    def begun(self, step: Step) -> None:
        """Hear that a step is being made."""

    def made(self, step: Step, seconds: float) -> None:
        """Hear that a step has its result, and how long it took."""

    def failed(self, step: Step, reason: str) -> None:
        """Hear that a step failed; those that wait for it are only `done`."""

    def done(self, step: Step) -> None:
        """Hear that a step is finished, or will not be."""


@dataclass(frozen=True)
class Attempt:
    """What came of trying to make a step.

    Attributes:
        seconds: How long it took.
        reason: Why there is no result, in words; None when there is one.
        crashed: Whether it failed in a way that nobody foresaw, after which a GPU may be of no use to its process.
    """

    seconds: float
    reason: str | None = None
    crashed: bool = False


@dataclass(frozen=True)
class Ran:
    """What one run did."""

    made: tuple[Step, ...]
    failures: tuple[StepFailure, ...]
    blocked: frozenset[str] = frozenset()  # keys of steps that wait for a failed one

    def missing(self, step: Step) -> bool:
        """Tell whether a step has no result."""
        return step.key in self.blocked or any(failure.step.key == step.key for failure in self.failures)


class Executor(Protocol):
    """Makes steps: in this process, in others, on a cluster."""

    def run(self, plan: Plan, store: Store, progress: Progress) -> Ran:
        """Make every step of a plan whose inputs can be made."""
        ...


@dataclass(frozen=True)
class Plan:
    """Missing steps, each after its inputs."""

    steps: tuple[Step, ...]


def plan(targets: Sequence[Step], store: Store) -> Plan:
    """List what is missing for some targets; inputs of finished steps are not looked at."""
    missing: dict[str, Step] = {}
    finished: set[str] = set()

    def need(step: Step) -> None:
        if step.key in missing or step.key in finished:
            return
        if store.has(step):
            finished.add(step.key)
            return
        for item in step.inputs():
            need(item)
        missing[step.key] = step

    for target in targets:
        need(target)
    return Plan(tuple(missing.values()))


def reachable(targets: Sequence[Step]) -> dict[str, Step]:
    """Return every step that some targets are made from, themselves included, by key."""
    found: dict[str, Step] = {}
    todo = list(targets)
    while todo:
        step = todo.pop()
        if step.key not in found:
            found[step.key] = step
            todo += step.inputs()
    return found


@dataclass
class Ledger:
    """Keeps the books of one run, and tells of it: what is made, what failed, what waits for a failure."""

    progress: Progress = field(default_factory=Progress)
    made: list[Step] = field(default_factory=list)
    failures: list[StepFailure] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)

    def blocks(self, step: Step) -> bool:
        """Tell whether a step cannot be made any more, and note it."""
        if any(item.key in self.lost for item in step.inputs()):
            self.lost.add(step.key)
            return True
        return False

    def settle(self, step: Step, attempt: Attempt) -> None:
        """Note what came of a step. A failure is not cached: the next run tries again."""
        if attempt.reason is None:
            self.made.append(step)
            self.progress.made(step, attempt.seconds)
            return
        self.failures.append(StepFailure(step, attempt.reason))
        self.lost.add(step.key)
        self.progress.failed(step, attempt.reason)

    def close(self) -> Ran:
        """Return what the run did."""
        failed = {failure.step.key for failure in self.failures}
        return Ran(tuple(self.made), tuple(self.failures), frozenset(self.lost - failed))


class StoreWork:
    """What a step sees of the world: its inputs' values and a place for checkpoints."""

    def __init__(self, store: Store, device: str, on_step: Callable[[int, int], None] | None = None) -> None:
        self.store, self.device, self.on_step = store, device, on_step

    def get(self, step: Step) -> Any:
        """Return the finished value of an input."""
        return self.store.get(step)

    def folder_of(self, step: Step) -> Path | None:
        """Return where a step may keep checkpoints."""
        return self.store.partial(step)
