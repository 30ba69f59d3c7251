"""What every generator of the table must do; a new kind is tested by being in GENERATORS and in tiny.py."""

import json
import tomllib
from functools import cache

import pytest
import torch
from pydantic import ValidationError

from augury.errors import DataError, SettingsError
from augury.generators import GENERATORS, load_sampler
from augury.generators.base import CARD
from augury.images import pixel_digest
from augury.policies import Ratio
from augury.settings import lists
from augury.study import Arm, NamedGenerator, dump_study, toy
from augury.study.identity import digest
from augury.study.study_file import study_from
from augury.training import Run
from tiny import TINY_GENERATORS, fitting, shortened
from toy import class_means, contents, nearest_class, nothing_touched, stopped_and_continued, toy_images

SEEDS = [3, 1, 4, 15, 9, 2, 6, 5, 35]
LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])
SHAPES = [
    pytest.param({"classes": 2, "channels": 1, "size": (8, 12)}, id="2 classes, grey, wide"),
    pytest.param({"classes": 2, "channels": 3, "size": (8, 8)}, id="2 classes, colour, square"),
    pytest.param({"classes": 5, "channels": 1, "size": (9, 9)}, id="5 classes, grey, odd"),
    pytest.param({"classes": 5, "channels": 3, "size": (13, 8)}, id="5 classes, colour, high"),
    pytest.param({"per_class": (1, 12)}, id="a class with one image"),
]
LEARNED = SHAPES[3:]  # the hardest two; a training that shows anything takes seconds


@pytest.fixture(params=TINY_GENERATORS)
def name(request):
    return request.param


@pytest.fixture
def recipe(name):
    return TINY_GENERATORS[name]


@pytest.fixture
def brief(recipe):
    """The recipe with a few steps, for what does not need to be learned."""
    return shortened(recipe)


@cache
def fitted_briefly(name):
    return shortened(TINY_GENERATORS[name]).fit(toy_images(), Run(seed=0))


@cache
def fitted(name):
    return TINY_GENERATORS[name].fit(toy_images(), Run(seed=0))


@pytest.fixture
def sampler(name):
    return fitted(name)


@pytest.fixture
def saved(sampler, tmp_path):
    sampler.save(tmp_path)
    return tmp_path


def rewrite_card(folder, **changes):
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, **changes}))


# ---- the recipe


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_kind_stands_under_its_own_name_and_has_a_tiny_recipe(kind):
    assert GENERATORS[kind].kind == kind
    assert GENERATORS[kind] in {type(recipe) for recipe in TINY_GENERATORS.values()}


def test_the_recipe_is_frozen_and_hashable_and_has_an_identity(recipe):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(recipe, next(iter(recipe.settings()), "anything"), 1)
    assert hash(recipe) == hash(recipe.replace())
    assert digest(recipe) == digest(recipe.replace())


def test_the_recipe_survives_toml(recipe):
    arm = Arm(name="it", generator="mine", amounts=(Ratio(r=1.0),))
    named = NamedGenerator(name="mine", recipe=recipe)
    study = toy().replace(generators=(named,), arms=(Arm(name="real"), arm))
    assert study_from(tomllib.loads(dump_study(study))).generators[0].recipe == recipe


# ---- fitting


def test_fitting_and_drawing_touch_neither_the_images_nor_the_global_randomness(brief, tmp_path):
    train = toy_images(groups=True, parts=True)
    with nothing_touched(train):
        sampler = brief.fit(train, Run(seed=0))
        sampler.draw(2, seed=0).images.fill_(0)
        sampler.save(tmp_path)
        load_sampler(tmp_path).draw(2, seed=0)


def test_the_same_seed_fits_the_same_whatever_the_global_randomness(name, brief):
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        again = brief.fit(toy_images(), Run(seed=0))
    assert torch.equal(again.sample(LABELS, SEEDS), fitted_briefly(name).sample(LABELS, SEEDS))


def test_stopped_at_half_and_continued_equals_never_stopped(name, brief, tmp_path):
    again = stopped_and_continued(lambda run: brief.fit(toy_images(), run), tmp_path / "kept", seed=0)
    assert torch.equal(again.sample(LABELS, SEEDS), fitted_briefly(name).sample(LABELS, SEEDS))


@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_every_shape_come_out_in_that_shape(brief, shape):
    train = toy_images(**shape)
    pool = fitting(brief, train).fit(train, Run(seed=1)).draw(10, seed=0)
    assert pool.images.dtype == torch.uint8
    assert pool.shape == train.shape
    assert pool.counts() == (10,) * len(train.classes)


@pytest.mark.parametrize("shape", LEARNED)
def test_images_look_like_their_class(recipe, shape):
    train = toy_images(**shape)
    pool = fitting(recipe, train).fit(train, Run(seed=1)).draw(10, seed=0)
    assert (nearest_class(pool, class_means(train)) == pool.labels).float().mean() > 0.7


def test_no_image_is_constant_or_saturated(sampler):
    images = sampler.draw(20, seed=0).images.flatten(1)
    assert (images.float().std(1) > 5).all()
    assert (((images == 0) | (images == 255)).float().mean(1) < 0.5).all()


# ---- drawing


@pytest.mark.parametrize("batch", [1, 7])
def test_the_same_seeds_give_the_same_images_in_batches_of_any_size(sampler, batch):
    parts = [sampler.sample(LABELS[i : i + batch], SEEDS[i : i + batch]) for i in range(0, len(SEEDS), batch)]
    assert torch.equal(torch.cat(parts), sampler.sample(LABELS, SEEDS))


def test_an_image_does_not_depend_on_its_neighbours(sampler):
    many = sampler.sample(LABELS.repeat(20), [*SEEDS, *range(100, 100 + 19 * len(SEEDS))])
    assert torch.equal(many[:9], sampler.sample(LABELS, SEEDS))
    assert torch.equal(sampler.sample(LABELS.flip(0), SEEDS[::-1]).flip(0), sampler.sample(LABELS, SEEDS))


def test_the_first_five_of_nine_equal_five_of_five(sampler):
    nine, five = sampler.draw({"class 1": 9}, seed=0), sampler.draw({"class 1": 5}, seed=0)
    assert contents(nine.take(range(5))) == {**contents(five), "seen": nine.seen}


def test_other_seeds_give_other_images(sampler):
    assert not torch.equal(sampler.draw(9, seed=0).images, sampler.draw(9, seed=1).images)
    assert len(set(sampler.draw({"class 0": 9}, seed=0).digests)) > 1


def test_no_images_can_be_asked_for(sampler):
    assert sampler.sample(torch.empty(0, dtype=torch.int64), []).shape == (0, 1, 8, 8)


def test_a_pool_says_what_its_images_are(recipe, sampler):
    pool = sampler.draw({"class 1": 2, "class 0": 1}, seed=0)
    assert pool.names == (f"{recipe.kind}/class 1/0", f"{recipe.kind}/class 1/1", f"{recipe.kind}/class 0/0")
    assert pool.labels.tolist() == [1, 1, 0]
    assert pool.synthetic.all()
    assert pool.seen == frozenset(toy_images().digests)
    assert pool.digests == tuple(pixel_digest(image.numpy()) for image in pool.images)
    assert pool.columns["maker"] == (recipe.kind,) * 3
    assert torch.equal(sampler.sample(pool.labels, pool.columns["seed"]), pool.images)


def test_an_unknown_class_is_an_error_that_names_the_nearest(sampler):
    with pytest.raises(DataError, match="no class 'clas 1': did you mean 'class 1'"):
        sampler.draw({"clas 1": 2}, seed=0)


# ---- keeping


def test_saved_and_loaded_it_draws_the_same_images(sampler, saved):
    loaded = load_sampler(saved)
    assert loaded.card == sampler.card
    assert torch.equal(loaded.sample(LABELS, SEEDS), sampler.sample(LABELS, SEEDS))


def test_the_card_says_what_was_fitted_on_what(recipe, brief):
    train = toy_images(channels=3, per_class=(3, 4))
    card = brief.fit(train, Run(seed=7)).card
    assert (card.kind, card.version, card.seed) == (recipe.kind, recipe.version, 7)
    assert type(recipe)(**card.settings) == brief
    assert card.settings == lists(brief.settings())
    assert (card.classes, card.shape, card.counts) == (train.classes, (3, 8, 8), (3, 4))
    assert card.seen == frozenset(train.digests)
    assert card.contains_training_images is recipe.contains_training_images


def test_a_model_that_holds_training_images_says_so(sampler, saved):
    held = [
        path.name
        for path in saved.rglob("*.*")
        for image in toy_images().images
        if image.numpy().tobytes() in path.read_bytes()
    ]
    assert bool(held) <= sampler.card.contains_training_images


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 99}, "made by version 99 of .* fit it again"),
        ({"kind": "oracle"}, "is of kind 'oracle'. Known here: repeat"),
        ({"classes": None}, "a fitted generator .* was expected"),
    ],
)
def test_a_model_that_cannot_be_opened_here_is_refused(saved, changes, sentence):
    rewrite_card(saved, **changes)
    with pytest.raises(DataError, match=sentence):
        load_sampler(saved)


def test_a_negative_number_of_images_is_refused(sampler):
    with pytest.raises(SettingsError, match="must be 0 or more"):
        sampler.draw(-3, seed=0)
