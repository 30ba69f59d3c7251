"""The journal of a store: what was begun, made and failed, a line of JSON each; no result depends on it."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from augury.study.engine import Progress
from augury.study.ground import store_full
from augury.study.steps import Step

NAME = "journal.jsonl"


class Journal(Progress):
    """Writes down what it hears of a run and passes it on; only the process that runs a study has one.

    Every line is one write to the end of the file, so that a killed process leaves at most one half line.

    Raises:
        StoreFullError: If the store takes no more.
    """

    def __init__(self, root: Path, listener: Progress, *, jobs: int, device: str) -> None:
        self.root, self.listener = root, listener
        self.facts = {"pid": os.getpid(), "jobs": jobs, "device": device}
        self.run = uuid.uuid4().hex[:12]
        self.file: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            os.close(self.file)

    def begin(self, todo: Sequence[Step]) -> None:
        """Note who runs; a run that has nothing to do leaves no line."""
        if todo:
            self.file = _open(self.root)
            self._write("run", steps=len(todo), **self.facts)
        self.listener.begin(todo)

    def begun(self, step: Step) -> None:
        """Note that a step is being made."""
        self._write("begun", step=step.key, title=step.title)
        self.listener.begun(step)

    def made(self, step: Step, seconds: float) -> None:
        """Note that a step has its result."""
        self._write("made", step=step.key, title=step.title, seconds=round(seconds, 4))
        self.listener.made(step, seconds)

    def failed(self, step: Step, reason: str) -> None:
        """Note why a step has none."""
        self._write("failed", step=step.key, title=step.title, reason=reason)
        self.listener.failed(step, reason)

    def done(self, step: Step) -> None:
        """Note nothing: it was made or has failed, or waits for one that has."""
        self.listener.done(step)

    def _write(self, event: str, **facts: Any) -> None:
        assert self.file is not None, "a run begins before its steps do"
        line = {"event": event, "run": self.run, "time": round(time.time(), 3), **facts}
        _append(self.root, self.file, line)


def note_opening(root: Path) -> None:
    """Note that a run has opened a store: what an earlier one had begun is not going on any more.

    Raises:
        StoreFullError: If the store takes no more.
    """
    if (root / NAME).exists():
        file = _open(root)
        try:
            _append(root, file, {"event": "opened", "time": round(time.time(), 3)})
        finally:
            os.close(file)


def _open(root: Path) -> int:
    path = root / NAME
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        size = os.fstat(file).st_size
        if size and _last_byte(path) != b"\n":
            os.write(file, b"\n")  # a killed run left half a line: it stays alone
    except OSError as error:
        raise store_full(root, error) from None
    return file


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)


def _append(root: Path, file: int, line: dict[str, Any]) -> None:
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise store_full(root, error) from None


@dataclass(frozen=True)
class Noted:
    """The last that was noted of a step; `seconds` of one that was made, or NaN."""

    event: str
    title: str
    run: str
    time: float
    reason: str = ""
    seconds: float = math.nan


@dataclass
class History:
    """What a journal says.

    Attributes:
        steps: The last note of every step, by key.
        seconds: How long finished steps took, by title.
        run: The run that is going on, if one is: no other has been opened since.
        jobs: Processes of the last run; None when there was none.
    """

    steps: dict[str, Noted] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    run: str = ""
    jobs: int | None = None

    def of(self, key: str, *, running: bool) -> Noted | None:
        """Return what still holds of a step that is not done: of the run that is going on, or a failure."""
        noted = self.steps.get(key)
        if noted and (noted.run == self.run if running else noted.event == "failed"):
            return noted
        return None

    def add(self, line: dict[str, Any]) -> None:
        """Take in one line.

        Raises:
            KeyError, TypeError, ValueError: If it is not one that `Journal` writes.
        """
        event = str(line["event"])
        if event == "opened":
            self.run = ""
        elif event == "run":
            self.run, self.jobs = str(line["run"]), max(1, int(_number(line["jobs"])))
        else:
            reason, when = str(line.get("reason", "")), _number(line["time"])
            took = _number(line["seconds"]) if event == "made" else math.nan
            noted = Noted(event, str(line["title"]), str(line["run"]), when, reason, took)
            if event == "made":
                self.seconds[noted.title].append(took)
            self.steps[str(line["step"])] = noted


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a finite number was expected.")
    return number


def read_history(root: Path) -> History:
    """Read the journal of a store; half a line, which a killed run leaves, is passed over."""
    history = History()
    try:
        text = (root / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return history  # a store that an earlier version made has none
    for line in text.split("\n"):
        with suppress(KeyError, TypeError, ValueError):
            history.add(json.loads(line))
    return history
