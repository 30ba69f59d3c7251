"""`external`: synthetic images that were made elsewhere, read like any images and drawn without repeats."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from augury.errors import DataError
from augury.files import formula_safe
from augury.generators.base import Card, Generator, Sampler
from augury.generators.repeat import members_by_class
from augury.images import ImageSet
from augury.readers import Reading, content_digest, is_place, read_source
from augury.readers.drawn import lies_in, settings_for_drawn, tree_of
from augury.readers.how import ClassNames
from augury.readers.tree import FolderTree, Tree, UnreadableError
from augury.seeds import numbers_for
from augury.settings import nearest
from augury.training import Run

SEEN = "seen.json"  # what Augury writes beside the images that it draws
ABOUT = "external.json"
ELSEWHERE = "the images made elsewhere"


class External(Generator):
    """Draw from synthetic images that were made elsewhere; nothing is trained.

    A pool that was made elsewhere is finite: image j of a class is the j-th of its images in a seeded order, and where
    there are no more, none is drawn. A table that Augury wrote names the classes of its images and tells them from
    real ones (no maker); `seen.json` beside it says which images their maker saw.

    Example:
        >>> import tempfile, numpy as np
        >>> from augury.images import real_set
        >>> real = real_set(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), ["benign", "malignant"])
        >>> made = np.arange(4 * 12 * 12, dtype=np.uint16).astype(np.uint8).reshape(4, 12, 12)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/made.npz", images=made, labels=[0, 0, 0, 1], classes=["Benign tumour", "malignant"])
        ...     recipe = External(source=f"{folder}/made.npz", classes={"Benign tumour": "benign"})
        ...     sampler = recipe.fit(real, Run(seed=0))
        >>> sampler.draw({"benign": 9}, seed=0)
        ImageSet(3 images (1, 8, 8); benign: 3, malignant: 0)
        >>> sampler.unknown_training_set
        True
    """

    kind: ClassVar[str] = "external"
    summary: ClassVar[str] = "synthetic images made elsewhere: a folder, .zip, .npz or table of them"

    source: str = Field(description="folder, .zip, .npz or table of the images; a path is relative to the study file")
    classes: ClassNames = Field(
        default=(), description="their class names and what each is in the study; '' leaves a class out"
    )
    fitting: Literal["stretch", "crop", "pad"] = Field(default="stretch", description="how other shapes are fitted")
    skip_unreadable: bool = Field(default=False, description="go on without files that cannot be read")

    @model_validator(mode="before")
    @classmethod
    def _somewhere(cls, values: Any) -> Any:
        if "source" not in values and set(values) <= set(cls.model_fields):
            raise ValueError(
                "a 'source' was expected, the folder, .zip, .npz or table of the images. Got none: write it into a "
                'study file, [[generators]] kind = "external", source = "synthetic/".'
            )
        return values

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: the images count by their content, not by their place.

        Raises:
            DataError: If nothing can read the source.
        """
        return {**self.settings(), "source": _content(self.source, tuple(_stamps(self.source)))}

    def fit(self, train: ImageSet, run: Run) -> ExternalSampler:
        """Read the images at the size of the training images, of which nothing else is used.

        Raises:
            DataError: If the images cannot be read, or are of a class that the training images do not have.
        """
        reading, seen = self._read(train), _seen(self.source)
        pool = self._pool(reading.images, train.classes)
        card = Card.of(self, train, run.seed)
        card = replace(card, seen=card.seen | (seen or frozenset()))
        return ExternalSampler(card, pool, unknown_training_set=seen is None, notes=_notes(pool, train, reading))

    @classmethod
    def load(cls, folder: Path, card: Card, device: str = "cpu") -> ExternalSampler:
        """Open the kept images."""
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return ExternalSampler(card, ImageSet.load(folder), about["unknown_training_set"], tuple(about["notes"]))

    def _read(self, train: ImageSet) -> Reading:
        C, H, W = train.shape
        settings = settings_for_drawn(
            self.source,
            size=(H, W),
            fit=self.fitting,
            channels="grey" if C == 1 else "auto",
            skip_unreadable=True,
        )
        try:
            reading = read_source(self.source, settings)
        except DataError as error:
            raise DataError(f"{ELSEWHERE}: {error}") from None
        if reading.skipped and not self.skip_unreadable:
            first, count = " ".join(reading.skipped[0]), len(reading.skipped)
            more = f" {count - 1} more cannot be read either." if count > 1 else ""
            raise DataError(f"{ELSEWHERE}: {first}{more} To go on without: skip_unreadable = true.")
        return reading

    def _pool(self, images: ImageSet, classes: tuple[str, ...]) -> ImageSet:
        """Return the images that are synthetic and of some class, under the classes of the study."""
        by_augury = {"maker", "seed"} <= set(images.columns)
        drawn = images.take([i for i, maker in enumerate(images.columns["maker"]) if maker]) if by_augury else images
        present = sorted(set(drawn.labels.tolist()))
        label_of = {label: self._label(drawn.classes[label], classes) for label in present}
        labels = torch.tensor([label_of[label] for label in drawn.labels.tolist()], dtype=torch.int64)
        taken = drawn.take(labels >= 0)
        return ImageSet(
            images=taken.images,
            labels=labels[labels >= 0],
            classes=classes,
            names=taken.names,
            digests=taken.digests,
            synthetic=torch.ones(len(taken), dtype=torch.bool),
        )

    def _label(self, name: str, classes: tuple[str, ...]) -> int:
        """Return the label of a class in the study, -1 if it is left out."""
        meant = dict(self.classes).get(name, name)
        if meant == "" != name:
            return -1
        known = {formula_safe(each): label for label, each in enumerate(classes)}  # as a table has them
        known |= {each: label for label, each in enumerate(classes)}
        if meant not in known:
            mapped = "" if meant == name else f", by 'classes' {meant!r}"
            raise DataError(
                f"{ELSEWHERE} have a class {name!r}{mapped}, which the study does not have"
                f"{nearest(meant, list(classes))} Say what it is: classes = {{ {json.dumps(name)} = ... }}; "
                '"" leaves it out.'
            )
        return known[meant]


class ExternalSampler(Sampler):
    """Gives the images of each class, each once.

    Attributes:
        pool: The images, under the classes of the study.
        unknown_training_set: Nothing says which images their maker saw.
        notes: What else a reader of the results should know, in sentences.
    """

    def __init__(self, card: Card, pool: ImageSet, unknown_training_set: bool, notes: tuple[str, ...]) -> None:
        super().__init__(card)
        self.pool, self.unknown_training_set, self.notes = pool, unknown_training_set, notes
        self.members = members_by_class(pool)

    def sample(self, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Give image number `seeds[i]` of class `labels[i]`, counted round and round: uint8 (N, C, H, W)."""
        drawn = self.pool.images[self._positions(labels.tolist(), seeds)]
        return drawn.expand(-1, self.card.shape[0], -1, -1).contiguous()

    def draw_rows(self, labels: Sequence[int], index: Sequence[int], *, seed: int) -> ImageSet:
        """Give the image that stands at place `index[i]` of class `labels[i]`; there is none beyond the last.

        The order of each class follows from the seed. The column `seed` is the number of the image in its class.

        Raises:
            DataError: If a class has no images at all.
        """
        order = {label: numbers_for(seed, "external", label).permutation(self._count(label)) for label in set(labels)}
        wanted = zip(labels, index, strict=True)
        there = [(label, j, int(order[label][j])) for label, j in wanted if j < len(order[label])]
        given, numbers = [label for label, _, _ in there], [number for _, _, number in there]
        kind, classes = self.card.kind, self.card.classes
        rows = torch.tensor(given, dtype=torch.int64)
        return ImageSet(
            images=self.sample(rows, numbers),
            labels=rows,
            classes=classes,
            names=tuple(f"{kind}/{classes[label]}/{j}" for label, j, _ in there),
            digests=tuple(self.pool.digests[i] for i in self._positions(given, numbers).tolist()),
            synthetic=torch.ones(len(there), dtype=torch.bool),
            columns={"seed": tuple(numbers), "maker": (kind,) * len(there)},
            seen=self.card.seen,
        )

    def save_model(self, folder: Path) -> None:
        """Write the images."""
        self.pool.save(folder)
        about = {"unknown_training_set": self.unknown_training_set, "notes": self.notes}
        (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")

    def _positions(self, labels: Sequence[int], numbers: Sequence[int]) -> Tensor:
        pairs = zip(labels, numbers, strict=True)
        return torch.tensor([int(self.members[k][n % self._count(k)]) for k, n in pairs], dtype=torch.int64)

    def _count(self, label: int) -> int:
        if not len(self.members[label]):
            name = self.card.classes[label]
            raise DataError(
                f"images of class {name!r} were asked for, and there are none among those made elsewhere. Add some, or "
                f"ask for none: per_class = {{ {json.dumps(name)} = 0 }} in the arm's amounts."
            )
        return len(self.members[label])


def leak_not_ruled_out(name: str) -> str:
    """Say of a generator that nothing says which images its images were made from.

    Example:
        >>> leak_not_ruled_out("vendor")
        'vendor: its training set is unknown: a leak from test images cannot be ruled out'
    """
    return f"{name}: its training set is unknown: a leak from test images cannot be ruled out"


def write_seen(folder: Path, card: Card) -> None:
    """Write which images the maker of some images saw, beside these images."""
    record = {"maker": card.kind, "seen": sorted(card.seen)}
    (folder / SEEN).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _notes(pool: ImageSet, train: ImageSet, reading: Reading) -> tuple[str, ...]:
    real = set(train.digests)
    copies = [name for name, digest in zip(pool.names, pool.digests, strict=True) if digest in real]
    skipped = [" ".join(item) for item in reading.skipped]
    said = ((copies, "are training images themselves"), (skipped, "could not be read and were left out"))
    return tuple(
        f"{len(found)} of {len(pool) + len(skipped)} images made elsewhere {what}, first {found[0]}"
        for found, what in said
        if found
    )


def _seen(source: str) -> frozenset[str] | None:
    """Return the digests of the images that the maker saw; None if nothing says so."""
    found = _seen_file(source)
    if found is None:
        return None
    tree, name = found
    try:
        seen = json.loads(tree.read(name))["seen"]
        if isinstance(seen, list) and all(isinstance(each, str) for each in seen):
            return frozenset(seen)
    except (UnreadableError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise DataError(
        f"{ELSEWHERE}: {name} should list the images that their maker saw, as augury sample writes it. Got something "
        "else: draw the images again, or take the file away."
    )


def _seen_file(source: str) -> tuple[Tree, str] | None:
    """Return where a list of what the maker saw lies: in a folder or archive, or beside another file."""
    tree = tree_of(source)
    if tree is not None:
        name = lies_in(tree, SEEN)
        return (tree, name) if name else None
    beside = FolderTree(Path(source).parent)
    return (beside, SEEN) if is_place(source) and beside.has(SEEN) else None


def _stamps(source: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of all files that a source may consist of."""
    path = Path(source)
    if not is_place(source) or not path.exists():
        return
    tree = FolderTree(path if path.is_dir() else path.parent)
    single = path.is_file() and path.suffix.lower() in (".npz", ".zip")
    for name in [path.name, *[SEEN] * tree.has(SEEN)] if single else tree.files:
        status = (tree.root / name).stat()
        yield name, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _content(source: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Return a digest of the images and of what their maker saw; it holds while no file has changed."""
    try:
        content = content_digest(source, settings_for_drawn(source))
    except DataError as error:
        raise DataError(f"{ELSEWHERE}: {error}") from None
    seen = _seen(source)
    return hashlib.sha256(json.dumps([content, None if seen is None else sorted(seen)]).encode()).hexdigest()
