"""How far a study is: looked up without making, writing or locking anything, while it runs or not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from augury.errors import DataError
from augury.study.engine import Attempt, Ledger, reachable
from augury.study.estimate import in_words
from augury.study.ground import is_held, require_store
from augury.study.journal import History, read_history
from augury.study.layout import lay_out
from augury.study.steps import ReadImages, Step
from augury.study.store import FolderStore
from augury.study.study import Study


class ImagesNotReadError(DataError):
    """The images of a study are not in its store yet, so that its steps are not known."""


class Glance(FolderStore):
    """A store that is looked at and not written to, not even with the images that every study begins with."""

    def has(self, step: Step) -> bool:
        """Tell whether a step is done.

        Raises:
            ImagesNotReadError: If the images are not read, which would be done next.
        """
        found = super().has(step)
        if not found and isinstance(step, ReadImages):
            raise ImagesNotReadError("the images are not read yet.")
        return found


@dataclass(frozen=True)
class Status:
    """How far a study is; each step is counted once.

    Attributes:
        title: The study's.
        running: Whether a run holds the store.
        read: Whether the images are read; before that no step is known.
        done: Steps that have their result.
        begun: Title and seconds so far of the steps that are being made.
        failed: Title and reason of the steps that failed; the next run tries them again.
        missing: Steps that are still to be made.
        waiting: Those of the missing that wait for a failed one.
        seconds_left: Until the run ends, or would end, by steps of kinds that have run; None when none has.
        unknown: Steps to come of kinds that have not run yet, whose time is not counted.
    """

    title: str
    running: bool
    read: bool = False
    done: int = 0
    begun: tuple[tuple[str, float], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    missing: int = 0
    waiting: int = 0
    seconds_left: float | None = None
    unknown: int = 0

    @property
    def steps(self) -> int:
        """Return all steps of the study."""
        return self.done + len(self.begun) + len(self.failed) + self.missing

    def record(self) -> dict[str, Any]:
        """Return it as plain values for `--json`; what is not known is null."""
        failed = [{"step": t, "reason": why, "times": n} for (t, why), n in Counter(self.failed).items()]
        counts = {"steps": self.steps, "done": self.done, "missing": self.missing, "waiting": self.waiting}
        return {
            "title": self.title,
            "running": self.running,
            "images_read": self.read,
            **{name: count if self.read else None for name, count in counts.items()},
            "begun": [{"step": t, "seconds": round(seconds, 1)} for t, seconds in self.begun],
            "failed": failed,
            "steps_of_unknown_time": self.unknown if self.read else None,
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
        }

    def lines(self) -> list[str]:
        """Return it in words."""
        now = "a run is going on" if self.running else "no run is going on"
        if not self.read:
            return [f"{self.title}: the images are not read yet; {now}"]
        lines = [f"{self.title}: {self.done} of {self.steps} steps done; {now}"]
        lines += [f"running: {title}, for {in_words(seconds)}" for title, seconds in self.begun]
        if self.missing:
            wait = f", {self.waiting} of them wait for a failed one" if self.waiting else ""
            lines.append(f"missing: {self.missing}{wait}")
        lines += [f"failed: {title} ({n} x): {reason}" for (title, reason), n in Counter(self.failed).items()]
        if self.begun or self.missing > self.waiting:
            lines.append(f"time left: {self._left()}")
        return lines

    def _left(self) -> str:
        if self.seconds_left is None:
            return "not known yet"
        about = f"about {in_words(self.seconds_left)}"
        about += f", and {self.unknown} steps of kinds that have not run yet" if self.unknown else ""
        return about if self.running else f"{about}, once the same command goes on"


def status_of(study: Study, root: Path) -> Status:
    """Look how far a study is in a store.

    Raises:
        DataError: If there is no store, or the images are not where they were.
        SettingsError: If the study does not fit the images.
    """
    require_store(root)
    running, history = is_held(root), read_history(root)
    try:
        laid = lay_out(study, Glance(root))
    except ImagesNotReadError:
        return Status(study.title, running)
    plan = laid.plan().steps
    done = len(reachable(laid.targets()).keys() - {step.key for step in plan})
    return _sorted(Status(study.title, running, read=True, done=done), plan, history)


def _sorted(status: Status, plan: Sequence[Step], history: History) -> Status:
    """Tell the missing steps from those that are being made, that failed, and that wait for a failed one."""
    ledger, begun, todo = Ledger(), [], []
    for step in plan:
        noted = history.of(step.key, running=status.running)
        if noted and noted.event == "failed":
            ledger.settle(step, Attempt(0.0, noted.reason))
        elif noted and noted.event == "begun":
            begun.append((step.title, max(0.0, time.time() - noted.time)))
        elif not ledger.blocks(step):
            todo.append(step)
    missing = len(plan) - len(begun) - len(ledger.failures)
    return replace(
        status,
        begun=tuple(begun),
        failed=tuple((failure.step.title, failure.reason) for failure in ledger.failures),
        missing=missing,
        waiting=missing - len(todo),
        seconds_left=_seconds_left([(step.title, 0.0) for step in todo] + begun, history),
        unknown=sum(step.title not in history.seconds for step in todo),
    )


def _seconds_left(coming: Sequence[tuple[str, float]], history: History) -> float | None:
    """Add up the mean times that steps of the same titles took, less what was spent; None when none has run yet."""
    mean = {title: fmean(history.seconds[title]) for title, _ in coming if title in history.seconds}
    if history.jobs is None or (coming and not mean):
        return None
    return sum(max(0.0, mean[title] - spent) for title, spent in coming if title in mean) / history.jobs
