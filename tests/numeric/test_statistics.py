import math

import numpy as np
import pytest
from baycomp import CorrelatedTTest
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from augury.errors import DataError, SettingsError
from augury.metrics import METRICS
from augury.statistics import (
    copycat_gate,
    correlated_t,
    dose_region,
    groups_needed,
    holm,
    minimum_detectable_effect,
    nadeau_bengio,
    one_standard_error,
    two_level_bootstrap,
    wilson,
)


@pytest.fixture(scope="module")
def moons():
    images, labels = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), images, labels, scoring="roc_auc", cv=folds)
        for kernel in ("rbf", "linear")
    )
    return rbf - linear


def test_interval_matches_the_published_moons_example(moons):
    interval = nadeau_bengio(moons, ratio=1 / 9)
    assert interval.mean == pytest.approx(0.0100, abs=5e-6)
    assert interval.sd == pytest.approx(0.038297, abs=5e-7)
    assert interval.mean / interval.se == pytest.approx(0.7503, abs=5e-5)
    assert interval.p_value / 2 == pytest.approx(0.2274, abs=5e-5)
    assert (interval.low, interval.high) == pytest.approx((-0.016445, 0.036445), abs=5e-7)
    assert interval.n == 100


def test_ratio_zero_is_the_ordinary_t_test_of_the_moons_example(moons):
    interval = nadeau_bengio(moons, ratio=0)
    assert interval.mean / interval.se == pytest.approx(2.6112, abs=5e-5)
    assert interval.p_value == pytest.approx(stats.ttest_1samp(moons, 0).pvalue)


def test_posterior_matches_the_published_moons_example(moons):
    assert correlated_t(moons, ratio=1 / 9, rope=0).right == pytest.approx(0.7726, abs=5e-5)
    assert correlated_t(moons, ratio=1 / 9, rope=0.01).inside == pytest.approx(0.4317, abs=5e-5)


@pytest.mark.parametrize(("x", "y", "ratio"), [([4, 2, 6], [5, 7, 3], 1 / 2), ([4, 2, 6, 4], [5, 7, 3, 5], 1)])
def test_variance_matches_baycomps_own_cases(x, y, ratio):
    interval = nadeau_bengio(np.subtract(y, x), ratio)
    assert (interval.mean, interval.se**2, interval.n) == pytest.approx((1, 40 / 3, len(x)))


@pytest.mark.parametrize(("folds", "runs", "rope"), [(5, 5, 0.01), (10, 3, 0.02), (2, 4, 0.005), (5, 1, 0.03)])
def test_posterior_equals_baycomp(folds, runs, rope):
    x, y = np.random.default_rng(folds).normal(0.8, 0.03, (2, folds * runs))
    posterior = correlated_t(y - x, 1 / (folds - 1), rope)
    assert (posterior.left, posterior.inside, posterior.right) == pytest.approx(
        CorrelatedTTest.probs(x, y, rope=rope, runs=runs), abs=1e-12
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, (0, 0, 1)), (0.0, (0, 1, 0)), (-0.5, (1, 0, 0)), (0.01, (0, 1, 0)), (-0.01, (0, 1, 0))],
)
def test_posterior_without_spread_lies_where_the_mean_lies(value, expected):
    posterior = correlated_t([value] * 4, ratio=0.25, rope=0.01)
    assert (posterior.left, posterior.inside, posterior.right) == expected


@pytest.mark.parametrize(("value", "p_value"), [(0.0, 1.0), (0.1, 0.0), (-0.1, 0.0)])
def test_interval_without_spread_is_the_mean(value, p_value):
    interval = nadeau_bengio([value] * 3, ratio=0.5)
    assert (interval.mean, interval.low, interval.high, interval.se, interval.sd) == (value, value, value, 0, 0)
    assert interval.p_value == p_value


def test_a_wider_level_gives_a_wider_interval():
    differences = [0.01, 0.03, -0.01]
    narrow, wide = (nadeau_bengio(differences, 0.5, level) for level in (0.9, 0.99))
    assert (wide.high - wide.mean) / wide.se == pytest.approx(stats.t.ppf(0.995, 2))
    assert (narrow.high - narrow.mean) / narrow.se == pytest.approx(stats.t.ppf(0.95, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nadeau_bengio([0.1], 0.25), SettingsError, "differences must be 2 or more"),
        (lambda: nadeau_bengio([0.1, 0.2], -1), SettingsError, "ratio must be"),
        (lambda: nadeau_bengio([0.1, 0.2], 0.25, level=95), SettingsError, "level must be between 0 and 1. Got 95"),
        (lambda: nadeau_bengio([0.1, math.nan], 0.25), DataError, "differences must be finite"),
        (lambda: correlated_t([0.1, 0.2], 0.25, rope=-0.1), SettingsError, "rope must be 0 or more"),
        (lambda: minimum_detectable_effect(0.1, 1, 0.25), SettingsError, "n must be 2 or more"),
        (lambda: minimum_detectable_effect(-0.1, 5, 0.25), SettingsError, "sd and ratio"),
        (lambda: minimum_detectable_effect(0.1, 5, 0.25, power=1), SettingsError, "power and level"),
        (lambda: groups_needed(0, 0.1, 0.1), SettingsError, "groups must be"),
        (lambda: groups_needed(10, 0.1, 0), SettingsError, "half_width and target"),
        (lambda: holm([0.5, 1.5]), SettingsError, "p_values must be"),
        (lambda: wilson(3, 2), SettingsError, "successes of n"),
        (lambda: wilson(0, 0), SettingsError, "successes of n"),
        (lambda: dose_region([], [], []), SettingsError, "means, ses and amounts"),
        (lambda: copycat_gate([0.1, 0.2], [0.1], 0.25, 0.01), SettingsError, "copycat and control"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("runs", "folds", "se", "half_width", "detectable"),
    [
        (1, 5, 0.671, 1.862, 2.494),
        (5, 5, 0.539, 1.111, 1.573),
        (10, 5, 0.520, 1.044, 1.485),
        (1, 10, 0.459, 1.039, 1.445),
        (3, 10, 0.380, 0.777, 1.102),
        (10, 10, 0.348, 0.691, 0.985),
    ],
)
def test_designs_have_their_standard_errors_widths_and_detectable_effects(runs, folds, se, half_width, detectable):
    n = runs * folds
    values = stats.zscore(np.arange(n), ddof=1)
    interval = nadeau_bengio(values, ratio=1 / (folds - 1))
    assert interval.se == pytest.approx(se, abs=5.1e-4)
    assert (interval.high - interval.low) / 2 == pytest.approx(half_width, abs=5.1e-4)
    assert minimum_detectable_effect(1.0, n, 1 / (folds - 1)) == pytest.approx(detectable, abs=5.1e-4)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(8, 10, 0.49, 0.94), (16, 20, 0.58, 0.92), (40, 50, 0.67, 0.89), (80, 100, 0.71, 0.87)],
)
def test_wilson_intervals(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-3)
    assert wilson(successes, n, level=0.5)[0] > wilson(successes, n)[0]


def test_groups_needed_grow_with_the_square_and_round_up():
    assert groups_needed(100, 0.04, 0.02) == 400
    assert groups_needed(100, 0.07, 0.01) == 4900
    assert groups_needed(10, 0.011, 0.01) == 13


def test_holm_keeps_the_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()


def test_one_standard_error_takes_the_smaller_amount_of_arms_that_cannot_be_told_apart():
    losses = np.array([[0.2, 0.9, 0.4, 0.7], [0.3, 0.8, 0.3, 0.7], [0.9, 1.6, 1.1, 1.4]])
    assert one_standard_error(losses, [100, 200, 0], list("abcd")) == 0


def test_one_standard_error_is_that_of_the_paired_difference():
    hardness = np.array([0.0, 1.0, 2.0, 3.0])  # a spread that all arms share must not excuse a worse one
    losses = np.stack([hardness + 0.1 + [0, 0.01, 0, 0.01], hardness])
    assert one_standard_error(losses, [0, 100], list("abcd")) == 1


@pytest.mark.parametrize(("groups", "chosen"), [("abcdefgh", 1), ("aabbccdd", 0)])
def test_one_standard_error_is_clustered_by_group(groups, chosen):
    # Mean .4; error .370 for single images, .524 for pairs that move together.
    difference = np.array([-1, -1, 0.4, 0.4, 0.4, 0.4, 1.8, 1.8])
    assert one_standard_error(np.stack([1 + difference, np.ones(8)]), [0, 50], list(groups)) == chosen


def test_clustered_error_of_single_images_is_the_textbook_one():
    difference = np.random.default_rng(0).normal(0, 1, 30)
    error = stats.sem(difference)
    centred = difference - difference.mean()
    for shift, chosen in ((0.99 * error, 0), (1.01 * error, 1)):
        losses = np.stack([5 + centred + shift, np.full(30, 5.0)])
        assert one_standard_error(losses, [0, 1], list(range(30))) == chosen


@pytest.mark.parametrize("groups", [["a", "a"], ["a"]])
def test_a_single_group_has_no_error_to_hide_in(groups):
    losses = np.array([[0.5, 0.9], [0.4, 0.8]])[:, : len(groups)]
    assert one_standard_error(losses, [0, 9], groups) == 1


def test_equal_amounts_go_to_the_lower_loss_and_then_to_the_order():
    losses = np.array([[0.52, 0.50], [0.50, 0.51], [0.50, 0.51]])
    assert one_standard_error(losses, [5, 5, 5], ["a", "b"]) == 1


@pytest.mark.parametrize(
    ("losses", "message"),
    [(np.zeros((2, 3)), "arms x images"), (np.zeros((0, 2)), "arms x images"), (np.full((2, 2), np.nan), "finite")],
)
def test_losses_that_cannot_be_compared_are_refused(losses, message):
    with pytest.raises(DataError, match=message):
        one_standard_error(losses, [0, 1], ["a", "b"])


def test_dose_region_is_the_smallest_amount_within_one_error_of_the_best():
    assert dose_region([0.70, 0.79, 0.81, 0.80], [0.5, 0.5, 0.02, 0.5], [0, 50, 100, 200]) == 1
    assert dose_region([0.70, 0.78, 0.81, 0.80], [0.5, 0.5, 0.02, 0.5], [0, 50, 100, 200]) == 2
    assert dose_region([0.81, 0.80], [0.02, 0.02], [100, 50]) == 1
    assert dose_region([0.80, 0.81], [0.02, 0.02], [50, 50]) == 1


def test_copycat_gate_fails_only_on_a_probable_difference():
    control = [0.80, 0.82, 0.78, 0.81, 0.79]
    noise = [0.02, -0.02, 0.03, -0.03, 0.01]
    passes, beyond = copycat_gate(np.add(control, noise).tolist(), control, ratio=0.25, rope=0.01)
    expected = correlated_t(noise, 0.25, 0.01)
    assert passes
    assert beyond == pytest.approx(expected.left + expected.right)
    for shift in (0.1, -0.1):
        shifted = np.add(np.add(control, shift), [0.001, 0, 0.002, 0, 0.001]).tolist()
        passes, beyond = copycat_gate(shifted, control, ratio=0.25, rope=0.01)
        assert not passes
        assert beyond > 0.95


def arms(sharpness, seeds=3, images=60, seed=0):
    """Make labels and the probabilities of a classifier whose log-odds hold `sharpness` times the truth."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % 2
    odds = sharpness * (2 * labels - 1) + generator.normal(0, 1, (seeds, images))
    positive = 1 / (1 + np.exp(-odds))
    return labels, np.stack([1 - positive, positive], axis=-1)


def bootstrap(a, b, labels, groups, **settings):
    settings = {"rope": 0.01, "seed": 1, "draws": 200, **settings}
    return two_level_bootstrap(METRICS["accuracy"].function, labels, a, b, groups, **settings)


@pytest.mark.parametrize("rope", [0.0, 0.01])
def test_bootstrap_of_an_arm_against_itself_is_zero(rope):
    labels, a = arms(1.0)
    result = bootstrap(a, a, labels, np.arange(60) // 2, rope=rope)
    assert (result.mean, result.low, result.high, result.inside, result.left, result.right) == (0, 0, 0, 1, 0, 0)


def test_bootstrap_covers_zero_between_equals_and_excludes_it_for_a_better_arm():
    labels, a = arms(1.0)
    _, equal = arms(1.0, seed=1)
    _, worse = arms(0.0, seed=2)
    same, better = (bootstrap(a, other, labels, np.arange(60)) for other in (equal, worse))
    assert same.low < 0 < same.high
    assert better.low > 0
    assert better.right > 0.95
    mirrored = bootstrap(worse, a, labels, np.arange(60))
    assert (mirrored.mean, mirrored.high, mirrored.left) == pytest.approx((-better.mean, -better.low, better.right))


def test_bootstrap_estimate_is_the_mean_over_seeds_on_all_images():
    labels, a = arms(1.0)
    _, b = arms(0.5, seed=3)
    expected = (a.argmax(-1) == labels).mean() - (b.argmax(-1) == labels).mean()
    assert bootstrap(a, b, labels, np.arange(60)).mean == pytest.approx(expected)


def test_bootstrap_draws_seeds_with_replacement():
    labels = np.arange(20) % 2
    b = np.tile(np.eye(2)[1 - labels], (3, 1, 1))
    a = b.copy()
    a[0] = np.eye(2)[labels]  # the gain of a draw is the share of its seeds that are seed 0: Binomial(3, 1/3) / 3
    result = bootstrap(a, b, labels, np.arange(20), rope=0.4, draws=1000)
    assert result.right == pytest.approx(7 / 27, abs=0.05)
    assert (result.low, result.mean, result.high) == pytest.approx((0, 1 / 3, 1))


def test_bootstrap_of_one_seed_still_resamples_groups():
    labels, a = arms(1.0, seeds=1)
    _, b = arms(0.0, seeds=1, seed=2)
    result = bootstrap(a, b, labels, np.arange(60))
    assert result.low < result.mean < result.high


def test_bootstrap_resamples_whole_groups():
    labels, a = arms(0.0, images=120)
    _, b = arms(0.0, images=120, seed=5)
    b[:, :40] = np.eye(2)[labels[:40]]
    groups = np.arange(120) // 20
    grouped, single = bootstrap(a, b, labels, groups), bootstrap(a, b, labels, np.arange(120))
    assert grouped.high - grouped.low > 1.3 * (single.high - single.low)


def test_bootstrap_repeats_with_its_seed_and_counts_its_draws():
    labels, a = arms(1.0)
    _, b = arms(0.8, seed=4)
    first, again, other = (bootstrap(a, b, labels, np.arange(60), seed=s, draws=50) for s in (1, 1, 2))
    assert first == again != other
    assert first.draws == 50
    assert first.left + first.inside + first.right == pytest.approx(1)


def test_bootstrap_redraws_a_resample_without_a_class():
    labels = np.array([0, 0, 0, 0, 0, 1])
    p = np.tile(np.array([0.4, 0.6]), (2, 6, 1))
    result = two_level_bootstrap(METRICS["auroc"].function, labels, p, p, list("abcdef"), rope=0, seed=0, draws=100)
    assert result.draws == 100


def test_bootstrap_gives_up_on_classes_that_never_meet():
    labels = np.arange(30)
    p = np.full((1, 30, 30), 1 / 30)
    with pytest.raises(DataError, match="all 30 classes"):
        bootstrap(p, p, labels, labels)


@pytest.mark.parametrize(("groups", "message"), [(["a"] * 60, "at least 2 groups"), (["a", "b"], "a group for each")])
def test_bootstrap_refuses_a_test_part_it_cannot_resample(groups, message):
    labels, a = arms(1.0)
    with pytest.raises(DataError, match=message):
        bootstrap(a, a, labels, groups)


def null_differences(studies, images=100, features=8, folds=5, runs=5, seed=0):
    """Score two exchangeable nearest-mean classifiers by repeated cross-validation: (studies, runs * folds)."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % 2
    order = [generator.permutation(images // 2) for _ in range(2 * runs)]
    fold_of = np.empty((runs, images), dtype=int)
    for run in range(runs):
        for label in range(2):
            fold_of[run, np.flatnonzero(labels == label)[order[2 * run + label]]] = np.arange(images // 2) % folds
    test = (fold_of[:, None] == np.arange(folds)[:, None]).reshape(runs * folds, images)
    scores = []
    for _ in range(2):
        data = generator.normal(size=(studies, images, features)) + 0.25 * (2 * labels - 1)[:, None]
        means = [(~test & (labels == c)) @ data / (~test & (labels == c)).sum(1)[:, None] for c in range(2)]
        margin = (means[1] - means[0]) @ data.transpose(0, 2, 1)
        threshold = ((means[1] ** 2 - means[0] ** 2).sum(-1) / 2)[..., None]
        scores.append((((margin > threshold) == labels) & test).sum(-1) / test.sum(-1))
    return scores[0] - scores[1]


def test_size_of_the_corrected_and_the_naive_test():
    differences = null_differences(studies=600)
    corrected, naive = (np.mean([nadeau_bengio(d, ratio).p_value < 0.05 for d in differences]) for ratio in (0.25, 0))
    assert corrected <= 0.10
    assert naive >= 0.30
