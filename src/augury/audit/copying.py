"""The copying audit: are drawn images nearer to the training images than other real images are?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from augury.audit.spaces import Parts, Rows, Views
from augury.metrics.copying import (
    authenticity,
    closer_to_train,
    copy_rate,
    data_copying,
    duplicates_within,
    groups_copied,
    nearest,
    nearest_other,
    neighbour_ratio,
)
from augury.metrics.membership import domias, membership
from augury.metrics.nearer_test import Hits, hits

LEAST_DRAWN = 2  # images: filters may have left fewer, and of one image there is nothing to say
LEAST_MEMBERS = 20  # images of a side; fewer say nothing about membership


@dataclass(frozen=True)
class CopyingInSpace:
    """What the audit found in one space.

    Attributes:
        space: Where distances were measured.
        drawn: Drawn images.
        held_out: Held-out real images.
        rate: Share of drawn images nearer to a training image than 99 % of the held-out real ones.
        rate_expected: What new real images would have.
        rate_lower: Lower 95 % bound of `rate`.
        worst_class: The class with the largest rate, and that rate.
        closer: P(nearer to training than to held-out images), as many of both; 0.5 for new images.
        ratio_share: Share of drawn images three times nearer to one training image than to any other.
        ratio_share_real: Likewise of held-out real images.
        authenticity: Share of drawn images farther from their nearest training image than that is from the others.
        authenticity_real: Likewise of held-out real images.
        c_t: Mann-Whitney Z of drawn against held-out distances, class by class; below -3 is data copying.
        groups: Share of training groups (patients) of which an image is copied.
        duplicates: Share of drawn images with a twin among them.
        membership: AUC of telling training from held-out images by their distance to the drawn ones; None with too few.
        membership_low: Lower 95 % bound of it.
        membership_tpr: True positive rate at `membership_fpr`.
        membership_fpr: False positive rate of that.
        domias: AUC of telling them by density against a reference; None with too few.
    """

    space: str
    drawn: int
    held_out: int
    rate: float
    rate_expected: float
    rate_lower: float
    worst_class: tuple[str, float]
    closer: float
    ratio_share: float
    ratio_share_real: float
    authenticity: float
    authenticity_real: float
    c_t: float
    groups: float
    duplicates: float
    membership: float | None
    membership_low: float | None
    membership_tpr: float | None
    membership_fpr: float | None
    domias: float | None


@dataclass(frozen=True, eq=False)
class Witness:
    """What the decision over all splits is made from, in one split.

    Attributes:
        distances: Space -> for each class with drawn and held-out images, distances to the nearest training image of
            the drawn ones, and of one held-out image per group: the two sides may hold other shares of the classes.
        hits: Space -> the real groups that the drawn images nearest to real ones lie near to.
        classes: Class -> the same of its images alone, for classes that were drawn.
    """

    distances: dict[str, list[tuple[Rows, Rows]]]
    hits: dict[str, Hits]
    classes: dict[str, Witness] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return {
            "distances": {
                name: [[side.tolist() for side in pair] for pair in pairs] for name, pairs in self.distances.items()
            },
            "hits": {name: {key: side.tolist() for key, side in vars(one).items()} for name, one in self.hits.items()},
            "classes": {name: one.record() for name, one in self.classes.items()},
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Witness:
        """Take back what `record` returned."""
        pairs = {name: [(np.array(a), np.array(b)) for a, b in found] for name, found in record["distances"].items()}
        found = {
            name: Hits(**{key: np.array(side) for key, side in one.items()}) for name, one in record["hits"].items()
        }
        return cls(pairs, found, {name: cls.from_record(one) for name, one in record["classes"].items()})


@dataclass(frozen=True, eq=False)
class Copying:
    """One generator in one split: what was found in each space, and what the decision is made from."""

    spaces: tuple[CopyingInSpace, ...]
    witness: Witness

    def record(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return {"spaces": [vars(one) for one in self.spaces], "witness": self.witness.record()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Copying:
        """Take back what `record` returned."""
        spaces = (CopyingInSpace(**{**one, "worst_class": tuple(one["worst_class"])}) for one in record["spaces"])
        return cls(tuple(spaces), Witness.from_record(record["witness"]))


def copying(parts: Parts, seed: int = 0) -> Copying:
    """Audit the images of one generator.

    Args:
        parts: Training, held-out and drawn images in every space.
        seed: Of subsets and folds.

    Returns:
        A finding per space; none with fewer than 2 drawn images, as where filters left no more, or where no class has
        drawn and held-out images.

    Reference: Meehan et al. 2020 (C_T), Alaa et al. 2022 (authenticity), Chen et al. 2020 (GAN-Leaks), van Breugel
    et al. 2023 (DOMIAS).
    """
    if len(parts.drawn) < LEAST_DRAWN or not parts.shared_classes:
        return Copying((), Witness({}, {}))
    return Copying(tuple(_in_space(parts, space, seed) for space in parts.train.spaces), witness(parts, seed))


def witness(parts: Parts, seed: int = 0) -> Witness:
    """Return what the decision over all splits needs of one: of all images together, and of each class alone.

    Copies of a few images of a rare class drown among many new images of a common one.
    """
    if len(parts.classes) == 1:
        return _witness(parts, seed)
    drawn = sorted(set(parts.drawn.labels.tolist()))
    alone = {parts.classes[label]: _of_class(parts.of_class(label), seed) for label in drawn}
    return replace(_witness(parts, seed), classes=alone)


def _of_class(parts: Parts, seed: int) -> Witness:
    """Return the witness of one class: an empty one, of which nothing can be told, where a real side has none of it."""
    if len(parts.train) and len(parts.held_out):
        return _witness(parts, seed)
    return Witness({space: [] for space in parts.train.spaces}, {})


def _witness(parts: Parts, seed: int) -> Witness:
    one_each = replace(parts, held_out=parts.held_out.one_per_group(seed))
    spaces = parts.train.spaces
    return Witness(
        {space: _distances(one_each, space) for space in spaces}, {name: _hits(parts, name) for name in spaces}
    )


def _distances(parts: Parts, space: str) -> list[tuple[Rows, Rows]]:
    sides = [(side.labels, _to_train(side, parts.train, space)[0]) for side in (parts.drawn, parts.held_out)]
    (ours, drawn), (theirs, held_out) = sides
    return [(drawn[ours == label], held_out[theirs == label]) for label in parts.shared_classes]


def copycat(parts: Parts, seed: int = 0) -> Witness:
    """Return the positive control: copies of training images in place of drawn ones."""
    rows = np.random.default_rng(seed).integers(len(parts.train), size=len(parts.drawn))
    return witness(replace(parts, drawn=parts.train.take(rows)), seed)


def unused(parts: Parts, seed: int = 0) -> Witness:
    """Return the negative control: one half of the held-out groups in place of drawn images, against the other."""
    names = sorted(set(parts.held_out.groups))
    chosen = set(np.random.default_rng(seed).permutation(np.array(names, dtype=object))[: len(names) // 2].tolist())
    half = np.array([name in chosen for name in parts.held_out.groups])
    drawn = parts.held_out.take(half).one_per_group(seed)
    return witness(replace(parts, drawn=drawn, held_out=parts.held_out.take(~half)), seed)


def _hits(parts: Parts, space: str) -> Hits:
    train, held_out = parts.train, parts.held_out
    return hits(
        parts.drawn.spaces[space],
        train.spaces[space],
        held_out.spaces[space],
        labels=(train.labels, held_out.labels),
        groups=(train.groups, held_out.groups),
    )


def _to_train(side: Views, train: Views, space: str) -> tuple[Rows, Any]:
    return nearest(side.spaces[space], train.spaces[space])


def _in_space(parts: Parts, space: str, seed: int) -> CopyingInSpace:
    train, real, fake = (part.spaces[space] for part in (parts.train, parts.held_out, parts.drawn))
    (ours, index), (theirs, _) = (_to_train(side, parts.train, space) for side in (parts.drawn, parts.held_out))
    rate = copy_rate(ours, theirs)
    return CopyingInSpace(
        space=space,
        drawn=len(fake),
        held_out=len(real),
        rate=rate.rate,
        rate_expected=rate.expected,
        rate_lower=rate.lower,
        worst_class=_worst(parts, ours, rate.threshold),
        closer=closer_to_train(fake, train, real, seed=seed),
        ratio_share=neighbour_ratio(fake, train).below,
        ratio_share_real=neighbour_ratio(real, train).below,
        authenticity=authenticity(fake, train),
        authenticity_real=authenticity(real, train),
        c_t=data_copying(ours, parts.drawn.labels, theirs, parts.held_out.labels),
        groups=groups_copied(ours, index, parts.train.groups, rate.threshold),
        duplicates=duplicates_within(fake, float(np.quantile(nearest_other(train, parts.train.groups), 0.01))),
        **_membership(train, real, fake, seed),
    )


def _worst(parts: Parts, distances: Rows, threshold: float) -> tuple[str, float]:
    shares = [
        (float((distances[parts.drawn.labels == label] < threshold).mean()), name)
        for label, name in enumerate(parts.classes)
        if (parts.drawn.labels == label).any()
    ]
    share, name = max(shares)
    return name, share


def _membership(train: Rows, real: Rows, fake: Rows, seed: int) -> dict[str, float | None]:
    names = ("membership", "membership_low", "membership_tpr", "membership_fpr", "domias")
    if min(len(train), len(real)) < 2 * LEAST_MEMBERS:
        return dict.fromkeys(names)
    found = membership(train, real, fake)
    half = np.random.default_rng(seed).permutation(len(real))
    reference, scored = real[half[: len(real) // 2]], real[half[len(real) // 2 :]]
    return dict(
        zip(
            names,
            (found.auc, found.low, found.tpr, found.fpr, domias(train, scored, fake, reference, seed=seed).auc),
            strict=True,
        )
    )
