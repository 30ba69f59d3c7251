"""`Augmenter` keeps imbalanced-learn's promises, and those to images."""

import importlib
import sys

import numpy as np
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from augury import CVAE, Augmenter, Blend, handover
from augury.errors import DataError, SettingsError
from toy import nothing_touched, toy_images

TINY = CVAE(hidden=(8,), latent=2, steps=2)
CHECKS = list(estimator_checks_generator(Augmenter(TINY, random_state=0)))
COUNTS = {2: (7, 4), 3: (7, 4, 5)}


def arrays(classes=2, channels=1, names=("benign", "malignant", "other")):
    X, y = handover.as_arrays(toy_images(classes=classes, channels=channels, per_class=COUNTS[classes]))
    return X, np.array(names[:classes])[y]


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_it_passes_all_checks_of_a_sampler(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("strategy", "classes"),
    [
        *[(name, 3) for name in ("auto", "minority", "not minority", "not majority", "all")],
        ({"malignant": 9, "other": 6}, 3),
        (lambda y: {"malignant": 3 + (y == "malignant").sum()}, 3),
        (0.8, 2),
    ],
)
def test_strategies_mean_what_they_mean_to_imbalanced_learn(strategy, classes):
    X, y = arrays(classes)
    _, ours = Augmenter(TINY, sampling_strategy=strategy, random_state=0).fit_resample(X, y)
    _, theirs = RandomOverSampler(sampling_strategy=strategy).fit_resample(X.reshape(len(X), -1), y)
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3)])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("scale", ["bytes", "grey levels", "fractions", "standardised"])
def test_real_rows_come_first_unchanged_and_the_others_look_like_them(shape, flat, scale):
    X, y = arrays(channels=shape[2] if len(shape) == 3 else 1)
    X = X.reshape(len(X), *shape)
    X = {"bytes": X, "grey levels": X.astype(float), "fractions": np.float32(X / 255), "standardised": X / 40 - 3}[
        scale
    ]
    X = X.reshape(len(X), -1) if flat else X
    before = X.copy()
    augmenter = Augmenter(Blend(parents=3), random_state=0, image_shape=shape if flat else None)
    more, labels = augmenter.fit_resample(X, y)
    assert (more.dtype, labels.dtype, len(more)) == (X.dtype, y.dtype, 14)
    assert np.array_equal(more[: len(X)], X)
    assert np.array_equal(X, before)
    assert labels.tolist() == [*y, *["malignant"] * 3]
    drawn, own = more[len(X) :], X[y == "malignant"]
    step = {"bytes": 1, "grey levels": 1, "fractions": 1 / 255, "standardised": (X.max() - X.min()) / 255}[scale]
    assert drawn.min() >= own.min() - step  # blends lie between images of their class
    assert drawn.max() <= own.max() + step
    assert abs(drawn.mean() - own.mean()) < 20 * step


def test_flattened_squares_are_found_by_their_number_of_values():
    for channels, found in ((1, (8, 8)), (3, (8, 8, 3))):
        X, y = arrays(channels=channels)
        augmenter = Augmenter(TINY, random_state=0)
        augmenter.fit_resample(X.reshape(len(X), -1), y)
        assert (augmenter.image_shape_, augmenter.value_range_) == (found, (0.0, 255.0))
        assert augmenter.sampling_strategy_ == {"malignant": 3}


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers what it was given."""

    def fit(self, X, y):
        self.fitted_, self.classes_ = len(X), np.unique(y)
        return self

    def predict(self, X):
        self.predicted_ = X
        return np.full(len(X), self.classes_[0])


def test_a_pipeline_resamples_in_fit_only():
    X, y = arrays()
    pipeline = Pipeline([("more", Augmenter(TINY, random_state=0)), ("end", Recorder())]).fit(X, y)
    assert pipeline["end"].fitted_ == 14
    assert len(pipeline.predict(X)) == 11
    assert np.array_equal(pipeline["end"].predicted_, X)


def test_it_stands_behind_a_scaler_in_cross_validation():
    X, y = arrays()
    steps = [("scale", StandardScaler()), ("more", Augmenter(TINY, random_state=0)), ("end", Recorder())]
    assert len(cross_val_score(Pipeline(steps), X.reshape(len(X), -1), y, cv=2, error_score="raise")) == 2


def test_a_fold_is_the_generators_whole_world():
    X, y = arrays()
    augmenter = Augmenter(TINY, random_state=0)
    augmenter.fit_resample(X[:9], y[:9])
    assert augmenter.sampler_.card.counts == (7, 2)
    assert len(augmenter.sampler_.card.seen) == 9


def test_parameters_are_given_set_and_cloned():
    augmenter = Augmenter("blend", filters=("near_copy",), image_shape=(8, 8))
    copied = clone(augmenter.set_params(generator=TINY, random_state=3))
    assert copied.get_params() == {
        "device": "auto",
        "filters": ("near_copy",),
        "generator": TINY,
        "image_shape": (8, 8),
        "random_state": 3,
        "sampling_strategy": "auto",
    }


def test_one_seed_gives_the_same_images_and_none_touches_global_states():
    X, y = arrays()

    def drawn(state):
        return Augmenter(TINY, random_state=state).fit_resample(X, y)[0][11:].tolist()

    with nothing_touched():
        assert drawn(1) == drawn(1) == drawn(np.int64(1)) != drawn(2)
        assert drawn(None) != drawn(None)
    assert drawn(np.random.RandomState(1)) == drawn(np.random.RandomState(1))


def test_a_sparse_matrix_comes_back_dense():
    X, y = arrays()
    flat = X.reshape(len(X), -1)
    more, _ = Augmenter(TINY, random_state=0).fit_resample(csr_matrix(flat), y)
    assert np.array_equal(more[:11], flat)


def test_filters_drop_images_and_what_is_missing_is_said():
    X, y = arrays()
    augmenter = Augmenter("repeat", filters=["near_copy"], random_state=0)
    with pytest.warns(UserWarning, match="the filters left too few images; missing: {'malignant': 3}"):
        more, _ = augmenter.fit_resample(X, y)
    assert (len(more), augmenter.shortfall_) == (11, {"malignant": 3})


@pytest.mark.parametrize(
    ("changes", "X", "error", "sentence"),
    [
        ({"generator": "cvea"}, (11, 64), SettingsError, "there is no generator 'cvea': did you mean 'cvae'?"),
        ({"filters": ["near"]}, (11, 64), SettingsError, "there is no filter 'near'"),
        ({"image_shape": (8, 9)}, (11, 64), DataError, r"with a fitting image_shape. Got \(11, 64\) and image_shape="),
        ({"image_shape": (4, 16)}, (11, 8, 8), DataError, "with a fitting image_shape"),
        ({}, (11, 8, 8, 2), DataError, r"X must be \(N, H, W\), \(N, H, W, 1 or 3\), or one flattened image per row"),
        ({"generator": 3}, (11, 64), ValueError, "The 'generator' parameter of Augmenter must be"),
        ({"sampling_strategy": "majority"}, (11, 64), ValueError, "The 'sampling_strategy' parameter"),
    ],
)
def test_what_cannot_be_meant_is_said(changes, X, error, sentence):
    _, y = arrays()
    with pytest.raises(error, match=sentence):
        Augmenter(**{"generator": TINY, **changes}).fit_resample(np.zeros(X, dtype=np.uint8), y)


def test_integers_beyond_a_byte_are_refused():
    X, y = arrays()
    with pytest.raises(DataError, match=r"pixels must be integers in 0..255, or fractions. Got integers in .*"):
        Augmenter(TINY).fit_resample(X.astype(int) * 4, y)


def test_without_imbalanced_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling.base", None)
    monkeypatch.delitem(sys.modules, "augury.augmenter")
    with pytest.raises(SettingsError, match=r"Augmenter needs the package imbalanced-learn: pip install 'augury\["):
        importlib.import_module("augury.augmenter")
