"""`diffusion`: a conditional diffusion model after Karras et al. 2022, compact enough for a processor."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from augury.denoising import Preconditioning, Predict, Pull, noise_levels
from augury.generators.denoiser import Denoiser
from augury.solvers import heun, noise_stops

DEVIATION = 0.5  # of images in -1..1, as the paper takes it


class Diffusion(Denoiser):
    """A denoiser that is trained on all noise levels, and a way from noise to an image along its answers.

    The network is EDM's F inside its preconditioning; images are drawn by Heun's method of second order, two
    evaluations of the network per step.

    Reference: Karras et al. 2022 (arXiv 2206.00364): table 1 (preconditioning, noise law, steps), algorithm 1.
    Ho, Salimans 2022 (arXiv 2207.12598) for guidance.

    Example:
        >>> import augury
        >>> recipe = Diffusion(steps=2, batch=8, size="tiny", drawing_steps=4)
        >>> recipe.fit(augury.read("digits"), augury.Run(seed=0)).draw({"3": 5}, seed=0).images.shape
        torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "diffusion"
    summary: ClassVar[str] = "conditional diffusion model (EDM) with a compact U-Net"
    drawing_steps: int = Field(default=18, ge=1, le=1000, description="steps from noise to image")
    noise_mean: float = Field(default=-1.2, ge=-10, le=10, description="mean of ln sigma in training")
    noise_deviation: float = Field(default=1.2, gt=0, le=10, description="standard deviation of ln sigma in training")

    def losses(self, predict: Predict, images: Tensor, noise: Tensor, normal: Tensor) -> Tensor:
        """Return EDM's loss of each image."""
        levels = noise_levels(normal, self.noise_mean, self.noise_deviation)
        return Preconditioning(DEVIATION).loss(predict, images, noise, levels)

    def solve(self, predict: Predict, noise: Tensor, pull: Pull | None = None) -> Tensor:
        """Return the images that noise leads to, by Heun's method."""
        denoiser, stops = Preconditioning(DEVIATION), noise_stops(self.drawing_steps)

        def field(x: Tensor, sigma: float) -> Tensor:
            levels = torch.full((len(x),), sigma, device=x.device)
            return (x - denoiser.denoise(predict, x, levels, pull)) / sigma  # Karras et al. 2022, eq. 3 in D

        return heun(field, noise * float(stops[0]), stops)
