import numpy as np
import pytest

from augury.errors import DataError
from augury.metrics import fidelity
from augury.metrics.fidelity import kid


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
