"""How different the images of one class are from each other: MS-SSIM and LPIPS of random pairs, by torchmetrics."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from augury.errors import DataError
from augury.networks.weights import read_weights
from augury.seeds import guarded
from augury.stored import StoredPixels

Distance = Callable[[Tensor, Tensor], Tensor]

MS_SSIM, LPIPS = "MS-SSIM", "LPIPS"
MS_SSIM_SIDE = 176  # pixels: torchmetrics wants side // 16 > 10, for four halvings under a window of 11
LPIPS_SIDE = 64  # pixels: of the patches on which its weights were learned
Network = Literal["alex", "squeeze"]
LPIPS_NETWORKS: dict[Network, str] = {
    "alex": "AlexNet_Weights",
    "squeeze": "SqueezeNet1_1_Weights",
}  # torchmetrics' name -> torchvision's
AT_ONCE = 16  # pairs


@dataclass(frozen=True)
class PairMeasure:
    """A measure of pairs of images.

    Attributes:
        name: Its name, and its network if it has a choice.
        distance: Maps two batches (B, C, H, W) in 0..1 to (B,); None where it cannot be computed.
        reason: Why not; empty where it can.
    """

    name: str
    distance: Distance | None
    reason: str = ""


def pair_measures(shape: tuple[int, int, int]) -> tuple[PairMeasure, PairMeasure]:
    """Return MS-SSIM (1 for equal images) and LPIPS (0 for equal images), as far as they suit images of some shape.

    Nothing is downloaded: LPIPS needs the file of its network where torchvision looks for it.

    Args:
        shape: Channels, height, width.

    Example:
        >>> [measure.distance for measure in pair_measures((1, 28, 28))]
        [None, None]

    Reference: Wang et al. 2003 (MS-SSIM); Odena et al. 2017 (of pairs within a class); Zhang et al. 2018 (LPIPS).
    """
    return _ms_ssim(shape), _lpips(shape)


def pairwise(images: Tensor | StoredPixels, distance: Distance, pairs: int = 100, seed: int = 0) -> float:
    """Return the mean of a measure over random pairs of images.

    Args:
        images: uint8 (N, C, H, W), N >= 2.
        distance: Maps two batches (B, C, H, W) in 0..1 to (B,).
        pairs: How many pairs, all of them different; all that there are if there are no more.
        seed: Of the pairs.

    Raises:
        DataError: If there are fewer than two images.

    Example:
        >>> black_and_white = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 4, 4)
        >>> pairwise(black_and_white, lambda a, b: (a - b).abs().mean((1, 2, 3)))
        1.0
    """
    n = len(images)
    if n < 2:
        raise DataError(f"pairs are made of two images or more. Got {n}.")
    total = n * (n - 1) // 2
    chosen = np.random.default_rng(seed).choice(total, min(pairs, total), replace=False)
    # pair k of all pairs i < j, counted by j
    j = ((1 + np.sqrt(1 + 8 * chosen.astype(np.float64))) // 2).astype(np.int64)
    i = chosen - j * (j - 1) // 2
    values = []
    for start in range(0, len(chosen), AT_ONCE):
        a, b = (images[list(side[start : start + AT_ONCE])].float() / 255 for side in (i, j))
        values.append(distance(a, b))
    return float(torch.cat(values).mean())


def _ms_ssim(shape: tuple[int, int, int]) -> PairMeasure:
    reason = _missing(MS_SSIM, MS_SSIM_SIDE, shape)
    if reason:
        return PairMeasure(MS_SSIM, None, reason)
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    return PairMeasure(MS_SSIM, lambda a, b: ms_ssim(a, b, data_range=1.0, reduction="none"))


def _lpips(shape: tuple[int, int, int]) -> PairMeasure:
    reason = _missing(LPIPS, LPIPS_SIDE, shape)
    if not reason and shape[0] not in (1, 3):
        reason = f"LPIPS takes grey or RGB images. These have {shape[0]} channels."
    network = next((name for name in LPIPS_NETWORKS if _file(name).is_file()), None)
    if not reason and network is None:
        reason = (
            "LPIPS needs the weights of a network, which are not here: "
            "torchvision.models.alexnet(weights='IMAGENET1K_V1') fetches them once."
        )
    if reason or network is None:
        return PairMeasure(LPIPS, None, reason)
    try:
        return PairMeasure(f"{LPIPS} ({network})", _lpips_distance(network))
    except (DataError, RuntimeError):
        return PairMeasure(LPIPS, None, f"LPIPS cannot read {_file(network).name} in torchvision's cache: delete it.")


def _lpips_distance(network: Network) -> Distance:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    read_weights(_file(network))  # torchvision would unpickle it: once this has read it, there is nothing to run in it
    with guarded(0):  # the random weights that are replaced draw from torch's global generator
        net: Any = LearnedPerceptualImagePatchSimilarity(net_type=network).net

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        a, b = (images.expand(-1, 3, -1, -1) for images in (a, b))
        found: Tensor = net(a, b, normalize=True)
        return found.flatten()

    return distance


def _file(network: Network) -> Path:
    """Return where torchvision keeps the weights of a network."""
    from torchvision import models

    weights: Any = getattr(models, LPIPS_NETWORKS[network]).DEFAULT
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def _missing(name: str, least: int, shape: tuple[int, int, int]) -> str:
    """Return why a measure cannot be computed: images that are too small, or a package that is not installed."""
    if min(shape[1:]) < least:
        return f"{name} needs images of {least} pixels or more a side. These have {shape[1]} x {shape[2]}."
    if importlib.util.find_spec("torchmetrics") is None:
        return f"{name} needs the package torchmetrics: pip install 'augury[fidelity]'."
    return ""
