"""Processes that this one starts: they end with it, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait


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
