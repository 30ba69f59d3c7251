"""A study laid out: its images are read, its cells and all keys are known, nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

from augury.duplicates import Cleaned
from augury.errors import SettingsError
from augury.images import ImageSet
from augury.readers import content_digest
from augury.study.engine import Plan, StoreWork, plan
from augury.study.steps import ReadImages, Step
from augury.study.store import Store
from augury.study.study import Cell, DataSettings, Study, arm_plans, cells


@dataclass(frozen=True, eq=False)
class Laid:
    """A study whose images are read and whose cells are laid out: all keys are known, nothing is trained."""

    study: Study
    read: ReadImages
    cleaned: Cleaned
    cells: tuple[Cell, ...]
    store: Store

    @property
    def images(self) -> ImageSet:
        """Return the images that take part."""
        return self.cleaned.images

    def targets(self) -> tuple[Step, ...]:
        """Return the steps that the study needs in the end."""
        return tuple(step for cell in self.cells for step in cell.predictions.values())

    def plan(self) -> Plan:
        """Return what is missing."""
        return plan(self.targets(), self.store)

    def of(self, study: Study) -> Laid:
        """Lay out another study of the same images, without reading or hashing them again."""
        return replace(self, study=study, cells=cells(study, self.read, self.images))

    def describe(self) -> tuple[str, ...]:
        """Say what was read, what was set right, and which arms will run on which splits."""
        study, images, split = self.study, self.images, self.study.split
        counts = ", ".join(f"{name}: {count}" for name, count in zip(images.classes, images.counts(), strict=True))
        C, H, W = images.shape
        lines = [f"{study.title}: {len(images)} images, {H} x {W}, {'grey' if C == 1 else 'colour'}; {counts}"]
        lines += [f"set aside, one picture under two labels: {' = '.join(names)}" for names in self.cleaned.set_aside]
        lines += [f"left out of training, its copy is scored: {a} = {b}" for a, b in self.cleaned.dropped]
        if images.parts is not None and split.plan == "folds":
            lines.append("the given parts are pooled and cut into folds; the plan 'given' scores the given test part")
        cut = f"{split.folds} folds x {split.repeats}" if split.plan == "folds" else f"given parts x {split.repeats}"
        lines.append(f"{cut}; arms: {'; '.join(arm.name for arm in arm_plans(study))}")
        lines.append(f"augmentations declared safe: {', '.join(study.data.safe) or 'none'}")
        return tuple(lines)


def read_images(
    data: DataSettings, store: Store, *, given_split: bool, as_is: bool = False
) -> tuple[ReadImages, Cleaned]:
    """Read images once, into the store, and set exact duplicates right.

    Raises:
        DataError: If the images cannot be read.
    """
    read = ReadImages(
        content=content_digest(data.source),
        size=data.size,
        fit=data.fit,
        given_split=given_split,
        as_is=as_is,
        source=data.source,
    )
    if not store.has(read):
        store.put(read, read.make(StoreWork(store, "cpu")))
    cleaned: Cleaned = store.get(read)
    return read, cleaned


def lay_out(study: Study, store: Store) -> Laid:
    """Read the images and lay out the cells.

    Raises:
        DataError: If the images cannot be read or split.
        SettingsError: If the study does not fit the images.
    """
    as_is = "given_split_as_is" in study.flaws
    read, cleaned = read_images(study.data, store, given_split=study.split.plan == "given", as_is=as_is)
    images = cleaned.images
    if "groups_ignored" in study.flaws:
        images = replace(images, groups=None)
    positive = study.data.positive
    if positive and positive not in images.classes:
        raise SettingsError(f"[data] positive must be one of {', '.join(images.classes)}. Got {positive!r}.")
    return Laid(study, read, replace(cleaned, images=images), cells(study, read, images), store)
