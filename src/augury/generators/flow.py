"""`flow`: flow matching on straight lines between images and noise, drawn in few steps."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from augury.denoising import Predict, Pull, StraightLine, guided, times
from augury.generators.denoiser import Denoiser, DenoiserLearner
from augury.generators.neural import SAMPLING_BATCH
from augury.images import ImageSet
from augury.seeds import generator_for, noise, seed_for
from augury.solvers import cosine_stops, euler, heun
from augury.training import Draw, Run, autocast

PAIR_STEPS = 16  # from noise to the image that it is paired with
STRAIGHTENING = "straightening"


class Flow(Denoiser):
    """A network that learns which way leads from noise to an image: a straight one, so that few steps are enough.

    On the line from an image to noise the network is asked for the line's direction; where lines cross it answers with
    their mean, and the ways that its answers lead along are nearly straight. `reflow` trains it on, on pairs of noise
    and the image that it led to, whose lines do not cross: then one or two steps will do.

    Reference: Lipman et al. 2023 (arXiv 2210.02747), eq. 20 to 23; Liu et al. 2023 (arXiv 2209.03003), eq. 1 and
    algorithm 1 (reflow); Esser et al. 2024 (arXiv 2403.03206), section 3.1 (law of times).

    Example:
        >>> import augury
        >>> recipe = Flow(steps=2, batch=8, size="tiny", drawing_steps=4)
        >>> recipe.fit(augury.read("digits"), augury.Run(seed=0)).draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "flow"
    drawing: ClassVar[tuple[str, ...]] = (*Denoiser.drawing, "solver")
    summary: ClassVar[str] = "flow matching with a compact U-Net, drawn in few steps"
    drawing_steps: int = Field(default=8, ge=1, le=1000, description="steps from noise to image")
    solver: Literal["euler", "heun"] = Field(
        default="heun", description="euler asks the network once per step, heun twice and comes nearer"
    )
    time_location: float = Field(
        default=-0.8, ge=-10, le=10, description="of logit(t) in training; below 0: more of little noise"
    )
    time_scale: float = Field(default=1.2, gt=0, le=10, description="of logit(t) in training")
    reflow: int = Field(default=0, ge=0, description="further steps, on pairs of noise and the image it leads to")
    pairs: int = Field(default=2048, ge=1, le=100_000, description="number of these pairs")

    def total_steps(self, classes: int) -> int:
        """Return the steps of both phases."""
        return self.steps + self.reflow

    def stretch(self, loss: str, classes: int) -> tuple[int, int]:
        """Return the phase that a loss belongs to."""
        return (self.steps, self.steps + self.reflow) if loss == STRAIGHTENING else (0, self.steps)

    def learner(self, train: ImageSet, run: Run) -> FlowLearner:
        """Build what is trained."""
        return FlowLearner(self, self.started(train), run, train)

    def losses(self, predict: Predict, images: Tensor, noise: Tensor, normal: Tensor) -> Tensor:
        """Return the squared error of each image's direction."""
        return StraightLine().loss(predict, images, noise, times(normal, self.time_location, self.time_scale))

    def solve(self, predict: Predict, noise: Tensor, pull: Pull | None = None) -> Tensor:
        """Return the images that noise leads to."""
        return follow(predict, noise, self.drawing_steps, self.solver, pull)


def follow(predict: Predict, noise: Tensor, steps: int, solver: str, pull: Pull | None = None) -> Tensor:
    """Follow the directions that a network gives from noise to images.

    Args:
        predict: The network.
        noise: Standard normal (B, C, H, W).
        steps: Number of steps.
        solver: `euler` or `heun`.
        pull: Moves the denoised images on the way.
    """
    line = StraightLine()

    def field(x: Tensor, t: float) -> Tensor:
        return line.velocity(predict, x, torch.full((len(x),), t, device=x.device), pull)

    return (heun if solver == "heun" else euler)(field, noise, cosine_stops(steps))


class FlowLearner(DenoiserLearner):
    """Trains on lines between images and noise, and then, if wanted, on lines that the network itself has drawn."""

    recipe: Flow

    def __init__(self, recipe: Flow, network: nn.Module, run: Run, train: ImageSet) -> None:
        super().__init__(recipe, network, run.device)
        self.seed, self.train = run.seed, train
        self.teacher: dict[str, Tensor] | None = None

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one step of the phase that is on."""
        if step < self.recipe.steps:
            return super().update(step, draw)
        if self.teacher is None:
            self._pair()
        rows = torch.randint(len(self.labels), (self.recipe.batch,)).to(self.device)
        untold = self.chances(len(rows)) < self.recipe.untold
        labels = torch.where(untold, self.no_class, self.labels[rows])
        predict = partial(self.predict, labels=labels, told=None)
        when = times(self.levels(len(rows)))  # the whole line counts alike: a single step leaps over all of it
        loss = StraightLine().loss(predict, self.ends[rows], self.starts[rows], when).mean()
        self.move(step - self.recipe.steps, self.recipe.reflow, loss)
        return {STRAIGHTENING: loss.detach()}

    @torch.no_grad()
    def _pair(self, teacher: dict[str, Tensor] | None = None) -> None:
        """Lead noise to images, in classes as they come; what leads is the network as it is now, or a teacher's."""
        network = copy.deepcopy(self.kept).eval()
        self.teacher = teacher or copy.deepcopy(network.state_dict())
        network.load_state_dict(self.teacher)
        rows = torch.randint(len(self.train), (self.recipe.pairs,), generator=generator_for(self.seed, "pairs"))
        self.labels = self.train.labels[rows].to(self.device)
        starts = noise([seed_for(self.seed, "pair", i) for i in range(self.recipe.pairs)], *self.train.shape)
        self.starts = starts.to(self.device)
        batches = zip(self.starts.split(SAMPLING_BATCH), self.labels.split(SAMPLING_BATCH), strict=True)
        with autocast(self.device):
            ends = [follow(guided(network, of, 1.0), start, PAIR_STEPS, "heun") for start, of in batches]
        self.ends = torch.cat(ends)

    def state(self) -> dict[str, Any]:
        """Return networks and optimiser, and the network that drew the pairs."""
        return super().state() | ({"teacher": self.teacher} if self.teacher is not None else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Take back networks and optimiser; the pairs are drawn again."""
        super().restore(state)
        if "teacher" in state:
            self._pair(state["teacher"])
