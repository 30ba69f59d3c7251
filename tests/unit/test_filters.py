from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from augury.errors import SettingsError
from augury.filters import (
    FILTERS,
    NEIGHBOURS,
    PIXELS,
    Agreement,
    Difficulty,
    Fold,
    Known,
    NearCopy,
    Opinion,
    Seen,
    Typicality,
    filter_from,
    labels_of,
)

JUDGED = {"agreement": Agreement(), "typicality": Typicality(), "difficulty": Difficulty()}


def opinion(logits, labels):
    """Return what a judge makes of images: it finds the same in all of them, whatever their labels say."""
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Opinion(np.asarray(labels), probabilities, logits)


def world(rng, drawn, real=(60, 60, 60), judges=3):
    """Return what is known and seen where drawn images are as good as real ones, `real` of each class."""
    labels = np.repeat(np.arange(len(real)), real)
    dealt = np.arange(len(labels)) % judges
    logits, theirs = rng.normal(size=(len(labels), 3)), rng.normal(size=(len(drawn), 3))
    folds, opinions = [], []
    for judge in range(judges):
        tilt = rng.normal(0, 0.2, 3)  # judges differ a little
        inside, outside = (opinion(logits[rows] + tilt, labels[rows]) for rows in (dealt != judge, dealt == judge))
        folds.append(Fold(inside, outside))
        opinions.append(opinion(theirs + tilt, drawn))
    return Known(tuple(folds), {}, {}), Seen(tuple(opinions), {})


def measured(kind, one, inside):
    """What each filter looks at, written anew: larger is more like a real image (of `difficulty`: harder)."""
    if kind == "agreement":
        return one.probabilities[np.arange(len(one.labels)), one.labels]
    if kind == "difficulty":
        return entropy(one.probabilities, axis=1)
    near = np.sort(np.where(one.labels[:, None] == inside.labels, cdist(one.features, inside.features), np.inf), axis=1)
    return -near[:, :NEIGHBOURS].mean(1)


def by_hand(kind, seen, known, of):
    """Return scores, image by image; `of` says which real images an image is compared with."""
    found = []
    for i, label in enumerate(seen.opinions[0].labels):
        better = total = 0
        for one, fold in zip(seen.opinions, known.folds, strict=True):
            real = measured(kind, fold.outside, fold.inside)[of(fold.outside.labels, label)]
            better += int((real <= measured(kind, one, fold.inside)[i] + 1e-12).sum())
            total += len(real)
        found.append((better + 1) / (total + 1))
    return np.array(found)


@pytest.mark.parametrize("kind", JUDGED)
def test_a_score_is_the_share_of_unseen_real_images_of_the_class_that_are_no_better(kind):
    known, seen = world(np.random.default_rng(0), np.repeat([0, 1, 2], 9))
    found = JUDGED[kind].scores(seen, known)
    assert found == pytest.approx(by_hand(kind, seen, known, lambda labels, label: labels == label), abs=1e-12)
    assert 0 < found.min() < 0.2
    assert 0.8 < found.max() <= 1


@pytest.mark.parametrize("rule", [Agreement(drops=0.1), Typicality(drops=0.1)], ids=lambda rule: rule.kind)
def test_a_class_too_small_to_be_judged_by_itself_is_judged_beside_all(rule):
    known, seen = world(np.random.default_rng(1), np.repeat([0, 1, 2], 5), real=(60, 9, 10))
    assert rule.least() == 10
    beside = {0: [0], 1: [0, 1, 2], 2: [2]}
    expected = by_hand(rule.kind, seen, known, lambda labels, label: np.isin(labels, beside[label]))
    assert rule.scores(seen, known) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("drops", [0.05, 0.2])
@pytest.mark.parametrize("kind", ["agreement", "typicality"])
def test_of_images_as_good_as_real_ones_the_share_it_names_is_dropped(kind, drops):
    shares = []
    for seed in range(5):
        known, seen = world(np.random.default_rng(seed), np.repeat([0, 1, 2], 200))
        rule = FILTERS[kind](drops=drops)
        shares.append(1 - rule.keep(rule.scores(seen, known), known).mean())
    assert drops / 3 < np.mean(shares) <= 1.2 * drops
    assert max(shares) <= 2 * drops


def test_difficulty_keeps_the_band_between_easy_and_hard():
    rng = np.random.default_rng(2)
    known, seen = world(rng, np.repeat([0, 1, 2], 300))
    rule = Difficulty(easiest=0.3, hardest=0.1)
    scores = rule.scores(seen, known)
    kept = rule.keep(scores, known)
    assert kept.tolist() == [0.3 < score <= 0.9 for score in scores]
    assert (scores <= 0.3).mean() == pytest.approx(0.3, abs=0.15)
    assert (scores > 0.9).mean() == pytest.approx(0.1, abs=0.1)
    extreme = np.array([[1 - 2e-9, 1e-9, 1e-9], [1 / 3] * 3])
    asked = Seen(tuple(Opinion(np.zeros(2, int), extreme, np.zeros((2, 4))) for _ in range(3)), {})
    assert rule.scores(asked, known).tolist() == pytest.approx([1 / 61, 1.0])  # easier, and harder, than all
    assert not rule.keep(rule.scores(asked, known), known).any()
    assert Difficulty(easiest=0, hardest=0).keep(rule.scores(asked, known), known).all()


def test_an_image_of_a_class_that_a_judge_was_never_shown_is_not_typical():
    rng = np.random.default_rng(3)
    inside, outside, asked = (opinion(rng.normal(size=(n, 3)), [0] * n) for n in (30, 30, 2))
    known, seen = Known((Fold(inside, outside),), {}, {}), Seen((replace(asked, labels=np.array([0, 1])),), {})
    scores = Typicality().scores(seen, known)
    assert scores[1] == pytest.approx(1 / 31)
    assert not Typicality().keep(scores, known)[1]


# ---- near copies


def plane(points):
    return np.array(points, dtype=float).reshape(-1, 1)


def lines(between, train=(0.0, 10.0, 20.0)):
    return Known((), {PIXELS: plane(train)}, {PIXELS: np.array(between, dtype=float)})


def test_near_copy_counts_training_images_that_lie_as_near_to_one_of_another_group():
    known = lines([4.0, 1.0, 2.0, 3.0])
    seen = Seen((), {PIXELS: plane([0.0, 9.5, 11.0, 17.5, 30.0])})  # at 0, 0.5, 1, 2.5, 10 from the nearest
    found = NearCopy().scores(seen, known)
    assert found.tolist() == pytest.approx([1 / 5, 1 / 5, 2 / 5, 3 / 5, 1.0])
    assert NearCopy(drops=0.5).keep(found, known).tolist() == [False, False, False, True, True]


def test_what_is_nearer_than_all_training_images_is_dropped_however_few_they_are():
    known = lines([1.0, 2.0, 3.0])
    seen = Seen((), {PIXELS: plane([0.9, 1.0])})
    found = NearCopy(drops=0.001).scores(seen, known)
    assert found.tolist() == pytest.approx([1 / 4, 2 / 4])
    assert NearCopy(drops=0.001).keep(found, known).tolist() == [False, True]


def test_of_new_images_near_copy_drops_the_share_it_names():
    rng = np.random.default_rng(4)
    train, fresh = rng.normal(size=(400, 3)), rng.normal(size=(2000, 3))
    apart = cdist(train, train)
    np.fill_diagonal(apart, np.inf)
    known, seen = Known((), {PIXELS: train}, {PIXELS: apart.min(1)}), Seen((), {PIXELS: fresh})
    for drops in (0.01, 0.1):
        rule = NearCopy(drops=drops)
        dropped = 1 - rule.keep(rule.scores(seen, known), known).mean()
        assert drops / 3 < dropped < 2 * drops


# ---- as they are written


def test_a_filter_is_a_word_or_a_table():
    assert filter_from("agreement") == Agreement()
    assert filter_from({"kind": "near_copy", "drops": 0.5}) == NearCopy(drops=0.5)
    assert filter_from(Typicality(drops=0.2)) == Typicality(drops=0.2)
    assert {kind: rule.kind for kind, rule in FILTERS.items()} == {kind: kind for kind in FILTERS}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("agrement", "there is no filter 'agrement': did you mean 'agreement'"),
        (3, "there is no filter '3'"),
        ({"drops": 0.1}, "there is no filter ''"),
        ({"kind": "agreement", "drop": 0.1}, "drop"),
        ({"kind": "agreement", "drops": 0.0}, "drops"),
        ({"kind": "near_copy", "drops": 1.0}, "drops"),
        ({"kind": "difficulty", "easiest": -0.1}, "easiest"),
    ],
)
def test_what_is_no_filter_is_a_sentence(value, sentence):
    with pytest.raises(SettingsError, match=sentence):
        filter_from(value)


def test_filters_with_other_settings_have_other_names():
    assert labels_of([Agreement(), NearCopy(drops=0.5)]) == "agreement + near_copy (drops 0.5)"
    assert Difficulty(easiest=0.1, hardest=0.0).label == "difficulty (easiest 0.1, hardest 0.0)"
    assert labels_of([]) == ""


def test_judges_that_are_certain_of_all_images_find_none_too_easy_or_too_hard():
    sure = [Opinion(np.zeros(n, int), np.tile([1.0, 0.0], (n, 1)), np.zeros((n, 1))) for n in (40, 40, 9)]
    known, seen = Known((Fold(sure[0], sure[1]),), {}, {}), Seen((sure[2],), {})
    assert Difficulty().keep(Difficulty().scores(seen, known), known).all()
    assert Agreement().keep(Agreement().scores(seen, known), known).all()
