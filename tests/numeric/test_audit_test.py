from itertools import combinations

import numpy as np
import pytest
from scipy.stats import hypergeom

from augury.errors import DataError, SettingsError
from augury.metrics.audit_test import copying_test
from augury.metrics.copying import nearest


def distances(rng, train, drawn, held_out, copies=0, d=4):
    """Return distances of drawn and of held-out images of one law, some of the drawn ones copies."""
    known = rng.normal(size=(train, d))
    images = rng.normal(size=(drawn, d))
    images[:copies] = known[rng.permutation(train)[:copies]] + rng.normal(0, 1e-3, (copies, d))
    return nearest(images, known)[0], nearest(rng.normal(size=(held_out, d)), known)[0]


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize(("train", "drawn", "held_out"), [(60, 30, 30), (100, 100, 40), (80, 300, 100)])
def test_innocent_generators_are_rejected_no_more_often_than_alpha(splits, train, drawn, held_out):
    rng = np.random.default_rng(0)
    p = np.array([copying_test([distances(rng, train, drawn, held_out) for _ in range(splits)]).p for _ in range(400)])
    for alpha in (0.05, 0.2):
        assert (p <= alpha).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 400)
    assert (p <= 0.5).mean() > 0.15  # it is no test that never rejects


@pytest.mark.parametrize(("splits", "drawn", "held_out"), [(1, 300, 300), (3, 100, 100)])
def test_a_copier_of_five_percent_is_found(splits, drawn, held_out):
    rng = np.random.default_rng(1)
    found = [
        copying_test([distances(rng, 200, drawn, held_out, copies=drawn // 20) for _ in range(splits)])
        for _ in range(20)
    ]
    assert all(one.p <= 0.05 for one in found)
    assert found[0].limit <= 0.05


def test_p_is_the_share_of_all_ways_to_tell_drawn_from_held_out():
    rng = np.random.default_rng(2)
    one, two = (rng.permutation(12).astype(float) for _ in range(2))

    def counts(values, drawn):
        nearest_five = set(np.argsort(values)[:5])
        return [len(nearest_five & set(chosen)) for chosen in combinations(range(12), drawn)]

    found = copying_test([(one[:6], one[6:]), (two[:4], two[4:])])
    first, second = np.array(counts(one, 6)), np.array(counts(two, 4))
    sums = first[:, None] + second
    assert found.near == sums[0, 0]  # the first combination is the given one
    assert found.p == pytest.approx((sums >= found.near).mean(), rel=1e-12)
    assert found.expected == pytest.approx(sums.mean(), rel=1e-12)


def test_of_many_images_the_nearest_two_percent_count():
    drawn, held_out = np.arange(0.0, 200.0), np.arange(50.0, 550.0)
    found = copying_test([(drawn, held_out)])
    assert (found.near, found.expected) == (14, 4.0)  # 2 % of 700
    assert found.p == pytest.approx(hypergeom(700, 200, 14).sf(13))


@pytest.mark.parametrize(("splits", "near"), [(1, 10), (2, 5), (3, 5)])
def test_of_few_images_of_a_single_split_ten_count_and_five_of_each_of_several(splits, near):
    found = copying_test([(np.zeros(50), np.ones(50))] * splits)
    assert found.near == near * splits
    assert found.p == pytest.approx(hypergeom(100, 50, near).pmf(near) ** splits)


@pytest.mark.parametrize(("splits", "near"), [(1, 5), (2, 3), (3, 3)])
def test_classes_of_a_split_share_the_least_number(splits, near):
    found = copying_test([(np.zeros(50), np.ones(50))] * 2 * splits, classes=2)
    assert found.near == near * 2 * splits


def test_ties_never_speak_for_copying():
    zeros = np.zeros(40)
    found = copying_test([(zeros, zeros)])
    assert (found.near, found.p) == (0, pytest.approx(1.0))
    duplicates = np.append(np.zeros(3), np.ones(37))
    assert copying_test([(zeros, duplicates)]).near == 7
    assert copying_test([(zeros, np.ones(40))]).near == 10


@pytest.mark.parametrize(
    ("sizes", "alpha"), [([(100, 100)], 0.05), ([(400, 300)], 0.01), ([(60, 50), (60, 40), (50, 45)], 0.01)]
)
def test_copies_at_the_detection_limit_are_found_in_four_of_five_draws(sizes, alpha):
    rng = np.random.default_rng(3)
    limit = copying_test([(rng.random(G), rng.random(H)) for G, H in sizes], alpha=alpha).limit

    def power(share):
        rejected = []
        for _ in range(400):
            splits = [(rng.random(G), rng.random(H)) for G, H in sizes]
            for drawn, _ in splits:
                drawn[: int(share * len(drawn) + 1e-9)] = 0.0
            rejected.append(copying_test(splits, alpha=alpha).p <= alpha)
        return np.mean(rejected)

    assert power(limit) > 0.8 - 4 * np.sqrt(0.16 / 400)
    assert power(limit - 0.001) < 0.8 + 4 * np.sqrt(0.16 / 400)


def test_more_images_lower_the_detection_limit_and_too_few_have_none():
    rng = np.random.default_rng(4)
    limits = [copying_test([(rng.random(n), rng.random(n))]).limit for n in (30, 100, 1000)]
    assert limits[0] > limits[1] > limits[2] > 0
    assert copying_test([(rng.random(100), rng.random(10))]).limit is None
    assert copying_test([(np.zeros(2), np.ones(2))]).p == pytest.approx(1.0)


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(DataError, match="needs 1 or more splits"):
        copying_test([])
    with pytest.raises(DataError, match="held-out images must have one distance each"):
        copying_test([(np.ones(3), np.ones(0))])
    with pytest.raises(DataError, match="generated images must be finite"):
        copying_test([(-np.ones(3), np.ones(3))])
    with pytest.raises(SettingsError, match=r"alpha must be between 0 and 1. Got 1"):
        copying_test([(np.ones(3), np.ones(3))], alpha=1)
