import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from augury import collapse
from augury.collapse import ClassDiversity, Collapse, detect, late_share
from augury.errors import DataError
from augury.images import real_set
from augury.readers import read
from augury.stored import StoredPixels
from toy import nothing_touched, toy_images

SHARED = Path(__file__).parents[3] / "shared" / "data"
SETS = {"digits": "digits", "breast": SHARED / "breastmnist.npz", "pneumonia": SHARED / "pneumoniamnist_rebuilt.npz"}


@cache
def images_of(name):
    if name != "digits" and not SETS[name].exists():
        pytest.skip(f"{SETS[name].name} is not here")
    return read(SETS[name])


def plain(pixels, labels=None, classes=1):
    """Return an image set without digests of its pixels, which would cost more than the detector."""
    labels = torch.zeros(len(pixels), dtype=torch.int64) if labels is None else labels
    return real_set(pixels, labels, [f"class {k}" for k in range(classes)], digests=[""] * len(pixels))


def halves(images, seed, most=500):
    """Return two random halves of every class, of at most so many images each."""
    rng, ones, others = np.random.default_rng(seed), [], []
    for label in range(len(images.classes)):
        rows = rng.permutation(np.flatnonzero(images.labels.numpy() == label))
        half = min(len(rows) // 2, most)
        ones, others = [*ones, *rows[:half]], [*others, *rows[half : 2 * half]]
    return [plain(images.images[rows], images.labels[rows], len(images.classes)) for rows in (ones, others)]


def repeated(images, how_many, per_class=60, noise=0, seed=0):
    """Return some images of each class again and again, with noise of so many grey levels."""
    rng = np.random.default_rng(seed)
    rows = [
        rng.choice(rng.choice(np.flatnonzero(images.labels.numpy() == label), how_many, replace=False), per_class)
        for label in range(len(images.classes))
    ]
    pixels = images.images[np.concatenate(rows)].double() + torch.from_numpy(
        rng.normal(0, noise, (sum(map(len, rows)), *images.shape))
    )
    labels = images.labels[np.concatenate(rows)]
    return plain(pixels.round().clamp(0, 255).to(torch.uint8), labels, len(images.classes))


@pytest.mark.parametrize(
    ("name", "most"), [("digits", 100), ("breast", 20), ("breast", 100), ("pneumonia", 20), ("pneumonia", 40)]
)
def test_silent_on_real_images_in_100_draws(name, most):
    images = images_of(name)
    found = [detect(*halves(images, seed, most), seed=seed) for seed in range(100)]
    assert [collapse.sentences() for collapse in found if collapse.fired] == []
    assert {len(collapse.classes) for collapse in found} == {len(images.classes)}
    assert (found[0].classes[0].modes is None) == (most < 40)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("how_many", "noise"), [(1, 0), (1, 10), (1, 20), (2, 0)])
@pytest.mark.parametrize("seed", range(3))
def test_fires_for_every_class_of_few_images_again_and_again(name, how_many, noise, seed):
    real, others = halves(images_of(name), seed)
    found = detect(real, repeated(others, how_many, 200, noise, seed))
    assert all(one.collapsed for one in found.classes)
    assert len(found.sentences()) == len(real.classes)
    if how_many == 1:
        assert max(one.spread for one in found.classes) < 0.5


@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (3, 8)])
def test_fires_for_two_digits_of_ten_by_the_modes_alone(one, other):
    digits, rows = images_of("digits"), np.random.default_rng(0).permutation(1797)
    rest = rows[900:]
    two = rest[np.isin(digits.labels.numpy()[rest], (one, other))]
    (found,) = detect(plain(digits.images[rows[:900]]), plain(digits.images[two])).classes
    assert found.collapsed
    assert found.spread > 0.6
    assert found.modes < 0.5


@pytest.mark.parametrize("value", [0, 128])
def test_fires_for_constant_images(value):
    digits = images_of("digits")
    flat = dataclasses.replace(digits, images=torch.full_like(digits.images, value))
    found = detect(digits, flat)
    assert [one.spread for one in found.classes] == pytest.approx([0] * 10, abs=1e-9)
    assert all(one.collapsed for one in found.classes)


@pytest.mark.parametrize("name", ["breast", "pneumonia"])
@pytest.mark.parametrize("seed", range(5))
def test_blur_is_no_collapse(name, seed):
    real, others = halves(images_of(name), seed)
    found = detect(real, plain(gaussian_blur(others.images, 9, 2.0), others.labels, 2))
    assert not found.fired
    assert min(one.modes for one in found.classes) > 0.6


def test_what_is_said_is_in_the_users_words():
    alike = ClassDiversity("malignant", 100, 100, 0.08, 0.1, True)
    kinds = ClassDiversity("normal", 100, 100, 0.9, 0.214, True)
    fine = ClassDiversity("benign", 100, 100, 0.9, None, False)
    found = Collapse((alike, fine, kinds), 0.9984)
    assert found.sentences() == (
        "class 'malignant': the drawn images vary less than half as much as real ones (spread 0.08 of real)",
        "class 'normal': the drawn images show few of the kinds of real images "
        "(effective number of kinds 0.21 of real)",
        "the discriminator tells nearly every image apart (99.8 % in the last fifth of the training): "
        "the generator has stopped learning from it",
    )
    assert not Collapse((fine,), 0.9).fired
    assert Collapse((fine,), 0.9).sentences() == ()
    assert Collapse((fine,), 1.0).fired


@pytest.mark.parametrize(
    ("right", "wins"),
    [
        ([], False),
        ([0.99], True),
        ([0.98] * 10, False),
        ([1.0] * 8 + [0.5] * 2, False),
        ([0.5] * 8 + [1.0] * 2, True),
        ([0.5] * 4 + [1.0] * 3, True),
    ],
)
def test_the_discriminator_wins_by_the_last_fifth(right, wins):
    assert Collapse((), late_share(right)).discriminator_wins == wins
    images = toy_images()
    assert detect(images, images, right).discriminator_wins == wins


@pytest.mark.parametrize("bad", [1.01, -0.1, float("nan")])
def test_shares_that_are_none_are_refused(bad):
    with pytest.raises(DataError, match="between 0 and 1 at each step"):
        late_share([0.5, bad, 0.5])


def test_the_spread_is_the_ratio_of_standard_deviations():
    images = toy_images(classes=2, per_class=40, seed=1)
    middle = images.images.double().mean(0)
    shrunk = middle + 0.6 * (images.images - middle)
    (one, _) = detect(images, dataclasses.replace(images, images=shrunk.round().to(torch.uint8))).classes
    assert one.spread == pytest.approx(0.6, abs=0.01)


def test_the_modes_are_the_effective_number_of_clusters():
    values = torch.arange(10, dtype=torch.uint8) * 25  # ten clusters, told apart without doubt
    real = plain(values.repeat(20).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone())
    drawn = plain(values[[0, 4, 9]].repeat(100).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone())
    (found,) = detect(real, drawn).classes
    miller_madow = np.exp((3 - 1) / (2 * 300) - (10 - 1) / (2 * 200))
    assert found.modes == pytest.approx(3 / 10 * miller_madow)
    assert (found.real, found.drawn, found.collapsed) == (200, 300, True)


def test_a_class_that_says_nothing_is_left_out():
    real, drawn = toy_images(classes=3, per_class=(7, 30, 30)), toy_images(classes=3, per_class=(30, 30, 7), seed=1)
    assert [one.name for one in detect(real, drawn).classes] == ["class 1"]
    flat = dataclasses.replace(real, images=torch.full_like(real.images, 77))
    assert detect(flat, drawn).classes == ()
    assert not detect(toy_images(per_class=1), toy_images(per_class=1)).fired


def test_few_different_real_images_make_few_clusters_and_no_warning():
    real = repeated(toy_images(per_class=12), 3)
    found = detect(real, toy_images(per_class=50, seed=1))
    assert all(one.modes is not None for one in found.classes)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 12), (9, 9), (40, 17)])
def test_any_size_and_colour_is_judged_and_nothing_is_touched(channels, size):
    real = toy_images(channels=channels, size=size, per_class=60)
    drawn = toy_images(channels=channels, size=size, per_class=60, seed=1)
    with nothing_touched(real, drawn):
        found = detect(real, drawn)
    assert found == detect(real, dataclasses.replace(drawn, images=StoredPixels(drawn.images.numpy())))
    assert not found.fired  # all noise: real images that stand alone are clusters that no drawn image lies in
    assert detect(real, repeated(drawn, 1)).fired


def test_more_images_than_are_looked_at_are_chosen_by_the_seed(monkeypatch):
    monkeypatch.setattr(collapse, "MOST_IMAGES", 30)
    real, drawn = toy_images(per_class=90), toy_images(per_class=80, seed=1)
    one, again, other = (detect(real, drawn, seed=seed) for seed in (0, 0, 1))
    assert one == again != other
    assert {(found.real, found.drawn) for found in one.classes} == {(30, 30)}


def test_images_of_another_set_are_refused():
    with pytest.raises(DataError, match=r"same classes and size. Got .*\(1, 8, 8\).*\(1, 9, 9\): draw them from"):
        detect(toy_images(), toy_images(size=(9, 9)))
    with pytest.raises(DataError, match="same classes and size"):
        detect(toy_images(classes=2), toy_images(classes=3))
