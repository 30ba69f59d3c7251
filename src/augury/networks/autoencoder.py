"""Autoencoders, fully connected or convolutional: image -> short code -> image. They are not told the class."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from augury.networks.mlp import perceptron
from augury.networks.vae import ConvDecoder, conv_encoder


class Autoencoder(nn.Module):
    """An encoder from images (B, C, H, W) to codes, and a decoder back; tanh brings its images to -1..1.

    Args:
        encoder: Maps images to (B, latent).
        decoder: Maps (B, latent) to (B, C, H, W), any numbers.
        latent: Size of the code.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.latent = encoder, decoder, latent

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in -1..1 to codes (B, latent)."""
        codes: Tensor = self.encoder(images)
        return codes

    def forward(self, codes: Tensor) -> Tensor:
        """Map codes (B, latent) to images (B, C, H, W) in -1..1."""
        images: Tensor = self.decoder(codes)
        return images.tanh()


def dense_autoencoder(shape: tuple[int, int, int], hidden: Sequence[int], latent: int) -> Autoencoder:
    """Return a fully connected one: C*H*W -> hidden -> code -> hidden reversed -> C*H*W, with ReLU.

    Example:
        >>> network = dense_autoencoder((1, 28, 28), (512, 256, 128, 64), 32)
        >>> [layer.out_features for layer in network.encoder if isinstance(layer, nn.Linear)]
        [512, 256, 128, 64, 32]
    """
    pixels = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), *perceptron([pixels, *hidden, latent]))
    decoder = nn.Sequential(*perceptron([latent, *reversed(hidden), pixels]), nn.Unflatten(1, shape))
    return Autoencoder(encoder, decoder, latent)


def conv_autoencoder(shape: tuple[int, int, int], width: int, latent: int) -> Autoencoder:
    """Return a convolutional one, for images with sides of 8 or more; `width` channels at half the size."""
    return Autoencoder(conv_encoder(shape, width, latent), ConvDecoder(latent, width, shape), latent)
