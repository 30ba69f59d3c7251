import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from augury.errors import DataError, SettingsError
from augury.metrics import (
    METRICS,
    Recalibration,
    brier,
    calibration_error,
    cross_fitted,
    ece,
    fit_recalibration,
    reliability,
)
from augury.statistics import wilson

HOWS = ("temperature", "prior", "both", "even")
NORMS = ("l1", "l2", "max")
POSITIVE, HITS = np.array([0.25, 0.25, 0.55, 0.75, 0.75]), np.array([0, 0, 1, 1, 1])
THREE = np.array([[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]])


def draw(images, classes, temperature=1.0, shifts=0.0, spread=2.0, seed=0):
    """Draw labels from probabilities, and distort these so that the given correction would restore them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (images, classes))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((images, 1))).sum(axis=1)
    return labels, softmax(temperature * (logits - shifts), axis=1)


def reference_loss(labels, probabilities, temperature=1.0, shifts=0.0):
    logs = log_softmax(np.log(probabilities) / temperature + shifts, axis=1)
    return -logs[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_brier_is_scikit_learns_on_its_full_scale(classes):
    labels, p = draw(200, classes)
    expected = brier_score_loss(labels, p, labels=list(range(classes)), scale_by_half=False)
    assert brier(labels, p) == pytest.approx(expected)
    assert brier(labels, np.eye(classes)[(labels + 1) % classes]) == 2.0


def test_half_of_the_two_class_brier_is_the_squared_error_of_the_positive_class():
    labels, p = draw(200, 2)
    assert brier(labels, p) / 2 == pytest.approx(np.mean((p[:, 1] - labels) ** 2))


@pytest.mark.parametrize(
    ("norm", "binary", "three"), [("l1", 0.29, 0.2), ("l2", 0.2918, 0.2082), ("max", 0.3167, 0.2333)]
)
def test_calibration_errors_are_the_published_ones(norm, binary, three):
    value = calibration_error(POSITIVE, HITS, bins=2, norm=norm, spacing="width")
    assert value == pytest.approx(binary, abs=5e-5)
    assert ece(np.array([0, 1, 2, 0]), THREE, bins=3, norm=norm, spacing="width") == pytest.approx(three, abs=5e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_errors_of_equal_width_equal_torchmetrics(norm, bins):
    labels, p = draw(400, 3, temperature=1.7)
    hits = labels == 1
    expected = binary_calibration_error(torch.tensor(p[:, 1]), torch.tensor(hits).int(), bins, norm)
    assert calibration_error(p[:, 1], hits, bins, norm, "width") == pytest.approx(float(expected), abs=1e-6)
    expected = multiclass_calibration_error(torch.tensor(p), torch.tensor(labels), 3, bins, norm)
    assert ece(labels, p, bins, norm, "width") == pytest.approx(float(expected), abs=1e-6)


def test_a_confidence_of_one_falls_into_the_last_bin_of_equal_width():
    assert calibration_error(np.array([0.95, 1.0]), np.array([1, 0]), bins=10, spacing="width") == pytest.approx(0.475)


@pytest.mark.parametrize("digits", [12, 1])
def test_reliability_equals_scikit_learns_quantile_bins(digits):
    labels, p = draw(300, 2, temperature=1.5)
    confidences = p[:, 1].round(digits)
    points = reliability(confidences, labels, bins=10)
    frequencies, means = calibration_curve(labels, confidences, n_bins=10, strategy="quantile")
    assert [point.frequency for point in points] == pytest.approx(frequencies)
    assert [point.confidence for point in points] == pytest.approx(means)
    assert sum(point.count for point in points) == 300


def test_equal_mass_error_is_that_of_the_reliability_diagram():
    labels, p = draw(301, 3, temperature=2.0)
    points = reliability(p.max(axis=1), p.argmax(axis=1) == labels, bins=15)
    gaps = [point.count * abs(point.frequency - point.confidence) for point in points]
    assert {point.count for point in points} == {20, 21}
    assert ece(labels, p) == METRICS["ece"].function(labels, p) == pytest.approx(sum(gaps) / 301)


def test_equal_confidences_share_a_bin_and_empty_bins_are_left_out():
    confidences = np.array([0.1, 0.2] + [0.6] * 6 + [0.9, 0.95])
    points = reliability(confidences, np.arange(10) % 2, bins=5)
    assert [(point.low, point.high, point.count) for point in points] == [(0.1, 0.2, 2), (0.6, 0.6, 6), (0.9, 0.95, 2)]
    assert [point.interval for point in points] == [wilson(1, 2), wilson(3, 6), wilson(1, 2)]


def test_calibration_error_takes_half_precision_that_exceeds_one():
    p = np.array([[1.0005, 0.0], [0.25, 0.75]], dtype=np.float16)
    assert ece(np.array([0, 1]), p, bins=2) == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("confidences", "hits", "settings", "error", "message"),
    [
        ([0.5], [1, 0], {}, DataError, "pair up"),
        ([], [], {}, DataError, "pair up"),
        ([1.5], [1], {}, DataError, "0 to 1"),
        ([np.nan], [1], {}, DataError, "0 to 1"),
        ([0.5], [1], {"bins": 0}, SettingsError, "bins must be 1 or more. Got 0"),
        ([0.5], [1], {"norm": "l3"}, SettingsError, "norm must be one of l1, l2, max. Got 'l3'"),
        ([0.5], [1], {"spacing": "even"}, SettingsError, "spacing must be one of mass, width"),
    ],
)
def test_calibration_errors_that_cannot_be_computed_are_refused(confidences, hits, settings, error, message):
    with pytest.raises(error, match=message):
        calibration_error(np.array(confidences), np.array(hits), **settings)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_known_temperature_is_recovered(temperature, classes):
    found = fit_recalibration(*draw(20_000, classes, temperature, spread=1.5), "temperature")
    assert found.temperature == pytest.approx(temperature, rel=0.04)
    assert found.shifts == (0.0,) * classes


def test_known_shifts_are_recovered_with_and_without_a_temperature():
    shifts = np.array([1.0, 0.0, -1.0])
    assert fit_recalibration(*draw(20_000, 3, 1.0, shifts), "prior").shifts == pytest.approx(shifts, abs=0.06)
    both = fit_recalibration(*draw(20_000, 3, 2.0, shifts), "both")
    assert both.temperature == pytest.approx(2.0, rel=0.04)
    assert both.shifts == pytest.approx(shifts, abs=0.06)


def test_temperature_equals_a_line_search_and_beats_a_grid():
    labels, p = draw(150, 4, temperature=2.5, spread=0.7)

    def with_prior(temperature):
        return reference_loss(labels, p, temperature) + np.log(temperature) ** 2 / (2 * 150)

    reference = minimize_scalar(with_prior, bounds=(0.05, 20), options={"xatol": 1e-9})
    found = fit_recalibration(labels, p, "temperature")
    assert found.temperature == pytest.approx(reference.x, rel=1e-4)
    best = with_prior(found.temperature)
    assert all(best <= with_prior(t) + 1e-9 for t in np.geomspace(0.05, 20, 200))


def test_both_for_two_classes_is_platt_scaling():
    labels, p = draw(20_000, 2, 2.0, np.array([0.5, -0.5]), spread=1)
    platt = LogisticRegression(C=1e9, tol=1e-9).fit(np.log(p[:, 1:] / p[:, :1]), labels)
    found = fit_recalibration(labels, p, "both")
    assert 1 / found.temperature == pytest.approx(platt.coef_[0, 0], abs=1e-3)
    assert found.shifts[1] - found.shifts[0] == pytest.approx(platt.intercept_[0], abs=1e-3)


@pytest.mark.parametrize("how", ["temperature", "prior", "both"])
def test_shifts_and_temperature_have_the_priors_that_are_said(how):
    labels, p = draw(40, 3, temperature=2.0, shifts=np.array([1.0, 0.0, -1.0]), spread=0.7)
    free = np.array([how != "prior", *[how != "temperature"] * 3])

    def negative_log_posterior(point):
        heat, *shifts = point * free
        prior = heat**2 / 2 + np.square(shifts).sum() / (2 * 2.0**2)
        return 40 * reference_loss(labels, p, np.exp(heat), np.array(shifts)) + prior

    reference = minimize(negative_log_posterior, np.zeros(4)).x * free
    found = fit_recalibration(labels, p, how)
    assert found.shifts == pytest.approx(reference[1:], abs=1e-4)
    assert np.log(found.temperature) == pytest.approx(reference[0], abs=1e-4)


@pytest.mark.parametrize("how", ["temperature", "both"])
@pytest.mark.parametrize("images", [1, 2, 5, 40])
@pytest.mark.parametrize("spread", [0.5, 4.0, 40.0])
def test_a_fit_is_never_worse_than_none_on_its_own_images(how, images, spread):
    log_loss = METRICS["log_loss"].function
    for seed in range(10):
        labels, p = draw(images, 3, temperature=3.0, spread=spread, seed=seed)
        assert log_loss(labels, fit_recalibration(labels, p, how).apply(p)) <= log_loss(labels, p) + 1e-6


@pytest.mark.parametrize("how", HOWS)
def test_a_fit_withstands_hard_absent_and_separated_classes(how):
    labels = np.array([0, 0, 1, 1, 0])
    for p in (np.eye(4)[labels], np.eye(4)[labels[::-1]], np.full((5, 4), 0.25)):
        found = fit_recalibration(labels, p, how)
        assert 0.05 - 1e-9 <= found.temperature <= 20 + 1e-9
        assert np.abs(found.shifts).max() < 12
        corrected = found.apply(p)
        assert corrected.dtype == np.float32
        assert corrected.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-6)
        assert found == fit_recalibration(labels, p, how)


@pytest.mark.parametrize("how", ["temperature", "both"])
def test_a_few_perfectly_separated_images_do_not_make_probabilities_sure(how):
    labels = np.array([0, 1, 0, 1])
    for sure in (0.51, 0.7, 0.9):
        p = np.where(np.eye(2)[labels] == 1, sure, 1 - sure)
        assert 0.4 < fit_recalibration(labels, p, how).temperature < 1
        assert 1 < fit_recalibration(1 - labels, p, how).temperature < 5


def test_many_perfectly_separated_images_stop_at_the_smallest_temperature():
    labels = np.arange(20_000) % 2
    p = np.where(np.eye(2)[labels] == 1, 0.51, 0.49)
    assert fit_recalibration(labels, p, "temperature").temperature == pytest.approx(0.05)
    assert fit_recalibration(1 - labels, p, "temperature").temperature == pytest.approx(20)


def test_temperature_keeps_the_order_of_the_images_it_is_surest_of():
    rare = np.array([1e-9, 2e-9, 1e-10, 1e-8])
    corrected = Recalibration(1.5, (0.0, 0.0)).apply(np.stack([1 - rare, rare], axis=1))
    assert corrected[:, 1].argsort().tolist() == rare.argsort().tolist()


def test_no_correction_returns_the_probabilities():
    _, p = draw(50, 3)
    assert Recalibration(1.0, (0.0, 0.0, 0.0)).apply(p) == pytest.approx(p, abs=1e-6)


def test_even_divides_each_class_by_its_mean_probability_after_a_temperature_fit():
    labels, p = draw(500, 3, 2.0, np.array([-1.5, 0.0, 1.5]))
    found, plain = fit_recalibration(labels, p, "even"), fit_recalibration(labels, p, "temperature")
    prior = plain.apply(p).mean(axis=0)
    assert found.temperature == plain.temperature
    odds = plain.apply(p) / prior
    assert found.apply(p) == pytest.approx(odds / odds.sum(axis=1, keepdims=True), abs=1e-5)


def test_even_raises_the_balanced_accuracy_of_unequal_classes():
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.05).astype(int)
    logit = rng.normal(3 * labels, 1.5) - 1.5 + np.log(0.05 / 0.95)
    p = np.stack([1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))], axis=1)
    balanced = METRICS["balanced_accuracy"].function
    even = fit_recalibration(labels[::2], p[::2], "even").apply(p[1::2])
    assert balanced(labels[1::2], even) > balanced(labels[1::2], p[1::2]) + 0.1


def test_even_never_divides_by_less_than_half_an_image():
    p = np.array([[0.5, 0.5, 0.0]] * 10)
    assert fit_recalibration(np.arange(10) % 2, p, "even").shifts[2] == pytest.approx(np.log(20))


@pytest.mark.parametrize("how", HOWS)
def test_cross_fitting_keeps_an_images_own_group_out_of_its_correction(how):
    labels, p = draw(60, 3, temperature=2.0)
    groups = np.random.default_rng(1).integers(0, 17, 60).astype(str)
    before = cross_fitted(labels, p, groups, how)
    for name in np.unique(groups)[:5]:
        own = groups == name
        relabelled = np.where(own, (labels + 1) % 3, labels)
        after = cross_fitted(relabelled, p, groups, how)
        assert (after[own] == before[own]).all()
        assert (after[~own] != before[~own]).any()


def test_cross_fitting_deals_groups_to_about_equal_folds_of_its_seed():
    labels, p = draw(200, 2, temperature=2.0, spread=0.7)
    groups = np.arange(200) // 8
    first = cross_fitted(labels, p, groups, "temperature", folds=5, seed=3)
    temperatures = np.round(np.log(p[:, 1] / p[:, 0]) / np.log(first[:, 1] / first[:, 0]), 3)
    _, counts = np.unique(temperatures, return_counts=True)
    assert counts.tolist() == [40] * 5
    assert all(len(np.unique(temperatures[groups == group])) == 1 for group in range(25))
    assert (first == cross_fitted(labels, p, groups, "temperature", folds=5, seed=3)).all()
    assert (first != cross_fitted(labels, p, groups, "temperature", folds=5, seed=4)).any()


def test_cross_fitting_leaves_each_group_out_where_groups_are_few():
    labels, p = draw(30, 2, temperature=2.0)
    groups = np.repeat(["a", "b", "c"], 10)
    expected = [fit_recalibration(labels[groups != g], p[groups != g], "both").apply(p[groups == g]) for g in "abc"]
    assert (cross_fitted(labels, p, groups, "both") == np.concatenate(expected)).all()
    alone = cross_fitted(labels, p, ["a"] * 30, "both")
    assert (alone == p.astype(np.float32)).all()


def test_recalibrations_that_cannot_be_fitted_are_refused():
    labels, p = draw(10, 3)
    with pytest.raises(SettingsError, match="temperature, prior, both, even\\. Got 'platt'"):
        fit_recalibration(labels, p, "platt")
    with pytest.raises(DataError, match="softmax"):
        fit_recalibration(labels, 2 * p, "both")
    with pytest.raises(DataError, match="the classes of the recalibration"):
        Recalibration(1.0, (0.0, 0.0)).apply(p)
    with pytest.raises(DataError, match="10 images and 9 groups"):
        cross_fitted(labels, p, range(9), "both")
    with pytest.raises(SettingsError, match="folds must be 2 or more"):
        cross_fitted(labels, p, range(10), "both", folds=1)
