"""Equal budgets, on the records of what was trained; and arms that are shown beside the others."""

import json

import numpy as np
import pytest

from augury import study
from augury.augment import Augment
from augury.classifiers import CovidCNNClassifier, SmallCNNClassifier
from augury.classifiers.base import Exposure
from augury.classifiers.neural import Published
from augury.errors import SettingsError, StepDiedError
from augury.losses import Loss
from augury.mixing import Synthetic
from augury.splits import SplitPlan
from augury.study.classifier_steps import EXPOSURE, FitClassifier
from augury.study.estimate import estimate
from augury.study.store import MemoryStore
from augury.study.study import BEST_TEST_EPOCH, MORE_STEPS, NamedClassifier, Tuning
from augury.study.table import results_csv, scores_csv
from augury.verdict import Kind
from law import BALANCED, Oracle, arm, draw_images, toy_study, write

TINY = SplitPlan(folds=3, repeats=1)
STEPS, BATCH = 6, 8
ORACLE = Oracle()
SMALL = SmallCNNClassifier(steps=STEPS, batch=BATCH, width=2)
MIXED = {  # name -> how synthetic images are used, their share over the whole training (as many as real ones)
    "plain": (Synthetic(), 0.5),
    "few": (Synthetic(share=0.2), 0.2),
    "at most a tenth": (Synthetic(max_share=0.1), 0.1),
    "two stages": (Synthetic(real_last=0.5), 0.25),
    "half weight": (Synthetic(weight=0.5), 0.5),
    "a quarter, smoothed": (Synthetic(weight=0.25, smoothing=0.1), 0.5),
    "synthetic only": (Synthetic(share=1.0), 1.0),
    "in place of real ones": (Synthetic(replaces=True), 1.0),
}
RIVALS = [
    BALANCED,
    study.Arm(name="focal", classifier=(("loss", Loss(name="focal")),)),
    study.Arm(name="mixup and balanced softmax", classifier=(("loss", Loss(name="balanced_softmax")), ("mixup", 0.2))),
    study.Arm(name="classical", classifier=(("augment", Augment(shift=0.1, rotate=10.0)),)),
    study.Arm(name="moved", recalibrate="both"),
    study.Arm(name="longer", longer=2.0),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(draw_images(24, seed=0), tmp_path_factory.mktemp("source") / "images.npz")


def plan_of(source, arms, generators=(ORACLE,), **changes):
    classifiers = (NamedClassifier(name="small", recipe=SMALL),)
    return toy_study(source, generators, arms, **{"split": TINY, "classifiers": classifiers, **changes})


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory):
    """A study with every rival, every way to use synthetic images, and two trials; its store is on disk."""
    arms = [*RIVALS, *(arm("oracle", 1, name=name, synthetic=use) for name, (use, _) in MIXED.items())]
    plan = plan_of(source, arms, tune=Tuning(trials=2, grid=(("rate", (1e-3, 3e-3)),)))
    return study.run(plan, tmp_path_factory.mktemp("budget") / "store")


def record(finished, cell):
    """Return what the store's file says about a cell's training."""
    return json.loads((finished.laid.store.folder(cell.fit) / EXPOSURE).read_text())


def by_arm(finished, name):
    return [cell for cell in finished.laid.cells if cell.arm.name.partition(" · ")[0] == name]


# ---- the records


def test_steps_batch_and_trials_of_all_records_are_equal(finished):
    assert finished.outcome.failures == ()
    cells = [cell for cell in finished.laid.cells if cell.arm.name != "longer"]
    assert len(cells) == 3 * (1 + 5 + 8)
    records = [record(finished, cell) for cell in cells]
    assert {(each["steps"], each["batch"]) for each in records} == {(STEPS, BATCH)}
    assert {len(cell.fit.tuned.trials) for cell in cells} == {2}
    tried = {trial.fit for cell in cells for trial in cell.fit.tuned.trials}
    store = finished.laid.store
    assert {(each.steps, each.batch) for each in (fit.exposure(store.folder(fit)) for fit in tried)} == {(STEPS, BATCH)}


@pytest.mark.parametrize("name", MIXED)
def test_real_images_are_shown_as_often_as_declared(finished, name):
    for cell in by_arm(finished, name):
        found = record(finished, cell)
        declared = (1 - MIXED[name][1]) * STEPS * BATCH
        assert found["real_exposures"] == pytest.approx(declared, abs=1)
        assert found["synthetic"] == sum(cell.counts) == sum(cell.real_counts)
    (row,) = (row for row in finished.outcome.arms if row.arm == f"{name} · ratio 1")
    assert row.share == pytest.approx(MIXED[name][1], abs=1 / (STEPS * BATCH))


@pytest.mark.parametrize("name", ["real", "balanced", "focal", "mixup and balanced softmax", "classical", "moved"])
def test_rivals_are_shown_real_images_only(finished, name):
    records = [record(finished, cell) for cell in by_arm(finished, name)]
    assert {(each["real_exposures"], each["synthetic"]) for each in records} == {(STEPS * BATCH, 0)}


def gate_of(finished):
    (gate,) = (gate for gate in finished.outcome.gates if gate.name == "one budget for every arm")
    return gate


def test_the_gate_says_what_it_has_seen(finished):
    assert gate_of(finished).passed is True
    assert gate_of(finished).text == f"{STEPS} steps x {BATCH} images after 2 trials in all 42 records"
    assert finished.outcome.verdict.kind is not Kind.WITHHELD
    budget = (
        f"small, every arm: {STEPS} steps x {BATCH} images, tuned once on real images with 2 trials per outer split"
    )
    assert finished.outcome.budget == f"{budget} (rate)"


DOCTORED = {
    "steps": ({"steps": STEPS + 1}, "the arms were trained on different budgets (steps x images): 6 x 8 after 0"),
    "batch": ({"batch": 2 * BATCH}, "different budgets (steps x images): 6 x 8 after 0 trials, 6 x 16 after 0 trials"),
    "exposures": ({"real_exposures": STEPS * BATCH}, "'oracle · ratio 1' was shown another number of real images than"),
}


@pytest.mark.parametrize("name", DOCTORED)
def test_a_record_of_another_budget_withholds_the_verdict(source, tmp_path, name):
    change, words = DOCTORED[name]
    plan = plan_of(source, [arm("oracle", 1)])
    first = study.run(plan, tmp_path / "store")
    assert (gate_of(first).passed, first.outcome.verdict.kind is Kind.WITHHELD) == (True, False)
    (cell, *_) = by_arm(first, "oracle")
    path = first.laid.store.folder(cell.fit) / EXPOSURE
    path.write_text(json.dumps({**record(first, cell), **change}))
    again = study.collect(plan, tmp_path / "store")
    assert gate_of(again).passed is False
    assert words in gate_of(again).text
    assert again.outcome.verdict.kind is Kind.WITHHELD
    assert words in " ".join(again.outcome.verdict.details)


def test_the_record_is_that_of_the_training(finished):
    for cell in finished.laid.cells[:6]:
        assert Exposure(**record(finished, cell)) == finished.laid.store.get(cell.fit).trained.exposure


# ---- longer


def test_a_longer_training_is_in_the_table_and_is_never_chosen(finished):
    (row,) = (row for row in finished.outcome.arms if row.arm == "longer")
    assert (row.steps, row.batch, row.splits, row.sensitivity_row, row.chosen) == (2 * STEPS, BATCH, 3, True, 0.0)
    assert not any(other.sensitivity_row for other in finished.outcome.arms if other is not row)
    chosen = finished.outcome.contrasts[0]
    assert "longer" not in {*chosen.using, *chosen.without}
    assert "longer" in results_csv(finished.outcome)


def test_a_longer_training_changes_no_other_number(source, tmp_path):
    arms = [BALANCED, arm("oracle", 1)]
    best = study.Arm(name="long", longer=10.0)
    with_it, without = (study.run(plan_of(source, each), tmp_path / "store") for each in ([*arms, best], arms))
    assert with_it.outcome.verdict == without.outcome.verdict
    assert with_it.outcome.contrasts[0].differences == without.outcome.contrasts[0].differences
    assert without.ran.made == ()


def test_an_arm_beside_real_images_that_is_longer_is_no_rival(source):
    plan = plan_of(source, [study.Arm(name="long", longer=2.0)], generators=())
    with pytest.raises(StepDiedError, match="an arm beside real images only"):
        study.run(plan)


# ---- recalibration


@pytest.mark.parametrize("how", ["temperature", "prior", "both", "even"])
def test_recalibration_takes_no_training_of_its_own_and_changes_probabilities(source, how):
    plan = plan_of(source, [study.Arm(name="moved", recalibrate=how), arm("oracle", 1)])
    finished = study.run(plan)
    real, moved = by_arm(finished, "real"), by_arm(finished, "moved")
    assert [cell.fit.key for cell in real] == [cell.fit.key for cell in moved]
    assert sum(isinstance(step, FitClassifier) for step in finished.ran.made) == 3 + 3
    scored = {(item.cell.arm.name, item.unit): item for item in finished.scored}
    for cell in real:
        unit = (cell.split.repeat, cell.split.fold)
        one, other = scored["real", unit].probabilities, scored["moved", unit].probabilities
        assert not np.allclose(one["test"], other["test"])
        assert not np.allclose(one["val"], other["val"])
        assert np.allclose(other["test"].sum(1), 1, atol=1e-5)
        if how == "temperature":  # a temperature moves no image across the threshold
            assert np.array_equal(one["test"].argmax(1), other["test"].argmax(1))
    assert "moved" in scores_csv(finished.scored)


# ---- studies without generated images, and trainings as published


def test_a_study_without_generated_images_compares_its_choice_with_real_images_only(source):
    outcome = study.run(plan_of(source, RIVALS[:4], generators=(), rope=0.4)).outcome
    assert outcome.contrasts[0].generated is False
    assert "the arm chosen on the inner part" in outcome.verdict.sentence
    assert "real images only" in outcome.verdict.sentence
    assert "generated" not in outcome.verdict.sentence
    chosen, against = outcome.contrasts[0].using, outcome.contrasts[0].without
    assert set(against) == {"real"}
    assert set(chosen) <= {"real", *(each.name for each in RIVALS)}


def test_the_choice_may_be_real_images_only_and_then_nothing_differs(source):
    plan = plan_of(source, [study.Arm(name="same", classifier=(("average", 0.98),))], generators=())
    outcome = study.run(plan).outcome
    assert outcome.verdict.kind is Kind.INCONCLUSIVE
    same = "the arm chosen on the inner part and real images only made the same predictions in every split"
    assert same in outcome.verdict.sentence


def published(source, best="loss", **changes):
    recipe = CovidCNNClassifier(batch=8, published=True, best=best)
    named = (NamedClassifier(name="as published", recipe=recipe),)
    return plan_of(source, [arm("oracle", 1)], classifiers=named, **changes)


def test_training_as_published_is_refused_unless_the_flaw_is_declared(source):
    with pytest.raises(
        SettingsError, match=r"'as published' is trained as published: .* Declare flaws = \['more_steps"
    ):
        published(source)


def test_training_as_published_runs_and_ends_withheld(source, monkeypatch):
    monkeypatch.setattr(CovidCNNClassifier, "paper", Published(epochs=2))
    outcome = study.run(published(source, flaws=(MORE_STEPS,))).outcome
    assert outcome.failures == ()
    assert outcome.verdict.kind is Kind.WITHHELD
    assert "training was as published: more images got more steps" in " ".join(outcome.verdict.details)
    assert outcome.budget.startswith("as published, every arm: as published, by epochs x 8 images")
    steps = {row.arm: row.steps for row in outcome.arms}
    assert steps["oracle · ratio 1"] == pytest.approx(2 * steps["real"])
    (gate,) = (gate for gate in outcome.gates if gate.name == "one budget for every arm")
    assert gate.passed is None


def test_the_best_epoch_on_the_test_part_is_a_flaw_that_looks_at_it(source, monkeypatch):
    monkeypatch.setattr(CovidCNNClassifier, "paper", Published(epochs=12))
    honest, flawed = (
        study.run(published(source, flaws=flaws, best="accuracy"))
        for flaws in ((MORE_STEPS,), (MORE_STEPS, BEST_TEST_EPOCH))
    )
    assert flawed.outcome.failures == ()
    assert flawed.outcome.verdict.kind is Kind.WITHHELD
    assert "the epoch that is kept was chosen on the test part (declared)" in " ".join(flawed.outcome.verdict.details)
    watched = [{cell.fit.watched for cell in each.laid.cells} for each in (honest, flawed)]
    assert watched == [{"val"}, {"test"}]
    scores = [
        {(item.cell.arm.name, item.cell.split.fold): item.scores["accuracy"] for item in each.scored}
        for each in (honest, flawed)
    ]
    assert all(scores[1][place] >= scores[0][place] for place in scores[0])  # no other epoch has a better one
    assert sum(scores[1].values()) > sum(scores[0].values())


def test_a_flaw_that_lifts_nothing_is_refused(source):
    with pytest.raises(
        SettingsError, match=r"'best_test_epoch' lifts nothing here: no classifier is trained by epochs"
    ):
        plan_of(source, [arm("oracle", 1)], flaws=(BEST_TEST_EPOCH,))


def test_how_long_a_training_as_published_takes_can_be_told(source):
    laid = study.lay_out(published(source, flaws=(MORE_STEPS,)), MemoryStore())
    assert estimate(laid, jobs=1, device="cpu").seconds > 0
