"""What every classifier of the table must do; a new kind is tested by being in CLASSIFIERS and in tiny.py."""

import tomllib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from augury.classifiers import CLASSIFIERS
from augury.classifiers.base import GENERATOR_SEES_TEST, TWINS_LEFT_IN
from augury.errors import LeakError
from augury.mixing import mix
from augury.study import DataSettings, NamedClassifier, dump_study, toy
from augury.study.identity import digest
from augury.study.study_file import study_from
from augury.training import Run
from tiny import STEPS_TO_LEARN, TINY_CLASSIFIERS
from toy import joined, nothing_touched, stopped_and_continued, toy_images, toy_pool

TRAIN, FRESH, SHOWN = toy_images(), toy_images(seed=1), toy_images(seed=2)
POOL = toy_pool(SHOWN)
MIXED = mix(TRAIN, POOL, (6, 2))
SHAPES = [
    pytest.param({"classes": 2, "channels": 1, "size": (8, 12)}, id="2 classes, grey, wide"),
    pytest.param({"classes": 2, "channels": 3, "size": (8, 8)}, id="2 classes, colour, square"),
    pytest.param({"classes": 5, "channels": 1, "size": (9, 9)}, id="5 classes, grey, odd"),
    pytest.param({"classes": 5, "channels": 3, "size": (29, 8)}, id="5 classes, colour, high"),
    pytest.param({"per_class": (1, 12)}, id="a class with one image"),
]


@pytest.fixture(params=TINY_CLASSIFIERS)
def name(request):
    return request.param


@pytest.fixture
def recipe(name):
    return TINY_CLASSIFIERS[name]


@cache
def fitted(name):
    return TINY_CLASSIFIERS[name].fit(MIXED, FRESH, Run(seed=0))


@cache
def saved(name):
    """Return what stands in the folder of a predictor: file -> bytes."""
    with TemporaryDirectory() as folder:
        fitted(name).save(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.fixture
def predictor(name):
    return fitted(name)


@pytest.fixture
def loaded(name, recipe, tmp_path):
    """The predictor that comes back from its folder."""
    for file, content in saved(name).items():
        (tmp_path / file).write_bytes(content)
    return type(recipe).load(tmp_path)


@pytest.fixture(params=["fitted", "loaded"])
def either(predictor, loaded, request):
    """The predictor, and the one that comes back from its folder."""
    return predictor if request.param == "fitted" else loaded


# ---- the recipe


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_every_kind_stands_under_its_own_name_and_has_a_tiny_recipe(kind):
    assert CLASSIFIERS[kind].kind == kind
    assert CLASSIFIERS[kind] in {type(recipe) for recipe in TINY_CLASSIFIERS.values()}


def test_the_recipe_is_frozen_and_hashable_and_has_an_identity(recipe):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(recipe, next(iter(recipe.settings()), "anything"), 1)
    assert hash(recipe) == hash(recipe.replace())
    assert digest(recipe) == digest(recipe.replace())


def test_the_recipe_survives_toml(recipe):
    families = recipe.augment.families()
    study = toy().replace(
        data=DataSettings(source="digits", safe=families),
        classifiers=(NamedClassifier(name="mine", recipe=recipe),),
    )
    again = study_from(tomllib.loads(dump_study(study)))
    assert again == study
    assert digest(again) == digest(study)


# ---- fitting


def test_fitting_and_predicting_touch_neither_the_images_nor_the_global_randomness(recipe, tmp_path):
    with nothing_touched(MIXED, FRESH):
        predictor = recipe.fit(MIXED, FRESH, Run(seed=0))
        predictor.predict(FRESH)
        predictor.features(FRESH.images)
        predictor.save(tmp_path)
        type(recipe).load(tmp_path)


def test_the_same_seed_fits_the_same_whatever_the_global_randomness(recipe, predictor):
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        again = recipe.fit(MIXED, FRESH, Run(seed=0))
    assert np.array_equal(again.predict(FRESH), predictor.predict(FRESH))


def test_another_seed_fits_another_classifier(recipe, predictor):
    other = recipe.fit(MIXED, FRESH, Run(seed=1))
    assert not np.array_equal(other.predict(FRESH), predictor.predict(FRESH))


def test_stopped_at_half_and_continued_equals_never_stopped(recipe, predictor, tmp_path):
    again = stopped_and_continued(lambda run: recipe.fit(MIXED, FRESH, run), tmp_path / "kept", seed=0)
    assert np.array_equal(again.predict(FRESH), predictor.predict(FRESH))


@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_every_shape_get_probabilities(recipe, shape):
    train, fresh = toy_images(**shape), toy_images(**shape, seed=1)
    probabilities = recipe.replace(steps=2).fit(train, None, Run(seed=0)).predict(fresh)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (len(fresh), len(train.classes))
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert probabilities.min() >= 0


def test_it_learns_what_is_easy(name, recipe, predictor):
    if name in STEPS_TO_LEARN:
        predictor = recipe.replace(steps=STEPS_TO_LEARN[name]).fit(MIXED, FRESH, Run(seed=0))
    assert (predictor.predict(FRESH).argmax(1) == FRESH.labels.numpy()).mean() > 0.9


def test_the_exposure_is_what_the_recipe_and_the_training_set_say(recipe, predictor):
    exposure = predictor.trained.exposure
    assert (exposure.steps, exposure.batch) == (recipe.steps, recipe.batch)
    assert (exposure.real, exposure.synthetic) == (24, 8)
    assert exposure.share == 0.25
    assert exposure.real_exposures == 0.75 * recipe.steps * recipe.batch


def test_every_declared_step_is_taken(recipe):
    steps = []
    recipe.fit(TRAIN, None, Run(seed=0, on_step=lambda *step: steps.append(step)))
    assert steps == [(done, recipe.steps) for done in range(1, recipe.steps + 1)]


# ---- predicting


def test_a_prediction_does_not_depend_on_its_neighbours(predictor):
    alone = np.concatenate([predictor.predict(FRESH.take([i])) for i in range(5)])
    assert np.allclose(alone, predictor.predict(FRESH)[:5], atol=1e-5)


def test_no_images_get_no_probabilities(predictor):
    assert predictor.predict(FRESH.take([])).shape == (0, 2)


def test_features_are_finite_rows(predictor):
    features = predictor.features(FRESH.images)
    assert features.dtype == np.float32
    assert features.shape[0] == len(FRESH)
    assert np.isfinite(features).all()
    assert features.std(0).max() > 0


def test_features_that_are_known_already_give_the_same_probabilities(recipe, either):
    maker = recipe.feature_maker()
    if maker is None:
        assert np.array_equal(either.predict(FRESH, features=None), either.predict(FRESH))
        return
    bank = maker.compute(FRESH)
    assert np.allclose(either.predict(FRESH, features=bank), either.predict(FRESH), atol=1e-5)
    assert either.predict(FRESH.take([]), features=bank).shape == (0, 2)


@pytest.mark.parametrize("name", [name for name, recipe in TINY_CLASSIFIERS.items() if recipe.feature_maker()])
def test_a_fit_on_known_features_is_the_fit_on_images(name):
    recipe = TINY_CLASSIFIERS[name]
    bank = recipe.feature_maker().compute(MIXED)
    again = recipe.fit(MIXED, FRESH, Run(seed=0, features=bank))
    assert np.allclose(again.predict(FRESH), fitted(name).predict(FRESH), atol=1e-5)


def test_saved_and_loaded_it_predicts_the_same(predictor, loaded):
    assert np.array_equal(loaded.predict(FRESH), predictor.predict(FRESH))
    assert loaded.trained == predictor.trained


# ---- leaks


def test_a_training_image_is_never_scored(either):
    with pytest.raises(LeakError, match=r"1 of the 25 images to be scored, first '0/3.png', are not new"):
        either.predict(joined(FRESH, TRAIN.take([3])))


def test_an_image_that_the_generator_saw_is_scored_only_under_the_declared_flaw(either):
    with pytest.raises(LeakError, match="the generator behind the synthetic images saw them"):
        either.predict(SHOWN.take([0]))
    assert either.predict(SHOWN.take([0]), flaws=("generator_sees_test",)).shape == (1, 2)
    with pytest.raises(LeakError):
        either.predict(SHOWN.take([0]), flaws=("no_rebalancing_control",))


def test_the_declared_flaw_never_lifts_the_guard_on_training_images(either):
    with pytest.raises(LeakError, match="the classifier was trained on them"):
        either.predict(TRAIN.take([0]), flaws=(GENERATOR_SEES_TEST,))


@pytest.mark.parametrize("flaw", sorted(TWINS_LEFT_IN))
def test_flaws_that_leave_known_duplicates_in_lift_both_guards(either, flaw):
    assert either.predict(joined(TRAIN, SHOWN), flaws=(flaw,)).shape == (48, 2)


def test_a_synthetic_training_image_is_not_new_either(either):
    with pytest.raises(LeakError):
        either.predict(POOL.take([0]))
