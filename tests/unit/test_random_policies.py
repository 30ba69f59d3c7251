import math
from collections import Counter

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torchvision.transforms.v2 import InterpolationMode

from augury import colour
from augury.random_policies import (
    GEOMETRIC,
    OPERATIONS,
    PHOTOMETRIC,
    USUAL,
    WIDE,
    perform,
    rand_augment,
    resample,
    trivial_augment,
)
from augury.seeds import guarded

SIZES = [(33, 33), (33, 65), (49, 25)]


def pictures(B=1, C=3, H=16, W=16):
    return 1.8 * torch.rand(B, C, H, W, generator=torch.Generator().manual_seed(0)) - 0.9


def done(name, images, amounts, most=USUAL):
    """Change each image by one operation."""
    return perform(images, torch.full((len(images),), OPERATIONS.index(name)), torch.tensor(amounts), most)


def dot_at(x, y, H, W):
    """Return a spot on black whose centre lies at (x, y) pixels from the middle."""
    rows, columns = torch.arange(H) - (H - 1) / 2, torch.arange(W) - (W - 1) / 2
    return 2 * torch.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / 2)[None, None] - 1


def centre_of(image):
    H, W = image.shape[-2:]
    mass = (image[0, 0] + 1) / (image[0, 0] + 1).sum()
    rows, columns = torch.arange(H) - (H - 1) / 2, torch.arange(W) - (W - 1) / 2
    return float((mass.sum(0) * columns).sum()), float((mass.sum(1) * rows).sum())


# ---- geometric operations


@pytest.mark.parametrize(("H", "W"), SIZES)
@pytest.mark.parametrize("amount", [-1.0, -0.4, 0.7])
def test_a_spot_moves_where_it_should(H, W, amount):
    """The matrices take outputs to inputs: what stands at p is found again at the inverse image of p."""
    x, y = 4.0, -3.0
    t, angle = 0.3 * amount, math.radians(30 * amount)
    expected = {
        "shear_x": (x - t * y, y),
        "shear_y": (x, y - t * x),
        "rotate": (x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)),
    }
    for name, place in expected.items():
        found = centre_of(done(name, dot_at(x, y, H, W), [amount]))
        assert found == pytest.approx(place, abs=0.05), name


@pytest.mark.parametrize(("H", "W"), SIZES)
@pytest.mark.parametrize(("name", "side"), [("shift_x", 1), ("shift_y", 0)])
def test_a_shift_is_a_share_of_the_side(H, W, name, side):
    amount = 0.4  # less than what would push the spot over the edge
    moved = [0.0, 0.0]
    moved[1 - side] = -amount * USUAL.shift * (H, W)[side]
    assert centre_of(done(name, dot_at(0, 0, H, W), [amount])) == pytest.approx(moved, abs=0.05)


@pytest.mark.parametrize(("H", "W"), SIZES)
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "rotate"])
def test_shear_and_rotation_are_torchvisions_where_no_edge_shows(name, H, W):
    amount = 0.5
    settings = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    slanted = math.degrees(math.atan(USUAL.shear * amount))
    # torchvision turns clockwise
    settings |= {
        "shear_x": {"shear": [slanted, 0.0]},
        "shear_y": {"shear": [0.0, slanted]},
        "rotate": {"angle": -USUAL.rotate * amount},
    }[name]
    images = pictures(H=H, W=W)
    reference = tv.affine(images, **settings, interpolation=InterpolationMode.BILINEAR)
    middle = (..., slice(H // 2 - 6, H // 2 + 7), slice(W // 2 - 6, W // 2 + 7))
    assert torch.allclose(done(name, images, [amount])[middle], reference[middle], atol=1e-3)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_no_geometric_operation_shows_anything_but_the_image(name):
    images = pictures() / 4 + 0.5  # all above 0: black from beyond the edge would be seen
    out = done(name, images, [1.0], WIDE)
    assert images.min() - 1e-4 <= out.min() <= out.max() <= images.max() + 1e-4
    assert not torch.allclose(out, images, atol=0.1)


def test_a_displacement_is_added_to_where_an_image_is_looked_up():
    images, unmoved = pictures(H=8, W=10), torch.eye(2, 3)[None]
    two_right = torch.tensor([2 * 2 / 10, 0.0]).expand(1, 8, 10, 2)
    out = resample(images, unmoved, two_right)
    assert torch.allclose(out[..., :-2], images[..., 2:], atol=1e-4)
    assert torch.allclose(resample(images, unmoved), images, atol=1e-4)


# ---- photometric operations


@pytest.mark.parametrize(
    ("name", "operation", "strength"),
    [
        ("brightness", colour.brightness, 1 - 0.5 * 0.9),
        ("contrast", colour.contrast, 1 - 0.5 * 0.9),
        ("saturation", colour.saturation, 1 - 0.5 * 0.9),
        ("sharpness", colour.sharpness, 1 - 0.5 * 0.9),
        ("posterize", colour.posterize, 6.0),
        ("solarize", colour.solarize, 0.5 * 256 / 255),
    ],
)
def test_the_amount_becomes_the_strength(name, operation, strength):
    images = pictures()
    expected = operation((images + 1) / 2, torch.tensor([strength])) * 2 - 1
    assert torch.allclose(done(name, images, [-0.5]), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_without_a_strength_there_is_one_result(name):
    images = pictures()
    expected = getattr(colour, name)((images + 1) / 2) * 2 - 1
    assert torch.allclose(done(name, images, [0.1]), expected, atol=1e-5)
    assert torch.equal(done(name, images, [0.1]), done(name, images, [-1.0]))


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("autocontrast", "equalize")])
def test_an_amount_of_0_changes_nothing_but_the_rounding_to_8_bits(name):
    images = pictures()
    images[:, :, 0, 0], images[:, :, 0, 1] = 1.0, -1.0
    assert torch.allclose(done(name, images, [0.0]), images, atol=1.01 / 255)


def test_shifts_of_the_two_policies_are_shares_of_the_side():
    assert (WIDE.shift, USUAL.shift) == (32 / 224, 150 / 331)


# ---- grouping


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_of_a_batch_is_changed_as_if_it_were_alone(channels):
    n = 3 * len(OPERATIONS)
    images, operations = pictures(n, channels, 12, 9), torch.arange(n) % len(OPERATIONS)
    amounts = torch.linspace(-1, 1, n)
    together = perform(images, operations, amounts, WIDE)
    for i in range(n):
        alone = perform(images[i : i + 1], operations[i : i + 1], amounts[i : i + 1], WIDE)
        assert torch.allclose(together[i], alone[0], atol=1e-5), OPERATIONS[operations[i]]


def test_identity_returns_the_image_to_the_bit():
    images = pictures(3)
    out = done("identity", images, [1.0, 0.0, -1.0])
    assert torch.equal(out, images)
    assert out is not images


# ---- the two policies


@pytest.mark.parametrize("policy", [trivial_augment, lambda images: rand_augment(images, 2, 0.5)])
@pytest.mark.parametrize("shape", [(20, 1, 8, 8), (20, 3, 9, 17)])
def test_a_policy_draws_by_seed_and_stays_in_the_range(policy, shape):
    images = pictures(*shape)
    before, results = images.clone(), []
    for seed in (0, 0, 1):
        with guarded(seed):
            results.append(policy(images))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert results[0].shape == images.shape
    assert results[0].abs().max() <= 1 + 1e-5
    assert torch.equal(images, before)


@pytest.fixture
def record(monkeypatch):
    """Catch what the policies hand on, and change nothing."""
    calls = []

    def catch(images, operations, amounts, most):
        calls.append((operations, amounts, most))
        return images

    monkeypatch.setattr("augury.random_policies.perform", catch)
    return calls


@pytest.mark.parametrize(("channels", "operations"), [(1, OPERATIONS[:-1]), (3, OPERATIONS)])
def test_trivial_augment_draws_every_operation_and_every_strength_evenly(record, channels, operations):
    with guarded(0):
        trivial_augment(torch.zeros(14_000, channels, 8, 8))
    ((drawn, amounts, most),) = record
    counts = Counter(OPERATIONS[i] for i in drawn.tolist())
    assert most is WIDE
    assert set(counts) == set(operations)
    expected = 14_000 / len(operations)
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in counts.values())
    shares = torch.histc(amounts, 10, -1, 1) / len(amounts)
    assert (shares - 0.1).abs().max() < 0.02


def test_rand_augment_takes_its_number_of_operations_at_one_strength(record):
    with guarded(0):
        rand_augment(torch.zeros(500, 3, 8, 8), 3, 0.4)
    assert len(record) == 3
    assert not torch.equal(record[0][0], record[1][0])
    for _, amounts, most in record:
        assert most is USUAL
        assert set(amounts.tolist()) == {torch.tensor(0.4).item(), torch.tensor(-0.4).item()}
        assert 180 < (amounts > 0).sum() < 320


def test_there_are_the_fourteen_operations_of_the_papers():
    assert len(OPERATIONS) == len(set(OPERATIONS)) == 14
    assert len(GEOMETRIC) + len(PHOTOMETRIC) == 13
