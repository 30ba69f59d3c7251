"""A store that takes no more: the whole run stops, with a sentence, and nothing is half written."""

import errno
import re

import pytest

from augury.errors import StoreFullError
from augury.study.engine import Progress, plan
from augury.study.executors import FreshProcesses, InProcess
from augury.study.store import FolderStore
from toy_steps import ChecksMuchIn, SavesHalf, SavesMuch, Toy


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


class Place:
    """A store and a log of what was made."""

    def __init__(self, root):
        self.log, self.store = root / "log.txt", FolderStore(root / "store")

    def toy(self, name, kind=Toy):
        return kind(name, log=str(self.log))

    def run(self, executor, *targets):
        return executor.run(plan(targets, self.store), self.store, Progress())

    def made(self):
        return [line.rpartition(" ")[0] for line in self.log.read_text().splitlines()]


@pytest.fixture
def little_room():
    """Let no file grow over half a megabyte, as a quota does, here and in the processes started here."""
    resource = pytest.importorskip("resource")
    found = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, found[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, found)


FULL = r"takes no more: file too large\. Nothing finished is lost: raise the limit .*, then the same command goes on\."


@pytest.mark.parametrize(
    ("name", "kind"), [("numpy", SavesMuch), ("torch", SavesMuch), ("file", SavesMuch), ("checkpoint", ChecksMuchIn)]
)
def test_a_store_without_room_stops_the_whole_run_and_keeps_what_is_finished(place, little_room, name, kind):
    first, much = place.toy("first"), place.toy(name, kind=kind)
    with pytest.raises(StoreFullError, match=FULL):
        place.run(InProcess(), first, much, place.toy("never"))
    assert place.made() == ["first", name]
    assert place.store.has(first)
    assert not (place.store.root / kind.__name__).exists()


def test_a_process_without_room_stops_the_whole_run(place, little_room):
    much = [place.toy(f"torch {i}", kind=SavesMuch) for i in range(9)]
    with pytest.raises(StoreFullError, match=FULL):
        place.run(FreshProcesses(jobs=2), *much)
    assert len(place.made()) <= 4
    assert not any(place.store.has(step) for step in much)


def test_the_right_remedy_is_named_for_a_full_disk(place, monkeypatch):
    def fill(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("augury.study.ground._fill", fill)
    sentence = (
        "takes no more: no space left on device. Nothing finished is lost: free some, then the same command goes on."
    )
    with pytest.raises(StoreFullError, match=re.escape(sentence)):
        place.run(InProcess(), place.toy("half", kind=SavesHalf))
    assert list((place.store.root / "partial").iterdir()) == []
