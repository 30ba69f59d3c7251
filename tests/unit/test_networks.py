import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augury.networks import small_cnn
from augury.networks.covid_cnn import CovidCNN
from augury.networks.lesion_cnn import LesionCNN
from augury.networks.resnet28 import ResNet28
from augury.networks.small_cnn import LeanMaxPool, SmallCNN

LAYOUTS = {"rows": torch.contiguous_format, "channels last": torch.channels_last}


def through(module, maps, weights):
    """Return what a module makes of some maps, and the gradient of its weighted sum."""
    leaf = maps.clone().requires_grad_()
    pooled = module(leaf)
    (pooled * weights).sum().backward()
    return pooled.detach(), leaf.grad


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 8), (9, 13)], ids=str)
def test_the_lean_pool_is_the_max_pool_to_the_bit(layout, dtype, size):
    # whole numbers: many ties, whose gradient must go to the same pixel
    maps = torch.randint(-3, 3, (4, 5, *size)).to(dtype).contiguous(memory_format=LAYOUTS[layout])
    weights = torch.randn(4, 5, size[0] // 2, size[1] // 2).to(dtype)
    for mine, its in zip(through(LeanMaxPool(), maps, weights), through(nn.MaxPool2d(2), maps, weights), strict=True):
        assert torch.equal(mine, its)


def test_the_lean_pool_keeps_nothing_but_positions():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        LeanMaxPool()(torch.randn(2, 3, 8, 8, requires_grad=True))
    assert [(tensor.dtype, tuple(tensor.shape)) for tensor in kept] == [(torch.int32, (2, 3, 4, 4))]


def test_pooling_before_the_relu_is_pooling_after_it():
    maps, weights = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 4, 4)
    before = through(lambda x: F.relu(F.max_pool2d(x, 2)), maps, weights)
    after = through(lambda x: F.max_pool2d(F.relu(x), 2), maps, weights)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_large_images_are_pooled_leanly_and_nothing_else_changes(monkeypatch):
    images = torch.randn(2, 3, 16, 20)
    results = []
    for limit in (small_cnn.LARGE, 0):
        monkeypatch.setattr(small_cnn, "LARGE", limit)
        torch.manual_seed(0)
        network = SmallCNN(3, (16, 20), 2, 4, 0.0)
        network(images).sum().backward()
        results.append([parameter.grad for parameter in network.parameters()])
    assert any(isinstance(layer, LeanMaxPool) for layer in network.body)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


NETWORKS = (CovidCNN, LesionCNN, ResNet28)


def sides(network, kinds, shape):
    """Return the side of the maps that enter the network and leave its layers of some kinds."""
    seen = [shape[-1]]
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda layer, inputs, maps: seen.append(maps.shape[-1]))
    network.eval()(torch.zeros(1, *shape))
    return seen


def counts(network, *kinds):
    """Return the number of weights of each layer of some kinds."""
    layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
    return [sum(weights.numel() for weights in layer.parameters()) for layer in layers]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("size", [(8, 8), (8, 41), (9, 12), (28, 28), (70, 33)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", NETWORKS)
def test_every_size_gives_features_logits_and_gradients(make, channels, size, classes):
    network, images = make(channels, size, classes), torch.rand(4, channels, *size) * 2 - 1
    assert network.features(images).shape == (4, network.width)
    logits = network(images)
    assert logits.shape == (4, classes)
    F.cross_entropy(logits, torch.arange(4) % classes).backward()
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in network.parameters())


@pytest.mark.parametrize("make", NETWORKS)
def test_logits_depend_on_the_image_and_come_from_the_features(make):
    network, images = make(3, (16, 16), 3).eval(), torch.rand(4, 3, 16, 16) * 2 - 1
    assert network(images).std(0).min() > 0
    assert torch.allclose(network.head(network.features(images)), network(images))


def test_the_lesion_network_has_the_printed_layers_and_maps():
    network = LesionCNN(3, (32, 32), 2)
    assert counts(network, nn.Conv2d, nn.Linear) == [896, 8256, 32896, 65664, 513]
    assert counts(network, LesionCNN) == [108225]
    assert sides(network, nn.Conv2d, (3, 32, 32))[1:] == [32, 15, 7, 2]
    assert sides(LesionCNN(3, (32, 32), 2), nn.MaxPool2d, (3, 32, 32))[1:] == [16, 8, 3]
    assert network.width == 512


@pytest.mark.parametrize(("side", "width"), [(8, 128), (17, 128), (20, 128), (64, 128 * 36)])
def test_small_images_leave_the_lesion_network_its_layers(side, width):
    network = LesionCNN(3, (side, side), 2)
    assert network.width == width
    assert counts(network, nn.Conv2d) == [896, 8256, 32896, 65664]


def test_two_classes_of_the_lesion_network_share_one_number():
    network, images = LesionCNN(3, (32, 32), 2).eval(), torch.randn(5, 3, 32, 32)
    z = network.head(network.features(images))
    assert torch.allclose(network(images).softmax(1)[:, 1], torch.sigmoid(z[:, 0]))
    assert LesionCNN(3, (32, 32), 7).head.out_features == 7


def test_the_covid_network_has_the_published_layers_and_maps():
    network = CovidCNN(1, (256, 256), 2)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.kernel_size, layer.stride, layer.padding) for layer in convolutions] == [
        (width, (3, 3), (1, 1), (1, 1)) for width in (32, 32, 64, 64, 128)
    ]
    assert counts(network, nn.BatchNorm2d) == [64, 64, 128, 128, 256]
    assert counts(network, nn.Linear) == [8 * 8 * 128 * 256 + 256, 256 * 128 + 128, 128 * 2 + 2]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.25]
    assert sides(network, (nn.MaxPool2d, LeanMaxPool), (1, 256, 256)) == [256, 128, 64, 32, 16, 8]


def test_resnet28_has_the_small_stem_and_resnet18_behind_it():
    network = ResNet28(3, (32, 32), 10)
    assert counts(network, ResNet28) == [11_173_962]  # the known size of ResNet-18 for CIFAR-10
    assert counts(ResNet28(1, (28, 28), 2), ResNet28) == [11_173_962 - 2 * 576 - 8 * 513]
    maps = []
    for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        network.body.get_submodule(name).register_forward_hook(lambda layer, inputs, out: maps.append(out.shape[-1]))
    network.eval()(torch.zeros(1, 3, 28, 28))
    assert maps == [28, 28, 28, 14, 7, 4]
