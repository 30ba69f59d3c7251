"""`bagan`: an autoencoder first, and then a game that starts from its weights and from a Gaussian per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from augury.generators.adversarial import GAN, Drawn, GANLearner
from augury.images import ImageSet
from augury.mixing import BySize
from augury.networks.bagan import Autoencoder, ClassGaussians
from augury.networks.convgan import DCGANDiscriminator, DCGANGenerator
from augury.stored import in_chunks
from augury.training import Batch, Draw, Run, Source, autocast, to_float


class BAGAN(GAN):
    """A balancing GAN: rare classes start from what an autoencoder of all classes has learned.

    For `pretrain` steps the discriminator's convolutions and the generator are trained as an autoencoder (mean squared
    error). Then the codes of each class's images become a Gaussian, and from codes of these Gaussians the two play for
    `steps` steps. The discriminator has K + 1 outputs, the classes and "drawn", under one softmax; the generator wants
    its image taken for the class it was asked for. It is asked for every class equally often, while real images come
    as they are. The paper shows the discriminator fewer drawn than real images, here they are as many.

    With `game.loss = "wasserstein"` the critic's score of an image of class c is its output c, real images come equally
    often of every class too (the critic could otherwise tell the sides apart by the label alone), and its networks
    have no batch norm: with `gradient_penalty` above 0 this is the stable variant, BAGAN-GP. Ours has one Gaussian per
    class there as well, where that paper embeds the label.

    Reference: Mariani et al. 2018 (arXiv 1803.09655), sections 3.1 to 3.3; Huang & Jafari 2021 (arXiv 2111.00065),
    for the gradient penalty.

    Example:
        >>> import augury
        >>> sampler = BAGAN(pretrain=2, steps=2, batch=8, width=4).fit(augury.read("digits"), augury.Run(seed=0))
        >>> sampler.draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "bagan"
    summary: ClassVar[str] = "balancing GAN: starts from an autoencoder and a Gaussian per class"
    pretrain: int = Field(default=800, ge=1, description="optimiser steps of the autoencoder, before those of the game")
    pretrain_rate: float = Field(default=1e-3, gt=0, le=1, description="learning rate of the autoencoder's Adam")
    steps: int = Field(default=2000, ge=1, description="optimiser steps of the game")
    batch: int = Field(default=64, ge=2, description="images per step")
    rate: float = Field(default=2e-4, gt=0, le=1, description="learning rate of Adam in the game")
    latent: int = Field(default=64, ge=1, le=1024, description="size of the code")
    width: int = Field(default=32, ge=1, le=512, description="channels of the widest map, doubled at each halving")

    def stretch(self, loss: str, classes: int) -> tuple[int, int]:
        """Return the steps of the autoencoder for its loss, and those of the game for all others."""
        return (0, self.pretrain) if loss == "reconstruction" else (self.pretrain, self.total_steps(classes))

    def least_per_class(self) -> int:
        """Return how many images of a class it takes, roughly: fewer than elsewhere, for all classes help."""
        return 20

    def players(self, shape: tuple[int, int, int], classes: int) -> tuple[nn.Module, nn.Module]:
        """Build generator and discriminator."""
        decoder = DCGANGenerator(shape, 0, self.latent, self.width)
        norm = self.game.loss != "wasserstein" and not self.game.gradient_penalty
        return ClassGaussians(decoder, classes), DCGANDiscriminator(shape, 0, classes + 1, self.width, norm=norm)

    def total_steps(self, classes: int) -> int:
        """Return the steps of both phases."""
        return self.pretrain + self.steps

    def source(self, train: ImageSet, run: Run) -> Source:
        """Return the images as they come, or each class equally often."""
        if self.game.loss == "wasserstein":
            return BySize(train, power=0.0, seed=run.seed, device=run.device)
        return super().source(train, run)

    def learner(self, train: ImageSet, run: Run) -> BAGANLearner:
        """Build both players and the autoencoder that they are at first."""
        return BAGANLearner(self, self.players(train.shape, len(train.classes)), run.device, train)


class BAGANLearner(GANLearner):
    """Trains the players together as an autoencoder, then against each other."""

    recipe: BAGAN
    generator: ClassGaussians

    def __init__(self, recipe: BAGAN, players: tuple[nn.Module, nn.Module], device: str, train: ImageSet) -> None:
        super().__init__(recipe, players, device)
        assert isinstance(self.discriminator, DCGANDiscriminator)
        self.train = train
        self.present = torch.unique(train.labels)
        autoencoder = Autoencoder(self.discriminator, self.generator.decoder)
        self.autoencoder = autoencoder.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.pretraining = torch.optim.Adam(self.autoencoder.parameters(), lr=recipe.pretrain_rate, fused=True)

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step of the phase that is on."""
        if step < self.recipe.pretrain:
            return self._reconstruct(step, draw)
        if step == self.recipe.pretrain:
            self._place_gaussians()
        return super().update(step - self.recipe.pretrain, draw)

    def _reconstruct(self, step: int, draw: Draw) -> dict[str, Tensor]:
        images = draw(self.recipe.batch).images.contiguous(memory_format=torch.channels_last)
        with autocast(self.device):
            reconstructions = self.autoencoder(images)
        loss = F.mse_loss(reconstructions.float(), images)
        self._move(self.pretraining, {"reconstruction": loss})
        if self.average is not None:
            self.average.update(step)
        return {"reconstruction": loss.detach()}

    @torch.no_grad()
    def _place_gaussians(self) -> None:
        """Put each class's Gaussian where its images are encoded, and let the mean of the weights start anew."""
        self.autoencoder.eval()
        chunks = [self.autoencoder.encode(to_float(chunk).to(self.device)) for chunk in in_chunks(self.train.images)]
        self.autoencoder.train()
        self.generator.place(torch.cat(chunks), self.train.labels.to(self.device))
        if self.average is not None:
            self.average.network.load_state_dict(self.generator.state_dict())

    def fake_labels(self, batch: Batch) -> Tensor:
        """Return the classes of the images to draw: every class that has images equally often."""
        if (
            self.game.loss == "wasserstein"
        ):  # the real images are balanced already, and the penalty lies between the two
            return batch.labels
        labels: Tensor = self.present[torch.randint(len(self.present), (len(batch.labels),))]
        return labels.to(self.device)

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the logit of "real", whatever the class; a critic's score is its output for the class."""
        if self.game.loss == "wasserstein":
            return outputs.gather(1, labels[:, None])[:, 0]
        return outputs[:, :-1].logsumexp(1) - outputs[:, -1]

    # p(class c) = p(real) p(c | real): with these the logistic game is the softmax over K + 1 outputs

    def discriminator_extra(self, real: Tensor, fake: Tensor, batch: Batch, drawn: Drawn) -> dict[str, Tensor]:
        """Return the loss of the class, given that an image is real, of real images."""
        return self._class_loss(real, batch.labels)

    def generator_extra(self, fake: Tensor, drawn: Drawn) -> dict[str, Tensor]:
        """Return the same loss of drawn images, for the classes that were asked for."""
        return self._class_loss(fake, drawn.labels)

    def _class_loss(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {} if self.game.loss == "wasserstein" else {"class": F.cross_entropy(outputs[:, :-1], labels)}

    def state(self) -> dict[str, Any]:
        """Return networks and optimisers of both phases."""
        own = {"to code": self.autoencoder.to_code.state_dict(), "pretraining": self.pretraining.state_dict()}
        return super().state() | own

    def restore(self, state: dict[str, Any]) -> None:
        """Take back networks and optimisers of both phases."""
        super().restore(state)
        self.autoencoder.to_code.load_state_dict(state["to code"])
        self.pretraining.load_state_dict(state["pretraining"])
