"""The page: findings, charts, tables and pictures in one HTML file that asks nothing of any network."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from augury.files import write_whole
from augury.report import audit, charts, clinical, curves, fidelity, findings, sieve, tables, training
from augury.report.checklist import checklist
from augury.report.picks import REAL, arms_of, best_without, chosen_using, dose_families, named
from augury.report.pictures import LARGEST, Picture, picture
from augury.report.reliability import reliability_chart
from augury.report.templates import template
from augury.report.wording import wording
from augury.study.clinic_outcome import Clinic
from augury.study.doses import DoseReading
from augury.study.exhibit import ClassGallery, Gallery
from augury.study.outcome import ArmResult, ClassResult, Contrast, Outcome


@dataclass(frozen=True)
class Side:
    """One classifier's part of the page; without a contrast where no split has all its cells."""

    classifier: str
    contrast: Contrast | None
    arms: tuple[ArmResult, ...]
    real: ArmResult | None
    without: ArmResult | None
    using: list[ArmResult]
    families: dict[str, list[ArmResult]]
    clinic: Clinic | None
    doses: tuple[DoseReading, ...] = ()

    @property
    def generated(self) -> bool:
        """Tell whether generated images are what is compared."""
        return self.contrast is None or self.contrast.generated

    @property
    def beside_real(self) -> list[ArmResult]:
        """Return the chosen arms that are something else than real images only."""
        return [arm for arm in self.using if arm is not self.real]

    @property
    def matrices(self) -> list[tuple[str, ArmResult]]:
        """Return the arms whose confusion matrices are shown, with what they stand for."""
        words = wording(self.generated)
        shown = [("real images only", self.real), (words.role_one, next(iter(self.using), None))]
        if self.generated:
            shown.insert(1, (words.role_other, self.without))
        kept: dict[str, tuple[str, ArmResult]] = {}
        for role, arm in shown:
            if arm is not None and arm.confusion:
                roles = f"{kept[arm.arm][0]}; {role}" if arm.arm in kept else role
                kept[arm.arm] = (roles, arm)
        return list(kept.values())

    @property
    def shown(self) -> list[ArmResult | None]:
        """Return the arms whose sensitivity is told: real images only, the chosen without, the chosen with."""
        without = None if self.without is self.real else self.without
        return [self.real, without, *self.beside_real]

    def reading(self, family: str) -> DoseReading | None:
        """Return what the doses of one arm tell; None for one whose images do not count as generated."""
        return next((each for each in self.doses if each.arm == family), None)

    @property
    def undrawn(self) -> list[DoseReading]:
        """Return the readings of arms that have no chart, for they were tried in one amount."""
        return [each for each in self.doses if each.arm not in self.families]

    def result(self, arm: str) -> ArmResult:
        """Return the row of one arm."""
        return next(row for row in self.arms if row.arm == arm)

    def role(self, arm: str) -> str:
        """Return what an arm stands for, in words; empty for one that stands for nothing."""
        return next((role for role, shown in self.matrices if shown.arm == arm), "")

    def pairs(self, arm: ArmResult) -> list[tuple[ClassResult, ClassResult]]:
        """Pair the classes of real images only with those of an arm."""
        return list(zip(self.real.classes, arm.classes, strict=True)) if self.real else []


@dataclass(frozen=True)
class Shelf:
    """One class of a gallery as it stands on the page; what may not be shown is empty."""

    name: str
    real: list[Picture]
    drawn: list[Picture]
    nearest: list[Picture]
    distances: list[str]
    finding: str


def write_report(outcome: Outcome, galleries: Sequence[Gallery], path: Path, *, real_images: bool = True) -> None:
    """Write the report of a finished study as one HTML file, whole or not at all.

    Args:
        outcome: All numbers of the study.
        galleries: Real and drawn images and what was seen of the training, one gallery per generator.
        path: The file to write; an older one is replaced.
        real_images: Show real images; without them, neither nearest images nor the images of a generator that
            contains training images, or copies them, are shown.

    Raises:
        DataError: If the file cannot be written.
    """
    write_whole(path, render(outcome, galleries, real_images=real_images))


def render(outcome: Outcome, galleries: Sequence[Gallery], *, real_images: bool = True) -> str:
    """Return the page as text."""
    hidden = frozenset() if real_images else _like_real(outcome, galleries)
    return template("augury.report", "page.html.jinja").render(
        outcome=outcome,
        sides=_sides(outcome),
        galleries=[(gallery, _shelves(gallery, hidden, real_images)) for gallery in galleries],
        watched=training.watched(outcome.generators, galleries, hidden),
        examined=audit.examined(outcome.audited, galleries, real_images=real_images),
        fidelity_tables=fidelity.tables(outcome.audited.makers),
        sieves=sieve.sieves(outcome, galleries, hidden, real_images=real_images),
        handpicked=sieve.handpicked(outcome),
        controls={generator.name for generator in outcome.generators if generator.control},
        real_images=real_images,
        largest=LARGEST,
        say=findings,
        draw=charts,
        draw_reliability=reliability_chart,
        words=wording(outcome.contrasts[0].generated),
        checklist=checklist(outcome),
        clinical=clinical,
        curves=curves,
        trained=training,
        tables=tables,
        audit=audit,
        fidelity=fidelity,
        sieve=sieve,
    )


def _like_real(outcome: Outcome, galleries: Sequence[Gallery]) -> frozenset[str]:
    """Return the generators whose images may show what real images show."""
    holding = {gallery.generator for gallery in galleries if gallery.contains_training_images}
    holding |= {maker.name for maker in outcome.generators if maker.contains_training_images}
    near = {maker.generator for maker in outcome.audited.makers if maker.near_copies or maker.withheld}
    return frozenset(holding | near)


def _sides(outcome: Outcome) -> list[Side]:
    contrasts = {contrast.classifier: contrast for contrast in outcome.contrasts}
    classifiers = [*contrasts, *(arm.classifier for arm in outcome.arms)]
    return [_side(outcome, name, contrasts.get(name)) for name in dict.fromkeys(classifiers)]


def _side(outcome: Outcome, classifier: str, contrast: Contrast | None) -> Side:
    arms = arms_of(outcome, classifier)
    return Side(
        classifier,
        contrast,
        arms,
        named(arms, REAL),
        best_without(contrast, arms) if contrast and contrast.generated else None,
        chosen_using(contrast, arms) if contrast else [],
        dose_families(arms, outcome.metric),
        next((clinic for clinic in outcome.clinics if clinic.classifier == classifier), None),
        tuple(reading for reading in outcome.doses if reading.classifier == classifier),
    )


def _shelves(gallery: Gallery, hidden: Set[str], real_images: bool) -> list[Shelf]:
    return [_shelf(item, real_images, gallery.generator not in hidden) for item in gallery.classes]


def _shelf(item: ClassGallery, real: bool, drawn: bool) -> Shelf:
    return Shelf(
        item.name,
        [picture(image) for image in item.real] if real else [],
        [picture(image) for image in item.drawn] if drawn else [],
        [picture(image) for image in item.nearest] if real else [],
        [findings.plain(float(value), 1) for value in item.distances],
        findings.nearness(item),
    )
