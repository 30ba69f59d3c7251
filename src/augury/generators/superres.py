"""`superres`: a generator that works at a lower size, and a network that enlarges its images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, SerializeAsAny, field_validator, model_validator
from torch import Tensor, nn

from augury.errors import SettingsError
from augury.files import fresh_folder
from augury.generators.base import Card, Generator, Sampler
from augury.generators.cvae import CVAE
from augury.images import ImageSet
from augury.mixing import Uniform
from augury.networks.superres import Bicubic, PublishedEnlarger, ResidualEnlarger, reduced
from augury.networks.weights import FILE, file_of, read_content, weights_digest
from augury.seeds import guarded, seed_for
from augury.settings import nearest
from augury.stored import in_chunks
from augury.training import Draw, Run, autocast, learn, load_weights, to_float, to_uint8, warm_up_then_cosine

INNER, WEIGHTS, STEPS = "inner", "enlarger.pt", "steps.txt"
CROP = 48  # pixels, a multiple of every factor: of larger images a training step sees a part
AT_ONCE = 2**18  # pixels of small images that are enlarged together, at most 64 images


class SuperResolution(Generator):
    """Another generator at a lower size, whose images are then enlarged.

    Half the side is a quarter of the work and an easier task; what the small images lack is added by interpolation
    (`bicubic`), by a network trained on the training images and their reduced versions (`trained`), or by published
    ESRGAN weights from a file (`esrgan`; seconds per image without a GPU). Detail that is added so is plausible, and
    nobody's: it must not be read as a finding.

    Reference: Wang et al. 2018 (arXiv 1809.00219), section 3.1, for the network; loss: L1 alone, as their eq. 3 without
    its perceptual and adversarial parts, which would need a network that was trained on photographs.

    Example:
        >>> import augury
        >>> recipe = SuperResolution(generator={"kind": "cvae", "steps": 20}, method="bicubic")
        >>> sampler = recipe.fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.inner.card.shape, sampler.draw({"3": 5}, seed=0).images.shape
        ((1, 4, 4), torch.Size([5, 1, 8, 8]))
    """

    kind: ClassVar[str] = "superres"
    summary: ClassVar[str] = "another generator at a lower size, and a network that enlarges its images"
    generator: SerializeAsAny[Generator] = Field(
        default=CVAE(), description='the generator that works at the lower size: a kind, or { kind = "cvae", ... }'
    )
    factor: Literal[2, 4] = Field(default=2, description="by how much its images are enlarged")
    method: Literal["bicubic", "trained", "esrgan"] = Field(default="trained", description="what enlarges them")
    steps: int = Field(default=1000, ge=1, description="trained: optimiser steps")
    batch: int = Field(default=16, ge=1, description="trained: images per step")
    rate: float = Field(default=2e-3, gt=0, le=1, description="trained: highest learning rate of Adam")
    width: int = Field(default=32, ge=4, le=256, description="trained: channels of the network")
    blocks: int = Field(default=4, ge=1, le=32, description="trained: residual blocks")
    weights: str = Field(default="none", description="esrgan: file:PATH of published weights")

    @field_validator("generator", mode="before")
    @classmethod
    def _from_a_table(cls, value: Any) -> Any:
        from augury.generators import GENERATORS  # which holds this one

        table = {"kind": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping):
            return value
        if "kind" not in table:
            raise ValueError(f"a table needs a 'kind', such as {{ kind = \"cvae\" }}. Got {dict(table)!r}.")
        kind, known = table["kind"], list(GENERATORS)
        if kind not in known:
            raise ValueError(f"there is no kind {kind!r}{nearest(str(kind), known)}")
        try:
            return GENERATORS[kind](**{name: setting for name, setting in table.items() if name != "kind"})
        except SettingsError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.generator.control:
            raise ValueError(
                f"'generator' must make new images. {self.generator.kind!r} is a control, made of real ones: "
                "enlarged it would only be a blurred control."
            )
        if self.generator.kind == self.kind:
            raise ValueError("what is enlarged is not enlarged again. Set factor = 4.")
        fits = self.weights.startswith(FILE) if self.method == "esrgan" else self.weights == "none"
        if not fits:
            raise ValueError(f"method = 'esrgan', and no other, needs weights = 'file:PATH'. Got {self.weights!r}.")
        return self

    @property
    def contains_training_images(self) -> bool:  # type: ignore[override]
        """Tell whether the generator inside holds images it was fitted on."""
        return self.generator.contains_training_images

    @property
    def near_copies(self) -> bool:  # type: ignore[override]
        """Tell whether the generator inside keeps close to single real images."""
        return self.generator.near_copies

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: a file of weights counts by its content, not by its place."""
        return {**self.settings(), "weights": weights_digest(self.weights)}

    @property
    def snapshots(self) -> int:
        """Return how many networks of the generator are kept on the way."""
        return int(getattr(self.generator, "snapshots", 0))

    def least_per_class(self) -> int:
        """Return what the generator behind it needs."""
        return self.generator.least_per_class()

    def fit(self, train: ImageSet, run: Run) -> SuperResolutionSampler:
        """Fit the generator on the reduced images, then the network on pairs of a reduced image and the image."""
        network = self._network(train.shape[0], run.seed)  # first: a file that is missing is said before any training
        inner, taken = self._inner(train, run)
        parameters = inner.card.parameters
        if self.method == "trained":
            self._learn(network, train, run, taken)
            parameters += sum(weight.numel() for weight in network.parameters())
        return SuperResolutionSampler(Card.of(self, train, run.seed, parameters), inner, network, run.device)

    def _network(self, channels: int, seed: int) -> nn.Module:
        if self.method == "bicubic":
            return Bicubic(self.factor)
        if self.method == "esrgan":
            path = file_of(self.weights)
            return PublishedEnlarger(read_content(path), path.name, self.factor, channels)
        with guarded(seed_for(seed, "weights")):
            return ResidualEnlarger(channels, self.factor, width=self.width, blocks=self.blocks)

    def _inner(self, train: ImageSet, run: Run) -> tuple[Sampler, int]:
        """Return the fitted generator and its steps; one that was finished before is opened again."""
        from augury.generators import load_sampler  # which knows this kind, too

        done = run.folder / INNER if run.folder is not None else None
        if done is not None and done.exists():
            return load_sampler(done, run.device), int((done / STEPS).read_text(encoding="ascii"))
        taken, later = 0, self.steps if self.method == "trained" else 0

        def on_step(step: int, steps: int) -> None:
            nonlocal taken
            taken = steps
            if run.on_step is not None:
                run.on_step(step, steps + later)

        inner = self.generator.fit(_reduced(train, self.factor), _part(run, INNER, on_step))
        if done is not None:
            with fresh_folder(done) as folder:
                inner.save(folder)
                (folder / STEPS).write_text(str(taken), encoding="ascii")
        return inner, taken

    def _learn(self, network: nn.Module, train: ImageSet, run: Run, before: int) -> None:
        """Train the network, after some steps of the generator."""

        def on_step(step: int, steps: int) -> None:
            if run.on_step is not None:
                run.on_step(before + step, before + steps)

        part = _part(run, "enlarger", on_step)
        learner = EnlargerLearner(self, network, run.device)
        learn(learner, Uniform(train, seed=part.seed, device=run.device), steps=self.steps, run=part)

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> SuperResolutionSampler:
        """Open the generator and the network; of published weights there is a copy in the folder."""
        from augury.generators import load_sampler

        recipe, channels = cls(**card.settings), card.shape[0]
        if recipe.method == "esrgan":
            kept = read_content(folder / WEIGHTS)
            network: nn.Module = PublishedEnlarger(kept, WEIGHTS, recipe.factor, channels)
        else:
            network = recipe._network(channels, card.seed)
            load_weights(network, folder / WEIGHTS)
        return SuperResolutionSampler(card, load_sampler(folder / INNER, device), network, device)


class EnlargerLearner:
    """Trains a network to undo the reduction, on crops of real images."""

    def __init__(self, recipe: SuperResolution, network: nn.Module, device: str) -> None:
        self.recipe, self.device = recipe, device
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate)

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * warm_up_then_cosine(step, self.recipe.steps)
        images = crops(draw(self.recipe.batch).images, CROP)
        H, W = images.shape[-2:]
        with autocast(self.device):
            enlarged = self.network(reduced(images, self.recipe.factor))[:, :, :H, :W]
        loss = F.l1_loss(enlarged.float(), images)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return {"enlarger": loss.detach()}

    def state(self) -> dict[str, Any]:
        """Return network and optimiser."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back network and optimiser."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


class SuperResolutionSampler(Sampler):
    """Draws small images and enlarges them.

    Attributes:
        inner: The generator of the small images.
        network: What enlarges them.
    """

    def __init__(self, card: Card, inner: Sampler, network: nn.Module, device: str) -> None:
        super().__init__(card)
        self.inner, self.device, self.film = inner, device, inner.film
        # the layout is fixed here, because a sum over another layout may differ in its last bit
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()

    @torch.no_grad()
    def sample(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Draw images: uint8 (N, C, H, W)."""
        C, H, W = self.card.shape
        images = torch.empty(len(labels), C, H, W, dtype=torch.uint8)
        small = self.inner.sample(labels, seeds)
        size = self._at_once(small.shape)
        padded = torch.zeros(size, *small.shape[1:])  # of one size: an image then never depends on its neighbours
        for start in range(0, len(labels), size):
            part = to_float(small[start : start + size])
            padded[: len(part)] = part
            enlarged = self.network(padded.to(self.device))[: len(part), :, :H, :W]
            images[start : start + size] = to_uint8(enlarged).cpu()
        return images

    def at(self, steps: int) -> SuperResolutionSampler:
        """Return the sampler with the generator as it was after some steps of its training."""
        return SuperResolutionSampler(self.card, self.inner.at(steps), self.network, self.device)

    def _at_once(self, shape: torch.Size) -> int:
        if isinstance(self.network, PublishedEnlarger):  # takes one at a time itself
            return 1
        return max(1, min(64, AT_ONCE // (shape[2] * shape[3])))

    def save_model(self, folder: Path) -> None:
        """Write the network, and the generator into a folder of its own."""
        network = self.network.network if isinstance(self.network, PublishedEnlarger) else self.network
        torch.save(network.state_dict(), folder / WEIGHTS)
        (folder / INNER).mkdir()
        self.inner.save(folder / INNER)


def crops(images: Tensor, side: int) -> Tensor:
    """Cut a random part out of every image; a side that is no longer than asked for is left whole.

    Args:
        images: (B, C, H, W).
        side: Height and width of the parts, pixels.

    Returns:
        (B, C, min(H, side), min(W, side)); the places are drawn from torch's current generator.

    Example:
        >>> crops(torch.zeros(2, 1, 100, 20), 48).shape
        torch.Size([2, 1, 48, 20])
    """
    H, W = images.shape[-2:]
    height, width = min(H, side), min(W, side)
    tops, lefts = (torch.randint(free + 1, (len(images),)).tolist() for free in (H - height, W - width))
    parts = zip(images, tops, lefts, strict=True)
    return torch.stack([image[:, top : top + height, left : left + width] for image, top, left in parts])


def _reduced(train: ImageSet, factor: int) -> ImageSet:
    """Return the same images, names and digests at a lower size."""
    small = [to_uint8(reduced(to_float(chunk), factor)) for chunk in in_chunks(train.images)]
    return dataclasses.replace(train, images=torch.cat(small))


def _part(run: Run, name: str, on_step: Callable[[int, int], None]) -> Run:
    """Return the run of one of the two trainings: a seed and a folder of its own."""
    folder = run.folder / f"{name} training" if run.folder is not None else None
    return dataclasses.replace(run, seed=seed_for(run.seed, name), folder=folder, on_step=on_step, features=None)
