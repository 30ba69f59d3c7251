"""Processes that this one starts: how many there is room for, and that they end with it, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait


def cores() -> int:
    """Return how many cores this process may use, which a container or a cluster may have bounded."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_for(asked: int | None, threads: int, device: str) -> int:
    """Return how many processes run side by side: those asked for, or as many as have a core for each thread.

    >>> jobs_for(3, threads=1, device="cpu"), jobs_for(None, threads=10_000, device="cpu"), jobs_for(None, 1, "cuda")
    (3, 1, 1)
    """
    if asked is not None:
        return asked
    return 1 if device == "cuda" else max(1, cores() // threads)


def end_with_parent() -> None:
    """Let this process end when the one that started it is gone, so that nothing writes behind a new run's back.

    A killed process cannot tell its children, and one that waits to hand over a result would wait for ever.
    """
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
