"""The store and its commands, as a user meets them: status, clean, two runs, a killed step, no room."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from augury.cli import main
from augury.study.store import FolderStore

STUDY = """
title = "Toy"
data = { source = "digits", size = 8, safe = [] }
split = { folds = 2, repeats = 1, per_class = 10 }
generators = [{ kind = "plugged:KIND", name = "plugged" }, { kind = "cvae", steps = 3, hidden = [HIDDEN] }]
classifiers = [{ kind = "small_cnn", steps = 4, batch = 16, width = 4 }]
arms = [
  { name = "real" },
  { name = "cvae", generator = "cvae", amounts = ["ratio 1"] },
  { name = "plugged", generator = "plugged", amounts = ["ratio 1"] },
]
"""
PLUGGED = '''
import os, signal, time
from pathlib import Path
from typing import ClassVar

import numpy as np

from augury.errors import DataError
from augury.generators import Blend

class Doomed(Blend):
    """Is killed, as for want of memory."""
    kind: ClassVar[str] = "doomed"
    def fit(self, train, run):
        os.kill(os.getpid(), signal.SIGKILL)

class Waits(Blend):
    """Waits for a file to appear."""
    kind: ClassVar[str] = "waits"
    def fit(self, train, run):
        while not Path("go").exists():
            time.sleep(0.01)
        return super().fit(train, run)

class Refuses(Blend):
    """Fails with what a terminal should not see."""
    kind: ClassVar[str] = "refuses"
    def fit(self, train, run):
        raise DataError("[red]no\\x1b[2J\\n")
'''
BLENDS = STUDY.replace("plugged:KIND", "blend").replace("HIDDEN", "8")
PATIENCE = 120  # seconds


def command(*words):
    return [sys.executable, "-m", "augury", *words, "--allow-plugins"]


def prepared(folder, kind):
    """Write a study with a plug-in into a folder; return what the commands of a process there need."""
    folder.mkdir(exist_ok=True)
    (folder / "plugged.py").write_text(PLUGGED)
    (folder / "study.toml").write_text(STUDY.replace("KIND", kind).replace("HIDDEN", "8"))
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return {"cwd": folder, "env": {**os.environ, "PYTHONPATH": path}, "text": True}


def results(root):
    """Return the finished steps of a store."""
    return {f"{path.parent.name}/{path.name}" for path in root.glob("[A-Z]*/*")}


def one_line(text):
    return " ".join(text.split())


# ---- while a run goes on


@pytest.fixture(scope="module")
def going_on(tmp_path_factory):
    """Look at a run that goes on, and start a second one on its store; then let the first one end."""
    folder = tmp_path_factory.mktemp("going_on")
    place = prepared(folder, "Waits")
    seen = {}
    with subprocess.Popen(command("run", "study.toml", "-o", "out", "--jobs", "2"), **place) as process:
        end = time.monotonic() + PATIENCE
        begun = ["fit waits"]
        while [
            step["step"] for step in seen.get("status", {}).get("begun", [])
        ] != begun * 2 and time.monotonic() < end:
            seen["status"] = look(place)
            assert process.poll() is None
        seen["study"] = (folder / "out" / "study.toml").exists()
        second = command("run", "study.toml", "-o", "out", "--jobs", "2")
        seen["second"] = subprocess.run(second, **place, capture_output=True, timeout=PATIENCE, check=False)
        (folder / "go").touch()
        seen["code"] = process.wait(PATIENCE)
    return folder, place, seen


def look(place):
    found = subprocess.run(command("status", "out", "--json"), **place, capture_output=True, timeout=PATIENCE)
    return json.loads(found.stdout) if found.returncode == 0 else {}


def test_status_sees_what_another_process_is_doing(going_on):
    status = going_on[2]["status"]
    assert (status["running"], status["images_read"], status["failed"]) == (True, True, [])
    assert [step["step"] for step in status["begun"]] == ["fit waits", "fit waits"]
    assert status["steps"] == status["done"] + status["missing"] + 2
    assert status["missing"] > 0
    assert going_on[2]["study"]  # it lies there from the start


def test_a_second_run_ends_in_2_while_the_first_goes_on(going_on):
    folder, _, seen = going_on
    assert seen["second"].returncode == 2
    assert one_line(seen["second"].stderr).startswith("augury: another run is using the store out/store. Wait for it")
    assert seen["second"].stdout == ""
    assert seen["code"] == 0
    assert (folder / "out" / "report.html").exists()


# ---- a step that is killed


@pytest.fixture(scope="module")
def doomed(tmp_path_factory):
    """Run a study one of whose generators is killed by the system."""
    place = prepared(tmp_path_factory.mktemp("doomed"), "Doomed")
    words = command("run", "study.toml", "-o", "out", "--jobs", "2", "--json")
    return place, subprocess.run(words, **place, capture_output=True, timeout=PATIENCE, check=False)


KILLED = "the process of the step 'fit doomed' ended without a result (killed, as a system does when memory runs out)."


def test_a_step_killed_for_memory_fails_alone(doomed):
    place, ran = doomed
    assert ran.returncode == 1
    outcome = json.loads(ran.stdout)
    assert (outcome["cells"], outcome["cells_failed"]) == (6, 2)
    assert [(row["step"], row["cells"], row["reason"]) for row in outcome["failures"]] == [("fit doomed", 2, KILLED)]
    assert f"failed: fit doomed (2 cells): {KILLED}" in one_line(ran.stderr)
    kinds = [name.partition("/")[0] for name in results(place["cwd"] / "out" / "store")]
    trained_on_drawn_images_only = 2
    assert (kinds.count("FitClassifier"), kinds.count("FitGenerator")) == (4 + trained_on_drawn_images_only, 2)


def test_the_report_says_that_a_step_was_killed(doomed):
    report = (doomed[0]["cwd"] / "out" / "report.html").read_text()
    assert "killed, as a system does when memory runs out" in report


# ---- no room


@pytest.mark.skipif(shutil.which("bash") is None, reason="limits are set by bash")
def test_a_store_without_room_ends_in_2_and_the_same_command_goes_on(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.replace("plugged:KIND", "blend").replace("HIDDEN", "1024"))
    words = command("run", "study.toml", "-o", "out", "--jobs", "2")
    settings = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": PATIENCE, "check": False}
    full = subprocess.run(["bash", "-c", 'ulimit -f 200; exec "$@"', "-", *words], **settings)
    assert full.returncode == 2
    sentence = "file too large. Nothing finished is lost: raise the limit on file sizes (ulimit -f), then the same"
    assert sentence in one_line(full.stderr)
    assert "Traceback" not in full.stderr
    kept = results(tmp_path / "out" / "store")
    assert kept
    assert (
        list((tmp_path / "out" / "store" / "partial").glob("*.*")) == []
    )  # a name with a point is a half written result
    assert subprocess.run(words, **settings).returncode == 0
    assert kept < results(tmp_path / "out" / "store")


# ---- commands in this process


class Shell:
    """Types commands in a folder of its own."""

    def __init__(self, folder, patch):
        self.folder, self.patch = folder, patch
        patch.chdir(folder)

    def __call__(self, *words):
        """Run `augury ...`; return exit code, stdout and stderr."""
        self.patch.setattr(sys, "argv", ["augury", *words])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, out.getvalue(), err.getvalue()


@pytest.fixture
def augury(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Shell(tmp_path, monkeypatch)


@pytest.fixture
def smaller(augury):
    """Run a study, then leave an arm out of its file."""
    (augury.folder / "out").mkdir()
    study = augury.folder / "out" / "study.toml"
    study.write_text(BLENDS)
    assert augury("run", "out/study.toml", "-o", "out", "--jobs", "1")[0] == 0
    study.write_text(BLENDS.replace('  { name = "plugged"', '  # { name = "plugged"'))
    return augury


def test_clean_says_what_would_go_and_removes_it_only_when_told(smaller):
    root = smaller.folder / "out" / "store"
    before = results(root)
    code, out, err = smaller("clean", "out")
    assert (code, out) == (2, "")
    assert "there is no terminal to ask on: add --yes." in one_line(err)
    code, told, _ = smaller("clean", "out", "--dry-run")
    assert (code, results(root)) == (0, before)
    assert told.startswith("needed by no study file (1 read): ")
    assert smaller("clean", "out", "--yes") == (0, f"{told}removed\n", "")
    assert f": {len(before - results(root))} results, 0 unfinished, " in told
    assert "missing" not in smaller("status", "out")[1]


@pytest.mark.parametrize("answer", ["y", "n"])
def test_clean_asks_on_a_terminal(smaller, monkeypatch, answer):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    root = smaller.folder / "out" / "store"
    before = results(root)
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    code, out, err = smaller("clean", "out")
    assert code == 0
    assert "Remove them? [y/N]" in err
    assert (results(root) < before, out.endswith("removed\n")) == (answer == "y",) * 2


@pytest.mark.parametrize("words", ["out --yes", "out --yes --store out/store", "elsewhere --yes --store out/store"])
def test_clean_leaves_a_store_alone_that_a_run_holds_or_whose_studies_are_not_known(smaller, words):
    (smaller.folder / "elsewhere").mkdir()
    root = smaller.folder / "out" / "store"
    before = results(root)
    with FolderStore(root).lock():
        code, out, err = smaller("clean", *words.split())
    assert (code, out) == (2, "")
    assert "another run is using the store" in err
    assert smaller("clean", "elsewhere", "--yes", "--store", "out/store")[0] == 2
    assert results(root) == before


NOTHING = {
    "status of nothing": ("status nowhere", "a study file was expected at nowhere."),
    "status of a folder": ("status empty", "a study file was expected at empty/study.toml."),
    "status without a store": ("status study.toml", "the store of a study that has run was expected at study/store."),
    "clean nothing": ("clean nowhere --yes", "the store of a study that has run was expected at nowhere/store."),
    "clean without a store": ("clean empty --yes", "the store of a study that has run was expected at empty/store."),
    "try an empty folder": ("try empty -o new/out", "empty"),
    "try with a file for a store": ("run study.toml --store study.toml -o new", "a folder to keep results in was"),
    "run on a folder of other things": ("run study.toml --store other -o new", "Got one that holds other things"),
    "run without images": ("run lost.toml -o new", "no images at"),
}


@pytest.mark.parametrize(("words", "sentence"), NOTHING.values(), ids=NOTHING.keys())
def test_a_refused_command_leaves_nothing_behind(augury, words, sentence):
    (augury.folder / "study.toml").write_text(BLENDS)
    (augury.folder / "lost.toml").write_text(BLENDS.replace("digits", "lost.npz"))
    (augury.folder / "empty").mkdir()
    (augury.folder / "other").mkdir()
    (augury.folder / "other" / "notes.txt").touch()
    before = sorted(augury.folder.rglob("*"))
    code, out, err = augury(*words.split())
    assert (code, out) == (2, "")
    assert sentence in one_line(err)
    assert "Traceback" not in err
    assert sorted(augury.folder.rglob("*")) == before


def test_reasons_do_nothing_to_a_terminal(augury, monkeypatch):
    place = prepared(augury.folder, "Refuses")
    monkeypatch.syspath_prepend(str(place["cwd"]))
    code, _, err = augury("run", "study.toml", "-o", "out", "--jobs", "1", "--allow-plugins")
    assert code == 1
    out = augury("status", "out", "--allow-plugins")[1]
    for text in (err, out):
        assert r"[red]no\x1b[2J\n" in text
        assert "\x1b" not in text
    assert "failed: fit refuses (2 x): " in out
    assert Path("out", "report.html").exists()
