import pytest
import torch

from augury.augment import FAMILIES, Augment
from augury.errors import SettingsError
from augury.seeds import guarded
from toy import nothing_touched

EVERYTHING = Augment(flip=True, flip_vertical=True, shift=0.2, rotate=30.0, crop=0.7, share=1.0)
CHANCES = ("turn", "scale", "dx", "dy", "flip_x", "flip_y", "chosen")
MIDDLE = dict.fromkeys(CHANCES, 0.5)


def pattern(H=8, W=8, B=1, C=1):
    return torch.rand(B, C, H, W, generator=torch.Generator().manual_seed(0))


def augmented(augment, images, seed=0):
    with guarded(seed):
        return augment.apply(images)


@pytest.fixture
def dealt(monkeypatch):
    """Augment with chosen chances instead of random ones: 0..1, the middle of each range unless told."""

    def apply(augment, images, **chances):
        values = torch.tensor([{**MIDDLE, **chances}[name] for name in CHANCES])
        with monkeypatch.context() as patch:
            patch.setattr("augury.augment.torch.rand", lambda rows, n: values[:, None].expand(rows, n))
            return augment.apply(images)

    return apply


def centroid(images):
    """Return the centre of mass of each image, (B, 2), as shares of the sides from the middle: x, y."""
    mass = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    H, W = mass.shape[1:]
    y, x = (torch.arange(side) + 0.5 for side in (H, W))
    return torch.stack([(mass.sum(1) * x).sum(1) / W, (mass.sum(2) * y).sum(1) / H], 1) - 0.5


def dot(B=1, H=33, W=33):
    images = torch.zeros(B, 1, H, W)
    images[:, :, H // 2, W // 2] = 1
    return images


# ---- what is on


def test_off_it_returns_what_it_was_given():
    images = pattern()
    assert Augment().apply(images) is images
    assert Augment().families() == ()


@pytest.mark.parametrize(
    ("setting", "value"), [("flip", True), ("flip_vertical", True), ("shift", 0.1), ("rotate", 5.0), ("crop", 0.9)]
)
def test_each_family_is_named_when_it_is_on_and_changes_images(setting, value):
    augment = Augment(**{setting: value})
    assert augment.families() == (setting,)
    images = pattern(B=8)
    assert not torch.allclose(augmented(augment, images), images, atol=1e-3)


def test_all_families_are_listed():
    assert EVERYTHING.families() == FAMILIES


@pytest.mark.parametrize("settings", [{"shift": 0.6}, {"shift": -0.1}, {"rotate": 181.0}, {"crop": 0.0}, {"crop": 1.1}])
def test_what_cannot_be_meant_is_refused(settings):
    with pytest.raises(SettingsError, match="of augment: expected"):
        Augment(**settings)


# ---- randomness


def test_the_same_seed_gives_the_same_images_and_another_seed_others():
    images = pattern(9, 13, B=6, C=3)
    first = augmented(EVERYTHING, images)
    assert (first.shape, first.dtype) == (images.shape, images.dtype)
    assert torch.equal(first, augmented(EVERYTHING, images))
    assert not torch.equal(first, augmented(EVERYTHING, images, seed=1))


def test_the_input_is_left_as_it_was():
    images = pattern(B=3)
    before = images.clone()
    with nothing_touched():
        augmented(EVERYTHING, images)
    assert torch.equal(images, before)


def test_images_of_a_batch_are_augmented_each_in_its_own_way():
    images = pattern().expand(8, -1, -1, -1)
    assert len({tuple(image.flatten().tolist()) for image in augmented(EVERYTHING, images)}) == 8


# ---- what is done


@pytest.mark.parametrize(("setting", "axis"), [("flip", 3), ("flip_vertical", 2)])
def test_a_flip_mirrors_every_second_image_exactly_and_leaves_the_others(setting, axis):
    images = pattern(6, 10, B=400)
    out = augmented(Augment(**{setting: True}), images)
    mirrored = (out - images.flip(axis)).abs().amax((1, 2, 3)) < 1e-4
    untouched = (out - images).abs().amax((1, 2, 3)) < 1e-4
    assert (mirrored ^ untouched).all()
    assert 150 < mirrored.sum() < 250


@pytest.mark.parametrize(("chance", "axis"), [("dx", 0), ("dy", 1)])
def test_a_shift_moves_along_one_axis_by_its_share_of_the_side(dealt, chance, axis):
    images = dot(H=32 + 1, W=64 + 1)
    moved = [centroid(dealt(Augment(shift=0.25, share=1.0), images, **{chance: value}))[0] for value in (0.0, 1.0)]
    expected = torch.zeros(2)
    expected[axis] = 0.25
    assert torch.allclose(moved[0], expected, atol=1e-3)
    assert torch.allclose(moved[1], -expected, atol=1e-3)


def test_a_shift_never_moves_further_than_its_share():
    offsets = centroid(augmented(Augment(shift=0.2, share=1.0), dot(B=300))).abs().amax(0)
    assert (offsets <= 0.2 + 1e-4).all()
    assert (offsets > 0.19).all()


@pytest.mark.parametrize(("turn", "quarters"), [(1.0, 1), (0.0, -1)])
@pytest.mark.parametrize(("H", "W"), [(8, 8), (8, 14), (14, 8)])
def test_a_quarter_turn_turns_and_never_shears(dealt, H, W, turn, quarters):
    images = pattern(H, W, C=3)
    top, left = (H - 8) // 2, (W - 8) // 2
    middle = (..., slice(top, top + 8), slice(left, left + 8))
    out = dealt(Augment(rotate=90.0, share=1.0), images, turn=turn)
    assert torch.allclose(out[middle], images[middle].rot90(quarters, (2, 3)), atol=1e-4)


def test_a_rotation_keeps_a_disc_and_the_corners_around_it():
    y, x = torch.meshgrid(torch.arange(61) - 30, torch.arange(61) - 30, indexing="ij")
    disc = torch.sigmoid(4 - (x**2 + y**2).sqrt() / 2).expand(16, 1, 61, 61)
    out = augmented(Augment(rotate=180.0, share=1.0), disc)
    assert torch.allclose(out, disc, atol=0.02)
    assert out[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.01


def test_a_rotation_never_turns_further_than_its_degrees():
    images = torch.zeros(300, 1, 41, 41)
    images[:, :, 20, 36] = 1
    x, y = centroid(augmented(Augment(rotate=30.0, share=1.0), images)).T
    degrees = torch.rad2deg(torch.atan2(y, x)).abs()
    assert 28 < degrees.max() < 31.5


@pytest.mark.parametrize("settings", [{"shift": 0.2}, {"rotate": 30.0}, {"crop": 0.5}])
def test_only_the_asked_share_of_the_images_is_resampled(settings):
    images = pattern(16, 16, B=400)
    out = augmented(Augment(**settings, share=0.25), images)
    untouched = (out - images).abs().amax((1, 2, 3)) < 1e-4
    assert 270 < untouched.sum() < 330


def test_a_crop_shows_a_part_of_the_image_that_lies_inside_it():
    ramp = torch.linspace(0, 1, 64).expand(200, 1, 64, 64)
    out = augmented(Augment(crop=0.5, share=1.0), ramp)[:, 0, 32]
    spans = out[:, -1] - out[:, 0]
    assert (out.diff() > -1e-5).all()  # a mirrored edge would fall again
    assert 0.48 < spans.min() < 0.55
    assert 0.95 < spans.max() <= 1


def test_the_smallest_crop_can_lie_in_any_corner(dealt):
    images = pattern(16, 16)
    out = dealt(Augment(crop=0.5, share=1.0), images, scale=1.0, dx=1.0, dy=0.0)
    corner = torch.nn.functional.interpolate(images[:, :, :8, 8:], scale_factor=2, mode="bilinear")
    assert torch.allclose(out[:, :, 1:-2, 2:-1], corner[:, :, 1:-2, 2:-1], atol=1e-4)
