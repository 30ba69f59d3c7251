import json
import math
from dataclasses import replace

import pytest

from augury.study.conclude import nothing_learned, outcome_json
from outcomes import arms, outcome


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
