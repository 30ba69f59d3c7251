"""Every photometric operation against torchvision's on 8-bit images, and what a batch adds: a strength per image."""

import pytest
import torch
import torchvision.transforms.v2.functional as tv

from augury import colour

FACTORS = (0.0, 0.3, 1.0, 1.6, 2.0)
SIZES = [(1, 16, 16), (3, 17, 30), (3, 8, 8)]

# ours, torchvision's, by how many of 256 levels they may differ
BLENDS = {
    # torchvision cuts decimals off
    "brightness": (colour.brightness, tv.adjust_brightness, 1),
    # and takes the mean of grey levels without their decimals: up to 1 more, times 1 - factor
    "contrast": (colour.contrast, tv.adjust_contrast, 2),
    "saturation": (colour.saturation, tv.adjust_saturation, 2),
    "sharpness": (colour.sharpness, tv.adjust_sharpness, 2),
}


def pictures(B, C, H, W, seed=0):
    """Return uint8 images whose levels do not fill the range: ramps under noise."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(20, 150, W).expand(B, C, H, W)
    return (ramp + 60 * torch.rand(B, C, H, W, generator=generator)).to(torch.uint8)


def levels(images):
    return images * 255


def each(images, strengths, reference):
    return torch.stack([reference(image, strength) for image, strength in zip(images, strengths, strict=True)]).float()


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("name", BLENDS)
def test_blends_are_torchvisions_each_image_at_its_own_factor(name, shape):
    ours, reference, tolerance = BLENDS[name]
    images = pictures(len(FACTORS), *shape)
    out = levels(ours(images / 255, torch.tensor(FACTORS)))
    assert (out - each(images, FACTORS, reference)).abs().max() <= tolerance
    assert torch.allclose(out[2], images[2].float(), atol=1e-3)


@pytest.mark.parametrize("name", BLENDS)
def test_blends_stay_in_the_range_and_change_as_much_as_they_are_told(name):
    images = pictures(4, 3, 16, 16) / 255
    out = BLENDS[name][0](images, torch.tensor([0.0, 0.5, 1.0, 2.0]))
    assert out.min() >= 0
    assert out.max() <= 1
    changes = (out - images).abs().mean((1, 2, 3)).tolist()
    assert changes[0] > 1.9 * changes[1] > 0.01 > changes[2] < changes[3]


@pytest.mark.parametrize("shape", SIZES)
def test_posterizing_is_torchvisions_exactly(shape):
    bits = (1, 2, 3, 4, 5, 6, 7, 8)
    images = pictures(len(bits), *shape)
    out = levels(colour.posterize(images / 255, torch.tensor(bits)))
    assert torch.equal(out.round(), each(images, bits, tv.posterize))
    assert torch.allclose(out, out.round(), atol=1e-3)


@pytest.mark.parametrize("shape", SIZES)
def test_solarizing_is_torchvisions_exactly(shape):
    thresholds = torch.tensor([0, 50, 100, 120, 255])
    images = pictures(len(thresholds), *shape)
    out = levels(colour.solarize(images / 255, thresholds / 255))
    assert torch.equal(out.round(), each(images, thresholds.tolist(), tv.solarize))


@pytest.mark.parametrize("shape", SIZES)
def test_autocontrast_is_torchvisions_and_leaves_a_constant_channel(shape):
    images = pictures(4, *shape)
    images[1, 0] = 77
    out = levels(colour.autocontrast(images / 255))
    assert (out - tv.autocontrast(images)).abs().max() <= 1
    assert torch.allclose(out[1, 0], torch.tensor(77.0))


@pytest.mark.parametrize("shape", [*SIZES, (3, 64, 64)])
def test_equalizing_is_torchvisions_exactly(shape):
    images = pictures(6, *shape)
    images[1] = 77  # one level: nothing to even out
    images[2] = images[2] // 100  # two levels
    images[3, :, :-1] = 200  # most pixels at the highest level
    images[4, 0, 0, 0], images[4, 0, 0, 1] = 0, 255
    out = levels(colour.equalize(images / 255))
    assert torch.equal(out.round(), tv.equalize(images).float())
    assert torch.allclose(out, out.round(), atol=1e-3)


def test_equalizing_makes_an_even_histogram():
    skewed = torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(0)) ** 3
    shares = torch.histc(colour.equalize(skewed), 8, 0, 1) / skewed.numel()
    assert (shares - 1 / 8).abs().max() < 0.03
    assert torch.histc(skewed, 8, 0, 1).max() / skewed.numel() > 0.4


def test_a_grey_image_has_no_saturation_to_change():
    images = pictures(2, 1, 9, 9) / 255
    assert torch.equal(colour.saturation(images, torch.tensor([0.0, 2.0])), images)


@pytest.mark.parametrize("operation", [*(ours for ours, _, _ in BLENDS.values()), colour.solarize, colour.posterize])
def test_the_input_is_left_as_it_was(operation):
    images = pictures(2, 3, 8, 8) / 255
    before = images.clone()
    operation(images, torch.tensor([0.5, 1.0]))
    assert torch.equal(images, before)
