"""The convolutional classifier of 108,225 parameters that was published with skin lesions of 32 x 32 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LesionCNN(nn.Module):
    """Convolutions 3 x 3 (32) and 2 x 2 (64, 128, 128), three pools and one dense layer.

    At 3 x 32 x 32 the maps have sides of 32, 16, 15, 8, 7, 3 and 2 pixels, and with two classes the layers have 896,
    8,256, 32,896, 65,664 and 513 parameters. The first convolution is padded and the others are not; the second pool
    rounds up and the others down. Where a small image leaves a map of side 1, it is not pooled any further, and a
    2 x 2 convolution pads it by one row or column of zeros.

    Args:
        channels: Input channels.
        size: (H, W) of the input.
        classes: Number of outputs. Two of them share one number z, as printed: the logits are (0, z), whose softmax is
            the sigmoid of z.
        dropout: Share of values dropped after each block.

    Attributes:
        width: Number of features, the flattened last maps: 512 at 32 x 32.

    Example:
        >>> sum(weights.numel() for weights in LesionCNN(3, (32, 32), 2).parameters())
        108225
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int, dropout: float = 0.25) -> None:
        super().__init__()
        blocks = _Blocks(channels, size, dropout)
        blocks.convolve(32, 3, padding=1).pool(ceil=False)
        blocks.convolve(64, 2).pool(ceil=True)
        blocks.convolve(128, 2).pool(ceil=False)
        blocks.convolve(128, 2)
        self.width = blocks.channels * blocks.H * blocks.W
        self.body = nn.Sequential(*blocks.layers, nn.Dropout(dropout), nn.Flatten())
        self.head = nn.Linear(self.width, 1 if classes == 2 else classes)

    def features(self, images: Tensor) -> Tensor:
        """Map float (B, C, H, W) in -1..1 to (B, width)."""
        features: Tensor = self.body(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map float (B, C, H, W) in -1..1 to logits (B, K)."""
        outputs: Tensor = self.head(self.features(images))
        return torch.cat([torch.zeros_like(outputs), outputs], dim=1) if outputs.shape[1] == 1 else outputs


class _Blocks:
    """The layers so far, and the shape of the maps that leave them."""

    def __init__(self, channels: int, size: tuple[int, int], dropout: float) -> None:
        self.channels, (self.H, self.W), self.dropout = channels, size, dropout
        self.layers: list[nn.Module] = []

    def convolve(self, outgoing: int, kernel: int, padding: int = 0) -> _Blocks:
        missing = (0, max(0, kernel - 2 * padding - self.W), 0, max(0, kernel - 2 * padding - self.H))
        if any(missing):
            self.layers.append(nn.ZeroPad2d(missing))
        self.layers += [nn.Conv2d(self.channels, outgoing, kernel, padding=padding), nn.ReLU(inplace=True)]
        self.H = self.H + missing[3] + 2 * padding - kernel + 1
        self.W = self.W + missing[1] + 2 * padding - kernel + 1
        self.channels = outgoing
        return self

    def pool(self, ceil: bool) -> None:
        if min(self.H, self.W) >= 2:
            self.layers.append(nn.MaxPool2d(2, ceil_mode=ceil))
            self.H, self.W = (self.H + ceil) // 2, (self.W + ceil) // 2
        self.layers.append(nn.Dropout(self.dropout))
