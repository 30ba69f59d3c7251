import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from augury.augment import Augment
from augury.classifiers import SmallCNNClassifier
from augury.classifiers.features import FeatureMaker
from augury.generators import CVAE, Repeat
from augury.metrics.classification import METRICS
from augury.mixing import Synthetic
from augury.policies import Add, Level
from augury.readers import ReadSettings
from augury.splits import SplitPlan
from augury.study.classifier_steps import Features, FitClassifier, Predict, Tune
from augury.study.engine import Progress, plan, reachable
from augury.study.executors import FreshProcesses, InProcess
from augury.study.identity import digest
from augury.study.steps import DrawImages, FitGenerator, MakeSplit, ReadImages
from augury.study.store import FolderStore, MemoryStore, open_store
from toy_steps import (
    Crashes,
    DiesSaving,
    KeepsCheckpoint,
    KillsItself,
    OutOfMemoryScore,
    Refuses,
    SavesHalf,
    Toy,
)


class Workplace:
    """A store, an executor and a log of what was made."""

    def __init__(self, root: Path, *, in_memory: bool = False) -> None:
        self.log = root / "log.txt"
        self.broken = root / "broken"
        self.store = MemoryStore() if in_memory else FolderStore(root / "store")
        self.executor = InProcess()

    def toy(self, name, *terms, kind=Toy):
        return kind(name, terms, log=str(self.log))

    def run(self, *targets, progress=None):
        return self.executor.run(plan(targets, self.store), self.store, progress or Progress())

    def lines(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def made(self):
        return [line.split()[0] for line in self.lines()]


@pytest.fixture(params=["memory", "folder"])
def place(request, tmp_path):
    return Workplace(tmp_path, in_memory=request.param == "memory")


@pytest.fixture
def folder(tmp_path):
    return Workplace(tmp_path)


# ---- what is made


def test_a_step_that_two_others_need_is_made_once_and_before_them(place):
    shared = place.toy("shared")
    top = place.toy("top", place.toy("left", shared), place.toy("right", shared))
    ran = place.run(top)
    assert sorted(place.made()) == ["left", "right", "shared", "top"]
    assert (place.made()[0], place.made()[-1]) == ("shared", "top")
    assert place.store.get(top) == 5
    assert {step.name for step in ran.made} == {"left", "right", "shared", "top"}


def test_only_what_is_missing_is_made(place):
    first = place.toy("first")
    place.run(first)
    ran = place.run(place.toy("second", first))
    assert place.made() == ["first", "second"]
    assert [step.name for step in ran.made] == ["second"]
    assert place.run(place.toy("second", first)).made == ()


def test_inputs_of_a_finished_step_are_not_looked_at(folder):
    first = folder.toy("first")
    second = folder.toy("second", first)
    folder.run(second)
    shutil.rmtree(folder.store.root / "Toy" / first.key)
    assert plan([second], folder.store).steps == ()
    assert [step.name for step in plan([folder.toy("third", first, second)], folder.store).steps] == ["first", "third"]


def test_equal_steps_from_two_places_are_one(place):
    place.run(place.toy("same"), Toy("same", log=str(place.log)))
    assert place.made() == ["same"]


class Ear(Progress):
    def __init__(self):
        self.todo, self.heard, self.told = [], [], []

    def begin(self, todo):
        self.todo = [step.name for step in todo]

    def begun(self, step):
        self.told.append(("begun", step.name))

    def made(self, step, seconds):
        assert 0 < seconds < 60
        self.told.append(("made", step.name))

    def failed(self, step, reason):
        self.told.append(("failed", step.name, reason))

    def done(self, step):
        self.heard.append(step.name)


def test_progress_hears_of_every_missing_step_once(place):
    ear = Ear()
    place.run(place.toy("top", place.toy("bad", kind=Crashes)), place.toy("good"), progress=ear)
    assert sorted(ear.heard) == sorted(ear.todo) == ["bad", "good", "top"]


def test_progress_hears_how_every_step_that_was_begun_ended(place):
    ear = Ear()
    place.run(place.toy("top", place.toy("bad", kind=Crashes)), place.toy("good"), progress=ear)
    bad = ("failed", "bad", "IndexError: list index out of range")
    assert ear.told == [("begun", "bad"), bad, ("begun", "good"), ("made", "good")]


def test_a_step_is_reached_once_however_many_lead_to_it():
    shared = Toy("shared")
    top = Toy("top", (Toy("left", (shared,)), Toy("right", (Toy("shared"),))))
    assert sorted(step.name for step in reachable([top, shared]).values()) == ["left", "right", "shared", "top"]


def test_a_step_runs_with_the_threads_of_the_study_and_leaves_them_as_they_were(folder):
    class Counts(Toy):
        def number(self, work):
            return torch.get_num_threads()

    before = torch.get_num_threads()
    folder.executor = InProcess(threads=before + 1)
    step = folder.toy("threads", kind=Counts)
    folder.run(step)
    assert folder.store.get(step) == before + 1
    assert torch.get_num_threads() == before


# ---- failures


def test_a_failure_blocks_what_depends_on_it_and_nothing_else(place):
    bad = place.toy("bad", kind=Crashes)
    above, top = place.toy("above", bad), place.toy("top", place.toy("above", bad))
    good = place.toy("good")
    ran = place.run(top, good)
    assert [(f.step.name, f.reason) for f in ran.failures] == [("bad", "IndexError: list index out of range")]
    assert [ran.missing(step) for step in (bad, above, top, good)] == [True, True, True, False]
    assert not any(place.store.has(step) for step in (bad, above, top))
    assert sorted(place.made()) == ["bad", "good"]


def test_a_failure_is_not_kept_and_tried_again_next_time(place):
    place.broken.touch()
    top = place.toy("top", place.toy("fickle", kind=Refuses))
    assert [f.reason for f in place.run(top).failures] == ["fickle does not work today."]
    place.broken.unlink()
    assert place.run(top).failures == ()
    assert place.made() == ["fickle", "fickle", "top"]


# ---- fresh processes: one run, looked at from several sides


@pytest.fixture(scope="module")
def shift(tmp_path_factory):
    """Four steps that work, one that crashes, two that are killed, and one that waits for a killed one."""
    place = Workplace(tmp_path_factory.mktemp("shift"))
    place.executor, place.ear = FreshProcesses(jobs=2), Ear()
    place.shared, place.dead = place.toy("shared"), place.toy("dead", kind=KillsItself)
    place.good = [place.shared, *(place.toy(f"good{i}", place.shared) for i in range(3))]
    place.half, place.crash = place.toy("half", kind=DiesSaving), place.toy("crash", kind=Crashes)
    place.waits = place.toy("waits", place.shared, place.dead)
    place.ran = place.run(place.waits, *place.good, place.crash, place.half, progress=place.ear)
    return place


def test_processes_make_everything_once_elsewhere_and_inputs_first(shift):
    names = ["crash", "dead", "good0", "good1", "good2", "half", "shared"]
    assert sorted(shift.made()) == names
    assert all(shift.made().index("shared") < shift.made().index(f"good{i}") for i in range(3))
    assert str(os.getpid()) not in {line.split()[1] for line in shift.lines()}
    assert sorted(shift.ear.heard) == sorted(shift.ear.todo) == [*names, "waits"]
    assert sorted(name for event, name, *_ in shift.ear.told if event == "begun") == names
    assert sorted(name for event, name, *_ in shift.ear.told if event == "made") == names[2:5] + names[6:]
    assert shift.store.get(shift.good[1]) == 2


def test_a_step_whose_process_is_killed_fails_alone_with_the_reason(shift):
    reasons = {failure.step.name: failure.reason for failure in shift.ran.failures}
    killed = "ended without a result (killed, as a system does when memory runs out)."
    assert reasons == {
        "dead": f"the process of the step 'KillsItself' {killed}",
        "half": f"the process of the step 'DiesSaving' {killed}",
        "crash": "IndexError: list index out of range",
    }
    assert all(shift.store.has(step) for step in shift.good)
    assert shift.ran.blocked == {shift.waits.key}


def test_what_a_killed_process_left_half_written_is_no_result_and_is_swept(shift):
    assert not shift.store.has(shift.half)
    assert len(list((shift.store.root / "partial").glob(f"{shift.half.key}.*"))) == 1
    with open_store(shift.store.root, "cpu"):
        assert list((shift.store.root / "partial").iterdir()) == []


def test_processes_find_what_an_earlier_run_made(shift):
    before = shift.made()
    again = shift.run(*shift.good)
    assert again.made == ()
    assert shift.made() == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a score")
def test_the_system_ends_a_process_that_makes_steps_before_the_one_that_runs_the_study(folder):
    folder.executor = FreshProcesses(jobs=1)
    step = folder.toy("score", kind=OutOfMemoryScore)
    folder.run(step)
    assert folder.store.get(step) == max(500, int(Path("/proc/self/oom_score_adj").read_text()))


# ---- stores


def test_a_save_that_fails_half_way_leaves_nothing_under_the_final_name(folder):
    half = folder.toy("half", kind=SavesHalf)
    ran = folder.run(half, folder.toy("good"))
    assert [f.reason for f in ran.failures] == ["OSError: no space left on device"]
    assert not folder.store.has(half)
    assert not (folder.store.root / "SavesHalf").exists()


def test_a_checkpoint_stays_until_its_step_is_done(folder):
    folder.run(folder.toy("first"))
    kept = folder.toy("kept", kind=KeepsCheckpoint)
    partial = folder.store.partial(kept)
    partial.mkdir(parents=True)
    with open_store(folder.store.root, "cpu"):
        assert partial.is_dir()
    partial.rmdir()
    folder.run(kept)
    assert folder.store.has(kept)
    assert not partial.exists()


# ---- identity


class Pair(NamedTuple):
    a: int


class HasKey:
    key = "auroc"


@pytest.mark.parametrize(
    "value",
    [Path("a"), torch.tensor(1), np.int64(1), np.float64(1), np.bool_(1), [1], {"a": 1}, {1}, b"a", Pair(1), (1, [2])],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_lasting_identity_is_refused(value):
    with pytest.raises(TypeError, match="identity is made of"):
        digest(value)


@pytest.mark.parametrize("value", [HasKey(), METRICS["auroc"]], ids=["object", "metric"])
def test_a_value_that_merely_has_a_key_is_no_step(value):
    with pytest.raises(TypeError, match="identity is made of"):
        digest(value)


LOOK_ALIKES = [
    *(1, 1.0, True, "1", None, "None", "", (), (1,), ((1,),), 0.1, 0.1 + 1e-17 * 2, -0.0, 0.0),
    *(("a_b", "c"), ("a", "b_c"), ("a", ("b_c",)), ("ab", "c"), "a_b_c", '["a","b"]', ("a", "b")),
    *(Add(n=1), Level(n=1), Add(n=2), Repeat(), ("recipe", "repeat", 1)),
]


def test_values_that_look_alike_have_different_digests():
    distinct = {(type(value), repr(value)) for value in LOOK_ALIKES}
    assert len({digest(value) for value in LOOK_ALIKES}) == len(distinct)


def test_a_recipe_s_version_is_part_of_its_digest(monkeypatch):
    before = digest(Repeat())
    monkeypatch.setattr(Repeat, "version", 2)
    assert digest(Repeat()) != before


def test_where_something_lies_is_no_part_of_the_key():
    here, there = Toy("a", log="here"), Toy("a", log="there")
    assert here.key == there.key
    assert here == there
    assert Toy("b", log="here").key != here.key


def test_kind_version_and_inputs_are_part_of_the_key():
    class Other(Toy):
        pass

    class Newer(Toy):
        version = 2

    Newer.__name__ = "Toy"
    steps = [
        Toy("a"),
        Other("a"),
        Newer("a"),
        Toy("a", (Toy("b"),)),
        Toy("a", (Toy("c"),)),
        Toy("a", (Toy("b", (Toy("c"),)),)),
    ]
    assert len({step.key for step in steps}) == len(steps)


READ = ReadImages("0" * 64, ReadSettings(), near="join", conflicts="set_aside", given_split=False, as_is=False)
PLAN = SplitPlan(plan="folds", folds=5, repeats=2, inner_share=0.25, inner_folds=1, per_class=30, keep=(("a", 9),))
SPLIT = MakeSplit(READ, PLAN, seed=0, index=3)
RECIPE = CVAE(hidden=(8,), latent=2, steps=10, batch=4, rate=0.001, beta=1.0, likelihood="bernoulli")
FIT = FitGenerator(SPLIT, RECIPE, seed=1)
PEEPING = FitGenerator(SPLIT, RECIPE, seed=1, sees_test=True)
CHUNK = DrawImages(FIT, label=1, chunk=0)
NETWORK = {"steps": 10, "batch": 4, "width": 2, "rate": 0.001, "weight_decay": 0.05, "dropout": 0.2, "average": 0.98}
MIXING = {"sampling": "balanced", "synthetic": Synthetic(max_share=0.5)}
CLASSIFIER = SmallCNNClassifier(**NETWORK, **MIXING, augment=Augment(shift=0.1, share=0.5))
TRAINED = FitClassifier(SPLIT, CLASSIFIER, seed=2, pool=(CHUNK,), counts=(0, 7))
FEATURES = Features(READ, FeatureMaker(network="vgg16", weights="imagenet", augment=Augment(shift=0.1), views=2))
TRIALS = tuple(Predict(dataclasses.replace(TRAINED, classifier=CLASSIFIER.replace(rate=r)), "val") for r in (0.1, 0.2))
TUNE = Tune(SPLIT, ((("rate", 0.1),), (("rate", 0.2),)), even=False, trials=TRIALS)
GOLDEN = {
    "read": (READ, "f53325ab3c617f14f13d3c2765317709816b40b53c9bf588ac0884d45d6ab8e6"),
    "split": (SPLIT, "c21796de2e8cc5a569cc5f62cac908cb641befcac2f6affb5c2b4bbd89df8ece"),
    "generator": (FIT, "38436f0a235ad25b5dc88d82a61f762a400c8a5c1cdb8c6b21b200472bd7d414"),
    "peeping generator": (
        dataclasses.replace(FIT, sees_test=True),
        "423984e3035028790fabfcf3d6fbc1922fc18399b3f50f2bcbdbb996d7a0a891",
    ),
    "chunk": (CHUNK, "70a2ef203fb31e1a0eb058f28805bab066a12aced0b78663609b8da7cce24cc6"),
    "classifier": (TRAINED, "74e9dded76d933d7ff3dc93440134afda5bb0a25e2016511364523d9e7fc050d"),
    "prediction": (Predict(TRAINED, "test"), "0bc72bfae61d15861a5a6805873bf3e8e5831f003c08a0af4e4db4495904b8d9"),
    "features": (FEATURES, "b0cafef89598651f6cbdbc24ce2958e89ebadf63a2b690995725779c178f3a29"),
    "tuning": (TUNE, "37d21a05cf4831db4b808738e2c9fa36cdc836b725c0c5a7a82b3f64ce41857d"),
    "tuned classifier": (
        dataclasses.replace(TRAINED, tuned=TUNE, features=(FEATURES,)),
        "7ab22196c0bba8205b499d5a8b9af4d7b36cfd5ed7ddc343db27973d62d7522e",
    ),
}


@pytest.mark.parametrize(("step", "key"), GOLDEN.values(), ids=GOLDEN.keys())
def test_keys_are_what_they_were(step, key):
    # Another key means that stored results are not found again. Meant so? Then write the new key here. If results
    # changed and the key did not: bump `version` of the step or the recipe.
    assert step.key == key


@pytest.mark.parametrize(
    "step", [READ, SPLIT, FIT, CHUNK, TRAINED, FEATURES, TUNE], ids=lambda step: type(step).__name__
)
def test_every_field_that_is_not_a_place_changes_the_key(step):
    changed = {str: "x", int: 99, bool: True, tuple: (5,)}
    for field in dataclasses.fields(step):
        if field.metadata.get("identity", True) and type(getattr(step, field.name)) in changed:
            other = dataclasses.replace(step, **{field.name: changed[type(getattr(step, field.name))]})
            assert other.key != step.key, field.name


UNGUARDED = """
import sys
from pathlib import Path

import augury

try:
    augury.study.run(augury.study.toy(), Path(sys.argv[1]), jobs=2)
except augury.AuguryError as error:
    print(error)
    raise SystemExit(1)
"""


def test_a_script_that_every_process_would_run_again_is_told_what_to_write(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED, encoding="utf-8")
    command = [sys.executable, str(script), str(tmp_path / "store")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert 'stands under `if __name__ == "__main__":`' in said.stdout
