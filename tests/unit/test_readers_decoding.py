"""Many files: decoded in several processes, and nobody can tell."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from augury.errors import StepDiedError
from augury.readers import ReadSettings, decoding, read_source
from fuzzing import zip_bytes
from pictures import grey, one_each, png

FILES = [f"{label}/{i}.png" for label in "ab" for i in range(150)]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder and an archive of 300 pictures, one of them broken."""
    root = tmp_path_factory.mktemp("many")
    one_each(root / "set", *FILES)
    (root / "set/a/7.png").write_bytes(b"no image")
    packed = [(name, b"no image" if name == "a/7.png" else png(grey(i))) for i, name in enumerate(FILES)]
    (root / "set.zip").write_bytes(zip_bytes(packed))
    return root


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(decoding, "cores", lambda: 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks here")
@pytest.mark.parametrize("source", ["set", "set.zip"])
def test_several_processes_read_what_one_reads(many, source, two_cores, monkeypatch):
    settings = ReadSettings(size=(16, 16), skip_unreadable=True)
    state = torch.get_rng_state()
    assert decoding._processes(len(FILES)) == 2
    several = read_source(many / source, settings)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(decoding, "FEW", 1000)
    one = read_source(many / source, settings)
    assert [item.name for item in several.skipped] == [item.name for item in one.skipped] == ["a/7.png"]
    assert (several.images.names, several.images.digests) == (one.images.names, one.images.digests)
    assert torch.equal(several.images.images, one.images.images)
    assert np.array_equal(several.thumbnails, one.thumbnails)


def test_a_process_that_is_killed_is_named(many, two_cores, monkeypatch):
    parent = os.getpid()

    def killed(*_):
        assert os.getpid() != parent
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(decoding, "decode", killed)
    with pytest.raises(StepDiedError, match="a process that decodes images ended without a result"):
        read_source(many / "set", ReadSettings())


def test_no_process_outlives_a_reading_that_is_killed(many):
    code = "import os, time, augury; from augury.readers import decoding; decoding.cores = lambda: 2\n"
    code += "decode = decoding.decode\n"
    code += "def slow(*given):\n    os.write(1, b'%d\\n' % os.getpid()); time.sleep(0.2); return decode(*given)\n"
    code += f"decoding.decode = slow; augury.read({str(many / 'set')!r}, skip_unreadable=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as reading:
        workers = {int(reading.stdout.readline()) for _ in range(4)}
        reading.kill()
    assert reading.pid not in workers
    end = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() < end:  # noqa: PTH110
        time.sleep(0.05)
    assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110
