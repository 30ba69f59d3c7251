import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch_fidelity.metric_prc import prc_features_to_metric

from augury.errors import DataError, SettingsError
from augury.metrics import fidelity
from augury.metrics.neighbours import neighbours, other_neighbours
from augury.metrics.support import Support, expected_coverage, support


def drawn(real, fake, d, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(real, d)), rng.normal(0.2, scale, (fake, d))


@pytest.mark.parametrize("block", [7, 1024])
@pytest.mark.parametrize(
    ("real", "fake", "d", "scale", "k"), [(60, 90, 4, 0.6, 5), (90, 40, 16, 1.3, 3), (9, 8, 2, 1, 1)]
)
def test_support_is_prdcs(real, fake, d, scale, k, block, monkeypatch, capsys):
    monkeypatch.setattr(fidelity, "BLOCK_ROWS", block)
    a, b = drawn(real, fake, d, scale)
    expected = compute_prdc(a, b, k)
    assert vars(support(a, b, k)) == pytest.approx(expected, abs=1e-12)


def test_precision_and_recall_are_torch_fidelitys():
    real, fake = drawn(80, 70, 8, 0.7)
    asked = {"prc_neighborhood": 3, "prc_batch_size": 100, "save_cpu_ram": False, "verbose": False}
    expected = prc_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), **asked)
    found = support(real, fake, 3)
    assert (found.precision, found.recall) == pytest.approx((expected["precision"], expected["recall"]))


def test_narrow_images_are_precise_and_recall_little():
    rng = np.random.default_rng(1)
    found = support(3 * rng.normal(size=(200, 16)), 0.1 * rng.normal(size=(200, 16)))
    assert found.precision > 0.8
    assert found.recall < 0.3


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("block", [13, 1024])
def test_a_set_supports_itself_exactly(offset, block, monkeypatch):
    monkeypatch.setattr(fidelity, "BLOCK_ROWS", block)
    rows = np.random.default_rng(2).normal(size=(300, 24)) + offset
    order = np.random.default_rng(3).permutation(300)
    assert support(rows, rows[order]) == Support(1.0, 1.0, 1.0, 1.0)


def test_balls_without_a_radius_hold_nothing():
    rows = np.repeat(np.random.default_rng(4).normal(size=(5, 3)), 8, axis=0)
    assert support(rows, rows) == Support(0.0, 0.0, 0.0, 0.0)


def test_new_images_of_the_law_have_density_one_and_the_expected_coverage():
    found = [support(*np.random.default_rng(seed).normal(size=(2, 100, 3))) for seed in range(60)]
    for name, expected in (("density", 1.0), ("coverage", expected_coverage(100, 100))):
        values = [getattr(one, name) for one in found]
        assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / np.sqrt(60))


def test_support_in_64_dimensions_is_the_known_one():
    found = support(*np.random.default_rng(5).normal(size=(2, 1000, 64)))
    assert vars(found) == pytest.approx(
        {"precision": 0.727, "recall": 0.731, "density": 0.973, "coverage": 0.968}, abs=0.07
    )


@pytest.mark.parametrize(
    ("real", "fake", "k", "expected"),
    [
        (200, 200, 5, 0.969916),
        (1000, 1000, 5, 0.968984),
        (10000, 10000, 5, 0.968773),
        (100, 500, 5, 0.999887),
        (50, 50, 3, 0.882537),
    ],
)
def test_the_expected_coverage_is_the_closed_form(real, fake, k, expected):
    assert expected_coverage(real, fake, k) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(("real", "fake", "k"), [(5, 9, 5), (9, 0, 5), (9, 9, 0)])
def test_a_coverage_of_too_few_is_refused(real, fake, k):
    with pytest.raises(SettingsError, match="k >= 1, more than k real images and 1 generated one"):
        expected_coverage(real, fake, k)


@pytest.mark.parametrize("block", [4, 1024])
@pytest.mark.parametrize("k", [1, 3, 9])
def test_neighbours_are_those_of_all_distances_sorted(k, block, monkeypatch):
    monkeypatch.setattr(fidelity, "BLOCK_ROWS", block)
    a, b = drawn(15, 11, 4)
    distances, index = neighbours(a, b, k)
    expected = np.linalg.norm(a[:, None] - b, axis=2)
    assert index.tolist() == expected.argsort(axis=1)[:, :k].tolist()
    assert distances == pytest.approx(np.sort(expected, axis=1)[:, :k], rel=1e-12)


@pytest.mark.parametrize("block", [4, 1024])
def test_other_neighbours_are_of_other_groups(block, monkeypatch):
    monkeypatch.setattr(fidelity, "BLOCK_ROWS", block)
    a, _ = drawn(15, 1, 3)
    groups = np.array(list("aaabbbcccdddeee"))
    expected = np.linalg.norm(a[:, None] - a, axis=2)
    for names in (None, groups):
        same = np.eye(15, dtype=bool) if names is None else groups[:, None] == groups
        apart = np.where(same, np.inf, expected)
        distances, index = other_neighbours(a, 2, names)
        assert index.tolist() == apart.argsort(axis=1)[:, :2].tolist()
        assert distances == pytest.approx(np.sort(apart, axis=1)[:, :2], rel=1e-12)


def test_neighbours_that_there_are_not_are_refused():
    rows = np.zeros((4, 2))
    with pytest.raises(DataError, match=r"5 nearest images were asked for. Some image has only 4 to choose from"):
        neighbours(rows, rows, 5)
    with pytest.raises(DataError, match="Some image has only 1 to choose from"):
        other_neighbours(rows, 2, ["a", "a", "a", "b"])
    with pytest.raises(DataError, match="4 images and 3 groups"):
        other_neighbours(rows, 1, ["a", "b", "c"])
    with pytest.raises(SettingsError, match=r"k must be 1 or more nearest images. Got 0"):
        neighbours(rows, rows, 0)
    with pytest.raises(SettingsError, match="k must be 1 or more"):
        support(rows, rows, 0)
    with pytest.raises(DataError, match=r"6 or more images are needed on both sides. Got 4 and 4"):
        support(rows, rows)
