"""Progress of long work on stderr, with the time that is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from augury.study.engine import Progress
from augury.study.steps import Step


class Bar(Progress):
    """A bar over the steps of a study; a log line every now and then where stderr is no terminal.

    The time left weighs each kind of step by what its finished ones took.
    """

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Bars(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, transient=True)
        self.console = console
        self.task = self.bars.add_task("starting", total=None)
        self.seen, self.total = 0, 0

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def begin(self, todo: Sequence[Step]) -> None:
        """Show how many steps are missing."""
        self.total = len(todo)
        self.bars.reset(self.task, total=self.total, description="nothing to do" if not todo else "running")

    def done(self, step: Step) -> None:
        """Count one step."""
        self.seen += 1
        self.bars.update(self.task, advance=1, description=step.title)
        if not self.console.is_terminal and self.seen * 10 // self.total > (self.seen - 1) * 10 // self.total:
            self.console.print(f"{self.seen} of {self.total} steps")

    def on_step(self, done: int, in_all: int) -> None:
        """Show the optimiser steps of a single fit."""
        self.bars.update(self.task, completed=done, total=in_all, description="fitting")
