"""Settings that are found by trials on the inner part, on real images only or per arm."""

import numpy as np
import pytest
import torch

from augury import study
from augury.classifiers import SmallCNNClassifier
from augury.errors import DataError, SettingsError
from augury.losses import Loss
from augury.mixing import Synthetic
from augury.splits import SplitPlan
from augury.study.classifier_steps import FitClassifier, Tune
from augury.study.engine import StoreWork
from augury.study.steps import part_of
from augury.study.store import FolderStore, MemoryStore
from augury.study.study import NamedClassifier, Tuning
from augury.verdict import Kind
from law import BALANCED, Discriminant, Oracle, arm, draw_images, toy_study, write

TINY = SplitPlan(folds=3, repeats=1)
SHRINKS = (0.001, 0.03, 0.3, 0.9)
TUNED = Tuning(trials=4, grid=(("shrink", SHRINKS),))


@pytest.fixture
def source(tmp_path):
    return write(draw_images(30, seed=0), tmp_path / "images.npz")


def plan_of(source, tune=TUNED, arms=None, **changes):
    arms = [BALANCED, arm("oracle", 1)] if arms is None else arms
    return toy_study(source, [Oracle()], arms, split=TINY, tune=tune, **changes)


def tunes(plan):
    """Return the Tune steps of a study: (arm, split) -> step."""
    cells = study.lay_out(plan, MemoryStore()).cells
    return {(cell.arm.name, cell.split.fold): cell.fit.tuned for cell in cells}


# ---- candidates


def test_a_grid_that_is_no_larger_than_the_trials_is_tried_whole_and_in_order():
    tune = Tuning(trials=9, grid=(("rate", (0.1, 0.2)), ("dropout", (0.0, 0.3, 0.5))))
    found = tune.candidates(seed=0)
    assert found == tuple((("dropout", d), ("rate", r)) for d in (0.0, 0.3, 0.5) for r in (0.1, 0.2))
    assert found == tune.candidates(seed=1)


def test_of_a_larger_grid_some_are_tried_none_twice_by_the_seed():
    tune = Tuning(trials=12, grid=(("rate", tuple(range(20))), ("dropout", tuple(range(20)))))
    drawn = {seed: tune.candidates(seed) for seed in range(5)}
    whole = set(tune.replace(trials=400).candidates(0))
    assert {len(set(found)) for found in drawn.values()} == {12}
    assert all(set(found) <= whole for found in drawn.values())
    assert drawn[0] == tune.candidates(0)
    assert len(set(drawn.values())) == 5


def test_without_trials_nothing_is_tuned(source):
    assert set(tunes(plan_of(source, tune=Tuning())).values()) == {None}


# ---- one search on real images


def test_all_arms_of_a_split_share_one_search_on_real_images(source):
    found = tunes(plan_of(source))
    assert len({step.key for step in found.values()}) == 3
    for fold in range(3):
        (step,) = {step for (_, each), step in found.items() if each == fold}
        assert [dict(trial.fit.classifier.settings())["shrink"] for trial in step.trials] == list(SHRINKS)
        assert {(trial.part, trial.fit.pool, trial.fit.counts) for trial in step.trials} == {("val", (), ())}


def test_a_search_per_arm_sees_the_images_of_the_arm(source):
    found = tunes(plan_of(source, tune=TUNED.replace(per_arm=True)))
    assert len({step.key for step in found.values()}) == 9
    assert all(trial.fit.counts for trial in found["oracle · ratio 1", 0].trials)
    assert {trial.fit.classifier.sampling for trial in found["balanced", 1].trials} == {"balanced"}


def loss_of(store, trial, images, even):
    """Return the loss of a trial, from its stored predictions; with `even` the mean of the classes' means."""
    own = torch.from_numpy(store.get(trial))[torch.arange(len(images)), images.labels].double()
    losses = -own.clamp(min=1e-7).log()
    classes = [losses[images.labels == label].mean() for label in range(len(images.classes))]
    return float(torch.stack(classes).mean() if even else losses.mean())


@pytest.mark.parametrize("metric", ["auroc", "balanced_accuracy"])
def test_the_candidate_with_the_least_loss_on_the_inner_part_is_taken(tmp_path, metric):
    source = write(draw_images((40, 16), seed=0), tmp_path / "images.npz")
    finished = study.run(plan_of(source, metric=metric), tmp_path / "store")
    store = FolderStore(tmp_path / "store")
    for cell in (cell for cell in finished.laid.cells if cell.arm.name == "real"):
        tune, found = cell.fit.tuned, store.get(cell.fit.tuned)
        images = part_of(StoreWork(store, "cpu"), tune.split, "val")
        losses = [loss_of(store, trial, images, metric == "balanced_accuracy") for trial in tune.trials]
        assert found.losses == pytest.approx(losses, rel=1e-6)
        best = int(np.argmin(losses))
        assert found.settings == (("shrink", SHRINKS[best]),)
        # on real images only it is the training of the winning trial once more
        assert torch.equal(store.get(cell.fit).coefficients, store.get(tune.trials[best].fit).coefficients)


def test_tables_that_were_tried_come_back_from_disk(source, tmp_path):
    losses = (Loss(name="focal", gamma=5.0), Loss(name="cross_entropy", smoothing=0.1))
    small = NamedClassifier(name="small", recipe=SmallCNNClassifier(steps=3, batch=8, width=2))
    plan = plan_of(source, tune=Tuning(trials=2, grid=(("loss", losses),)), classifiers=(small,))
    finished = study.run(plan, tmp_path / "store")
    assert finished.outcome.failures == ()
    store = FolderStore(tmp_path / "store")
    for cell in finished.laid.cells:
        ((name, chosen),) = store.get(cell.fit.tuned).settings
        assert name == "loss"
        assert chosen in losses
        assert store.get(cell.fit).recipe.loss == chosen


def test_tuning_is_done_once_and_counted(source, tmp_path):
    finished = study.run(plan_of(source), tmp_path / "store")
    made = [type(step).__name__ for step in finished.ran.made]
    assert (made.count("Tune"), made.count("FitClassifier")) == (3, 3 * 4 + 3 * 3)
    assert {row.trials for row in finished.outcome.arms} == {4}
    assert study.run(plan_of(source), tmp_path / "store").ran.made == ()
    assert finished.outcome.verdict.kind is not Kind.WITHHELD


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "tuned once on real images with 4 trials per outer split (shrink)"),
        ({"trials": 2}, "tuned once on real images with 2 trials per outer split (shrink)"),
        ({"trials": 12}, "tuned once on real images with 4 trials per outer split (shrink)"),
        ({"trials": 1}, "tuned once on real images with 1 trial per outer split (shrink)"),
        ({"per_arm": True}, "each arm tuned by a search of its own with 4 trials per outer split (shrink)"),
    ],
)
def test_the_budget_is_one_sentence(source, changes, words):
    outcome = study.run(plan_of(source, tune=TUNED.replace(**changes))).outcome
    assert outcome.budget == f"discriminant, every arm: 4 steps x 128 images, {words}"
    plain = study.run(plan_of(source, tune=Tuning())).outcome
    assert plain.budget.endswith("4 steps x 128 images, settings fixed beforehand, no tuning")


def test_a_trial_that_fails_takes_only_the_arms_with_it_that_were_tuned_by_it(source, monkeypatch):
    fit = Discriminant.fit

    def fails_when_balanced(self, train, val, run):
        if self.shrink == 0.9 and self.sampling == "balanced":
            raise DataError("not this one.")
        return fit(self, train, val, run)

    monkeypatch.setattr(Discriminant, "fit", fails_when_balanced)
    outcome = study.run(plan_of(source, tune=TUNED.replace(per_arm=True))).outcome
    assert [(failure.reason, failure.cells) for failure in outcome.failures] == [("not this one.", 3)]
    assert {row.arm: row.failed for row in outcome.arms} == {"real": 0, "balanced": 3, "oracle · ratio 1": 0}


# ---- what is refused


@pytest.mark.parametrize(
    ("tune", "sentence"),
    [
        ({"trials": 2, "grid": (("steps", (3, 4)),)}, "finds no 'steps', 'batch' or 'synthetic'"),
        ({"trials": 2, "grid": (("batch", (16, 32)),)}, "finds no 'steps', 'batch' or 'synthetic'"),
        (
            {"trials": 2, "grid": (("synthetic", (Synthetic(share=0.1), Synthetic(share=0.9))),)},
            "finds no 'steps', 'batch' or 'synthetic'",
        ),
        ({"trials": 2, "grid": (("sampling", ("balanced",)),)}, "arm 'balanced' changes 'sampling', which"),
        ({"trials": 2, "grid": (("shrnk", (0.1,)),)}, "discriminant has no setting 'shrnk': did you mean 'shrink'"),
        ({"trials": 0, "grid": (("shrink", (0.1,)),)}, "needs both trials and a grid"),
        ({"trials": 3}, "needs both trials and a grid"),
        ({"trials": 3, "grid": (("shrink", ()),)}, "no value to try for 'shrink'"),
        ({"trials": 3, "grid": (("shrink", (0.1,)), ("shrink", (0.2,)))}, "'shrink' stands twice"),
    ],
)
def test_what_cannot_be_tuned_is_refused(source, tune, sentence):
    with pytest.raises(SettingsError, match=sentence):
        plan_of(source, tune=Tuning(**tune))


def test_a_tuned_fit_has_a_key_of_its_own_and_depends_on_what_was_tried(source):
    keys = {}
    for trials in (0, 2, 4):
        tune = TUNED.replace(trials=trials) if trials else Tuning()
        cells = study.lay_out(plan_of(source, tune=tune), MemoryStore()).cells
        keys[trials] = {cell.fit.key for cell in cells if isinstance(cell.fit, FitClassifier)}
        assert all(isinstance(cell.fit.tuned, Tune) for cell in cells) is bool(trials)
    assert not keys[0] & keys[2]
    assert not keys[2] & keys[4]
