"""What the engine costs beside the work itself: planning, one finished step, one fresh process.

Planning lays a study of 1,000 cells out and lists its missing steps, in an empty store and in one that holds all of
them. The overhead of a step is the time of steps that do nothing, made one after the other, journal and store
included. A fresh process is measured from its hiring to its first result; it imports torch. Run:

    python benchmarks/engine.py [--cells 1000] [--steps 300] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from augury import study
from augury.study.engine import Progress, plan, reachable
from augury.study.executors import FreshProcesses, InProcess
from augury.study.layout import Laid
from augury.study.run import listening
from augury.study.steps import Step, Work
from augury.study.store import FolderStore, MemoryStore

PLANNING, PER_STEP, PER_PROCESS = 1.0, 0.010, 3.0  # seconds: the limits


@dataclass(frozen=True)
class Trivial(Step):
    """A step that does nothing but write a byte."""

    index: int

    def make(self, work: Work) -> int:
        return self.index

    def save(self, value: int, folder: Path) -> None:
        (folder / "value").write_text(str(value))

    def load(self, folder: Path, device: str) -> int:
        return int((folder / "value").read_text())


def timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def large_study(cells: int) -> study.Study:
    """Return the demo with as many repeats as give so many cells or more."""
    small = study.demo()
    per_repeat = len(study.lay_out(small, MemoryStore()).cells) // small.split.repeats
    return small.replace(split=small.split.replace(repeats=-(-cells // per_repeat)))


def planning(cells: int, rounds: int) -> dict[str, float]:
    """Return the seconds of laying out and planning, images read beforehand."""
    large = large_study(cells)
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder, "store"))
        laid = study.lay_out(large, store)
        empty = min(timed(lambda: len(study.lay_out(large, store).plan().steps)) for _ in range(rounds))
        pretend_done(laid, store)
        full = min(timed(lambda: len(study.lay_out(large, store).plan().steps)) for _ in range(rounds))
        assert not study.lay_out(large, store).plan().steps
    print(f"{len(laid.cells)} cells of {len(reachable(laid.targets()))} steps, {os.cpu_count()} cores")
    return {"planning, empty store": empty, "planning, all done": full}


def pretend_done(laid: Laid, store: FolderStore) -> None:
    for step in reachable(laid.targets()).values():
        (store.root / type(step).__name__ / step.key).mkdir(parents=True, exist_ok=True)


def per_step(steps: int) -> float:
    """Return the seconds that each of many steps takes which do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        todo = plan([Trivial(index) for index in range(steps)], store)
        with listening(store, Progress(), jobs=1, device="cpu") as listener:
            start = time.perf_counter()
            ran = InProcess().run(todo, store, listener)
            assert len(ran.made) == steps
            return (time.perf_counter() - start) / steps


class FirstResult(Progress):
    """Notes when the first result is there."""

    at = 0.0

    def made(self, step: Step, seconds: float) -> None:
        self.at = self.at or time.perf_counter()


def per_process() -> float:
    """Return the seconds from hiring a process to its first result."""
    with tempfile.TemporaryDirectory() as folder:
        store, first = FolderStore(Path(folder)), FirstResult()
        start = time.perf_counter()
        FreshProcesses(jobs=1).run(plan([Trivial(0)], store), store, first)
        return first.at - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    figures = {name: (seconds, PLANNING) for name, seconds in planning(asked.cells, asked.rounds).items()}
    steps = statistics.median(per_step(asked.steps) for _ in range(asked.rounds))
    figures["one finished step, in process"] = steps, PER_STEP
    figures["one fresh process"] = statistics.median(per_process() for _ in range(asked.rounds)), PER_PROCESS
    for name, (seconds, limit) in figures.items():
        print(f"{name:<32} {seconds * 1000:9.2f} ms   limit {limit * 1000:7.0f} ms   ratio {seconds / limit:.2f}")


if __name__ == "__main__":
    main()
