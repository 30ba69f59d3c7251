"""`dagan`: from a real image and noise to another image of the same class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from augury.files import fresh_folder
from augury.generators.adversarial import GAN, Drawn, Game, GANLearner
from augury.generators.base import Card
from augury.generators.film import Film
from augury.generators.neural import NetworkSampler
from augury.generators.repeat import members_by_class, pick
from augury.images import ImageSet
from augury.mixing import Pixels
from augury.networks.convgan import DCGANDiscriminator
from augury.networks.dagan import DAGANGenerator
from augury.seeds import generator_for, noise, numbers_for
from augury.training import Batch, Draw, Run, Source, autocast, to_float

SOURCES = "sources"  # folder of the kept images, in the film's: a snapshot needs them as well


class DAGAN(GAN):
    """Data augmentation GAN: draws another image of a class from a real one of it, also where there are few.

    The critic sees pairs: two real images of one class, or a real one and what the generator made of it. Two
    different images stand in a real pair, so a generator that copies its source is found out. No player is told the
    class; what images of one class have in common is learned from all classes. An image that is alone in its class is
    paired with itself, and what is drawn from it stays close to it.

    The critic is DCGAN's, without norm; the paper's networks are larger (a residual U-Net and a DenseNet). Here the
    source also enters the generator's output, so that a short training starts from images that are of their class.

    Reference: Antoniou, Storkey, Edwards 2017 (arXiv 1711.04340), section 3; Gulrajani et al. 2017 (arXiv 1704.00028),
    eq. 3, for the objective.

    Example:
        >>> import augury
        >>> sampler = DAGAN(steps=2, batch=8, width=4).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "dagan"
    summary: ClassVar[str] = "GAN from a real image to another of its class, also for classes with few images"
    contains_training_images: ClassVar[bool] = True
    near_copies: ClassVar[bool] = True
    steps: int = Field(default=800, ge=1, description="optimiser steps")
    batch: int = Field(default=32, ge=2, description="pairs of images per step")
    rate: float = Field(default=5e-4, gt=0, le=1, description="learning rate of Adam")
    width: int = Field(default=16, ge=1, le=512, description="channels at the images' size; twice as many per halving")
    critic_width: int = Field(default=32, ge=1, le=512, description="channels of the critic's first convolution")
    latent: int = Field(default=64, ge=1, le=4096, description="size of the noise")
    game: Game = Field(
        default=Game(loss="wasserstein", gradient_penalty=10.0, critic_steps=3, beta1=0.0, beta2=0.9),
        description="how the players are set against each other",
    )

    def least_per_class(self) -> int:
        """Return 0: it learns from pairs of all classes, and changes the images that there are."""
        return 0

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and critic; neither is told the class."""
        C, H, W = shape
        norm = self.game.loss != "wasserstein" and not self.game.gradient_penalty
        critic = DCGANDiscriminator((2 * C, H, W), 0, width=self.critic_width, norm=norm)
        return DAGANGenerator(shape, self.latent, self.width), critic

    def source(self, train: ImageSet, run: Run) -> Source:
        """Return what pairs are drawn from."""
        return Pairs(train, seed=run.seed, device=run.device)

    def learner(self, train: ImageSet, run: Run) -> DAGANLearner:
        """Set the players against each other."""
        learner = DAGANLearner(self, self.players(train.shape, len(train.classes)), run.device)
        kept: Any = learner.kept
        kept.sources = train  # neither weights nor state: checkpoints and snapshots do without
        return learner

    def sampler(self, card: Card, network: nn.Module, device: str, film: Film) -> DAGANSampler:
        """Return the sampler of a trained network, with the images that it starts from."""
        folder = film.folder / SOURCES
        if not folder.exists():  # it is being fitted
            sources: Any = network.sources
            with fresh_folder(folder) as partial:
                sources.save(partial)
        return DAGANSampler(self, card, network, device, film, ImageSet.load(folder))


class Pairs:
    """Batches of pairs of one class, joined on their channels: (B, 2C, H, W).

    The first images are drawn from all, with replacement; the second is another one of the class, or, where there is
    no other, the same.
    """

    def __init__(self, training: ImageSet, *, seed: int, device: str) -> None:
        self.pixels = Pixels(training, device)
        self.seed = seed
        self.order = torch.argsort(training.labels, stable=True)
        self.counts = torch.bincount(training.labels)
        self.starts = self.counts.cumsum(0) - self.counts
        self.labels = training.labels[self.order]

    def at(self, step: int) -> Draw:
        """Return the draw of one step, to be called as often as the method needs."""
        calls = count()

        def draw(n: int) -> Batch:
            one, other = self.index(step, next(calls), n)
            first, second = self.pixels.batch(one), self.pixels.batch(other)
            return Batch(torch.cat([first.images, second.images], dim=1), first.labels, first.synthetic)

        return draw

    def index(self, step: int, call: int, n: int) -> tuple[Tensor, Tensor]:
        """Return the positions of the first and of the second images of n pairs."""
        generator = generator_for(self.seed, "pairs", step, call)
        places = torch.randint(len(self.order), (n,), generator=generator)
        labels = self.labels[places]
        counts, starts = self.counts[labels], self.starts[labels]
        ahead = 1 + (torch.rand(n, generator=generator, dtype=torch.float64) * (counts - 1)).long()
        return self.order[places], self.order[starts + (places - starts + ahead) % counts]


class DAGANLearner(GANLearner):
    """Shows the critic pairs: a source and another real image, or a source and what is made of it."""

    generator: DAGANGenerator

    def draw(self, labels: Tensor, batch: Batch) -> Drawn:
        """Draw another image for the first of each pair; what comes back are pairs."""
        sources = batch.images[:, : batch.images.shape[1] // 2].detach()
        codes = self.generator.code(sources, torch.randn(len(sources), self.recipe.latent).to(self.device))
        with autocast(self.device):
            images = self.generator(codes, labels)
        return Drawn(codes, labels, torch.cat([sources, images.float()], dim=1))


class DAGANSampler(NetworkSampler):
    """Draws from kept images of the asked class.

    Attributes:
        train: The images that it may start from.
    """

    def __init__(self, recipe: DAGAN, card: Card, network: nn.Module, device: str, film: Film, train: ImageSet) -> None:
        super().__init__(recipe, card, network, device, film)
        self.train = train
        self.members = members_by_class(train)

    def sources(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the position, in `train`, of the image that each one starts from: int64 (N,).

        Raises:
            DataError: If a class has no training image.
        """
        drawn = [
            pick(self.members[label], 1, numbers_for(seed, "source"))
            for label, seed in zip(labels.tolist(), seeds, strict=True)
        ]
        return torch.cat(drawn) if drawn else torch.empty(0, dtype=torch.int64)

    def codes(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return real images and noise, each from its own label and seed: float32 (N, C * H * W + noise)."""
        network: Any = self.network
        codes: Tensor = network.code(
            to_float(self.train.images[self.sources(labels, seeds)]), noise(seeds, network.noise)
        )
        return codes
