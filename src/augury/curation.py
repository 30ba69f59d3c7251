"""Curation: judges cross-fitted inside the training part, and what filters make of a pool under them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from augury.classifiers.base import Classifier, Predictor
from augury.classifiers.features import FeatureMaker
from augury.errors import DataError
from augury.filters import PIXELS, Filter, Fold, Known, Opinion, Rows, Seen, labels_of
from augury.images import ImageSet
from augury.seeds import seed_for
from augury.selections import JUDGE, Selection
from augury.splits import cross_folds
from augury.stored import StoredPixels, in_chunks
from augury.training import Run

JUDGES = 3  # folds of the training part
SIDE = 32  # pixels, at most, of an image whose distances are measured
ARRAYS, CURATED = "known.npz", "curated.npz"


@dataclass(frozen=True, eq=False)
class Curated:
    """A pool and what filters made of it.

    Attributes:
        pool: All images that were looked at.
        keep: bool (N,).
        scores: Filter -> float64 (N,), 0..1: the share of real images that are no better by this filter.
        reasons: N texts: the first filter that dropped the image; empty if it was kept.
    """

    pool: ImageSet
    keep: npt.NDArray[np.bool_]
    scores: dict[str, Rows]
    reasons: tuple[str, ...]

    def kept(self) -> ImageSet:
        """Return the images that were kept, in their order."""
        return self.pool.take(self.keep)

    def save(self, folder: Path) -> None:
        """Write the pool and the verdicts into an existing folder."""
        self.pool.save(folder)
        np.savez(folder / CURATED, allow_pickle=False, keep=self.keep, **{f"of {k}": v for k, v in self.scores.items()})
        (folder / "reasons.json").write_text(json.dumps(self.reasons), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Curated:
        """Read back what was saved; the pixels stay on disk until they are used."""
        with np.load(folder / CURATED, allow_pickle=False) as kept:
            scores = {name.removeprefix("of "): kept[name] for name in kept if name.startswith("of ")}
            reasons = tuple(json.loads((folder / "reasons.json").read_text(encoding="utf-8")))
            return cls(ImageSet.load(folder, lazily=True), kept["keep"], scores, reasons)


class Curator:
    """Applies filters to pools.

    Args:
        filters: What is applied, in this order; an image is kept if all of them keep it.
        judges: Classifiers, each trained on the training images outside of one fold.
        known: What the filters know of the training images.
        device: Where networks run.

    Example:
        >>> import augury
        >>> digits = augury.read("digits").take(range(200))
        >>> judge = augury.SmallCNNClassifier(steps=20, batch=16, width=4)
        >>> curator = Curator.fit(digits, [augury.NearCopy()], judge, augury.Run(seed=0))
        >>> pool = augury.Repeat().fit(digits, augury.Run(seed=0)).draw(5, seed=1)
        >>> curator.look(pool).keep.any()
        np.False_
    """

    def __init__(
        self, filters: Sequence[Filter], judges: Sequence[Predictor], known: Known, *, device: str = "cpu"
    ) -> None:
        self.filters, self.judges, self.known, self.device = tuple(filters), tuple(judges), known, device

    @classmethod
    def fit(cls, train: ImageSet, filters: Sequence[Filter], judge: Classifier, run: Run) -> Curator:
        """Train the judges that the filters ask for, on the training images only.

        Args:
            train: Real images.
            filters: What is to be applied.
            judge: The recipe of the judges.
            run: Seed and device.

        Raises:
            DataError: If there are too few images to cross-fit judges.
        """
        folds = judge_folds(train, run.seed) if any(rule.judged for rule in filters) else np.full(len(train), -1)
        runs = [Run(seed_for(run.seed, "judge", fold), run.device) for fold in range(folds.max() + 1)]
        judges = [fit_judge(train, folds, fold, judge, each) for fold, each in enumerate(runs)]
        spaces = spaces_of(filters)
        return cls(filters, judges, know(train, folds, judges, spaces, run.device), device=run.device)

    def look(self, pool: ImageSet) -> Curated:
        """Judge every image of a pool by itself.

        Raises:
            DataError: If the pool differs from the training images in size.
        """
        keep, reasons = np.ones(len(pool), dtype=bool), [""] * len(pool)
        scores: dict[str, Rows] = {}
        seen = self._seen(pool) if len(pool) else None
        for rule in self.filters:
            found = rule.scores(seen, self.known) if seen else np.empty(0)
            kept = rule.keep(found, self.known)
            reasons = [old or ("" if good else rule.label) for old, good in zip(reasons, kept, strict=True)]
            keep, scores[rule.label] = keep & kept, found
        return Curated(pool, keep, scores, tuple(reasons))

    def _seen(self, pool: ImageSet) -> Seen:
        opinions = tuple(opinion(judge, pool) for judge in self.judges)
        vectors = {space: vectors_of(pool, space, self.device) for space in spaces_of(self.filters)}
        for space, found in vectors.items():
            if found.shape[1] != self.known.vectors[space].shape[1]:
                raise DataError(f"the pool must have the size of the training images. Got {pool.shape}.")
        return Seen(opinions, vectors)


def spaces_of(filters: Sequence[Filter]) -> tuple[str, ...]:
    """Return the spaces beside those of the judges that some filters need, each once, in order."""
    return tuple(sorted({space for rule in filters for space in rule.spaces()}))


def judge_folds(train: ImageSet, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each training image: int64 (N,); -1 for one that every judge is trained on."""
    return cross_folds(train, JUDGES, seed)


def fit_judge(
    train: ImageSet,
    folds: npt.NDArray[np.int64],
    fold: int,
    recipe: Classifier,
    run: Run,
) -> Predictor:
    """Train the judge of one fold on the images outside of it: by steps, for no image is left to choose an epoch on."""
    return recipe.by_steps().fit(train.take(folds != fold), None, run)


def know(
    train: ImageSet,
    folds: npt.NDArray[np.int64],
    judges: Sequence[Predictor],
    spaces: Sequence[str],
    device: str = "cpu",
) -> Known:
    """Note what filters need to know of the training images."""
    seen = tuple(
        Fold(opinion(judge, train.take(folds != fold)), opinion(judge, train.take(folds == fold)))
        for fold, judge in enumerate(judges)
    )
    vectors = {space: vectors_of(train, space, device) for space in spaces}
    return Known(seen, vectors, {space: _between(rows, train.group_names) for space, rows in vectors.items()})


def opinion(judge: Predictor, images: ImageSet) -> Opinion:
    """Ask a judge about some images."""
    return Opinion(
        images.labels.numpy(),
        judge.scores(images, None).astype(np.float64),
        judge.features(images.images).astype(np.float64),
    )


def vectors_of(images: ImageSet, space: str, device: str = "cpu") -> Rows:
    """Return images as rows whose distances say how much they look alike: float64 (N, D), each of length 1.

    Args:
        images: N images.
        space: `pixels`: shrunk to at most 32 pixels a side, brought to mean 0; or a network with published weights.
        device: Where the network runs.
    """
    if space == PIXELS:
        rows = torch.cat([_shrunk(chunk) for chunk in in_chunks(images.images)]) if len(images) else torch.empty(0, 1)
    else:
        bank = FeatureMaker(network=space, weights="imagenet").compute(images, device)
        rows = torch.from_numpy(bank.of(images)[:, 0].copy())
    rows = rows.double()
    if space == PIXELS:
        rows = rows - rows.mean(1, keepdim=True)
    return np.asarray((rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-9)).numpy())


def in_order(select: Selection, pool: ImageSet, judge: Callable[[], Predictor], device: str = "cpu") -> list[int]:
    """Return the positions of images of one class as a selection orders them, in the space that it measures in.

    Args:
        select: The selection.
        pool: N images of one class.
        judge: Gives the classifier whose features are measured; called if the selection asks for them.
        device: Where networks run.
    """
    space = select.measures_in()
    if space == JUDGE:
        return select.order(pool, judge().features(pool.images))
    return select.order(pool, vectors_of(pool, space, device) if space else np.empty((len(pool), 0)))


def rules_in_words(filters: Sequence[Filter], select: Selection | None) -> str:
    """Return filters and a selection in words; empty where images are used as they were drawn.

    Example:
        >>> from augury.selections import Diverse
        >>> rules_in_words([], None), rules_in_words([], Diverse())
        ('', 'diverse')
    """
    words = [labels_of(filters)] if filters else []
    return " + ".join([*words, select.kind] if select is not None else words)


def _shrunk(images: torch.Tensor | StoredPixels) -> torch.Tensor:
    pixels = images[:].float()
    H, W = pixels.shape[2:]
    if max(H, W) > SIDE:
        size = (max(1, round(H * SIDE / max(H, W))), max(1, round(W * SIDE / max(H, W))))
        pixels = F.interpolate(pixels, size, mode="area")
    return pixels.flatten(1)


def _between(rows: Rows, groups: Sequence[str]) -> Rows:
    """Return the distance from each training image to the nearest one of another group."""
    from augury.metrics.copying import nearest_other  # loads statistics

    return nearest_other(rows, groups)


def save_known(known: Known, folder: Path) -> None:
    """Write what filters know into an existing folder."""
    arrays = {
        f"{i}/{side}/{item.name}": getattr(getattr(fold, side), item.name)
        for i, fold in enumerate(known.folds)
        for side in ("inside", "outside")
        for item in fields(Opinion)
    }
    arrays |= {f"vectors/{space}": rows for space, rows in known.vectors.items()}
    arrays |= {f"between/{space}": rows for space, rows in known.between.items()}
    np.savez(folder / ARRAYS, allow_pickle=False, **arrays)


def load_known(folder: Path) -> Known:
    """Read what `save_known` wrote."""
    with np.load(folder / ARRAYS, allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept}
    numbers = sorted({int(name.split("/")[0]) for name in arrays if name[0].isdigit()})
    folds = tuple(Fold(_opinion(arrays, f"{i}/inside"), _opinion(arrays, f"{i}/outside")) for i in numbers)
    spaces = [name.removeprefix("vectors/") for name in arrays if name.startswith("vectors/")]
    return Known(folds, *({space: arrays[f"{what}/{space}"] for space in spaces} for what in ("vectors", "between")))


def _opinion(arrays: dict[str, Rows], place: str) -> Opinion:
    return Opinion(*(arrays[f"{place}/{item.name}"] for item in fields(Opinion)))  # type: ignore[arg-type]
