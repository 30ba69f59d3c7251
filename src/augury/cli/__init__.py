"""The command line: commands parse, call one function and print."""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

import augury
from augury.cli import augment, check, curve, images, pick, studies
from augury.cli.shell import BAD_REQUEST, SOME_FAILED, Version, app, say, stderr
from augury.errors import AuguryError, StepDiedError
from augury.files import printable

__all__ = ["app", "augment", "check", "curve", "images", "main", "pick", "studies"]


def main() -> None:
    """Run the command line: a sentence for every mistake, exit 2 for a bad request."""
    try:
        app(standalone_mode=True)
    except AuguryError as error:
        stderr.print(f"[bold red]augury:[/] {escape(printable(str(error)))}")
        sys.exit(SOME_FAILED if isinstance(error, StepDiedError) else BAD_REQUEST)


@app.callback(invoke_without_command=True)
def _root(
    version: Version = False,
) -> None:
    """Will synthetic images help my classifier, which generator, and how many?"""
    if version:
        say(f"augury {augury.__version__}")
        raise typer.Exit
