import os
import shutil
import subprocess
import sys

import pytest

from augury.errors import DataError, StoreBusyError, StoreFullError
from augury.study.ground import FORMAT, is_held
from augury.study.store import FolderStore, open_store
from toy_steps import Toy


def listing(folder):
    """Return everything below a folder, with sizes and times."""
    stats = {path.relative_to(folder): path.lstat() for path in folder.rglob("*")}
    return {str(path): (stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in stats.items()}


def test_opening_a_store_creates_nothing(tmp_path):
    store = FolderStore(tmp_path / "out" / "store")
    assert not store.has(Toy("a"))
    assert list(tmp_path.iterdir()) == []


def test_the_first_result_makes_a_folder_a_store(tmp_path):
    store = FolderStore(tmp_path / "store")
    store.put(Toy("a"), 1)
    assert (tmp_path / "store" / "FORMAT").read_text().strip() == FORMAT
    assert FolderStore(tmp_path / "store").get(Toy("a")) == 1


@pytest.mark.parametrize("found", ["augury store 0\n", "", "\0\x1b[2J" * 100])
def test_a_store_of_another_format_is_refused(tmp_path, found):
    (tmp_path / "FORMAT").write_text(found)
    with pytest.raises(DataError, match=r"has the format '.*'. Expected 'augury store 1': name another") as refused:
        FolderStore(tmp_path)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


def test_a_store_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="a folder to keep results in was expected"):
        FolderStore(tmp_path / "file")


def test_a_folder_with_other_things_in_it_does_not_become_a_store(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(DataError, match=r"Got one that holds other things, such as 'holiday\.jpg': name another"):
        FolderStore(tmp_path)


def test_what_a_run_that_was_killed_at_its_start_leaves_is_no_other_thing(tmp_path):
    (tmp_path / ".FORMAT.123.partial").write_text("augury st")
    (tmp_path / "lock").touch()
    with open_store(tmp_path, "cpu"):
        assert (tmp_path / "FORMAT").read_text().strip() == FORMAT


def test_a_store_that_stays_empty_is_removed_with_the_folders_made_for_it(tmp_path):
    (tmp_path / "there").mkdir()
    with open_store(tmp_path / "there" / "out" / "store", "cpu"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize("before", ["the folder", "a result", "a checkpoint", "another file"])
def test_a_store_that_was_there_or_holds_something_stays(tmp_path, before):
    root = tmp_path / "out" / "store"
    if before == "the folder":
        root.mkdir(parents=True)
    with open_store(root, "cpu") as store:
        if before == "a result":
            store.put(Toy("a"), 1)
        elif before == "a checkpoint":
            store.partial(Toy("a")).mkdir(parents=True)
        elif before == "another file":
            (tmp_path / "out" / "study.toml").touch()
    assert root.is_dir() == (before != "another file")
    assert (tmp_path / "out").is_dir()


def test_a_store_in_use_is_busy_and_free_again_afterwards(tmp_path):
    with FolderStore(tmp_path).lock(), pytest.raises(StoreBusyError, match="another run is using the store"):
        FolderStore(tmp_path).lock().__enter__()
    with FolderStore(tmp_path).lock():
        pass


def test_looking_whether_a_store_is_held_writes_nothing_and_keeps_no_run_out(tmp_path):
    assert not is_held(tmp_path)
    with FolderStore(tmp_path).lock():
        before = listing(tmp_path)
        assert is_held(tmp_path)
        assert listing(tmp_path) == before
    assert not is_held(tmp_path)


LOOK = "import fcntl, time; f = open('lock'); fcntl.flock(f, fcntl.LOCK_SH); print(flush=True); time.sleep(0.2)"


def test_a_run_starts_while_someone_looks_at_the_lock(tmp_path):
    pytest.importorskip("fcntl")
    with FolderStore(tmp_path).lock():
        pass
    with subprocess.Popen([sys.executable, "-c", LOOK], cwd=tmp_path, stdout=subprocess.PIPE) as looks:
        looks.stdout.readline()
        with FolderStore(tmp_path).lock():
            assert is_held(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_refused_with_a_sentence(tmp_path):
    with FolderStore(tmp_path).lock():
        pass
    (tmp_path / "lock").chmod(0o400)
    with pytest.raises(StoreFullError, match=r"takes no more: permission denied\. .* make it writable"):
        FolderStore(tmp_path).lock().__enter__()


def test_half_of_a_result_never_lies_under_its_name(tmp_path, monkeypatch):
    store = FolderStore(tmp_path)
    store.put(Toy("a"), 1)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # stopped before anything is deleted
    store.discard(tmp_path / "Toy" / Toy("a").key)
    monkeypatch.undo()
    assert not store.has(Toy("a"))
    assert len(list((tmp_path / "partial").iterdir())) == 1
    with open_store(tmp_path, "cpu"):
        assert list((tmp_path / "partial").iterdir()) == []
