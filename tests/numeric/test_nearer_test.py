from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import hypergeom, permutation_test

from augury.errors import DataError
from augury.metrics.nearer_test import Hits, hits, nearer_test

SHUFFLES = 20_000
MARGIN = 4 * np.sqrt(0.25 / SHUFFLES)


def made(weights, trained, train, held_out, strata=None):
    """Return hits of which all classes have as many groups."""
    n = len(weights)
    strata = np.zeros(n, int) if strata is None else np.array(strata)
    return Hits(np.array(weights), np.array(trained, dtype=bool), np.tile([train, held_out], (n, 1)), strata)


def alike(rng, drawn=60, train=40, held_out=40, d=3, copies=0):
    """Return hits of a generator that draws from the law of the images, some of its images being copies."""
    real = rng.normal(size=(train + held_out, d))
    fake = rng.normal(size=(drawn, d))
    fake[:copies] = real[rng.integers(train, size=copies)]
    labels = np.zeros(train, int), np.zeros(held_out, int)
    names = [f"t{i}" for i in range(train)], [f"h{i}" for i in range(held_out)]
    return hits(fake, real[:train], real[train:], labels=labels, groups=names)


# ---- which groups are hit


@pytest.mark.parametrize(("drawn", "looked_at"), [(3, 3), (5, 5), (100, 10), (600, 12)])
def test_the_drawn_images_nearest_to_any_real_one_are_looked_at(drawn, looked_at):
    rng = np.random.default_rng(0)
    train, held_out, fake = (rng.normal(size=(n, 2)) for n in (30, 20, drawn))
    groups = [f"p{i // 3}" for i in range(30)], [f"q{i // 2}" for i in range(20)]
    labels = np.repeat([0, 1], 15), np.repeat([0, 1], 10)
    found = hits(fake, train, held_out, labels=labels, groups=groups)
    apart = cdist(fake, np.concatenate([train, held_out]))
    near = apart.argmin(1)[np.argsort(apart.min(1))[:looked_at]]
    names = np.array([*groups[0], *groups[1]])
    expected = {name: int((names[near] == name).sum()) for name in names[near]}
    assert dict(zip(np.unique(names[near]), found.weights.tolist(), strict=True)) == expected
    assert found.trained.tolist() == [name.startswith("p") for name in sorted(expected)]
    assert found.weights.sum() == looked_at


def test_equal_names_on_both_sides_are_different_groups():
    numbered = ["#0", "#1"]  # what images without groups are called
    train, held_out = np.array([[0.0], [9.0]]), np.array([[1.0], [5.0]])
    same_class = np.zeros(2, int)
    found = hits(np.array([[0.1], [0.9]]), train, held_out, labels=(same_class,) * 2, groups=(numbered, numbered))
    assert (found.weights.tolist(), found.trained.tolist()) == ([1, 1], [True, False])


def test_groups_are_counted_class_by_class():
    labels = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 1, 1])
    groups = ["a", "a", "b", "c", "d"], ["e", "f", "g", "g"]
    train, held_out = np.arange(5.0)[:, None], np.arange(10.0, 14.0)[:, None]
    found = hits(np.array([[0.0], [13.0]]), train, held_out, labels=labels, groups=groups)
    assert found.strata.tolist() == [0, 1]
    assert found.others.tolist() == [[2, 1], [2, 2]]


# ---- the p value


def test_p_is_that_of_scipys_permutation_test_over_all_ways_to_deal_the_groups():
    weights, trained = np.array([5, 1, 2, 1, 0, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 1, 0, 0])
    exact = permutation_test(
        (trained,),
        lambda dealt, axis=-1: (dealt * weights).sum(axis),
        permutation_type="pairings",
        alternative="greater",
        n_resamples=np.inf,
        vectorized=True,
    )
    found = nearer_test([made([5, 1, 2, 1], trained[:4], 4, 4)])
    assert found == pytest.approx(exact.pvalue, abs=MARGIN)


@pytest.mark.parametrize(("hit", "trained", "train", "held_out"), [(6, 6, 20, 30), (9, 5, 12, 12), (4, 0, 5, 9)])
def test_of_groups_hit_once_the_number_is_hypergeometric(hit, trained, train, held_out):
    found = nearer_test([made([1] * hit, [i < trained for i in range(hit)], train, held_out)])
    assert found == pytest.approx(hypergeom(train + held_out, train, hit).sf(trained - 1), abs=MARGIN)


def test_classes_and_splits_add_up():
    one = made([3, 1, 2], [1, 0, 1], 3, 4, strata=[0, 0, 1])
    two = made([1, 4], [1, 1], 2, 3)

    def sums(weights, train, held_out):
        dealt = combinations(range(train + held_out), train)
        return np.array([sum(weights[i] for i in chosen if i < len(weights)) for chosen in dealt])

    parts = sums([3, 1], 3, 4), sums([2], 3, 4), sums([1, 4], 2, 3)
    total = parts[0][:, None, None] + parts[1][:, None] + parts[2]
    assert nearer_test([one, two]) == pytest.approx((total >= 3 + 2 + 5).mean(), abs=MARGIN)


@pytest.mark.parametrize("copies", [0, 20])
def test_a_generator_of_the_law_is_rejected_no_more_often_than_alpha_and_a_copier_nearly_always(copies):
    rng = np.random.default_rng(1)
    p = np.array([nearer_test([alike(rng, copies=copies)], seed=i, permutations=400) for i in range(200)])
    if copies:
        assert (p <= 0.05).mean() > 0.8
        return
    for alpha in (0.05, 0.2, 0.5):
        assert (p <= alpha).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 200)
    assert (p <= 0.5).mean() > 0.2  # it is no test that never rejects


def test_blur_is_not_mistaken_for_copying():
    rng = np.random.default_rng(2)
    p = []
    for i in range(100):
        train, held_out, law = (rng.normal(size=(50, 6)) for _ in range(3))
        labels, groups = (np.zeros(50, int),) * 2, ([f"t{j}" for j in range(50)], [f"h{j}" for j in range(50)])
        found = hits(0.3 * law, train, held_out, labels=labels, groups=groups)
        p.append(nearer_test([found], seed=i, permutations=400))
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)


def test_one_patient_hit_many_times_is_one_witness():
    found = nearer_test([made([50], [True], 30, 30)])
    assert found == pytest.approx(0.5, abs=MARGIN)
    assert nearer_test([made([1] * 12, [True] * 12, 30, 30)]) < 0.001


def test_more_splits_make_it_surer_and_p_is_never_zero():
    one = made([1] * 5, [True] * 5, 10, 10)
    few, many = nearer_test([one] * 2), nearer_test([one] * 10)
    assert 1 / (1 + SHUFFLES) <= many < few
    assert nearer_test([one] * 40) == pytest.approx(1 / (1 + SHUFFLES))


def test_the_seed_decides_and_without_splits_there_is_no_test():
    one = made([1, 2, 1], [True, False, True], 4, 5)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002  this is the generator that must stay as it is
    assert nearer_test([one], seed=3) == nearer_test([one], seed=3)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    with pytest.raises(DataError, match="needs 1 or more splits"):
        nearer_test([])
