import csv
import io
import re
import shutil
from collections import Counter

import numpy as np
import pytest

from augury import study
from augury.classifiers.base import GENERATOR_SEES_TEST
from augury.generators import Repeat
from augury.policies import Balance, Ratio
from augury.splits import SplitPlan
from augury.study.classifier_steps import Predict
from augury.study.engine import StoreWork
from augury.study.grid import twin_name
from augury.study.steps import DrawImages, FitGenerator, MakeSplit, ReadImages
from augury.study.store import FolderStore, MemoryStore
from augury.study.study import PICKED, NamedClassifier
from augury.study.table import COUNT_COLUMNS, FIRST_COLUMNS, results_csv
from augury.verdict import Kind
from law import (
    BALANCED,
    REAL,
    Broken,
    Discriminant,
    Law,
    Noise,
    Oracle,
    SecondRepeat,
    arm,
    draw_images,
    toy_study,
    write,
)

TINY = SplitPlan(folds=3, repeats=1)
FLAWS = (GENERATOR_SEES_TEST, "groups_ignored", "given_split_as_is")


@pytest.fixture
def source(tmp_path):
    return write(draw_images(30, seed=0), tmp_path / "images.npz")


def laid(plan, store=None):
    return study.lay_out(plan, store or MemoryStore())


def by_place(plan):
    """Return the cells of a study by classifier, arm and split."""
    return {(c.classifier, c.arm.name, c.split.repeat, c.split.fold, c.split.inner): c for c in laid(plan).cells}


def kinds(steps):
    return Counter(type(step).__name__ for step in steps)


# ---- keys


def test_all_keys_are_known_before_anything_runs(source):
    plan = toy_study(source, [Oracle()], [arm("oracle", 1)], split=TINY)
    before = laid(plan)
    assert before.store.values.keys() == {before.read.key}
    planned = {step.key for step in before.plan().steps}
    finished = study.run(plan)
    assert {step.key for step in finished.ran.made} == planned
    assert finished.laid.store.values.keys() == planned | {before.read.key}


def test_all_cells_of_a_block_share_one_seed_and_other_blocks_have_others(source):
    plan = toy_study(source, [Oracle(), Repeat()], [BALANCED, arm("oracle", 1, 2), arm("repeat", 1)])
    seeds = {}
    for cell in laid(plan).cells:
        seeds.setdefault((cell.split.repeat, cell.split.fold), set()).add(cell.fit.seed)
    assert len(seeds) == 10
    assert all(len(shared) == 1 for shared in seeds.values())
    assert len({seed for shared in seeds.values() for seed in shared}) == 10


def test_a_new_arm_dose_or_generator_changes_no_other_cell(source):
    small = by_place(toy_study(source, [Oracle()], [arm("oracle", 1)], split=TINY))
    arms = [arm("noise", 1), BALANCED, arm("oracle", 0.5, 1, 2), arm("oracle", 1, name="both", sampling="balanced")]
    large = by_place(toy_study(source, [Noise(), Oracle()], arms, split=TINY))
    assert small.keys() < large.keys()
    assert all(large[place].predictions == cell.predictions for place, cell in small.items())
    assert all(large[place].fit.key == cell.fit.key for place, cell in small.items())


def test_another_seed_changes_every_key(source):
    one, other = (by_place(toy_study(source, [Oracle()], [arm("oracle", 1)], split=TINY, seed=s)) for s in (0, 1))
    assert not {cell.fit.key for cell in one.values()} & {cell.fit.key for cell in other.values()}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_declared_flaw_changes_the_keys_of_what_it_touches(source, flaw):
    plans = [toy_study(source, [Oracle()], [arm("oracle", 1)], split=TINY, flaws=flaws) for flaws in ((), (flaw,))]
    one, other = (laid(plan).plan().steps for plan in plans)
    touched = {GENERATOR_SEES_TEST: FitGenerator, "groups_ignored": MakeSplit, "given_split_as_is": MakeSplit}[flaw]
    keys = [{step.key for step in steps if isinstance(step, touched | Predict)} for steps in (one, other)]
    assert not keys[0] & keys[1]


def test_an_arm_picked_on_the_test_part_is_the_best_there_in_every_split(source):
    arms = [arm("oracle", 1), arm("oracle", 4, name="oracle, more"), arm("noise", 1)]
    honest, picked = (
        study.run(toy_study(source, [Oracle(), Noise()], arms, split=TINY, flaws=flaws)) for flaws in ((), (PICKED,))
    )
    blocks = [finished.block("discriminant") for finished in (honest, picked)]
    generated = [row.name for row in blocks[1].rivals if row.uses_generated]
    scores = {name: blocks[1].scores(name) for name in generated}
    assert blocks[1].of_choice(blocks[1].using) == {
        unit: max(scores[name][unit] for name in generated) for unit in blocks[1].using
    }
    assert blocks[1].using != blocks[0].using
    assert blocks[1].without == blocks[0].without
    assert picked.outcome.verdict.kind is Kind.WITHHELD
    assert "chosen on the test part (declared)" in " ".join(picked.outcome.verdict.details)


# ---- what is made, and what is not made again


def test_a_second_run_makes_nothing_and_comes_to_the_same_end(source, tmp_path):
    plan = toy_study(source, [Oracle()], [arm("oracle", 1)], split=TINY)
    first, second = (study.run(plan, tmp_path / "store") for _ in range(2))
    assert first.ran.made
    assert second.ran.made == ()
    assert results_csv(first.outcome) == results_csv(second.outcome)
    assert results_csv(study.collect(plan, tmp_path / "store").outcome) == results_csv(first.outcome)


def test_a_larger_dose_makes_its_new_chunks_and_its_own_cells_only(source, tmp_path):
    study.run(toy_study(source, [Oracle()], [arm("oracle", 2)], split=TINY), tmp_path / "store")
    grown = study.run(toy_study(source, [Oracle()], [arm("oracle", 2, 4)], split=TINY), tmp_path / "store")
    assert kinds(grown.ran.made) == {"DrawImages": 6, "FitClassifier": 3, "Predict": 6}
    assert {step.chunk for step in grown.ran.made if isinstance(step, DrawImages)} == {1}


@pytest.mark.parametrize("split", [TINY, SplitPlan(folds=3, repeats=1, inner_folds=2)])
def test_more_repeats_make_their_own_cells_only(source, tmp_path, split):
    plan = toy_study(source, [Oracle()], [arm("oracle", 2)], split=split)
    first = study.run(plan, tmp_path / "store")
    grown = study.run(plan.replace(split=split.replace(repeats=2)), tmp_path / "store")
    made, before = kinds(grown.ran.made), kinds(first.ran.made)
    assert made["MakeSplit"] == before["MakeSplit"] == 3 * split.inner_folds
    assert made["FitGenerator"] == before["FitGenerator"]
    assert made["AuditCopying"] == made["ReadImages"] == 0  # only the first repeat is audited, and images are read once
    splits = [cell.split for cell in grown.laid.cells if cell.arm.name == "real"]
    whole = plan.replace(split=split.replace(repeats=2)).split.cut(grown.laid.images, plan.seed)
    assert tuple(splits) == whole
    stored = [grown.laid.store.get(cell.fit.split).part("test") for cell in grown.laid.cells if cell.arm.name == "real"]
    assert stored == [split.test for split in whole]


def test_moving_the_images_reruns_nothing(source, tmp_path):
    study.run(toy_study(source, [Oracle()], [arm("oracle", 1)], split=TINY), tmp_path / "store")
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(source, tmp_path / "elsewhere" / "renamed.npz")
    again = study.run(toy_study(str(moved), [Oracle()], [arm("oracle", 1)], split=TINY), tmp_path / "store")
    assert again.ran.made == ()


def test_a_generator_is_fitted_without_the_other_parts_on_disk(source, tmp_path):
    plan = toy_study(source, [SecondRepeat()], [arm("second_repeat", 1)], split=TINY)
    store = FolderStore(tmp_path / "store")
    fit = laid(plan, store).cells[-1].fit.pool[0].fit
    work = StoreWork(store, "cpu")
    store.put(fit.split, fit.split.make(work))
    for part in ("val", "test", "rest"):
        (store.root / "MakeSplit" / fit.split.key / f"{part}.npy").unlink()
    train = laid(plan).cells[-1].split.train
    assert fit.make(work).card.seen == {work.get(fit.split.images).cleaned.images.digests[i] for i in train}


def test_two_processes_write_the_same_bytes_as_one(source, tmp_path):
    plan = toy_study(source, [Oracle()], [BALANCED, arm("oracle", 1)], split=TINY)
    for jobs in (1, 2):
        study.run(plan, tmp_path / f"store{jobs}", jobs=jobs).save(tmp_path / f"out{jobs}")
    for name in ("results.csv", "scores.csv"):
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out2" / name).read_bytes()


# ---- equal budgets and the copycat's twin


def test_every_arm_of_a_block_takes_the_same_steps_of_the_same_size(source):
    finished = study.run(toy_study(source, [Oracle()], [BALANCED, arm("oracle", 1, 3)], split=TINY))
    exposures = [finished.laid.store.get(cell.fit).trained.exposure for cell in finished.laid.cells]
    assert {(exposure.steps, exposure.batch) for exposure in exposures} == {(4, 128)}
    for row in finished.outcome.arms:
        assert (row.steps, row.batch) == (4, 128)
        assert row.real_exposures == pytest.approx(4 * 128 / (1 + row.dose), abs=1)


def test_a_copycat_has_a_twin_that_shows_each_class_as_often(tmp_path):
    source = write(draw_images((40, 20), seed=0), tmp_path / "images.npz")
    doses = (Ratio(r=1.0), Balance(), Ratio(r=1.0, per_class=(("b", 60),)))
    copies = arm("repeat", *doses)
    cells = [c for c in laid(toy_study(source, [Repeat()], [BALANCED, copies], split=TINY)).cells if not c.split.fold]
    fits = {cell.arm.name: cell.fit for cell in cells}
    twins = {cell.arm.name: fits[twin_name(cell.arm)] for cell in cells if cell.arm.copies}
    assert twins["repeat · ratio 1"] == fits["real"]
    assert twins["repeat · balance"] == fits["balanced"]
    assert twins["repeat · ratio 1, 60 of b"].classifier.sampling == pytest.approx((40 / 110, 70 / 110), abs=1e-6)


def test_twins_take_no_part_in_the_choice_nor_in_the_table(tmp_path):
    source = write(draw_images((40, 20), seed=0), tmp_path / "images.npz")
    arms = [BALANCED, arm("repeat", Balance()), arm("oracle", 1)]
    outcome = study.run(toy_study(source, [Repeat(), Oracle()], arms, split=TINY)).outcome
    assert [row.arm for row in outcome.arms] == ["real", "balanced", "repeat · balance", "oracle · ratio 1"]
    assert outcome.contrasts[0].without.keys() <= {"real", "balanced", "repeat · balance"}
    assert outcome.contrasts[0].using == {"oracle · ratio 1": 3}


# ---- the table


def test_results_have_one_row_per_arm_named_columns_and_six_decimals(source):
    text = results_csv(study.run(toy_study(source, [Oracle()], [BALANCED, arm("oracle", 1, 2)], split=TINY)).outcome)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["arm"] for row in rows] == ["real", "balanced", "oracle · ratio 1", "oracle · ratio 2"]
    assert list(rows[0])[: len(FIRST_COLUMNS + COUNT_COLUMNS)] == [*FIRST_COLUMNS, *COUNT_COLUMNS]
    assert {"auroc", "difference", "difference_low", "difference_high", "p_value", "p_holm", "chosen"} < rows[0].keys()
    assert all(re.fullmatch(r"-?\d+\.\d{6}", row[name]) for row in rows for name in ("auroc", "log_loss", "dose"))
    assert (rows[0]["difference"], rows[0]["uses_generated"], rows[3]["uses_generated"]) == ("", "0", "1")
    assert "seconds" not in text


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-2", "@sum", "\tx"])
def test_names_are_no_formulas_in_the_tables(source, name, tmp_path):
    named = (NamedClassifier(name=name, recipe=Discriminant()),)
    plan = toy_study(source, [Oracle()], [arm("oracle", 1, name=name)], split=TINY, classifiers=named)
    study.run(plan).save(tmp_path)
    for table in ("results.csv", "scores.csv"):
        row = list(csv.reader(io.StringIO((tmp_path / table).read_text(encoding="utf-8"))))[-1]
        assert row[0] == f"'{name}"
        assert row[1].startswith(f"'{name}")


# ---- other plans


def test_a_scarce_subset_is_scored_a_second_time_on_what_it_left_out(source):
    scarce = SplitPlan(folds=3, repeats=1, per_class=20)
    outcome = study.run(toy_study(source, [Oracle()], [arm("oracle", 2)], split=scarce)).outcome
    external = outcome.contrasts[0].external
    assert outcome.data.used == 40
    assert external.low <= external.mean <= external.high
    assert external.mean == pytest.approx(outcome.arms[1].external - outcome.arms[0].external, abs=1e-9)
    whole = study.run(toy_study(source, [Oracle()], [arm("oracle", 2)], split=TINY)).outcome
    assert (whole.contrasts[0].external, whole.arms[0].external) == (None, None)


def given_parts(path, n_per_class, tests, shared=0):
    """Write a file with a train and a test part; the first `shared` pictures stand in both."""
    images = draw_images(n_per_class, seed=0)
    pixels, labels = images.images[:, 0].numpy(), images.labels.numpy()
    parts = {"train": slice(0, tests), "test": slice(tests - shared, None)}
    arrays = {f"{part}_{name}": values[rows] for part, rows in parts.items() for name, values in
              (("images", pixels), ("labels", labels))}  # fmt: skip
    np.savez(path, **arrays)
    return str(path)


def test_a_given_test_part_supports_no_more_than_a_suggestion_about_itself(tmp_path):
    source = given_parts(tmp_path / "images.npz", 150, tests=100)
    plan = toy_study(source, [Oracle()], [arm("oracle", 5)], split=SplitPlan(plan="given", repeats=3))
    outcome = study.run(plan).outcome
    assert outcome.contrasts[0].bootstrap.right > 0.95  # folds would call it HELPS
    assert outcome.verdict.kind is Kind.SUGGESTIVE
    assert outcome.verdict.sentence.endswith("on this test set.")
    assert outcome.contrasts[0].interval is None


def test_duplicates_across_given_parts_can_be_left_in_only_as_a_declared_flaw(tmp_path):
    source = given_parts(tmp_path / "images.npz", 40, tests=50, shared=5)
    plan = toy_study(source, [Oracle()], [arm("oracle", 1)], split=SplitPlan(plan="given", repeats=2))
    outcome = study.run(plan).outcome
    assert (len(outcome.data.dropped), outcome.cells_failed) == (5, 0)
    flawed = study.run(plan.replace(flaws=("given_split_as_is",))).outcome
    assert (len(flawed.data.dropped), flawed.cells_failed) == (0, 0)
    assert flawed.verdict.kind is Kind.WITHHELD
    assert flawed.gates[1].passed is None


def test_three_inner_folds_choose_on_all_of_the_training_part(source):
    plan = toy_study(source, [Oracle()], [arm("oracle", 1)], split=SplitPlan(folds=3, repeats=1, inner_folds=3))
    finished = study.run(plan)
    assert len(finished.laid.cells) == 3 * 3 * 2
    assert len(finished.outcome.contrasts[0].differences) == 3
    first = [cell.split for cell in finished.laid.cells if (cell.arm.name, cell.split.fold) == ("real", 0)]
    assert len({split.test for split in first}) == 1
    assert sorted(i for split in first for i in split.val) == sorted({*first[0].train, *first[0].val})
    seeds = {cell.fit.seed for cell in finished.laid.cells if cell.split.fold == 0}
    assert len(seeds) == 3


def test_fewer_than_10_groups_end_in_an_estimate(tmp_path):
    images = draw_images(45, seed=0)
    for groups, kind in ((9, True), (10, False)):
        names = [f"patient {label} {i % groups}" for i, label in enumerate(images.labels.tolist())]
        source = write(images, tmp_path / f"{groups}.npz", groups=names)
        outcome = study.run(toy_study(source, [Noise()], [arm("noise", 1)], split=TINY)).outcome
        assert (outcome.verdict.kind is Kind.EXPLORATORY) is kind
        assert ("9 independent groups" in " ".join(outcome.verdict.details)) is kind


def test_groups_stay_whole_unless_the_flaw_is_declared_and_scores_follow_the_cut(tmp_path):
    images = draw_images(45, seed=0, law=Law(signal=20.0, shared=0.1))  # told apart without a mistake
    names = [f"patient {label} {i % 12}" for i, label in enumerate(images.labels.tolist())]
    source = write(images, tmp_path / "images.npz", groups=names)
    plan = toy_study(source, [SecondRepeat()], [arm("second_repeat", 1)], split=TINY)
    for flaws in ((), ("groups_ignored",)):
        finished = study.run(plan.replace(flaws=flaws))
        split = finished.laid.cells[0].split
        assert ({names[i] for i in split.train} & {names[i] for i in split.test} != set()) is bool(flaws)
        assert finished.outcome.arms[0].scores["auroc"] == 1.0  # labels and predictions are of the same images
        assert (finished.outcome.verdict.kind is Kind.WITHHELD) is bool(flaws)


def test_a_study_of_three_classes_is_decided_by_balanced_accuracy(tmp_path):
    source = write(draw_images(20, seed=0, law=Law(classes=3)), tmp_path / "images.npz")
    outcome = study.run(toy_study(source, [Oracle(law=Law(classes=3))], [arm("oracle", 1)], split=TINY)).outcome
    assert outcome.metric == "balanced_accuracy"
    assert np.asarray(outcome.arms[0].confusion).sum() == 60


# ---- failures


def test_a_generator_that_fails_is_listed_and_the_others_are_scored(source):
    arms = [arm("broken", 1, 2), arm("oracle", 1)]
    outcome = study.run(toy_study(source, [Broken(), Oracle()], arms, split=TINY)).outcome
    (failure,) = outcome.failures
    assert (failure.step, failure.reason, failure.cells) == ("fit broken", "this generator is broken.", 6)
    assert (outcome.cells_failed, outcome.cells) == (6, 12)
    splits = {row.arm: (row.splits, row.failed) for row in outcome.arms}
    assert splits["broken · ratio 2"] == (0, 3)
    assert splits["oracle · ratio 1"] == splits["real"] == (3, 0)
    assert outcome.verdict.kind is Kind.EXPLORATORY
    assert "6 of 12 cells have no result" in " ".join(outcome.verdict.details)
    assert REAL.name in results_csv(outcome)


def test_images_are_read_once_and_named_by_their_content(source, tmp_path):
    plan = toy_study(source, [Oracle()], [arm("oracle", 1)], split=TINY)
    store = FolderStore(tmp_path / "store")
    first, second = laid(plan, store), laid(plan, store)
    assert first.read == second.read
    assert len(list((store.root / ReadImages.__name__).iterdir())) == 1
    other = write(draw_images(30, seed=1), tmp_path / "other.npz")
    assert laid(toy_study(other, [Oracle()], [arm("oracle", 1)], split=TINY)).read.key != first.read.key


def test_a_gain_is_out_of_reach_where_the_best_arm_without_images_leaves_less(tmp_path):
    easy = write(draw_images(30, seed=0, law=Law(signal=12.0)), tmp_path / "easy.npz")
    (found,) = study.run(toy_study(easy, [Noise()], [arm("noise", 1)], metric="accuracy")).outcome.contrasts
    line = next(line for line in found.tipping if "HELPS from" in line)
    assert float(re.search(r"HELPS from \+(\d\.\d+)", line)[1]) > 1 - found.without_score, "else there is room"
    assert f"out of reach: the best arm without them leaves {1 - found.without_score:.3f} to gain" in line
