import json
import shutil

import pytest

from augury import study
from augury.errors import DataError
from augury.policies import Ratio
from augury.study.cleaning import leftovers, needed_by, remove
from augury.study.engine import reachable
from augury.study.layout import lay_out
from augury.study.store import FolderStore, MemoryStore
from augury.study.study_file import dump_study

TOY = study.toy()
LARGER = TOY.replace(arms=(*TOY.arms, study.Arm(name="more", generator="cvae", amounts=(Ratio(r=9.0),))))
OTHER = TOY.replace(seed=7)


def keys(*studies):
    """Return the keys of all steps of some studies."""
    return {key for each in studies for key in steps(each)}


def steps(each):
    return reachable(lay_out(each, MemoryStore()).targets())


@pytest.fixture
def place(tmp_path):
    """Return a folder with a store in which the steps of two studies lie, and a checkpoint and a half of each."""
    store = FolderStore(tmp_path / "store")
    lay_out(LARGER, store)
    for each in (LARGER, OTHER):
        for step in steps(each).values():
            (store.root / type(step).__name__ / step.key).mkdir(parents=True, exist_ok=True)
            (store.root / "partial" / step.key).mkdir(parents=True, exist_ok=True)
    (store.root / "partial" / f"{'0' * 64}.123").mkdir()
    return tmp_path


def keep(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else dump_study(text))
    return path


def held(root):
    """Return the keys of the results and of the checkpoints in a store."""
    return {path.name for path in root.glob("[A-Z]*/*")}, {path.name for path in root.glob("partial/*")}


@pytest.mark.parametrize("stays", [(TOY,), (LARGER,), (OTHER,), (TOY, OTHER)])
def test_what_the_study_files_need_stays_and_the_rest_goes(place, stays):
    for i, each in enumerate(stays):
        keep(place, f"a/{i}/study.toml" if i else "study.toml", each)
    needed = needed_by(place, place / "store")
    assert needed.keys == keys(*stays)
    store = FolderStore(place / "store")
    remove(store, leftovers(store, needed.keys))
    assert held(store.root) == (needed.keys, needed.keys)


def test_what_goes_is_told_beforehand(place):
    keep(place, "study.toml", LARGER)
    gone = leftovers(FolderStore(place / "store"), needed_by(place, place / "store").keys)
    names = {leftover.folder.name for leftover in gone if leftover.finished}
    assert names == keys(OTHER) - keys(LARGER)
    assert {leftover.folder.name for leftover in gone if not leftover.finished} == names | {f"{'0' * 64}.123"}
    assert sum(leftover.size for leftover in gone) == 0
    (gone[0].folder / "file").write_bytes(bytes(1000))
    assert sum(leftover.size for leftover in leftovers(FolderStore(place / "store"), frozenset(keys(LARGER)))) == 1000


def test_images_that_are_not_in_the_store_are_read_and_not_kept(place):
    keep(place, "study.toml", OTHER)
    shutil.rmtree(place / "store" / "ReadImages")
    assert needed_by(place, place / "store").keys == keys(OTHER)
    assert not (place / "store" / "ReadImages").exists()


BROKEN = {
    "not TOML": ("= 3", "is not a TOML file"),
    "unknown setting": ("[data]\nsource = 'digits'\nsise = 8", "'sise'"),
    "a table is lost": ("arms = [{ name = 'real' }]", "data"),
    "no data": (TOY.replace(data=TOY.data.replace(source="/gone/away.npz")), "no images at '/gone/away.npz'"),
    "plug-in": (
        dump_study(TOY).replace('kind = "cvae"', 'kind = "law:Oracle"'),
        "runs only with --allow-plugins",
    ),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_study_file_that_cannot_be_understood_stops_it_and_is_named(place, text, reason):
    keep(place, "a.toml", TOY)
    broken = keep(place, "b/Broken.TOML", text)
    with pytest.raises(DataError, match=r"Nothing was removed: mend the file, or move it away\.$") as stopped:
        needed_by(place, place / "store")
    assert str(stopped.value).startswith(f"{broken}: ")
    assert reason in str(stopped.value)


def test_toml_files_that_are_no_studies_are_named_and_those_in_the_store_not_looked_at(place):
    keep(place, "study.toml", TOY)
    other = keep(place, "pyproject.toml", "[project]\nname = 'x'")
    keep(place, "store/study.toml", "= 3")
    needed = needed_by(place, place / "store")
    assert (needed.others, needed.studies) == ((other,), (place / "study.toml",))


@pytest.mark.parametrize("found", ["nothing", "no study"])
def test_without_a_study_file_nothing_says_what_is_needed(place, found):
    if found == "no study":
        keep(place, "pyproject.toml", "[project]\nname = 'x'")
    with pytest.raises(DataError, match=r"a study file was expected in .*: nothing was removed"):
        needed_by(place, place / "store")


def test_a_folder_that_is_not_there_stops_it(place):
    with pytest.raises(DataError, match=r"cannot be looked through: No such file"):
        needed_by(place / "nowhere", place / "store")


def test_study_files_behind_links_count_and_circles_end(place, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    keep(elsewhere, "study.toml", OTHER)
    (elsewhere / "back").symlink_to(place)
    (place / "link").symlink_to(elsewhere)
    assert needed_by(place, place / "store").keys == keys(OTHER)


def test_what_is_no_result_stays(place):
    keep(place, "study.toml", TOY)
    for mine in ("notes", "Toy/mine", "journal.jsonl.d/1"):
        (place / "store" / mine).mkdir(parents=True)
    (place / "store" / "journal.jsonl").write_text(json.dumps({"event": "opened"}))
    store = FolderStore(place / "store")
    remove(store, leftovers(store, needed_by(place, store.root).keys))
    assert all((place / "store" / mine).is_dir() for mine in ("notes", "Toy/mine", "journal.jsonl.d/1"))
    assert (place / "store" / "journal.jsonl").exists()
    assert (place / "store" / "FORMAT").exists()


def test_a_removal_that_is_stopped_leaves_no_half_of_a_result(place, monkeypatch):
    keep(place, "study.toml", TOY)
    store = FolderStore(place / "store")
    gone = leftovers(store, needed_by(place, store.root).keys)
    calls = []

    def stop(*_, **__):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", stop)
    with pytest.raises(KeyboardInterrupt):
        remove(store, gone)
    monkeypatch.undo()
    store.sweep()
    results = held(store.root)[0]
    assert keys(TOY) < results < keys(LARGER, OTHER)
    remove(store, leftovers(store, needed_by(place, store.root).keys))
    assert held(store.root)[0] == keys(TOY)
