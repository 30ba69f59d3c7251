"""A look in words: lines for a terminal, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from augury.look.findings import findings, joined
from augury.look.overview import Look, Twins

MOST = 10  # values or groups listed one by one in a terminal
MARKS = {"good": "  ok", "note": "   ·", "warning": "   !"}


def as_text(seen: Look) -> list[str]:
    """Return a look as lines of plain text."""
    images = seen.images
    C, H, W = images.shape
    kind = "grey" if C == 1 else "colour"
    lines = [f"{seen.source}: {len(images):,} images of {len(images.classes)} classes; read as {H} x {W}, {kind}", ""]
    lines += _class_table(seen)
    lines += [
        "",
        f"sizes:   {_listed(seen.sizes)}",
        f"formats: {_listed(seen.formats)}",
        f"modes:   {_listed(seen.modes)}",
    ]
    lines.append("")
    for finding in findings(seen):
        lines.append(f"{MARKS[finding.weight]} {finding.seen}")
        lines.append(f"       A study: {finding.study}.{f' {finding.advice}' if finding.advice else ''}")
    lines += _twins_listed(seen)
    lines += _skipped_listed(seen)
    return lines


def _class_table(seen: Look) -> Iterator[str]:
    parts = list(next(iter(seen.counts.values())))
    groups = {"groups": seen.groups_in_classes} if seen.group_sizes else {}
    head = ["images", *(part for part in parts if part), *groups]
    rows = [
        [sum(own.values()), *(own[part] for part in parts if part), *(table[name] for table in groups.values())]
        for name, own in seen.counts.items()
    ]
    width = max(len(name) for name in ("class", *seen.counts))
    yield f"  {'class':<{width}}" + "".join(f"{name:>9}" for name in head)
    for name, row in zip(seen.counts, rows, strict=True):
        yield f"  {name:<{width}}" + "".join(f"{number:>9,}" for number in row)


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{name} ({count:,})" for name, count in list(counts.items())[:MOST]]
    more = [f"{len(counts) - MOST} more"] if len(counts) > MOST else []
    return ", ".join(shown + more)


def _twins_listed(seen: Look) -> Iterator[str]:
    for exact, title in ((True, "exact duplicates"), (False, "near duplicates")):
        twins = [item for item in seen.twins if item.exact == exact]
        if len(twins) < 2:
            continue  # the only one stands in its finding
        yield ""
        yield f"{title}: {len(twins)} groups"
        yield from (f"  {item.kind}: {joined(item)}" for item in _worst_first(twins)[:MOST])
        if len(twins) > MOST:
            yield f"  and {len(twins) - MOST} more (--json lists all)"


def _worst_first(twins: list[Twins]) -> list[Twins]:
    return sorted(twins, key=lambda item: (not item.across_classes, not item.across_parts))


def _skipped_listed(seen: Look) -> Iterator[str]:
    skipped = seen.reading.skipped
    if len(skipped) < 2:
        return
    yield ""
    yield f"unreadable: {len(skipped)} files"
    yield from (f"  {item.name} {item.reason}" for item in skipped[:MOST])
    if len(skipped) > MOST:
        yield f"  and {len(skipped) - MOST} more (--json lists all)"


def as_json(seen: Look) -> dict[str, Any]:
    """Return a look as values that JSON can hold."""
    images = seen.images
    return {
        "source": seen.source,
        "images": len(images),
        "classes": seen.counts if images.parts else {name: own[""] for name, own in seen.counts.items()},
        "shape": list(images.shape),
        "sizes": seen.sizes,
        "formats": seen.formats,
        "modes": seen.modes,
        "levels": seen.reading.levels,
        "misnamed": list(seen.misnamed),
        "blank": list(seen.blank),
        "groups": _groups(seen),
        "exact_duplicates": [_twins(item) for item in seen.twins if item.exact],
        "near_duplicates": [_twins(item) for item in seen.twins if not item.exact],
        "unreadable": [{"name": item.name, "reason": item.reason} for item in seen.reading.skipped],
        "shortcuts": [asdict(shortcut) for shortcut in seen.shortcuts],
        "findings": [asdict(finding) for finding in findings(seen)],
    }


def _groups(seen: Look) -> dict[str, Any] | None:
    if not seen.group_sizes:
        return None
    sizes = seen.group_sizes
    return {
        "count": len(sizes),
        "by_class": seen.groups_in_classes,
        "images_per_group": {"least": sizes[-1], "median": sizes[len(sizes) // 2], "most": sizes[0]},
        "across_classes": list(seen.spanning(seen.images.labels.tolist())),
        "across_given_splits": list(seen.spanning(seen.images.parts)) if seen.images.parts else [],
    }


def _twins(item: Twins) -> dict[str, Any]:
    return {
        "names": list(item.names),
        "labels": list(item.labels),
        "parts": list(item.parts) if item.parts else None,
        "kind": item.kind,
    }
