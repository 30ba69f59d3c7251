import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.gaussian_process.kernels import RBF
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from augury.errors import DataError, SettingsError
from augury.metrics import fidelity
from augury.metrics.fidelity import cmmd, detector_auc, kid, kid_test
from augury.metrics.frechet import frechet, frechet_reduced


def naive(real, fake):
    """Return the statistic by its formula, pair by pair."""

    def kernel(x, y):
        return (sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(rows):
        return np.mean([kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j])

    return within(real) + within(fake) - 2 * np.mean([kernel(x, y) for x in real for y in fake])


def test_kid_is_the_published_toy_value():
    real, fake = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0, 0], [2, 0], [0, 2]])
    assert kid(real, fake) == pytest.approx(-4.638888889, abs=1e-9)


@pytest.mark.parametrize("block", [1, 7, 16, 1024])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kid_is_the_naive_double_loop_in_blocks_of_any_size(block, dtype, monkeypatch):
    monkeypatch.setattr(fidelity, "BLOCK_ROWS", block)
    rng = np.random.default_rng(0)
    real, fake = rng.normal(1, 2, (23, 5)).astype(dtype), rng.normal(0, 1, (16, 5)).astype(dtype)
    assert kid(real, fake) == pytest.approx(naive(real, fake), rel=1e-11)
    assert kid(fake, real) == pytest.approx(kid(real, fake), rel=1e-11)


def test_long_features_come_in_fewer_rows(monkeypatch):
    monkeypatch.setattr(fidelity, "BLOCK_VALUES", 10)
    assert [(start, len(rows)) for start, rows in fidelity.row_blocks(np.zeros((5, 4)))] == [(0, 2), (2, 2), (4, 1)]
    assert [len(rows) for _, rows in fidelity.row_blocks(np.zeros((2, 99)))] == [1, 1]


def test_kid_of_one_law_is_zero_on_average_even_from_few_images():
    rng = np.random.default_rng(1)
    values = np.array([kid(rng.normal(size=(8, 16)), rng.normal(size=(12, 16))) for _ in range(2000)])
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean()) < 4 * error
    assert values.min() < 0 < values.max()
    shifted = np.mean([kid(rng.normal(size=(8, 16)), rng.normal(0.5, 1, (12, 16))) for _ in range(200)])
    assert shifted > 100 * error


def test_kid_of_a_shift_is_the_kernel_distance_of_the_two_laws():
    """For x, y of N(m, 1) in one dimension E (xy + 1)^3 = q^2 + 3 p^2 + 3 m^2 + 1, p = 1 + m^2, q = m^3 + 3 m."""
    rng, m = np.random.default_rng(2), 0.5
    values = [kid(rng.normal(size=(40, 1)), rng.normal(m, 1, (40, 1))) for _ in range(2000)]
    p, q = 1 + m**2, m**3 + 3 * m
    expected = (q**2 + 3 * p**2 + 3 * m**2 + 1) + (3 + 1) - 2 * (3 * p + 1)
    assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / np.sqrt(len(values)))


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), r"2 or more images are needed on both sides. Got 1 and 5"),
        (np.zeros((5, 3)), np.zeros((0, 3)), r"Got 5 and 0"),
        (np.zeros((5, 3)), np.zeros((5, 4)), r"the same D. Got \(5, 3\) and \(5, 4\): take both from one network"),
        (np.zeros((5, 0)), np.zeros((5, 0)), r"the same D"),
        (np.zeros(5), np.zeros(5), r"must be \(images, D\)"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), r"must be finite"),
        (np.full((5, 3), np.inf), np.zeros((5, 3)), r"must be finite"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(real, fake, message):
    with pytest.raises(DataError, match=message):
        kid(real, fake)


def with_moments(mean, covariance, n=200, seed=0):
    """Return (n, D) features with exactly this mean and this covariance."""
    rows = np.random.default_rng(seed).normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    whitened = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def test_kid_is_torch_fidelitys():
    rng = np.random.default_rng(3)
    real, fake = rng.normal(size=(60, 24)), rng.normal(0.3, 1.2, (60, 24))
    asked = {"kid_subsets": 1, "kid_subset_size": 60, "verbose": False}
    expected = kid_features_to_metric(torch.from_numpy(real), torch.from_numpy(fake), **asked)
    assert kid(real, fake) == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-9)


@pytest.mark.parametrize("block", [7, 1024])
def test_the_permutation_test_is_that_of_kid_itself(block, monkeypatch):
    monkeypatch.setattr(fidelity, "BLOCK_ROWS", block)
    rng = np.random.default_rng(4)
    real, fake = rng.normal(size=(14, 3)).astype(np.float32), rng.normal(0.3, 1, (11, 3)).astype(np.float32)
    found = kid_test(real, fake, permutations=400, seed=1)
    assert found.value == pytest.approx(kid(real, fake), rel=1e-11)
    rows, values = np.concatenate([real, fake]), []
    for _ in range(400):
        order = rng.permutation(25)
        values.append(kid(rows[order[:14]], rows[order[14:]]))
    share = np.mean(np.array(values) >= found.value)
    assert found.p == pytest.approx(share, abs=4 * np.sqrt(2 * share * (1 - share) / 400))


def test_the_permutation_test_keeps_its_level_and_finds_a_shift():
    rng = np.random.default_rng(5)
    null = [kid_test(*rng.normal(size=(2, 15, 4)), permutations=39, seed=i).p for i in range(300)]
    assert np.mean(np.array(null) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    assert 0.4 < np.mean(null) < 0.6
    assert kid_test(rng.normal(size=(30, 4)), rng.normal(1, 1, (30, 4)), permutations=99).p == 0.01
    same = np.ones((6, 2))
    assert kid_test(same, same).p == 1.0  # ties with the observed images count against it
    with pytest.raises(SettingsError, match=r"permutations must be 1 or more. Got 0"):
        kid_test(same, same, permutations=0)


@pytest.mark.parametrize("block", [5, 1024])
@pytest.mark.parametrize("sigma", [0.5, 10.0])
def test_cmmd_is_the_unbiased_statistic_of_scikit_learns_kernel(block, sigma, monkeypatch):
    monkeypatch.setattr(fidelity, "BLOCK_ROWS", block)
    rng = np.random.default_rng(6)
    real, fake = rng.normal(size=(17, 6)), rng.normal(1, 1, (12, 6))
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (real, fake))
    xx, yy, xy = RBF(sigma)(x), RBF(sigma)(y), RBF(sigma)(x, y)
    expected = (xx.sum() - 17) / (17 * 16) + (yy.sum() - 12) / (12 * 11) - 2 * xy.mean()
    assert cmmd(7 * real, fake, sigma) == pytest.approx(1000 * expected, rel=1e-8)


@pytest.mark.parametrize(("n", "biased"), [(50, 0.399), (200, 0.098)])
def test_cmmd_of_one_law_is_zero_where_the_published_statistic_is_not(n, biased):
    rng, values = np.random.default_rng(7), []
    for _ in range(30):
        real, fake = rng.normal(size=(2, n, 768))
        values.append(cmmd(real, fake))
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / np.sqrt(30))
    x = real / np.linalg.norm(real, axis=1, keepdims=True)
    within = RBF(10.0)(x)
    bias = 2 * 1000 * (1 - (within.sum() - n) / (n * (n - 1))) / n  # what the diagonal adds
    assert bias == pytest.approx(biased, rel=0.02)


def test_cmmd_refuses_what_has_no_direction_and_a_width_of_none():
    with pytest.raises(DataError, match="must not be all 0 for an image"):
        cmmd(np.ones((3, 2)), np.zeros((3, 2)))
    with pytest.raises(SettingsError, match=r"sigma must be above 0. Got 0"):
        cmmd(np.ones((3, 2)), np.ones((3, 2)), sigma=0)


EYE = np.eye(4)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (with_moments(np.zeros(4), EYE), with_moments(np.ones(4), 4 * EYE, seed=1), 8.0),
        (with_moments(np.zeros(4), EYE), with_moments(np.full(4, 2.0), 2.25 * EYE, n=90, seed=1), 17.0),
        (
            with_moments(np.zeros(2), np.array([[2.0, 1.0], [1.0, 2.0]])),
            with_moments(np.zeros(2), np.diag([1.0, 3.0]), seed=1),
            0.5166852264521,
        ),
        (np.array([[1, 2]] * 3), np.array([[2, 2], [1, 2], [1, 2]]), 4 / 9),
        (np.array([[1.0], [3.0]]), np.array([[2.0], [4.0]]), 1.0),
    ],
)
def test_the_frechet_distance_is_the_closed_form(a, b, expected):
    assert frechet(a, b) == pytest.approx(expected, abs=1e-10)
    assert frechet(b, a) == pytest.approx(expected, abs=1e-10)


def test_the_frechet_distance_of_one_set_is_zero_whatever_its_rank():
    rows = np.random.RandomState(1).randn(4, 4)  # a root of the product has been nan here
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-12)
    assert frechet(np.zeros((3, 5)), np.zeros((4, 5))) == 0


def test_the_frechet_distance_is_torch_fidelitys_and_that_of_scipys_root():
    rng = np.random.default_rng(8)
    real, fake = rng.normal(size=(300, 12)), rng.normal(0.2, 1.5, (250, 12)) @ rng.normal(size=(12, 12))
    statistics = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in (real, fake)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet(real, fake) == pytest.approx(expected, rel=1e-9)
    S, T = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    apart = real.mean(axis=0) - fake.mean(axis=0)
    assert frechet(real, fake) == pytest.approx(apart @ apart + np.trace(S + T - 2 * sqrtm(S @ T).real), rel=1e-9)


def test_the_frechet_distance_of_one_law_has_its_known_bias():
    rng, d, n = np.random.default_rng(9), 64, 500
    values = [frechet(*rng.normal(size=(2, n, d))) for _ in range(5)]
    assert np.mean(values) == pytest.approx((2 * d + d * (d + 1) / 2) / n, rel=0.03)


def test_the_reduced_frechet_distance_is_taken_on_the_training_images_components():
    rng = np.random.default_rng(10)
    scales = np.linspace(3, 0.1, 9)
    real, fake, train = (rng.normal(shift, scales, (n, 9)) for shift, n in ((0, 50), (0.5, 60), (0, 70)))
    components = PCA(4).fit(train)
    expected = frechet(components.transform(real), components.transform(fake))
    assert frechet_reduced(real, fake, train, most=4) == pytest.approx(expected)
    assert frechet_reduced(real, fake, train) is None  # 9 dimensions ask for 90 images
    assert frechet_reduced(real, fake[:39], train, most=4) is None
    with pytest.raises(SettingsError, match=r"most must be 1 or more components. Got 0"):
        frechet_reduced(real, fake, train, most=0)


def test_a_detector_guesses_between_two_samples_of_one_law_and_finds_a_shift():
    rng = np.random.default_rng(11)
    null = [detector_auc(*rng.normal(size=(2, 40, 5)), seed=i) for i in range(25)]
    assert np.mean(null) == pytest.approx(0.5, abs=4 * np.std(null) / 5)
    shifted = detector_auc(rng.normal(size=(400, 1)), rng.normal(1, 1, (400, 1)))
    assert shifted == pytest.approx(0.7602, abs=0.07)  # Phi(1 / sqrt 2)


def test_a_detector_does_not_know_patients_from_other_folds():
    rng = np.random.default_rng(12)
    patients = rng.normal(size=(20, 30))
    rows = np.repeat(patients, 6, axis=0) + rng.normal(0, 0.01, (120, 30))
    groups = np.repeat(np.arange(20), 6)
    assert detector_auc(rows[:60], rows[60:]) == 1.0
    assert detector_auc(rows[:60], rows[60:], groups) < 0.9


@pytest.mark.parametrize(
    ("groups", "message"),
    [(["a"] * 7, "8 images and 7 groups"), (["a"] * 4 + list("bcde"), "2 or more groups on both sides")],
)
def test_a_detector_refuses_groups_that_cannot_be_split(groups, message):
    rows = np.random.default_rng(13).normal(size=(8, 2))
    with pytest.raises(DataError, match=message):
        detector_auc(rows[:4], rows[4:], groups)
