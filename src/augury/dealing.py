"""Groups of images, dealt to bins: each bin gets every class, and about as many images as the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from augury.images import ImageSet

Rows = npt.NDArray[np.int64]

TOLERANCE = 0.15  # how far a bin's number of images may lie from the mean


@dataclass(frozen=True, eq=False)
class Groups:
    """G groups of images.

    Attributes:
        members: Positions of the images of each group.
        counts: int64 (G, K): images of each class in each group.
        strata: int64 (G,): the label that a group is dealt by, its dominant one; of equals the rarest overall.
    """

    members: tuple[Rows, ...]
    counts: Rows
    strata: Rows

    @classmethod
    def of(cls, images: ImageSet) -> Groups:
        """Return the groups of some images, in the order of their first ones."""
        positions: dict[str, list[int]] = {}
        for position, name in enumerate(images.group_names):
            positions.setdefault(name, []).append(position)
        labels = images.labels.numpy()
        members = tuple(np.array(group, dtype=np.int64) for group in positions.values())
        K = len(images.classes)
        counts = np.array([np.bincount(labels[group], minlength=K) for group in members], dtype=np.int64).reshape(-1, K)
        dominant = counts == counts.max(axis=1, keepdims=True)
        strata = np.where(dominant, counts.sum(axis=0), len(labels) + 1).argmin(axis=1)
        return cls(members, counts, strata)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def has(self) -> npt.NDArray[np.bool_]:
        """Return bool (G, K): which classes each group has images of."""
        return self.counts > 0

    @property
    def sizes(self) -> Rows:
        """Return int64 (G,): images of each group."""
        sizes: Rows = self.counts.sum(axis=1)
        return sizes

    def take(self, rows: Rows) -> Groups:
        """Return some of the groups."""
        return Groups(tuple(self.members[row] for row in rows), self.counts[rows], self.strata[rows])

    def positions(self, rows: Rows) -> tuple[int, ...]:
        """Return the positions of the images of some groups, ascending."""
        return tuple(sorted(int(position) for row in rows for position in self.members[row]))


def dealt(groups: Groups, bins: int, rng: np.random.Generator) -> Rows:
    """Deal shuffled groups to bins, label by label; return the bin of each group."""
    bin_of = np.zeros(len(groups), dtype=np.int64)
    start = int(rng.integers(bins))
    for label in range(groups.counts.shape[1]):
        rows = rng.permutation(np.flatnonzero(groups.strata == label))
        bin_of[rows] = (start + np.arange(len(rows))) % bins
        start += len(rows)  # the next label goes on where this one ended, so that the bins stay of one size
    order = rng.permutation(len(groups))
    _cover(groups, bin_of, bins, order)
    _balance(groups, bin_of, bins, order)
    return bin_of


def shared_out(groups: Groups, free: Rows, share: float, rng: np.random.Generator) -> Rows:
    """Return 1 for the groups of the validation part, label by label about a share of the images, else 0."""
    part_of = np.zeros(len(groups), dtype=np.int64)
    sizes = groups.sizes
    for label in range(groups.counts.shape[1]):
        rows = rng.permutation(free[groups.strata[free] == label])
        room = share * sizes[rows].sum()
        for row in rows:
            if sizes[row] <= 2 * room:  # nearer to the share with it than without
                part_of[row] = 1
                room -= sizes[row]
    _cover(groups, part_of, 2, rng.permutation(len(groups)))
    return part_of


def presence(groups: Groups, bin_of: Rows, bins: int) -> Rows:
    """Return, (bins, K), how many groups with images of each class lie in each bin."""
    return np.array([groups.has[bin_of == part].sum(axis=0) for part in range(bins)])


def _cover(groups: Groups, bin_of: Rows, bins: int, order: Rows) -> None:
    """Move small groups, in place, until each bin has each class, as far as no other bin loses its last one."""
    has, sizes = groups.has, groups.sizes
    present = presence(groups, bin_of, bins)
    for part, label in np.argwhere(present == 0):
        spare = [row for row in order[has[order, label]] if (present[bin_of[row]][has[row]] > 1).all()]
        if spare and present[part, label] == 0:
            row = min(spare, key=lambda row: int(sizes[row]))
            present[bin_of[row]] -= has[row]
            present[part] += has[row]
            bin_of[row] = part


def _balance(groups: Groups, bin_of: Rows, bins: int, order: Rows) -> None:
    """Swap groups of one stratum, in place, until the bins' numbers of images agree, or no swap helps."""
    for _ in range(len(groups)):
        sizes: Rows = (bin_of == np.arange(bins)[:, None]) @ groups.sizes
        off = np.abs(sizes / sizes.mean() - 1)
        swap = _best_swap(groups, bin_of, sizes, int(off.argmax()), order) if off.max() > TOLERANCE else None
        if swap is None:
            return
        bin_of[list(swap)] = bin_of[list(swap[::-1])]


def _best_swap(groups: Groups, bin_of: Rows, totals: Rows, worst: int, order: Rows) -> tuple[int, int] | None:
    """Return the swap with the worst bin that lowers the squared totals most and takes no class from a bin."""
    has, sizes = groups.has.astype(np.int64), groups.sizes
    present = presence(groups, bin_of, len(totals))
    in_bin = [order[bin_of[order] == part] for part in range(len(totals))]
    best, best_gain = None, 0
    for other in range(len(totals)):
        for a, b in _pairs(groups, in_bin[worst], in_bin[other]):
            shift = int(sizes[a] - sizes[b])
            gain = shift * (int(totals[worst] - totals[other]) - shift)
            if other == worst or gain <= best_gain:
                continue
            change = has[b] - has[a]
            lost = ((present[worst] > 0) & (present[worst] + change == 0)).any()
            if not lost and not ((present[other] > 0) & (present[other] - change == 0)).any():
                best, best_gain = (int(a), int(b)), gain
    return best


def _pairs(groups: Groups, left: Rows, right: Rows) -> Iterator[tuple[np.int64, np.int64]]:
    """Pair the groups of one stratum; of groups with equal contents one stands for all."""
    for label in range(groups.counts.shape[1]):
        sides = [rows[groups.strata[rows] == label] for rows in (left, right)]
        first, second = (rows[np.unique(groups.counts[rows], axis=0, return_index=True)[1]] for rows in sides)
        yield from product(first, second)
