"""One network per class behind the interface of one network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ByClass(nn.Module):
    """Sends each code to the network of its label.

    Args:
        networks: K generator networks of one shape.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.latent: int = int(networks[0].latent)  # type: ignore[arg-type]

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map (B, latent) and (B,) to images, (B, C, H, W).

        Every network that is needed sees the whole batch: in batches of another size its images might differ by a bit.
        """
        images: Tensor | None = None
        for label in labels.unique().tolist():
            drawn = self.networks[label](codes, labels)
            images = drawn if images is None else torch.where((labels == label)[:, None, None, None], drawn, images)
        assert images is not None
        return images
