"""The card of a set that is handed over: where its images come from, what they are for, and what is not known."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import augury
from augury.files import printable
from augury.generators.external import SEEN
from augury.handover.choice import Chosen
from augury.handover.nearness import FEWEST, SIDE, Audit
from augury.handover.write import ARRAYS, CHECKSUMS, DROPPED, IMAGES, Handed
from augury.readers import ReadSettings, content_digest
from augury.readers.drawn import MANIFEST
from augury.settings import lists

_MARKS = re.compile(r"([\\`*_\[\]|#!~])")
REAL_WORDS = {
    "link": "the files themselves, linked: they keep their own size, and a change to one changes the original",
    "copy": "PNG, at the size of the synthetic ones",
    "none": "left out",
}


def card_text(handed: Handed) -> str:
    """Return the card as Markdown; names and settings are text in it, whatever they hold."""
    parts = (_head, _provenance, _generator, _drawn, _audit, _use, _limits, _files)
    return "\n".join(line for part in parts for line in (*part(handed), "")).rstrip() + "\n"


def plain(text: object) -> str:
    r"""Return text that is nothing but text in Markdown and HTML.

    Example:
        >>> plain("<b>[a](javascript:b)")
        '&lt;b&gt;\\[a\\](javascript:b)'
    """
    return _MARKS.sub(r"\\\1", html.escape(printable(str(text)), quote=False))


def _head(handed: Handed) -> Iterator[str]:
    real = len(handed.plan.images) if handed.real != "none" else 0
    yield f"# Training images: {plain(Path(handed.plan.source).name)}, with synthetic ones"
    yield ""
    yield f"{real} real and {sum(handed.added)} synthetic images, made by Augury {augury.__version__}."
    yield from (plain(note) + "." * (not note.endswith(".")) for note in handed.notes)


def _provenance(handed: Handed) -> Iterator[str]:
    plan, images = handed.plan, handed.plan.images
    yield "## Where the real images come from"
    yield ""
    digest = content_digest(plan.source, plan.how)
    yield f"- Source: {plain(Path(plan.source).name)}; SHA-256 of its content: `{digest}`"
    usual = ReadSettings().settings()
    changed = {name: value for name, value in plan.how.settings().items() if value != usual[name]}
    yield f"- Read as {_size(images.shape)}; settings: {plain(lists(changed) or 'the defaults')}"
    yield f"- Handed over: {REAL_WORDS[handed.real]}"
    held_back = len(plan.everything) - len(images)
    if held_back:
        yield f"- {held_back} images of the source are held back, and are not in this set"
    if images.groups_given:
        yield f"- {len(set(images.group_names))} groups (patients, lesions, ...): keep each in one part of any split"
    yield ""
    yield from _table(
        ("class", "real", "synthetic", "wanted"),
        zip(images.classes, images.counts(), handed.added, handed.chosen.wanted, strict=True),
    )


def _table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    yield from ("| " + " | ".join(map(plain, row)) + " |" for row in rows)


def _size(shape: tuple[int, int, int]) -> str:
    C, H, W = shape
    return f"{H} x {W} pixels (height x width), {'grey' if C == 1 else 'colour'}"


def _generator(handed: Handed) -> Iterator[str]:
    maker = handed.maker
    yield "## What made the synthetic images"
    yield ""
    yield from (f"- {plain(remark)}" for remark in handed.plan.remarks)
    yield f"- Generator: {plain(maker.kind)}, version {maker.version}, {maker.parameters:,} trained weights"
    yield f"- Settings: {plain(dict(maker.settings))}"
    yield f"- Fitted on {sum(maker.counts)} images with seed {maker.seed}; drawn with seed {handed.seed}"
    if maker.contains_training_images:
        yield "- Its model holds images that it was fitted on, and what it draws is made of them"


def _drawn(handed: Handed) -> Iterator[str]:
    chosen, curation = handed.chosen, handed.plan.curation
    yield "## Which of them are here"
    yield ""
    yield f"- Wanted: {plain(handed.plan.policy.label)}; filters and selection: {plain(curation.label)}"
    if any(rule.judged for rule in curation.filters):
        yield f"- Judges: {plain(curation.judge.kind)}, cross-fitted on the real images above"
    yield f"- Drawn: {len(chosen.pool)}; kept: {sum(handed.added)}; {_lost(chosen)}"
    yield from (f"- Too few: {plain(sentence)}" for sentence in chosen.shortfall())


def _lost(chosen: Chosen) -> str:
    lost = Counter(filter(None, chosen.reasons))
    return "dropped: " + (", ".join(f"{count} {plain(why)}" for why, count in sorted(lost.items())) or "none")


def _audit(handed: Handed) -> Iterator[str]:
    audit = handed.audit
    yield "## Copies"
    yield ""
    yield "- No synthetic image here equals a real one pixel by pixel, or looks the same as another image of this set"
    yield (
        f"- Root mean squared pixel difference (0 to 255, at most {SIDE} pixels a side) to the nearest image that the "
        f"generator was fitted on: {_spread(audit)}"
    )
    yield f"- {_compared(audit)}"


def _spread(audit: Audit) -> str:
    if not len(audit.distances):
        return "not known, for none of those images is among the real ones above"
    low, middle, high = np.quantile(audit.distances, [0.0, 0.5, 1.0])
    return f"{low:.2f} at least, {middle:.2f} in the middle, {high:.2f} at most"


def _compared(audit: Audit) -> str:
    if audit.decision is None or audit.controls is None:
        return (
            "Whether that is suspiciously near is not known: it takes real images that the generator has not seen, of "
            f"at least {FEWEST} other groups, and there are {audit.held_out}. Fit it on a part of the images "
            "(--part train) to find out"
        )
    said = audit.decision.sentence.rstrip(".")
    said = f"**{said}**" if audit.decision.state == "red" else said
    return f"Against real images of {audit.held_out} held-out groups, {said}. Controls: {audit.controls.sentence}"


def _use(handed: Handed) -> Iterator[str]:
    yield "## What it is for"
    yield ""
    yield "- Training classifiers of the classes above"
    yield "- Not for testing: a score on synthetic images says nothing of real ones. Test on real ones of other groups"
    if handed.real == "link":
        yield (
            f"- Bring all images to {_size(handed.plan.images.shape)} before training: the synthetic ones have that "
            "size, and a network that sees two sizes or two degrees of sharpness learns them instead"
        )


def _limits(handed: Handed) -> Iterator[str]:
    yield "## Limits"
    yield ""
    if not handed.plan.remarks:
        yield "- No study has shown that these images help a classifier. `augury try` finds out"
    yield "- The synthetic images repeat what the real ones hold, mistakes and gaps of their collection included"
    yield "- They are derived from the real images: rules on use and sharing of those hold for them, too"
    yield f"- Whoever tests on images listed in {SEEN} by their digests tests on images that the generator saw"


def _files(handed: Handed) -> Iterator[str]:
    yield "## Files"
    yield ""
    if handed.form == "npz":
        yield f"- `{ARRAYS}`: images (N, H, W) or (N, H, W, 3) uint8, labels, classes, synthetic, groups"
    else:
        yield f"- `{IMAGES}`: a folder per class, `real-*` and `syn-*`"
    yield f"- `{MANIFEST}`: a row per image; `{DROPPED}`: the drawn images that are not here, and why"
    yield f"- `{SEEN}`: digests of the images that the generator saw; `{CHECKSUMS}`: `sha256sum -c` checks all files"
    yield "- To load: `images = augury.handover.load('.')`, `augury.handover.as_dataset(images)`, or"
    if handed.form == "npz":
        yield f"  `numpy.load('{ARRAYS}')`"
    else:
        yield f"  `torchvision.datasets.ImageFolder('{IMAGES}')`"
