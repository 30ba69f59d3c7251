"""What a network that removes noise is shown and asked for: EDM's preconditioning and noise law, and flow matching's.

Both speak of x + sigma * n, a real image x with white noise n. Flow matching's straight line (1 - t) x + t n is that
image divided by 1 + sigma, with sigma = t / (1 - t).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Predict = Callable[[Tensor, Tensor], Tensor]  # noisy images (B, C, H, W) and levels (B,) -> (B, C, H, W)
Pull = Callable[[Tensor], Tensor]  # denoised images (B, C, H, W) -> a gradient at them, of the same shape


@dataclass(frozen=True)
class Preconditioning:
    """EDM's denoiser D(x; sigma) = c_skip x + c_out F(c_in x; c_noise), around a network F.

    With these factors input and target of F have variance 1 at every noise level, and errors of F are amplified as
    little as possible.

    Attributes:
        deviation: sigma_data, standard deviation of the images, which go from -1 to 1.

    Reference: Karras et al. 2022 (arXiv 2206.00364), table 1, column "Ours"; appendix B.6.

    Example:
        >>> factors = Preconditioning(0.5)
        >>> [round(float(each), 3) for each in factors.factors(torch.tensor(0.5))]
        [0.5, 0.354, 1.414, -0.173]
    """

    deviation: float = 0.5

    def factors(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return c_skip, c_out, c_in and c_noise of noise levels, each of their shape."""
        total = sigma**2 + self.deviation**2
        return (
            self.deviation**2 / total,
            sigma * self.deviation / total.sqrt(),
            1 / total.sqrt(),
            sigma.log() / 4,
        )

    def denoise(self, network: Predict, noisy: Tensor, sigma: Tensor, pull: Pull | None = None) -> Tensor:
        """Return the denoised images (B, C, H, W) of noisy ones and their noise levels (B,).

        A pull moves them by its gradient times c_out^2, the variance that white images of this deviation have, given
        noisy ones.
        """
        c_skip, c_out, c_in, c_noise = self.factors(sigma)
        clean = _wide(c_skip) * noisy + _wide(c_out) * network(_wide(c_in) * noisy, c_noise)
        return clean if pull is None else clean + _wide(c_out**2) * pull(clean)

    def loss(self, network: Predict, images: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Return the weighted squared error of each image, (B,): lambda(sigma) |D(x + sigma n; sigma) - x|^2.

        The weight is 1 / c_out^2, so this is the error of F itself (eq. 8).
        """
        c_skip, c_out, c_in, c_noise = (_wide(each) for each in self.factors(sigma))
        noisy = images + _wide(sigma) * noise
        target = (images - c_skip * noisy) / c_out
        return (network(c_in * noisy, c_noise.flatten()) - target).square().flatten(1).mean(1)


def noise_levels(normal: Tensor, mean: float = -1.2, deviation: float = 1.2) -> Tensor:
    """Return EDM's training noise levels: ln sigma is normal. Levels in the middle are where there is most to learn.

    Args:
        normal: Standard normal numbers of any shape.
        mean: Of ln sigma.
        deviation: Of ln sigma.

    Reference: Karras et al. 2022 (arXiv 2206.00364), table 1.
    """
    return (mean + deviation * normal).exp()


@dataclass(frozen=True)
class StraightLine:
    """Flow matching: a network v(x_t, t) predicts where to a straight line from image to noise leads, n - x.

    The network is shown x_t divided by its standard deviation and ln(t / (1 - t)) / 4, as EDM's is.

    Attributes:
        deviation: Standard deviation of the images.

    Reference: Lipman et al. 2023 (arXiv 2210.02747), eq. 20 to 23 with sigma_min = 0; Liu et al. 2023 (arXiv
    2209.03003), eq. 1.
    """

    deviation: float = 0.5

    def velocity(self, network: Predict, between: Tensor, t: Tensor, pull: Pull | None = None) -> Tensor:
        """Return the velocity (B, C, H, W) at points of the lines, at times (B,) between 0 (image) and 1 (noise).

        A pull moves the denoised image, x_t - t v, as it does `Preconditioning.denoise`'s.
        """
        scale = (((1 - t) * self.deviation) ** 2 + t**2).rsqrt()
        velocity = network(_wide(scale) * between, torch.logit(t, eps=1e-4) / 4)
        if pull is None:
            return velocity
        left_open = (t * self.deviation * scale) ** 2
        return velocity - _wide(left_open / t) * pull(between - _wide(t) * velocity)

    def loss(self, network: Predict, images: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return the squared error of each image's velocity, (B,)."""
        between = torch.lerp(images, noise, _wide(t))
        return (self.velocity(network, between, t) - (noise - images)).square().flatten(1).mean(1)


def times(normal: Tensor, location: float = 0.0, scale: float = 1.0) -> Tensor:
    """Return flow matching's training times: logit-normal, so that ln sigma is normal as in EDM's law.

    Args:
        normal: Standard normal numbers of any shape.
        location: Of logit(t); below 0 there is more of little noise, where detail comes.
        scale: Of logit(t).

    Reference: Esser et al. 2024 (arXiv 2403.03206), section 3.1.
    """
    return (location + scale * normal).sigmoid()


def guided(network: nn.Module, labels: Tensor, weight: float) -> Predict:
    """Return a network's prediction for some classes, pushed away from that for no class: u + w (c - u).

    Both are computed in one pass; at w = 1 the second is not computed. A denoiser and a velocity are the network's
    output scaled and shifted, so guiding the output guides them.

    Args:
        network: Maps images, levels, labels; label `network.classes` is no class.
        labels: int64 (B,).
        weight: w, 0 or more.

    Reference: Ho, Salimans 2022 (arXiv 2207.12598), eq. 6 with w for their w + 1; on denoisers: Karras et al. 2024
    (arXiv 2406.02507), eq. 3.
    """
    if weight == 1:
        return lambda noisy, level: network(noisy, level, labels).float()
    both = torch.cat([labels, torch.full_like(labels, int(network.classes))])  # type: ignore[arg-type]

    def predict(noisy: Tensor, level: Tensor) -> Tensor:
        told, untold = network(noisy.repeat(2, 1, 1, 1), level.repeat(2), both).float().chunk(2)
        return torch.lerp(untold, told, weight)

    return predict


def toward_doubt(classifier: nn.Module, weight: float) -> Pull:
    """Return the gradient of a classifier's entropy, times a weight: toward images that it finds hard.

    Added to the score of noisy images, it draws from the model's law times exp(weight x entropy). Its gradient is taken
    at the denoised image; what that moves by is the gradient times the variance of what is left open.

    Args:
        classifier: Maps images to logits (B, K), each image by itself.
        weight: Below 0: toward images that it is sure of.

    Reference: Hemmat et al. 2023 (arXiv 2310.00158), section 3 (criteria, entropy); Chung et al. 2023 (arXiv
    2209.14687), eq. 16, for the gradient at the denoised image.
    """

    def pull(images: Tensor) -> Tensor:
        with torch.enable_grad():
            asked = images.detach().requires_grad_()
            logs = classifier(asked).float().log_softmax(1)
            (gradient,) = torch.autograd.grad(-(logs.exp() * logs).sum(), asked)
        return weight * gradient

    return pull


def _wide(factors: Tensor) -> Tensor:
    return factors.view(-1, 1, 1, 1)
