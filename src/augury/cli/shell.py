"""What all commands share: the application, its options, and the two places that they speak to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from augury.files import printable

Device = Literal["auto", "cpu", "cuda"]
Preset = Literal["quick", "standard", "thorough"]
Plan = Literal["folds", "given"]
SOME_FAILED, BAD_REQUEST, INTERRUPTED = 1, 2, 130


ORDER = ("demo", "look", "try", "run", "curve", "status", "report", "clean", "fit", "sample", "augment", "pick", "list")


class Commands(TyperGroup):
    """The commands in the order of use, with a sentence for Ctrl-C: Typer itself would end without one."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, as the help lists them."""
        return list(ORDER)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            stderr.print("stopped. What is finished is kept: the same command goes on from here.")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Will synthetic images help my classifier, which generator, and how many?",
)
stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for report, tables and store.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; default: as many as there are cores.")]
On = Annotated[Device, typer.Option(help="Where to train.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]
Data = Annotated[
    str,
    typer.Argument(help="Folder or .zip with one folder per class, .csv or .tsv table, .npz, medmnist:NAME or digits."),
]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")]
Size = Annotated[
    str,
    typer.Option(help="Side in pixels, HEIGHTxWIDTH, native, or auto: as they are, at most 64.", show_default=False),
]
Fit = Annotated[Literal["stretch", "crop", "pad"], typer.Option(help="How other shapes are fitted.")]
Levels = Annotated[
    str, typer.Option(help="More than 8 bits to 8: 'percentiles LOW HIGH', 'window CENTRE WIDTH' or auto.")
]
Grey = Annotated[bool, typer.Option("--grey", help="Leave colours out.")]
Group = Annotated[
    str,
    typer.Option(help="What belongs together: a column, folder, none, or a regular expression with (?P<group>...)."),
]
Columns = Annotated[str, typer.Option(help="A table's columns by another name: path=NAME,label=NAME,split=NAME.")]
Classes = Annotated[
    list[str] | None,
    typer.Option(help="NAME=NEW: what to call a class, as often as needed; classes of one NEW are joined, NAME= goes."),
]
Skip = Annotated[bool, typer.Option("--skip-unreadable", help="Go on without files that cannot be read; list them.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything.")]
Plugins = Annotated[bool, typer.Option("--allow-plugins", help="Let the file name code from outside.")]
Version = Annotated[bool, typer.Option("--version", is_eager=True, help="Show the version.")]
Force = Annotated[bool, typer.Option("--force", help="Go on where a class is too small for a generator.")]
NoReal = Annotated[bool, typer.Option("--no-real-images", help="Leave real images out of the report.")]


def say(line: str) -> None:
    """Print a line of the result; no character of it, from whatever file it came, means anything to the terminal."""
    stdout.print(escape(printable(line)))


def tell(line: str) -> None:
    """Print a line beside the result; see `say`."""
    stderr.print(escape(printable(line)))


def how_to_read(
    size: str, levels: str, group: str, columns: str, classes: list[str] | None, skip_unreadable: bool, grey: bool
) -> dict[str, Any]:
    """Return the reading options as settings."""
    from augury.readers import parse_classes, parse_columns, parse_size, sized

    wanted = {"size": sized(parse_size(size)), "levels": levels, "group": group, "columns": parse_columns(columns)}
    wanted["classes"] = parse_classes(classes or [])
    return {**wanted, "skip_unreadable": skip_unreadable, "channels": "grey" if grey else "auto"}
