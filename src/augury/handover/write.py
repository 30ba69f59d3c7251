"""The files of a set that is handed over: images in class folders or one .npz, a manifest, digests, checksums."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from augury.files import formula_safe
from augury.generators.base import Card
from augury.generators.external import write_seen
from augury.handover.choice import Chosen
from augury.handover.nearness import Audit
from augury.handover.plan import Plan
from augury.images import ImageSet
from augury.models import slug
from augury.readers import Reading
from augury.readers.class_folders import PART_FOLDERS
from augury.readers.drawn import MANIFEST
from augury.readers.tree import FolderTree, visible
from augury.stored import join

Form = Literal["folders", "npz"]
Real = Literal["link", "copy", "none"]

FORMAT = 1
FACTS, DROPPED, CHECKSUMS, ARRAYS = "handover.json", "dropped.csv", "checksums.sha256", "train.npz"
IMAGES = "images"
PLAIN = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")  # what other libraries open, too


@dataclass(frozen=True, eq=False)
class Handed:
    """A set that is handed over.

    Attributes:
        plan: What was asked for.
        maker: What the generator says of itself.
        chosen: What was drawn and what became of it.
        audit: What the distances to the generator's training images say.
        form: `folders` or `npz`.
        real: What became of the real images: `link`, `copy` or `none`.
        seed: Seed of everything.
        notes: What is not as it was asked for, or needs care.
    """

    plan: Plan
    maker: Card
    chosen: Chosen
    audit: Audit
    form: Form
    real: Real
    seed: int
    notes: tuple[str, ...]

    @property
    def added(self) -> tuple[int, ...]:
        """Return the synthetic images of each class."""
        return self.chosen.kept().counts()


def folder_of(source: str) -> FolderTree | None:
    """Return the folder that the image files of a source lie in, if they lie in one."""
    path = Path(source)
    if path.is_dir():
        return FolderTree(path)
    return FolderTree(path.parent) if path.is_file() and path.suffix.lower() in (".csv", ".tsv") else None


def linkable(source: str, real: Reading) -> str:
    """Say why real images cannot be handed over as the files that they are; empty if they can."""
    tree = folder_of(source)
    if tree is None or not tree.has(real.images.names[0]):
        return "the images are no files in a folder"
    for name, facts in zip(real.images.names, real.facts, strict=True):
        if facts.wide or Path(name).suffix.lower() not in PLAIN:
            return f"{name} is no image of 8 bits that other programs read"
    return ""


def write_set(handed: Handed, folder: Path) -> None:
    """Write all but the card and the checksums into an existing folder."""
    images, kept = handed.plan.images, handed.chosen.kept()
    if handed.form == "npz":
        _write_arrays(handed, images, kept, folder / ARRAYS)
        first = 0 if handed.real == "none" else len(images)
        real, drawn = ([str(row) for row in rows] for rows in (range(first), range(first, first + len(kept))))
    else:
        real, drawn = _write_folders(handed, images, kept, folder)
    _write_tables(handed, real, drawn, folder)
    write_seen(folder, handed.maker)
    (folder / FACTS).write_text(json.dumps(_facts(handed), indent=1), encoding="utf-8")


def class_folders(classes: Sequence[str]) -> list[str]:
    """Return a folder name for each class: its own name where all are harmless, else a number and what is harmless.

    Example:
        >>> class_folders(["benign", "malignant"]), class_folders(["a/b", "../c"])
        (['benign', 'malignant'], ['00-a-b', '01-c'])
    """
    plain = [slug(name) for name in classes]
    clear = len({name.lower() for name in plain}) == len(plain) and all(map(visible, plain))
    if clear and plain == list(classes) and not set(map(str.lower, plain)) & set(PART_FOLDERS):
        return plain
    return [f"{label:02d}-{name}" for label, name in enumerate(plain)]


def _write_folders(handed: Handed, images: ImageSet, kept: ImageSet, folder: Path) -> tuple[list[str], list[str]]:
    """Write PNGs and links; return the paths of the real and of the synthetic images."""
    homes = class_folders(images.classes)
    real, drawn = [], []
    tree = folder_of(handed.plan.source) if handed.real == "link" else None
    for i, name in enumerate(images.names if handed.real != "none" else ()):
        suffix = Path(name).suffix.lower() if tree else ".png"
        stem = slug(Path(name).stem)
        real.append(f"{IMAGES}/{homes[int(images.labels[i])]}/real-{i:06d}-{stem}{suffix}")
        target = _placed(folder / real[-1])
        if tree:
            link_or_copy(tree.root / name, target)
        else:
            _image(images.images[i].numpy()).save(target)
    for j, name in enumerate(kept.names):
        index = int(name.rpartition("/")[2])
        drawn.append(f"{IMAGES}/{homes[int(kept.labels[j])]}/syn-{slug(handed.maker.kind)}-{index:06d}.png")
        _image(kept.images[j].numpy()).save(_placed(folder / drawn[-1]))
    return real, drawn


def link_or_copy(source: Path, target: Path) -> None:
    """Make a hard link, or a copy where the system makes none (another disk, other rights)."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _placed(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _write_arrays(handed: Handed, images: ImageSet, kept: ImageSet, path: Path) -> None:
    parts = [kept] if handed.real == "none" else [images, kept]
    pixels = join([part.images for part in parts])[:].numpy()
    groups = [*(images.groups or [""] * len(images)) * (len(parts) == 2), *[""] * len(kept)]
    np.savez_compressed(
        path,
        images=pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1),
        labels=np.concatenate([part.labels.numpy() for part in parts]),
        classes=np.array(images.classes),
        synthetic=np.concatenate([part.synthetic.numpy() for part in parts]),
        groups=np.array(groups),
    )


def _write_tables(handed: Handed, real: Sequence[str], drawn: Sequence[str], folder: Path) -> None:
    """Write a row per image: the manifest of those that are here, and beside it, alike, the dropped ones.

    They stand apart so that the manifest is a table of images that readers take.
    """
    chosen = handed.chosen
    dropped = [row for row, reason in enumerate(chosen.reasons) if reason]
    scores = [f"score {name}" for name in chosen.scores]
    header = ["path", "label", "synthetic", "seed", "maker", *scores, "nearest_real", "nearest_distance"]
    header += ["kept", "reason", "group", "name"]
    here = [*_real_rows(handed.plan.images, real, len(scores)), *_drawn_rows(handed, chosen.order, drawn)]
    for name, rows in ((MANIFEST, here), (DROPPED, _drawn_rows(handed, dropped, [""] * len(dropped)))):
        with (folder / name).open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)


def _real_rows(images: ImageSet, paths: Sequence[str], scores: int) -> Iterator[list[Any]]:
    for i, path in enumerate(paths):
        label, group = images.classes[int(images.labels[i])], images.groups[i] if images.groups else ""
        blank = [""] * (4 + scores)  # seed, maker, scores, nearest
        yield [path, formula_safe(label), 0, *blank, 1, "", formula_safe(group), formula_safe(images.names[i])]


def _drawn_rows(handed: Handed, rows: Sequence[int], paths: Sequence[str]) -> Iterator[list[Any]]:
    chosen, pool = handed.chosen, handed.chosen.pool
    for row, path in zip(rows, paths, strict=True):
        near = formula_safe(handed.plan.images.names[int(chosen.nearest[row])])
        label, seed = formula_safe(pool.classes[int(pool.labels[row])]), pool.columns["seed"][row]
        scores = [f"{found[row]:.6g}" for found in chosen.scores.values()]
        made = [path, label, 1, seed, pool.columns["maker"][row], *scores]
        fate = [int(not chosen.reasons[row]), chosen.reasons[row]]
        yield [*made, near, f"{chosen.distances[row]:.3f}", *fate, "", formula_safe(pool.names[row])]


def _facts(handed: Handed) -> dict[str, Any]:
    classes = handed.plan.images.classes
    return {
        "format": FORMAT,
        "form": handed.form,
        "real": handed.real,
        "classes": classes,
        "folders": class_folders(classes),
        "shape": handed.plan.images.shape,
        "fit": handed.plan.how.fit,
    }


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder, as `sha256sum -c` reads them."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder).as_posix()}\n")
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
