"""Which drawn images are handed over, and why the others are not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from augury.classifiers.base import Predictor
from augury.curation import Curator, in_order
from augury.filters import Rows
from augury.generators.base import Sampler
from augury.handover.nearness import (
    Bytes,
    Distances,
    Positions,
    look_alikes,
    nearest_images,
    pixel_digests,
    thumbnails,
)
from augury.handover.plan import Plan
from augury.images import ImageSet
from augury.seeds import seed_for
from augury.training import Run

COPY, TWICE, ALIKE, SPARE, UNPICKED = "copy", "drawn twice", "looks like another", "not needed", "not selected"


@dataclass(frozen=True, eq=False)
class Chosen:
    """A pool and what became of it.

    Attributes:
        pool: All N images that were drawn.
        wanted: Images wanted of each class.
        reasons: N texts: why an image is not handed over; empty if it is.
        scores: Filter -> float64 (N,), 0..1: the share of real images that are no better by this filter.
        distances: (N,) to the nearest real image, as `nearest_images` gives them.
        nearest: (N,) which one that is.
        order: Positions of the images that are handed over, by class, in the order in which they were chosen.
    """

    pool: ImageSet
    wanted: tuple[int, ...]
    reasons: tuple[str, ...]
    scores: dict[str, Rows]
    distances: Distances
    nearest: Positions
    order: tuple[int, ...]

    def kept(self) -> ImageSet:
        """Return the images that are handed over."""
        return self.pool.take(list(self.order))

    def short(self) -> tuple[int, ...]:
        """Return how many images of each class are missing."""
        return tuple(want - have for want, have in zip(self.wanted, self.kept().counts(), strict=True))

    def shortfall(self) -> tuple[str, ...]:
        """Say, class by class, that too few images are left and why."""
        return tuple(self._missing(label) for label, count in enumerate(self.short()) if count)

    def _missing(self, label: int) -> str:
        own = np.flatnonzero(self.pool.labels.numpy() == label)
        lost = Counter(filter(None, (self.reasons[row] for row in own)))
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(lost.items()))
        have = self.wanted[label] - self.short()[label]
        return (
            f"class {self.pool.classes[label]!r} gets {have} of {self.wanted[label]} synthetic images: "
            f"{len(own)} were drawn, dropped: {why or 'none'}"
        )


def choose(plan: Plan, sampler: Sampler, *, linked: bool, seed: int, device: str) -> Chosen:
    """Draw images and choose those that are handed over.

    Without filters as many are drawn as are wanted, and more only if some of them turn out to be copies or twins.

    Args:
        plan: What is asked for.
        sampler: Where they are drawn from.
        linked: Real images keep their own size.
        seed: Seed of the pool and of the judges.
        device: Where the judges are trained.
    """
    sieve = _Sieve(plan, linked=linked, seed=seed, device=device)
    wanted, factor = plan.wanted(), plan.curation.factor
    for times in (factor,) if sieve.curated else (1.0, factor):
        counts = {name: math.ceil(times * n) for name, n in zip(plan.images.classes, wanted, strict=True)}
        chosen = sieve.sift(sampler.draw(counts, seed=seed), wanted)
        if not any(chosen.short()):
            break
    return chosen


class _Sieve:
    """What is known of the real images, against which pools are held."""

    def __init__(self, plan: Plan, *, linked: bool, seed: int, device: str) -> None:
        self.real, self.curation, self.device = plan.images, plan.curation, device
        self.digests = set(pixel_digests(plan.images))
        _, H, W = plan.images.shape
        self.side = min(H, W)
        self.thumbnails: Bytes = plan.real.thumbnails if linked else thumbnails(plan.images)
        self.sides = plan.real.sides if linked else (self.side,) * len(plan.images)
        self.run = Run(seed_for(seed, "judges"), device)
        self.curator = Curator.fit(plan.images, self.curation.filters, self.curation.judge, self.run)

    @property
    def curated(self) -> bool:
        return bool(self.curation.filters) or self.curation.select is not None

    def sift(self, pool: ImageSet, wanted: tuple[int, ...]) -> Chosen:
        looked = self.curator.look(pool)
        pairs = zip(self._repeated(pool), looked.reasons, strict=True)
        reasons = [repeated or filtered for repeated, filtered in pairs]
        self._drop_look_alikes(pool, reasons)
        order = self._first(pool, reasons, wanted)
        distances, index = nearest_images(pool, self.real)
        return Chosen(pool, wanted, tuple(reasons), looked.scores, distances, index, tuple(order))

    def _repeated(self, pool: ImageSet) -> list[str]:
        drawn: set[str] = set()
        reasons = []
        for digest in pixel_digests(pool):
            reasons.append(COPY if digest in self.digests else TWICE if digest in drawn else "")
            drawn.add(digest)
        return reasons

    def _drop_look_alikes(self, pool: ImageSet, reasons: list[str]) -> None:
        left = [row for row, reason in enumerate(reasons) if not reason]
        if left:
            for row in look_alikes(thumbnails(pool.take(left)), self.thumbnails, self.side, self.sides):
                reasons[left[row]] = ALIKE

    def _first(self, pool: ImageSet, reasons: list[str], wanted: Sequence[int]) -> list[int]:
        """Return the positions of the first wanted images of each class; say of the others that they are not needed."""
        order: list[int] = []
        for label, count in enumerate(wanted):
            own = [row for row, reason in enumerate(reasons) if not reason and int(pool.labels[row]) == label]
            ranked = self._ranked(pool, own)
            for row in own:
                reasons[row] = UNPICKED
            for row in ranked[count:]:
                reasons[row] = SPARE
            for row in ranked[:count]:
                reasons[row] = ""
            order += ranked[:count]
        return order

    def _ranked(self, pool: ImageSet, rows: list[int]) -> list[int]:
        select = self.curation.select
        if select is None or not rows:
            return rows
        return [rows[i] for i in in_order(select, pool.take(rows), self._judge, self.device)]

    def _judge(self) -> Predictor:
        if self.curator.judges:
            return self.curator.judges[0]
        return self.curation.judge.by_steps().fit(self.real, None, self.run)
