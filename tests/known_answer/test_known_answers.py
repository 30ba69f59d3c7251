"""Whole studies on a law whose truth is known: what helps must be found, and nothing else may be."""

from collections import Counter

import numpy as np
import pytest

from augury import study
from augury.classifiers.base import GENERATOR_SEES_TEST
from augury.errors import LeakError, StepDiedError
from augury.generators import Repeat
from augury.splits import SplitPlan
from augury.statistics import nadeau_bengio, wilson
from augury.study.engine import StoreWork
from augury.study.store import MemoryStore
from augury.verdict import Kind
from law import BALANCED, Law, Noise, Oracle, Peeper, SecondRepeat, ShuffledLabels, arm, draw_images, toy_study, write

N_PER_CLASS = 80
LAWLESS = Law(signal=0.0)  # the labels mean nothing: every arm scores 0.5, whatever it is shown
REPEATS = ([Repeat(), SecondRepeat()], [BALANCED, arm("repeat", 1), arm("second_repeat", 0.5, 1, 2)])
NULLS = {
    "repeat against repeat": (Law(), *REPEATS),
    "labels without meaning": (
        LAWLESS,
        [Oracle(law=LAWLESS)],
        # six arms against one: had the choice been made on the test images, the best of six would seem to help
        [arm("oracle", 0.5, 1, 2), arm("oracle", 0.5, 1, 2, name="both", sampling="balanced")],
    ),
}


def finished(tmp_path, seed, generators, arms, law=None, **changes):
    source = write(draw_images(N_PER_CLASS, seed, law), tmp_path / "images.npz")
    return study.run(toy_study(source, generators, arms, seed=seed, **changes))


def verdicts(tmp_path, studies, generators, arms, law=None):
    """Run studies that differ in their images and seeds; return their verdicts, counted by kind, and the estimates."""
    ends = [finished(tmp_path, seed, generators, arms, law).outcome.verdict for seed in range(studies)]
    counted = Counter(end.kind for end in ends)
    low, high = wilson(counted[Kind.HELPS], studies)
    print(f"HELPS in {counted[Kind.HELPS]} of {studies} ({low:.3f} to {high:.3f}): {dict(counted)}")  # pytest -s
    return counted, np.array([end.estimate for end in ends])


@pytest.mark.slow
def test_an_oracle_helps_in_at_least_80_percent_of_50_studies(tmp_path):
    counted, _ = verdicts(tmp_path, 50, [Oracle()], [BALANCED, arm("oracle", 2, 5)])
    assert counted[Kind.HELPS] >= 40


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [Noise(), ShuffledLabels()], ids=lambda recipe: recipe.kind)
def test_noise_and_shuffled_labels_never_help(tmp_path, recipe):
    counted, _ = verdicts(tmp_path, 50, [recipe], [BALANCED, arm(recipe.kind, 0.5, 1)])
    assert counted[Kind.HELPS] == counted[Kind.SUGGESTIVE] == 0
    assert counted[Kind.HARMS] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("law", "generators", "arms"), NULLS.values(), ids=NULLS.keys())
def test_the_whole_selection_under_the_null_helps_in_at_most_5_percent_of_200_studies(tmp_path, law, generators, arms):
    counted, estimates = verdicts(tmp_path, 200, generators, arms, law)
    assert counted[Kind.HELPS] <= 10
    assert estimates.mean() < 3 * estimates.std(ddof=1) / 200**0.5  # a choice that looked at the test part gains
    assert counted[Kind.WITHHELD] + counted[Kind.EXPLORATORY] <= 10  # else the gates, not the statistics, pass the test


@pytest.mark.slow
def test_the_interval_of_two_draws_of_repeat_covers_0(tmp_path):
    covered = 0
    for seed in range(50):
        run = finished(tmp_path, seed, [Repeat(), SecondRepeat()], [arm("repeat", 1), arm("second_repeat", 1)])
        scores = {name: {} for name in ("repeat · ratio 1", "second_repeat · ratio 1")}
        for item in run.scored:
            scores.get(item.cell.arm.name, {})[item.unit] = item.scores["auroc"]
        first, second = scores.values()
        interval = nadeau_bengio([first[unit] - second[unit] for unit in first], ratio=1 / 4)
        assert interval.sd > 0
        covered += interval.low <= 0 <= interval.high
    assert covered >= 47


def test_the_copycat_gate_lets_plain_copies_pass_and_stops_an_arm_that_oversampling_does_not_equal(tmp_path):
    class Smudged(Repeat):  # goes by the name of the copycat, but its path ruins the images
        def fit(self, train, run):
            return Noise().fit(train, run)

    for recipe, passes in ((Repeat(), True), (Smudged(), False)):
        run = finished(tmp_path, 0, [recipe, Oracle()], [arm("repeat", 1), arm("oracle", 2)])
        (gate,) = (gate for gate in run.outcome.gates if gate.name.startswith("copycat"))
        assert gate.passed is passes
        assert (run.outcome.verdict.kind is Kind.WITHHELD) is not passes


@pytest.mark.parametrize("honest", [True, False])
def test_a_prediction_on_what_a_generator_peeked_at_is_a_leak(tmp_path, honest):
    source = write(draw_images(30, seed=0), tmp_path / "images.npz")
    peeping = toy_study(source, [Peeper(source=source, honest=honest)], [arm("peeper", 4)])
    laid = study.lay_out(peeping, MemoryStore())
    work = StoreWork(laid.store, "cpu")
    leaked = next(cell for cell in laid.cells if cell.arm.uses_generated).predictions["test"]
    for step in (leaked.fit.split, leaked.fit.pool[0].fit, *leaked.fit.pool, leaked.fit):
        laid.store.put(step, step.make(work))
    with pytest.raises(LeakError, match="the generator behind the synthetic images saw them"):
        leaked.make(work)


def test_a_study_whose_only_generator_peeks_ends_without_a_verdict_and_says_why(tmp_path):
    source = write(draw_images(30, seed=0), tmp_path / "images.npz")
    with pytest.raises(StepDiedError, match="the generator behind the synthetic images saw them"):
        study.run(toy_study(source, [Peeper(source=source)], [arm("peeper", 1)]))


@pytest.mark.parametrize("law_abiding", [True, False])
def test_with_the_flaw_declared_a_peeping_study_runs_and_ends_withheld(tmp_path, law_abiding):
    source = write(draw_images(30, seed=0), tmp_path / "images.npz")
    recipe = SecondRepeat() if law_abiding else Peeper(source=source)
    peeping = toy_study(source, [recipe], [arm(recipe.kind, 1)], flaws=(GENERATOR_SEES_TEST,))
    outcome = study.run(peeping).outcome
    assert outcome.verdict.kind is Kind.WITHHELD
    assert outcome.cells_failed == 0
    assert "trained on the test images too (declared)" in " ".join(outcome.verdict.details)


def test_a_copier_gains_on_the_images_that_it_was_shown(tmp_path):
    source = write(draw_images(40, seed=0), tmp_path / "images.npz")
    arms = [arm("second_repeat", 3)]
    plan = SplitPlan(folds=5, repeats=1)
    honest = study.run(toy_study(source, [SecondRepeat()], arms, split=plan)).outcome
    flawed = study.run(toy_study(source, [SecondRepeat()], arms, split=plan, flaws=(GENERATOR_SEES_TEST,))).outcome
    assert flawed.arms[-1].scores["auroc"] > honest.arms[-1].scores["auroc"] + 0.1  # or the flaw would be no flaw
