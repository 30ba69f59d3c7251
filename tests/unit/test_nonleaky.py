import math

import pytest
import torch

from augury.errors import SettingsError
from augury.nonleaky import FAMILIES, change, known_changes, told_numbers

# a blob right of and above the middle
GRID = torch.linspace(-1, 1, 33)
BLOB = torch.exp(-16 * ((GRID[None] - 0.3) ** 2 + 2 * (GRID[:, None] + 0.2) ** 2))[None]
IMAGES = BLOB.repeat(300, 1, 1, 1)


def changed(*families, chance=1.0, images=IMAGES):
    torch.manual_seed(0)
    return change(images, families, chance)


def middles(images):
    """Return where the light of each image is in the mean, (N, 2): across and down, -1..1."""
    light = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    return torch.stack([(light.sum(1) * GRID).sum(1), (light.sum(2) * GRID).sum(1)], dim=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_changed_comes_out_as_it_is_and_is_told_as_zero(family):
    images, told = changed(family, chance=0.3)
    same = (images == IMAGES).flatten(1).all(1)
    assert 0.4 < same.float().mean() < 0.95
    assert torch.equal(told.abs().sum(1) == 0, same)


def test_without_families_or_chance_nothing_happens():
    assert torch.equal(changed()[0], IMAGES)
    images, told = changed("flip", "rotate", chance=0.0)
    assert torch.equal(images, IMAGES)
    assert told.shape == (300, told_numbers(("flip", "rotate")))
    assert not told.any()


def test_a_flip_mirrors_half_of_the_images_it_is_tried_on():
    for family, side in (("flip", 3), ("flip_vertical", 2)):
        images, told = changed(family)
        mirrored = told[:, 0] == 1
        assert 100 < mirrored.sum() < 200
        assert torch.allclose(images[mirrored], IMAGES[mirrored].flip(side), atol=1e-5)


def test_a_shift_moves_by_what_is_told():
    images, told = changed("shift")
    near = told.abs().amax(1) < 1.2  # further, the edge would be seen
    moved = middles(images)[near] - middles(IMAGES)[near]
    assert torch.allclose(moved, -told[near] * 2 / 8, atol=0.05)


def test_a_turn_keeps_distances_and_is_told_by_its_angle():
    images, told = changed("rotate")
    cosine, sine = told[:, 0] + 1, told[:, 1]
    assert torch.allclose(cosine**2 + sine**2, torch.ones(300), atol=1e-5)
    across, down = middles(IMAGES)[0]
    expected = torch.stack([cosine * across + sine * down, cosine * down - sine * across], dim=1)
    assert torch.allclose(middles(images), expected, atol=0.03)


def test_a_turn_of_an_oblong_image_is_a_turn_of_its_pixels():
    square = torch.zeros(300, 1, 40, 80)
    square[:, :, 15:25, 35:45] = 1
    images = changed("rotate", images=square)[0][:, :, :, 20:60]  # further out its reflections come in
    assert torch.allclose(images.sum((1, 2, 3)), square.sum((1, 2, 3)), rtol=0.06)
    rows = columns = torch.arange(40) - 19.5
    spread = torch.stack([(images[:, 0].sum(2) * rows**2).sum(1), (images[:, 0].sum(1) * columns**2).sum(1)])
    assert torch.allclose(spread[0], spread[1], rtol=0.1)  # a square spreads alike in all directions


def test_scaling_and_stretching_change_the_size_as_told():
    def area(images):
        return images.sum((1, 2, 3))

    images, told = changed("scale")
    near = told[:, 0].abs() < 1.5
    assert torch.allclose((area(images) / area(IMAGES))[near], 2 ** (0.4 * told[near, 0]), rtol=0.1)
    images, told = changed("stretch")
    near = told.norm(dim=1) < 1.5
    assert torch.allclose(area(images)[near], area(IMAGES)[near], rtol=0.12)


def test_each_change_is_drawn_from_the_current_seed_alone():
    assert all(torch.equal(a, b) for a, b in zip(changed(*FAMILIES), changed(*FAMILIES), strict=True))
    assert changed(*FAMILIES)[0].isfinite().all()


def test_families_come_in_one_order_and_unknown_ones_are_refused():
    assert known_changes(("shift", "flip")) == ("flip", "shift")
    with pytest.raises(SettingsError, match="has no 'rotat': did you mean 'rotate'"):
        known_changes(("rotat",))
    assert math.isclose(told_numbers(FAMILIES), 9)
