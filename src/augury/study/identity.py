"""What a result's name is made of: a digest of everything it was made from, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any

from augury.settings import Recipe


class Keyed(ABC):
    """A value that is named by a digest of its own: a step."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Return the digest."""


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's structure.

    Accepts str, int, float, bool, None, tuples, recipes and steps.

    Raises:
        TypeError: For everything else. A path, a tensor or a NumPy integer has no identity that lasts.

    Example:
        >>> digest(("a", "bc")) == digest(("ab", "c"))
        False
    """
    return hashlib.sha256(json.dumps(structure(value), separators=(",", ":")).encode()).hexdigest()


def structure(value: Any) -> list[Any]:
    """Return a value as nested lists of a type name and text, in which different values look different."""
    if isinstance(value, Keyed):
        return ["step", value.key]
    if isinstance(value, Recipe):
        fields = [[name, structure(item)] for name, item in sorted(value.identity().items())]
        return ["recipe", getattr(value, "kind", type(value).__name__), value.version, fields]
    if type(value) is tuple:
        return ["tuple", [structure(item) for item in value]]
    if type(value) in (str, int, float, bool, type(None)):
        return [type(value).__name__, repr(value)]
    raise TypeError(
        f"identity is made of str, int, float, bool, None, tuples, recipes and steps. Got {type(value).__name__}."
    )
