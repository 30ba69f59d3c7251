"""Which images belong together: by what the source says, by folder, by a pattern in the name, or by a column."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence

from augury.errors import DataError, SettingsError
from augury.settings import nearest

FOLDER, NONE = "folder", "none"
_MARK = "(?P<group>"


def check_rule(rule: str) -> None:
    """Refuse a rule that cannot be meant, before anything is read.

    Raises:
        SettingsError: If it is a broken regular expression.
    """
    if _MARK in rule:
        try:
            _compiled(rule)
        except (re.error, RecursionError, OverflowError) as error:
            raise SettingsError(f"group is not a regular expression: {error}. Got {rule!r}.") from None


def _compiled(rule: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of patterns that later versions may read in another way
        return re.compile(rule)


def grouped(
    rule: str,
    names: Sequence[str],
    given: Sequence[str | None],
    columns: Mapping[str, Sequence[str]],
    class_names: Sequence[str],
) -> list[str] | None:
    r"""Return the group of each image, or None when nothing is known.

    Args:
        rule: "" (what the source says), "none", a column, "folder" (the folder that the image lies in), or a regular
            expression with `(?P<group>...)`. A pattern without a slash is looked for in the file name, one with a slash
            in the whole name.
        names: N names.
        given: N groups that the source itself gives, or None.
        columns: Further columns of N values.
        class_names: N class names: a class folder alone makes no group.

    Raises:
        DataError: If an image has no group by this rule.
        SettingsError: If the rule is none of these.

    Example:
        >>> grouped(r"(?P<group>.*)_\d+\.png", ["a/p1_1.png", "b/p1_2.png"], [None, None], {}, ["a", "b"])
        ['p1', 'p1']
    """
    if rule == NONE:
        return None
    if rule in columns:
        return _from_column(rule, names, columns[rule])
    if rule == "":
        # an image of which nothing is said stands for itself
        return [group or f"#{name}" for group, name in zip(given, names, strict=True)] if any(given) else None
    if _MARK in rule:
        return _by_pattern(rule, names)
    if rule == FOLDER:
        return _by_folder(names, class_names)
    if rule == "group" and any(given):
        return grouped("", names, given, columns, class_names)
    known = [*columns, FOLDER, NONE]
    close = nearest(rule, known)
    raise SettingsError(
        f"group must be a column, 'folder', 'none' or a regular expression with (?P<group>...). Got {rule!r}{close}"
    )


def _from_column(rule: str, names: Sequence[str], values: Sequence[str]) -> list[str]:
    empty = next((name for name, value in zip(names, values, strict=True) if not value.strip()), None)
    if empty is not None:
        raise DataError(f"the column {rule!r} is empty for {empty}. Fill it, or group by another column.")
    return list(values)


def _by_pattern(rule: str, names: Sequence[str]) -> list[str]:
    pattern, whole = _compiled(rule), "/" in rule
    groups = []
    for name in names:
        found = pattern.search(name if whole else name.rpartition("/")[2])
        if found is None or not found["group"]:
            where = "its path" if whole else "its file name"
            raise DataError(
                f"the pattern {rule!r} finds no group in {name}: {where} does not match. Change the pattern."
            )
        groups.append(found["group"])
    return groups


def _by_folder(names: Sequence[str], class_names: Sequence[str]) -> list[str]:
    folders = [name.rpartition("/")[0] for name in names]
    if all(folder.rpartition("/")[2] in ("", own) for folder, own in zip(folders, class_names, strict=True)):
        raise DataError(
            f"grouping by folder needs a folder for each group, such as class/patient/image.png. Got {names[0]}: "
            "the images lie directly in their class folders, or in none. Group by a pattern or a column."
        )
    return [folder or f"#{name}" for folder, name in zip(folders, names, strict=True)]
