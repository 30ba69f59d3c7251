"""Study files that say only what differs from another one: a quick variant, the protocol as it was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augury.errors import SettingsError
from augury.generators.denoiser import NO_MODEL
from augury.readers import is_place
from augury.settings import only_known, read_toml

EXTENDS, LEAVE_OUT = "extends", "leave_out"
LISTS = ("generators", "classifiers", "arms")


def read_study(path: Path, behind: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a study file, and the one that it extends; paths in each are meant from its own folder.

    Args:
        path: The file.
        behind: The files that led here.

    Raises:
        SettingsError: If a file is missing or no TOML, files extend each other, or a change names what is not there.
    """
    table = read_toml(path)
    _paths_from(table, path.parent)
    changes = {name: table.pop(name, None) for name in (EXTENDS, LEAVE_OUT)}
    base = changes[EXTENDS]
    if base is None:
        if changes[LEAVE_OUT] is not None:
            raise SettingsError(f"{path.name}: {LEAVE_OUT} says what is not taken from another file: add {EXTENDS}.")
        return table
    if not isinstance(base, str):
        raise SettingsError(f"{path.name}: {EXTENDS} is the name of a study file. Got {base!r}.")
    files = (*behind, path.resolve())
    if (path.parent / base).resolve() in files:
        raise SettingsError(f"{path.name} extends {base}, which leads back to it. One of them must stand by itself.")
    return changed(read_study(path.parent / base, files), table, changes[LEAVE_OUT] or {})


def changed(base: Mapping[str, Any], changes: Mapping[str, Any], left_out: Any) -> dict[str, Any]:
    """Return a study's table with another one's changes.

    Settings and tables' settings take the place of those of the same name. Rows of a list are changed by name
    (`[arms.real]`), or added (`[[arms]]`), or left out.

    Example:
        >>> base = {"title": "Long", "generators": [{"kind": "cvae", "steps": 3000}, {"kind": "cgan"}]}
        >>> changed(base, {"title": "Short", "generators": {"cvae": {"steps": 30}}}, {"generators": ["cgan"]})
        {'title': 'Short', 'generators': [{'kind': 'cvae', 'steps': 30}]}
    """
    result = _without(base, left_out)
    for name, value in changes.items():
        before = result.get(name)
        if name in LISTS:
            result[name] = _rows(name, before if isinstance(before, list) else [], value)
        else:
            both = isinstance(value, dict) and isinstance(before, dict)
            result[name] = {**before, **value} if both else value  # type: ignore[dict-item]
    return result


def _without(base: Mapping[str, Any], left_out: Any) -> dict[str, Any]:
    """Return a study's table less some rows; rows of their names may then be added."""
    if not isinstance(left_out, dict) or not all(isinstance(names, list) for names in left_out.values()):
        raise SettingsError(f"{LEAVE_OUT} is a table of lists, such as {{ arms = ['blend'] }}. Got {left_out!r}.")
    only_known(list(left_out), LISTS, LEAVE_OUT)
    result = dict(base)
    for name, names in left_out.items():
        rows = base.get(name, [])
        _known(name, names, rows)
        result[name] = [row for row in rows if name_of(row) not in names]
    return result


def _rows(name: str, before: Sequence[Any], value: Any) -> Any:
    if isinstance(value, list):
        return [*before, *value]
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise SettingsError(f"[[{name}]] is a list of tables, and [{name}.NAME] changes one. Got {value!r}.")
    _known(name, list(value), before)
    return [{**row, **value.get(name_of(row), {})} for row in before]


def _known(name: str, names: Sequence[str], rows: Sequence[Any]) -> None:
    only_known(names, [name_of(row) for row in rows], f"[[{name}]] of the file it extends")


def name_of(row: Any) -> str:
    """Return the name of a row: of a generator or classifier without one, its kind."""
    return str(row.get("name", row.get("kind"))) if isinstance(row, dict) else ""


def _paths_from(table: dict[str, Any], folder: Path) -> None:
    """Make paths of images, weights, models and lists absolute: they are meant from the study file's folder."""
    for row in [*_listed(table.get("generators")), table.get("data")]:
        source = row.get("source") if isinstance(row, dict) else None
        if isinstance(source, str) and is_place(source) and not Path(source).is_absolute():
            row["source"] = str((folder / source).resolve())  # type: ignore[index]
    for row in _listed(table.get("generators")):
        if isinstance(row.get("init"), str) and row["init"] != NO_MODEL:
            row["init"] = str((folder / row["init"]).absolute())
    for row in _listed(table.get("arms")):
        select = row.get("select")
        if isinstance(select, dict) and isinstance(select.get("picks"), str):
            select["picks"] = str((folder / select["picks"]).absolute())
    rows = [row for name in LISTS for row in _listed(table.get(name))]
    rows += [row["classifier"] for row in rows if isinstance(row.get("classifier"), dict)]
    rows += [row for row in [table.get("audit")] if isinstance(row, dict)]
    for row in rows:
        weights = row.get("weights")
        if isinstance(weights, str) and weights.startswith("file:"):
            row["weights"] = f"file:{(folder / weights.removeprefix('file:')).absolute()}"


def _listed(value: Any) -> list[dict[str, Any]]:
    rows = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, dict)]
