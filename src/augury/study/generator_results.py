"""The generators of a study: what they are, how diverse their images are, and whether one has collapsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augury.collapse import ClassDiversity, Collapse
from augury.generators.base import Sampler
from augury.generators.external import ExternalSampler, leak_not_ruled_out
from augury.study.engine import Ran
from augury.study.layout import Laid
from augury.study.outcome import Diversity, GeneratorResult
from augury.study.steps import FitGenerator
from augury.study.study import NamedGenerator
from augury.study.study_file import kind_of

NAMED = 2  # findings in a note; the report has them all

Looked = Sequence[tuple[tuple[int, int], Collapse]]  # by split: (repeat, fold)


def generator_results(laid: Laid, ran: Ran) -> tuple[GeneratorResult, ...]:
    """Summarise every generator of a study over the splits whose results are there."""
    fits = {chunk.drawn_by or chunk.fit.generator: chunk.fit for cell in laid.cells for chunk in cell.fit.chunks}
    looked, results = _looked(laid, ran), []
    for named in laid.study.generators:
        sampler = _sampler(laid, fits.get(named.recipe), ran)
        parameters = sampler.card.parameters if sampler is not None else 0
        result = generator_result(named, parameters, looked.get(named.name, []))
        results.append(replace(result, remarks=_remarks(named.name, sampler)))
    return tuple(results)


def _remarks(name: str, sampler: Sampler | None) -> tuple[str, ...]:
    if not isinstance(sampler, ExternalSampler):
        return ()
    unknown = (leak_not_ruled_out(name),) if sampler.unknown_training_set else ()
    return (*unknown, *sampler.notes)


def shown(settings: Mapping[str, Any]) -> dict[str, object]:
    """Return settings without any folder: a path may name a patient, and a report travels.

    Example:
        >>> shown({"source": "/home/x/synthetic", "weights": "file:/home/x/w.pt", "steps": 3})
        {'source': 'synthetic', 'weights': 'file:w.pt', 'steps': 3}
    """
    places = {name: value for name, value in settings.items() if isinstance(value, str) and "/" in value}
    named = {name: Path(value).name for name, value in places.items()}
    files = {name: f"file:{text}" for name, text in named.items() if places[name].startswith("file:")}
    return {**settings, **named, **files}


def generator_result(named: NamedGenerator, parameters: int, looked: Looked) -> GeneratorResult:
    """Summarise one generator.

    Args:
        named: The generator.
        parameters: Number of its trained weights.
        looked: What was found about its diversity, with the split of each finding.
    """
    fired = [(split, found) for split, found in looked if found.fired]
    worst = max((found for _, found in fired), key=_badness, default=None)
    return GeneratorResult(
        name=named.name,
        kind=kind_of(named.recipe),
        settings=shown(named.recipe.settings()),
        control=named.recipe.control,
        contains_training_images=named.recipe.contains_training_images,
        parameters=parameters,
        looked=len({split for split, _ in looked}),
        collapsed=len({split for split, _ in fired}),
        discriminator_won=len({split for split, found in fired if found.discriminator_wins}),
        diversity=_diversity(looked),
        findings=worst.sentences() if worst is not None else (),
    )


def collapse_notes(results: Sequence[GeneratorResult]) -> tuple[str, ...]:
    """Say of every generator whose collapse detector fired in how many splits it did, and what it found."""
    return tuple(_note(result) for result in results if result.collapsed)


def _note(result: GeneratorResult) -> str:
    splits = f"{result.collapsed} of {result.looked} split{'' if result.looked == 1 else 's'}"
    where = ", in the worst" if result.collapsed > 1 else ""
    more = len(result.findings) - NAMED
    found = [*result.findings[:NAMED], *([f"{more} more"] if more > 0 else [])]
    return f"{result.name}: collapse in {splits}{where}: {'; '.join(found)}."


def _badness(found: Collapse) -> tuple[int, float]:
    return len(found.sentences()), -min((one.spread for one in found.classes), default=0.0)


def _looked(laid: Laid, ran: Ran) -> dict[str, list[tuple[tuple[int, int], Collapse]]]:
    cells = {cell.fit.chunks[0].fit: cell for cell in laid.cells if cell.fit.chunks}
    rows: dict[str, list[tuple[tuple[int, int], Collapse]]] = {}
    for look in laid.looks:
        cell = cells[look.fit]
        if cell.arm.generator is not None and not ran.missing(look) and laid.store.has(look):
            split = (cell.split.repeat, cell.split.fold)
            rows.setdefault(cell.arm.generator.name, []).append((split, laid.store.get(look)))
    return rows


def _diversity(looked: Looked) -> tuple[Diversity, ...]:
    rows: dict[str, list[tuple[tuple[int, int], ClassDiversity]]] = {}
    for split, found in looked:
        for one in found.classes:
            rows.setdefault(one.name, []).append((split, one))
    return tuple(_of_class(name, found) for name, found in rows.items())


def _of_class(name: str, found: Sequence[tuple[tuple[int, int], ClassDiversity]]) -> Diversity:
    spreads = [one.spread for _, one in found]
    modes = [one.modes for _, one in found if one.modes is not None]
    return Diversity(
        name=name,
        splits=len({split for split, _ in found}),
        collapsed=len({split for split, one in found if one.collapsed}),
        real=float(np.mean([one.real for _, one in found])),
        drawn=float(np.mean([one.drawn for _, one in found])),
        spread=float(np.mean(spreads)),
        least_spread=min(spreads),
        modes=float(np.mean(modes)) if modes else None,
        least_modes=min(modes, default=None),
    )


def _sampler(laid: Laid, fit: FitGenerator | None, ran: Ran) -> Sampler | None:
    if fit is None or ran.missing(fit) or not laid.store.has(fit):
        return None
    sampler: Sampler = laid.store.get(fit)
    return sampler
