import math

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from augury.errors import DataError, SettingsError
from augury.study.exchange import Worth, exchange_rates, percentiles, resampled_means

SIZES = (10, 25, 50, 100)


def law(sizes, shift=0.0):
    """Return the scores of a + b log(n + shift): (1, L, 1)."""
    return (0.5 + 0.1 * np.log(np.asarray(sizes) + shift))[None, :, None]


def noisy(scores, splits, rng, sd=0.02):
    """Add to scores what a split adds on all sizes, and noise of each score: (1, L, J)."""
    shared = rng.normal(0, sd, (1, 1, splits))
    return scores + shared + rng.normal(0, sd, (1, scores.shape[1], splits))


def values(plain, using, sizes=SIZES, draws=9):
    return [worth.value for worth in exchange_rates(sizes, plain, using, seed=0, draws=draws)]


@pytest.mark.parametrize("shift", [-8.0, 0.0, 3.0, 12.0])
def test_without_noise_the_shift_of_a_logarithmic_law_is_read_exactly(shift):
    found = values(law(SIZES), law(SIZES, shift))
    assert found[1:-1] == pytest.approx([shift] * 2, abs=1e-9)
    assert found[0] == (pytest.approx(shift, abs=1e-9) if shift >= 0 else -math.inf)
    assert found[-1] == (pytest.approx(shift, abs=1e-9) if shift <= 0 else math.inf)


def test_beyond_the_sizes_there_is_a_bound_and_no_number():
    above, below = (exchange_rates(SIZES, law(SIZES), law(SIZES) + by, seed=0, draws=9)[1] for by in (1, -1))
    assert (above.value, above.low, above.high, above.most) == (math.inf, math.inf, math.inf, 75)
    assert (below.value, below.low, below.high, below.least) == (-math.inf, -math.inf, -math.inf, -15)


def test_a_curve_that_falls_is_made_monotone_as_scikit_learn_does():
    plain = np.array([0.60, 0.70, 0.66, 0.80])
    fitted = IsotonicRegression().fit(np.log(SIZES), plain).predict(np.log(SIZES))
    score = 0.75
    expected = math.exp(np.interp(score, fitted[2:], np.log(SIZES[2:]))) - 25
    assert values(plain[None, :, None], np.full((1, 4, 1), score))[1] == pytest.approx(expected)


@pytest.mark.parametrize(("score", "expected"), [(0.7, [15, 0, 0, -50]), (0.699, [14.9, -0.1, -25.1, -75.1])])
def test_on_a_flat_stretch_the_nearest_place_counts(score, expected):
    plain = np.array([0.6, 0.7, 0.7, 0.8])[None, :, None]
    assert values(plain, np.full((1, 4, 1), score)) == pytest.approx(expected, abs=0.2)


def test_synthetic_images_that_change_nothing_are_worth_nothing_with_a_closed_interval():
    plain = noisy(law(SIZES), 10, np.random.default_rng(0), sd=0.001)
    for worth in exchange_rates(SIZES, plain, plain, seed=0, draws=200):
        assert (worth.value, worth.low, worth.high) == pytest.approx((0, 0, 0), abs=1e-9)


@pytest.mark.parametrize("splits", [5, 10, 25])
def test_the_interval_covers_a_known_worth(splits):
    truth, rng = 12.0, np.random.default_rng(splits)
    hits = []
    for seed in range(200):
        plain, using = (noisy(law(SIZES, shift), splits, rng) for shift in (0.0, truth))
        hits.append([w.low <= truth <= w.high for w in exchange_rates(SIZES, plain, using, seed=seed, draws=1000)[:3]])
    assert np.mean(hits) >= 0.90
    assert np.mean(hits, axis=0).min() >= 0.88


def test_draws_are_paired_over_sizes_and_sides_and_follow_the_seed():
    scores = np.random.default_rng(0).normal(size=(1, 3, 6))
    one, two, other = (resampled_means(scores + by, seed, 50) for by, seed in ((0, 1), (5, 1), (0, 2)))
    assert two - one == pytest.approx(np.full((50, 3), 5.0))
    assert not np.allclose(one, other)


def test_resampled_test_sets_widen_the_interval_and_the_estimate_is_that_of_the_test_set_itself():
    plain, using = (np.repeat(law(SIZES, shift), 5, axis=2) for shift in (0.0, 12.0))
    moved = np.random.default_rng(0).normal(0, 0.01, (30, 4, 1))
    alone = exchange_rates(SIZES, plain, using, seed=0, draws=100)[1]
    tested = exchange_rates(SIZES, *(np.concatenate([x, x + moved]) for x in (plain, using)), seed=0, draws=100)[1]
    assert alone.value == tested.value == pytest.approx(12)
    assert alone.high - alone.low < 1e-9 < 1 < tested.high - tested.low


def test_the_mean_of_few_values_is_covered_as_often_as_by_student_s_interval():
    values = np.random.default_rng(0).normal(size=6)
    low, high = percentiles(resampled_means(values[None, None], 0, 20_000), splits=6)
    expected = stats.t.interval(0.95, 5, values.mean(), values.std(ddof=1) / math.sqrt(6))
    assert (float(low[0]), float(high[0])) == pytest.approx(expected, abs=0.25 * values.std())


def test_percentiles_are_drawn_values_even_where_they_are_infinite():
    column = np.array([[-math.inf]] * 10 + [[float(i)] for i in range(80)] + [[math.inf]] * 10)
    assert [float(end[0]) for end in percentiles(column, splits=25)] == [-math.inf, math.inf]


@pytest.mark.parametrize(
    ("worth", "words"),
    [
        ((math.inf, math.inf, math.inf), "are worth more than 75 (95 % interval more than 75) further real ones"),
        ((12.2, -4.0, 30.6), "are worth 12 (95 % interval -4 to 31) further real ones"),
        ((-0.4, -2.0, 1.0), "are worth 0 (95 % interval -2 to 1) further real ones"),
        ((math.inf, 60.0, math.inf), "are worth more than 75 (95 % interval 60 to more than 75) further real ones"),
        ((-8.4, -math.inf, 3.2), "cost 8 real ones (95 % interval of their worth less than -15 to 3)"),
    ],
)
def test_the_claim_is_in_words(worth, words):
    assert Worth(*worth, least=-15, most=75).claim == words


def test_the_smallest_and_the_largest_size_tell_one_side_only():
    assert "more than the largest size tells" in Worth(math.inf, 1.0, math.inf, least=-90, most=0).claim
    assert "how many the smallest size does not tell" in Worth(-math.inf, -math.inf, 1.0, least=0, most=90).claim


def test_a_record_holds_nothing_infinite():
    record = Worth(math.inf, 3.0, math.inf, least=-15, most=75).record()
    assert record == {"value": None, "low": 3.0, "high": None, "beyond": True, "least": -15, "most": 75}


@pytest.mark.parametrize(
    ("sizes", "plain", "error", "words"),
    [
        ((10,), np.zeros((1, 1, 3)), SettingsError, "2 or more, above 0 and ascending"),
        ((25, 25), np.zeros((1, 2, 3)), SettingsError, "ascending"),
        ((10, 25), np.zeros((1, 3, 3)), DataError, "test sets x sizes x splits"),
        ((10, 25), np.full((1, 2, 3), np.nan), DataError, "finite"),
    ],
)
def test_what_cannot_be_read_is_refused(sizes, plain, error, words):
    with pytest.raises(error, match=words):
        exchange_rates(sizes, plain, plain, seed=0)
