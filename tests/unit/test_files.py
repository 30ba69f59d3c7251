from contextlib import suppress

import pytest

from augury.errors import DataError
from augury.files import fresh_folder, write_whole


def test_a_file_is_replaced_whole(tmp_path):
    write_whole(tmp_path / "new" / "a.txt", "one")
    write_whole(tmp_path / "new" / "a.txt", "two")
    assert [(path.name, path.read_text()) for path in (tmp_path / "new").iterdir()] == [("a.txt", "two")]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(DataError, match=r"a\.txt cannot be written"):
        write_whole(tmp_path / "a.txt", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_appears_at_the_end(tmp_path):
    with fresh_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


def test_a_folder_that_fails_leaves_nothing(tmp_path):
    with suppress(RuntimeError), fresh_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_filled_and_a_full_one_may_not(tmp_path):
    (tmp_path / "out").mkdir()
    with fresh_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a")
    with pytest.raises(DataError, match="exists already"), fresh_folder(tmp_path / "out"):
        raise AssertionError


def test_a_refused_folder_leaves_no_parents_behind_and_a_kept_one_keeps_them(tmp_path):
    with pytest.raises(DataError), fresh_folder(tmp_path / "deep" / "er" / "model"):
        raise DataError("no")
    assert list(tmp_path.iterdir()) == []
    with fresh_folder(tmp_path / "deep" / "er" / "model") as folder:
        (folder / "x").write_text("kept")
    assert (tmp_path / "deep" / "er" / "model" / "x").read_text() == "kept"


def test_a_name_that_the_system_cannot_hold_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"cannot be written: File name too long\. Check space and rights"):
        fresh_folder(tmp_path / ("x" * 300)).__enter__()
