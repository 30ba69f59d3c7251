import json
import math
from dataclasses import replace

import pytest

from augury.collapse import ClassDiversity, Collapse
from augury.generators import DCGAN
from augury.study.conclude import nothing_learned, nothing_to_gain, outcome_json, shortcut_check
from augury.study.generator_results import collapse_notes, generator_result
from augury.study.steps import Prepared
from augury.study.study import NamedGenerator
from outcomes import arms, outcome

FINE = Collapse((ClassDiversity("a", 60, 50, 0.9, 0.8, False), ClassDiversity("b", 20, 50, 1.0, None, False)), 0.7)
ALIKE = Collapse((ClassDiversity("a", 62, 50, 0.1, 0.4, True), ClassDiversity("b", 20, 50, 0.5, None, False)), 0.7)
WON = Collapse((ClassDiversity("a", 64, 50, 0.8, 0.3, True), ClassDiversity("b", 20, 50, 0.3, None, True)), 0.995)


def scored(score, metric):
    return [replace(arm, scores={metric: score}) for arm in arms(("a", "b", "c"), "auroc")]


@pytest.mark.parametrize(("metric", "score"), [("auroc", 0.54), ("balanced_accuracy", 0.39)])
def test_a_classifier_that_has_learned_nothing_is_named(metric, score):
    (note,) = nothing_learned(scored(score, metric), metric, 3)
    assert note.startswith("No arm scores clearly above chance (0.")
    assert f"the best has {score:.3f}" in note


@pytest.mark.parametrize(("metric", "score"), [("auroc", 0.56), ("balanced_accuracy", 0.41), ("mcc", 0.0)])
def test_one_that_has_learned_something_is_not(metric, score):
    assert nothing_learned(scored(score, metric), metric, 3) == ()


@pytest.mark.parametrize(("score", "notes"), [(0.5, 1), (0.9, 0)])
def test_an_arm_without_a_score_changes_nothing(score, notes):
    failed, *others = scored(score, "auroc")
    failed = replace(failed, splits=0, scores={"auroc": float("nan")})
    assert len(nothing_learned([failed, *others], "auroc", 2)) == notes


@pytest.mark.parametrize(("score", "notes"), [(1.0, 1), (0.991, 1), (0.989, 0)])
def test_it_is_said_where_no_arm_could_gain_more_than_the_region(score, notes):
    found = nothing_to_gain(scored(score, "auroc"), "auroc", rope=0.01)
    assert len(found) == notes
    assert all(f"already score {score:.3f} of 1" in note for note in found)
    assert nothing_to_gain(scored(score, "log_loss"), "log_loss", rope=0.01) == ()


def test_a_shortcut_leaves_a_check_open_and_none_passes_it():
    told = "the file format alone tells the classes apart"
    assert shortcut_check(Prepared(None, shortcuts=(("format", told),))).passed is None
    assert shortcut_check(Prepared(None, shortcuts=(("format", told),))).text == told
    assert shortcut_check(Prepared(None)).passed is True


@pytest.mark.parametrize("classes", [("benign", "malignant"), tuple("abcdefg")])
def test_an_outcome_is_plain_json_with_what_a_clinician_asks(classes):
    made = outcome(classes)
    undefined = replace(made.clinics[0].arms[0], average_precision=math.nan)
    made = replace(made, clinics=(replace(made.clinics[0], arms=(undefined, *made.clinics[0].arms[1:])),))
    (read,) = json.loads(json.dumps(outcome_json(made), allow_nan=False))["clinics"]
    assert read["arms"][0]["average_precision"] is None
    assert read["arms"][1]["reliability"][0]["count"] == made.clinics[0].arms[1].reliability[0].count
    assert read["subgroups"][0]["rows"][0] == {"value": "f", "images": 61, "groups": 30, "scores": [0.81, 0.83, 0.85]}
    assert read["test_sets"][0]["mcnemar"]["a_only"] == made.clinics[0].test_sets[0].mcnemar.a_only


def result(*found):
    """Summarise a generator of the study `gan`, split i being fold i of the first repeat."""
    named = NamedGenerator(name="gan", recipe=DCGAN())
    return generator_result(named, 7, [((0, fold), each) for fold, each in enumerate(found)])


def test_a_collapse_is_told_with_its_splits_and_the_worst_of_them():
    made = result(FINE, ALIKE, WON)
    assert (made.looked, made.collapsed, made.discriminator_won, made.parameters) == (3, 2, 1, 7)
    assert made.findings == WON.sentences()
    (note,) = collapse_notes([made])
    assert note == f"gan: collapse in 2 of 3 splits, in the worst: {'; '.join(WON.sentences()[:2])}; 1 more."
    assert collapse_notes([result(ALIKE)]) == (f"gan: collapse in 1 of 1 split: {ALIKE.sentences()[0]}.",)


@pytest.mark.parametrize("found", [(), (FINE,), (Collapse((), None),)])
def test_a_generator_without_collapse_has_no_note(found):
    assert collapse_notes([result(*found)]) == ()
    assert result(*found).looked == len(found)


def test_diversity_is_the_mean_over_splits_with_its_least():
    a, b = result(FINE, ALIKE, WON).diversity
    assert (a.name, a.splits, a.collapsed, a.real, a.drawn) == ("a", 3, 2, 62.0, 50.0)
    assert (a.spread, a.modes) == (pytest.approx(0.6), pytest.approx(0.5))
    assert (a.least_spread, a.least_modes) == (0.1, 0.3)
    assert (b.splits, b.collapsed, b.modes, b.least_modes) == (3, 1, None, None)


def test_two_inner_folds_are_one_split():
    named = NamedGenerator(name="gan", recipe=DCGAN())
    made = generator_result(named, 7, [((0, 0), FINE), ((0, 0), ALIKE), ((0, 1), FINE)])
    assert (made.looked, made.collapsed, made.diversity[0].splits) == (2, 1, 2)
    assert made.diversity[0].spread == pytest.approx((0.9 + 0.1 + 0.9) / 3)


def test_the_numbers_of_a_collapse_are_plain_json():
    made = replace(outcome(), generators=(result(FINE, ALIKE, WON),))
    (read,) = json.loads(json.dumps(outcome_json(made), allow_nan=False))["generators"]
    assert (read["looked"], read["collapsed"], read["discriminator_won"]) == (3, 2, 1)
    assert read["diversity"][1]["least_spread"] == 0.3
    assert read["diversity"][1]["modes"] is None
    assert read["findings"] == list(WON.sentences())
