import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from augury.errors import DataError, SettingsError
from augury.metrics import METRICS
from augury.one_test_set import delong, mcnemar, patient_bootstrap

ACCURACY, AUROC = METRICS["accuracy"].function, METRICS["auroc"].function


def by_definition(labels, scores):
    """Compute placement values pair by pair, as DeLong et al. 1988 define them."""
    kernel = [[(x > y) + 0.5 * (x == y) for y in scores[labels == 0]] for x in scores[labels == 1]]
    return np.mean(kernel, axis=1), np.mean(kernel, axis=0)


def tied_scores(seed, images=60):
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % 3 // 2
    a, b = (np.round(rng.normal(labels * gain, 1) + rng.normal(0, 0.5, images), 1) for gain in (1.2, 0.6))
    return labels, a, b


def patients(count, each, seed, gain=1.0):
    """Draw patients with `each` images of one class and one common error: labels, probabilities (N, 2), groups."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(count), each)
    labels = groups % 2
    logits = gain * (2 * labels - 1) + rng.normal(0, 1.5, count)[groups] + rng.normal(0, 0.3, len(groups))
    positive = 1 / (1 + np.exp(-logits))
    return labels, np.stack([1 - positive, positive], axis=1), groups


def test_delong_reproduces_the_published_auroc_and_variance():
    poor, good = np.repeat(np.arange(1, 6), (2, 12, 1, 8, 18)), np.repeat(np.arange(1, 6), (37, 20, 3, 8, 4))
    found = delong(np.repeat([1, 0], (41, 72)), np.concatenate([poor, good]))
    assert found.auroc == pytest.approx(0.8236788618, abs=1e-10)
    assert found.variance == pytest.approx(0.00146991470882363, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, found.auroc, found.se))


@pytest.mark.parametrize("seed", range(5))
def test_paired_delong_equals_the_definition(seed):
    labels, a, b = tied_scores(seed)
    (a10, a01), (b10, b01) = by_definition(labels, a), by_definition(labels, b)
    matrix = np.cov(a10, b10) / len(a10) + np.cov(a01, b01) / len(a01)
    se = np.sqrt(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1])
    difference = a10.mean() - b10.mean()
    found = delong(labels, a, b)
    assert (found.a.auroc, found.b.auroc) == pytest.approx((a10.mean(), b10.mean()))
    assert (found.a.variance, found.b.variance, found.covariance) == pytest.approx(matrix[[0, 1, 0], [0, 1, 1]])
    assert (found.difference, found.se, found.z) == pytest.approx((difference, se, difference / se))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(difference / se)))
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, difference, se))
    assert found.a == delong(labels, a)


def test_delong_is_antisymmetric_and_takes_any_positive_class():
    labels, a, b = tied_scores(9)
    forth, back = delong(labels, a, b), delong(labels, b, a)
    assert (forth.difference, forth.z, forth.low) == pytest.approx((-back.difference, -back.z, -back.high))
    assert (forth.p_value, forth.covariance) == pytest.approx((back.p_value, back.covariance))
    assert delong(labels, -a, positive=0).variance == pytest.approx(delong(labels, a).variance)
    assert delong(np.where(labels == 1, 4, labels), a, positive=4) == delong(labels, a)


def test_scores_that_rank_alike_do_not_differ():
    labels, a, _ = tied_scores(1)
    same = delong(labels, a, np.exp(a))
    assert (same.difference, same.se, same.z, same.p_value, same.low, same.high) == (0, 0, 0, 1, 0, 0)
    opposite = delong(labels, labels.astype(float), 1.0 - labels)
    assert (opposite.difference, opposite.z, opposite.p_value) == (1, np.inf, 0)


def test_the_interval_of_an_auroc_ends_at_one():
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = delong(labels, np.array([1, 2, 3.5, 3, 5, 6]))
    assert found.auroc + 1.96 * found.se > 1 == found.high


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [([0, 0, 1], [1, 2, 3], "Got 1 and 2"), ([1, 1], [1, 2], "Got 2 and 0"), ([0, 1], [1], "pair up"),
     ([0, 0, 1, 1], [1, 2, np.nan, 3], "finite")],
)  # fmt: skip
def test_delong_refuses_what_has_no_variance(labels, scores, message):
    with pytest.raises(DataError, match=message):
        delong(np.array(labels), np.array(scores, dtype=float))


@pytest.mark.parametrize(("only_a", "only_b"), [(10, 2), (2, 10), (5, 5), (0, 0), (1, 0), (30, 17)])
def test_mcnemar_equals_statsmodels(only_a, only_b):
    labels = np.ones(only_a + only_b + 7, dtype=int)
    a, b = labels.copy(), labels.copy()
    b[:only_a], a[only_a : only_a + only_b], a[-2:], b[-2:] = 0, 0, 2, 2
    found = mcnemar(labels, a, b)
    expected = statsmodels_mcnemar([[5, only_a], [only_b, 2]], exact=True).pvalue
    assert (found.a_only, found.b_only) == (only_a, only_b)
    assert found.p_value == pytest.approx(expected)
    assert found.mid_p <= found.p_value


def test_mcnemar_matches_the_closed_forms():
    found = mcnemar(np.zeros(12, dtype=int), np.repeat([0, 1], (10, 2)), np.repeat([1, 0], (10, 2)))
    assert (found.p_value, found.mid_p) == pytest.approx((0.03857421875, 0.0224609375))


@pytest.mark.parametrize("sizes", [(2, 2, 3), (2, 3, 2), (0, 0, 0)])
def test_mcnemar_refuses_lists_that_do_not_pair_up(sizes):
    with pytest.raises(DataError, match="pair up"):
        mcnemar(*(np.zeros(size, dtype=int) for size in sizes))


def test_bootstrap_of_single_images_equals_scipys():
    labels, p, groups = patients(80, 1, seed=0)
    expected = stats.bootstrap(
        ((p.argmax(axis=1) == labels).astype(float),),
        np.mean,
        method="BCa",
        n_resamples=2000,
        batch=256,
        random_state=np.random.default_rng(4),
    ).confidence_interval
    found = patient_bootstrap(ACCURACY, labels, p, groups, resamples=2000, seed=4)
    assert found.estimate == ACCURACY(labels, p)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_paired_bootstrap_equals_scipys_of_the_differences():
    labels, p, groups = patients(80, 1, seed=0)
    _, other, _ = patients(80, 1, seed=1, gain=0.3)
    gains = (p.argmax(axis=1) == labels).astype(float) - (other.argmax(axis=1) == labels)
    expected = stats.bootstrap(
        (gains,), np.mean, method="BCa", batch=256, n_resamples=999, random_state=np.random.default_rng(0)
    )
    found = patient_bootstrap(ACCURACY, labels, p, groups, other=other, resamples=999)
    assert found.estimate == pytest.approx(gains.mean())
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval))
    back = patient_bootstrap(ACCURACY, labels, other, groups, other=p, resamples=999)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low), abs=0.03)


def test_bootstrap_of_auroc_is_near_delong_for_single_images():
    labels, p, groups = patients(300, 1, seed=2)
    found, expected = patient_bootstrap(AUROC, labels, p, groups, resamples=2000), delong(labels, p[:, 1])
    assert found.estimate == pytest.approx(expected.auroc)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.015)


def test_interval_widens_with_the_size_of_the_groups():
    labels, p, groups = patients(40, 6, seed=3)
    whole = patient_bootstrap(AUROC, labels, p, groups, resamples=1000)
    single = patient_bootstrap(AUROC, labels, p, np.arange(len(groups)), resamples=1000)
    assert whole.high - whole.low > 1.6 * (single.high - single.low)


def test_intervals_cover_the_truth_of_clustered_images():
    truth = stats.norm.cdf(1 / np.hypot(1.5, 0.3))  # share of images on their own side
    intervals = [patient_bootstrap(ACCURACY, *patients(30, 4, seed), resamples=200, seed=seed) for seed in range(100)]
    assert 86 <= sum(one.low <= truth <= one.high for one in intervals) <= 100


def test_resamples_without_a_class_are_drawn_again_by_the_seed():
    labels, p, groups = patients(16, 2, seed=5)
    labels = (groups < 2).astype(int)  # 11 % of resamples hold no image of class 1
    first = patient_bootstrap(AUROC, labels, p, groups, resamples=300, seed=1)
    assert 0 <= first.low <= first.estimate <= first.high <= 1
    assert first == patient_bootstrap(AUROC, labels, p, groups, resamples=300, seed=1)
    assert first != patient_bootstrap(AUROC, labels, p, groups, resamples=300, seed=2)


def test_an_interval_of_resamples_that_are_all_equal_is_their_value():
    labels, p, groups = patients(20, 2, seed=6)
    none = patient_bootstrap(ACCURACY, labels, p, groups, other=p, resamples=50)
    assert (none.estimate, none.low, none.high) == (0, 0, 0)
    perfect = patient_bootstrap(AUROC, labels, np.eye(2)[labels], groups, resamples=50)
    assert (perfect.low, perfect.high) == (1, 1)


def test_bootstrap_refuses_what_it_cannot_resample():
    labels, p, groups = patients(6, 2, seed=7)
    with pytest.raises(DataError, match="Class index 1 has those of 1"):
        patient_bootstrap(AUROC, (groups == 3).astype(int), p, groups)
    with pytest.raises(DataError, match="12 images and 11 groups"):
        patient_bootstrap(AUROC, labels, p, groups[1:])
    with pytest.raises(DataError, match="probabilities \\(images"):
        patient_bootstrap(AUROC, labels, p, groups, other=p[1:])
    with pytest.raises(SettingsError, match="Got 0 and"):
        patient_bootstrap(AUROC, labels, p, groups, resamples=0)
    with pytest.raises(SettingsError, match="Got 9 and 95"):
        patient_bootstrap(AUROC, labels, p, groups, resamples=9, level=95)
