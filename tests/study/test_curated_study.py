"""Studies in which some of the drawn images are left out: by filters, by a selection, by a person."""

import math
import shutil
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from augury import study
from augury.curation import Curator, judge_folds
from augury.filters import Agreement, NearCopy, Typicality
from augury.mixing import mix
from augury.picking import Pick, Picks
from augury.policies import Ratio
from augury.selections import Diverse, Handpicked
from augury.splits import SplitPlan
from augury.study import Arm
from augury.study.curation_steps import Curate, FitJudge, LookAtReal, Select
from augury.study.engine import Progress, StoreWork
from augury.study.steps import CHUNK, join_chunks
from augury.study.store import FolderStore, MemoryStore
from augury.study.table import scores_csv
from augury.training import Run
from law import REAL, Discriminant, Law, Oracle, SecondRepeat, ShuffledLabels, draw_images, toy_study, write
from law import arm as plain

LAW = Law(signal=20.0)
PLAN = SplitPlan(folds=3, repeats=1)
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def arm(name, generator, dose=1.0, **changes):
    return Arm(name=name, generator=generator, amounts=(Ratio(r=dose),), **changes)


ARMS = (
    plain("oracle", 1),
    arm("sieved", "oracle", filters=(Agreement(), NearCopy())),
    arm("right", "shuffled_labels", filters=(Agreement(),), factor=3.0),
    arm("copies", "second_repeat", filters=(NearCopy(),)),
    arm("apart", "oracle", 0.5, filters=(Agreement(),), select=Diverse()),
    arm("spread", "oracle", 0.5, select=Diverse(space="pixels"), factor=4.0),
)
GENERATORS = (Oracle(law=LAW), ShuffledLabels(law=LAW), SecondRepeat())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(draw_images(40, seed=0, law=LAW), tmp_path_factory.mktemp("images") / "images.npz")


@pytest.fixture(scope="module")
def plan(source):
    return toy_study(source, GENERATORS, ARMS, split=PLAN)


@pytest.fixture(scope="module")
def finished(plan, tmp_path_factory):
    return study.run(plan, tmp_path_factory.mktemp("curated") / "store")


def named(name, dose=1):
    return f"{name} · ratio {dose:g}"


def scored(finished, arm):
    return [item for item in finished.scored if item.cell.arm.name == arm]


def curation(finished, arm):
    return next(one for one in finished.outcome.curations if one.arm == arm)


def pools(finished, cell):
    return [finished.laid.store.get(source) for source in cell.fit.pool]


def trained_on(finished, cell, chosen):
    """Tell whether a cell's classifier is, to the bit, that of the training part and some chosen images."""
    train, pool = finished.laid.images.take(cell.split.train), join_chunks(chosen)
    mixed = mix(train, pool, pool.counts())
    mine = cell.fit.classifier.fit(mixed, None, Run(cell.fit.seed))
    return torch.equal(mine.coefficients, finished.laid.store.get(cell.fit).coefficients)


# ---- what is used


def test_all_cells_have_a_result(finished):
    assert finished.outcome.failures == ()
    assert finished.outcome.cells_failed == 0


def test_where_nothing_is_left_the_arm_is_that_of_real_images(finished):
    both = zip(scored(finished, named("copies")), scored(finished, "real"), strict=True)
    for copies, real in both:
        assert np.array_equal(copies.probabilities["test"], real.probabilities["test"])
        assert copies.exposure.synthetic == 0
        assert sum(copies.cell.counts) > 0
    assert curation(finished, named("copies")).kept == (0, 0)
    row = next(row for row in finished.outcome.arms if row.arm == named("copies"))
    assert (row.added, row.splits) == (0, 3)


def test_a_shortfall_is_said_and_the_cell_runs_with_what_is_there(finished):
    found = curation(finished, named("copies"))
    wanted = sum(sum(item.cell.counts) for item in scored(finished, named("copies")))
    assert (found.wanted, found.used) == (wanted, 0)
    notes = [note for note in finished.outcome.notes if note.startswith(named("copies"))]
    assert len(notes) == 1
    assert f"0 of the {wanted} images wanted over all splits were there ({wanted} fewer)" in notes[0]
    assert not [note for note in finished.outcome.notes if note.startswith(named("sieved"))]


def test_of_a_class_with_too_few_left_fewer_are_used(source):
    rules = toy_study(source, GENERATORS, [arm("few", "oracle", filters=(Typicality(drops=0.9),))], split=PLAN)
    finished = study.run(rules)
    for item in scored(finished, named("few")):
        kept = np.sum([pool.kept().counts() for pool in pools(finished, item.cell)], axis=0)
        assert (kept < item.cell.counts).any()
        assert item.exposure.synthetic == np.minimum(kept, item.cell.counts).sum()
    assert any("fewer): the filters" in note for note in finished.outcome.notes)


@pytest.mark.parametrize("arm", ["sieved", "right"])
def test_the_first_images_that_the_filters_keep_are_trained_on(finished, arm):
    for item in scored(finished, named(arm)):
        kept = join_chunks([pool.kept() for pool in pools(finished, item.cell)])
        first = [kept.of_class(label).take(range(count)) for label, count in enumerate(item.cell.counts)]
        assert trained_on(finished, item.cell, first)
        last = [kept.of_class(label) for label in range(2)]
        assert not trained_on(finished, item.cell, [each.take(range(len(each) - 20, len(each))) for each in last])


def test_wrong_labels_are_sieved_out(finished):
    half_wrong, honest = (curation(finished, named(name)) for name in ("right", "sieved"))
    assert sum(half_wrong.reasons["agreement"]) > 0.35 * sum(half_wrong.drawn)
    assert sum(honest.reasons["agreement"]) < 0.1 * sum(honest.drawn)


@pytest.mark.parametrize(("arm", "factor"), [("sieved", 2.0), ("right", 3.0), ("apart", 2.0), ("spread", 4.0)])
def test_so_many_images_are_drawn_per_image_wanted(finished, arm, factor):
    for cell in finished.laid.cells:
        if cell.arm.name.startswith(f"{arm} "):
            chunks = Counter(chunk.label for chunk in cell.fit.chunks)
            assert chunks == {k: math.ceil(math.ceil(factor * n) / CHUNK) for k, n in enumerate(cell.counts)}


def test_a_selection_comes_after_the_filters_and_puts_each_class_in_order(finished):
    for item in scored(finished, named("apart", 0.5)):
        first = []
        for step in item.cell.fit.pool:
            kept = join_chunks([finished.laid.store.get(source).kept() for source in step.pool])
            order = Diverse().order(kept, finished.laid.store.get(step.judge).features(kept.images))
            first.append(kept.take(order[: item.cell.counts[step.chunks[0].label]]))
        assert trained_on(finished, item.cell, first)
    spread = scored(finished, named("spread", 0.5))[0].cell.fit.pool
    assert [step.judge for step in spread] == [None, None]  # it looks at pixels


# ---- what is told


def test_counts_add_up(finished):
    for one in finished.outcome.curations:
        items = scored(finished, one.arm)
        chunks = {chunk for item in items for chunk in item.cell.fit.chunks}
        drawn = Counter(chunk.label for chunk in chunks)
        assert one.drawn == tuple(drawn[k] * CHUNK for k in range(2))
        dropped = np.sum(list(one.reasons.values()), axis=0) if one.reasons else (0, 0)
        assert tuple(np.add(one.kept, dropped)) == one.drawn
        assert one.used == sum(item.exposure.synthetic for item in items)
        assert one.used <= min(one.wanted, sum(one.kept))
    assert [one.arm.split(" · ")[0] for one in finished.outcome.curations] == [arm.name for arm in ARMS[1:]]


def test_rules_are_told_in_words(finished):
    rules = {one.arm.split(" · ")[0]: one.rules for one in finished.outcome.curations}
    assert rules["sieved"] == "agreement + near_copy"
    assert rules["apart"] == "agreement + diverse"
    assert rules["spread"] == "diverse"


def test_verdicts_in_a_study_are_those_of_the_curator(finished):
    cell = scored(finished, named("sieved"))[0].cell
    train = finished.laid.images.take(cell.split.train)
    step = cell.fit.pool[0]
    curator = Curator.fit(train, cell.arm.filters, Discriminant(), Run(step.known.seed))
    store = finished.laid.store
    mine = Curator(cell.arm.filters, [store.get(judge) for judge in step.judges], store.get(step.known))
    found = store.get(step)
    assert mine.look(found.pool).keep.tolist() == found.keep.tolist()
    for one, other in zip(curator.known.folds, store.get(step.known).folds, strict=True):
        assert np.array_equal(one.outside.labels, other.outside.labels)


# ---- who has seen what


def test_judges_are_fitted_without_the_other_parts_on_disk(plan, tmp_path):
    store = FolderStore(tmp_path / "store")
    cell = next(cell for cell in study.lay_out(plan, store).cells if cell.arm.name == named("sieved"))
    work, known = StoreWork(store, "cpu"), cell.fit.pool[0].known
    store.put(known.split, known.split.make(work))
    for part in ("val", "test", "rest"):
        (store.root / "MakeSplit" / known.split.key / f"{part}.npy").unlink()
    for judge in known.judges:
        store.put(judge, judge.make(work))
    found = known.make(work)
    train = work.get(known.split.images).cleaned.images.take(cell.split.train)
    folds = judge_folds(train, known.seed)
    for fold, judge in enumerate(known.judges):
        inside = {train.digests[i] for i in np.flatnonzero(folds != fold)}
        assert work.get(judge).trained.trained_on == inside
        assert found.folds[fold].outside.labels.tolist() == train.labels[folds == fold].tolist()


def test_all_filtered_arms_of_a_split_share_their_judges(finished):
    judges = {step for step in finished.ran.made if isinstance(step, FitJudge)}
    assert len(judges) == 3 * 3
    copies = next(cell for cell in finished.laid.cells if cell.arm.name == named("copies"))
    assert copies.fit.pool[0].judges == ()


# ---- keys, and doing it again


def keys(cells, arms):
    return {(c.arm.name, c.split.fold): c.fit.key for c in cells if c.arm.name in arms}


def test_filters_change_no_key_of_the_arms_beside_them(plan, finished):
    bare = plan.replace(arms=(REAL, plain("oracle", 1)))
    laid = study.lay_out(bare, MemoryStore())
    arms = ("real", named("oracle"))
    assert keys(laid.cells, arms) == keys(finished.laid.cells, arms)
    assert not [step for step in laid.plan().steps if isinstance(step, Curate | Select | FitJudge | LookAtReal)]


def test_other_settings_of_a_filter_are_another_pool(source):
    def pool(rule):
        laid = study.lay_out(toy_study(source, GENERATORS, [arm("x", "oracle", filters=(rule,))]), MemoryStore())
        return laid.cells[-1].fit.pool[0]

    one, same, other = (pool(Agreement(drops=drops)) for drops in (0.05, 0.05, 0.06))
    assert one.key == same.key != other.key
    assert one.chunk.key == other.chunk.key
    assert one.known.key == other.known.key


class StopAt(Progress):
    """Somebody presses Ctrl-C at the second step of a kind."""

    def __init__(self, kind):
        self.kind, self.seen = kind, 0

    def begun(self, step):
        self.seen += isinstance(step, self.kind)
        if self.seen == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [FitJudge, Curate, Select])
def test_a_stopped_study_goes_on_to_the_same_end(plan, finished, tmp_path, kind):
    small = plan.replace(arms=(REAL, *(each for each in ARMS if each.name == "apart")))
    with pytest.raises(KeyboardInterrupt):
        study.run(small, tmp_path / "store", progress=StopAt(kind))
    again = study.run(small, tmp_path / "store")
    assert [step for step in again.ran.made if isinstance(step, kind)]
    assert len(again.ran.made) < len(study.lay_out(small, MemoryStore()).plan().steps)
    arms = {"real", named("apart", 0.5)}
    assert scores_of(again, arms) == scores_of(finished, arms)
    assert study.run(small, tmp_path / "store").ran.made == ()


def scores_of(finished, arms):
    lines = scores_csv(finished.scored).splitlines()
    return [line for line in lines if any(f",{arm}," in line for arm in arms)]


# ---- a person's list


@pytest.fixture(scope="module")
def handpicked(finished, source, tmp_path_factory):
    """A study in which a person has picked images of the first split, and its folder."""
    folder = tmp_path_factory.mktemp("picks")
    cell = scored(finished, named("oracle"))[0].cell
    drawn = join_chunks([finished.laid.store.get(chunk) for chunk in cell.fit.chunks])
    entries = [Pick(drawn.digests[i], drawn.classes[drawn.labels[i]], drawn.names[i], NOON) for i in (9, 3, 60, 4)]
    Picks(tuple(entries)).save(folder / "picks.csv")
    rules = [plain("oracle", 1), arm("mine", "oracle", select=Handpicked(picks=str(folder / "picks.csv")))]
    return study.run(toy_study(source, GENERATORS, rules, split=PLAN)), drawn, folder


def test_what_a_person_picked_is_used_and_never_chosen(handpicked):
    finished, drawn, _ = handpicked
    first, *others = scored(finished, named("mine"))
    assert trained_on(finished, first.cell, [drawn.take([9, 3, 4]), drawn.take([60])])
    assert [item.exposure.synthetic for item in others] == [0, 0]  # other splits have other images
    row = next(row for row in finished.outcome.arms if row.arm == named("mine"))
    assert row.sensitivity_row
    assert row.chosen == 0
    assert finished.outcome.contrasts[0].using == {named("oracle"): 3}
    assert any("a person's list, left no more" in note for note in finished.outcome.notes)


def test_where_a_list_lies_does_not_matter_and_what_it_says_does(handpicked, source, tmp_path):
    finished, _, folder = handpicked

    def pools_of(path):
        rules = [arm("mine", "oracle", select=Handpicked(picks=str(path)))]
        laid = study.lay_out(toy_study(source, GENERATORS, rules, split=PLAN), MemoryStore())
        return {step.key for cell in laid.cells for step in cell.fit.pool}

    before = {step.key for cell in finished.laid.cells for step in cell.fit.pool if isinstance(step, Select)}
    moved = shutil.copy(folder / "picks.csv", tmp_path / "moved.csv")
    assert pools_of(moved) == before
    (tmp_path / "moved.csv").write_text("".join((folder / "picks.csv").read_text().splitlines(keepends=True)[:-1]))
    assert not pools_of(moved) & before
