"""`backbone`: transfer learning, with a published network of torchvision, timm or a wheel, frozen or not."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from augury.classifiers.base import Trained
from augury.classifiers.features import AT_ONCE, FeatureBank, FeatureMaker, FeatureRows, features_of
from augury.classifiers.neural import NeuralClassifier
from augury.classifiers.predictor import NeuralPredictor
from augury.images import ImageSet
from augury.networks.backbones import Backbone, check_backbone, open_backbone
from augury.networks.weights import weights_digest
from augury.seeds import guarded, seed_for
from augury.stored import StoredPixels
from augury.training import Run, load_weights, to_float


class BackboneClassifier(NeuralClassifier):
    """A new head on a published network: any of torchvision's, `timm:NAME`, or `efficientnet_lite0` without internet.

    `train = "head"` freezes the network: the features of every image are computed once, and only the head is trained,
    in seconds. `last` trains the last `blocks` of it, `all` everything. Images are brought to the size and the
    normalisation that the weights want.

    Example:
        >>> recipe = BackboneClassifier(network="resnet18", weights="none", train="last", blocks=1)
        >>> recipe.untrained((3, 32, 32), 2, seed=0).width
        512
    """

    kind: ClassVar[str] = "backbone"
    summary: ClassVar[str] = "a published network with a new head: torchvision, timm:NAME, efficientnet_lite0"
    network: str = Field(default="efficientnet_lite0", description="a name of torchvision, timm:NAME, ...")
    weights: str = Field(default="imagenet", description="imagenet, file:PATH or none (random)")
    train: Literal["head", "last", "all"] = Field(default="head", description="what is trained; the rest is frozen")
    blocks: int = Field(default=2, ge=1, le=100, description="how many of the last blocks 'last' trains")
    dense: tuple[int, ...] = Field(default=(), description="widths of dense layers before the last one")
    dropout: float = Field(default=0.25, ge=0, lt=1, description="share of features dropped before each dense layer")
    views: int = Field(default=8, ge=1, le=100, description="augmented copies of an image whose features a head sees")

    @model_validator(mode="after")
    def _network_exists(self) -> Self:
        check_backbone(self.network)
        if self.weights not in ("imagenet", "none") and not self.weights.startswith("file:"):
            raise ValueError(f"'weights' is imagenet, file:PATH or none. Got {self.weights!r}.")
        if min(self.dense, default=1) < 1:
            raise ValueError(f"widths of 'dense' must be 1 or more. Got {self.dense}.")
        if self.train == "head" and (self.mixup or self.cutmix):
            raise ValueError("mixup and cutmix blend pixels, and a frozen network is given none. Set train = 'last'.")
        return self

    def identity(self) -> dict[str, object]:
        """Return what decides the result: a file of weights counts by its content, not by its place."""
        return {**self.settings(), "weights": weights_digest(self.weights)}

    def feature_maker(self) -> FeatureMaker | None:
        """Return what computes the features that a head is trained on; None if more than a head is trained."""
        if self.train != "head":
            return None
        copies = self.views if self.augment.families() else 0
        return FeatureMaker(network=self.network, weights=self.weights, augment=self.augment, views=copies)

    def build(self, shape: tuple[int, int, int], classes: int) -> BackboneNetwork:
        """Return backbone and new head."""
        maker = self.feature_maker()  # a frozen network is one and the same for all seeds, and so are its features
        network = maker.backbone() if maker else self._backbone(int(torch.initial_seed()))
        return BackboneNetwork(network, self._head(network.width, classes))

    def _backbone(self, seed: int) -> Backbone:
        network = open_backbone(self.network, self.weights, seed=seed)
        network.trainable(self.train, self.blocks)
        return network

    def _head(self, width: int, classes: int) -> nn.Module:
        layers: list[nn.Module] = []
        widths = (width, *self.dense)
        for incoming, outgoing in pairwise(widths):
            layers += [nn.Dropout(self.dropout), nn.Linear(incoming, outgoing), nn.ReLU()]
        return nn.Sequential(*layers, nn.Dropout(self.dropout), nn.Linear(widths[-1], classes))

    def fit(self, train: ImageSet, val: ImageSet | None, run: Run) -> NeuralPredictor:
        """Train the head on features, or more of the network on pixels."""
        maker = self.feature_maker()
        if maker is None:
            fitted = super().fit(train, val, run)
            return PartlyTrainedPredictor(self, fitted.trained, fitted.network, run.device, run.seed)
        bank = run.features or maker.compute(train, run.device)
        with guarded(seed_for(run.seed, "weights")):
            head = self._head(bank.rows.shape[2], len(train.classes))
        fitted = self._fit(train, val, run, head, FeatureRows(train, bank, run.device))
        return FrozenPredictor(self, maker, fitted.trained, fitted.network, run.device, run.seed)

    def opened(self, record: dict[str, Any], weights: Path, device: str) -> NeuralPredictor:
        """Return the predictor that wrote a record and a file of weights."""
        trained, seed, maker = Trained.from_record(record["trained"]), record["seed"], self.feature_maker()
        if maker is None:
            network = self.untrained(trained.shape, trained.classes, seed)
            load_weights(network, weights, rest_known=True)
            return PartlyTrainedPredictor(self, trained, network, device, seed)
        with guarded(seed_for(seed, "weights")):
            head = self._head(record["width"], trained.classes)
        load_weights(nn.ModuleDict({"head": head}), weights)
        return FrozenPredictor(self, maker, trained, head, device, seed)


class BackboneNetwork(nn.Module):
    """A backbone and its head.

    Args:
        backbone: Images to features.
        head: Features to logits.
    """

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    @property
    def width(self) -> int:
        """Return D, the number of features."""
        return self.backbone.width

    def features(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) in -1..1 to (B, D)."""
        features: Tensor = self.backbone.features(self.backbone.prepare(images))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) in -1..1 to logits (B, K)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def trained_stages(self, mode: str, blocks: int) -> dict[str, nn.Module]:
        """Return the parts of the backbone that a training may change, by their names in the network."""
        if mode == "all":
            return {"backbone": self.backbone}
        stages = self.backbone.stages[-blocks:] if mode == "last" else []
        wanted = {id(part) for _, stage in stages for part in stage.children()}
        return {name: part for name, part in self.named_modules() if id(part) in wanted}


class PartlyTrainedPredictor(NeuralPredictor):
    """A backbone of which some blocks were trained: a published network is not written out once per fit."""

    recipe: BackboneClassifier
    network: BackboneNetwork

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that training could change."""
        stages = self.network.trained_stages(self.recipe.train, self.recipe.blocks)
        parts = {"head": self.network.head, **stages}
        return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


class FrozenPredictor(NeuralPredictor):
    """A head on a frozen backbone: it scores features, and opens the backbone only where they are not known."""

    def __init__(
        self, recipe: BackboneClassifier, maker: FeatureMaker, trained: Trained, head: nn.Module, device: str, seed: int
    ) -> None:
        self.recipe, self.maker, self.trained, self.device, self.seed = recipe, maker, trained, device, seed
        self.head = head.to(device).eval()

    @cached_property
    def network(self) -> BackboneNetwork:  # type: ignore[override]
        """Return backbone and head."""
        backbone = self.maker.backbone().to(self.device).to(memory_format=torch.channels_last)
        return BackboneNetwork(backbone, self.head).eval()

    def probabilities(self, images: Tensor | StoredPixels) -> np.ndarray:
        """Map uint8 (N, C, H, W) to float32 (N, K); rows sum to 1."""
        batches = [self._scored(self._rows(batch)) for batch in images.split(AT_ONCE)]
        return np.concatenate(batches) if batches else np.empty((0, self.trained.classes), dtype=np.float32)

    def features(self, images: Tensor | StoredPixels) -> np.ndarray:
        """Map uint8 (N, C, H, W) to float32 (N, D)."""
        batches = [self._rows(batch).mean(1).cpu().numpy() for batch in images.split(AT_ONCE)]
        return np.concatenate(batches) if batches else np.empty((0, self.network.width), dtype=np.float32)

    def scores(self, images: ImageSet, features: FeatureBank | None) -> np.ndarray:
        """Return class probabilities: float32 (N, K), the mean over the views of an image."""
        if features is None:
            return self.probabilities(images.images)
        return self._scored(torch.from_numpy(np.ascontiguousarray(features.of(images)[:, : features.shown])))

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of the head."""
        return {f"head.{key}": value for key, value in self.head.state_dict().items()}

    def record(self) -> dict[str, Any]:
        """Return what is written beside the weights."""
        first = next(part for part in self.head.modules() if isinstance(part, nn.Linear))
        return {**super().record(), "width": first.in_features}

    def _rows(self, batch: Tensor) -> Tensor:
        return features_of(self.network.backbone, self.recipe.augment.views(to_float(batch)), self.device)

    @torch.no_grad()
    def _scored(self, rows: Tensor) -> np.ndarray:
        logits: Tensor = self.head(rows.to(self.device))
        return np.asarray(logits.softmax(2).mean(1).cpu().numpy())
