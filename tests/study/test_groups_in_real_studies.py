"""Studies on real sets with groups: patients of COVID-CT, lesions of HAM10000, asserted from the stored splits."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from augury import study
from augury.generators import Blend
from augury.policies import Ratio
from augury.splits import SplitPlan
from augury.study.engine import Progress, plan
from augury.study.executors import InProcess
from augury.study.store import open_store
from augury.study.study import Arm, DataSettings, NamedClassifier, NamedGenerator, Study
from tiny import TINY_CLASSIFIERS

SHARED = Path(__file__).parents[3] / "shared" / "data"
SETS = {
    "covid": (SHARED / "covid_ct_manifest.csv", {}, 16),
    "ham10000": (
        SHARED / "ham10000_200x150.zip",
        {"columns": (("path", "image_id"), ("label", "dx")), "group": "lesion_id"},
        16,
    ),
}
FOLDS, REPEATS = 5, 5


@pytest.fixture(scope="module", params=SETS)
def laid(request, tmp_path_factory):
    """Lay out a study in a store on disk, and make its splits."""
    source, how, side = SETS[request.param]
    if not source.exists():
        pytest.skip(f"{source.name} is not here")
    described = Study(
        data=DataSettings(source=str(source), size=(side, side), **how),
        split=SplitPlan(folds=FOLDS, repeats=REPEATS),
        generators=(NamedGenerator(name="blend", recipe=Blend()),),
        classifiers=(NamedClassifier(name="small_cnn", recipe=TINY_CLASSIFIERS["small_cnn"]),),
        arms=(Arm(name="real"), Arm(name="blend", generator="blend", amounts=(Ratio(r=0.1),))),
    )
    with open_store(tmp_path_factory.mktemp("store"), "cpu") as store:
        laid = study.lay_out(described, store)
        splits = list(dict.fromkeys(cell.fit.split for cell in laid.cells))
        InProcess().run(plan(splits, store), store, Progress())
        yield laid, [store.get(split) for split in splits]


def test_no_group_lies_in_two_parts_of_a_stored_split(laid):
    images, stored = laid[0].images, laid[1]
    assert images.groups_given
    groups = np.array(images.group_names)
    for split in stored:
        parts = {name: set(groups[list(split.part(name))]) for name in ("train", "val", "test")}
        assert all(not parts[a] & parts[b] for a, b in combinations(parts, 2))
        assert sum(len(split.part(name)) for name in parts) == len(images)


def test_near_duplicates_lie_in_one_part_of_a_stored_split(laid):
    images, stored = laid[0].images, laid[1]
    row_of = {name: row for row, name in enumerate(images.names)}
    twins = [[row_of[name] for name in names] for names in laid[0].cleaned.near]
    assert len(twins) > 5
    for split in stored:
        part_of = {row: name for name in ("train", "val", "test") for row in split.part(name)}
        assert all(len({part_of[row] for row in rows}) == 1 for rows in twins)


def test_every_class_is_in_every_part_of_every_fold(laid):
    images, stored = laid[0].images, laid[1]
    for split in stored:
        for name in ("train", "val", "test"):
            assert set(images.labels[list(split.part(name))].tolist()) == set(range(len(images.classes)))


def test_repeats_are_independent(laid):
    """Two independent cuts into 5 folds share 1 / (2 * 5 - 1) = .11 of a fold's images (Jaccard)."""
    tests = [set(split.part("test")) for split in laid[1]]
    repeats = [tests[repeat * FOLDS : (repeat + 1) * FOLDS] for repeat in range(REPEATS)]
    shared = [
        len(one[fold] & other[fold]) / len(one[fold] | other[fold])
        for one, other in combinations(repeats, 2)
        for fold in range(FOLDS)
    ]
    assert np.mean(shared) == pytest.approx(1 / (2 * FOLDS - 1), abs=0.03)
