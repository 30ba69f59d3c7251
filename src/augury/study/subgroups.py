"""The primary metric in subgroups: values of the further columns of a table, such as sex, site or age."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from augury.errors import DataError
from augury.metrics.arrays import Array
from augury.metrics.classification import METRICS
from augury.study.block import Block
from augury.study.clinic_outcome import Subgroup, Subgroups
from augury.study.study import REAL
from augury.study.table import ScoredCell

MOST_VALUES = 12  # of a column whose values are names
FEWEST_IMAGES = 10  # in a subgroup that gets a score
NOT_GIVEN = "not given"

Kind = tuple[int, float, str]  # what subgroups are sorted by: given or not, number, name
Pass = tuple[Array, Array]  # positions and probabilities of the test images of one pass


def subgroups(block: Block, arms: Sequence[str]) -> tuple[Subgroups, ...]:
    """Score some arms, real images only among them, in the subgroups that further columns make.

    The score is the mean over repeats of the metric on all test predictions of a repeat.
    """
    pooled = {arm: [_pooled(items) for items in block.passes(arm)] for arm in arms}
    scored = np.unique(np.concatenate([positions for positions, _ in pooled[REAL]]))
    labels, groups = block.images.labels.numpy(), np.asarray(block.images.group_names)
    tables = []
    for column, values in block.images.columns.items():
        found = divided([_text(values[i]) for i in scored], labels[scored], groups[scored])
        rows = []
        for value, members in found.items():
            own = scored[members]
            scores = tuple(_score(block.metric, labels, pooled[arm], own) for arm in arms)
            rows.append(Subgroup(value, len(own), len(set(groups[own].tolist())), scores))
        if rows:
            tables.append(Subgroups(column, tuple(arms), tuple(rows)))
    return tuple(tables)


def divided(values: Sequence[str], labels: Array, groups: Array) -> dict[str, Array]:
    """Divide N images by the values of a column: subgroup -> rows, in order; empty where it makes no subgroups.

    Numbers of more than 12 kinds are cut into thirds. Columns that are constant, different for every image, of too
    many kinds, or the labels or the groups under another name make none.

    >>> labels, groups = np.array([0, 1] * 3), np.arange(6)
    >>> {name: rows.tolist() for name, rows in divided(["m", "f", "f", "", "m", "f"], labels, groups).items()}
    {'f': [1, 2, 5], 'm': [0, 4], 'not given': [3]}
    """
    number = len(set(values))
    if number in (1, len(values)) or _renames(values, groups):
        return {}
    numbers = [_number(value) for value in values if value]
    numeric = not any(math.isnan(each) for each in numbers)
    if number > MOST_VALUES and not numeric:
        return {}
    edges = np.quantile(numbers, [1 / 3, 2 / 3], method="inverted_cdf") if number > MOST_VALUES else None
    kinds = [_kind(value, numeric, edges) for value in values]
    members = {kind: np.array([i for i, each in enumerate(kinds) if each == kind]) for kind in sorted(set(kinds))}
    if len(members) < 2 or all(len(np.unique(labels[rows])) == 1 for rows in members.values()):
        return {}
    return {_name(kind, values, rows, edges is not None): rows for kind, rows in members.items()}


def _text(value: object) -> str:
    text = "" if value is None else str(value).strip()
    return "" if text == NOT_GIVEN else text


def _renames(values: Sequence[str], groups: Array) -> bool:
    """Tell whether each value stands for one group and each group for one value."""
    pairs = set(zip(values, groups.tolist(), strict=True))
    return len(pairs) == len(set(values)) == len(set(groups.tolist()))


def _number(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def _kind(value: str, numeric: bool, edges: Array | None) -> Kind:
    if not value:
        return 1, 0.0, NOT_GIVEN
    if edges is None:
        return 0, _number(value) if numeric else 0.0, value
    return 0, float(np.searchsorted(edges, _number(value))), ""  # an edge belongs to the third below it


def _name(kind: Kind, values: Sequence[str], rows: Array, ranges: bool) -> str:
    if kind[0] or not ranges:
        return kind[2]
    numbers = [_number(values[i]) for i in rows]
    low, high = f"{min(numbers):.10g}", f"{max(numbers):.10g}"
    return low if low == high else f"{low} to {high}"


def _pooled(items: Sequence[ScoredCell]) -> Pass:
    positions = np.concatenate([item.cell.split.test for item in items])
    return positions, np.concatenate([item.probabilities["test"] for item in items])


def _score(metric: str, labels: Array, passes: Sequence[Pass], own: Array) -> float | None:
    """Return the mean over passes of the metric on some images; None where it is undefined or the images are few."""
    if len(own) < FEWEST_IMAGES or len(np.unique(labels[own])) < 2:
        return None
    scores = []
    for positions, probabilities in passes:
        rows = np.isin(positions, own)
        try:
            scores.append(METRICS[metric].function(labels[positions[rows]], probabilities[rows]))
        except DataError:
            return None
    return float(np.mean(scores))
