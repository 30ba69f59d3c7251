"""What a study would do about what was seen: one finding each, with what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from augury.look.overview import Look, Twins
from augury.look.shortcuts import Shortcut
from augury.splits import suggested_folds

FEWEST = 3  # groups of a class that a split needs
FEW = 10  # groups of the rarest class, below which no verdict is given
IMBALANCED = 1.25

Weight = Literal["good", "note", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that was seen, and what a study would do about it.

    Attributes:
        topic: unreadable, blank, levels, groups, exact, near, shortcuts, classes, parts, files.
        weight: good (nothing to do), note, or warning (look at it).
        seen: What was seen.
        study: What a study does about it.
        advice: What its owner might do; may be empty.
    """

    topic: str
    weight: Weight
    seen: str
    study: str
    advice: str = ""


def findings(seen: Look) -> tuple[Finding, ...]:
    """Return what there is to say about some images.

    Example:
        >>> from augury.look import look
        >>> [finding.topic for finding in findings(look("digits")) if finding.weight == "good"]
        ['exact']
    """
    return tuple(
        finding
        for part in (_classes, _parts, _unreadable, _files, _blank, _levels, _groups, _exact, _near, _shortcuts)
        for finding in part(seen)
    )


def _classes(seen: Look) -> Iterator[Finding]:
    numbers = seen.groups_in_classes
    rarest = min(numbers, key=lambda name: numbers[name])
    unit = "group" if seen.group_sizes else "image"
    few = many(numbers[rarest], unit)
    if numbers[rarest] < FEWEST:
        advice = "Add images, or remove the class."
        yield Finding("classes", "warning", f"class {rarest!r} has {few}", f"none: a split needs {FEWEST}", advice)
    elif numbers[rarest] < FEW:
        verdict = f"at most EXPLORATORY: a verdict needs {FEW} in every class; {suggested_folds(seen.images)} folds"
        yield Finding("classes", "warning", f"the rarest class, {rarest!r}, has {few}", verdict)
    else:
        yield Finding(
            "classes", "note", f"the rarest class, {rarest!r}, has {few}", f"{suggested_folds(seen.images)} folds"
        )
    counts = seen.images.counts()
    if max(counts) >= IMBALANCED * max(1, min(counts)):
        ratio = max(counts) / max(1, min(counts))
        yield Finding(
            "classes",
            "note",
            f"the largest class is {ratio:.1f} times as large as the smallest",
            "class-balanced sampling runs as a rival, balancing as a dose",
        )


def _parts(seen: Look) -> Iterator[Finding]:
    if seen.images.parts is not None:
        yield Finding(
            "parts",
            "note",
            "the images come with given parts",
            "pools them and cuts folds; --split given scores the given test part, and is at most SUGGESTIVE",
        )
        across = seen.spanning(seen.images.parts) if seen.images.groups_given else ()
        if across:
            yield Finding(
                "groups",
                "warning",
                f"{many(len(across), 'group')} with images in several given parts, first {across[0]!r}",
                "folds keep each group in one part; --split given is refused",
                "The given split leaks: do not use it.",
            )


def _unreadable(seen: Look) -> Iterator[Finding]:
    skipped = seen.reading.skipped
    if skipped:
        first = f"{skipped[0].name} {skipped[0].reason}"
        yield Finding(
            "unreadable",
            "warning",
            f"{many(len(skipped), 'file')} cannot be read, first: {first}",
            "refuses to start; with --skip-unreadable it goes on without them and lists them",
        )


def _files(seen: Look) -> Iterator[Finding]:
    if seen.misnamed:
        first = f"{many(len(seen.misnamed), 'file')} named for another format, first {seen.misnamed[0]}"
        yield Finding("files", "note", first, "reads them by their content")
    if seen.several:
        yield Finding("files", "note", f"{many(seen.several, 'file')} with several pictures", "takes the first picture")
    if len(seen.sizes) > 1:
        _, H, W = seen.images.shape
        yield Finding(
            "files",
            "note",
            f"{len(seen.sizes)} sizes",
            f"brings all to {H} x {W} (--size), other shapes by stretching (--fit crop, pad)",
        )


def _blank(seen: Look) -> Iterator[Finding]:
    if seen.blank:
        yield Finding(
            "blank",
            "warning",
            f"{many(len(seen.blank), 'image')} nearly of one value, first {seen.blank[0]}",
            "uses them like any other",
            "Look at them; remove those on which there is nothing.",
        )


def _levels(seen: Look) -> Iterator[Finding]:
    if seen.reading.levels:
        yield Finding(
            "levels",
            "note",
            seen.reading.levels,
            "says so in the report",
            "Declare it: --levels 'window CENTRE WIDTH'.",
        )


def _groups(seen: Look) -> Iterator[Finding]:
    if not seen.group_sizes:
        yield Finding(
            "groups",
            "warning",
            "no groups: nothing says which images belong to one patient, lesion or part",
            "takes each image for itself, and warns that independence is not assured",
            "Give them: --group COLUMN, folder or a pattern.",
        )
        return
    sizes = seen.group_sizes
    middle = sizes[len(sizes) // 2]
    text = f"{len(sizes):,} groups of {sizes[-1]} to {sizes[0]} images (median {middle})"
    yield Finding("groups", "note", text, "keeps each group in one part of every split")
    mixed = seen.spanning(seen.images.labels.tolist())
    if mixed:
        yield Finding(
            "groups",
            "note",
            f"{many(len(mixed), 'group')} with images of several classes, first {mixed[0]!r}",
            "keeps them together all the same",
        )


def _exact(seen: Look) -> Iterator[Finding]:
    exact = [twins for twins in seen.twins if twins.exact]
    if not exact:
        yield Finding("exact", "good", "no exact duplicates", "nothing")
    yield from _by_kind("exact", exact)


def _near(seen: Look) -> Iterator[Finding]:
    near = [twins for twins in seen.twins if not twins.exact]
    if seen.small:
        yield Finding("near", "note", "images this small look alike", "looks for exact duplicates only")
    elif not near:
        yield Finding("near", "good", "no near duplicates", "nothing")
    yield from _by_kind("near", near)


def _by_kind(topic: str, twins: Sequence[Twins]) -> Iterator[Finding]:
    for kind in dict.fromkeys(item.kind for item in twins):
        items = [item for item in twins if item.kind == kind]
        first = f"{many(len(items), 'group')} of {topic} duplicates {kind}, first: {joined(items[0])}"
        weight: Weight = "note" if kind == "within a class" else "warning"
        yield Finding(topic, weight, first, _done_about(items[0]), _advice(items[0]))


def _done_about(twins: Twins) -> str:
    if twins.exact and twins.across_classes:
        return "sets all copies aside and lists them"
    kept = "keeps them in one part of every split"
    return f"{kept}; with --split given the copy outside the test part is left out" if twins.across_parts else kept


def _advice(twins: Twins) -> str:
    if not twins.across_classes:
        return ""
    other = "conflicting_duplicates = 'join' keeps them" if twins.exact else "near_duplicates = 'leave' ignores them"
    return f"Find out which label is right, and remove the other. In a study file, {other}."


def _shortcuts(seen: Look) -> Iterator[Finding]:
    for shortcut in seen.shortcuts:
        if shortcut.gives_away:
            yield Finding("shortcuts", "warning", shortcut.told(seen.images.classes), *_about(shortcut))


def _about(shortcut: Shortcut) -> tuple[str, str]:
    if shortcut.property == "border":
        return "leaves the pixels as they are", "Crop what is not the subject, or see whether it belongs to it."
    trace = {"format": "compression marks", "size": "blur or sharpness", "mode": "tint and depth"}[shortcut.property]
    return (
        f"reads pixels only, all at one size; traces of the {shortcut.property} ({trace}) stay in them",
        "A score on such images may be the scanner's or the source's. Get images of all classes from one source.",
    )


def joined(twins: Twins) -> str:
    """Return the names of some duplicates with what differs among them.

    Example:
        >>> joined(Twins(("train/1", "test/2"), ("a", "b"), ("train", "test"), True))
        'train/1 (a) = test/2 (b)'
    """
    differs = twins.across_classes
    items = [f"{name} ({label})" if differs else name for name, label in zip(twins.names, twins.labels, strict=True)]
    if twins.across_parts and twins.parts and not all("/" in n and n.split("/")[0] in twins.parts for n in twins.names):
        items = [f"{part}: {item}" for part, item in zip(twins.parts, items, strict=True)]
    return (" = " if twins.exact else " ~ ").join(items)


def many(count: int, one: str) -> str:
    """Return a count with its noun.

    Example:
        >>> many(1, "file"), many(2, "file")
        ('1 file', '2 files')
    """
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"
