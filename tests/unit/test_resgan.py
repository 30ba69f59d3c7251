import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augury.networks.resgan import ConditionalNorm, DoublingConv, HalvingConv, ResidualCritic, ResidualGenerator

SIZES = [(8, 8), (8, 12), (9, 9), (13, 8), (28, 28), (64, 50)]


def doubled_first(layer, maps):
    return F.conv2d(F.interpolate(maps, scale_factor=2.0), layer.weight, layer.bias, padding=1)


def averaged_last(layer, maps):
    return F.avg_pool2d(F.conv2d(maps, layer.weight, layer.bias, padding=1), 2)


def critic(classes=3, outputs=1, **settings):
    torch.manual_seed(0)
    return ResidualCritic((1, 9, 13), classes, outputs, 4, **settings)


def penalty_gradients(make, layer, maps):
    """Return the gradients of a penalty on the gradient, and what the layer makes of the maps."""
    leaf = maps.clone().requires_grad_()
    made = make(layer, leaf)
    (slope,) = torch.autograd.grad(made.square().sum(), leaf, create_graph=True)
    return made.detach(), *torch.autograd.grad(slope.square().sum(), [leaf, layer.weight])


@pytest.mark.parametrize("size", [(4, 4), (6, 8), (7, 9)], ids=str)
@pytest.mark.parametrize(("kind", "two_layers"), [(DoublingConv, doubled_first), (HalvingConv, averaged_last)])
def test_one_convolution_does_the_work_of_two_layers(kind, two_layers, size):
    layer, maps = kind(3, 5, 3).double(), torch.randn(2, 3, *size, dtype=torch.float64)
    one = penalty_gradients(lambda layer, maps: layer(maps), layer, maps)
    two = penalty_gradients(two_layers, layer, maps)
    assert all(torch.allclose(mine, its) for mine, its in zip(one, two, strict=True))


def test_the_conditional_norm_begins_as_batch_norm_for_every_class():
    maps, labels = 3 * torch.randn(6, 4, 5, 5) + 1, torch.arange(6) % 3
    assert torch.allclose(ConditionalNorm(4, 3)(maps, labels), nn.BatchNorm2d(4)(maps), atol=1e-6)


def test_scale_and_shift_belong_to_one_class():
    norm, maps, labels = ConditionalNorm(4, 3), torch.randn(6, 4, 5, 5), torch.arange(6) % 3
    with torch.no_grad():
        norm.told.weight[1] = torch.tensor([2.0] * 4 + [-1.0] * 4)
    plain = nn.BatchNorm2d(4)(maps)
    expected = torch.where((labels == 1)[:, None, None, None], 2 * plain - 1, plain)
    assert torch.allclose(norm(maps, labels), expected, atol=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_gives_images_scores_and_gradients(size, channels, classes):
    shape, labels = (channels, *size), torch.tensor([0, 1, 2, 0])
    generator, network = ResidualGenerator(shape, classes, 5, 2), ResidualCritic(shape, classes, 2, 2)
    images = generator(torch.randn(4, generator.latent), labels)
    assert images.shape == (4, *shape)
    assert images.abs().max() <= 1
    outputs = network(images, labels)
    assert outputs.shape == (4, 2)
    outputs.square().sum().backward()
    weights = [*generator.parameters(), *network.parameters()]
    assert all(each.grad is not None and each.grad.isfinite().all() for each in weights)


def test_at_64_pixels_these_are_the_maps_of_the_paper():
    generator, network = ResidualGenerator((3, 64, 64), 0), ResidualCritic((3, 64, 64), 0)
    assert generator.start == (512, 4, 4)
    assert [block.conv1.out_channels for block in generator.blocks] == [512, 256, 128, 64]
    assert [block.conv2.out_channels for block in network.body] == [64, 128, 256, 512, 512]
    maps = network.body(torch.zeros(1, 3, 64, 64))
    assert maps.shape == (1, 512, 4, 4)


def test_the_critic_scores_each_image_by_itself():
    images, labels = torch.randn(4, 1, 9, 13), torch.tensor([0, 1, 2, 0])
    network = critic()
    alone = torch.cat([network(images[i : i + 1], labels[i : i + 1]) for i in range(4)])
    assert torch.allclose(network(images, labels), alone, atol=1e-5)


def test_the_label_enters_the_score_as_a_product_with_its_embedding_and_nothing_else():
    network, images = critic(outputs=4), torch.randn(2, 1, 9, 13)
    first, second = (network(images, torch.full((2,), label)) for label in (0, 1))
    features = F.relu(network.body(images)).sum((2, 3))
    difference = features @ (network.embedding.weight[1] - network.embedding.weight[0])
    assert difference.abs().min() > 1e-3
    assert torch.allclose((second - first)[:, 0], difference, atol=1e-5)
    assert torch.equal(first[:, 1:], second[:, 1:])


@pytest.mark.parametrize("settings", [{"classes": 3, "projection": False}, {"classes": 0}], ids=str)
def test_without_projection_or_classes_the_critic_is_not_told_the_label(settings):
    network, images = critic(**settings), torch.randn(2, 1, 9, 13)
    assert torch.equal(network(images, torch.tensor([0, 1])), network(images, torch.tensor([2, 2])))


def test_the_generator_is_told_the_label_only_if_there_are_classes():
    codes, labels = torch.randn(2, 5), torch.tensor([0, 1])
    for classes in (0, 2):
        network = ResidualGenerator((1, 8, 8), classes, 5, 4)
        if classes:
            nn.init.normal_(network.norm.told.weight)
        assert torch.equal(network(codes, labels), network(codes, labels.flip(0))) is (classes == 0)
