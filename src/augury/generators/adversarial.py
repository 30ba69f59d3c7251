"""The game of two networks: what all GANs share, as settings and not as copies."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field, field_validator, model_validator
from torch import Tensor, nn

from augury.diffaugment import diff_augment, known_families
from augury.errors import DataError
from augury.generators.neural import NetworkLearner, NeuralGenerator
from augury.images import ImageSet
from augury.mixing import Uniform
from augury.networks.by_class import ByClass
from augury.settings import Recipe
from augury.training import Average, Batch, Draw, Run, Source, autocast

# Users report collapse on classes of about 100 and fewer images, and studies of few images per class find no gain below
# 20 to 50 (docs/pitfalls.md)
LEAST_PER_CLASS = 50

ANCHOR_DECAY = 0.99  # of the means that LeCam keeps scores near; the paper's


class Game(Recipe):
    """How the two players are set against each other.

    Reference: logistic: Goodfellow et al. 2014 (arXiv 1406.2661), section 3, non-saturating; one-sided smoothing:
    Salimans et al. 2016 (arXiv 1606.03498), section 3.4. hinge: Miyato & Koyama 2018 (arXiv 1802.05637), eq. 8 and 9.
    wasserstein and its gradient penalty: Gulrajani et al. 2017 (arXiv 1704.00028), eq. 3. r1: Mescheder et al. 2018
    (arXiv 1801.04406), eq. 9. lecam: Tseng et al. 2021 (arXiv 2104.03310), eq. 3 and 4. Spectral norm: Miyato et al.
    2018 (arXiv 1802.05957). DiffAugment: Zhao et al. 2020 (arXiv 2006.10738). Two learning rates (a setting of the
    generator): Heusel et al. 2017 (arXiv 1706.08500).

    Example:
        >>> Game(loss="wasserstein", gradient_penalty=10.0, critic_steps=5).r1
        0.0
    """

    kind: ClassVar[str] = "game"
    loss: Literal["logistic", "hinge", "wasserstein"] = Field(default="logistic", description="what is played for")
    critic_steps: int = Field(default=1, ge=1, le=20, description="steps of the discriminator per step")
    gradient_penalty: float = Field(
        default=0.0, ge=0, description="weight of (|gradient| - 1)^2 between real and generated images"
    )
    r1: float = Field(default=0.0, ge=0, description="weight gamma/2 * |gradient|^2 at real images: gamma")
    lecam: float = Field(
        default=0.0, ge=0, description="weight of keeping scores near the other side's mean: for few images"
    )
    spectral_norm: bool = Field(default=False, description="bound each layer of the discriminator")
    smoothing: float = Field(default=0.0, ge=0, lt=0.5, description="real images are called real to 1 - smoothing only")
    diffaugment: Annotated[tuple[str, ...], AfterValidator(known_families)] = Field(
        default=(), description="families of changes that the discriminator sees all images through"
    )
    beta1: float = Field(default=0.5, ge=0, lt=1, description="of Adam")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="of Adam")

    @model_validator(mode="after")
    def _fits(self) -> Game:
        if self.smoothing and self.loss != "logistic":
            raise ValueError(f"smoothing belongs to the logistic loss. Got {self.loss!r}.")
        return self


class GAN(NeuralGenerator):
    """Two players: a generator and a discriminator."""

    rate_discriminator: float = Field(default=0.0, ge=0, le=1, description="its learning rate; 0: the generator's")
    latent: int = Field(default=100, ge=1, le=4096, description="size of the code")
    average: float = Field(
        default=0.999, ge=0, lt=1, description="decay of the mean of the generator's weights; 0: the last weights"
    )
    game: Game = Field(default=Game(), description="how the players are set against each other")

    learner_class: ClassVar[type[GANLearner]]

    @field_validator("game", mode="before")
    @classmethod
    def _a_table_names_what_differs(cls, value: Any) -> Any:
        """Complete a table by the kind's own game."""
        if not isinstance(value, Mapping):
            return value
        own: Game = cls.model_fields["game"].default
        return own.replace(**{name: entry for name, entry in value.items() if name != "kind"})

    @abstractmethod
    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator; classes is 0 for players of one class."""

    def least_per_class(self) -> int:
        """Return how many images of a class a GAN from scratch needs, roughly."""
        return LEAST_PER_CLASS

    @property
    def one_per_class(self) -> bool:
        """Tell whether each class has its own two players."""
        return bool(getattr(self, "per_class", False))

    def network(self, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Build the generator, or one of each class."""
        if not self.one_per_class:
            return self.players(shape, classes)[0]
        return ByClass([self.players(shape, 0)[0] for _ in range(classes)])

    def learner(self, train: ImageSet, run: Run) -> NetworkLearner:
        """Set the players against each other; of each class, if each has its own."""
        if not self.one_per_class:
            return self.learner_class(self, self.players(train.shape, len(train.classes)), run.device)
        learners = [self.learner_class(self, self.players(train.shape, 0), run.device) for _ in train.classes]
        return InTurn(learners)

    def source(self, train: ImageSet, run: Run) -> Source:
        """Return all images, or those of each class in turn."""
        if not self.one_per_class:
            return super().source(train, run)
        members = [train.of_class(k) for k in range(len(train.classes))]
        for name, images in zip(train.classes, members, strict=True):
            if not len(images):
                raise DataError(f"class {name!r} has no training image, and {self.kind} has a network for each class.")
        return SourcesInTurn([Uniform(images, seed=run.seed, device=run.device) for images in members])

    def total_steps(self, classes: int) -> int:
        """Return the steps of the whole training: of all classes, if each has its own players."""
        return self.steps * (classes if self.one_per_class else 1)


class SourcesInTurn:
    """The images of class s % K at step s."""

    def __init__(self, sources: list[Uniform]) -> None:
        self.sources = sources

    def at(self, step: int) -> Draw:
        """Return the draw of one step."""
        turn, k = divmod(step, len(self.sources))
        return self.sources[k].at(turn)


class InTurn:
    """The learners of all classes, one step each in turn: they grow up side by side."""

    def __init__(self, learners: list[GANLearner]) -> None:
        self.learners = learners
        self.kept: nn.Module = ByClass([learner.kept for learner in learners])

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step with the players of one class."""
        turn, k = divmod(step, len(self.learners))
        return self.learners[k].update(turn, draw)

    def state(self) -> dict[str, Any]:
        """Return the states of all."""
        return {str(k): learner.state() for k, learner in enumerate(self.learners)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the states of all."""
        for k, learner in enumerate(self.learners):
            learner.restore(state[str(k)])


@dataclass(frozen=True)
class Drawn:
    """Images that the generator drew in training.

    Attributes:
        codes: float32 (B, latent).
        labels: int64 (B,).
        images: float (B, C, H, W) in -1..1.
    """

    codes: Tensor
    labels: Tensor
    images: Tensor


class GANLearner:
    """Trains generator and discriminator against each other."""

    def __init__(self, recipe: GAN, players: tuple[nn.Module, nn.Module], device: str) -> None:
        self.recipe, self.game, self.device = recipe, recipe.game, device
        self.generator, self.discriminator = (
            player.to(device).to(memory_format=torch.channels_last).train() for player in players
        )
        if self.game.spectral_norm:
            bound(self.discriminator)
        self.generator_optimiser = self.adam(self.generator, recipe.rate)
        self.discriminator_optimiser = self.adam(self.discriminator, recipe.rate_discriminator or recipe.rate)
        self.average = Average(self.generator, recipe.average) if recipe.average else None
        self.anchors = torch.zeros(2, device=device)  # moving means of the scores of real and of drawn images
        self.weights = [value for value in self.discriminator.parameters() if value.requires_grad]

    @property
    def kept(self) -> nn.Module:
        """Return the generator, or the mean of its weights."""
        return self.average.network if self.average is not None else self.generator

    def adam(self, network: nn.Module, rate: float) -> torch.optim.Optimizer:
        """Return the optimiser of one player."""
        values = [value for value in network.parameters() if value.requires_grad]
        return torch.optim.Adam(values, lr=rate, betas=(self.game.beta1, self.game.beta2), fused=True)

    # ---- what kinds change

    def draw_codes(self, labels: Tensor) -> Tensor:
        """Draw codes from torch's global generator: float32 (B, latent)."""
        return torch.randn(len(labels), self.recipe.latent).to(self.device)

    def fake_labels(self, batch: Batch) -> Tensor:
        """Return the classes of the images to draw: as they come among the real ones."""
        return batch.labels

    def draw(self, labels: Tensor, batch: Batch) -> Drawn:
        """Draw images of some classes."""
        codes = self.draw_codes(labels)
        with autocast(self.device):
            images = self.generator(codes, labels)
        return Drawn(codes, labels, images.float())

    def judge(self, images: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """Return the discriminator's outputs, float32 (B, outputs), on images as it is shown them."""
        seen = diff_augment(images, self.game.diffaugment)
        with autocast(self.device):
            outputs: Tensor = self.discriminator(seen.contiguous(memory_format=torch.channels_last), labels)
        return outputs.float()

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return how real the images look, a logit (B,)."""
        return outputs[:, 0]

    def discriminator_extra(self, real: Tensor, fake: Tensor, batch: Batch, drawn: Drawn) -> dict[str, Tensor]:
        """Return further losses of the discriminator by name, from its outputs."""
        return {}

    def generator_extra(self, fake: Tensor, drawn: Drawn) -> dict[str, Tensor]:
        """Return further losses of the generator by name, from the discriminator's outputs."""
        return {}

    # ---- the game

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take the discriminator's steps and then one of the generator."""
        for last in [False] * (self.game.critic_steps - 1) + [True]:
            batch = draw(self.recipe.batch)
            with torch.set_grad_enabled(last):  # the last images serve both players: they are drawn once
                drawn = self.draw(self.fake_labels(batch), batch)
            losses = self._discriminator_step(batch, drawn)
        losses |= self._generator_step(batch, drawn)
        if self.average is not None:
            self.average.update(step)
        return {name: loss.detach() for name, loss in losses.items()}

    def _discriminator_step(self, batch: Batch, drawn: Drawn) -> dict[str, Tensor]:
        images = batch.images.requires_grad_(self.game.r1 > 0)
        real = self.judge(images, batch.labels, batch)
        fake = self.judge(drawn.images.detach(), drawn.labels, batch)
        scores = self.score(real, batch.labels), self.score(fake, drawn.labels)
        losses = {"discriminator": discriminator_loss(self.game, *scores)}
        losses |= self.discriminator_extra(real, fake, batch, drawn)
        if self.game.r1:
            losses["R1"] = 0.5 * self.game.r1 * squared_gradient(scores[0], images).mean()
        if self.game.lecam:
            losses["LeCam"] = self.game.lecam * self._lecam(*scores)
        if self.game.gradient_penalty:
            losses["gradient penalty"] = self.game.gradient_penalty * self._penalty(batch, drawn)
        self._move(self.discriminator_optimiser, losses)
        right = {"discriminator right": told_apart(*scores)} if self.game.loss != "wasserstein" else {}
        return losses | right

    def _generator_step(self, batch: Batch, drawn: Drawn) -> dict[str, Tensor]:
        for value in self.weights:  # their gradients are not needed here
            value.requires_grad_(False)
        fake = self.judge(drawn.images, drawn.labels, batch)
        score = self.score(fake, drawn.labels)
        losses = {"generator": generator_loss(self.game, score)} | {
            f"generator: {name}": loss for name, loss in self.generator_extra(fake, drawn).items()
        }
        self._move(self.generator_optimiser, losses)
        for value in self.weights:
            value.requires_grad_(True)
        return losses

    def _penalty(self, batch: Batch, drawn: Drawn) -> Tensor:
        """Return the mean of (|gradient| - 1)^2 on lines between real and drawn images, labels of the real ones."""
        share = torch.rand(len(batch.images), 1, 1, 1).to(self.device)
        between = torch.lerp(batch.images.detach(), drawn.images.detach(), share).requires_grad_()
        score = self.score(self.judge(between, batch.labels, batch), batch.labels)
        return ((squared_gradient(score, between) + 1e-12).sqrt() - 1).square().mean()

    def _lecam(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return how far scores are from the moving mean of the other side's."""
        with torch.no_grad():
            self.anchors.lerp_(torch.stack([real.mean(), fake.mean()]), 1 - ANCHOR_DECAY)
        return (real - self.anchors[1]).square().mean() + (fake - self.anchors[0]).square().mean()

    @staticmethod
    def _move(optimiser: torch.optim.Optimizer, losses: Mapping[str, Tensor]) -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()

    # ---- keeping

    def state(self) -> dict[str, Any]:
        """Return networks and optimisers."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"anchors": self.anchors}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back networks and optimisers."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.anchors.copy_(state["anchors"])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator optimiser": self.generator_optimiser,
            "discriminator optimiser": self.discriminator_optimiser,
        }
        return parts if self.average is None else parts | {"average": self.average.network}


GAN.learner_class = GANLearner


def discriminator_loss(game: Game, real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's loss from its scores (B,) of real and of drawn images.

    Example:
        >>> round(float(discriminator_loss(Game(), torch.zeros(2), torch.zeros(2))), 4)  # 2 ln 2
        1.3863
        >>> float(discriminator_loss(Game(loss="hinge"), torch.ones(2), torch.zeros(2)))
        1.0
    """
    if game.loss == "wasserstein":
        return fake.mean() - real.mean()
    if game.loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    called = torch.full_like(real, 1 - game.smoothing)
    return F.binary_cross_entropy_with_logits(real, called) + F.softplus(fake).mean()


def generator_loss(game: Game, fake: Tensor) -> Tensor:
    """Return the generator's loss from the discriminator's scores (B,) of its images."""
    return F.softplus(-fake).mean() if game.loss == "logistic" else -fake.mean()


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """Return the share of images that the discriminator takes for what they are, from its scores."""
    return 0.5 * ((real > 0).float().mean() + (fake < 0).float().mean())


def squared_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """Return the squared length of each score's gradient at its image, (B,), to be differentiated again."""
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def bound(network: nn.Module) -> None:
    """Give each layer of a network spectral norm 1."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.utils.parametrizations.spectral_norm(module)
