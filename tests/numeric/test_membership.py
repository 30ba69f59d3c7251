import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import gaussian_kde
from sklearn.metrics import roc_auc_score, roc_curve

from augury.errors import DataError, SettingsError
from augury.metrics.membership import domias, membership


def images(*numbers, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, d)) for n in numbers]


def test_a_copycat_gives_its_members_away():
    train, held_out = images(60, 150)
    found = membership(train, held_out, fake=train)
    assert (found.auc, found.low, found.high, found.tpr, found.fpr) == (1.0, 1.0, 1.0, 1.0, 0.01)


@pytest.mark.parametrize("held_out", [40, 120])
def test_the_attack_is_the_roc_curve_of_distances(held_out):
    train, unseen, fake = images(80, held_out, 50)
    fake = np.concatenate([fake, train[:20] + 0.2])
    found = membership(train, unseen, fake)
    truth = np.repeat([1, 0], [80, held_out])
    scores = -cdist(np.concatenate([train, unseen]), fake).min(axis=1)
    assert found.auc == pytest.approx(roc_auc_score(truth, scores))
    assert found.low < found.auc < found.high
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.fpr == (0.01 if held_out >= 100 else 0.1)
    assert found.tpr == pytest.approx(true[false <= found.fpr].max())


@pytest.mark.parametrize("attack", ["membership", "domias"])
def test_images_of_an_innocent_generator_tell_nothing(attack):
    inside = []
    for seed in range(40):
        train, held_out, fake, reference = images(60, 60, 80, 80, seed=seed)
        found = (
            membership(train, held_out, fake) if attack == "membership" else domias(train, held_out, fake, reference)
        )
        inside.append(found.low <= 0.5 <= found.high)
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 40)


def test_domias_finds_the_members_of_a_copycat():
    train, held_out, reference = images(200, 200, 200, d=8)
    found = domias(train, held_out, train, reference)
    assert found.low > 0.6
    noisy = train + np.random.default_rng(1).normal(0, 0.3, train.shape)
    assert domias(train, held_out, noisy, reference).low > 0.5


def test_domias_ranks_as_scipys_densities_do():
    """On components of variance 1 the one difference is SciPy's use of each sample's own covariance."""
    train, held_out, reference = images(300, 300, 300, d=2)
    found = domias(train, held_out, train[:60], reference)
    drawn, known = (gaussian_kde(rows.T) for rows in (train[:60], reference))
    scores = [(drawn.logpdf(rows.T) - known.logpdf(rows.T)) for rows in (train, held_out)]
    expected = roc_auc_score(np.repeat([1, 0], 300), np.concatenate(scores))
    assert found.auc == pytest.approx(expected, abs=0.01)


def test_domias_of_a_collapsed_generator_is_a_number():
    train, held_out, reference = images(50, 50, 50)
    found = domias(train, held_out, np.tile(train[0], (40, 1)), reference)
    assert 0 <= found.auc <= 1


def test_domias_draws_images_by_its_seed():
    arrays = images(90, 90, 90, 90)
    arrays[2][:45] = arrays[0][:45]
    found = [domias(*arrays, seed=seed, most=50).auc for seed in (3, 3, 4)]
    assert found[0] == found[1] != found[2]


def test_what_cannot_be_attacked_is_refused():
    train, held_out, fake = images(5, 5, 5)
    with pytest.raises(DataError, match="2 or more images are needed"):
        membership(train, held_out[:1], fake)
    with pytest.raises(DataError, match="the same D"):
        domias(train, held_out, fake, np.zeros((5, 2)))
    with pytest.raises(SettingsError, match=r"most must be 2 or more images. Got 1"):
        domias(train, held_out, fake, held_out, most=1)
