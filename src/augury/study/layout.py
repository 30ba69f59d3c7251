"""A study laid out: its images are read, its cells and all keys are known, nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

from augury.duplicates import Cleaned
from augury.errors import SettingsError
from augury.generators.base import Generator, small_class
from augury.images import ImageSet
from augury.readers import Told, content_digest
from augury.study.audits import PlannedAudits, audits
from augury.study.engine import Plan, StoreWork, plan
from augury.study.grid import Cell, arm_plans, cells, looks
from augury.study.steps import Prepared, ReadImages, Step
from augury.study.store import Store
from augury.study.study import DataSettings, Study
from augury.study.watching import LookForCollapse

MOST_LISTED = 5  # images named one by one before a run


@dataclass(frozen=True, eq=False)
class Laid:
    """A study whose images are read and whose cells are laid out: all keys are known, nothing is trained."""

    study: Study
    read: ReadImages
    prepared: Prepared
    cells: tuple[Cell, ...]
    looks: tuple[LookForCollapse, ...]
    audits: PlannedAudits
    store: Store

    @property
    def images(self) -> ImageSet:
        """Return the images that take part."""
        return self.cleaned.images

    @property
    def cleaned(self) -> Cleaned:
        """Return the images that take part, and what was done about duplicates."""
        return self.prepared.cleaned

    def targets(self) -> tuple[Step, ...]:
        """Return the steps that the study needs in the end."""
        scores = tuple(step for cell in self.cells for step in cell.predictions.values())
        return (*scores, *self.looks, *self.audits.steps)

    def plan(self) -> Plan:
        """Return what is missing."""
        return plan(self.targets(), self.store)

    def of(self, study: Study) -> Laid:
        """Lay out another study of the same images, without reading or hashing them again."""
        grid = cells(study, self.read, self.images)
        return replace(self, study=study, cells=grid, looks=looks(grid), audits=audits(study, grid))

    def describe(self) -> tuple[str, ...]:
        """Say what was read, what was set right, and which arms will run on which splits."""
        study, images, split = self.study, self.images, self.study.split
        counts = ", ".join(f"{name}: {count}" for name, count in zip(images.classes, images.counts(), strict=True))
        C, H, W = images.shape
        lines = [f"{study.title}: {len(images)} images, {H} x {W}, {'grey' if C == 1 else 'colour'}; {counts}"]
        lines += self._set_right()
        if images.parts is not None and split.plan == "folds":
            lines.append("the given parts are pooled and cut into folds; the plan 'given' scores the given test part")
        cut = f"{split.folds} folds x {split.repeats}" if split.plan == "folds" else f"given parts x {split.repeats}"
        lines.append(f"{cut}; arms: {'; '.join(arm.name for arm in arm_plans(study))}")
        lines.append(f"augmentations declared safe: {', '.join(study.data.safe) or 'none'}")
        return tuple(lines)

    def too_small(self) -> tuple[str, ...]:
        """Name the classes that a generator is asked for and that are too small to train it on."""
        fewest: dict[tuple[Generator, int], int] = {}
        for cell in self.cells:
            for chunk in cell.fit.chunks:
                key = chunk.fit.generator, chunk.label
                fewest[key] = min(fewest.get(key, len(self.images)), cell.real_counts[chunk.label])
        found = (small_class(recipe, self.images.classes[k], count) for (recipe, k), count in fewest.items())
        return tuple(sentence for sentence in found if sentence)

    def _set_right(self) -> list[str]:
        """Say what was left out or joined before any split; long lists stand in the report."""
        cleaned, prepared = self.cleaned, self.prepared
        lines = [prepared.levels] if prepared.levels else []
        lines += _listed("cannot be read, left out", [" ".join(item) for item in prepared.skipped])
        lines += _listed("set aside, one picture under two labels", [" = ".join(names) for names in cleaned.set_aside])
        lines += _listed("left out of training, its copy is scored", [f"{a} = {b}" for a, b in cleaned.dropped])
        lines += _listed("near duplicates under two labels, one group", [" ~ ".join(n) for n in cleaned.near_conflicts])
        if cleaned.near:
            lines.append(f"near duplicates: {len(cleaned.near)} groups, each kept in one part of every split")
        lines += [f"shortcut: {sentence}" for _, sentence in prepared.shortcuts]
        return lines


def _listed(what: str, items: list[str]) -> list[str]:
    lines = [f"{what}: {item}" for item in items[:MOST_LISTED]]
    return lines if len(items) <= MOST_LISTED else [*lines, f"{what}: {len(items) - MOST_LISTED} more, see the report"]


def read_step(data: DataSettings, *, given_split: bool, as_is: bool = False) -> ReadImages:
    """Return the step that reads some images; their files are hashed, nothing is decoded.

    Raises:
        DataError: If there is nothing to read.
    """
    return ReadImages(
        content=content_digest(data.source, data.how()),
        how=data.how(),
        near=data.near_duplicates,
        conflicts=data.conflicting_duplicates,
        given_split=given_split,
        as_is=as_is,
        source=data.source,
    )


def read_images(
    data: DataSettings, store: Store, *, given_split: bool, as_is: bool = False, told: Told | None = None
) -> tuple[ReadImages, Prepared]:
    """Read images once, into the store, and set duplicates right; `told` hears (images read, images in all).

    Raises:
        DataError: If the images cannot be read.
    """
    read = read_step(data, given_split=given_split, as_is=as_is)
    if not store.has(read):
        store.put(read, read.make(StoreWork(store, "cpu", told)))
    prepared: Prepared = store.get(read)
    return read, prepared


def lay_out(study: Study, store: Store, told: Told | None = None) -> Laid:
    """Read the images and lay out the cells; `told` hears (images read, images in all).

    Raises:
        DataError: If the images cannot be read or split.
        SettingsError: If the study does not fit the images.
    """
    as_is = "given_split_as_is" in study.flaws
    read, prepared = read_images(study.data, store, given_split=study.split.plan == "given", as_is=as_is, told=told)
    return lay(study, read, prepared, store)


def lay(study: Study, read: ReadImages, prepared: Prepared, store: Store) -> Laid:
    """Lay out a study of images that are read already.

    Raises:
        DataError: If the images cannot be split, or a file of weights is missing.
        SettingsError: If the study does not fit the images.
    """
    images = prepared.cleaned.images
    if "groups_ignored" in study.flaws:
        images = replace(images, groups=None)
    positive = study.data.positive
    if positive and positive not in images.classes:
        raise SettingsError(f"[data] positive must be one of {', '.join(images.classes)}. Got {positive!r}.")
    cleaned = replace(prepared.cleaned, images=images)
    grid = cells(study, read, images)
    recipes = {cell.fit.classifier for cell in grid} | {named.recipe for named in study.generators}
    for recipe in recipes:
        recipe.identity()  # opens files of weights: one that is missing is said before anything runs
    return Laid(study, read, replace(prepared, cleaned=cleaned), grid, looks(grid), audits(study, grid), store)
