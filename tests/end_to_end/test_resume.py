"""A run that is stopped again and again, by Ctrl-C and by the system, and goes on from where it was."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from augury import study
from augury.study.journal import read_history
from augury.study.table import results_csv

STUDY = """
data = { source = "digits", size = 8, safe = [] }
split = { folds = 2, repeats = 2, per_class = 10 }
generators = [{ kind = "cvae", hidden = [32], latent = 4, steps = 60, batch = 32 }]
classifiers = [{ kind = "small_cnn", steps = 40, batch = 16, width = 4 }]
arms = [{ name = "real" }, { name = "cvae", generator = "cvae", amounts = ["ratio 1", "ratio 2"] }]
"""
STOPS = [(0.1, "SIGINT"), (0.2, "SIGKILL"), (0.45, "SIGINT"), (0.55, "SIGKILL"), (0.8, "SIGINT"), (0.9, "SIGKILL")]
STOPPED = "stopped. What is finished is kept: the same command goes on from here."
COMMAND = [sys.executable, "-m", "augury", "run", "study.toml", "-o", "out", "--jobs", "1", "--device", "cpu"]
PATIENCE = 120  # seconds


def done(store):
    """Return the finished steps and when each was finished."""
    return {f"{p.parent.name}/{p.name}": p.stat().st_mtime_ns for p in store.glob("[A-Z]*/*") if p.is_dir()}


def stopped(folder, steps, name):
    """Run until so many steps are done, then send a signal; return exit code and stderr."""
    with subprocess.Popen(COMMAND, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + PATIENCE
        while len(done(folder / "out" / "store")) < steps and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        os.kill(process.pid, getattr(signal, name))
        _, stderr = process.communicate(timeout=PATIENCE)
    return process.returncode, stderr


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the table and the steps of the same study, run in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "study.toml").write_text(STUDY)
    finished = study.run(study.load_study(folder / "study.toml"), folder / "store", device="cpu")
    return results_csv(finished.outcome).encode(), done(folder / "store").keys()


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory, undisturbed):
    """Stop one run six times, then let it finish; return its folder and what was seen on the way."""
    folder = tmp_path_factory.mktemp("disturbed")
    (folder / "study.toml").write_text(STUDY)
    seen = []
    for share, name in STOPS:
        ended = stopped(folder, round(share * len(undisturbed[1])), name)
        seen.append((name, *ended, done(folder / "out" / "store"), (folder / "out" / "results.csv").exists()))
    finished = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    return folder, seen, finished


def test_the_run_was_stopped_early_in_the_middle_and_late(disturbed, undisturbed):
    shares = [len(steps) / len(undisturbed[1]) for *_, steps, _ in disturbed[1]]
    assert [share for share, _ in STOPS] == pytest.approx(shares, abs=0.1)
    assert not any(results for *_, results in disturbed[1])


def test_ctrl_c_ends_with_130_and_one_sentence(disturbed):
    for code, stderr in ((code, stderr) for name, code, stderr, *_ in disturbed[1] if name == "SIGINT"):
        assert code == 130
        assert " ".join(stderr.split()).endswith(STOPPED)
        assert "Traceback" not in stderr
        assert "Aborted" not in stderr


def test_a_stopped_run_goes_on_to_the_same_bytes(disturbed, undisturbed):
    folder, _, finished = disturbed
    assert finished.returncode == 0, finished.stderr
    assert (folder / "out" / "results.csv").read_bytes() == undisturbed[0]
    assert done(folder / "out" / "store").keys() == undisturbed[1]
    assert (folder / "out" / "report.html").stat().st_size > 10_000
    assert not list((folder / "out" / "store" / "partial").iterdir())


def test_what_was_done_before_a_stop_is_never_done_again(disturbed):
    folder, seen, _ = disturbed
    last = done(folder / "out" / "store")
    for *_, steps, _ in seen:
        assert {name: last[name] for name in steps} == steps


def test_a_second_run_makes_no_step(disturbed, undisturbed, monkeypatch, capsys):
    from augury.cli import main

    folder, *_ = disturbed
    before = done(folder / "out" / "store")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["augury", *COMMAND[3:]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert done(folder / "out" / "store") == before
    assert (folder / "out" / "results.csv").read_bytes() == undisturbed[0]
    assert Path("out", "report.html").exists()


# ---- killed at random moments


KILLS = 12  # thirty were tried, too: each takes seconds for a process to start
TWO = [*COMMAND[:-3], "2", *COMMAND[-2:]]


@dataclass
class Killed:
    """One run that was killed: its processes' group, whether all of them were, and the steps before and after."""

    group: int
    whole: bool
    before: int
    after: int

    def phase(self, total):
        """Return where the run was."""
        if self.after == total:
            return "end"
        return "steps" if self.after > self.before else "start"


def moments(total):
    """Draw how many steps are waited for, and how long after that."""
    draw = random.Random(7)
    for kill in range(KILLS - 4):
        share = (kill + draw.random()) / KILLS
        yield (0, draw.uniform(0, 3)) if kill % 3 == 0 else (round(share * total), draw.uniform(0, 0.1))
    yield from ((total, draw.uniform(0, 3)) for _ in range(4))  # while it scores, decides and writes the report


def killed(folder, total, steps, delay, whole):
    """Run until so many steps are done and a while longer; kill the run, alone or with all its processes."""
    store = folder / "out" / "store"
    before = len(done(store))
    awaited = min(total, max(steps, before + 1)) if steps else 0
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with subprocess.Popen(TWO, cwd=folder, **quiet) as process:
        end = time.monotonic() + PATIENCE
        while len(done(store)) < awaited and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(delay)
        with suppress(ProcessLookupError):  # it may have come to its end
            (os.killpg if whole else os.kill)(process.pid, signal.SIGKILL)
    return Killed(process.pid, whole, before, len(done(store)))


@pytest.fixture(scope="module")
def killed_often(tmp_path_factory, undisturbed):
    """Kill runs at random moments, then let one finish."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "study.toml").write_text(STUDY)
    total = len(undisturbed[1])
    kills = [killed(folder, total, *moment, whole=kill % 2 == 0) for kill, moment in enumerate(moments(total))]
    finished = subprocess.run(TWO, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    return folder, kills, finished


@pytest.mark.slow
def test_the_kills_hit_a_run_at_its_start_in_its_middle_and_at_its_end(killed_often, undisturbed):
    phases = Counter(kill.phase(len(undisturbed[1])) for kill in killed_often[1])
    assert phases["start"] >= 2
    assert phases["steps"] >= 4
    assert phases["end"] >= 3
    assert {kill.whole for kill in killed_often[1] if kill.phase(len(undisturbed[1])) == "steps"} == {True, False}


def lives(group):
    """Tell whether a process of a group is still there."""
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


@pytest.mark.slow
def test_a_run_killed_a_dozen_times_ends_in_the_bytes_of_an_undisturbed_one(killed_often, undisturbed, tmp_path):
    folder, _, finished = killed_often
    assert finished.returncode == 0, finished.stderr
    assert (folder / "out" / "results.csv").read_bytes() == undisturbed[0]
    assert done(folder / "out" / "store").keys() == undisturbed[1]
    assert not list((folder / "out" / "store" / "partial").iterdir())
    assert not any(lives(kill.group) for kill in killed_often[1])
    (tmp_path / "study.toml").write_text(STUDY)
    assert subprocess.run(TWO, cwd=tmp_path, capture_output=True, timeout=PATIENCE).returncode == 0
    assert (tmp_path / "out" / "results.csv").read_bytes() == undisturbed[0]


@pytest.mark.slow
def test_the_journal_of_a_run_killed_a_dozen_times_tells_of_every_step(killed_often):
    store = killed_often[0] / "out" / "store"
    history = read_history(store)
    made = {key for key, noted in history.steps.items() if noted.event == "made"}
    finished = {name.partition("/")[2] for name in done(store) if not name.startswith("ReadImages")}
    # a kill may fall between a result and its line; the step is not made again, and so never noted
    assert made <= finished
    assert len(finished - made) <= 2 * KILLS
