"""Recipes: frozen sets of hyperparameters that check themselves, and their way from and to TOML."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from augury.errors import SettingsError


class Recipe(BaseModel):
    """Hyperparameters and nothing else: frozen, comparable, hashable, strict.

    A wrong or unknown setting raises `SettingsError` at once, naming the nearest setting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: ClassVar[str]
    version: ClassVar[int] = 1  # bump when the same fields would give another result

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**tuples(settings))
        except ValidationError as error:
            raise SettingsError(_sentence(error, type(self))) from None

    def settings(self) -> dict[str, Any]:
        """Return the fields by name, in order; nested recipes stay recipes."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: the settings, a file among them by its content."""
        return self.settings()

    def replace(self, /, **settings: Any) -> Self:
        """Return a copy with some settings changed, checked like a new one."""
        return type(self)(**{**self.settings(), **settings})


def tuples(value: Any) -> Any:
    """Turn lists into tuples, all the way down: recipes are hashable."""
    if isinstance(value, list | tuple):
        return tuple(tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return value


def by_name(pairs: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """Sort pairs of name and value by name: the order in which they were written is no part of an identity."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} stands twice.")
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def lists(value: Any) -> Any:
    """Turn recipes and tuples into what TOML can hold; settings that are None are left out."""
    if isinstance(value, Recipe):
        return lists({**_kind_of(value), **value.settings()})
    if isinstance(value, list | tuple):
        return [lists(item) for item in value]
    if isinstance(value, dict):
        return {key: lists(item) for key, item in value.items() if item is not None}
    return value


def _kind_of(recipe: Recipe) -> dict[str, str]:
    return {"kind": recipe.kind} if hasattr(type(recipe), "kind") else {}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        SettingsError: If the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise SettingsError(f"a study file was expected at {path}. Got nothing readable: check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} is not a TOML file: {error}.") from None


def to_toml(settings: dict[str, Any]) -> str:
    """Write settings as TOML text."""
    return tomli_w.dumps(lists(settings))


def nearest(name: str, names: list[str]) -> str:
    """Return `: did you mean 'x'?` for the nearest of some names, or a list of all."""
    if not names:
        return ". There are none."
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f": did you mean {close[0]!r}?" if close else f". Expected one of: {', '.join(names)}."


def only_known(names: Sequence[str], known: Sequence[str], owner: str) -> None:
    """Make sure that all names are known.

    Raises:
        SettingsError: If one is not; the message names the nearest.
    """
    for name in names:
        if name not in known:
            raise SettingsError(f"{owner} has no {name!r}{nearest(name, list(known))}")


def parse_assignment(text: str) -> tuple[str, Any]:
    """Read `name=value` from a command line; the value is read as TOML, else as text.

    Example:
        >>> parse_assignment("steps=200"), parse_assignment("likelihood=gaussian")
        (('steps', 200), ('likelihood', 'gaussian'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"--set expects name=value. Got {text!r}.")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def describe(recipe: type[Recipe]) -> list[tuple[str, str, str]]:
    """List the settings of a recipe: (name, default as text, meaning)."""
    return [(name, _default(field), field.description or "") for name, field in recipe.model_fields.items()]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "{}" if isinstance(default, Recipe) else str(default)  # a table of its own, all of it at its defaults


def _sentence(error: ValidationError, recipe: type[Recipe]) -> str:
    errors = error.errors(include_url=False)
    # a misspelt setting that is required is missing, too: the misspelling is the mistake
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    owner = getattr(recipe, "kind", recipe.__name__.lower())
    # a bracket: pydantic's name for one of several types
    name = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
    if first["type"] == "extra_forbidden":
        return f"{owner} has no setting {name!r}{nearest(name, list(recipe.model_fields))}"
    if first["type"] == "missing":
        return f"{owner} needs the setting {name!r}."
    if first["type"] == "value_error":
        return f"{name or 'the settings'} of {owner}: {first['ctx']['error']}"
    return f"{name} of {owner}: {_expected(first, recipe)} Got {first['input']!r}."


def _expected(first: Any, recipe: type[Recipe]) -> str:
    message: str = first["msg"].replace("Input should be", "expected").rstrip(".")
    field = recipe.model_fields.get(str(first["loc"][0])) if first["loc"] else None
    if field is not None and get_origin(field.annotation) is Literal and first["type"] == "literal_error":
        message = "expected one of: " + ", ".join(repr(item) for item in get_args(field.annotation))
    return message + "."
