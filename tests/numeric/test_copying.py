import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

from augury.errors import DataError, SettingsError
from augury.metrics import fidelity
from augury.metrics.copying import copy_rate, nearest


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_nearest_is_what_scipys_distances_say(block, monkeypatch):
    monkeypatch.setattr(fidelity, "BLOCK_ROWS", block)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 6)).astype(np.float32), rng.normal(size=(19, 6)).astype(np.float32)
    distances, index = nearest(a, b)
    expected = cdist(a.astype(np.float64), b.astype(np.float64))
    assert index.tolist() == expected.argmin(axis=1).tolist()
    assert distances == pytest.approx(expected.min(axis=1), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_copy_is_found_at_distance_zero(dtype):
    rng = np.random.default_rng(1)
    train = rng.integers(0, 256, (50, 784)).astype(dtype)
    order = rng.permutation(50)
    distances, index = nearest(train[order], train)
    assert index.tolist() == order.tolist()
    assert distances.tolist() == [0.0] * 50
    near = train.astype(np.float64)
    near[:, 0] += 1e-3
    assert nearest(near, train)[0] == pytest.approx(np.full(50, 1e-3))


@pytest.mark.parametrize(("held_out", "expected"), [(50, 1 / 51), (99, 0.01), (150, 1 / 151), (199, 0.01), (499, 0.01)])
def test_new_images_are_called_copies_as_often_as_expected(held_out, expected):
    rng = np.random.default_rng(2)
    rates = []
    for _ in range(400):
        train, others = rng.normal(size=(60, 3)), rng.normal(size=(held_out + 200, 3))
        distances, _ = nearest(others, train)
        found = copy_rate(distances[held_out:], distances[:held_out])
        rates.append(found.rate)
    assert found.expected == pytest.approx(expected)
    assert np.mean(rates) == pytest.approx(expected, abs=4 * np.std(rates) / np.sqrt(len(rates)))


def test_pure_copies_have_the_rate_one_and_far_images_the_rate_zero():
    rng = np.random.default_rng(3)
    train, held_out = rng.normal(size=(80, 4)), rng.normal(size=(120, 4))
    known = nearest(held_out, train)[0]
    copies = copy_rate(nearest(train, train)[0], known)
    assert (copies.rate, copies.threshold) == (1.0, known.min())
    assert copies.lower == pytest.approx(0.05 ** (1 / 80))
    far = copy_rate(nearest(held_out + 100, train)[0], known)
    assert (far.rate, far.lower) == (0.0, 0.0)


@pytest.mark.parametrize("copies", [1, 7, 40])
def test_the_lower_bound_is_scipys_exact_one(copies):
    distances = np.where(np.arange(200) < copies, 0.5, 9.0)
    found = copy_rate(distances, np.arange(1.0, 100.0))
    expected = binomtest(copies, 200, alternative="greater").proportion_ci(0.95, method="exact").low
    assert found.rate == copies / 200
    assert found.lower == pytest.approx(expected)


@pytest.mark.parametrize(
    ("held_out", "quantile", "threshold"), [(3, 0.01, 0), (99, 0.01, 0), (199, 0.01, 1), (99, 0.29, 28), (9, 0.999, 8)]
)
def test_the_threshold_is_an_order_statistic_of_the_held_out_distances(held_out, quantile, threshold):
    shuffled = np.random.default_rng(4).permutation(held_out).astype(float)
    found = copy_rate(np.array([float(threshold)]), shuffled, quantile)
    assert (found.threshold, found.rate) == (threshold, 0.0)  # as near as is not nearer
    assert found.expected == (threshold + 1) / (held_out + 1)


@pytest.mark.parametrize("quantile", [0.0, 1.0, -0.1, np.nan])
def test_a_quantile_that_is_none_is_refused(quantile):
    with pytest.raises(SettingsError, match="quantile must be between 0 and 1"):
        copy_rate(np.ones(3), np.ones(3), quantile)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(0), r"1 or more. Got shape \(0,\)"),
        (np.ones((2, 2)), r"one distance each"),
        (np.array([1.0, -1.0]), r"finite and 0 or more"),
        (np.array([1.0, np.nan]), r"finite and 0 or more"),
    ],
)
def test_distances_that_are_none_are_refused(bad, message):
    with pytest.raises(DataError, match="the generated images .*" + message):
        copy_rate(bad, np.ones(3))
    with pytest.raises(DataError, match="held-out images .*" + message):
        copy_rate(np.ones(3), bad)


@pytest.mark.parametrize("b", [np.zeros((0, 2)), np.zeros((3, 5)), np.full((3, 2), np.nan)])
def test_features_that_cannot_be_compared_are_refused(b):
    with pytest.raises(DataError, match="features"):
        nearest(np.zeros((4, 2)), b)
