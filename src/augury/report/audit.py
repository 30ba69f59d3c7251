"""The copying audit on the page: every number with what real images have beside it, and fixed sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from augury.audit import CopyingInSpace
from augury.report.findings import DASH, plain, share
from augury.report.pictures import Picture, picture
from augury.study.audit_outcome import Audited, AuditedMaker
from augury.study.exhibit import Closest, Gallery

DECISION = (
    "Drawn images are compared with the real images that their generator was trained on, and with real images that it "
    "never saw. Two exact tests over all audited splits decide, and a generator is red if both say so of all its "
    "images, or of those of a class: they lie nearer to training images than new real images do, and those nearest to "
    "any real image are near to training images rather than to unseen ones. The arms of a red generator take no part "
    "in the verdict; where that leaves none, there is no verdict. The tables describe, and decide nothing."
)
NOT_PRIVATE = (
    "A green audit is no proof of privacy: “no copying detected” is never “private”. It says that copies above the "
    "detection limit would have been found in the spaces that were looked at, and nothing about rarer or subtler ones."
)
NEAR_COPIES = (
    "This kind of generator starts from single training images: what it draws stays close to real images by "
    "construction, whatever the audit says."
)
NO_DECISION = "the copying audit has no result: its controls, or the audit itself, failed."
MARKS = {"green": ("pass", "✓ green"), "red": ("fail", "✗ red"), "void": ("open", "? void")}
NO_MARK = ("open", "? none")
CHANCE = "0.500"  # an AUC of guesses
DUPLICATES = 0.01  # share of training images with a twin of another group, by the threshold that is used


@dataclass(frozen=True)
class Measure:
    """One number of the audit: its name, half a line for those who have never heard of it, and how it is written."""

    name: str
    meaning: str
    drawn: Callable[[CopyingInSpace], str]
    beside: Callable[[CopyingInSpace], str]


@dataclass(frozen=True)
class Line:
    """One row of the table: for each space, what drawn images have and what stands beside it."""

    name: str
    meaning: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pairs:
    """One class of closest pairs as it stands on the page."""

    name: str
    drawn: list[Picture]
    nearest: list[Picture]
    distances: list[str]


@dataclass(frozen=True)
class Examined:
    """One audited generator, with or without filters, as it stands on the page.

    Attributes:
        maker: What was found.
        state: Style of its mark.
        mark: The mark, in a sign and a word.
        finding: The decision's sentence.
        heads: A heading for each space.
        lines: The rows of its table.
        pairs: The closest pairs, by class; empty where real images may not be shown.
        usual: What its distances are to be compared with.
    """

    maker: AuditedMaker
    state: str
    mark: str
    finding: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    pairs: tuple[Pairs, ...]
    usual: str


def examined(audited: Audited, galleries: Sequence[Gallery], *, real_images: bool) -> tuple[Examined, ...]:
    """Return what the page shows of every generator whose images were looked at for copies."""
    closest = {each.maker: each for gallery in galleries for each in gallery.closest} if real_images else {}
    return tuple(_examined(maker, closest) for maker in audited.makers if maker.decision or maker.copying)


def _examined(maker: AuditedMaker, closest: Mapping[str, Closest]) -> Examined:
    state, mark = MARKS[maker.decision.state] if maker.decision else NO_MARK
    finding = maker.decision.sentence if maker.decision else f"{maker.maker}: {NO_DECISION}"
    shown = closest.get(maker.maker)
    pairs = _pairs(shown) if shown else ()
    heads = tuple(f"{one.space}: drawn images" for one in maker.copying)
    return Examined(maker, state, mark, finding, heads, lines(maker.copying), pairs, _usual(shown) if shown else "")


def lines(spaces: Sequence[CopyingInSpace]) -> tuple[Line, ...]:
    """Return the rows of one generator's table."""
    return tuple(
        Line(one.name, one.meaning, tuple((one.drawn(space), one.beside(space)) for space in spaces))
        for one in MEASURES
    )


def counted(spaces: Sequence[CopyingInSpace], splits: int) -> str:
    """Say how many images the numbers rest on.

    >>> counted((), 2)
    ''
    """
    if not spaces:
        return ""
    how = "In one split" if splits == 1 else f"Means over {splits} splits, in each about"
    return f"{how} {spaces[0].drawn:,.0f} drawn and {spaces[0].held_out:,.0f} held-out real images"


def traces(spaces: Sequence[CopyingInSpace]) -> str:
    """Say where drawn images, without being copies, tell which real ones were trained on; empty where they do not."""
    found = [one for one in spaces if one.membership is not None and (one.membership_low or 0.0) > 0.5]
    if not found:
        return ""
    listed = "; ".join(
        f"{one.space}: AUC {plain(one.membership)}, at least {plain(one.membership_low)}" for one in found
    )
    return (
        f"Yet its images lie nearer to those that it was trained on than to new ones, and so tell which these were "
        f"({listed}; chance {CHANCE}). That is overfitting, short of copying."
    )


def _pairs(closest: Closest) -> tuple[Pairs, ...]:
    return tuple(
        Pairs(
            item.name,
            [picture(image) for image in item.drawn],
            [picture(image) for image in item.nearest],
            [plain(float(value)) for value in item.distances],
        )
        for item in closest.classes
    )


def _usual(closest: Closest) -> str:
    return (
        f"Distances between images brought to mean 0 and length 1 (at most 32 pixels a side): 0 is a copy. Nearly no "
        f"held-out real image lies nearer than {plain(closest.threshold)} to a training image."
    )


def _percent(read: Callable[[CopyingInSpace], float]) -> Callable[[CopyingInSpace], str]:
    return lambda one: share(read(one), 1)


def _fixed(text: str) -> Callable[[CopyingInSpace], str]:
    return lambda one: text


def _worst(one: CopyingInSpace) -> str:
    name, rate = one.worst_class
    return f"{share(rate, 1)} ({name})" if math.isfinite(rate) else DASH


def _at_least(text: str, low: str) -> str:
    return text if low == DASH else f"{text} (≥ {low})"


MEASURES = (
    Measure(
        "Copy rate",
        "drawn images nearer to a training image than nearly all held-out real ones; in brackets a lower 95 % bound",
        lambda one: _at_least(share(one.rate, 1), share(one.rate_lower, 1)),
        _percent(lambda one: one.rate_expected),
    ),
    Measure(
        "Copy rate, worst class",
        "the same in the class that has most of them",
        _worst,
        _percent(lambda one: one.rate_expected),
    ),
    Measure(
        "Authenticity",
        "drawn images farther from their nearest training image than that one is from its own nearest; copies have 0 %",
        _percent(lambda one: one.authenticity),
        _percent(lambda one: one.authenticity_real),
    ),
    Measure(
        "Neighbour ratio below 1/3",
        "drawn images three times nearer to one training image than to any other",
        _percent(lambda one: one.ratio_share),
        _percent(lambda one: one.ratio_share_real),
    ),
    Measure(
        "Closer to training",
        "drawn images nearer to training than to held-out images, as many of both",
        _percent(lambda one: one.closer),
        _fixed("50.0 %"),
    ),
    Measure(
        "C_T",
        "distances to training images, drawn against held-out, as a standard score; below -3: data copying",
        lambda one: plain(one.c_t, 2),
        _fixed("0.00"),
    ),
    Measure(
        "Training groups copied",
        "groups (patients) in the training images of which at least one image has such a near drawn one",
        _percent(lambda one: one.groups),
        _fixed(DASH),
    ),
    Measure(
        "Duplicates in the pool",
        "drawn images with a near twin among the drawn images",
        _percent(lambda one: one.duplicates),
        _fixed(share(DUPLICATES, 1)),
    ),
    Measure(
        "Membership AUC",
        "do the drawn images tell which real images were trained on? 0.5: no, 1: all; in brackets a lower 95 % bound",
        lambda one: _at_least(plain(one.membership), plain(one.membership_low)),
        _fixed(CHANCE),
    ),
    Measure(
        "Members found",
        "training images found that way, where so many others are taken for such as stand beside",
        lambda one: share(one.membership_tpr, 1),
        lambda one: share(one.membership_fpr, 1),
    ),
    Measure(
        "DOMIAS AUC",
        "the same question, asked by where drawn images lie denser than real ones",
        lambda one: plain(one.domias),
        _fixed(CHANCE),
    ),
)
