"""The command about tables that others printed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augury.cli.shell import SOME_FAILED, app, say

if TYPE_CHECKING:
    from augury.printed import Implied


@app.command()
def check(
    table: Annotated[Path, typer.Argument(help="A .csv with the columns class, support, precision, recall, (f1).")],
    accuracy: Annotated[float | None, typer.Option(min=0, max=1, help="Printed beside it, as a share: 0.39.")] = None,
    digits: Annotated[
        int | None, typer.Option(min=1, max=6, help="Digits after the point; default: the most in the table.")
    ] = None,
) -> None:
    """Check whether a printed table can be true: whether there are counts behind it, and whether they add up."""
    from augury.printed import implied, read_printed

    rows, printed = read_printed(table)
    found = implied(rows, digits=digits or max(1, printed), accuracy=accuracy)
    for line in _lines(found):
        say(line)
    if found.contradictions:
        raise typer.Exit(SOME_FAILED)


def _lines(found: Implied) -> list[str]:
    low, high = found.accuracy
    lines = [f"{found.images:,} images; the recalls imply an accuracy of {low:.3f} to {high:.3f}"]
    for name, (least, most) in found.called.items():
        upper = f"{math.floor(most):,}" if math.isfinite(most) else "any number"
        lines.append(f"  called {name}: {math.ceil(least):,} to {upper}")
    if not found.contradictions:
        return [*lines, "nothing contradicts itself: the table can be true"]
    return [*lines, "it cannot be true as printed:", *(f"  {sentence}" for sentence in found.contradictions)]
