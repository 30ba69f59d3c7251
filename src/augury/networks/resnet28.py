"""ResNet-18 in the form that small images need, MedMNIST's 28 pixels among them."""

from __future__ import annotations

from torch import Tensor, nn

STEM, LAST = 64, 512


class ResNet28(nn.Module):
    """torchvision's ResNet-18 with a 3 x 3 stem of stride 1 and without the max-pool: maps of 28, 14, 7 and 4 pixels.

    Args:
        channels: Input channels.
        size: (H, W) of the input; any from 8 x 8 on, and it changes nothing in the network.
        classes: Number of outputs.

    Attributes:
        width: Number of features, 512.

    Reference:
        He et al. 2016 (arXiv 1512.03385), section 4.2 for the small stem; Yang et al. 2023, MedMNIST v2, for 28 pixels.

    Example:
        >>> import torch
        >>> ResNet28(1, (28, 28), 2)(torch.zeros(3, 1, 28, 28)).shape
        torch.Size([3, 2])
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int) -> None:
        from torchvision.models import resnet18  # slow, and only those who make this network need it

        super().__init__()
        stem = nn.Conv2d(channels, STEM, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as torchvision begins
        self.body: nn.Module = resnet18(weights=None)
        self.body.conv1, self.body.maxpool, self.body.fc = stem, nn.Identity(), nn.Identity()
        self.width = LAST
        self.head = nn.Linear(LAST, classes)

    def features(self, images: Tensor) -> Tensor:
        """Map float (B, C, H, W) in -1..1 to (B, 512)."""
        features: Tensor = self.body(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map float (B, C, H, W) in -1..1 to logits (B, K)."""
        logits: Tensor = self.head(self.features(images))
        return logits
