import shutil
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from augury.errors import DataError, SettingsError
from augury.picking import Pick, Picks
from augury.selections import SELECTIONS, Diverse, Handpicked, selection_from
from augury.study.identity import digest
from toy import toy_images

POOL = toy_images(per_class=6)
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def order_of(vectors):
    return Diverse().order(POOL.take(np.arange(len(vectors)) % len(POOL)), vectors)


def farthest_first(vectors, k):
    """Return the first k centers, each found by looking at all distances anew."""
    taken = [int(np.linalg.norm(vectors - vectors.mean(0), axis=1).argmin())]
    while len(taken) < k:
        nearest = cdist(vectors, vectors[taken]).min(1)
        taken.append(max((i for i in range(len(vectors)) if i not in taken), key=lambda i: nearest[i]))
    return taken


@pytest.mark.parametrize("seed", range(4))
def test_diverse_takes_the_farthest_first_and_the_first_ones_do_not_depend_on_how_many_are_wanted(seed):
    vectors = np.random.default_rng(seed).normal(size=(40, 3))
    found = order_of(vectors)
    assert sorted(found) == list(range(40))
    for k in (1, 2, 7, 40):
        assert found[:k] == farthest_first(vectors, k)


@pytest.mark.parametrize("seed", range(4))
def test_the_images_taken_cover_the_pool_at_most_twice_as_wide_as_the_best_ones_would(seed):
    # Gonzalez 1985, theorem 2.2; the best centers are found by trying all
    vectors = np.random.default_rng(seed).normal(size=(12, 2))
    apart = cdist(vectors, vectors)
    found = order_of(vectors)
    for k in (1, 2, 3, 4):
        best = min(apart[:, list(chosen)].min(1).max() for chosen in combinations(range(12), k))
        assert apart[:, found[:k]].min(1).max() <= 2 * best


def test_one_picture_many_times_is_used_up_last():
    vectors = np.array([[0.0], [0.0], [5.0], [5.0], [9.0]])
    found = order_of(vectors)
    assert {float(vectors[i, 0]) for i in found[:3]} == {0.0, 5.0, 9.0}
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert sorted(order_of(np.ones((5, 2)))) == [0, 1, 2, 3, 4]


def test_an_empty_pool_and_a_single_image_are_in_order():
    assert order_of(np.empty((0, 3))) == []
    assert order_of(np.ones((1, 3))) == [0]


# ---- a person's list


def write_picks(path, places):
    Picks(tuple(Pick(POOL.digests[i], POOL.classes[POOL.labels[i]], POOL.names[i], NOON) for i in places)).save(path)
    return Handpicked(picks=str(path))


def test_handpicked_takes_what_is_on_the_list_in_its_order(tmp_path):
    rule = write_picks(tmp_path / "picks.csv", [4, 0, 9])
    assert rule.order(POOL, np.empty((len(POOL), 0))) == [4, 0, 9]
    later = POOL.take([9, 1, 0, 2])
    assert rule.order(later, np.empty((4, 0))) == [2, 0]  # what the pool does not hold is left out
    assert rule.exploratory
    assert not Diverse().exploratory


def test_a_list_counts_by_its_content_and_not_by_its_place(tmp_path):
    rule = write_picks(tmp_path / "picks.csv", [4, 0])
    (tmp_path / "elsewhere").mkdir()
    moved = Handpicked(picks=str(shutil.copy(tmp_path / "picks.csv", tmp_path / "elsewhere" / "mine.csv")))
    assert digest(moved) == digest(rule)
    before = digest(rule)
    write_picks(tmp_path / "picks.csv", [0, 4])
    assert digest(rule) != before
    assert str(tmp_path) not in str(rule.identity())


@pytest.mark.parametrize("content", [None, "", "name,rate\nx,1\n"])
def test_a_list_that_is_none_is_said_when_its_content_is_asked_for(tmp_path, content):
    path = tmp_path / "picks.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"a list made by augury pick, .* was expected"):
        Handpicked(picks=str(path)).identity()


# ---- as they are written


def test_a_selection_is_a_word_or_a_table():
    assert selection_from("diverse") == Diverse()
    assert selection_from({"kind": "diverse", "space": "pixels"}) == Diverse(space="pixels")
    assert selection_from({"kind": "handpicked", "picks": "x.csv"}) == Handpicked(picks="x.csv")
    assert selection_from(Diverse(space="pixels")) == Diverse(space="pixels")
    assert {kind: rule.kind for kind, rule in SELECTIONS.items()} == {kind: kind for kind in SELECTIONS}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("divers", "there is no selection 'divers': did you mean 'diverse'"),
        (None, "there is no selection 'None'"),
        ({}, "there is no selection ''"),
        ("handpicked", "picks"),
        ({"kind": "diverse", "metric": "l2"}, "metric"),
    ],
)
def test_what_is_no_selection_is_a_sentence(value, sentence):
    with pytest.raises(SettingsError, match=sentence):
        selection_from(value)
