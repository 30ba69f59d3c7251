"""From images and a generator to a set that is ready to train on: whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from augury.errors import DataError, SettingsError
from augury.files import fresh_folder
from augury.filters import filter_from
from augury.generators.base import Generator, Sampler, refuse_small, small_class
from augury.generators.external import leak_not_ruled_out
from augury.handover.card import card_text
from augury.handover.choice import choose
from augury.handover.nearness import audit, seen_and_new
from augury.handover.plan import Curation, Plan, from_generator, from_model, from_study, parse_amount
from augury.handover.write import Form, Handed, Real, linkable, write_checksums, write_set
from augury.readers import ReadSettings
from augury.study.steps import as_chosen
from augury.training import Run, choose_device

CARD = "card.md"


def augment(
    data: str | Path | None,
    out: Path,
    *,
    generator: str | None = None,
    settings: Sequence[str] = (),
    model: Path | None = None,
    study: Path | None = None,
    store: Path | None = None,
    to: str | None = None,
    filters: Sequence[str] = (),
    factor: float = 2.0,
    how: ReadSettings | None = None,
    part: str = "all",
    form: Form = "folders",
    real: Real = "copy",
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
    plugins: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Handed:
    """Write a set of real and synthetic images that is ready to train on into a new folder.

    Exactly one of `generator`, `model` and `study` says what the synthetic images are drawn from.

    Args:
        data: What `augury.read` takes; None with `study`: where its images lay.
        out: The folder; it must not exist, or be empty.
        generator: A kind, fitted on the images that are handed over.
        settings: `name=value` texts for it.
        model: A folder that `augury fit` wrote.
        study: The folder of a run that ended in HELPS: the arm it chose, fitted on all of its images.
        store: Where the study kept its steps; None: in its folder.
        to: `balance`, N (of each class), or `ratio:R`; a study says it itself.
        filters: Kinds of filters that drawn images must pass; a study says them itself.
        factor: Images drawn per image wanted, at most.
        how: How the images are read; None: as they are, at most 64 x 64.
        part: `all` images, or `train`: the given training part only.
        form: `folders` of images, or one `npz` file.
        real: Real images as PNG at the size of the synthetic ones (`copy`), as the files they are (`link`), or `none`.
        seed: Seed of everything.
        device: `auto`, `cpu` or `cuda`.
        force: Whether to go on where a class is too small, or the study's verdict is not HELPS.
        plugins: Whether a study may name code from outside.
        on_step: Told of optimiser steps.

    Raises:
        SettingsError: If the request cannot be meant, or the study's verdict is not HELPS.
        DataError: If the images cannot be read or used, nothing can be drawn, or the folder is taken.
        LeakError: If a model has seen images that are held back.
    """
    where = choose_device(device)
    if form == "npz" and real == "link":
        raise SettingsError("links are made in folders. Got --form npz with --real link: use --form folders.")
    with fresh_folder(out) as folder:
        if study is not None:
            _refuse_beside_study(generator, model, settings, to, filters, how, part)
            source = None if data is None else str(data)
            plan = from_study(study, source, store=store, plugins=plugins, force=force)
        else:
            curation = Curation(tuple(filter_from(name) for name in filters), factor=factor)
            plan = _asked(data, generator, settings, model, to, how or ReadSettings(), part, where, curation)
        handed = _handed(plan, form, real, seed, where, force, on_step)
        write_set(handed, folder)
        (folder / CARD).write_text(card_text(handed), encoding="utf-8", errors="backslashreplace")
        write_checksums(folder)
    return handed


def _refuse_beside_study(
    generator: str | None,
    model: Path | None,
    settings: Sequence[str],
    to: str | None,
    filters: Sequence[str],
    how: ReadSettings | None,
    part: str,
) -> None:
    given = {
        "--generator": generator,
        "--model": model,
        "--set": settings,
        "--to": to,
        "--filter": filters,
        "the reading options": how not in (None, ReadSettings()),
        "--part": part != "all",
    }
    extra = [name for name, value in given.items() if value]
    if extra:
        raise SettingsError(f"a study says itself what it chose. Got --study with {', '.join(extra)}: leave them out.")


def _asked(
    data: str | Path | None,
    generator: str | None,
    settings: Sequence[str],
    model: Path | None,
    to: str | None,
    how: ReadSettings,
    part: str,
    device: str,
    curation: Curation,
) -> Plan:
    if data is None:
        raise SettingsError("images were expected: augury augment DATA. Only --study knows its own.")
    if to is None:
        raise SettingsError("say how many: --to balance, N (of each class) or ratio:R.")
    if (generator is None) == (model is None) or (model is not None and settings):
        raise SettingsError(
            "say what the images are drawn from: --generator KIND (with --set), --model MODEL, or --study DIR."
        )
    source, amount = str(data), parse_amount(to)
    if model is not None:
        return from_model(source, how, part, model, device, amount, curation)
    return from_generator(source, how, part, str(generator), settings, amount, curation)


def _handed(
    plan: Plan,
    form: Form,
    real: Real,
    seed: int,
    device: str,
    force: bool,
    on_step: Callable[[int, int], None] | None,
) -> Handed:
    no_link = linkable(plan.source, plan.real) if real == "link" else ""
    made: Real = "copy" if no_link else real
    sampler = _sampler(plan, Run(seed, device, on_step=on_step), force)
    chosen = choose(plan, sampler, linked=made == "link", seed=seed, device=device)
    kept = chosen.kept()
    if not len(kept):
        why = "; ".join(chosen.shortfall())
        raise DataError(f"{sampler.card.kind} drew nothing to hand over: {why}. Use another generator or filter.")
    notes = [leak_not_ruled_out(sampler.card.kind)] if getattr(sampler, "unknown_training_set", False) else []
    notes += [f"{no_link}: real images are written as PNG instead of linked"] if no_link else []
    if made == "link" and len(_sizes(plan)) > 1:
        notes.append("real images keep their own sizes: bring all to one before training")
    found = audit(kept, *seen_and_new(plan.everything, sampler.card.seen), seed=seed)
    return Handed(plan, sampler.card, chosen, found, form, made, seed, tuple(notes))


def _sampler(plan: Plan, run: Run, force: bool) -> Sampler:
    wanted = plan.wanted()
    if isinstance(plan.maker, Sampler):
        return plan.maker
    recipe: Generator = plan.maker
    counted = zip(plan.images.classes, plan.images.counts(), wanted, strict=True)
    small = (small_class(recipe, name, count) for name, count, asked in counted if asked)
    refuse_small([text for text in small if text], force=force)
    last = recipe.fit(plan.images, run)
    return as_chosen(last, plan.drawn_from.steps, plan.drawn_from.guidance) if plan.drawn_from else last


def _sizes(plan: Plan) -> set[tuple[int, int]]:
    """Return the sizes that images have when the real ones keep theirs."""
    _, H, W = plan.images.shape
    return {(H, W)} | {(facts.height, facts.width) for facts in plan.real.facts}
