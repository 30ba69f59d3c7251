"""`autoencoder`: real images, squeezed through a short code and rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from augury.generators.base import Card
from augury.generators.film import Film
from augury.generators.neural import NetworkSampler, NeuralGenerator
from augury.generators.repeat import members_by_class, pick
from augury.images import ImageSet
from augury.networks.autoencoder import Autoencoder, conv_autoencoder, dense_autoencoder
from augury.seeds import noise, numbers_for
from augury.training import Draw, Run, autocast, to_float

ENCODED_AT_ONCE = 64  # fixed and padded: a code then never depends on the images beside it


class DeepAutoencoder(NeuralGenerator):
    """A deep autoencoder; a new image is the reconstruction of a training image of the asked class.

    Trained on all classes together, without labels, by Adam on the mean squared error of pixels in -1..1. The fully
    connected form at 28 x 28 is 784-512-256-128-64-32 and back. With `noise` above 0 the code of the training image is
    moved by a normal step, in units of the codes' standard deviations within the class; 0 is the published form.

    A fitted model keeps the code of every training image. Code and decoder together rebuild it, so the model counts
    as one that contains training images, and what it draws as near copies of them.

    Reference: Hinton, Salakhutdinov 2006 (doi 10.1126/science.1127647), without their layer-wise start.

    Example:
        >>> import augury
        >>> sampler = DeepAutoencoder(steps=20).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "autoencoder"
    summary: ClassVar[str] = "reconstructions of real images by a deep autoencoder"
    contains_training_images: ClassVar[bool] = True
    near_copies: ClassVar[bool] = True
    form: Literal["dense", "conv"] = Field(default="dense", description="layers: dense (as published) or conv")
    hidden: tuple[int, ...] = Field(
        default=(512, 256, 128, 64), min_length=1, description="widths of the encoder's hidden layers, if dense"
    )
    width: int = Field(default=32, ge=1, le=512, description="channels at half the size, if conv")
    latent: int = Field(default=32, ge=1, le=1024, description="size of the code")
    noise: float = Field(
        default=0.0, ge=0, le=10, description="standard deviation of a step from the code, in the class's own units"
    )

    def network(self, shape: tuple[int, int, int], classes: int) -> CodeBook:
        """Build encoder and decoder, with no codes yet."""
        if self.form == "conv":
            return CodeBook(conv_autoencoder(shape, self.width, self.latent))
        return CodeBook(dense_autoencoder(shape, self.hidden, self.latent))

    def learner(self, train: ImageSet, run: Run) -> AutoencoderLearner:
        """Build what is trained."""
        network = self.network(train.shape, len(train.classes)).to(run.device)
        network.open(train)
        return AutoencoderLearner(self, network)

    def sampler(self, card: Card, network: nn.Module, device: str, film: Film) -> AutoencoderSampler:
        """Return the sampler of a trained network."""
        return AutoencoderSampler(self, card, network, device, film)

    def fit(self, train: ImageSet, run: Run) -> NetworkSampler:
        """Train on the images of all classes together, and keep their codes instead of them."""
        sampler = super().fit(train, run)
        assert isinstance(sampler.network, CodeBook)
        sampler.network.close()
        return sampler


class CodeBook(nn.Module):
    """An autoencoder and the codes of its training images: what it is saved with is what it can rebuild.

    While it is open, that is, in training, codes are those that the encoder would give now.

    Args:
        autoencoder: Encoder and decoder.
    """

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder, self.latent = autoencoder, autoencoder.latent
        self.train_images: ImageSet | None = None
        self.kept: list[Tensor] = []

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map codes (B, latent) to images in -1..1, (B, C, H, W); the decoder is not told the labels."""
        images: Tensor = self.autoencoder(codes)
        return images

    def codes(self) -> list[Tensor]:
        """Return the codes of the images of each class: K times float32 (n_k, latent) on the CPU."""
        return self.kept if self.train_images is None else self._encoded(self.train_images)

    def open(self, train: ImageSet) -> None:
        """Take the training images, for as long as the encoder changes."""
        self.train_images = train

    def close(self) -> None:
        """Keep the codes, and let the images go."""
        self.kept, self.train_images = self.codes(), None

    def get_extra_state(self) -> list[Tensor]:
        """Return what is saved beside the weights."""
        return self.codes()

    def set_extra_state(self, state: list[Tensor]) -> None:
        """Take back what was saved beside the weights."""
        self.kept, self.train_images = state, None

    @torch.no_grad()
    def _encoded(self, train: ImageSet) -> list[Tensor]:
        """Encode all images as `decode` is called in drawing: in evaluation mode, in batches of one size."""
        trained = self.training
        self.eval()
        device = next(self.parameters()).device
        codes = torch.empty(len(train), self.latent)
        for start in range(0, len(train), ENCODED_AT_ONCE):
            rows = train.images[start : start + ENCODED_AT_ONCE]
            padded = torch.zeros(ENCODED_AT_ONCE, *train.shape)
            padded[: len(rows)] = to_float(rows)
            codes[start : start + len(rows)] = self.autoencoder.encode(padded.to(device))[: len(rows)].cpu()
        self.train(trained)
        return [codes[members] for members in members_by_class(train)]


class AutoencoderLearner:
    """Trains encoder and decoder on the mean squared error."""

    def __init__(self, recipe: DeepAutoencoder, network: CodeBook) -> None:
        self.recipe = recipe
        self.kept = network.train()
        self.optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate)

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step."""
        batch = draw(self.recipe.batch)
        autoencoder = self.kept.autoencoder
        with autocast(batch.images.device.type):
            rebuilt = autoencoder(autoencoder.encode(batch.images))
        loss = F.mse_loss(rebuilt.float(), batch.images)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return {"reconstruction": loss.detach()}

    def state(self) -> dict[str, Any]:
        """Return network and optimiser."""
        return {"network": self.kept.autoencoder.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back network and optimiser."""
        self.kept.autoencoder.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


class AutoencoderSampler(NetworkSampler):
    """Picks training images of the asked class by their seeds, and decodes their codes."""

    recipe: DeepAutoencoder
    network: CodeBook

    def codes(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the codes of some images: float32 (N, latent).

        Raises:
            DataError: If a class without training images is asked for.
        """
        known, codes = self.network.codes(), torch.empty(len(labels), self.network.latent)
        for i, (label, seed) in enumerate(zip(labels.tolist(), seeds, strict=True)):
            codes[i] = known[label][pick(torch.arange(len(known[label])), 1, numbers_for(seed, "member"))]
        if self.recipe.noise:
            spreads = {label: known[label].std(0, correction=0) for label in set(labels.tolist())}
            steps = noise(seeds, self.network.latent) * self.recipe.noise
            codes += steps * torch.stack([spreads[label] for label in labels.tolist()])
        return codes
