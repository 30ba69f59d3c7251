import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchmetrics.classification import BinarySensitivityAtSpecificity

from augury.errors import DataError, SettingsError
from augury.metrics import average_precision, operating_point, prevalence, threshold_for_specificity

TARGETS = (0.01, 0.5, 0.55, 0.8, 0.9, 0.95, 1.0)


def scored(images=200, digits=12, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, images)
    return labels, (1 / (1 + np.exp(-rng.normal(1.2 * labels, 1)))).round(digits)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("digits", [12, 1])
def test_sensitivity_at_specificity_equals_torchmetrics_on_the_same_images(target, digits):
    labels, scores = scored(digits=digits)
    reference = BinarySensitivityAtSpecificity(min_specificity=target)
    expected, _ = reference(torch.tensor(scores), torch.tensor(labels))
    point = operating_point(labels, scores, labels, scores, positive=1, target=target)
    assert point.sensitivity == pytest.approx(float(expected))
    assert point.specificity >= target


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("digits", [12, 1])
def test_no_smaller_threshold_reaches_the_specificity(target, digits):
    labels, scores = scored(digits=digits)
    rest = scores[labels == 0]
    threshold = threshold_for_specificity(labels, scores, 1, target)
    assert (rest < threshold).mean() >= target
    assert (rest < np.nextafter(threshold, -np.inf)).mean() < target


def test_a_target_that_rounding_lifts_above_a_whole_number_needs_no_further_image():
    labels, scores = np.zeros(100, dtype=int), np.arange(100.0)
    assert threshold_for_specificity(labels, scores, 1, 0.55) == pytest.approx(54)  # 0.55 * 100 > 55


def test_the_threshold_comes_from_the_inner_part_alone():
    inner = np.array([0, 0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.9, 0.5])
    labels, scores = np.array([0, 0, 1, 1, 2]), np.array([0.2, 0.6, 0.4, 0.25, 0.1])
    point = operating_point(*inner, labels, scores, positive=1, target=0.75)
    assert (point.target, point.sensitivity) == (0.75, 0.5)
    assert point.threshold == pytest.approx(0.3)
    assert point.specificity == pytest.approx(2 / 3)


@pytest.mark.parametrize("precision", ["float16", "float32", "float64"])
def test_equal_scores_fall_on_the_same_side_in_every_precision(precision):
    labels, scores = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.4, 0.4, 0.5], dtype=precision)
    point = operating_point(labels, scores, labels, scores, positive=1, target=0.5)
    assert (point.sensitivity, point.specificity) == (0.5, 1.0)


@pytest.mark.parametrize("digits", [12, 1, 0])
def test_average_precision_equals_scikit_learns(digits):
    labels, scores = scored(digits=digits)
    assert average_precision(labels, scores, 1) == pytest.approx(average_precision_score(labels, scores))
    assert average_precision(labels, -scores, 0) == pytest.approx(average_precision_score(1 - labels, -scores))


def test_average_precision_of_one_class_against_the_rest():
    rng = np.random.default_rng(2)
    labels, scores = rng.integers(0, 4, 100), rng.random(100).astype(np.float32)
    assert average_precision(labels, scores, 2) == pytest.approx(average_precision_score(labels == 2, scores))
    assert average_precision(labels, np.ones(100), 2) == pytest.approx(prevalence(labels, 2))


def test_operating_points_that_cannot_be_found_are_refused():
    labels, scores = np.array([0, 1]), np.array([0.1, 0.9])
    with pytest.raises(DataError, match="not of class index 1"):
        threshold_for_specificity(np.array([1, 1]), scores, 1, 0.9)
    for target in (0.0, 1.1, np.nan):
        with pytest.raises(SettingsError, match="above 0 and up to 1"):
            threshold_for_specificity(labels, scores, 1, target)
    with pytest.raises(DataError, match="Got 0 and 2"):
        operating_point(labels, scores, np.array([0, 0]), scores, 1, 0.9)
    with pytest.raises(DataError, match="an image of class index 2"):
        average_precision(labels, scores, 2)
    with pytest.raises(DataError, match="at least one image"):
        prevalence(np.array([]), 1)


@pytest.mark.parametrize(
    ("scores", "message"), [([0.1], "pair up"), ([0.1, np.nan], "finite"), ([[1], [2]], "pair up")]
)
def test_scores_that_do_not_fit_are_refused(scores, message):
    with pytest.raises(DataError, match=message):
        average_precision(np.array([0, 1]), np.array(scores), 1)
