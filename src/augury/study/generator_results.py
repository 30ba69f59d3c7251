"""The generators of a study: what they are, how diverse their images are, and whether one has collapsed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from augury.collapse import ClassDiversity, Collapse
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
    fits = {chunk.fit.generator: chunk.fit for cell in laid.cells for chunk in cell.fit.pool}
    looked = _looked(laid, ran)
    return tuple(
        generator_result(named, _parameters(laid, fits.get(named.recipe), ran), looked.get(named.name, []))
        for named in laid.study.generators
    )


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
        settings=named.recipe.settings(),
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
    cells = {cell.fit.pool[0].fit: cell for cell in laid.cells if cell.fit.pool}
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


def _parameters(laid: Laid, fit: FitGenerator | None, ran: Ran) -> int:
    if fit is None or ran.missing(fit) or not laid.store.has(fit):
        return 0
    parameters: int = laid.store.get(fit).card.parameters
    return parameters
