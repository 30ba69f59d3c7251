"""Progress of long work on stderr, with the time that is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from augury.study.engine import Progress
from augury.study.estimate import in_words
from augury.study.steps import Step

FIRST_SECONDS = 5.0  # where there is no terminal, a fit says once how long it will take; one that is shorter nothing
QUIET_SECONDS = 60.0  # and every tenth of the way from then on
OTHER_STEPS = 5  # what a step without training counts, in optimiser steps


class Bar(Progress):
    """A bar over the steps of a study; a line every tenth of the way where stderr is no terminal.

    A fit counts as many units as it takes optimiser steps, so that the time left is not misled by the many small steps.
    """

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        left = TimeRemainingColumn()
        self.bars = Bars(*columns, left, TextColumn("left"), console=console, transient=True, speed_estimate_period=300)
        self.console = console
        self.task = self.bars.add_task("starting", total=None)
        self.seen, self.total, self.foretold = 0, 0, False

    def __enter__(self) -> Self:
        if self.console.is_terminal:  # elsewhere a bar leaves nothing but an empty line
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bars.stop()

    def begin(self, todo: Sequence[Step]) -> None:
        """Show how much is missing."""
        self.total = sum(units(step) for step in todo)
        self.bars.reset(self.task, total=self.total, description=f"{len(todo)} steps")

    def done(self, step: Step) -> None:
        """Count one step."""
        before, self.seen = self.seen, self.seen + units(step)
        self.bars.update(self.task, advance=units(step), description=step.title)
        if not self.console.is_terminal and self.seen * 10 // self.total > before * 10 // self.total:
            left = self.bars.tasks[0].time_remaining
            about = f", about {in_words(left)} left" if left else ""
            self.console.print(f"{self.seen * 100 // self.total} % done{about}")

    def on_image(self, done: int, in_all: int) -> None:
        """Show the images of a source that is read."""
        self.bars.update(self.task, completed=done, total=in_all, description="reading images")

    def on_step(self, done: int, in_all: int, batch: int = 0) -> None:
        """Show a single fit: the images of `batch` that its steps take in a second, and the time that is left."""
        self.bars.update(self.task, completed=done, total=in_all)
        images = (self.bars.tasks[0].speed or 0.0) * batch
        speed = f", {images:,.0f} images/s" if images else ""
        self.bars.update(self.task, description=f"fitting{speed}")
        if not self.console.is_terminal and self._worth_a_line(done, in_all):
            left = self.bars.tasks[0].time_remaining
            about = f", about {in_words(left)} left" if left else ""
            self.console.print(f"{done * 100 // in_all} % of {in_all} steps done{speed}{about}")

    def _worth_a_line(self, done: int, in_all: int) -> bool:
        elapsed = self.bars.tasks[0].elapsed or 0.0
        first = elapsed > FIRST_SECONDS and not self.foretold
        self.foretold = self.foretold or first
        return first or (elapsed > QUIET_SECONDS and done * 10 // in_all > (done - 1) * 10 // in_all)


def units(step: Step) -> int:
    """Return how much a step counts: the optimiser steps of a fit, a few for everything else."""
    recipe = getattr(step, "classifier", getattr(step, "generator", None))
    return OTHER_STEPS + int(getattr(recipe, "steps", 0))
