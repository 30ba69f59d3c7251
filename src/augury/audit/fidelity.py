"""Fidelity as a diagnosis: how far drawn images are from real ones, with what real images reach beside each number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augury.audit.spaces import Parts, Rows, Views
from augury.images import ImageSet
from augury.metrics.diversity import pair_measures, pairwise
from augury.metrics.fidelity import cmmd, detector_auc, kid, kid_test
from augury.metrics.frechet import frechet_reduced
from augury.metrics.support import support
from augury.seeds import seed_for

LEAST = 10  # images of a class and side; fewer say nothing about a distribution
MOST = 2000  # images of a side; the statistics are unbiased, more would only cost time
PERMUTATIONS = 200
NEIGHBOURS = 5
ALL = ""  # name of the row that pools the classes
PAIRS = 100  # of images of a class whose difference is measured
PLACE = "place"


@dataclass(frozen=True)
class SpaceFidelity:
    """Drawn images against held-out real ones in one space, for one class or all.

    Attributes:
        space: Where distances were measured.
        name: The class; empty for all classes.
        real: Held-out real images.
        drawn: Drawn images, as many where there are enough.
        kid: Unbiased squared kernel distance, polynomial kernel of degree 3.
        kid_p: P value of `kid`, by permutation; NaN for a single class.
        kid_floor: `kid` between training and held-out images: what new real images would have.
        cmmd: Unbiased squared kernel distance, Gaussian kernel on unit-length rows, x 1000.
        cmmd_floor: Likewise between training and held-out images.
        density: Mean share of real neighbourhoods around a drawn image; 1 for new real images.
        coverage: Share of real images with a drawn one in their neighbourhood.
        coverage_floor: Likewise with training images in place of drawn ones.
        frechet: Fréchet distance after PCA on the training images; None where there are too few images for it.
        detector: AUC of a logistic regression that tells drawn from real images, cross-validated by group.
        detector_floor: Likewise training from held-out images.
    """

    space: str
    name: str
    real: int
    drawn: int
    kid: float
    kid_p: float
    kid_floor: float
    cmmd: float
    cmmd_floor: float
    density: float
    coverage: float
    coverage_floor: float
    frechet: float | None
    detector: float
    detector_floor: float


@dataclass(frozen=True)
class PairDiversity:
    """How different the images of one class are from each other: means over random pairs.

    Attributes:
        measure: MS-SSIM, 1 for equal images; or LPIPS and its network, 0 for equal images.
        name: The class; empty where the measure could not be computed for any.
        drawn: Among drawn images; None where it could not be computed.
        real: Among held-out real images, one of each group; None where it could not be computed.
        reason: Why it could not be computed; empty where it was.
    """

    measure: str
    name: str
    drawn: float | None
    real: float | None
    reason: str = ""


@dataclass(frozen=True)
class Fidelity:
    """All spaces; in each the row of all classes first, then one row for each class with enough images."""

    rows: tuple[SpaceFidelity, ...]
    diversity: tuple[PairDiversity, ...] = ()

    def pooled(self, space: str) -> SpaceFidelity | None:
        """Return the row of all classes in one space; None if there is none."""
        return next((row for row in self.rows if row.space == space and row.name == ALL), None)


def fidelity(parts: Parts, seed: int = 0) -> Fidelity:
    """Compare drawn with held-out real images, all together and class by class.

    Args:
        parts: Training, held-out and drawn images in every space. No space of pixels is needed.
        seed: Of subsets, permutations and folds.

    Returns:
        A row per space and class; classes with fewer than 10 images on a side are left out.

    Reference: Bińkowski et al. 2018 (KID); Jayasumana et al. 2024 (CMMD); Naeem et al. 2020 (density, coverage);
    Lopez-Paz & Oquab 2017 (classifier two-sample test).
    """
    rows = []
    for label in (None, *range(len(parts.classes))):
        chosen = parts if label is None else parts.of_class(label)
        even = _same_size(chosen, seed)
        if min(len(even.held_out), len(even.drawn)) >= LEAST:
            name = ALL if label is None else parts.classes[label]
            rows += [_row(even, space, name, seed) for space in parts.train.spaces]
    return Fidelity(tuple(sorted(rows, key=lambda row: list(parts.train.spaces).index(row.space))))


def diversity(drawn: ImageSet, real: ImageSet, seed: int = 0) -> tuple[PairDiversity, ...]:
    """Measure how different the drawn images of each class are from each other, with real ones beside them.

    Args:
        drawn: Drawn images.
        real: Held-out real images, of the same classes and shape.
        seed: Of the pairs.

    Returns:
        For MS-SSIM and LPIPS a row per class; classes with fewer than 10 groups on a side are left out. Where images
        are too small or a package is missing, one row that says so.
    """
    rows = []
    for measure in pair_measures(real.shape):
        if measure.distance is None:
            rows.append(PairDiversity(measure.name, ALL, None, None, measure.reason))
            continue
        for label, name in enumerate(real.classes):
            sides = [_one_per_group(side, label, seed) for side in (drawn, real)]
            if min(map(len, sides)) >= LEAST:
                of_drawn, of_real = (pairwise(side.images, measure.distance, PAIRS, seed) for side in sides)
                rows.append(PairDiversity(measure.name, name, of_drawn, of_real))
    return tuple(rows)


def _one_per_group(images: ImageSet, label: int, seed: int) -> ImageSet:
    of_class = images.of_class(label)
    numbered = Views.of(of_class, {PLACE: lambda images: np.arange(len(images), dtype=np.float64)[:, None]})
    return of_class.take(numbered.one_per_group(seed).spaces[PLACE][:, 0].astype(np.int64))


def _row(parts: Parts, space: str, name: str, seed: int) -> SpaceFidelity:
    train, real, fake = (part.spaces[space] for part in (parts.train, parts.held_out, parts.drawn))
    tested = kid_test(real, fake, permutations=PERMUTATIONS, seed=seed) if name == ALL else None
    k = min(NEIGHBOURS, len(real) - 1)
    found, floor = support(real, fake, k=k), support(real, train, k=k)
    return SpaceFidelity(
        space=space,
        name=name,
        real=len(real),
        drawn=len(fake),
        kid=tested.value if tested else kid(real, fake),
        kid_p=tested.p if tested else float("nan"),
        kid_floor=kid(real, train),
        cmmd=cmmd(real, fake),
        cmmd_floor=cmmd(real, train),
        density=found.density,
        coverage=found.coverage,
        coverage_floor=floor.coverage,
        frechet=frechet_reduced(real, fake, train),
        detector=_told_apart(parts.held_out, parts.drawn, space, seed),
        detector_floor=_told_apart(parts.held_out, parts.train, space, seed),
    )


def _told_apart(real: Views, other: Views, space: str, seed: int) -> float:
    rows: tuple[Rows, Rows] = real.spaces[space], other.spaces[space]
    groups = [f"{side} {name}" for side, views in enumerate((real, other)) for name in views.groups]
    return float(detector_auc(*rows, groups=groups, seed=seed))


def _same_size(parts: Parts, seed: int) -> Parts:
    """Return as many images of each class on all sides: a difference in class shares is none in fidelity."""
    chosen: list[list[int]] = [[], [], []]
    sides = (parts.train, parts.held_out, parts.drawn)
    labels = np.unique(np.concatenate([side.labels for side in sides]))
    most = max(1, MOST // max(1, len(labels)))
    for label in labels.tolist():
        places = [np.flatnonzero(side.labels == label) for side in sides]
        n = min(most, *(len(found) for found in places))
        for i, found in enumerate(places):
            order = np.random.default_rng(seed_for(seed, "even", label, i)).permutation(found)
            chosen[i] += sorted(order[:n].tolist())
    return Parts(
        parts.classes, *(side.take(np.array(rows, dtype=np.int64)) for side, rows in zip(sides, chosen, strict=True))
    )
