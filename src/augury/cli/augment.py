"""The command that hands a set over: augment."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from augury.cli.shell import (
    Classes,
    Columns,
    Grey,
    Group,
    Levels,
    On,
    Plugins,
    Seed,
    Size,
    Skip,
    app,
    how_to_read,
    say,
    stderr,
    tell,
)


@app.command()
def augment(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the set.")],
    data: Annotated[
        str | None, typer.Argument(help="As for the other commands; a study knows its own.", show_default=False)
    ] = None,
    generator: Annotated[str | None, typer.Option(help="Kind of generator, fitted on these images.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="name=value, as often as needed.")] = None,
    model: Annotated[Path | None, typer.Option(help="Instead: a model made by augury fit.")] = None,
    study: Annotated[Path | None, typer.Option(help="Instead: the folder of a run that ended in HELPS.")] = None,
    store: Annotated[Path | None, typer.Option(help="Where the study kept its steps; default: in its folder.")] = None,
    to: Annotated[str | None, typer.Option(help="balance, N (of each class) or ratio:R.")] = None,
    filter_: Annotated[
        list[str] | None, typer.Option("--filter", help="agreement, typicality, near_copy, ...; as often as needed.")
    ] = None,
    factor: Annotated[float, typer.Option(min=1, max=100, help="Images drawn per image wanted, at most.")] = 2.0,
    form: Annotated[Literal["folders", "npz"], typer.Option(help="Images in class folders, or one file.")] = "folders",
    real: Annotated[
        Literal["copy", "link", "none"],
        typer.Option(help="Real images: PNGs at the synthetic ones' size, the files themselves, or left out."),
    ] = "copy",
    size: Size = "auto",
    shape: Annotated[
        Literal["stretch", "crop", "pad"], typer.Option("--fit", help="How other shapes are fitted.")
    ] = "stretch",
    grey: Grey = False,
    levels: Levels = "auto",
    group: Group = "",
    columns: Columns = "",
    classes: Classes = None,
    skip_unreadable: Skip = False,
    part: Annotated[Literal["all", "train"], typer.Option(help="All images, or the given train part only.")] = "all",
    seed: Seed = 0,
    device: On = "auto",
    allow_plugins: Plugins = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on where a class is too small, or the study does not end in HELPS.")
    ] = False,
) -> None:
    """Write real and synthetic images as one set to train on, with manifest, card and checksums."""
    from augury.generators import generator_from
    from augury.handover import augment as hand_over
    from augury.progress import Bar
    from augury.readers import ReadSettings

    how = ReadSettings(**how_to_read(size, levels, group, columns, classes, skip_unreadable, grey), fit=shape)
    batch = getattr(generator_from(generator, settings or ()), "batch", 0) if generator else 0
    with Bar(stderr) as bar:
        handed = hand_over(
            data,
            out,
            generator=generator,
            settings=settings or (),
            model=model,
            study=study,
            store=store,
            to=to,
            filters=filter_ or (),
            factor=factor,
            how=how,
            part=part,
            form=form,
            real=real,
            seed=seed,
            device=device,
            force=force,
            plugins=allow_plugins,
            on_step=partial(bar.on_step, batch=batch),
        )
    there = len(handed.plan.images) if handed.real != "none" else 0
    say(f"{there} real and {sum(handed.added)} synthetic images: {out}")
    for sentence in (*handed.chosen.shortfall(), *handed.notes):
        tell(sentence)
    if handed.maker.contains_training_images:
        tell("the synthetic images are made of training images: treat them as you treat those")
