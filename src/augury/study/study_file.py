"""Study files: TOML to a study and back, with the place of a mistake in the message."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

from augury.augment import Augment
from augury.classifiers import CLASSIFIERS, Classifier, classifier_from
from augury.errors import SettingsError
from augury.filters import filter_from
from augury.generators import GENERATORS, Generator
from augury.losses import Loss
from augury.mixing import Synthetic
from augury.networks.backbones import is_backbone
from augury.policies import policy_from
from augury.selections import selection_from
from augury.settings import Recipe, lists, nearest, to_toml, tuples
from augury.splits import SplitPlan
from augury.study.extending import read_study
from augury.study.study import Arm, Audit, DataSettings, NamedClassifier, NamedGenerator, Study, Tuning

Made = TypeVar("Made")
TABLES = ("data", "split", "tune", "audit", "generators", "classifiers", "arms")
NESTED: dict[str, type[Recipe]] = {"augment": Augment, "loss": Loss, "synthetic": Synthetic}  # tables within settings


def load_study(path: str | Path, *, allow_plugins: bool = False) -> Study:
    """Read a study file.

    Args:
        path: The file; it may extend another one (`extends`), and a relative path is meant from its folder.
        allow_plugins: Let `kind = "package.module:Name"` import code from outside.

    Raises:
        SettingsError: If the file is missing, or a setting is unknown, wrong or missing. The message says where.
    """
    return study_from(read_study(Path(path)), allow_plugins=allow_plugins)


def study_from(table: dict[str, Any], *, allow_plugins: bool = False) -> Study:
    """Build a study from what a TOML file holds.

    Raises:
        SettingsError: If a setting is unknown, wrong or missing.
    """
    plain = {name: value for name, value in table.items() if name not in TABLES}
    generators = _each(table, "generators", lambda row: _generator(row, allow_plugins))
    classifiers = _each(table, "classifiers", lambda row: _classifier(row, allow_plugins))
    return Study(
        **plain,
        data=_at("[data]", lambda: DataSettings(**_data(_table(table, "data")))),
        split=_at("[split]", lambda: SplitPlan(**_pairs(_table(table, "split"), "keep"))),
        tune=_at("[tune]", lambda: Tuning(**_tune(_table(table, "tune")))),
        audit=_at("[audit]", lambda: Audit(**_table(table, "audit"))),
        generators=generators,
        classifiers=classifiers,
        arms=_each(table, "arms", _arm),
    )


def _table(table: dict[str, Any], name: str) -> dict[str, Any]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise SettingsError(f"[{name}] is a table. Got {shorten(repr(value), 80)}.")
    return value


def _each(table: dict[str, Any], name: str, build: Callable[[dict[str, Any]], Made]) -> tuple[Made, ...]:
    rows = table.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SettingsError(f"[[{name}]] is a list of tables. Got {shorten(repr(rows), 80)}.")
    return tuple(_at(f"[[{name}]] {i}", lambda row=row: build(row)) for i, row in enumerate(rows, start=1))  # type: ignore[misc]


def _at(place: str, build: Callable[[], Made]) -> Made:
    try:
        return build()
    except SettingsError as error:
        raise SettingsError(f"{place}: {error}") from None


def _data(table: dict[str, Any]) -> dict[str, Any]:
    size = table.get("size", "auto")
    return {**_pairs(table, "columns"), "size": (size, size) if isinstance(size, int) else size}


def _pairs(table: dict[str, Any], name: str) -> dict[str, Any]:
    value = table.get(name, ())
    return {**table, name: tuple(sorted(value.items())) if isinstance(value, dict) else value}


def _tune(table: dict[str, Any]) -> dict[str, Any]:
    grid = table.get("grid", {})
    if not isinstance(grid, dict) or not all(isinstance(values, list) for values in grid.values()):
        raise SettingsError(f"grid is a table of lists, such as {{ rate = [0.001, 0.003] }}. Got {grid!r}.")
    tried = {name: [_nested(name, value) for value in values] for name, values in grid.items()}
    return _pairs({**table, "grid": tried}, "grid")


def _arm(row: dict[str, Any]) -> Arm:
    amounts = row.get("amounts", [])
    if not isinstance(amounts, list):
        raise SettingsError(f"amounts is a list, such as ['balance', 'ratio 1']. Got {amounts!r}.")
    filters = row.get("filters", [])
    if not isinstance(filters, list):
        raise SettingsError(f"filters is a list, such as ['agreement', 'near_copy']. Got {filters!r}.")
    changed = {name: _nested(name, value) for name, value in _table(row, "classifier").items()}
    built: dict[str, Any] = {
        "amounts": tuple(policy_from(amount) for amount in amounts),
        "filters": tuple(filter_from(rule) for rule in filters),
        "classifier": tuple(sorted(changed.items())),
    }
    if "select" in row:
        built["select"] = selection_from(row["select"])
    return Arm(**{**row, **built})


def _nested(name: str, value: Any) -> Any:
    return NESTED[name](**value) if name in NESTED and isinstance(value, dict) else value


def _generator(row: dict[str, Any], allow_plugins: bool) -> NamedGenerator:
    kind, name, settings = _named(row)
    return NamedGenerator(name=name, recipe=_recipe(kind, GENERATORS, Generator, allow_plugins)(**settings))  # type: ignore[type-abstract]


def _classifier(row: dict[str, Any], allow_plugins: bool) -> NamedClassifier:
    kind, name, settings = _named(row)
    if ":" not in kind or is_backbone(kind):
        return NamedClassifier(name=name, recipe=classifier_from(kind, **settings))
    return NamedClassifier(name=name, recipe=_recipe(kind, CLASSIFIERS, Classifier, allow_plugins)(**settings))  # type: ignore[type-abstract]


def _named(row: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    if "kind" not in row:
        raise SettingsError("the setting 'kind' is missing.")
    for key in ("kind", "name"):
        if not isinstance(row.get(key, ""), str):
            raise SettingsError(f"{key!r} is a text. Got {row[key]!r}.")
    settings = {key: tuples(value) for key, value in row.items() if key not in ("kind", "name")}
    return row["kind"], row.get("name", row["kind"]), settings


def _recipe(kind: str, known: dict[str, type[Made]], base: type[Made], allow_plugins: bool) -> type[Made]:
    if kind in known:
        return known[kind]
    if ":" not in kind:
        raise SettingsError(f"there is no kind {kind!r}{nearest(kind, list(known))}")
    if not allow_plugins:
        raise SettingsError(f"{kind!r} is code from outside, which runs only with --allow-plugins.")
    return _plugin(kind, base)


def _plugin(kind: str, base: type[Made]) -> type[Made]:
    module, _, name = kind.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SettingsError(f"the plug-in {kind!r} cannot be loaded: {error}. Install it, or check the name.") from None
    if not (isinstance(found, type) and issubclass(found, base)) or inspect.isabstract(found):
        raise SettingsError(f"the plug-in {kind!r} must be a {base.__name__}. Got {found!r}.")
    return found


def dump_study(study: Study) -> str:
    """Write a study as TOML, every setting resolved; `load_study` reads it back to an equal study."""
    head = {name: value for name, value in study.settings().items() if name not in TABLES}
    body = {
        "data": _tables({**study.data.settings(), **_named_pairs(study)}),
        "split": _tables({**study.split.settings(), "keep": dict(study.split.keep)}),
        "tune": {**study.tune.settings(), "grid": {name: list(map(_bare, each)) for name, each in study.tune.grid}},
        "audit": study.audit.settings(),
        "generators": [_entry(named.name, named.recipe) for named in study.generators],
        "classifiers": [_entry(named.name, named.recipe) for named in study.classifiers],
        "arms": [_arm_entry(arm) for arm in study.arms],
    }
    return to_toml({**head, **body})


WEIGHTS_PATH = re.compile(r'"file:[^"\n]*?([^"/\\\n]*)"')
OTHER_PATH = re.compile(r'^((?:source|picks|init) = )"[^"\n]*?([^"/\\\n]*)"$', re.MULTILINE)


def shared_text(study: Study) -> str:
    """Return a study as TOML without any folder: a path may name a patient, and a report travels."""
    return OTHER_PATH.sub(r'\1"\2"', WEIGHTS_PATH.sub(r'"file:\1"', dump_study(study)))


def _named_pairs(study: Study) -> dict[str, Any]:
    return {"columns": dict(study.data.columns), "classes": dict(study.data.classes)}


def _tables(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _entry(name: str, recipe: Recipe) -> dict[str, Any]:
    settings = {key: _bare(value) for key, value in recipe.settings().items()}
    return {"name": name, "kind": kind_of(recipe), **settings}


def kind_of(recipe: Recipe) -> str:
    """Return the name by which a study file refers to a recipe's kind."""
    known = {**GENERATORS, **CLASSIFIERS}.values()
    return recipe.kind if type(recipe) in known else f"{type(recipe).__module__}:{type(recipe).__qualname__}"


def _bare(value: Any) -> Any:
    if isinstance(value, Generator):  # a generator within a generator can be of any kind: it says which
        return {"kind": value.kind, **{name: _bare(each) for name, each in value.settings().items()}}
    return value.settings() if isinstance(value, Recipe) else value


def _arm_entry(arm: Arm) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": arm.name}
    if arm.generator is not None:
        entry["generator"] = arm.generator
        entry["amounts"] = [_amount(lists(policy)) for policy in arm.amounts]
        entry |= _curation_entry(arm)
    if arm.classifier:
        entry["classifier"] = {name: _bare(value) for name, value in arm.classifier}
    changed = {name: getattr(arm, name) for name in ("recalibrate", "longer")}
    entry |= {name: value for name, value in changed.items() if value != Arm.model_fields[name].default}
    return entry


def _curation_entry(arm: Arm) -> dict[str, Any]:
    if not arm.filters and arm.select is None:
        return {}
    entry: dict[str, Any] = {"filters": [{"kind": rule.kind, **rule.settings()} for rule in arm.filters]}
    if arm.select is not None:
        entry["select"] = {"kind": arm.select.kind, **arm.select.settings()}
    return {**entry, "factor": arm.factor}


def _amount(table: dict[str, Any]) -> Any:
    overrides = dict(map(tuple, table.pop("per_class")))
    if overrides:
        return {**table, "per_class": overrides}
    return " ".join(str(value) for value in table.values())
