"""Generators by name, and fitted generators from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from augury.errors import DataError, SettingsError
from augury.generators.acgan import ACGAN
from augury.generators.autoencoder import DeepAutoencoder
from augury.generators.bagan import BAGAN
from augury.generators.base import Card, Generator, Sampler
from augury.generators.blend import Blend
from augury.generators.cgan import CGAN
from augury.generators.cgan_conv import CGANConv
from augury.generators.cvae import CVAE
from augury.generators.dagan import DAGAN
from augury.generators.dcgan import DCGAN
from augury.generators.dense_gan import DenseGAN
from augury.generators.diffusion import Diffusion
from augury.generators.external import External
from augury.generators.flow import Flow
from augury.generators.infogan import InfoGAN
from augury.generators.latent import Latent
from augury.generators.repeat import Repeat
from augury.generators.resgan import ResGAN
from augury.generators.superres import SuperResolution
from augury.generators.wgan_gp import WGANGP
from augury.settings import nearest, parse_assignment

__all__ = [
    "ACGAN",
    "BAGAN",
    "CGAN",
    "CVAE",
    "DAGAN",
    "DCGAN",
    "GENERATORS",
    "WGANGP",
    "Blend",
    "CGANConv",
    "Card",
    "DeepAutoencoder",
    "DenseGAN",
    "Diffusion",
    "External",
    "Flow",
    "Generator",
    "InfoGAN",
    "Latent",
    "Repeat",
    "ResGAN",
    "Sampler",
    "SuperResolution",
    "generator_from",
    "load_sampler",
]

GENERATORS: dict[str, type[Generator]] = {
    "repeat": Repeat,
    "blend": Blend,
    "autoencoder": DeepAutoencoder,
    "cvae": CVAE,
    "cgan": CGAN,
    "dcgan": DCGAN,
    "wgan_gp": WGANGP,
    "acgan": ACGAN,
    "dense_gan": DenseGAN,
    "cgan_conv": CGANConv,
    "infogan": InfoGAN,
    "superres": SuperResolution,
    "bagan": BAGAN,
    "dagan": DAGAN,
    "resgan": ResGAN,
    "diffusion": Diffusion,
    "flow": Flow,
    "latent": Latent,
    "external": External,
}


def generator_from(kind: str, assignments: Sequence[str] = ()) -> Generator:
    """Return a generator's recipe from its kind and `name=value` texts.

    Raises:
        SettingsError: If kind or settings are unknown or wrong.

    Example:
        >>> generator_from("cvae", ["steps=50"]).steps
        50
    """
    if kind not in GENERATORS:
        raise SettingsError(f"there is no generator {kind!r}{nearest(kind, list(GENERATORS))}")
    return GENERATORS[kind](**dict(parse_assignment(entry) for entry in assignments))


def load_sampler(folder: Path, device: str = "cpu") -> Sampler:
    """Open a fitted generator.

    Raises:
        DataError: If the folder holds none, or one of a kind or version that is not known here.
    """
    card = Card.load(folder)
    if card.kind not in GENERATORS:
        raise DataError(f"the model in {folder} is of kind {card.kind!r}. Known here: {', '.join(GENERATORS)}.")
    recipe = GENERATORS[card.kind]
    if card.version != recipe.version:
        raise DataError(
            f"the model in {folder} was made by version {card.version} of {card.kind}. "
            f"This is version {recipe.version}: fit it again."
        )
    return recipe.load(folder, card, device)
