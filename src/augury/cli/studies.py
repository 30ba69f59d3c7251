"""Commands about studies: demo, try, run, report, status, clean."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augury.cli.shell import (
    SOME_FAILED,
    AsJson,
    Classes,
    Columns,
    Data,
    Fit,
    Force,
    Grey,
    Group,
    Jobs,
    Levels,
    NoReal,
    On,
    Out,
    Plan,
    Plugins,
    Preset,
    Seed,
    Size,
    Skip,
    StudyFile,
    app,
    how_to_read,
    say,
    stderr,
    tell,
)
from augury.errors import SettingsError
from augury.processes import jobs_for

if TYPE_CHECKING:
    from augury.study import Study
    from augury.study.cleaning import Leftover
    from augury.study.layout import Laid
    from augury.study.outcome import Outcome
    from augury.study.run import Finished


@app.command()
def demo(out: Out = Path("augury-demo"), jobs: Jobs = None, device: On = "auto", as_json: AsJson = False) -> None:
    """Run the built-in study on scikit-learn's digits, made scarce and imbalanced: about two minutes."""
    from augury.study import demo as built_in

    _run_into(built_in(), out, out / "store", jobs, device, as_json)


@app.command("try")
def try_(
    data: Data,
    preset: Annotated[Preset, typer.Option(help="How long and how sure.")] = "standard",
    size: Size = "auto",
    fit: Fit = "stretch",
    grey: Grey = False,
    levels: Levels = "auto",
    group: Group = "",
    columns: Columns = "",
    classes: Classes = None,
    skip_unreadable: Skip = False,
    budget: Annotated[str, typer.Option(help="Time to plan for, such as 30m or 2h; the rest is left out.")] = "",
    split: Annotated[Plan, typer.Option(help="Folds over all images, or the given parts.")] = "folds",
    safe: Annotated[
        str, typer.Option(help="Harmless augmentations: shift, flip, ..., or a modality: chest, dermoscopy, ...")
    ] = "shift,rotate,crop",
    positive: Annotated[str, typer.Option(help="Class whose sensitivity is reported.")] = "",
    classifier: Annotated[
        str, typer.Option(help="A kind of `augury list`, or a published network: efficientnet_lite0, resnet50, ...")
    ] = "small_cnn",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the classifier; default: its own, for quick half.")
    ] = None,
    generator: Annotated[
        list[str] | None, typer.Option(help="A kind of `augury list`, as often as needed; default: cvae.")
    ] = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option("--filter", help="Arms through a filter: agreement, typicality, near_copy, difficulty."),
    ] = None,
    tune: Annotated[int, typer.Option(min=0, help="Trials per split that tune rate and weight decay.")] = 0,
    seed: Seed = 0,
    out: Out = Path("augury-try"),
    jobs: Jobs = None,
    device: On = "auto",
    as_json: AsJson = False,
    no_real_images: NoReal = False,
    force: Force = False,
) -> None:
    """Run a study on your own images, without writing a file."""
    from augury.filters import filter_from
    from augury.generators.base import refuse_small
    from augury.progress import Bar
    from augury.readers import is_place, reader_for
    from augury.study import DataSettings, for_images
    from augury.study.estimate import parse_seconds
    from augury.study.layout import lay, read_images
    from augury.study.presets import named_classifier, named_generator
    from augury.study.store import open_store
    from augury.training import choose_device

    reader_for(data)  # what is not there is named as it was written
    recipe = named_classifier(classifier, steps, halved=preset == "quick")
    makers = tuple(named_generator(name) for name in generator or ["cvae"])
    rules = [filter_from(name) for name in filter_ or []]
    seconds = parse_seconds(budget) if budget else math.inf
    source = str(Path(data).absolute()) if is_place(data) else data
    families = tuple(name.strip() for name in safe.split(",") if name.strip())
    how = how_to_read(size, levels, group, columns, classes, skip_unreadable, grey)
    settings = DataSettings(source=source, **how, fit=fit, safe=families, positive=positive)
    with open_store(out / "store", choose_device(device)) as store:
        with Bar(stderr) as bar:
            read, prepared = read_images(settings, store, given_split=split == "given", told=bar.on_image)
        images = prepared.cleaned.images
        plan: dict[str, Any] = {"preset": preset, "split": split, "trials": tune, "filters": rules, "seed": seed}
        study = for_images(settings, images, recipe, makers, **plan)
        laid = lay(study, read, prepared, store)
        refuse_small(laid.too_small(), force=force)
        _finish(_fitted(laid, seconds, jobs, device), out, jobs, device, as_json, real_images=not no_real_images)


def _fitted(laid: Laid, seconds: float, jobs: int | None, device: str) -> Laid:
    """Say what will run and how long it will take; leave out what the budget does not hold."""
    from augury.study.estimate import fit_into, in_words
    from augury.training import choose_device

    where = choose_device(device)
    laid, need, left_out = fit_into(laid, seconds, jobs=jobs_for(jobs, laid.study.threads, where), device=where)
    _describe(laid)
    if left_out:
        tell(f"left out to stay within {in_words(seconds)}: {', '.join(left_out)}")
    tell(f"about {in_words(need.seconds)} for {need.steps} steps")
    return laid


def _describe(laid: Laid) -> None:
    for line in laid.describe():
        tell(line)


@app.command()
def run(
    study_file: StudyFile,
    store: Annotated[Path | None, typer.Option(help="Folder that keeps every step; default: OUT/store.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Default: a folder beside the file.")] = None,
    jobs: Jobs = None,
    device: On = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List arms, steps and time; train nothing.")] = False,
    allow_plugins: Plugins = False,
    as_json: AsJson = False,
    no_real_images: NoReal = False,
    force: Force = False,
) -> None:
    """Run a study file, or finish one: what is done is not done again."""
    from augury.study import load_study

    study = load_study(study_file, allow_plugins=allow_plugins)
    folder = out or study_file.with_suffix("")
    kept = store or folder / "store"
    if dry_run:
        _dry_run(study, kept, jobs, device)
    else:
        _run_into(study, folder, kept, jobs, device, as_json, real_images=not no_real_images, force=force)


def _dry_run(study: Study, kept: Path, jobs: int | None, device: str) -> None:
    from augury.study.estimate import estimate, in_words
    from augury.study.layout import lay_out
    from augury.study.store import existing_store
    from augury.training import choose_device

    where = choose_device(device)
    laid = lay_out(study, existing_store(kept, where))
    _describe(laid)
    need = estimate(laid, jobs=jobs_for(jobs, study.threads, where), device=where)
    say(f"{len(laid.cells)} cells, {need.steps} steps to do, about {in_words(need.seconds)}")


@app.command()
def report(
    study_file: StudyFile,
    out: Annotated[Path, typer.Option("-o", "--out", help="The report.")] = Path("report.html"),
    store: Annotated[Path | None, typer.Option(help="Where the study kept its steps.")] = None,
    no_real_images: NoReal = False,
    allow_plugins: Plugins = False,
) -> None:
    """Write the report of a study that has run; nothing is trained."""
    from augury.report import write_report
    from augury.study import collect, load_study
    from augury.study.gallery import galleries

    kept = store or _store_beside(study_file)
    finished = collect(load_study(study_file, allow_plugins=allow_plugins), kept)
    write_report(finished.outcome, galleries(finished), out, real_images=not no_real_images)
    _say_verdict(finished.outcome)
    say(f"report: {out}")


@app.command()
def status(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, or the folder of a run.")],
    store: Annotated[Path | None, typer.Option(help="Where the study keeps its steps.")] = None,
    allow_plugins: Plugins = False,
    as_json: AsJson = False,
) -> None:
    """Say how far a study is: done, running, missing, failed, and the time left. Nothing is made or changed."""
    from augury.study import load_study
    from augury.study.status import status_of

    study_file = study / "study.toml" if study.is_dir() else study
    found = status_of(load_study(study_file, allow_plugins=allow_plugins), store or _store_beside(study_file))
    if as_json:
        print(json.dumps(found.record(), indent=1))
        return
    for line in found.lines():
        say(line)


@app.command()
def clean(
    folder: Annotated[Path, typer.Argument(help="Folder with the study files whose results stay.")],
    store: Annotated[Path | None, typer.Option(help="Store to clean; default: FOLDER/store.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    allow_plugins: Plugins = False,
) -> None:
    """Remove what no study file of a folder needs from its store."""
    from augury.study.cleaning import leftovers, needed_by, remove
    from augury.study.ground import require_store
    from augury.study.store import FolderStore

    if not (dry_run or yes or sys.stdin.isatty()):
        raise SettingsError("results are removed only after a yes, and there is no terminal to ask on: add --yes.")
    require_store(root := store or folder / "store")
    kept = FolderStore(root)
    with nullcontext() if dry_run else kept.lock():
        needed = needed_by(folder, root, allow_plugins=allow_plugins)
        for path in needed.others:
            tell(f"ignored, no study: {path}")
        gone = leftovers(kept, needed.keys)
        say(f"needed by no study file ({len(needed.studies)} read): {_amount(gone)}")
        if gone and not dry_run and (yes or typer.confirm("Remove them?", err=True)):
            remove(kept, gone)
            say("removed")


def _amount(gone: Sequence[Leftover]) -> str:
    from rich.filesize import decimal

    results = sum(leftover.finished for leftover in gone)
    return f"{results} results, {len(gone) - results} unfinished, {decimal(sum(leftover.size for leftover in gone))}"


def _store_beside(study_file: Path) -> Path:
    beside = study_file.parent / "store"
    return beside if beside.is_dir() else study_file.with_suffix("") / "store"


def _run_into(
    study: Study,
    out: Path,
    kept: Path,
    jobs: int | None,
    device: str,
    as_json: bool,
    *,
    real_images: bool = True,
    force: bool = False,
) -> None:
    """Run a study in a store."""
    from augury.generators.base import refuse_small
    from augury.progress import Bar
    from augury.study.layout import lay_out
    from augury.study.store import open_store
    from augury.training import choose_device

    with open_store(kept, choose_device(device)) as store:
        with Bar(stderr) as bar:
            laid = lay_out(study, store, bar.on_image)
        refuse_small(laid.too_small(), force=force)
        _describe(laid)
        _finish(laid, out, jobs, device, as_json, real_images=real_images)


def _finish(laid: Laid, out: Path, jobs: int | None, device: str, as_json: bool, *, real_images: bool) -> None:
    """Make what is missing, write report and tables, end with the sentence."""
    from augury.progress import Bar
    from augury.report import write_report
    from augury.study.gallery import galleries
    from augury.study.run import keep_study, make
    from augury.training import choose_device

    where = choose_device(device)
    keep_study(laid.study, out)
    with Bar(stderr) as bar:
        finished = make(laid, jobs=jobs_for(jobs, laid.study.threads, where), device=where, force=True, progress=bar)
    finished.save(out)
    write_report(finished.outcome, galleries(finished), out / "report.html", real_images=real_images)
    _conclude(finished, out, as_json)


def _say_verdict(outcome: Outcome) -> None:
    say(outcome.verdict.sentence)
    for line in outcome.verdict.details:
        say(f"  {line}")


def _conclude(finished: Finished, out: Path, as_json: bool) -> None:
    from augury.study import outcome_json

    outcome = finished.outcome
    if as_json:
        print(json.dumps(outcome_json(outcome), indent=1))
    else:
        _say_verdict(outcome)
        say(f"report: {out / 'report.html'}")
    for note in outcome.notes:
        tell(note)
    for failure in outcome.failures:
        tell(f"failed: {failure.step} ({failure.cells} cells): {failure.reason}")
    if outcome.cells_failed:
        raise typer.Exit(SOME_FAILED)
