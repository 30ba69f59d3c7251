"""Executors: the same steps in this process, or in several fresh ones with a thread budget."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from augury.errors import AuguryError, StepDiedError
from augury.study.engine import Ledger, Plan, Progress, Ran, StoreWork
from augury.study.steps import Step
from augury.study.store import FolderStore, Store
from augury.training import torch_threads


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
        ledger, work = Ledger(), StoreWork(store, self.device, self.on_step)
        progress.begin(plan.steps)
        with torch_threads(self.threads):
            for step in plan.steps:
                if not ledger.blocks(step):
                    reason = attempt(step, work)
                    if reason is None:
                        ledger.made.append(step)
                    else:
                        ledger.fail(step, reason)
                progress.done(step)
        return ledger.close()


def attempt(step: Step, work: StoreWork) -> str | None:
    """Make one step and keep its value; return why not, in words."""
    try:
        work.store.put(step, step.make(work))
    except AuguryError as error:
        return str(error)
    except Exception as error:  # a step of any kind, plug-ins included, may fail in any way: it fails alone
        return f"{type(error).__name__}: {error}"
    return None


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    step: Step | None = None


@dataclass(frozen=True)
class FreshProcesses:
    """Makes steps in `jobs` processes of `threads` threads each; a process that dies takes one step with it.

    Only the step and the store's root travel.
    """

    jobs: int
    device: str = "cpu"
    threads: int = 1

    def run(self, plan: Plan, store: Store, progress: Progress) -> Ran:
        """Make every step whose inputs can be made."""
        assert isinstance(store, FolderStore), "processes share a store on disk"
        if not plan.steps:
            return Ledger().close()
        progress.begin(plan.steps)
        return _Shift(self, plan, store, progress).work()

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
    progress: Progress
    ledger: Ledger = field(default_factory=Ledger)
    workers: list[_Worker] = field(default_factory=list)

    def work(self) -> Ran:
        waiting = {step.key: step for step in self.plan.steps}
        try:
            while waiting or any(worker.step for worker in self.workers):
                self._assign(waiting)
                self._hear()
        finally:
            for worker in self.workers:
                worker.process.terminate()
                worker.process.join()
        return self.ledger.close()

    def _assign(self, waiting: dict[str, Step]) -> None:
        """Give idle workers what is ready; what waits for a failure is dropped."""
        busy = {worker.step.key for worker in self.workers if worker.step}
        for key, step in list(waiting.items()):
            if self.ledger.blocks(step):
                del waiting[key]
                self.progress.done(step)
            elif not any(item.key in waiting or item.key in busy for item in step.inputs()):
                worker = self._idle()
                if worker is None:
                    return
                worker.step = waiting.pop(key)
                worker.pipe.send(step)
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
            reason: str | None = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            self.workers.remove(worker)
            code = worker.process.exitcode
            cause = "killed, as a system does when memory runs out" if code == -9 else f"exit code {code}"
            reason = str(StepDiedError(f"the process of the step '{step.title}' ended without a result ({cause})."))
        worker.step = None
        if reason is None:
            self.ledger.made.append(step)
        else:
            self.ledger.fail(step, reason)
        self.progress.done(step)


def _serve(pipe: Connection, root: Path, device: str, threads: int) -> None:
    """Make steps until the pipe closes: the life of a worker process."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    work = StoreWork(FolderStore(root, device), device)
    while True:
        try:
            step: Step = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(step, work))


def _die_with_parent() -> None:
    """End this process when the one that started it is gone, so that nothing writes behind a new run's back."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
