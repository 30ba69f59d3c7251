"""Feature extractors of torch-fidelity for the audit: the Inception of FID and KID, and DINOv2 at 224 pixels.

torch-fidelity itself would unpickle a file of weights, and for DINOv2 run code from the network. Here weights are read
without unpickling, and DINOv2 is built by timm.
"""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.errors import DataError, SettingsError
from augury.networks.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone, check_backbone, open_backbone
from augury.networks.weights import FILE, file_of, need, put_weights, read_weights
from augury.seeds import guarded
from augury.settings import nearest

FIDELITY = "fidelity:"
INCEPTION, INCEPTION_WIDTH = "inception-v3-compat", 2048
DINO = {  # torch-fidelity's name -> timm's, and the one in the file's address
    "dinov2-vit-s-14": ("vit_small_patch14_dinov2", "dinov2_vits14"),
    "dinov2-vit-b-14": ("vit_base_patch14_dinov2", "dinov2_vitb14"),
    "dinov2-vit-l-14": ("vit_large_patch14_dinov2", "dinov2_vitl14"),
    "dinov2-vit-g-14": ("vit_giant_patch14_dinov2", "dinov2_vitg14"),
}
DINO_URL = "https://dl.fbaipublicfiles.com/dinov2/{0}/{0}_pretrain.pth"
DINO_SIDE, DINO_PATCH = 224, 14
NO_MEAN, TO_255 = (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)  # which bring RGB in 0..1 back to 0..255
REFUSED = {
    "vgg16": "is torchvision's: network = 'vgg16'",
    "clip": "comes as a program that would have to run: network = 'timm:vit_base_patch32_clip_224'",
}


def check_network(name: str) -> None:
    """Make sure that an audit can open a network here: a backbone, or `fidelity:` and a name of torch-fidelity's.

    Raises:
        SettingsError: If the name is unknown, the extra that it needs is not installed, or it is not supported.

    Example:
        >>> check_network("fidelity:vgg16")
        Traceback (most recent call last):
        augury.errors.SettingsError: fidelity:vgg16 is not supported: it is torchvision's: network = 'vgg16'.
    """
    if not name.startswith(FIDELITY):
        return check_backbone(name)
    name = name.removeprefix(FIDELITY)
    for start, reason in REFUSED.items():
        if name.startswith(start):
            raise SettingsError(f"{FIDELITY}{name} is not supported: it {reason}.")
    known = [INCEPTION, *DINO]
    if name not in known:
        raise SettingsError(f"there is no extractor {name!r}{nearest(name, known)}")
    return need("fidelity", "torch_fidelity", "timm")


def open_network(network: str, weights: str, *, seed: int) -> Backbone:
    """Make the network of a feature space: a backbone, or an extractor of torch-fidelity.

    Args:
        network: A name that `open_backbone` knows, `fidelity:inception-v3-compat` or `fidelity:dinov2-vit-b-14` (also
            -s-, -l- and -g-).
        weights: `imagenet` for the published ones; `file:PATH`; for a backbone also `none`.
        seed: Seed of random weights.

    Returns:
        The network. An extractor is given images of 8 bits at their own size, as torch-fidelity's are, resizes them
        itself (Inception to 299, DINOv2 to 224 pixels), and computes in float32.

    Raises:
        SettingsError: If network or weights are unknown, or need a package that is not installed.
        DataError: If the weights cannot be fetched, read or put into this network.

    Reference: Obukhov et al. 2020 (torch-fidelity); Szegedy et al. 2016 (Inception); Oquab et al. 2024 (DINOv2).
    """
    if not network.startswith(FIDELITY):
        return open_backbone(network, weights, seed=seed)
    check_network(network)
    if weights != "imagenet" and not weights.startswith(FILE):
        raise SettingsError(f"'weights' of {network} expects 'imagenet' or 'file:PATH'. Got {weights!r}.")
    name = network.removeprefix(FIDELITY)
    given, source = _weights(network, weights, _url(name))
    with guarded(0):  # the random weights that are replaced draw from torch's global generator
        extractor, width = _inception(given, source) if name == INCEPTION else _dino(name, given, source)
    return Backbone(_EightBit(extractor), 0, 1, NO_MEAN, TO_255, width)


class _EightBit(nn.Module):
    """Gives an extractor RGB in 0..255 as whole numbers, and lets it compute in full precision."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            features: Tensor
            (features,) = self.extractor(images.round().clamp(0, 255).to(torch.uint8))
        return features


class _Dino(nn.Module):
    """DINOv2 behind the resizing and the normalisation of torch-fidelity."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor]:
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
        from torchvision.transforms.functional import normalize

        x = interpolate_bilinear_2d_like_tensorflow1x(images.float(), (DINO_SIDE, DINO_SIDE), align_corners=False)
        mean, std = ([255 * value for value in colour] for colour in (IMAGENET_MEAN, IMAGENET_STD))
        return (self.network(normalize(x, mean, std)),)


def _url(name: str) -> str:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return str(URL_INCEPTION_V3) if name == INCEPTION else DINO_URL.format(DINO[name][1])


def _weights(network: str, weights: str, url: str) -> tuple[dict[str, Tensor], str]:
    """Return a state dict and what to call it."""
    if weights.startswith(FILE):
        return read_weights(file_of(weights)), f"the weights in {file_of(weights)}"
    try:
        given = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # of the network, of the disk, of a damaged file
        raise DataError(
            f"the weights of {network} cannot be fetched: {str(error).rstrip('.')}. "
            f"Fetch {url} where there is a network, and set weights = 'file:PATH'."
        ) from None
    return dict(given), f"the published weights of {network}"


def _inception(weights: Mapping[str, Tensor], source: str) -> tuple[nn.Module, int]:
    """Return torch-fidelity's Inception without its last layer, and the number of its features."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    buffer = io.BytesIO()  # torch-fidelity unpickles what it is given: it is given tensors that were read without
    torch.save(dict(weights), buffer)
    buffer.seek(0)
    layers = [str(INCEPTION_WIDTH)]  # torch-fidelity names a layer by its width
    try:
        extractor = FeatureExtractorInceptionV3(INCEPTION, layers, feature_extractor_weights_path=buffer)
    except RuntimeError:  # a list of hundreds of names
        raise DataError(f"{source} belong to another network. Expected those of {_url(INCEPTION)}.") from None
    return extractor, INCEPTION_WIDTH


def _dino(name: str, weights: Mapping[str, Tensor], source: str) -> tuple[nn.Module, int]:
    """Return DINOv2 for 224 pixels, and the number of its features."""
    timm: Any = importlib.import_module("timm")  # its own types are half there
    network = timm.create_model(DINO[name][0], pretrained=False, num_classes=0, img_size=DINO_SIDE)
    # a token of its training, and two layers of the giant one that timm names otherwise
    own = {key: value for key, value in weights.items() if key != "mask_token"}
    own = {key.replace(".mlp.w12.", ".mlp.fc1.").replace(".mlp.w3.", ".mlp.fc2."): own[key] for key in own}
    if "pos_embed" in own:
        own["pos_embed"] = _positions(own["pos_embed"])
    put_weights(network, own, source)
    return _Dino(network), network.num_features


def _positions(given: Tensor) -> Tensor:
    """Return the position embedding (1, 1 + S * S, D) for images of 224 pixels, S = 16, as DINOv2 interpolates it."""
    side = DINO_SIDE // DINO_PATCH
    grid = math.isqrt(max(0, given.shape[1] - 1)) if given.dim() == 3 else 0
    if grid in (0, side) or grid * grid + 1 != given.shape[1]:
        return given
    patches = given[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    factor = (side + 0.1) / grid  # the 0.1 is DINOv2's own, and its features depend on it
    patches = F.interpolate(patches, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([given[:, :1], patches.flatten(2).transpose(1, 2)], 1)
