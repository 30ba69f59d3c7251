"""The command `curve`: what the synthetic images of a study are worth in real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augury.cli.shell import SOME_FAILED, AsJson, Force, Jobs, On, Plugins, StudyFile, app, say, stderr, tell
from augury.errors import SettingsError
from augury.processes import jobs_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from augury.study.layout import Laid
    from augury.study.learning_curve import LearningCurve
    from augury.study.study import Study


@app.command()
def curve(
    study_file: StudyFile,
    kept: Annotated[str, typer.Option(help="Levels: real images kept of each class.")] = "10,25,50,100",
    store: Annotated[Path | None, typer.Option(help="Folder that keeps every step; default: as `run` has it.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Default: `curve` in the study's folder.")] = None,
    jobs: Jobs = None,
    device: On = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List levels, steps and time; train nothing.")] = False,
    allow_plugins: Plugins = False,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Run a study with fewer and more real images: how many of them are the synthetic ones worth?"""
    from augury.progress import Bar
    from augury.report.curve_page import write_curves
    from augury.study import load_study
    from augury.study.curve import lay_levels, make_curves
    from augury.study.store import open_store
    from augury.training import choose_device

    levels, where = _levels(kept), choose_device(device)
    study = load_study(study_file, allow_plugins=allow_plugins)
    folder = out or study_file.with_suffix("") / "curve"
    steps_in = store or study_file.with_suffix("") / "store"
    if dry_run:
        _dry_run(study, levels, steps_in, jobs_for(jobs, study.threads, where), where)
        return
    with open_store(steps_in, where) as opened:
        with Bar(stderr) as bar:
            laid = lay_levels(study, levels, opened, bar.on_image, force=force)
        _keep(laid, folder)
        with Bar(stderr) as bar:
            curves = make_curves(laid, jobs=jobs_for(jobs, study.threads, where), device=where, progress=bar)
    write_curves(curves, folder)
    _conclude(curves, folder, as_json)


def _levels(kept: str) -> tuple[int, ...]:
    words = [word.strip() for word in kept.split(",") if word.strip()]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise SettingsError(f"--kept lists numbers of images, such as 10,25,50,100. Got {kept!r}.")
    return tuple(map(int, words))


def _dry_run(study: Study, levels: Sequence[int], store: Path, jobs: int, device: str) -> None:
    from augury.study.curve import lay_levels
    from augury.study.estimate import estimate_levels, in_words
    from augury.study.store import existing_store

    laid = lay_levels(study, levels, existing_store(store, device), force=True)
    for line in laid[-1].describe():
        tell(line)
    for each in laid:
        tell(f"{each.study.split.per_class} kept per class: {len(each.cells)} cells")
    for sentence in dict.fromkeys(sentence for each in laid for sentence in each.too_small()):
        tell(sentence)
    need, cells = estimate_levels(laid, jobs=jobs, device=device), sum(len(each.cells) for each in laid)
    say(f"{len(laid)} levels, {cells} cells, {need.steps} steps to do, about {in_words(need.seconds)}")


def _keep(laid: Sequence[Laid], folder: Path) -> None:
    """Write each level's study, with which it can be looked at by itself, and for which `clean` spares its steps."""
    from augury.study.run import keep_study

    for line in laid[0].describe()[:1]:
        tell(line)
    for each in laid:
        keep_study(each.study, folder / f"kept-{each.study.split.per_class}")
    tell(f"kept per class: {', '.join(str(each.study.split.per_class) for each in laid)}")


def _conclude(curves: Sequence[LearningCurve], folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"curves": [each.record() for each in curves]}, indent=1))
    for each in curves if not as_json else ():
        if len(curves) > 1:
            say(f"{each.classifier}:")
        for sentence in each.sentences:
            say(sentence)
    if not as_json:
        say(f"curve: {folder / 'curve.html'}")
    for note in dict.fromkeys(note for each in curves for note in each.notes):
        tell(note)
    if any(each.cells_failed for each in curves):
        raise typer.Exit(SOME_FAILED)
