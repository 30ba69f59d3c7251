import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import binomtest, mannwhitneyu, norm

from augury.errors import DataError, SettingsError
from augury.metrics import fidelity
from augury.metrics.copying import (
    authenticity,
    closer_to_train,
    copy_rate,
    data_copying,
    duplicates_within,
    groups_copied,
    nearest,
    nearest_other,
    neighbour_ratio,
    z_u,
)


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


def test_the_nearest_other_image_may_be_asked_to_be_of_another_patient():
    rows = np.random.default_rng(5).normal(size=(12, 3))
    rows[1] = rows[0]
    groups = ["p", "p", *"abcdefghij"]
    apart = cdist(rows, rows)
    np.fill_diagonal(apart, np.inf)
    assert nearest_other(rows) == pytest.approx(apart.min(axis=1))
    assert nearest_other(rows)[:2].tolist() == [0.0, 0.0]
    assert nearest_other(rows, groups)[0] == pytest.approx(apart[0, 2:].min())
    with pytest.raises(DataError, match="only 0 to choose from"):
        nearest_other(rows, ["p"] * 12)


@pytest.mark.parametrize(("train", "held_out"), [(90, 40), (40, 90), (50, 50)])
def test_new_images_are_as_near_to_held_out_as_to_training_images(train, held_out):
    rng = np.random.default_rng(6)
    shares = [
        closer_to_train(*(rng.normal(size=(n, 4)) for n in (30, train, held_out)), seed=seed) for seed in range(100)
    ]
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * np.std(shares) / 10)


def test_copies_are_closer_to_training_images_and_ties_count_half():
    rng = np.random.default_rng(7)
    train, held_out = rng.normal(size=(2, 40, 4))
    assert closer_to_train(train, train, held_out) == 1.0
    assert closer_to_train(held_out, train, held_out) == 0.0
    assert closer_to_train(rng.normal(size=(9, 4)), train, train) == 0.5
    drawn = rng.normal(size=(50, 4))
    found = [closer_to_train(drawn, train, held_out[:20], seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_the_neighbour_ratio_is_that_of_sorted_distances():
    rng = np.random.default_rng(8)
    fake, train = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    first, second = np.sort(cdist(fake, train), axis=1)[:, :2].T
    found = neighbour_ratio(fake, train)
    assert found.ratios == pytest.approx(first / second)
    assert 0 < found.below == np.mean(first / second < 1 / 3) < 1
    assert neighbour_ratio(train, train).below == 1.0
    twice = np.concatenate([train, train])
    assert neighbour_ratio(train, twice).ratios.tolist() == [0.0] * 30


def test_authenticity_is_zero_for_copies_and_one_far_away():
    train = np.random.default_rng(9).normal(size=(100, 8))
    assert authenticity(train + 1e-6, train) == 0.0
    assert authenticity(train + 100, train) == 1.0


@pytest.mark.parametrize(("d", "expected"), [(2, 0.39), (8, 0.59), (32, 0.73), (128, 0.81)])
def test_authenticity_of_new_images_grows_with_the_dimension(d, expected):
    rng = np.random.default_rng(10)
    values = [authenticity(*rng.normal(size=(2, 300, d))) for _ in range(6)]
    assert np.mean(values) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("n", "fake", "expected"), [(10, 0, -3.741848), (10, 2, 3.817441), (10, 1, 0.037796), (100, 0, -12.215723)]
)
def test_z_u_is_the_known_value(n, fake, expected):
    assert z_u(np.full(n, float(fake)), np.ones(n)) == pytest.approx(expected, abs=5e-7)


def test_z_u_is_scipys_without_its_continuity_term():
    rng = np.random.default_rng(11)
    fake, held_out = rng.exponential(size=30), rng.exponential(1.3, size=45)
    p = mannwhitneyu(fake, held_out, alternative="less", method="asymptotic").pvalue  # its term is + 1/2 here, as ours
    assert norm.cdf(z_u(fake, held_out)) == pytest.approx(p, rel=1e-9)


def test_c_t_is_the_mean_of_cells_by_held_out_images():
    rng = np.random.default_rng(12)
    fake, held_out = rng.exponential(size=60), rng.exponential(size=50)
    fake_cells, cells = np.repeat([0, 1, 7], 20), np.repeat([0, 1, 2], [10, 30, 10])
    first, second = (z_u(fake[fake_cells == c], held_out[cells == c]) for c in (0, 1))
    assert data_copying(fake, fake_cells, held_out, cells) == pytest.approx((10 * first + 30 * second) / 40)
    with pytest.raises(DataError, match="no cell has both"):
        data_copying(fake, fake_cells + 10, held_out, cells)
    with pytest.raises(DataError, match="every distance must have a cell"):
        data_copying(fake, cells, held_out, cells)


def test_groups_with_a_copy_are_counted_once():
    distances, index = np.array([0.0, 0.1, 0.2, 0.5, 9.0]), np.array([0, 1, 0, 2, 3])
    assert groups_copied(distances, index, ["p", "p", "q", "r"], threshold=0.5) == 1 / 3
    assert groups_copied(distances, index, ["p", "p", "q", "r"], threshold=0.6) == 2 / 3
    assert groups_copied(distances, index, ["p", "p", "q", "r"], threshold=0.0) == 0.0
    with pytest.raises(DataError, match="position of one of 3 training images"):
        groups_copied(distances, index, ["p", "p", "q"], threshold=0.5)


def test_duplicates_within_a_pool_are_found():
    pool = np.random.default_rng(13).normal(size=(40, 6))
    pool[1:10] = pool[0]
    assert duplicates_within(pool, 1e-3) == 0.25
    assert duplicates_within(pool, 0.0) == 0.0
