import pytest
import torch
from torch import nn

from augury.networks.loey import LoeyDiscriminator, LoeyGenerator

LABELS = torch.tensor([1, 0])
SHAPES = [(1, 8, 12), (3, 9, 9), (1, 13, 8), (3, 28, 28), (1, 64, 64), (1, 70, 256)]


def players(shape):
    return LoeyGenerator(shape, 2, latent=6, width=2), LoeyDiscriminator(shape, 2, 3, width=2)


def layers(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_shape_are_drawn_and_judged_by_four_layers(shape):
    generator, discriminator = players(shape)
    images = generator(torch.randn(2, 6), LABELS)
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    assert discriminator(images, LABELS).shape == (2, 3)
    assert len(layers(generator, nn.ConvTranspose2d)) == len(layers(discriminator, nn.Conv2d)) == 4


@pytest.mark.parametrize(
    ("side", "up", "down"),
    [(8, [1, 1, 1, 2], [2, 1, 1]), (28, [1, 1, 2, 2], [2, 2, 1]), (64, [2] * 4, [2] * 3), (256, [2] * 4, [2] * 3)],
)
def test_as_many_layers_change_the_size_as_there_is_room_for(side, up, down):
    generator, discriminator = players((1, side, side))
    assert [layer.stride[0] for layer in layers(generator, nn.ConvTranspose2d)] == up
    assert [layer.stride[0] for layer in layers(discriminator, nn.Conv2d)[:-1]] == down


def test_both_players_are_told_the_class():
    generator, discriminator = players((1, 8, 8))
    codes, images = torch.randn(1, 6).expand(2, -1), torch.randn(1, 1, 8, 8).expand(2, -1, -1, -1)
    for both in (generator(codes, LABELS), discriminator(images, LABELS)):
        assert not torch.allclose(both[0], both[1])
