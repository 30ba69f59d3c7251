"""Commands: they parse, call one function and print."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

import augury
from augury.errors import AuguryError, StepDiedError

if TYPE_CHECKING:
    from augury.study import Study
    from augury.study.layout import Laid
    from augury.study.run import Finished
    from augury.study.store import Store

Device = Literal["auto", "cpu", "cuda"]
Preset = Literal["quick", "standard", "thorough"]
Plan = Literal["folds", "given"]
SOME_FAILED, BAD_REQUEST, INTERRUPTED = 1, 2, 130


class Commands(TyperGroup):
    """The commands, with a sentence for Ctrl-C: Typer itself would end without one."""

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
Data = Annotated[str, typer.Argument(help="Folder with one folder per class, .npz file, or digits.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")]
Size = Annotated[int | None, typer.Option(help="Side in pixels; default: as they are, at most 64.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything.")]
Plugins = Annotated[bool, typer.Option("--allow-plugins", help="Let the file name code from outside.")]
Version = Annotated[bool, typer.Option("--version", is_eager=True, help="Show the version.")]
NoReal = Annotated[bool, typer.Option("--no-real-images", help="Leave real images out of the report.")]


def main() -> None:
    """Run the command line: a sentence for every mistake, exit 2 for a bad request."""
    try:
        app(standalone_mode=True)
    except AuguryError as error:
        stderr.print(f"[bold red]augury:[/] {escape(str(error))}")
        sys.exit(SOME_FAILED if isinstance(error, StepDiedError) else BAD_REQUEST)


@app.callback(invoke_without_command=True)
def _root(
    version: Version = False,
) -> None:
    """Will synthetic images help my classifier, which generator, and how many?"""
    if version:
        stdout.print(f"augury {augury.__version__}")
        raise typer.Exit


@app.command()
def demo(out: Out = Path("augury-demo"), jobs: Jobs = None, device: On = "auto", as_json: AsJson = False) -> None:
    """Run the built-in study on scikit-learn's digits, made scarce and imbalanced: about two minutes."""
    from augury.study import demo as built_in

    _run_into(built_in(), out, out / "store", jobs, device, as_json)


@app.command("try")
def try_(
    data: Data,
    preset: Annotated[Preset, typer.Option(help="How long and how sure.")] = "standard",
    size: Size = None,
    fit: Annotated[Literal["stretch", "crop", "pad"], typer.Option(help="How other shapes are fitted.")] = "stretch",
    budget: Annotated[str, typer.Option(help="Longest time, such as 30m or 2h.")] = "",
    split: Annotated[Plan, typer.Option(help="Folds over all images, or the given parts.")] = "folds",
    safe: Annotated[
        str, typer.Option(help="Harmless ones of shift, rotate, crop, flip, flip_vertical.")
    ] = "shift,rotate,crop",
    positive: Annotated[str, typer.Option(help="Class whose sensitivity is reported.")] = "",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the classifier: 300, for quick 150.")] = None,
    seed: Seed = 0,
    out: Out = Path("augury-try"),
    jobs: Jobs = None,
    device: On = "auto",
    as_json: AsJson = False,
    no_real_images: NoReal = False,
) -> None:
    """Run a study on your own images, without writing a file."""
    from augury.readers import reader_for
    from augury.study import DataSettings, for_images
    from augury.study.layout import read_images
    from augury.study.store import open_store
    from augury.training import choose_device

    source = data if reader_for(data).name == data else str(Path(data).absolute())
    families = tuple(name.strip() for name in safe.split(",") if name.strip())
    settings = DataSettings(
        source=source, size=(size, size) if size else "auto", fit=fit, safe=families, positive=positive
    )
    with open_store(out / "store", choose_device(device)) as store:
        _, cleaned = read_images(settings, store, given_split=split == "given")
        study = for_images(settings, cleaned.images, preset=preset, split=split, steps=steps, seed=seed)
        laid = _fitted(study, store, budget, jobs, device)
        _finish(laid, out, jobs, device, as_json, real_images=not no_real_images)


def _fitted(study: Study, store: Store, budget: str, jobs: int | None, device: str) -> Laid:
    """Say what will run and how long it will take; leave out what the budget does not hold."""
    from augury.study.estimate import fit_into, in_words, parse_seconds
    from augury.training import choose_device

    seconds = parse_seconds(budget) if budget else float("inf")
    where = choose_device(device)
    laid, need, left_out = fit_into(study, store, seconds, jobs=_jobs(jobs, study, where), device=where)
    _describe(laid)
    if left_out:
        stderr.print(f"left out to stay within {in_words(seconds)}: {escape(', '.join(left_out))}")
    stderr.print(f"about {in_words(need.seconds)} for {need.steps} steps")
    return laid


def _describe(laid: Laid) -> None:
    for line in laid.describe():
        stderr.print(escape(line))


@app.command()
def run(
    study_file: StudyFile,
    store: Annotated[Path | None, typer.Option(help="Folder that keeps every step; default: OUT/store.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Default: a folder beside the file.")] = None,
    jobs: Jobs = None,
    device: On = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List arms, steps and time; train nothing.")] = False,
    allow_plugins: Annotated[
        bool, typer.Option("--allow-plugins", help="Let the file name code from outside.")
    ] = False,
    as_json: AsJson = False,
    no_real_images: NoReal = False,
) -> None:
    """Run a study file, or finish one: what is done is not done again."""
    from augury.study import load_study

    study = load_study(study_file, allow_plugins=allow_plugins)
    folder = out or study_file.with_suffix("")
    kept = store or folder / "store"
    if dry_run:
        _dry_run(study, kept, jobs, device)
    else:
        _run_into(study, folder, kept, jobs, device, as_json, real_images=not no_real_images)


def _dry_run(study: Study, kept: Path, jobs: int | None, device: str) -> None:
    from augury.study.estimate import estimate, in_words
    from augury.study.layout import lay_out
    from augury.study.store import FolderStore, MemoryStore
    from augury.training import choose_device

    where = choose_device(device)
    laid = lay_out(study, FolderStore(kept, where) if kept.is_dir() else MemoryStore())
    _describe(laid)
    need = estimate(laid, jobs=_jobs(jobs, study, where), device=where)
    stdout.print(f"{len(laid.cells)} cells, {need.steps} steps to do, about {in_words(need.seconds)}")


@app.command()
def report(
    study_file: StudyFile,
    out: Annotated[Path, typer.Option("-o", "--out", help="The report.")] = Path("report.html"),
    store: Annotated[Path | None, typer.Option(help="Where the study kept its steps.")] = None,
    no_real_images: NoReal = False,
    allow_plugins: Annotated[
        bool, typer.Option("--allow-plugins", help="Let the file name code from outside.")
    ] = False,
) -> None:
    """Write the report of a study that has run; nothing is trained."""
    from augury.report import write_report
    from augury.study import collect, load_study
    from augury.study.gallery import galleries

    kept = store or _store_beside(study_file)
    finished = collect(load_study(study_file, allow_plugins=allow_plugins), kept)
    write_report(finished.outcome, galleries(finished), out, real_images=not no_real_images)
    stdout.print(escape(finished.outcome.verdict.sentence))
    stdout.print(escape(f"report: {out}"))


def _store_beside(study_file: Path) -> Path:
    beside = study_file.parent / "store"
    return beside if beside.is_dir() else study_file.with_suffix("") / "store"


@app.command()
def fit(
    data: Data,
    generator: Annotated[str, typer.Option(help="Kind of generator; see augury list.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the model.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="name=value, as often as needed.")] = None,
    size: Size = None,
    part: Annotated[Literal["all", "train"], typer.Option(help="All images, or the given train part only.")] = "all",
    seed: Seed = 0,
    device: On = "auto",
) -> None:
    """Fit a generator on labelled images and keep it."""
    from augury.models import fit_model
    from augury.progress import Bar

    with Bar(stderr) as bar:
        card = fit_model(
            data, generator, settings or [], out, size=size, part=part, seed=seed, device=device, on_step=bar.on_step
        )
    stdout.print(escape(f"{card.kind} fitted on {sum(card.counts)} images: {out}"))
    if card.contains_training_images:
        stderr.print("this model contains training images: treat it as you treat them")


@app.command()
def sample(
    model: Annotated[Path, typer.Argument(help="A model made by augury fit.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for images and manifest.csv.")],
    per_class: Annotated[int | None, typer.Option(min=1, help="Images of every class.")] = None,
    count: Annotated[list[str] | None, typer.Option(help="CLASS=N, as often as needed.")] = None,
    seed: Seed = 0,
    device: On = "auto",
) -> None:
    """Draw labelled images from a fitted generator: PNGs and manifest.csv."""
    from augury.models import sample_model

    drawn = sample_model(model, out, per_class=per_class, counts=count or [], seed=seed, device=device)
    stdout.print(escape(f"{drawn} images: {out}"))


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List generators, classifiers, policies and readers with their settings and defaults."""
    from augury.catalogue import catalogue

    entries = catalogue()
    if as_json:
        print(json.dumps(entries, indent=1))
        return
    for family, rows in entries.items():
        stdout.print(f"[bold]{family}[/]")
        for row in rows:
            stdout.print(f"  [bold]{escape(row['kind']):<10}[/] {escape(row['summary'])}")
            settings = "  ".join(f"{item['name']}={item['default']}" for item in row["settings"])
            if settings:
                stdout.print(f"  {'':<10} [dim]{escape(settings)}[/]")


def _jobs(jobs: int | None, study: Study, device: str) -> int:
    """Return how many processes run: threads x processes never exceed the cores."""
    if jobs is not None:
        return jobs
    return 1 if device == "cuda" else max(1, (os.cpu_count() or 1) // study.threads)


def _run_into(
    study: Study, out: Path, kept: Path, jobs: int | None, device: str, as_json: bool, *, real_images: bool = True
) -> None:
    """Run a study in a store."""
    from augury.study.layout import lay_out
    from augury.study.store import open_store
    from augury.training import choose_device

    with open_store(kept, choose_device(device)) as store:
        _finish(lay_out(study, store), out, jobs, device, as_json, real_images=real_images)


def _finish(laid: Laid, out: Path, jobs: int | None, device: str, as_json: bool, *, real_images: bool) -> None:
    """Make what is missing, write report and tables, end with the sentence."""
    from augury.progress import Bar
    from augury.report import write_report
    from augury.study.gallery import galleries
    from augury.study.run import make
    from augury.training import choose_device

    where = choose_device(device)
    with Bar(stderr) as bar:
        finished = make(laid, jobs=_jobs(jobs, laid.study, where), device=where, progress=bar)
    finished.save(out)
    write_report(finished.outcome, galleries(finished), out / "report.html", real_images=real_images)
    _conclude(finished, out, as_json)


def _conclude(finished: Finished, out: Path, as_json: bool) -> None:
    from augury.study import outcome_json

    outcome = finished.outcome
    if as_json:
        print(json.dumps(outcome_json(outcome), indent=1))
    else:
        stdout.print(escape(outcome.verdict.sentence))
        for line in outcome.verdict.details:
            stdout.print(escape(f"  {line}"))
        stdout.print(escape(f"report: {out / 'report.html'}"))
    for note in outcome.notes:
        stderr.print(escape(note))
    for failure in outcome.failures:
        stderr.print(escape(f"failed: {failure.step} ({failure.cells} cells): {failure.reason}"))
    if outcome.cells_failed:
        raise typer.Exit(SOME_FAILED)
