import json
import shutil

import pytest

from augury import study
from augury.errors import DataError
from augury.readers import READERS
from augury.study.engine import Progress
from augury.study.journal import Journal
from augury.study.layout import lay_out
from augury.study.status import status_of
from augury.study.steps import FitGenerator
from augury.study.store import FolderStore, open_store

TOY = study.toy()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run the toy study once."""
    root = tmp_path_factory.mktemp("finished") / "store"
    study.run(TOY, root, device="cpu")
    return root


@pytest.fixture
def root(finished, tmp_path):
    """Return a copy of its store."""
    return shutil.copytree(finished, tmp_path / "store")


def listing(folder):
    """Return everything below a folder, with sizes and times."""
    stats = {path.relative_to(folder): path.lstat() for path in folder.rglob("*")}
    return {str(path): (stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in stats.items()}


def unmake(root, *kinds):
    """Take the results of some kinds of step away, and return the steps, in order."""
    steps = lay_out(TOY, FolderStore(root)).plan().steps
    assert steps == ()
    for kind in kinds:
        shutil.rmtree(root / kind)
    return lay_out(TOY, FolderStore(root)).plan().steps


def test_a_finished_study_is_done(root):
    found = status_of(TOY, root)
    assert (found.done, found.missing, found.running, found.seconds_left) == (found.steps, 0, False, 0)
    assert found.lines() == [f"Toy: {found.steps} of {found.steps} steps done; no run is going on"]


def test_a_look_changes_nothing_not_even_where_steps_are_missing(root):
    unmake(root, "Predict", "FitGenerator")
    before = listing(root)
    status_of(TOY, root)
    assert listing(root) == before


def test_images_that_are_not_read_are_said_so_and_not_read(root, monkeypatch):
    shutil.rmtree(root / "ReadImages")
    monkeypatch.setattr(type(READERS["digits"]), "read", None)  # calling it would fail
    before = listing(root)
    found = status_of(TOY, root)
    assert found.lines() == ["Toy: the images are not read yet; no run is going on"]
    assert (found.record()["images_read"], found.record()["steps"]) == (False, None)
    assert listing(root) == before


def test_a_study_without_a_store_is_refused_and_none_is_made(tmp_path):
    with pytest.raises(DataError, match=r"the store of a study that has run was expected at .* or name its --store\."):
        status_of(TOY, tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_missing_steps_are_counted_and_their_time_is_what_such_steps_took(root):
    missing = unmake(root, "Predict")
    (root / "journal.jsonl").unlink()
    assert status_of(TOY, root).lines()[-1] == "time left: not known yet"
    with Journal(root, Progress(), jobs=2, device="cpu") as journal:
        journal.begin(missing)
        for step, seconds in zip(missing, [100.0, 300.0] * len(missing), strict=False):
            journal.made(step, seconds)
    found = status_of(TOY, root)
    assert (found.missing, found.done, found.waiting) == (len(missing), found.steps - len(missing), 0)
    assert found.seconds_left == pytest.approx(200 * len(missing) / 2)
    assert found.lines()[-1] == "time left: about 20 min, once the same command goes on"


def test_steps_of_a_kind_that_has_not_run_are_counted_apart(root):
    missing = unmake(root, "FitClassifier", "Predict")
    (root / "journal.jsonl").unlink()
    with Journal(root, Progress(), jobs=1, device="cpu") as journal:
        journal.begin(missing)
        journal.made(missing[0], 60.0)
    found = status_of(TOY, root)
    alike = sum(step.title == missing[0].title for step in missing)
    others = len(missing) - alike
    assert 0 < alike < len(missing)
    assert (found.seconds_left, found.unknown) == (pytest.approx(60.0 * alike), others)
    assert f"and {others} steps of kinds that have not run yet" in found.lines()[-1]


def test_while_a_run_goes_on_its_steps_are_running(root):
    missing = unmake(root, "Predict")
    with open_store(root, "cpu"), Journal(root, Progress(), jobs=1, device="cpu") as journal:
        journal.begin(missing)
        journal.begun(missing[0])
        found = status_of(TOY, root)
        assert (found.running, [title for title, _ in found.begun]) == (True, [missing[0].title])
        assert found.missing == len(missing) - 1
        assert found.lines()[1] == f"running: {missing[0].title}, for 1 s"
    stopped = status_of(TOY, root)  # nobody holds the store: what was begun is missing
    assert (stopped.running, stopped.begun, stopped.missing) == (False, (), len(missing))


def test_what_a_killed_run_had_begun_is_not_running_while_the_next_one_starts(root):
    missing = unmake(root, "Predict")
    with Journal(root, Progress(), jobs=1, device="cpu") as journal:
        journal.begin(missing)
        journal.begun(missing[0])
    with open_store(root, "cpu"):
        assert (status_of(TOY, root).running, status_of(TOY, root).begun) == (True, ())


def test_failed_steps_come_with_their_reason_and_those_that_wait_are_told(root):
    missing = unmake(root, "Predict", "FitClassifier", "DrawImages", "FitGenerator")
    fits = [step for step in missing if isinstance(step, FitGenerator)]
    with Journal(root, Progress(), jobs=1, device="cpu") as journal:
        journal.begin(missing)
        for fit in fits:
            journal.begun(fit)
            journal.failed(fit, "no luck [bold]")
    found = status_of(TOY, root)
    assert found.failed == (("fit cvae", "no luck [bold]"),) * len(fits)
    assert found.steps == found.done + found.missing + len(fits)
    assert f"failed: fit cvae ({len(fits)} x): no luck [bold]" in found.lines()
    alone = sum(not any(step.key in reach(other) for step in fits) for other in missing)
    assert found.missing - found.waiting == alone > 0
    with open_store(root, "cpu"):  # the next run tries them again
        assert status_of(TOY, root).failed == ()


def reach(step):
    return {step.key}.union(*map(reach, step.inputs()))


def test_the_record_is_plain_json(root):
    missing = unmake(root, "Predict")
    with Journal(root, Progress(), jobs=1, device="cpu") as journal:
        journal.begin(missing)
        journal.failed(missing[0], "it broke")
    record = json.loads(json.dumps(status_of(TOY, root).record()))
    assert record["failed"] == [{"step": missing[0].title, "reason": "it broke", "times": 1}]
    assert record["steps"] == record["done"] + record["missing"] + 1
    assert {"title", "running", "images_read", "begun", "waiting", "seconds_left"} < record.keys()
