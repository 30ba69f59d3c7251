"""Executors: the same steps in this process, or in several fresh ones with a thread budget."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from augury.errors import AuguryError, StepDiedError, StoreFullError
from augury.processes import end_with_parent
from augury.study.engine import Attempt, Ledger, Plan, Progress, Ran, StoreWork
from augury.study.steps import Step
from augury.study.store import FolderStore, Store
from augury.training import torch_threads

GUARD = 'In a script, a call with several jobs stands under `if __name__ == "__main__":`.'
OOM_SCORE = 500  # of 1000: a worker goes before the process that keeps the books and writes the report


@dataclass(frozen=True)
class InProcess:
    """Makes one step after the other, here.

    Attributes:
        device: `cpu` or `cuda`.
        threads: Threads per step; part of the study, so that results do not depend on the machine's cores.
        on_step: Told of optimiser steps.
    """

    device: str = "cpu"
    threads: int = 1
    on_step: Callable[[int, int], None] | None = None

    def run(self, plan: Plan, store: Store, progress: Progress) -> Ran:
        """Make every step whose inputs can be made."""
        ledger, work = Ledger(progress), StoreWork(store, self.device, self.on_step)
        progress.begin(plan.steps)
        with torch_threads(self.threads):
            for step in plan.steps:
                if not ledger.blocks(step):
                    progress.begun(step)
                    ledger.settle(step, attempt(step, work))
                progress.done(step)
        return ledger.close()


def attempt(step: Step, work: StoreWork) -> Attempt:
    """Make one step and keep its value, or say why not.

    Raises:
        StoreFullError: If the store takes no more: every later step would be made for nothing.
    """
    start = time.perf_counter()
    reason, crashed = None, False
    try:
        work.store.put(step, step.make(work))
    except StoreFullError:
        raise
    except AuguryError as error:
        reason = str(error)
    except Exception as error:  # a step of any kind, plug-ins included, may fail in any way: it fails alone
        work.store.check(step)  # unless its checkpoint found no room
        reason, crashed = f"{type(error).__name__}: {error}", True
    return Attempt(time.perf_counter() - start, reason, crashed)


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    step: Step | None = None
    answered: bool = False


@dataclass(frozen=True)
class FreshProcesses:
    """Makes steps in `jobs` processes of `threads` threads each; a process that dies takes one step with it.

    Only the step and the store's root travel.
    """

    jobs: int
    device: str = "cpu"
    threads: int = 1

    def run(self, plan: Plan, store: Store, progress: Progress) -> Ran:
        """Make every step whose inputs can be made.

        Raises:
            StoreFullError: If the store takes no more; the other processes are ended.
        """
        assert isinstance(store, FolderStore), "processes share a store on disk"
        if not plan.steps:
            return Ledger().close()
        if self.device == "cuda":
            torch.cuda.empty_cache()  # what this process measured with: the GPU's memory is for the others
        progress.begin(plan.steps)
        return _Shift(self, plan, store, Ledger(progress)).work()

    def hire(self, root: Path) -> _Worker:
        """Start a process."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, root, self.device, self.threads), daemon=True)
        with _deaf_to_ctrl_c():
            process.start()
        theirs.close()
        return _Worker(process, ours)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Start processes that do not hear Ctrl-C, not even while they import: their parent does, and ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, found)


@dataclass
class _Shift:
    """One run of several workers over one plan."""

    executor: FreshProcesses
    plan: Plan
    store: FolderStore
    ledger: Ledger
    workers: list[_Worker] = field(default_factory=list)

    def work(self) -> Ran:
        waiting = {step.key: step for step in self.plan.steps}
        try:
            while waiting or any(worker.step for worker in self.workers):
                self._assign(waiting)
                self._hear()
        finally:
            for worker in list(self.workers):
                self._dismiss(worker)
        return self.ledger.close()

    def _assign(self, waiting: dict[str, Step]) -> None:
        """Give idle workers what is ready; what waits for a failure is dropped."""
        busy = {worker.step.key for worker in self.workers if worker.step}
        for key, step in list(waiting.items()):
            if self.ledger.blocks(step):
                del waiting[key]
                self.ledger.progress.done(step)
            elif not any(item.key in waiting or item.key in busy for item in step.inputs()):
                worker = self._idle()
                if worker is None:
                    return
                worker.step = waiting.pop(key)
                with suppress(OSError):  # killed while it was idle: it is heard of at once
                    worker.pipe.send(step)
                self.ledger.progress.begun(step)
                busy.add(key)

    def _idle(self) -> _Worker | None:
        self.workers = [worker for worker in self.workers if worker.step or worker.process.is_alive()]
        for worker in self.workers:
            if worker.step is None:
                return worker
        if len(self.workers) >= self.executor.jobs:
            return None
        self.workers.append(self.executor.hire(self.store.root))
        return self.workers[-1]

    def _hear(self) -> None:
        busy = [worker for worker in self.workers if worker.step]
        if not busy:
            return
        ready = wait([worker.pipe for worker in busy])
        for worker in busy:
            if worker.pipe in ready:
                self._settle(worker)

    def _settle(self, worker: _Worker) -> None:
        step = worker.step
        assert step is not None
        try:
            answer: Attempt | StoreFullError = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            answer = Attempt(0.0, _last_words(worker, step), crashed=True)
            self.workers.remove(worker)
        if isinstance(answer, StoreFullError):
            raise answer
        worker.step, worker.answered = None, True
        if answer.crashed and self.executor.device == "cuda" and worker in self.workers:
            self._dismiss(worker)  # some mistakes spoil a GPU for the process that made them
        self.ledger.settle(step, answer)
        self.ledger.progress.done(step)

    def _dismiss(self, worker: _Worker) -> None:
        worker.process.terminate()
        worker.process.join()
        self.workers.remove(worker)


def _last_words(worker: _Worker, step: Step) -> str:
    code = worker.process.exitcode
    cause = "killed, as a system does when memory runs out" if code == -9 else f"exit code {code}"
    said = f"the process of the step '{step.title}' ended without a result ({cause})."
    unguarded = code == 1 and not worker.answered  # each process imports the script that started it
    return str(StepDiedError(f"{said} {GUARD}" if unguarded else said))


def _serve(pipe: Connection, root: Path, device: str, threads: int) -> None:
    """Make steps until the pipe closes: the life of a worker process."""
    end_with_parent()
    _go_first_when_memory_runs_out()
    torch.set_num_threads(threads)
    work = StoreWork(FolderStore(root, device), device)
    while True:
        try:
            step: Step = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(attempt(step, work))
        except StoreFullError as error:
            pipe.send(error)


def _go_first_when_memory_runs_out() -> None:
    """Let the system end this process rather than the one that started it: a step is lost then, and not the run."""
    score = Path("/proc/self/oom_score_adj")
    if sys.platform == "linux":
        with suppress(OSError, ValueError):  # a sandbox may hide it; the run is then as safe as before
            score.write_text(str(max(OOM_SCORE, int(score.read_text()))))
