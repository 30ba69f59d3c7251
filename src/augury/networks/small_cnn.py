"""A four-layer convolutional classifier for images of 8 to 64 pixels."""

from __future__ import annotations

from torch import Tensor, nn

SMALLEST_MAP = 4  # pixels; a smaller feature map is not pooled any further


class SmallCNN(nn.Module):
    """Four 3 x 3 convolutions (w, 2w, 4w, 4w), batch norm, ReLU, pooling while the map allows, global mean.

    Args:
        channels: Input channels.
        size: (H, W) of the input.
        classes: Number of outputs.
        width: Channels of the first layer.
        dropout: Share of features dropped before the last layer.
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int, width: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side, incoming = min(size), channels
        for depth, outgoing in enumerate((width, 2 * width, 4 * width, 4 * width)):
            layers += [
                nn.Conv2d(incoming, outgoing, 3, padding=1, bias=False),
                nn.BatchNorm2d(outgoing),
                nn.ReLU(inplace=True),
            ]
            if depth < 3 and side // 2 >= SMALLEST_MAP:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            incoming = outgoing
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
