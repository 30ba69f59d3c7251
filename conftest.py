"""Settings of every test and doctest."""

import os
import signal
from collections.abc import Iterator

# before NumPy is loaded, and for processes that tests start: threads of two that share two cores wait for each other
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)  # tiny tensors gain nothing from a second thread, and on a busy machine it costs tenfold


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> Iterator[None]:
    """Let this process and its children hear SIGINT: where a shell starts tests in the background it is ignored."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)
