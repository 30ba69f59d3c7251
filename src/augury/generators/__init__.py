"""Generators by name, and fitted generators from a folder."""

from __future__ import annotations

from pathlib import Path

from augury.errors import DataError
from augury.generators.base import Card, Generator, Sampler
from augury.generators.blend import Blend
from augury.generators.cvae import CVAE
from augury.generators.repeat import Repeat

__all__ = ["CVAE", "GENERATORS", "Blend", "Card", "Generator", "Repeat", "Sampler", "load_sampler"]

GENERATORS: dict[str, type[Generator]] = {
    "repeat": Repeat,
    "blend": Blend,
    "cvae": CVAE,
}


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
