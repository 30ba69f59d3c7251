"""Commands about images and models: look, fit, sample, list."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from augury.cli.shell import (
    AsJson,
    Classes,
    Columns,
    Data,
    Fit,
    Force,
    Grey,
    Group,
    Levels,
    On,
    Seed,
    Size,
    Skip,
    app,
    how_to_read,
    say,
    stderr,
    stdout,
    tell,
)
from augury.errors import SettingsError


@app.command()
def look(
    data: Data,
    size: Size = "auto",
    fit: Fit = "stretch",
    grey: Grey = False,
    levels: Levels = "auto",
    group: Group = "",
    columns: Columns = "",
    classes: Classes = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet by class: .png or .html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Look at labelled images before a study: what is there, what is wrong, what a study would do about it."""
    from augury.look import as_json as values
    from augury.look import as_text, write_sheet
    from augury.look import look as look_at
    from augury.progress import Bar
    from augury.readers import ReadSettings

    settings = ReadSettings(**how_to_read(size, levels, group, columns, classes, True, grey), fit=fit)
    with Bar(stderr) as bar:
        seen = look_at(data, settings, bar.on_image)
    if sheet is not None:
        write_sheet(seen, sheet)
    if as_json:
        print(json.dumps(values(seen), indent=1))
        return
    for line in as_text(seen):
        say(line)
    if sheet is not None:
        say(f"contact sheet: {sheet}")


@app.command()
def fit(
    data: Data,
    generator: Annotated[str, typer.Option(help="Kind of generator; see augury list.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the model.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="name=value, as often as needed.")] = None,
    size: Size = "auto",
    shape: Annotated[
        Literal["stretch", "crop", "pad"], typer.Option("--fit", help="How other shapes are fitted.")
    ] = "stretch",
    grey: Grey = False,
    levels: Levels = "auto",
    columns: Columns = "",
    classes: Classes = None,
    skip_unreadable: Skip = False,
    part: Annotated[Literal["all", "train"], typer.Option(help="All images, or the given train part only.")] = "all",
    seed: Seed = 0,
    device: On = "auto",
    force: Force = False,
) -> None:
    """Fit a generator on labelled images and keep it."""
    from augury.generators import generator_from
    from augury.models import fit_model
    from augury.progress import Bar
    from augury.readers import ReadSettings

    how = ReadSettings(**how_to_read(size, levels, "", columns, classes, skip_unreadable, grey), fit=shape)
    batch = getattr(generator_from(generator, settings or []), "batch", 0)
    with Bar(stderr) as bar:
        card = fit_model(
            data,
            generator,
            settings or [],
            out,
            how=how,
            part=part,
            seed=seed,
            device=device,
            force=force,
            on_step=partial(bar.on_step, batch=batch),
        )
    say(f"{card.kind} fitted on {sum(card.counts)} images: {out}")
    if card.contains_training_images:
        tell("this model contains training images: treat it as you treat them")


@app.command()
def sample(
    model: Annotated[Path, typer.Argument(help="A model made by augury fit.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for images and manifest.csv.")],
    per_class: Annotated[int | None, typer.Option(min=1, help="Images of every class.")] = None,
    count: Annotated[list[str] | None, typer.Option(help="CLASS=N, as often as needed.")] = None,
    traverse: Annotated[
        bool, typer.Option("--traverse", help="Pictures of what each code does instead; for infogan.")
    ] = False,
    seed: Seed = 0,
    device: On = "auto",
) -> None:
    """Draw labelled images from a fitted generator: PNGs and manifest.csv."""
    from augury.models import sample_model, traverse_model

    if traverse:
        if per_class is not None or count:
            raise SettingsError("--traverse draws every class and every code: leave out --per-class and --count.")
        say(f"{traverse_model(model, out, seed=seed, device=device)} pictures: {out}")
        return
    drawn = sample_model(model, out, per_class=per_class, counts=count or [], seed=seed, device=device)
    say(f"{drawn} images: {out}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List generators, classifiers, policies, filters and readers with their settings and defaults."""
    from augury.catalogue import catalogue

    entries = catalogue()
    if as_json:
        print(json.dumps(entries, indent=1))
        return
    for family, rows in entries.items():
        stdout.print(f"[bold]{family}[/]")
        wide = max(len(row["kind"]) for row in rows)
        for row in rows:
            stdout.print(f"  [bold]{escape(row['kind']):<{wide}}[/] {escape(row['summary'])}")
            settings = "  ".join(f"{item['name']}={item['default']}" for item in row["settings"])
            if settings:
                stdout.print(f"  {'':<{wide}} [dim]{escape(settings)}[/]")
