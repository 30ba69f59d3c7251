"""BAGAN's networks: DCGAN's own, a Gaussian per class before the generator, and both of them as an autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from augury.networks.convgan import DCGANDiscriminator, DCGANGenerator

RIDGE = 1e-3  # share of the codes' overall variance that is added to every variance: no factor is ever singular


class ClassGaussians(nn.Module):
    """Moves standard normal codes to the Gaussian of their class and decodes them; the decoder is not told the class.

    Args:
        decoder: Maps codes to images.
        classes: K.

    Attributes:
        means: Buffer, float32 (K, latent); at first 0.
        factors: Buffer, float32 (K, latent, latent), lower Cholesky factors of the covariances; at first 1.

    Reference: Mariani et al. 2018 (arXiv 1803.09655), section 3.2.
    """

    means: Tensor
    factors: Tensor

    def __init__(self, decoder: DCGANGenerator, classes: int) -> None:
        super().__init__()
        self.decoder, self.latent = decoder, decoder.latent
        self.register_buffer("means", torch.zeros(classes, self.latent))
        self.register_buffer("factors", torch.eye(self.latent).repeat(classes, 1, 1))

    def place(self, codes: Tensor, labels: Tensor) -> None:
        """Take the Gaussians from encoded images.

        Args:
            codes: float (N, latent).
            labels: int64 (N,).
        """
        means, covariances = class_gaussians(codes, labels, len(self.means))
        self.means.copy_(means)
        self.factors.copy_(torch.linalg.cholesky(covariances))

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map standard normal codes (B, latent) and (B,) to images in -1..1, (B, C, H, W)."""
        # a sum of products and no matrix product: autocast would round the codes to bf16
        latents = self.means[labels] + (self.factors[labels] * codes[:, None, :]).sum(2)
        images: Tensor = self.decoder(latents, labels)
        return images


def class_gaussians(codes: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Estimate mean and full covariance of the codes of each class, also of a class with one image.

    With S the pooled covariance within classes, n the images of a class, C their scatter matrix (sum of squares about
    the mean) and d the size of a code, its covariance is (d S + C) / (d + n - 1): the pooled one counts as much as d
    images do. A class without images lies at the mean of all codes.

    Args:
        codes: float (N, d).
        labels: int64 (N,).
        classes: K.

    Returns:
        float64 (K, d) and (K, d, d), positive definite, on the device of the codes.

    Reference: the form of the mean of an inverse-Wishart posterior, Gelman et al. 2013, section 3.6.

    Example:
        >>> codes, labels = torch.tensor([[0.0], [2.0], [7.0]]), torch.tensor([0, 0, 1])
        >>> means, covariances = class_gaussians(codes, labels, 2)
        >>> means.flatten().tolist(), [round(float(c), 1) for c in covariances]  # the second borrows from the first
        ([1.0, 7.0], [2.0, 2.0])
    """
    values, d = codes.double(), codes.shape[1]
    told = nn.functional.one_hot(labels, classes).to(values)
    counts = told.sum(0)
    means = (told.T @ values) / counts.clamp(min=1)[:, None]
    means[counts == 0] = values.mean(0)
    away = values - means[labels]
    scatters = torch.einsum("nk,ni,nj->kij", told, away, away)
    spread = (values - values.mean(0)).square().mean()
    ridge = (RIDGE * spread + 1e-6) * torch.eye(d).to(values)
    pooled = scatters.sum(0) / (len(values) - (counts > 0).sum()).clamp(min=1)
    weights = d + (counts - 1).clamp(min=0)
    return means, (d * pooled + scatters) / weights[:, None, None] + ridge


class Autoencoder(nn.Module):
    """The players as an autoencoder: the discriminator's convolutions encode, the generator's decoder decodes.

    It shares their weights: what it learns, they know. Only the layer to the code is its own.

    Args:
        discriminator: All but its last layer encodes.
        decoder: Maps codes to images.
    """

    def __init__(self, discriminator: DCGANDiscriminator, decoder: DCGANGenerator) -> None:
        super().__init__()
        last = discriminator.layers[-1]
        assert isinstance(last, nn.Conv2d)
        self.trunk, self.decoder = discriminator.layers[:-1], decoder
        self.to_code = nn.Sequential(nn.Conv2d(last.in_channels, decoder.latent, last.kernel_size), nn.Flatten())  # type: ignore[arg-type]

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to codes (B, latent)."""
        codes: Tensor = self.to_code(self.trunk(images))
        return codes

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in -1..1 to their reconstructions."""
        codes = self.encode(images)
        reconstructions: Tensor = self.decoder(codes, torch.zeros(len(codes), dtype=torch.int64, device=codes.device))
        return reconstructions
