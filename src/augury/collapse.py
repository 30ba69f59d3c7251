"""Collapse of a generator: images of a class that are all alike, or a discriminator that wins everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from augury.errors import DataError
from augury.images import ImageSet
from augury.seeds import numbers_for
from augury.stored import StoredPixels, in_chunks, take

Features = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MOST_IMAGES = 500  # of a class and side; more would only cost time
SIDE = 16  # pixels of a reduced image: what is alike but for noise or blur shall look alike
LEAST_IMAGES = 8  # of a class and side; fewer say too little about their spread
MODES = 10
LEAST_FOR_MODES = 40  # images of a class and side; fewer lie in few of the modes by chance

# Both shares were calibrated with real images in place of drawn ones: random halves of each class, 100 draws at each of
# six or seven sizes from 8 images to all, on 8 x 8 digits, BreastMNIST, PneumoniaMNIST, HAM10000 and COVID-CT. Nothing
# fired. The least spread was 0.55 (with 8 images; 0.67 with 20), the least share of modes 0.54 (40 to 70 images; 0.64
# with more). One image again and again, with noise of 20 grey levels or without, has a spread of at most 0.43. Two
# images again and again are found by their modes in 99 % of classes of 40 images, and always from 60 on; two digits of
# ten as one class in 178 of 180 cases.
LEAST_SPREAD = 0.5
LEAST_SHARE_OF_MODES = 0.5

HARD_WIN = 0.98  # declared: what is left is about one image of a batch of 64


@dataclass(frozen=True)
class ClassDiversity:
    """How diverse the drawn images of one class are against the real ones.

    Attributes:
        name: Name of the class.
        real: Number of real images that were looked at.
        drawn: Number of drawn images that were looked at.
        spread: Root mean squared distance to the mean image, drawn / real.
        modes: Effective number of clusters of real images that the images lie in, drawn / real; None where there are
            too few images.
        collapsed: Whether one of the two is below one half.
    """

    name: str
    real: int
    drawn: int
    spread: float
    modes: float | None
    collapsed: bool


@dataclass(frozen=True)
class Collapse:
    """What was found.

    Attributes:
        classes: One entry for each class that could be judged, in label order.
        right: Share of images that the discriminator told apart in the last fifth of the training, 0..1; None without
            a discriminator.
    """

    classes: tuple[ClassDiversity, ...]
    right: float | None = None

    @property
    def discriminator_wins(self) -> bool:
        """Tell whether the discriminator told nearly every image apart, so that the generator learned no more."""
        return self.right is not None and self.right > HARD_WIN

    @property
    def fired(self) -> bool:
        """Tell whether anything was found."""
        return self.discriminator_wins or any(found.collapsed for found in self.classes)

    def sentences(self) -> tuple[str, ...]:
        """Return what was found, in words: one sentence for each collapsed class, one for the discriminator."""
        found = tuple(_sentence(one) for one in self.classes if one.collapsed)
        if self.right is None or not self.discriminator_wins:
            return found
        share = f"{100 * self.right:.1f} % in the last fifth of the training"
        return (
            *found,
            f"the discriminator tells nearly every image apart ({share}): the generator has stopped learning from it",
        )


def detect(real: ImageSet, drawn: ImageSet, right: Sequence[float] = (), seed: int = 0) -> Collapse:
    """Compare the diversity of drawn images with that of real ones, class by class; look at who wins the game.

    Images are reduced by area to at most 16 x 16 pixels. Two statistics, each drawn / real:

    spread: the root mean squared distance to the mean image of the class.
    modes: the real images are clustered (k-means, 10 clusters), and the drawn ones assigned to the nearest centres. The
        number of modes is exp(entropy) of the shares of the clusters. A real image has drawn a centre toward itself,
        which a drawn one has not: it is assigned as if it had not been among those clustered. Few images leave clusters
        empty by chance: Miller and Madow's correction, (clusters hit - 1) / (2 images), is added to both entropies.
        None below 40 images on either side.

    A class is left out if it has less than 8 images on either side, or if its real images are all the same. At most 500
    images of a class are looked at on each side, chosen by the seed.

    Args:
        real: The generator's training images.
        drawn: Images drawn from it, of the same classes and size; at least as many for a class as there are real ones.
        right: Share of images that the discriminator told apart at each step, 0..1 each.
        seed: Of the choice of images and of the clustering.

    Raises:
        DataError: The sets differ in classes or size, or a share is outside 0..1.

    Reference: Richardson & Weiss 2018 (arXiv 1805.12462), section 3 (bins of real images); Miller 1955, Note on the
    bias of information estimates (the correction).

    Example:
        >>> import augury
        >>> digits = augury.read("digits")
        >>> one_each = digits.take([int(torch.nonzero(digits.labels == k)[0]) for k in range(10) for _ in range(50)])
        >>> detect(digits, one_each).sentences()[3]
        "class '3': the drawn images vary less than half as much as real ones (spread 0.00 of real)"
    """
    if real.classes != drawn.classes or real.shape != drawn.shape:
        raise DataError(
            f"real and drawn images must be of the same classes and size. Got {real.classes} {real.shape} "
            f"and {drawn.classes} {drawn.shape}: draw them from a generator that was fitted to these real images."
        )
    judged = (_judged(label, real, drawn, seed) for label in range(len(real.classes)))
    return Collapse(tuple(found for found in judged if found is not None), late_share(right))


def _sentence(found: ClassDiversity) -> str:
    if found.spread < LEAST_SPREAD:
        return (
            f"class {found.name!r}: the drawn images vary less than half as much as real ones "
            f"(spread {found.spread:.2f} of real)"
        )
    return (
        f"class {found.name!r}: the drawn images show few of the kinds of real images "
        f"(effective number of kinds {found.modes:.2f} of real)"
    )


def late_share(right: Sequence[float]) -> float | None:
    """Return the mean of a training's last fifth; None of nothing.

    Args:
        right: Share of images that the discriminator told apart at each step, 0..1 each.

    Raises:
        DataError: A share is outside 0..1.

    Example:
        >>> late_share([0.5] * 80 + [0.75] * 20)
        0.75
    """
    shares = np.asarray(right, dtype=np.float64)
    if not ((shares >= 0) & (shares <= 1)).all():  # nan is refused here as well
        raise DataError("shares of images that the discriminator told apart must be between 0 and 1 at each step.")
    return float(shares[-max(1, len(shares) // 5) :].mean()) if len(shares) else None


def _judged(label: int, real: ImageSet, drawn: ImageSet, seed: int) -> ClassDiversity | None:
    generator = numbers_for(seed, "collapse", label)
    theirs, ours = (_chosen(images, label, generator) for images in (real, drawn))
    if min(len(theirs), len(ours)) < LEAST_IMAGES:
        return None
    of_real, of_drawn = _reduced(real.images, theirs), _reduced(drawn.images, ours)
    distinct = len(np.unique(of_real, axis=0))
    if distinct < 2:
        return None
    spread = _spread(of_drawn) / _spread(of_real)
    enough = min(len(theirs), len(ours)) >= LEAST_FOR_MODES
    modes = _share_of_modes(of_real, of_drawn, min(MODES, distinct), generator) if enough else None
    collapsed = spread < LEAST_SPREAD or (modes is not None and modes < LEAST_SHARE_OF_MODES)
    return ClassDiversity(real.classes[label], len(theirs), len(ours), spread, modes, collapsed)


def _chosen(images: ImageSet, label: int, generator: np.random.Generator) -> torch.Tensor:
    """Return the positions of at most 500 images of a class, in their order."""
    rows = np.flatnonzero(images.labels.numpy() == label)
    if len(rows) > MOST_IMAGES:
        rows = np.sort(generator.choice(rows, MOST_IMAGES, replace=False))
    return torch.from_numpy(rows)


def _reduced(images: torch.Tensor | StoredPixels, rows: torch.Tensor) -> Features:
    """Return images as features, (n, C * 16 * 16) or fewer, 0..1."""
    H, W = images.shape[2:]
    to = (min(SIDE, H), min(SIDE, W))
    chunks = [F.adaptive_avg_pool2d(chunk.float(), to).flatten(1) for chunk in in_chunks(take(images, rows))]
    return torch.cat(chunks).numpy().astype(np.float64) / 255


def _spread(features: Features) -> float:
    return float(np.sqrt(features.var(axis=0, ddof=1).sum()))


def _share_of_modes(real: Features, drawn: Features, clusters: int, generator: np.random.Generator) -> float:
    from sklearn.cluster import KMeans  # a second and more, which every process would wait for

    means = KMeans(clusters, n_init=3, random_state=int(generator.integers(2**31))).fit(real)
    of_drawn, of_real = means.predict(drawn), _as_if_new(means.labels_, means.transform(real))
    return _effective_number(of_drawn) / _effective_number(of_real)


def _as_if_new(own: Indices, distances: Features) -> Indices:
    """Return the nearest centre of each real image, its own share in the centre of its cluster taken out.

    Without its share, the centre of a cluster of m images lies farther from the image, by the factor m / (m - 1).
    """
    rows, sizes = np.arange(len(own)), np.bincount(own)[own]
    farther = distances[rows, own] * sizes / np.maximum(sizes - 1, 1)
    without = distances.copy()
    without[rows, own] = np.where(sizes > 1, farther, np.inf)
    return np.asarray(without.argmin(axis=1))


def _effective_number(clusters: Indices) -> float:
    _, hit = np.unique(clusters, return_counts=True)
    shares = hit / hit.sum()
    entropy = -(shares * np.log(shares)).sum() + (len(hit) - 1) / (2 * hit.sum())
    return float(np.exp(entropy))
