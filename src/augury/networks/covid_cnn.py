"""The five-block convolutional classifier that was published with the COVID-CT images."""

from __future__ import annotations

from torch import Tensor, nn

from augury.networks.small_cnn import LARGE, LeanMaxPool

BLOCKS = (32, 32, 64, 64, 128)
DENSE, LAST = 256, 128


class CovidCNN(nn.Module):
    """Five blocks of 3 x 3 convolution (32, 32, 64, 64, 128), batch norm, 2 x 2 max-pool and ReLU; dense 256 and 128.

    A map with a side of 1 is not pooled any further, so that images of 8 x 8 pass, too. The printed order, ReLU and
    then the pool, gives the same numbers: the two commute, and this way the ReLU has a quarter of the work. The
    convolutions have no bias, which the batch norm would take away again.

    Args:
        channels: Input channels.
        size: (H, W) of the input, 256 x 256 as published.
        classes: Number of outputs.
        dropout: Share of the 256 dropped.

    Attributes:
        width: Number of features, 128.

    Example:
        >>> import torch
        >>> CovidCNN(1, (64, 64), 2)(torch.zeros(3, 1, 64, 64)).shape
        torch.Size([3, 2])
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int, dropout: float = 0.25) -> None:
        super().__init__()
        (H, W), incoming = size, channels
        layers: list[nn.Module] = []
        for outgoing in BLOCKS:
            layers += [nn.Conv2d(incoming, outgoing, 3, padding=1, bias=False), nn.BatchNorm2d(outgoing)]
            if min(H, W) >= 2:
                layers.append(LeanMaxPool() if H * W > LARGE else nn.MaxPool2d(2))
                H, W = H // 2, W // 2
            layers.append(nn.ReLU(inplace=True))
            incoming = outgoing
        self.width = LAST
        self.maps = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(incoming * H * W, DENSE),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(DENSE, LAST),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(LAST, classes)

    def features(self, images: Tensor) -> Tensor:
        """Map float (B, C, H, W) in -1..1 to (B, 128)."""
        features: Tensor = self.dense(self.maps(images))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map float (B, C, H, W) in -1..1 to logits (B, K)."""
        logits: Tensor = self.head(self.features(images))
        return logits
