"""The one comparison that the sentence is about, and the gates before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from augury.classifiers.base import GENERATOR_SEES_TEST, TWINS_LEFT_IN
from augury.metrics.classification import METRICS
from augury.splits import smallest_class_groups
from augury.statistics import Bootstrap, copycat_gate
from augury.study.block import ROW_DRAWS, Block, Unit, share_of
from augury.study.grid import ArmPlan, Cell, twin_name
from augury.study.outcome import Contrast, Gate
from augury.study.study import BEST_TEST_EPOCH, IMBALANCED, MORE_STEPS, PICKED, REAL
from augury.study.table import ScoredCell
from augury.tipping import tipping_points
from augury.verdict import PLAIN, RIVAL, Evidence, decide

FEWEST_SPLITS = 5  # with fewer a t distribution gates by chance
FEW_GROUPS = 10  # PROTOCOL 1.2: with fewer in the rarest class there is no verdict

FLAW_REASONS = {
    GENERATOR_SEES_TEST: "the generators were trained on the test images too (declared)",
    "groups_ignored": "images of one group may stand on both sides of a split (declared)",
    "given_split_as_is": "known duplicates across the given parts were left in (declared)",
    MORE_STEPS: "training was as published: more images got more steps, and the best epoch counts (declared)",
    BEST_TEST_EPOCH: "the epoch that is kept was chosen on the test part (declared)",
    PICKED: "the arm with generated images was chosen on the test part (declared)",
    "no_rebalancing_control": "no arm rebalances the classes without new images (declared)",
}


def contrast(block: Block, gates: Sequence[Gate]) -> Contrast | None:
    """Draw the primary contrast of one classifier; None when no split has all its cells.

    A study without generated images compares its chosen arm with real images only.
    """
    generated = any(arm.uses_generated for arm in block.rivals)
    using, without, either = block.using, block.without, block.either
    if not generated:
        using, without = without, dict.fromkeys(without, REAL)
    if not using or not without or len(block.rivals) < 2:
        return None
    a, b, c = (block.of_choice(choice) for choice in (using, without, either))
    units = sorted(using)
    differences = tuple(a[unit] - b[unit] for unit in units)
    given = block.given
    bootstrap = block.bootstrap(using, without, "test") if given else None
    if bootstrap is None and len(units) < 2:
        return None
    evidence = replace(_evidence(block, differences, bootstrap, gates), same_predictions=_same(block, using, without))
    if not generated:
        evidence = replace(evidence, one=RIVAL, other=PLAIN)
    scarce = any(item.cell.split.rest for item in block.scored)
    score = float(np.mean(list(b.values())))  # every primary metric ends at 1
    return Contrast(
        classifier=block.classifier,
        differences=differences,
        interval=None if given else block.compare(a, b),
        bootstrap=bootstrap,
        using=dict(Counter(using.values())),
        without=dict(Counter(without.values())),
        using_score=float(np.mean(list(a.values()))),
        without_score=score,
        pipeline=None if given else block.compare(c, b),
        pipeline_share=share_of([name in _generated(block) for name in either.values()]),
        verdict=decide(evidence),
        tipping=tipping_points(evidence, _over_real(block, a, b), room=1 - score),
        external=block.bootstrap(using, without, "rest", draws=ROW_DRAWS) if scarce else None,
        generated=generated,
    )


def _over_real(block: Block, one: dict[Unit, float], other: dict[Unit, float]) -> tuple[float, ...]:
    """Return by how much the first side beats real images only; nothing where the second side is just that."""
    real = block.scores(REAL)
    units = sorted(set(one) & set(real))
    if len(units) < 2 or all(real[unit] == other[unit] for unit in units):
        return ()
    return tuple(one[unit] - real[unit] for unit in units)


def _generated(block: Block) -> set[str]:
    return {arm.name for arm in block.rows if arm.uses_generated}


def _evidence(
    block: Block, differences: tuple[float, ...], bootstrap: Bootstrap | None, gates: Sequence[Gate]
) -> Evidence:
    used = {i for item in block.scored for i in (*item.cell.split.train, *item.cell.split.val, *item.cell.split.test)}
    groups = len({block.images.group_names[i] for i in used})
    withheld = [FLAW_REASONS[flaw] for flaw in block.study.flaws]
    withheld += [gate.text.rstrip(".") for gate in gates if gate.passed is False]
    return Evidence(
        metric_label=METRICS[block.metric].label,
        differences=differences,
        ratio=block.ratio,
        rope=block.study.rope,
        groups=groups,
        external=bootstrap,
        exploratory=_exploratory(block, sorted(used)),
        withheld=tuple(withheld),
    )


def _same(block: Block, using: dict[Unit, str], without: dict[Unit, str]) -> bool:
    return all(
        np.array_equal(first.probabilities["test"], second.probabilities["test"])
        for unit in using
        for first, second in zip(block.by_arm[using[unit]][unit], block.by_arm[without[unit]][unit], strict=True)
    )


def _exploratory(block: Block, used: list[int]) -> tuple[str, ...]:
    reasons = ["the study was declared exploratory beforehand (the quick preset is)"] if block.study.exploratory else []
    name, groups = smallest_class_groups(block.images.take(used))
    if groups < FEW_GROUPS:
        reasons.append(f"class {name!r} has {groups} independent groups, and at least {FEW_GROUPS} are needed")
    if any(cell.predictions for cell in block.planned) and len(block.scored) < len(block.planned):
        lost = len(block.planned) - len(block.scored)
        reasons.append(f"{lost} of {len(block.planned)} cells have no result")
    return tuple(reasons)


def gates(block: Block) -> tuple[Gate, ...]:
    """Check what must hold before a verdict is given."""
    images, study = block.images, block.study
    grouped = images.groups_given and "groups_ignored" not in study.flaws
    leak = not {GENERATOR_SEES_TEST, *TWINS_LEFT_IN}.intersection(study.flaws)
    rows = [
        Gate("groups", grouped or None, _group_text(grouped)),
        Gate("no image scored that was seen in training", leak, "checked by digest for every prediction")
        if leak
        else Gate("no image scored that was seen in training", None, "not checked: the flaw is declared"),
    ]
    return (*rows, _budget(block), _rebalancing(block), *(_copycat(block, arm) for arm in block.rows if arm.copies))


def _budget(block: Block) -> Gate:
    """Check on the records of what was trained that all arms had one budget (PROTOCOL, Decisions 4)."""
    name = "one budget for every arm"
    if MORE_STEPS in block.study.flaws:
        return Gate(name, None, "not checked: the flaw is declared")
    items = [item for item in block.scored if item.cell.arm.chosen_from]
    if not items:
        return Gate(name, None, "not checked: no cell has a result")
    budgets = {(item.exposure.steps, item.exposure.batch, item.trials) for item in items}
    if len(budgets) > 1:
        listed = ", ".join(f"{steps} x {batch} after {trials} trials" for steps, batch, trials in sorted(budgets))
        return Gate(name, False, f"the arms were trained on different budgets (steps x images): {listed}")
    odd = next((item for item in items if not _as_declared(item)), None)
    if odd is not None:
        return Gate(name, False, f"{odd.cell.arm.name!r} was shown another number of real images than declared")
    steps, batch, trials = budgets.pop()
    return Gate(name, True, f"{steps} steps x {batch} images after {trials} trials in all {len(items)} records")


def _as_declared(item: ScoredCell) -> bool:
    """Tell whether a training was shown as many real images as its amounts and its share per batch say."""
    cell, record = item.cell, item.exposure
    use = getattr(cell.fit.classifier, "synthetic", None)
    if use is None:
        return True
    if record.synthetic < sum(cell.counts):  # filters left fewer than wanted: the share is that of what was left
        share = (1 - use.real_last) * record.share
    else:
        share = use.mean_share(cell.real_counts, cell.counts)
    declared = (1 - share) * record.steps * record.batch
    return bool(abs(record.real_exposures - declared) <= record.batch)


def _rebalancing(block: Block) -> Gate:
    """Check that a gain from evening out the classes cannot pass for one from generated images."""
    name = "rebalancing without generated images"
    if "no_rebalancing_control" in block.study.flaws:
        return Gate(name, None, "not checked: the flaw is declared")
    real = block.planned[0].real_counts
    rivals = [cell for cell in block.planned if cell.arm in block.rows and not cell.arm.uses_generated]
    if max(real) < IMBALANCED * min(real) or any(_evens_out(cell) for cell in rivals):
        return Gate(name, True, "an arm without generated images evens out the classes, or they are even")
    return Gate(
        name, False, "no arm evens out the classes without generated images: add one with sampling = 'balanced'"
    )


def _evens_out(cell: Cell) -> bool:
    recipe = cell.fit.classifier
    if getattr(recipe, "sampling", "natural") != "natural" or cell.arm.recalibrate == "even":
        return True
    if getattr(getattr(recipe, "loss", None), "evens_out", False):
        return True
    both = [real + added for real, added in zip(cell.real_counts, cell.counts, strict=True)]
    return max(both) * min(cell.real_counts) < max(cell.real_counts) * min(both)


def _group_text(grouped: bool) -> str:
    if grouped:
        return "no patient, lesion or other group stands on both sides of a split"
    return "no groups were given: independence of the images is not assured"


def _copycat(block: Block, arm: ArmPlan) -> Gate:
    name = f"copycat: {arm.name}"
    a, b = block.scores(arm.name), block.scores(twin_name(arm))
    units = sorted(set(a) & set(b))
    if len(units) < FEWEST_SPLITS:
        return Gate(name, None, f"not checked: it takes {FEWEST_SPLITS} splits, and {len(units)} have a result")
    passed, probability = copycat_gate([a[u] for u in units], [b[u] for u in units], block.ratio, block.study.rope)
    if passed:
        text = f"copies of real images do as well as plain oversampling (P of a difference: {probability:.3f})."
    else:
        text = (
            f"copies of real images ({arm.name}) and plain oversampling at equal exposure differ beyond "
            f"{block.study.rope:g} with probability {probability:.3f}: the experiment itself makes a difference."
        )
    return Gate(name, passed, text)
