import pytest
import torch
import torchvision.transforms.v2.functional as tv

from augury.augment import FAMILIES as AUGMENT_FAMILIES
from augury.diffaugment import FAMILIES, diff_augment
from augury.errors import SettingsError
from augury.seeds import guarded

SHAPES = [(1, 8, 8), (3, 9, 9), (1, 8, 12), (3, 13, 8)]
SHIFTED_IN, ERASED = 0.0, 0.0


def pattern(B=6, C=1, H=8, W=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return 0.1 + 0.9 * torch.rand(B, C, H, W, generator=generator, dtype=dtype)  # no pixel is 0


def changed(images, *families, seed=0):
    with guarded(seed):
        return diff_augment(images, families)


def chances(n, seed=0):
    """Return what the augmentation draws: one row per kind of change."""
    with guarded(seed):
        return torch.rand(9, n)


# ---- what every family keeps


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("families", [*((family,) for family in FAMILIES), FAMILIES])
def test_shape_and_type_stay_and_every_seed_gives_its_own_change(shape, families):
    images = pattern(24, *shape)
    once = changed(images, *families)
    assert (once.shape, once.dtype) == (images.shape, images.dtype)
    assert torch.equal(once, changed(images, *families))
    assert not torch.equal(once, changed(images, *families, seed=1))
    assert torch.equal(images, pattern(24, *shape))


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_images_of_a_batch_are_changed_differently(family):
    images = changed(pattern(1, 1, 16, 16).expand(40, 1, 16, 16), family)
    assert len(images.flatten(1).unique(dim=0)) > 1


def test_without_families_nothing_is_done_or_drawn():
    images = pattern()
    with guarded(0):
        assert diff_augment(images, ()) is images
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_drawn_alike_beside_any_other_and_in_any_order(family):
    images = pattern(dtype=torch.float64)
    left = [each for each in FAMILIES if each != family]
    assert torch.equal(changed(images, family, *left), changed(images, *left, family))
    both = changed(changed(images, "colour"), family) if family != "colour" else changed(images, family)
    assert torch.equal(changed(images, family, "colour"), both)


def test_all_families_have_the_names_by_which_a_study_calls_them_safe():
    assert set(FAMILIES) <= set(AUGMENT_FAMILIES)


@pytest.mark.parametrize(("name", "hint"), [("color", "did you mean 'colour'"), ("rotate", "Expected one of: colour")])
def test_an_unknown_family_is_refused(name, hint):
    with pytest.raises(SettingsError, match=f"has no '{name}'.*{hint}"):
        diff_augment(pattern(), ("shift", name))


# ---- gradients


@pytest.mark.parametrize("families", [("colour",), ("shift", "flip", "flip_vertical"), ("erase",), FAMILIES])
def test_gradients_of_first_and_second_order_are_right(families):
    images = pattern(2, 3, 8, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: changed(x, *families), images)
    assert torch.autograd.gradgradcheck(lambda x: changed(x, *families).square(), images)


def test_a_gradient_penalty_can_be_taken_through_it():
    images, weights = pattern().requires_grad_(), torch.ones(64, requires_grad=True)
    scores = changed(images, *FAMILIES).flatten(1).tanh() @ weights
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert weights.grad is not None
    assert (weights.grad != 0).any()


@pytest.mark.parametrize("families", [("shift", "flip", "erase"), FAMILIES])
def test_half_precision_gives_the_same_up_to_its_rounding(families):
    images = pattern(C=3).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = changed(images, *families)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), changed(images.float(), *families), atol=0.03, rtol=0)


# ---- each change, image by image


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_changed_as_the_paper_says(channels):
    images = pattern(C=channels, dtype=torch.float64) - 0.3
    expected = []
    for image, (added, saturation, contrast) in zip(images, chances(6)[:3].T.double(), strict=True):
        bright = image + (added - 0.5)
        vivid = (bright - bright.mean(0)) * (2 * saturation) + bright.mean(0)
        expected.append((vivid - vivid.mean()) * (contrast + 0.5) + vivid.mean())
    torch.testing.assert_close(changed(images, "colour"), torch.stack(expected))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_is_one_of_whole_pixels_with_the_middle_of_the_range_shifted_in(shape):
    images = pattern(6, *shape)
    farthest = [round(side / 8 + 1e-9) for side in shape[1:]]
    for image, before, (down, right) in zip(changed(images, "shift"), images, chances(6)[3:5].T, strict=True):
        dy, dx = (int(c * (2 * most + 1)) - most for c, most in zip((down, right), farthest, strict=True))
        moved = tv.affine(before, angle=0.0, translate=[dx, dy], scale=1.0, shear=[0.0, 0.0], fill=[SHIFTED_IN])
        torch.testing.assert_close(image, moved, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("family", "row", "mirror"), [("flip_vertical", 5, tv.vertical_flip), ("flip", 6, tv.horizontal_flip)]
)
def test_every_second_image_is_mirrored(family, row, mirror):
    images = pattern(200, 1, 8, 9)
    found, mirrored = changed(images, family), chances(200)[row] < 0.5
    assert 70 < int(mirrored.sum()) < 130
    assert torch.equal(found[mirrored], mirror(images[mirrored]))
    assert torch.equal(found[~mirrored], images[~mirrored])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_square_of_half_the_side_is_erased(shape):
    images = pattern(6, *shape)
    cuts = [int(side / 2 + 0.5) for side in shape[1:]]
    for image, before, starts in zip(changed(images, "erase"), images, chances(6)[7:].T, strict=True):
        (top, bottom), (left, right) = (
            (max(0, middle - cut // 2), middle - cut // 2 + cut)
            for middle, cut in (
                (int(start * (side + 1 - cut % 2)), cut)
                for start, side, cut in zip(starts, shape[1:], cuts, strict=True)
            )
        )
        expected = before.clone()
        expected[:, top:bottom, left:right] = ERASED
        assert torch.equal(image, expected)


# ---- on the mean


def test_on_the_mean_colours_stay_and_reach_as_far_as_the_paper_says():
    images = pattern(1, 1, 8, 8).expand(4000, 1, 8, 8)
    found = changed(images, "colour")
    added = found.mean((1, 2, 3)) - images[0].mean()
    contrast = found.std((1, 2, 3)) / images[0].std()
    assert added.mean().abs() < 0.02
    assert (added.min() - -0.5).abs() < 0.01
    assert (added.max() - 0.5).abs() < 0.01
    assert (contrast.mean() - 1).abs() < 0.02
    assert (contrast.min() - 0.5).abs() < 0.01
    assert (contrast.max() - 1.5).abs() < 0.01


@pytest.mark.parametrize("side", [8, 28, 64])
def test_all_shifts_are_equally_frequent(side):
    images = torch.zeros(7000, 1, side, side)
    images[:, :, side // 2] = 1
    rows = changed(images, "shift")[:, 0, :, side // 2].argmax(1) - side // 2
    farthest = int(side / 8 + 0.5)
    counts = torch.bincount(rows + farthest)
    assert len(counts) == 2 * farthest + 1
    assert (counts / 7000 * len(counts) - 1).abs().max() < 0.2
