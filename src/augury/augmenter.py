"""Generated images in imbalanced-learn's manner: `fit_resample`, inside its pipelines (extra `imbalanced`)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import issparse

from augury.errors import DataError, SettingsError
from augury.filters import Filter, filter_from
from augury.generators import generator_from
from augury.generators.base import Generator, Sampler
from augury.images import ImageSet, real_set
from augury.training import Run, choose_device

try:
    from imblearn.over_sampling.base import BaseOverSampler
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn.utils.validation import check_random_state, validate_data
except ImportError:
    raise SettingsError("Augmenter needs the package imbalanced-learn: pip install 'augury[imbalanced]'.") from None

Values = npt.NDArray[Any]

FACTOR = 2  # images drawn per image wanted where filters drop some


class Augmenter(BaseOverSampler):  # type: ignore[misc]
    """Add generated images to the rare classes, as `SMOTE` adds points.

    A generator is fitted on the images that `fit_resample` is given and on nothing else, so that in a pipeline of
    imbalanced-learn neither it nor its images ever meet those that are predicted.

    Args:
        generator: A kind of `augury list`, or a recipe such as `augury.CVAE(steps=500)`.
        sampling_strategy: As in imbalanced-learn: `auto` (all classes but the largest, up to its size), `minority`,
            `not minority`, `all`, the size of each class as a dict, for two classes the ratio of their sizes, or a
            function that gives such a dict.
        filters: Filters of `augury list` (kinds, tables or recipes) that drawn images must pass; twice as many images
            are drawn then, and a warning says where too few pass.
        random_state: An integer for the same images at every call, a NumPy random state, or None.
        image_shape: (H, W) or (H, W, C) of an image where X holds one flattened image per row. None: square images,
            grey or colour, whichever has as many values; else a row of pixels, which dense networks such as those of
            `cvae` take.
        device: `auto`, `cpu` or `cuda`.

    Attributes:
        sampling_strategy_: Class -> number of images to add.
        sampler_: The fitted generator.
        image_shape_: (H, W) or (H, W, C).
        value_range_: The values of X that are black and white: (0, 255) for integers, (0, 1) for fractions in 0..1,
            (0, largest value) for larger ones, and where some are negative (standardised pixels) the smallest and
            largest value.
        shortfall_: Class -> number of images that filters left missing.

    Example:
        >>> import augury, sklearn.datasets
        >>> X, y = sklearn.datasets.load_digits(return_X_y=True)
        >>> rare = np.flatnonzero((y == 0) | ((y == 1) & (np.arange(len(y)) < 300)))
        >>> augmenter = Augmenter(augury.CVAE(steps=5), random_state=0)
        >>> X_more, y_more = augmenter.fit_resample(X[rare], y[rare])
        >>> np.bincount(y[rare]).tolist(), np.bincount(y_more).tolist()
        ([178, 30], [178, 178])
        >>> augmenter.image_shape_, augmenter.value_range_
        ((8, 8), (0.0, 16.0))
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "generator": [str, Generator],
        "sampling_strategy": [
            Interval(Real, 0, 1, closed="right"),
            StrOptions({"auto", "minority", "not minority", "not majority", "all"}),
            Mapping,
            Callable,
        ],
        "filters": [tuple, list],
        "random_state": ["random_state"],
        "image_shape": [tuple, list, None],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
    }

    def __init__(
        self,
        generator: str | Generator = "cvae",
        *,
        sampling_strategy: str | float | Mapping[Any, int] | Callable[..., Any] = "auto",
        filters: Sequence[str | Mapping[str, Any] | Filter] = (),
        random_state: int | np.random.RandomState | None = None,
        image_shape: Sequence[int] | None = None,
        device: str = "auto",
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.generator = generator
        self.filters = filters
        self.random_state = random_state
        self.image_shape = image_shape
        self.device = device

    def _check_X_y(self, X: Any, y: Any, accept_sparse: Any = None) -> tuple[Values, Values, bool]:  # noqa: N802
        from imblearn.utils import check_target_type

        y, binarize_y = check_target_type(y, indicate_one_vs_all=True)
        X, y = validate_data(self, X=X, y=y, reset=True, allow_nd=True, accept_sparse="csr")
        return X.toarray() if issparse(X) else X, y, binarize_y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False  # images are dense: a sparse matrix is taken, and comes back dense
        return tags

    def _fit_resample(self, X: Values, y: Values, **_: Any) -> tuple[Values, Values]:
        classes, labels = np.unique(y, return_inverse=True)
        self.image_shape_ = image_shape(X.shape, self.image_shape)
        self.value_range_ = value_range(X)
        images = real_set(
            torch.from_numpy(self._to_pixels(X)), torch.from_numpy(labels.astype(np.int64)), [str(c) for c in classes]
        )
        wanted = [int(self.sampling_strategy_.get(name, 0)) for name in classes.tolist()]
        seed = self._seed()
        run = Run(seed, choose_device(self.device))
        recipe = self.generator if isinstance(self.generator, Generator) else generator_from(self.generator)
        self.sampler_: Sampler = recipe.fit(images, run)
        pool = self._drawn(images, wanted, run)
        had = pool.counts()
        self.shortfall_ = {
            name: want - have for name, want, have in zip(classes.tolist(), wanted, had, strict=True) if want > have
        }
        if self.shortfall_:
            warnings.warn(f"the filters left too few images; missing: {self.shortfall_}", UserWarning, stacklevel=4)
        drawn = self._to_values(pool, X)
        return np.concatenate([X, drawn]), np.concatenate([y, classes[pool.labels.numpy()]]).astype(y.dtype)

    def _seed(self) -> int:
        if self.random_state is None:  # from the system: NumPy's global state is nobody's here
            return int(np.random.default_rng().integers(2**31))
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _drawn(self, images: ImageSet, wanted: Sequence[int], run: Run) -> ImageSet:
        """Draw images, and keep the first wanted ones of each class that pass the filters."""
        from augury.classifiers import SmallCNNClassifier
        from augury.curation import Curator

        filters = [filter_from(value) for value in self.filters]
        factor = FACTOR if filters else 1
        labels = [label for label, n in enumerate(wanted) for _ in range(factor * n)]
        index = [j for n in wanted for j in range(factor * n)]
        pool = self.sampler_.draw_rows(labels, index, seed=run.seed)
        if filters:
            pool = Curator.fit(images, filters, SmallCNNClassifier(), run).look(pool).kept()
        own = (np.flatnonzero(pool.labels.numpy() == label)[:n] for label, n in enumerate(wanted))
        return pool.take(np.concatenate([*own, np.empty(0, dtype=np.int64)]))

    def _to_pixels(self, X: Values) -> npt.NDArray[np.uint8]:
        """Return X as uint8 (N, C, H, W), a copy."""
        low, high = self.value_range_
        scaled = (X.astype(np.float64) - low) * (255 / max(high - low, 1e-12))
        pixels = np.rint(scaled).clip(0, 255).astype(np.uint8).reshape(len(X), *self.image_shape_)
        return pixels[:, None] if pixels.ndim == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    def _to_values(self, pool: ImageSet, X: Values) -> Values:
        """Return drawn images in the values, the type and the shape of X."""
        low, high = self.value_range_
        pixels = pool.images[:].numpy()
        last = pixels[:, 0] if len(self.image_shape_) == 2 else pixels.transpose(0, 2, 3, 1)
        values = last.astype(np.float64) / 255 * (high - low) + low
        rounded = np.rint(values) if X.dtype.kind in "iu" else values
        return rounded.reshape(len(pool), *X.shape[1:]).astype(X.dtype)


def image_shape(shape: tuple[int, ...], given: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of one image, (H, W) or (H, W, C).

    Args:
        shape: (N, H, W), (N, H, W, C) or (N, values).
        given: What the user says it is, or None.

    Raises:
        DataError: If it does not fit, or has neither one nor three colours.

    Example:
        >>> image_shape((5, 64), None), image_shape((5, 2352), None), image_shape((5, 20), None)
        ((8, 8), (28, 28, 3), (1, 20))
    """
    usual = _inferred(shape[1]) if len(shape) == 2 else shape[1:]
    found = usual if given is None else tuple(given)
    fits = math.prod(found) == shape[1] if len(shape) == 2 else found == shape[1:]
    if not fits or len(found) not in (2, 3) or (len(found) == 3 and found[2] not in (1, 3)):
        raise DataError(
            "X must be (N, H, W), (N, H, W, 1 or 3), or one flattened image per row with a fitting image_shape. "
            f"Got {shape} and image_shape={given}."
        )
    return found


def _inferred(values: int) -> tuple[int, ...]:
    """Return the square image, grey or colour, that has so many values; a row of pixels if there is none."""
    for colours in (1, 3):
        side = math.isqrt(values // colours)
        if side > 1 and colours * side * side == values:
            return (side, side) if colours == 1 else (side, side, 3)
    return 1, values


def value_range(X: Values) -> tuple[float, float]:
    """Return the values that are black and white.

    Raises:
        DataError: If integers lie outside of 0..255.

    Example:
        >>> value_range(np.array([0, 200])), value_range(np.array([0.2, 0.9])), value_range(np.array([-1.5, 2.5]))
        ((0.0, 255.0), (0.0, 1.0), (-1.5, 2.5))
    """
    low, high = float(X.min()), float(X.max())
    if X.dtype.kind in "iu" and not 0 <= low <= high <= 255:
        raise DataError(f"pixels must be integers in 0..255, or fractions. Got integers in {low:g}..{high:g}.")
    if X.dtype.kind in "iu":
        return 0.0, 255.0
    return (low, high) if low < 0 else (0.0, max(1.0, high))
