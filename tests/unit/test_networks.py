import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augury.networks import small_cnn
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
