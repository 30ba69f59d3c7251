"""What a clinician asks, from made-up predictions: each number beside one that is computed here by other means."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, log_loss, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from augury.classifiers.base import Exposure
from augury.images import real_set
from augury.metrics import fit_recalibration
from augury.splits import Split, SplitPlan
from augury.study import toy
from augury.study.block import Block
from augury.study.clinic import clinic, shown_arms
from augury.study.grid import Cell, arm_plans
from augury.study.study import Arm
from augury.study.subgroups import divided
from augury.study.summary import arm_results
from augury.study.table import ScoredCell

IMAGES, GENERATED = 240, "cvae · ratio 1"
SEXES = ["f", "m", ""]


def images(classes, **columns):
    labels = torch.arange(IMAGES) % classes
    pixels = torch.zeros(IMAGES, 1, 4, 4, dtype=torch.uint8)
    names = [f"class {k}" for k in range(classes)]
    groups = [f"p{i // 4}" for i in range(IMAGES)]
    return replace(real_set(pixels, labels, names, groups=groups), columns=columns)


def predicted(labels, classes, rng, skill):
    """Draw over-confident probabilities."""
    logits = 3 * (rng.normal(0, 1, (len(labels), classes)) + skill * np.eye(classes)[labels])
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def block(classes=2, *, plan="folds", repeats=2, positive="class 1", rest=0, skills=None, **columns):
    """Return the block of a study whose arms' predictions are drawn, with more skill in those that come later."""
    made, rng = images(classes, **columns), np.random.default_rng(0)
    study = toy().replace(split=SplitPlan(plan=plan, folds=2, repeats=repeats), data=toy().data.replace(source="x"))
    study = study.replace(data=study.data.replace(positive=positive), arms=(*study.arms, Arm(name="plain again")))
    everything = np.arange(IMAGES)
    skills = skills or {"real": 0.7, "plain again": 1.2, GENERATED: 1.5}
    items = []
    for repeat in range(repeats):
        for fold in range(1 if plan == "given" else 2):
            test = tuple(everything[everything // 8 % 2 == fold].tolist())
            free = [i for i in everything.tolist() if i not in test]
            ends = (free[48 : -rest or None], free[:48], test, tuple(free[-rest:]) if rest else ())
            split = Split(repeat, fold, 0, *map(tuple, ends))
            items += [scored(made, arm, split, rng, skills[arm.name]) for arm in arm_plans(study) if arm.name in skills]
    return Block(study, made, "small_cnn", tuple(items), tuple(item.cell for item in items))


def scored(made, arm, split, rng, skill):
    parts = ("val", "test", "rest") if split.rest else ("val", "test")
    labels = {part: made.labels.numpy()[list(split.part(part))] for part in parts}
    K = len(made.classes)
    cell = Cell("small_cnn", arm, split, (4,) * K if arm.generator else (0,) * K, (8,) * K, None, {})
    probabilities = {part: predicted(labels[part], K, rng, skill) for part in parts}
    return ScoredCell(
        cell, labels, probabilities, Exposure(steps=8, batch=16, real=20, synthetic=0, share=0.0, real_exposures=128)
    )


def cells_of(made, arm):
    return [item for item in made.scored if item.cell.arm.name == arm]


def test_the_arms_shown_are_real_images_and_the_choices():
    assert shown_arms(block()) == ("real", "plain again", GENERATED)
    assert [arm.arm for arm in clinic(block()).arms] == ["real", "plain again", GENERATED]
    assert clinic(block(skills={"plain again": 1.0})) is None


def test_operating_points_take_their_threshold_from_the_inner_part():
    made = block()
    found = clinic(made).arms[2].points[0]
    points = []
    for item in cells_of(made, GENERATED):
        inner, scores = (item.probabilities[part][:, 1] for part in ("val", "test"))
        rest = np.sort(inner[item.labels["val"] == 0])
        called = scores > rest[int(np.ceil(0.9 * len(rest))) - 1]
        actual = item.labels["test"] == 1
        points.append((called[actual].mean(), (~called[~actual]).mean()))
    assert (found.sensitivity, found.specificity) == pytest.approx(np.mean(points, axis=0))
    assert found.target == 0.9


def test_changes_of_sensitivity_are_paired_and_have_an_interval_over_splits_only():
    real, _, one = clinic(block()).arms
    assert [point.change for point in real.points] == [None, None]
    for before, after in zip(real.points, one.points, strict=True):
        assert after.change.mean == pytest.approx(after.sensitivity - before.sensitivity)
        assert after.change.low < after.change.mean < after.change.high
    assert np.isnan(clinic(block(plan="given")).arms[2].points[0].change.low)


def test_average_precision_is_scikit_learns_beside_the_prevalence():
    made = block(4)
    values = [
        average_precision_score(i.labels["test"] == 1, i.probabilities["test"][:, 1]) for i in cells_of(made, "real")
    ]
    assert clinic(made).arms[0].average_precision == pytest.approx(np.mean(values))
    assert clinic(made).prevalence == pytest.approx(0.25)


def test_without_a_positive_class_there_are_no_operating_points():
    found = clinic(block(positive=""))
    assert (found.prevalence, found.arms[0].points, found.arms[0].average_precision) == (None, (), None)


def test_recalibration_is_fitted_on_the_inner_part_and_scored_on_the_test_part():
    made = block(3)
    losses, balanced = [], []
    for item in cells_of(made, "real"):
        both, even = (fit_recalibration(item.labels["val"], item.probabilities["val"], how) for how in ("both", "even"))
        losses.append(log_loss(item.labels["test"], both.apply(item.probabilities["test"])))
        hard = even.apply(item.probabilities["test"]).argmax(axis=1)
        balanced.append(balanced_accuracy_score(item.labels["test"], hard))
    (found, *_), (row, *_) = clinic(made).arms, [row for row in arm_results(made) if row.arm == "real"]
    assert found.recalibrated["log_loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert found.even_balanced_accuracy == pytest.approx(np.mean(balanced))
    assert found.recalibrated["log_loss"] < row.scores["log_loss"]
    assert found.recalibrated["ece"] < row.scores["ece"]


@pytest.mark.parametrize(("plan", "images_once"), [("folds", IMAGES), ("given", IMAGES // 2)])
def test_a_reliability_diagram_counts_every_scored_image_once(plan, images_once):
    found = clinic(block(plan=plan)).arms[0]
    assert sum(point.count for point in found.reliability) == images_once
    assert sum(point.count for point in found.reliability_recalibrated) == images_once
    assert min(point.count for point in found.reliability) >= 15


@pytest.mark.parametrize(("plan", "n"), [("folds", IMAGES // 2), ("given", IMAGES // 4)])
def test_wilson_intervals_of_recall_count_each_image_once(plan, n):
    made = block(plan=plan, repeats=3)
    row = next(row for row in arm_results(made) if row.arm == "real").classes[1]
    pooled = np.concatenate([item.predicted[item.labels["test"] == 1] == 1 for item in cells_of(made, "real")])
    expected = proportion_confint(round(pooled.sum() / 3), n, method="wilson")
    assert len(pooled) == 3 * n
    assert row.recall_interval == pytest.approx(expected)


def test_one_test_set_is_scored_by_probabilities_averaged_over_trainings():
    made = block(plan="given", repeats=3)
    (found,) = clinic(made).test_sets
    labels = made.scored[0].labels["test"]
    a, b = (
        np.mean([i.probabilities["test"] for i in cells_of(made, arm)], axis=0) for arm in (GENERATED, "plain again")
    )
    assert (found.part, found.images, found.groups) == ("test", 120, 30)
    assert (found.one, found.other, found.reasons) == (GENERATED, "plain again", ())
    areas = [roc_auc_score(labels, p[:, 1]) for p in (a, b)]
    assert (found.auroc.a.auroc, found.auroc.b.auroc) == pytest.approx(areas)
    assert (found.one_score, found.other_score) == pytest.approx(areas)
    assert found.bootstrap.estimate == pytest.approx(areas[0] - areas[1])
    assert found.bootstrap.low < found.bootstrap.estimate < found.bootstrap.high
    right = [p.argmax(axis=1) == labels for p in (a, b)]
    only = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    assert found.mcnemar.p_value == pytest.approx(binomtest(only[0], sum(only)).pvalue)


def test_what_a_scarce_subset_left_out_is_one_test_set_too():
    (found,) = clinic(block(3, rest=60)).test_sets
    assert (found.part, found.images, found.auroc) == ("rest", 60, None)
    assert found.bootstrap is not None
    assert clinic(block()).test_sets == ()


def test_a_class_of_one_patient_gives_a_reason_instead_of_a_bootstrap():
    made = block(plan="given")
    groups = tuple("one" if label else name for label, name in zip(made.images.labels, made.images.groups, strict=True))
    (found,) = clinic(replace(made, images=replace(made.images, groups=groups))).test_sets
    assert found.bootstrap is None
    assert found.mcnemar is not None
    assert found.reasons[0].startswith("no bootstrap over groups: every class must have images of 2 or more groups.")


@pytest.mark.parametrize(("skill", "one"), [(2.0, "plain again"), (-1.0, "real")])
def test_without_generated_images_the_chosen_arm_meets_real_images_only(skill, one):
    made = block(plan="given", skills={"real": 0.8, "plain again": skill})
    plain = made.study.replace(arms=tuple(arm for arm in made.study.arms if arm.generator is None))
    (found,) = clinic(replace(made, study=plain)).test_sets
    assert (found.one, found.other) == (one, "real")
    same = ("both sides chose this arm most often: there is nothing to compare",)
    assert found.reasons == (same if one == "real" else ())


def test_subgroups_hold_the_mean_over_repeats_of_the_pooled_metric():
    sexes = [SEXES[i // 4 % 3] or ["", "not given"][i % 2] for i in range(IMAGES)]
    made = block(sex=sexes, constant=["x"] * IMAGES, id=[str(i) for i in range(IMAGES)])
    (table,) = clinic(made).subgroups
    assert (table.column, table.arms) == ("sex", ("real", "plain again", GENERATED))
    assert [(row.value, row.images, row.groups) for row in table.rows] == [
        ("f", 80, 20),
        ("m", 80, 20),
        ("not given", 80, 20),
    ]
    scores = []
    for repeat in (0, 1):
        items = [item for item in cells_of(made, "real") if item.cell.split.repeat == repeat]
        rows = [np.array([sexes[i] == "m" for i in item.cell.split.test]) for item in items]
        labels = np.concatenate([item.labels["test"][own] for item, own in zip(items, rows, strict=True)])
        p = np.concatenate([item.probabilities["test"][own, 1] for item, own in zip(items, rows, strict=True)])
        scores.append(roc_auc_score(labels, p))
    assert table.rows[1].scores[0] == pytest.approx(np.mean(scores))


def test_a_subgroup_without_a_score_is_a_dash():
    rare = ["few" if i < 8 else "even" if i % 2 == 0 and i < 60 else "many" for i in range(IMAGES)]
    (table,) = clinic(block(kind=rare)).subgroups
    assert {row.value: row.scores[0] is None for row in table.rows} == {"even": True, "few": True, "many": False}


LABELS, GROUPS = np.array([0, 1] * 20), np.array([f"p{i // 2}" for i in range(40)])
AGES = [str(30 + i // 2 * 2) for i in range(40)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2", "10", "1", "2"] * 10, ["1", "2", "10"]),
        (["b", "a", "", "b", "a"] * 8, ["a", "b", "not given"]),
        (["1"] * 20 + [""] * 20, ["1", "not given"]),
        ([str(age) for age in [*range(13), *range(13), *range(14)]], ["0 to 4", "5 to 8", "9 to 13"]),
        (
            [str(age) for age in [*range(13), *range(13), *range(13)]] + [""],
            ["0 to 4", "5 to 8", "9 to 12", "not given"],
        ),
        (["x"] * 40, []),
        ([""] * 40, []),
        ([str(i) for i in range(40)], []),  # one for each image
        (["benign", "malignant"] * 20, []),  # the labels
        (["a", "b", "c", "d"] * 10, []),  # one label for each value
        (GROUPS.tolist(), []),
        (AGES, []),  # one for each group
        ([f"street {i % 13}" for i in range(40)], []),  # too many names
    ],
)
def test_columns_that_divide_the_images(values, expected):
    found = divided(values, LABELS, GROUPS)
    assert list(found) == expected
    assert not found or sorted(np.concatenate(list(found.values())).tolist()) == list(range(40))
