"""What holds for every filter and every selection: of ours, and of any that is added to their tables."""

import tomllib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from augury.curation import Curated, Curator, load_known, save_known
from augury.filters import FILTERS, filter_from
from augury.picking import Pick, Picks
from augury.policies import Ratio
from augury.selections import SELECTIONS, Handpicked, selection_from
from augury.settings import lists
from augury.study import Arm, dump_study, toy
from augury.study.identity import digest
from augury.study.study_file import study_from
from augury.training import Run
from law import Discriminant
from toy import contents, nothing_touched, toy_images, toy_pool

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TRAINS = {
    "grey": toy_images(per_class=20, groups=True),
    "colour": toy_images(classes=3, per_class=12, channels=3),
    "a class with one image": toy_images(per_class=(20, 1)),
    "a class with one patient": toy_images(per_class=(20, 2), groups=True),
}
SHUFFLED = np.random.default_rng(0).permutation(24)


def fit(kind, train):
    return Curator.fit(train, [FILTERS[kind]()], Discriminant(), Run(seed=0))


def pool_of(train):
    """Return blends, noise and copies: 24 images of all classes."""
    pool = toy_pool(train, per_class=24 // len(train.classes))
    pixels = pool.images.clone()
    pixels[::5] = train.images[:][np.arange(len(pixels[::5])) % len(train)]
    pixels[1::5] = pixels[1::5].flip(0) // 3
    return replace(pool, images=pixels)


@pytest.fixture(params=FILTERS, scope="module")
def kind(request):
    return request.param


@pytest.fixture(params=TRAINS.values(), ids=TRAINS.keys(), scope="module")
def train(request):
    return request.param


@pytest.fixture(scope="module")
def curator(kind, train):
    return fit(kind, train)


# ---- recipes


def recipes():
    picked = Handpicked(picks="picks.csv")
    every = [
        *(rule() for rule in FILTERS.values()),
        *(rule() for rule in SELECTIONS.values() if rule is not Handpicked),
    ]
    return [pytest.param(rule, id=rule.kind) for rule in (*every, picked)]


@pytest.mark.parametrize("rule", recipes())
def test_the_recipe_is_frozen_and_hashable_and_says_what_it_does(rule):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(rule, next(iter(rule.settings())), 1)
    assert hash(rule) == hash(rule.replace())
    assert rule.summary
    assert "\n" not in rule.summary
    own = set(type(rule).model_fields) - {"space"}
    assert all(type(rule).model_fields[name].description for name in own)


@pytest.mark.parametrize("rule", recipes())
def test_the_recipe_survives_toml(rule):
    of = {"filters": (rule,)} if rule.kind in FILTERS else {"select": rule}
    arm = Arm(name="it", generator="cvae", amounts=(Ratio(r=1.0),), factor=3.5, **of)
    study = toy().replace(arms=(Arm(name="real"), arm))
    assert study_from(tomllib.loads(dump_study(study))) == study
    build = filter_from if rule.kind in FILTERS else selection_from
    assert build(lists(rule)) == rule


def test_other_settings_are_another_recipe(kind):
    rule = FILTERS[kind]()
    for name, value in rule.settings().items():
        if isinstance(value, float):
            other = rule.replace(**{name: value / 2})
            assert digest(other) != digest(rule)
            assert other.label != rule.label


# ---- verdicts


def test_each_verdict_depends_on_its_own_image_only(curator, kind, train):
    pool = pool_of(train)
    whole = curator.look(pool)
    score = whole.scores[kind]
    for parts in (np.arange(24).reshape(24, 1), np.array_split(SHUFFLED, 4), [SHUFFLED]):
        for rows in parts:
            found = curator.look(pool.take(rows))
            assert found.keep.tolist() == whole.keep[rows].tolist()
            assert found.reasons == tuple(whole.reasons[i] for i in rows)
            assert found.scores[kind].tolist() == score[rows].tolist()


def test_scores_are_shares_and_the_verdict_has_a_reason(curator, kind, train):
    with nothing_touched(train):
        found = curator.look(pool_of(train))
    assert found.scores[kind].dtype == np.float64
    assert found.scores[kind].shape == found.keep.shape == (24,)
    assert found.keep.dtype == np.bool_
    assert (found.scores[kind] > 0).all()
    assert (found.scores[kind] <= 1).all()
    assert [reason or None for reason in found.reasons] == [None if good else kind for good in found.keep]
    assert len(found.kept()) == found.keep.sum()


def test_an_empty_pool_stays_empty(curator, kind, train):
    found = curator.look(pool_of(train).take([]))
    assert (len(found.pool), len(found.kept()), found.reasons) == (0, 0, ())
    assert found.keep.shape == found.scores[kind].shape == (0,)


def test_what_is_known_and_what_was_found_comes_back_from_disk(curator, kind, train, tmp_path):
    save_known(curator.known, tmp_path)
    found = curator.look(pool_of(train))
    again = Curator(curator.filters, curator.judges, load_known(tmp_path)).look(pool_of(train))
    found.save(tmp_path)
    loaded = Curated.load(tmp_path)
    for mine, theirs in ((loaded.pool, found.pool), (loaded.kept(), found.kept())):
        lasting = [{**contents(images), "columns": None} for images in (mine, theirs)]  # JSON makes lists of tuples
        assert lasting[0] == lasting[1]
    for each in (again, loaded):
        assert each.keep.tolist() == found.keep.tolist()
        assert each.reasons == found.reasons
        assert {name: score.tolist() for name, score in each.scores.items()} == {kind: found.scores[kind].tolist()}


def test_known_comes_back_to_the_bit(curator, tmp_path):
    save_known(curator.known, tmp_path)
    loaded = load_known(tmp_path)
    assert len(loaded.folds) == len(curator.known.folds)
    for one, other in zip(loaded.folds, curator.known.folds, strict=True):
        for side in ("inside", "outside"):
            mine, theirs = vars(getattr(one, side)), vars(getattr(other, side))
            assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    for what in ("vectors", "between"):
        mine, theirs = getattr(loaded, what), getattr(curator.known, what)
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[space], theirs[space]) for space in mine)


# ---- selections


@pytest.fixture
def picks(tmp_path):
    pool = pool_of(TRAINS["grey"]).of_class(0)
    entries = (Pick(pool.digests[i], pool.classes[0], pool.names[i], NOON) for i in (5, 2))
    Picks(tuple(entries)).save(tmp_path / "picks.csv")
    return str(tmp_path / "picks.csv")


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_selection_orders_positions_each_once_and_the_same_again(name, picks):
    rule = selection_from({"kind": name, "picks": picks} if SELECTIONS[name] is Handpicked else name)
    pool = pool_of(TRAINS["grey"]).of_class(0)
    vectors = np.random.default_rng(0).normal(size=(len(pool), 4)) if rule.measures_in() else np.empty((len(pool), 0))
    with nothing_touched(pool):
        found, again = rule.order(pool, vectors), rule.order(pool, vectors)
    assert found == again
    assert all(type(i) is int for i in found)
    assert len(set(found)) == len(found)
    assert set(found) <= set(range(len(pool)))
    assert found
    assert rule.order(pool.take([]), vectors[:0]) == []
