import pytest
import torch
import torch.nn.functional as F

from augury.generators import DenseGAN
from augury.networks.dense_gan import DenseDiscriminator, DenseGenerator
from augury.training import Run
from tiny import TINY_GENERATORS
from toy import class_means, joined, nearest_class, toy_images

LABELS = torch.tensor([1, 0])


def players(shape, classes):
    return DenseGenerator(shape, classes, latent=6, width=4), DenseDiscriminator(shape, classes, 3, width=4)


@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("shape", [(1, 8, 12), (3, 9, 9), (1, 13, 8), (3, 28, 28), (1, 64, 65)], ids=str)
def test_images_of_any_shape_are_drawn_and_judged(shape, classes):
    generator, discriminator = players(shape, classes)
    images = generator(torch.randn(2, 6), LABELS)
    assert images.shape == (2, *shape)
    assert images.abs().max() < 1
    assert discriminator(images, LABELS).shape == (2, 3)


def test_at_256_pixels_the_layers_are_the_printed_ones():
    generator, discriminator = DenseGAN().players((1, 256, 256), 0)
    assert generator.dense.weight.shape == (262_144, 100)
    with torch.no_grad():
        assert generator(torch.randn(1, 100), LABELS[:1]).shape == (1, 1, 256, 256)
    # weights and biases: 64 -> 128 and 128 -> 128 with k4, 128 -> 1 with k7
    assert sum(p.numel() for p in generator.layers.parameters()) == 131_200 + 262_272 + 6_273
    # 1 -> 64 and 64 -> 64 with k3, then 64 maps of 64 x 64 -> 1
    assert sum(p.numel() for p in discriminator.parameters()) == 640 + 36_928 + 262_145


def test_the_last_layer_is_a_convolution_of_seven_pixels():
    last = players((1, 8, 8), 0)[0].layers[-1]
    maps = torch.randn(2, 8, 8, 8)
    kernel = last.weight.transpose(0, 1).flip(2, 3)
    torch.testing.assert_close(last(maps), F.conv2d(maps, kernel, last.bias, padding=3))


@pytest.mark.parametrize("player", [0, 1])
def test_only_a_network_that_is_told_the_class_depends_on_it(player):
    inputs = [torch.randn(1, 6), torch.randn(1, 1, 8, 8)][player]
    for classes in (0, 2):
        network = players((1, 8, 8), classes)[player].eval()
        zero, one = (network(inputs, torch.tensor([label])) for label in (0, 1))
        assert torch.equal(zero, one) == (classes == 0)


def test_untrained_players_draw_nearly_grey_images_and_tell_images_apart():
    torch.manual_seed(0)
    generator, discriminator = (player.eval() for player in DenseGAN().players((1, 32, 32), 0))
    labels = torch.zeros(64, dtype=torch.int64)
    with torch.no_grad():
        assert generator(torch.randn(64, 100), labels).abs().max() < 0.2
        assert 0.7 < discriminator(torch.randn(64, 1, 32, 32), labels).std() < 2.5  # sqrt(2 / 1.04) in expectation


def test_dropout_blurs_the_judgement_in_training_only():
    discriminator, images = DenseDiscriminator((1, 8, 8), 0), torch.randn(2, 1, 8, 8)
    assert not torch.equal(discriminator(images, LABELS), discriminator(images, LABELS))
    discriminator.eval()
    assert torch.equal(discriminator(images, LABELS), discriminator(images, LABELS))


def test_each_class_has_its_own_players_that_never_see_another():
    recipe = TINY_GENERATORS["dense_gan"].replace(steps=3)
    train, other = toy_images(), toy_images(seed=1)
    changed = joined(train.of_class(0), other.of_class(1))
    one, two = (recipe.fit(images, Run(seed=0)).draw(3, seed=0).images for images in (train, changed))
    assert torch.equal(one[:3], two[:3])
    assert not torch.equal(one[3:], two[3:])


def test_one_pair_for_all_classes_draws_what_it_is_told():
    recipe = TINY_GENERATORS["dense_gan"].replace(per_class=False, steps=160, width=16)
    train = toy_images()
    pool = recipe.fit(train, Run(seed=1)).draw(10, seed=0)
    assert (nearest_class(pool, class_means(train)) == pool.labels).float().mean() > 0.7


def test_a_table_of_the_game_keeps_the_smoothing():
    assert DenseGAN().game.smoothing == DenseGAN(game={"r1": 1.0}).game.smoothing == 0.1
