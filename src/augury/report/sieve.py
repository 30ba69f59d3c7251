"""Filters on the page: how many images were kept, which filter dropped the others, and examples of both."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from augury.filters import NearCopy
from augury.report.pictures import Picture, picture
from augury.selections import Handpicked
from augury.study.exhibit import Gallery, Sifted, SiftedClass
from augury.study.outcome import Curation, Outcome

MEANING = (
    "Filters judge every drawn image by itself, against what real images have. Counts are over all splits; an image "
    "counts for the first filter that dropped it."
)
HIDDEN = "No example is shown: this report was written without real images, and these may be like such."
HIDDEN_COPIES = "Images that {} dropped are not shown: this report was written without real images."


@dataclass(frozen=True)
class Share:
    """Images of one class, or of all (empty name): how many were drawn and kept, and what dropped the others."""

    name: str
    drawn: int
    kept: int
    dropped: tuple[int, ...]

    @property
    def part(self) -> float | None:
        """Return the kept share; None where none was drawn."""
        return self.kept / self.drawn if self.drawn else None


@dataclass(frozen=True)
class Examples:
    """Some kept and some dropped images of one class; the reason stands with each dropped one."""

    name: str
    kept: list[Picture]
    dropped: list[tuple[Picture, str]]


@dataclass(frozen=True)
class Sieve:
    """One curated arm as it stands on the page.

    Attributes:
        curation: What was counted.
        filters: Names of its filters.
        total: Its row over all classes.
        classes: Its row of each class.
        supply: Whether there were as many images as wanted, in words.
        examples: Kept and dropped images; empty where there are none, or another arm shows them.
        notice: Why some examples are not shown, or where they are.
    """

    curation: Curation
    filters: tuple[str, ...]
    total: Share
    classes: tuple[Share, ...]
    supply: str
    examples: tuple[Examples, ...]
    notice: str


def sieves(outcome: Outcome, galleries: Sequence[Gallery], hidden: Set[str], *, real_images: bool) -> tuple[Sieve, ...]:
    """Return the parts of all arms whose images were filtered or selected.

    Args:
        outcome: The study's numbers.
        galleries: What is shown of each generator.
        hidden: Generators whose images may not be shown.
        real_images: Whether real images may be shown, and so what filters called copies of such.
    """
    found, told = [], dict[int, str]()
    of_arm = {arm: (g.generator, one) for g in galleries for one in g.sifted for arm in one.arms}
    for curation in outcome.curations:
        generator, sifted = of_arm.get(curation.arm, ("", None))
        examples: tuple[Examples, ...] = ()
        notice = ""
        if sifted is not None and id(sifted) in told:
            notice = f"Examples stand with {told[id(sifted)]}, whose images and filters are the same."
        elif sifted is not None and generator in hidden:
            notice = HIDDEN
        elif sifted is not None:
            told[id(sifted)] = curation.arm
            examples, notice = _shown(sifted, real_images)
        found.append(_sieve(curation, examples, notice))
    return tuple(found)


def supply(curation: Curation) -> str:
    """Say whether there were as many images as wanted.

    >>> supply(Curation("a", "near_copy", (), (), (), {}, wanted=1200, used=900))
    '900 of the 1,200 images wanted over all splits were there, 300 fewer: no more were left to take.'
    """
    if curation.used >= curation.wanted:
        return f"All {curation.wanted:,} images wanted over all splits were there."
    short = curation.wanted - curation.used
    return (
        f"{curation.used:,} of the {curation.wanted:,} images wanted over all splits were there, {short:,} fewer: "
        "no more were left to take."
    )


def handpicked(outcome: Outcome) -> frozenset[str]:
    """Return the arms whose images a person picked."""
    return frozenset(each.arm for each in outcome.curations if Handpicked.kind in each.rules.split(" + "))


def _sieve(curation: Curation, examples: tuple[Examples, ...], notice: str) -> Sieve:
    filters = tuple(curation.reasons)
    classes = tuple(
        Share(name, curation.drawn[k], curation.kept[k], tuple(curation.reasons[rule][k] for rule in filters))
        for k, name in enumerate(curation.classes)
        if curation.drawn[k]
    )
    dropped = tuple(sum(curation.reasons[rule]) for rule in filters)
    total = Share("", sum(curation.drawn), sum(curation.kept), dropped)
    return Sieve(curation, filters, total, classes, supply(curation), examples, notice)


def _shown(sifted: Sifted, real_images: bool) -> tuple[tuple[Examples, ...], str]:
    """Return the examples; without real images, without those that were dropped as copies of such."""
    copies = {why for item in sifted.classes for why in item.reasons if why.startswith(NearCopy.kind)}
    left_out = set() if real_images else copies
    notice = HIDDEN_COPIES.format(" and ".join(sorted(left_out))) if left_out else ""
    return tuple(_examples(item, left_out) for item in sifted.classes), notice


def _examples(item: SiftedClass, left_out: Set[str]) -> Examples:
    dropped = zip(item.dropped, item.reasons, strict=True)
    return Examples(
        item.name,
        [picture(image) for image in item.kept],
        [(picture(image), why.partition(" (")[0]) for image, why in dropped if why not in left_out],
    )
