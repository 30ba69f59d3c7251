import json
import os
import time
from pathlib import Path

import pytest

from augury.errors import StoreFullError
from augury.study.engine import Progress
from augury.study.journal import Journal, note_opening, read_history
from augury.study.store import FolderStore, open_store
from toy_steps import Toy

A, B = Toy("a"), Toy("b")


def lines(root):
    return [json.loads(line) for line in (root / "journal.jsonl").read_text().splitlines()]


@pytest.fixture
def written(tmp_path):
    """Write the journal of a run of two steps, one of which fails."""
    with Journal(tmp_path, Progress(), jobs=2, device="cpu") as journal:
        journal.begin([A, B])
        for step in (A, B):
            journal.begun(step)
        journal.made(A, 1.25)
        journal.failed(B, "it broke\n\x1b[2J")
    return tmp_path


def test_a_journal_tells_who_ran_what_and_how_it_ended(written):
    run, *steps = lines(written)
    assert {name: run[name] for name in ("event", "pid", "jobs", "device", "steps")} == {
        **{"event": "run", "pid": os.getpid(), "jobs": 2, "device": "cpu", "steps": 2},
    }
    assert [(line["event"], line["step"], line["title"]) for line in steps] == [
        *[("begun", A.key, "Toy"), ("begun", B.key, "Toy"), ("made", A.key, "Toy"), ("failed", B.key, "Toy")],
    ]
    assert {line["run"] for line in steps} == {run["run"]}
    assert all(abs(line["time"] - time.time()) < 60 for line in [run, *steps])
    assert (steps[2]["seconds"], steps[3]["reason"]) == (1.25, "it broke\n\x1b[2J")


def test_a_history_is_read_back(written):
    history = read_history(written)
    assert (history.jobs, dict(history.seconds)) == (2, {"Toy": [1.25]})
    assert (history.steps[A.key].event, history.steps[B.key].reason) == ("made", "it broke\n\x1b[2J")
    assert history.of(B.key, running=True) == history.of(B.key, running=False) == history.steps[B.key]


def test_once_a_store_is_opened_again_only_failures_hold(written):
    with Journal(written, Progress(), jobs=1, device="cpu") as journal:
        journal.begin([A])
        journal.begun(A)
    assert read_history(written).of(A.key, running=True).event == "begun"
    note_opening(written)
    history = read_history(written)
    assert (history.of(A.key, running=True), history.of(A.key, running=False)) == (None, None)
    assert history.of(B.key, running=True) is None  # the new run tries it again
    assert history.of(B.key, running=False).event == "failed"


@pytest.mark.parametrize("cut", [1, 7, 30, 90])
def test_half_a_line_of_a_killed_run_is_passed_over_and_spoils_no_other(written, cut):
    path = written / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_history(written).steps.keys() == {A.key, B.key}
    with Journal(written, Progress(), jobs=3, device="cpu") as journal:
        journal.begin([B])
        journal.made(B, 2.0)
    history = read_history(written)
    assert (history.jobs, history.seconds["Toy"]) == (3, [1.25, 2.0])


NO_LINES = ["[1]", "null", "{}", '{"event": "run", "run": 1, "jobs": Infinity}', '{"event": "made", "step": []}']


@pytest.mark.parametrize("line", [*NO_LINES, "\0\xff", '{"event": "made", "step": "x", "title": "t", "time": NaN}'])
def test_a_line_that_is_none_of_ours_is_passed_over(written, line):
    path = written / "journal.jsonl"
    path.write_text(f"{line}\n{path.read_text()}")
    assert read_history(written).seconds == {"Toy": [1.25]}


def test_a_store_without_a_journal_has_no_history(tmp_path):
    assert read_history(tmp_path).steps == {}


def test_a_run_without_anything_to_do_leaves_no_line(tmp_path):
    with Journal(tmp_path, Progress(), jobs=1, device="cpu") as journal:
        journal.begin([])
    assert list(tmp_path.iterdir()) == []


def test_opening_a_store_is_noted_only_where_there_is_a_journal(tmp_path, written):
    with open_store(tmp_path / "new", "cpu") as store:
        store.put(A, 1)
    assert not (tmp_path / "new" / "journal.jsonl").exists()
    shop = FolderStore(tmp_path / "new")
    shop.put(B, 2)
    (tmp_path / "new" / "journal.jsonl").write_bytes((written / "journal.jsonl").read_bytes())
    with open_store(tmp_path / "new", "cpu"):
        assert lines(tmp_path / "new")[-1]["event"] == "opened"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_journal_without_room_stops_the_run_with_a_sentence(tmp_path):
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path, Progress(), jobs=1, device="cpu")
    with journal, pytest.raises(StoreFullError, match=r"no more: no space left on device\. Nothing finished is lost"):
        journal.begin([A])
