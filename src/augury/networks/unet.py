"""A compact U-Net that is told a noise level, a class and a change of the image: for diffusion and flow matching."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.networks.resgan import DoublingConv

LEAST_SIDE = 6  # of the smallest maps
GROUP = 16  # channels that are normed together
HEAD = 32  # channels of an attention head
FREQUENCIES = (-1.5, 2.5)  # logarithms of the least and the greatest, per unit of the noise level's scale


class UNet(nn.Module):
    """Maps that are halved and doubled again, with what was seen on the way down beside what comes up.

    Squares of pixels are made channels first (`patch`), so that the largest maps, which cost most and hold least, are
    left out. The width grows with depth: 1, 2, 3, 4 times. The smallest maps attend to themselves. Images of odd sizes
    are continued at their edge, and the rest is cut off again.

    Args:
        shape: (C, H, W).
        classes: K; label K is "no class", which classifier-free guidance needs.
        width: Channels of the largest maps, a multiple of GROUP.
        blocks: Residual blocks per size on the way down; one more on the way up.
        patch: Side of the squares of pixels that become channels.
        told: Numbers that describe a change of the image; 0 for none.
        dropout: Share of activations that are dropped in training.
        adviser: A classifier of the same images, kept with the weights; it takes no part in the prediction.

    Reference: Ho et al. 2020 (arXiv 2006.11239), appendix B; Dhariwal, Nichol 2021 (arXiv 2105.05233), section 3;
    Karras et al. 2022 (arXiv 2206.00364), appendix F.1 for what is told; Hoogeboom et al. 2023 (arXiv 2301.11093),
    section 3.3 for small first maps.

    Example:
        >>> network = UNet((1, 28, 20), 2, width=16)
        >>> network(torch.zeros(3, 1, 28, 20), torch.zeros(3), torch.tensor([0, 1, 2])).shape
        torch.Size([3, 1, 28, 20])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        width: int = 64,
        blocks: int = 1,
        patch: int = 1,
        told: int = 0,
        dropout: float = 0.0,
        adviser: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.classes, self.patch, self.adviser = shape, classes, patch, adviser
        widths = [width * (1 + level) for level in range(levels(shape, patch))]
        self.multiple = patch * 2 ** (len(widths) - 1)
        self.conditions = Conditions(width, classes, told)
        self.first = nn.Conv2d(shape[0] * patch**2, width, 3, padding=1)
        self.down = nn.ModuleList(_way_down(widths, blocks, 4 * width, dropout))
        self.middle = nn.ModuleList([Block(widths[-1], widths[-1], 4 * width, dropout), Attention(widths[-1])])
        self.up = nn.ModuleList(_way_up(widths, blocks, 4 * width, dropout))
        self.norm = nn.GroupNorm(groups(width), width)
        self.last = nn.Conv2d(width, shape[0] * patch**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor, noise: Tensor, labels: Tensor, told: Tensor | None = None) -> Tensor:
        """Map noisy images to a prediction of the same shape.

        Args:
            images: float (B, C, H, W), of variance about 1.
            noise: float32 (B,), the noise level on a scale of about -2..2.
            labels: int64 (B,), 0..K; K is no class.
            told: float32 (B, told), the change that was made; None: none.

        Returns:
            float (B, C, H, W).
        """
        H, W = images.shape[-2:]
        condition = self.conditions(noise, labels, told)
        maps = F.pad(images, (0, -W % self.multiple, 0, -H % self.multiple), mode="replicate")
        maps = self.first(F.pixel_unshuffle(maps, self.patch))
        passed = [maps]
        for part in self.down:
            maps = part(maps, condition)
            passed.append(maps)
        for part in self.middle:
            maps = part(maps, condition)
        for part in self.up:
            maps = part(maps if isinstance(part, Double) else torch.cat([maps, passed.pop()], dim=1), condition)
        return F.pixel_shuffle(self.last(F.silu(self.norm(maps))), self.patch)[:, :, :H, :W]


def _way_down(widths: Sequence[int], blocks: int, condition: int, dropout: float) -> Iterator[nn.Module]:
    for level, channels in enumerate(widths):
        if level:
            yield Halve(widths[level - 1], channels)
        for _ in range(blocks):
            yield Block(channels, channels, condition, dropout)


def _way_up(widths: Sequence[int], blocks: int, condition: int, dropout: float) -> Iterator[nn.Module]:
    """Yield the blocks that see, beside what comes up, what the first layer and each layer of the way down left."""
    left = [widths[0]] * (1 + blocks) + [width for width in widths[1:] for _ in range(1 + blocks)]
    incoming = widths[-1]
    for level, channels in reversed(list(enumerate(widths))):
        for _ in range(blocks + 1):
            yield Block(incoming + left.pop(), channels, condition, dropout)
            incoming = channels
        if level:
            yield Double(channels)


class Conditions(nn.Module):
    """Noise level, class and change of the image as one vector, (B, 4 * width)."""

    def __init__(self, width: int, classes: int, told: int) -> None:
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.exp(torch.linspace(*FREQUENCIES, width // 2)), persistent=False)
        self.noise = nn.Linear(width, 4 * width)
        self.classes = nn.Embedding(classes + 1, 4 * width)
        self.told = nn.Linear(told, 4 * width, bias=False) if told else None
        self.last = nn.Linear(4 * width, 4 * width)
        nn.init.normal_(self.classes.weight, std=0.5)

    def forward(self, noise: Tensor, labels: Tensor, told: Tensor | None) -> Tensor:
        """Map (B,), (B,) and (B, told) to (B, 4 * width)."""
        angles = noise[:, None] * self.frequencies
        condition = self.noise(torch.cat([angles.cos(), angles.sin()], dim=1)) + self.classes(labels)
        if self.told is not None and told is not None:
            condition = condition + self.told(told)
        return F.silu(self.last(F.silu(condition)))


class Block(nn.Module):
    """Norm, SiLU, convolution, norm scaled and shifted by the condition, SiLU, convolution; beside it a shortcut."""

    def __init__(self, incoming: int, outgoing: int, condition: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups(incoming), incoming), nn.GroupNorm(groups(outgoing), outgoing)
        self.conv1 = nn.Conv2d(incoming, outgoing, 3, padding=1)
        self.conv2 = nn.Conv2d(outgoing, outgoing, 3, padding=1)
        self.told = nn.Linear(condition, 2 * outgoing)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Conv2d(incoming, outgoing, 1) if incoming != outgoing else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # a block begins as its shortcut
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Map (B, incoming, h, w) and (B, condition) to (B, outgoing, h, w)."""
        residual = self.conv1(F.silu(self.norm1(maps)))
        scale, shift = self.told(condition)[:, :, None, None].chunk(2, dim=1)
        residual = F.silu(torch.addcmul(shift, self.norm2(residual), 1 + scale))
        added: Tensor = self.shortcut(maps) + self.conv2(self.dropout(residual))
        return added


class Attention(nn.Module):
    """Each place looks at all others (Vaswani et al. 2017), beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.asked = nn.Conv2d(channels, 3 * channels, 1)
        self.last = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Map (B, channels, h, w) to the same shape; the condition is not looked at."""
        B, C, h, w = maps.shape
        asked = self.asked(self.norm(maps)).flatten(2).view(B, 3, self.heads, C // self.heads, h * w)
        query, key, value = asked.unbind(1)
        # written out: on a processor the fused form takes three times as long to differentiate for so few places
        weights = (query.transpose(-2, -1) @ key * (C // self.heads) ** -0.5).softmax(-1)
        added: Tensor = maps + self.last((value @ weights.transpose(-2, -1)).reshape(B, C, h, w))
        return added


class Halve(nn.Module):
    """A convolution that takes every second place."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(incoming, outgoing, 3, stride=2, padding=1)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Map (B, incoming, h, w) to (B, outgoing, h / 2, w / 2)."""
        halved: Tensor = self.conv(maps)
        return halved


class Double(nn.Module):
    """Every place twice in both directions, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = DoublingConv(channels, channels, 3)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, channels, 2 h, 2 w)."""
        doubled: Tensor = self.conv(maps)
        return doubled


def levels(shape: tuple[int, int, int], patch: int) -> int:
    """Return how many sizes of maps there are: the smallest has a side of at least LEAST_SIDE, and there are at most 4.

    Example:
        >>> levels((1, 28, 28), 2), levels((3, 64, 64), 2), levels((3, 128, 128), 4), levels((1, 8, 8), 1)
        (2, 3, 3, 1)
    """
    side, found = math.ceil(min(shape[1:]) / patch), 1
    while side / 2 >= LEAST_SIDE and found < 4:
        side, found = math.ceil(side / 2), found + 1
    return found


def groups(channels: int) -> int:
    """Return the groups of a norm."""
    return max(1, channels // GROUP)
