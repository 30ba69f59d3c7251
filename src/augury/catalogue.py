"""What there is: generators, classifiers, policies, tables within settings, readers, with settings and defaults."""

from __future__ import annotations

from typing import Any

from augury.classifiers import CLASSIFIERS
from augury.filters import FILTERS
from augury.generators import GENERATORS
from augury.generators.adversarial import Game
from augury.policies import POLICIES
from augury.readers import READERS
from augury.selections import SELECTIONS
from augury.settings import Recipe, describe
from augury.study.study import Audit
from augury.study.study_file import NESTED


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """Return every kind by family.

    Example:
        >>> [row["kind"] for row in catalogue()["generators"]][:4]
        ['repeat', 'blend', 'autoencoder', 'cvae']
    """
    families: dict[str, Any] = {
        "generators": GENERATORS,
        "classifiers": CLASSIFIERS,
        "policies": POLICIES,
        "filters": FILTERS,
        "selections": SELECTIONS,
    }
    entries = {
        family: [_row(kind, recipe.summary, describe(recipe)) for kind, recipe in table.items()]
        for family, table in families.items()
    }
    nested: dict[str, type[Recipe]] = {**NESTED, Game.kind: Game, Audit.kind: Audit}
    tables = [_row(kind, str(recipe.__doc__).partition("\n")[0], describe(recipe)) for kind, recipe in nested.items()]
    readers = [_row(kind, reader.summary, []) for kind, reader in READERS.items()]
    return {**entries, "tables": tables, "readers": readers}


def _row(kind: str, summary: str, settings: list[tuple[str, str, str]]) -> dict[str, Any]:
    rows = [{"name": name, "default": default, "meaning": meaning} for name, default, meaning in settings]
    return {"kind": kind, "summary": summary, "settings": rows}
