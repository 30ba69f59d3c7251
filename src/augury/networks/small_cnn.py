"""A four-layer convolutional classifier for images of 8 to 64 pixels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SMALLEST_MAP = 4  # pixels; a smaller feature map is not pooled any further
LARGE = 64 * 64  # pixels; above, what is kept for the backward pass is what fills the memory


class SmallCNN(nn.Module):
    """Four 3 x 3 convolutions (w, 2w, 4w, 4w), batch norm, pooling while the map allows, ReLU, global mean.

    Args:
        channels: Input channels.
        size: (H, W) of the input.
        classes: Number of outputs.
        width: Channels of the first layer.
        dropout: Share of features dropped before the last layer.

    Attributes:
        width: Number of features, four times the channels of the first layer.
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int, width: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side, incoming = min(size), channels
        for depth, outgoing in enumerate((width, 2 * width, 4 * width, 4 * width)):
            layers += [nn.Conv2d(incoming, outgoing, 3, padding=1, bias=False), nn.BatchNorm2d(outgoing)]
            if depth < 3 and side // 2 >= SMALLEST_MAP:
                # before the ReLU, which commutes with it and then has a quarter of the work
                layers.append(LeanMaxPool() if size[0] * size[1] > LARGE else nn.MaxPool2d(2))
                side //= 2
            layers.append(nn.ReLU(inplace=True))
            incoming = outgoing
        self.width = incoming
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(incoming, classes))

    def features(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 4 * width)."""
        features: Tensor = self.body(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to logits (B, K)."""
        logits: Tensor = self.head(self.features(images))
        return logits


class LeanMaxPool(nn.Module):
    """`MaxPool2d(2)` to the bit, in a quarter of the memory: it keeps int32 positions, and not its input."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H // 2, W // 2)."""
        # a GPU has a kernel for it, and its memory is no concern at these sizes
        pooled: Tensor = F.max_pool2d(maps, 2) if maps.is_cuda else _MaxPool.apply(maps)
        return pooled


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        pooled, positions = F.max_pool2d(maps, 2, return_indices=True)
        ctx.save_for_backward(positions.int())
        ctx.shape = maps.shape
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (positions,) = ctx.saved_tensors
        last = gradient.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        shape = torch.empty(ctx.shape, dtype=gradient.dtype, memory_format=layout)  # never touched: takes no memory
        back: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, shape, [2, 2], [2, 2], [0, 0], [1, 1], False, positions.long()
        )
        return back
