import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as tv

from augury.augment import FAMILIES, MODALITIES, Augment, safe_families
from augury.errors import SettingsError
from augury.seeds import guarded
from toy import nothing_touched

MOVED = {"flip": True, "flip_vertical": True, "shift": 0.2, "rotate": 30.0, "crop": 0.7, "scale": 0.2, "elastic": 0.05}
EVERYTHING = Augment(**MOVED, colour=0.3, erase=0.3, five_crop=0.8, trivial=True, share=1.0)
SHARED = [
    {"shift": 0.2},
    {"rotate": 30.0},
    {"crop": 0.5},
    {"scale": 0.5},
    {"elastic": 0.1},
    {"colour": 0.5},
    {"erase": 0.5},
]
CHANCES = {
    7: ("turn", "scale", "dx", "dy", "flip_x", "flip_y", "chosen"),
    1: ("zoom",),
    3: ("brightness", "contrast", "saturation"),
    4: ("area", "shape", "y", "x"),
}


def pattern(H=8, W=8, B=1, C=1):
    return torch.rand(B, C, H, W, generator=torch.Generator().manual_seed(0))


def augmented(augment, images, seed=0):
    with guarded(seed):
        return augment.apply(images)


@pytest.fixture
def dealt(monkeypatch):
    """Augment with chosen chances instead of random ones: 0..1, the middle of each range unless told."""

    def apply(augment, images, **chances):
        def draw(rows, n):
            return torch.tensor([chances.get(name, 0.5) for name in CHANCES[rows]])[:, None].expand(rows, n)

        with monkeypatch.context() as patch:
            patch.setattr("augury.augment.torch.rand", draw)
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


def coordinates(B, H, W):
    """Return images of two channels that say where each pixel lies, as shares of the sides: x, y."""
    y, x = torch.meshgrid((torch.arange(H) + 0.5) / H, (torch.arange(W) + 0.5) / W, indexing="ij")
    return torch.stack([x, y]).expand(B, 2, H, W)


# ---- what is on


def test_off_it_returns_what_it_was_given():
    images = pattern()
    assert Augment().apply(images) is images
    assert Augment().families() == ()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("flip", True), ("flip_vertical", True), ("five_crop", 0.9), *(pair for each in SHARED for pair in each.items())],
)
def test_each_family_is_named_when_it_is_on_and_changes_images(setting, value):
    augment = Augment(**{setting: value})
    assert augment.families() == (setting,)
    images = pattern(B=8)
    assert not torch.allclose(augmented(augment, images), images, atol=1e-3)


def test_all_families_are_listed():
    assert EVERYTHING.families() == FAMILIES


@pytest.mark.parametrize(
    "settings", [{"trivial": True}, {"rand": 2}, {"rand": 1, "magnitude": 1.0}, {"rand": 1, "rotate": 9.0}]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_policy_stands_for_the_families_it_draws_from_and_changes_images(settings, channels):
    augment = Augment(**settings)
    assert augment.families() == ("shift", "rotate", "shear", "colour")
    images = pattern(B=20, C=channels)
    changed = (augmented(augment, images) - images).abs().amax((1, 2, 3)) > 1e-3
    assert changed.sum() > 10


@pytest.mark.parametrize(
    "settings",
    [
        *({"shift": 0.6}, {"shift": -0.1}, {"rotate": 181.0}, {"crop": 0.0}, {"crop": 1.1}, {"scale": -0.1}),
        *({"scale": 1.0}, {"colour": 1.1}, {"elastic": 0.3}, {"erase": 1.0}, {"five_crop": 0.0}, {"five_crop": 1.1}),
        *({"rand": -1}, {"magnitude": 1.1}, {"share": 0.0}, {"trivial": 1}),
    ],
)
def test_what_cannot_be_meant_is_refused(settings):
    with pytest.raises(SettingsError, match="of augment: expected"):
        Augment(**settings)


# ---- what is safe where


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_modality_stands_for_families_in_their_order(modality):
    families = safe_families(modality)
    assert families == MODALITIES[modality] == tuple(name for name in FAMILIES if name in families)
    assert len(families) >= 7


def test_where_left_is_not_right_nothing_is_flipped():
    for modality in ("chest", "ct", "digits"):
        assert not {"flip", "flip_vertical"} & set(safe_families(modality))
    for modality in ("dermoscopy", "histology", "surface"):
        assert safe_families(modality) == FAMILIES


def test_modalities_and_families_can_be_named_together_each_counts_once():
    assert safe_families(("rotate", "flip", "rotate")) == ("flip", "rotate")
    assert safe_families(("erase", "chest", "flip")) == tuple(name for name in FAMILIES if name != "flip_vertical")
    assert safe_families("erase") == ("erase",)
    assert safe_families(()) == ()


@pytest.mark.parametrize(
    ("name", "hint"), [("chst", "did you mean 'chest'"), ("flop", "did you mean 'flip'"), ("x", "one of")]
)
def test_a_name_that_is_neither_is_refused(name, hint):
    with pytest.raises(SettingsError, match=f"no augmentation or modality '{name}'.*{hint}"):
        safe_families(("rotate", name))


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


@pytest.mark.parametrize("settings", [*SHARED, {name: value for each in SHARED for name, value in each.items()}])
def test_only_the_asked_share_of_the_images_is_touched_at_all(settings):
    images = pattern(16, 16, B=400)
    out = augmented(Augment(**settings, share=0.25), images)
    untouched = (out == images).all(3).all(2).all(1)  # to the bit
    assert 270 < untouched.sum() < 330


def test_all_that_moves_pixels_is_one_resampling(monkeypatch):
    calls, sample = [], F.grid_sample
    monkeypatch.setattr(F, "grid_sample", lambda *given, **how: calls.append(1) or sample(*given, **how))
    augmented(Augment(**MOVED, five_crop=0.8), pattern(16, 16, B=4))
    assert len(calls) == 1


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


# ---- zoom


@pytest.mark.parametrize(("zoom", "factor"), [(0.0, 0.7), (0.5, 1.0), (1.0, 1.3)])
def test_a_zoom_moves_everything_from_the_middle_by_its_factor(dealt, zoom, factor):
    x, y = coordinates(1, 41, 61)[0]
    images = torch.exp(-((61 * (x - 0.5) - 6) ** 2 + (41 * (y - 0.5) + 4) ** 2) / 4)[None, None]  # above, to the right
    moved = centroid(dealt(Augment(scale=0.3, share=1.0), images, zoom=zoom))[0]
    assert torch.allclose(moved, factor * torch.tensor([6 / 61, -4 / 41]), atol=3e-3)


def test_zooms_reach_both_ways_and_no_further():
    ramp = torch.linspace(-1, 1, 64).expand(300, 1, 64, 64)
    spans = 1 / (augmented(Augment(scale=0.3, share=1.0), ramp)[:, 0, 32, 24:40].diff().mean(1) / (2 / 63))
    assert 0.69 < spans.min() < 0.73
    assert 1.27 < spans.max() < 1.31


# ---- warps


@pytest.mark.parametrize(("H", "W"), [(64, 64), (40, 72)])
def test_a_warp_is_smooth_and_never_reaches_further_than_its_share(H, W):
    images = coordinates(200, H, W)
    moved = augmented(Augment(elastic=0.1, share=1.0), images) - images
    reach = moved.square().sum(1).sqrt().amax((1, 2))
    assert reach.max() <= 0.1 + 1e-5
    assert reach.max() > 0.08
    assert 0.03 < reach.mean() < 0.06  # strengths are even
    inner = (images + moved)[:, :, H // 8 : -H // 8, W // 8 : -W // 8]  # at the edge the image is mirrored
    assert inner[:, 0].diff(dim=2).min() > 0  # nothing is folded
    assert inner[:, 1].diff(dim=1).min() > 0
    assert moved.mean((0, 2, 3)).abs().max() < 0.005


def test_a_warp_is_no_shift():
    images = coordinates(100, 32, 32)
    moved = augmented(Augment(elastic=0.1, share=1.0), images) - images
    assert (moved.std((2, 3)) / moved.abs().amax((2, 3))).min() > 0.15


# ---- colour


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_changed_as_torchvision_does_one_after_the_other(dealt, channels):
    images = 1.6 * pattern(12, 9, C=channels) - 0.8
    chances = {"brightness": 0.9, "contrast": 0.1, "saturation": 0.8}
    expected = (images + 1) / 2
    for adjust, chance in zip(
        (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation), chances.values(), strict=True
    ):
        expected = adjust(expected, 1 + 0.4 * (2 * chance - 1))
    out = dealt(Augment(colour=0.4, share=1.0), images, **chances)
    assert torch.allclose((out + 1) / 2, expected, atol=1e-3)


def test_each_image_has_its_own_colours_and_all_stay_in_the_range():
    out = augmented(Augment(colour=1.0, share=1.0), (2 * pattern(C=3) - 1).expand(50, -1, -1, -1))
    assert out.abs().max() <= 1
    assert out.mean((1, 2, 3)).std() > 0.1


# ---- erasing


@pytest.mark.parametrize(("H", "W"), [(32, 32), (24, 48), (8, 64)])
def test_one_rectangle_is_filled_with_the_mean_of_the_image(H, W):
    images = pattern(H, W, B=300, C=3)
    out = augmented(Augment(erase=0.4, share=1.0), images)
    erased = (out != images).any(1)
    rows, columns = erased.any(2), erased.any(1)
    assert torch.equal(erased, rows[:, :, None] & columns[:, None])
    for line in (rows, columns):
        assert (line.int().diff(dim=1).abs().sum(1) <= 2).all()  # one run
    filled = torch.where(erased[:, None], images.mean((2, 3), keepdim=True), images)
    assert torch.allclose(out, filled, atol=1e-6)
    areas = erased.float().mean((1, 2))
    assert 0.35 < areas.max() <= 0.4
    assert 0.16 < areas.mean() < 0.21
    assert erased.any(0).all()  # it can lie anywhere


@pytest.mark.parametrize(("shape", "height", "width"), [(0.0, 28, 8), (0.5, 16, 16), (1.0, 8, 28)])
def test_an_erased_rectangle_is_at_most_as_slender_as_declared(dealt, shape, height, width):
    images = pattern(64, 64)
    out = dealt(Augment(erase=0.125, share=1.0), images, shape=shape)
    erased = (out != images)[0, 0]
    sides = (erased.any(1).sum(), erased.any(0).sum())
    assert all(abs(int(side) - expected) <= 1 for side, expected in zip(sides, (height, width), strict=True))


# ---- five crops


@pytest.mark.parametrize(("H", "W", "share"), [(32, 32, 0.75), (16, 48, 0.5), (32, 48, 0.875)])
def test_the_views_are_torchvisions_five_crops_brought_back_to_size(H, W, share):
    images = pattern(H, W, B=3, C=3)
    views = Augment(five_crop=share).views(images)
    crops = tv.five_crop(images, [int(H * share), int(W * share)])
    assert len(views) == 5
    inner = (..., slice(2, -2), slice(2, -2))  # at a crop's edge a view sees what lies beyond
    for view, crop in zip(views, crops, strict=True):
        resized = F.interpolate(crop, size=(H, W), mode="bilinear", align_corners=False)
        assert torch.allclose(view[inner], resized[inner], atol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"flip": True, "rotate": 20.0, "trivial": True}])
def test_without_five_crops_the_one_view_is_the_images(settings):
    images = pattern()
    views = Augment(**settings).views(images)
    assert len(views) == 1
    assert views[0] is images


def test_in_training_each_of_the_five_is_drawn_equally_often():
    images, augment = pattern(16, 12, B=500), Augment(five_crop=0.6)
    out = augmented(augment, images)
    same = torch.stack([(out - view).abs().amax((1, 2, 3)) < 1e-4 for view in augment.views(images)])
    assert (same.sum(0) == 1).all()
    assert same.sum(1).min() > 70


def test_a_crop_of_the_five_is_turned_about_its_own_middle(dealt):
    images, augment = pattern(24, 24, B=20), Augment(five_crop=0.5, rotate=90.0, share=1.0)
    out = dealt(augment, images, turn=1.0)
    turned = torch.stack([view.rot90(1, (2, 3)) for view in augment.views(images)])
    assert ((turned - out).abs().amax((2, 3, 4)) < 1e-3).any(0).all()
