import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from augury.networks.autoencoder import conv_autoencoder, dense_autoencoder
from augury.networks.mlp import MLPDiscriminator, MLPGenerator, perceptron
from augury.networks.vae import ConditionalVAE, ConvConditionalVAE

SHAPES = [(1, 8, 8), (3, 8, 12), (1, 9, 9), (3, 13, 8), (1, 28, 28), (3, 32, 32), (1, 64, 50), (1, 128, 128)]
LABELS = torch.tensor([0, 2, 1])


def images(shape, seed=0):
    return torch.rand(3, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def parameters(module):
    return sum(value.numel() for value in module.parameters())


def vae(form, shape):
    torch.manual_seed(0)
    return ConditionalVAE(shape, 3, (20, 10), 5) if form == "dense" else ConvConditionalVAE(shape, 3, 4, 5)


def autoencoder(form, shape):
    torch.manual_seed(0)
    return dense_autoencoder(shape, (20, 10), 5) if form == "dense" else conv_autoencoder(shape, 4, 5)


@pytest.fixture(params=["dense", "conv"])
def form(request):
    return request.param


@pytest.mark.parametrize("shape", SHAPES)
def test_a_vae_encodes_and_decodes_images_of_any_size(form, shape):
    network = vae(form, shape)
    mean, log_variance = network.encode(images(shape), LABELS)
    assert mean.shape == log_variance.shape == (3, 5)
    assert network.decode(mean, LABELS).shape == (3, *shape)
    assert torch.allclose(network(mean, LABELS), network.decode(mean, LABELS).div(2).tanh(), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_autoencoder_encodes_and_decodes_images_of_any_size(form, shape):
    network = autoencoder(form, shape)
    codes = network.encode(images(shape))
    assert codes.shape == (3, 5)
    assert network(codes).shape == (3, *shape)
    assert network(100 * codes).abs().max() <= 1


def test_both_halves_of_a_vae_are_told_the_label(form):
    network, same = vae(form, (1, 12, 12)), images((1, 12, 12))[:1].expand(3, -1, -1, -1)
    means = network.encode(same, LABELS)[0]
    decoded = network(torch.zeros(3, 5), LABELS).flatten(1)
    for rows in (means, decoded):
        assert torch.pdist(rows).min() > 1e-3


def test_what_stands_beside_an_image_makes_no_difference_to_it(form):
    network, codes = vae(form, (1, 12, 12)).eval(), torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([network(codes[i : i + 1], LABELS[i : i + 1]) for i in range(3)])
    assert torch.allclose(network(codes, LABELS), alone, atol=1e-6)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 9, 13)])
def test_every_pixel_reaches_the_code_and_every_number_of_the_code_the_image(form, shape, side):
    network = autoencoder(form, shape).double().eval()
    start = images(shape)[:1].double() if side == "encoder" else torch.randn(1, 5).double()
    call = network.encode if side == "encoder" else network
    jacobian = torch.autograd.functional.jacobian(call, start).reshape(-1, start.numel())
    assert (jacobian.abs().amax(0) > 0).all()
    assert (jacobian.abs().amax(1) > 0).all()


@pytest.mark.parametrize(("size", "start"), [(28, 7), (32, 4), (64, 4), (112, 7), (128, 4)])
def test_the_smallest_map_has_sides_of_4_to_7(size, start):
    network = conv_autoencoder((1, size, size), 2, 3)
    maps = []
    network.encoder[-2].register_forward_hook(lambda module, given, made: maps.append(given[0].shape[-2:]))
    network.encode(torch.zeros(1, 1, size, size))
    assert maps == [(start, start)]


def test_the_published_autoencoder_has_the_weights_that_its_widths_come_to():
    widths = [784, 512, 256, 128, 64, 32]
    one_way = sum(a * b + b for a, b in pairwise(widths))
    back = sum(a * b + a for a, b in pairwise(widths))
    network = dense_autoencoder((1, 28, 28), (512, 256, 128, 64), 32)
    assert (parameters(network.encoder), parameters(network.decoder)) == (one_way, back)


# ---- the players of the fully connected GAN


def test_the_generator_has_three_hidden_layers_and_the_label_beside_the_code():
    network = MLPGenerator((1, 28, 28), 2)
    widths = [(layer.in_features, layer.out_features) for layer in network.layers if isinstance(layer, nn.Linear)]
    assert widths == [(102, 256), (256, 512), (512, 1024), (1024, 784)]
    assert parameters(network) == sum(a * b + b for a, b in widths)


def test_the_discriminator_is_its_mirror_image():
    network = MLPDiscriminator((1, 28, 28), 2, outputs=3)
    widths = [(layer.in_features, layer.out_features) for layer in network.layers if isinstance(layer, nn.Linear)]
    assert widths == [(786, 1024), (1024, 512), (512, 256), (256, 3)]


@pytest.mark.parametrize("shape", SHAPES[:4])
@pytest.mark.parametrize("classes", [0, 3])
def test_the_players_take_any_size_and_hear_the_label_if_there_is_one(shape, classes):
    torch.manual_seed(0)
    generator = MLPGenerator(shape, classes, 6, (8,))
    discriminator = MLPDiscriminator(shape, classes, 2, (8,))
    drawn = generator(torch.ones(3, 6), LABELS)
    assert drawn.shape == (3, *shape)
    assert drawn.abs().max() <= 1
    scores = discriminator(torch.ones(3, *shape), LABELS)
    assert scores.shape == (3, 2)
    for rows in (drawn.flatten(1), scores):
        assert (torch.pdist(rows).max() > 1e-3) == bool(classes)


def test_dropout_is_in_the_discriminator_while_it_trains_only():
    torch.manual_seed(0)
    network, shown = MLPDiscriminator((1, 8, 8), 0, hidden=(64,), dropout=0.5), images((1, 8, 8))
    assert not torch.equal(network.train()(shown, LABELS), network(shown, LABELS))
    assert torch.equal(network.eval()(shown, LABELS), network(shown, LABELS))


def test_a_perceptron_has_an_activation_between_layers_and_none_after_the_last():
    network = perceptron([4, 3, 2], nn.Tanh)
    assert [type(layer) for layer in network] == [nn.Linear, nn.Tanh, nn.Linear]
    assert math.prod(network(torch.ones(7, 4)).shape) == 14
