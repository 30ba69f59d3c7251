"""What filters and selections left of the drawn images, arm by arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from augury.curation import Curated
from augury.images import ImageSet
from augury.study.block import Block
from augury.study.classifier_steps import images_of
from augury.study.curation_steps import Curate, Select
from augury.study.outcome import Curation
from augury.study.steps import Pool
from augury.study.store import Store
from augury.study.table import ScoredCell


def curations(block: Block, store: Store) -> tuple[Curation, ...]:
    """Summarise every arm whose images were filtered or selected, over the splits that have a result."""
    rows = []
    for arm in block.rows:
        items = [item for cells in block.by_arm.get(arm.name, {}).values() for item in cells]
        if arm.curated and items:
            rows.append(_curation(arm.name, arm.curation, items, block.images.classes, store))
    return tuple(rows)


def shortfalls(block: Block) -> tuple[str, ...]:
    """Say of every arm with fewer images than wanted how many it had."""
    notes = []
    for name, by_unit in block.by_arm.items():
        items = [item for cells in by_unit.values() for item in cells]
        wanted, used = _wanted(items), _used(items)
        if used < wanted:
            notes.append(
                f"{name}: {used} of the {wanted} images wanted over all splits were there "
                f"({wanted - used} fewer): the filters, or a person's list, left no more."
            )
    return tuple(notes)


def _curation(arm: str, rules: str, items: Sequence[ScoredCell], classes: tuple[str, ...], store: Store) -> Curation:
    drawn, kept, reasons = Counter[int](), Counter[int](), dict[str, Counter[int]]()
    filters = [rule.label for rule in items[0].cell.arm.filters]
    for source in {source for item in items for source in _leaves(item.cell.fit.pool)}:
        found: ImageSet | Curated = store.get(source)
        kept.update(images_of(found).labels.tolist())
        if not isinstance(found, Curated):  # a selection from a pool without filters
            drawn.update(found.labels.tolist())
            continue
        labels = found.pool.labels.tolist()
        drawn.update(labels)
        for label, reason in zip(labels, found.reasons, strict=True):
            reasons.setdefault(reason, Counter())[label] += 1
    places = range(len(classes))
    return Curation(
        arm=arm,
        rules=rules,
        classes=classes,
        drawn=tuple(drawn[k] for k in places),
        kept=tuple(kept[k] for k in places),
        reasons={name: tuple(reasons.get(name, Counter())[k] for k in places) for name in filters},
        wanted=_wanted(items),
        used=_used(items),
    )


def sources(pool: Sequence[Pool]) -> tuple[Curate, ...]:
    """Return the filtered chunks of a pool, whatever is selected from them; none of a pool without filters."""
    return tuple(source for source in _leaves(pool) if isinstance(source, Curate))


def _leaves(pool: Sequence[Pool]) -> tuple[Pool, ...]:
    """Return the chunks of a pool, filtered or not, whatever is selected from them."""
    return tuple(inner for source in pool for inner in (source.pool if isinstance(source, Select) else (source,)))


def _wanted(items: Sequence[ScoredCell]) -> int:
    return sum(sum(item.cell.counts) for item in items)


def _used(items: Sequence[ScoredCell]) -> int:
    return sum(item.exposure.synthetic for item in items)
