import pytest
import torch

from augury.networks.unet import UNet, levels
from augury.seeds import guarded


def network(shape=(1, 28, 28), classes=2, **settings):
    with guarded(0):
        made = UNet(shape, classes, **{"width": 16, **settings})
        for weight in made.parameters():  # some begin as zeros, behind which nothing could be seen
            weight.data += 0.05 * torch.randn(weight.shape)
    return made.eval()


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 33), (1, 9, 13), (4, 8, 8), (3, 64, 64)])
def test_the_prediction_has_the_shape_of_the_image(shape, patch):
    said = network(shape, patch=patch)(torch.randn(2, *shape), torch.zeros(2), torch.tensor([0, 2]))
    assert said.shape == (2, *shape)
    assert said.isfinite().all()


@pytest.mark.parametrize("what", ["noise", "labels", "told", "images"])
def test_it_listens_to_everything_it_is_told(what):
    made = network(told=3)
    inputs = {
        "images": torch.randn(2, 1, 28, 28),
        "noise": torch.zeros(2),
        "labels": torch.tensor([0, 1]),
        "told": torch.zeros(2, 3),
    }
    other = {"images": torch.zeros(2, 1, 28, 28), "noise": torch.ones(2), "labels": torch.tensor([2, 0])}
    other["told"] = torch.ones(2, 3)
    assert not torch.allclose(made(**inputs), made(**{**inputs, what: other[what]}), atol=1e-3)


def test_no_change_is_what_it_assumes_where_it_is_told_of_none():
    made, images, labels = network(told=3), torch.randn(2, 1, 28, 28), torch.tensor([0, 1])
    assert torch.equal(made(images, torch.zeros(2), labels), made(images, torch.zeros(2), labels, torch.zeros(2, 3)))


def test_it_begins_with_saying_nothing():
    made = UNet((1, 28, 28), 2, width=16)
    assert not made(torch.randn(2, 1, 28, 28), torch.zeros(2), torch.tensor([0, 1])).any()


def test_its_widest_maps_are_its_smallest():
    assert [levels((1, side, side), 1) for side in (8, 12, 28, 64, 128)] == [1, 2, 3, 4, 4]
    assert network((1, 28, 28), patch=1).middle[0].conv1.in_channels == 48


def test_dropout_is_for_training_only():
    made, images, labels = network(dropout=0.5), torch.randn(2, 1, 28, 28), torch.tensor([0, 1])
    assert torch.equal(made(images, torch.zeros(2), labels), made(images, torch.zeros(2), labels))
    made.train()
    assert not torch.equal(made(images, torch.zeros(2), labels), made(images, torch.zeros(2), labels))
