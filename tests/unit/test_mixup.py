import pytest
import torch
from scipy.stats import beta, kstest

from augury.errors import DataError, SettingsError
from augury.mixup import blend, cutmix, mixup
from augury.seeds import guarded

MIXTURES = [mixup, cutmix]


def numbered(n=16, H=8, W=8, C=1):
    """Return images that are constant, each at its own number, and one-hot rows that say which is which."""
    return torch.arange(float(n)).view(n, 1, 1, 1).expand(n, C, H, W).contiguous(), torch.eye(n)


def mixed(mixture, images, targets, alpha, seed=0):
    with guarded(seed):
        return mixture(images, targets, alpha)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_blends_pixels_and_labels_by_the_same_share(alpha):
    images, targets = numbered(64)
    out, soft = mixed(mixup, images, targets, alpha)
    numbers = torch.arange(64.0)
    assert torch.allclose(out.amax((1, 2, 3)), out.amin((1, 2, 3)), atol=1e-5)
    assert torch.allclose(out[:, 0, 0, 0], soft @ numbers, atol=1e-3)  # own * i + (1 - own) * partner
    assert ((soft > 0).sum(1) <= 2).all()
    # the share from the pixels alone
    partner = (soft * (1 - torch.eye(64))).argmax(1)
    other = partner != torch.arange(64)
    own = (out[:, 0, 0, 0] - partner) / (numbers - partner)
    assert torch.allclose(own[other & (own < 1)], soft.diagonal()[other & (own < 1)], atol=1e-4)


@pytest.mark.parametrize(("H", "W"), [(8, 8), (16, 9), (33, 64)])
@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_cutmix_mixes_labels_by_the_area_that_is_pasted(H, W, alpha):
    images, targets = numbered(64, H, W, C=3)
    out, soft = mixed(cutmix, images, targets, alpha)
    shares = torch.stack([(out == number).float().mean((1, 2, 3)) for number in range(64)], 1)
    assert torch.allclose(shares, soft, atol=1e-6)
    assert (soft.diagonal() < 1).sum() > 0


def test_cutmix_pastes_one_rectangle_in_place():
    n, H, W = 40, 24, 16
    images = torch.rand(n, 1, H, W, generator=torch.Generator().manual_seed(0))
    out, soft = mixed(cutmix, images, torch.eye(n), 1.0)
    for i in range(n):
        pasted = out[i, 0] != images[i, 0]
        rows, columns = pasted.any(1), pasted.any(0)
        assert torch.equal(pasted, rows[:, None] & columns)
        for line in (rows, columns):
            assert line.int().diff().abs().sum() <= 2  # one run
        partner = int((soft[i] * (1 - torch.eye(n)[i])).argmax())
        assert torch.equal(out[i, 0][pasted], images[partner, 0][pasted])


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_are_beta_distributed(monkeypatch, mixture, alpha):
    # a box of any size lies inside, so that CutMix shows the share that was drawn
    monkeypatch.setattr("augury.mixup._cut", lambda own, side: (torch.zeros_like(own), side * (1 - own).sqrt()))
    n = 4000
    _, soft = mixed(mixture, torch.zeros(n, 1, 1, 1), torch.eye(n), alpha)
    own = soft.diagonal()
    assert own.mean() == pytest.approx(0.5, abs=0.03)
    assert own.var() == pytest.approx(1 / (8 * alpha + 4), rel=0.06)
    # largest gap between the two distribution functions; float32 rounds 2 % of the shares to 1 at alpha = 0.2
    assert kstest(own.numpy(), beta(alpha, alpha).cdf).statistic < 0.035


def test_one_share_is_drawn_per_image():
    _, soft = mixed(mixup, *numbered(32), 1.0)
    assert len(soft.diagonal().unique()) >= 30


def test_the_boxes_of_cutmix_have_the_drawn_area_where_no_edge_cuts_them():
    """With alpha so large that every share is 1/2, whole boxes cover half the area."""
    _, soft = mixed(cutmix, *numbered(500, 64, 64), 1e6)
    pasted = 1 - soft.diagonal()
    assert pasted.max() == pytest.approx(0.5, abs=0.01)
    # a side c about a uniform centre overlaps the image by c - c^2 / 4 on average, here c = sqrt(1/2), on both axes
    side = 0.5**0.5
    assert pasted.mean() == pytest.approx((side - side**2 / 4) ** 2, abs=0.015)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_rows_still_sum_to_1_also_of_soft_labels(mixture):
    targets = torch.rand(50, 5, generator=torch.Generator().manual_seed(0)).softmax(1)
    images, _ = numbered(50)
    _, soft = mixed(mixture, images, targets, 0.5)
    assert torch.allclose(soft.sum(1), torch.ones(50), atol=1e-6)
    assert (soft >= 0).all()
    assert not torch.allclose(soft, targets)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_the_same_seed_gives_the_same_mixture_and_inputs_are_left(mixture):
    images, targets = numbered()
    before = images.clone(), targets.clone()
    first, second, third = (mixed(mixture, images, targets, 1.0, seed) for seed in (0, 0, 1))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], third[1])
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


# ---- one of the two


def test_with_neither_on_a_batch_is_returned_as_it_is():
    images, targets = numbered()
    assert blend(images, targets, mixup_alpha=0.0, cutmix_alpha=0.0) == (images, targets)


@pytest.mark.parametrize(("mixture", "alphas"), [(mixup, (0.7, 0.0)), (cutmix, (0.0, 0.7))])
def test_with_one_on_it_is_that_one(mixture, alphas):
    images, targets = numbered()
    with guarded(3):
        out = blend(images, targets, mixup_alpha=alphas[0], cutmix_alpha=alphas[1])
    expected = mixed(mixture, images, targets, 0.7, seed=3)
    assert torch.equal(out[0], expected[0])
    assert torch.equal(out[1], expected[1])


def test_with_both_on_each_batch_is_mixed_by_one_of_them_at_even_odds():
    images, targets = numbered()
    cut = 0
    for seed in range(200):
        with guarded(seed):
            out, _ = blend(images, targets, mixup_alpha=1.0, cutmix_alpha=1.0)
        cut += bool((out == out.round()).all())  # pasted pixels are whole numbers, blended ones are not
    assert 70 < cut < 130


# ---- what is refused


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_an_alpha_that_is_none_is_refused(mixture, alpha):
    with pytest.raises(SettingsError, match=r"expected a number above 0\. Got .*: 0 turns them off"):
        mixture(*numbered(), alpha)


@pytest.mark.parametrize("alphas", [(-0.1, 0.0), (0.0, -0.1)])
def test_an_alpha_below_0_is_refused_of_both(alphas):
    with pytest.raises(SettingsError, match="above 0"):
        blend(*numbered(), mixup_alpha=alphas[0], cutmix_alpha=alphas[1])


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("targets", [torch.arange(16), torch.eye(15), torch.eye(16, dtype=torch.long)])
def test_labels_that_are_no_shares_are_refused(mixture, targets):
    with pytest.raises(DataError, match=r"a row of class shares per image, float \(16, K\)\. Got .*one-hot"):
        mixture(numbered()[0], targets, 1.0)
