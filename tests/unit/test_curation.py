"""Judges, what is known of real images, and verdicts on a pool: with the toy law, whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from augury.classifiers import LesionCNNClassifier
from augury.curation import JUDGES, SIDE, Curator, fit_judge, judge_folds, vectors_of
from augury.errors import DataError
from augury.filters import FILTERS, PIXELS, Agreement, Difficulty, NearCopy, Typicality
from augury.training import Run
from law import Discriminant, Law, draw_images
from toy import contents, joined, nothing_touched, toy_images

CLEAR = Law(signal=10.0)  # classes that a judge tells apart
TRAIN = draw_images(60, seed=0, law=CLEAR)
FRESH = draw_images(400, seed=1, law=CLEAR)  # new real images
ALL = (Agreement(), Typicality(), NearCopy(drops=0.03), Difficulty())


def fit(train=TRAIN, filters=ALL, seed=0):
    return Curator.fit(train, filters, Discriminant(), Run(seed))


@pytest.fixture(scope="module")
def curator():
    return fit()


def dropped_by(curator, kind, pool):
    found = curator.look(pool)
    rule = next(rule for rule in curator.filters if rule.kind == kind)
    return 1 - rule.keep(found.scores[rule.label], curator.known).mean()


def repainted(images, factor, shift):
    pixels = (images.images.float() * factor + shift).round().clamp(0, 255)
    return replace(images, images=pixels.to(torch.uint8))


# ---- what is dropped


@pytest.mark.parametrize(
    ("kind", "drops"), [("agreement", 0.05), ("agreement", 0.2), ("typicality", 0.05), ("typicality", 0.2)]
)
def test_of_new_real_images_hardly_more_than_the_share_it_names_is_dropped(kind, drops):
    shares = [
        dropped_by(fit(draw_images(40, seed=seed), [FILTERS[kind](drops=drops)]), kind, draw_images(200, seed=seed + 9))
        for seed in range(4)
    ]
    assert np.mean(shares) <= 1.5 * drops
    assert max(shares) <= 2 * drops
    assert np.mean(shares) > drops / 10


def test_images_under_a_wrong_label_are_dropped(curator):
    wrong = replace(FRESH, labels=1 - FRESH.labels)
    assert dropped_by(curator, "agreement", wrong) > 0.95
    assert dropped_by(curator, "agreement", FRESH) < 0.1


def test_images_that_are_nothing_real_are_dropped(curator):
    noise = torch.randint(0, 256, (200, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert dropped_by(curator, "typicality", replace(FRESH.take(range(200)), images=noise)) > 0.95


@pytest.mark.parametrize(("factor", "shift"), [(1.0, 0.0), (1.0, 20.0), (0.6, 50.0), (0.5, 0.0)])
def test_copies_are_dropped_whatever_their_brightness_and_contrast(curator, factor, shift):
    assert dropped_by(curator, "near_copy", repainted(TRAIN, factor, shift)) == 1.0
    assert dropped_by(curator, "near_copy", repainted(FRESH, factor, shift)) <= 2 * 0.03


def test_the_band_of_difficulty_is_about_as_wide_as_asked():
    rule = Difficulty(easiest=0.2, hardest=0.2)
    law = Law(signal=4.0)
    curator = fit(draw_images(80, seed=0, law=law), [rule])
    scores = curator.look(draw_images(300, seed=1, law=law)).scores[rule.label]
    assert 0.1 < (scores <= 0.2).mean() < 0.35
    assert 0.1 < (scores > 0.8).mean() < 0.35


def twins():
    """Two all but equal images of each of forty patients."""
    one = draw_images(20, seed=5, law=CLEAR)
    other = replace(one, images=one.images + 1, digests=tuple(f"{digest}'" for digest in one.digests))
    return replace(joined(one, other), groups=tuple(f"p{i}" for i in range(40)) * 2)


def test_images_of_one_patient_do_not_make_the_threshold_of_copies():
    grouped = twins()
    rule, new = NearCopy(drops=0.03), draw_images(100, seed=105, law=CLEAR)
    curator = fit(grouped, [rule])
    third = repainted(grouped.take(range(40)), 1.0, 2.0)  # one more picture of each patient
    assert not curator.look(third).keep.any()
    assert curator.look(new).keep.mean() > 0.9
    alone = fit(replace(grouped, groups=None), [rule])
    assert curator.known.between[PIXELS].min() > 100 * alone.known.between[PIXELS].max()


# ---- who has seen what


def test_every_image_is_judged_by_who_has_not_seen_it(curator):
    folds = judge_folds(TRAIN, 0)
    for fold, judge in enumerate(curator.judges):
        outside = {TRAIN.digests[i] for i in np.flatnonzero(folds == fold)}
        assert judge.trained.trained_on == set(TRAIN.digests) - outside
        assert curator.known.folds[fold].outside.labels.tolist() == TRAIN.labels[folds == fold].tolist()
        assert curator.known.folds[fold].inside.labels.tolist() == TRAIN.labels[folds != fold].tolist()
    assert len(curator.judges) == JUDGES
    assert np.bincount(folds).sum() == len(TRAIN)


class Refuses(Discriminant):
    def fit(self, train, val, run):
        raise AssertionError("no judge is asked for")


def test_judges_are_trained_where_a_filter_asks_for_them_only():
    curator = Curator.fit(TRAIN, [NearCopy()], Refuses(), Run(0))
    assert curator.judges == ()
    assert curator.look(FRESH.take(range(3))).reasons == ("",) * 3
    with pytest.raises(AssertionError, match="no judge"):
        Curator.fit(TRAIN, [NearCopy(), Agreement()], Refuses(), Run(0))


def test_a_classifier_that_is_trained_by_epochs_judges_after_its_steps():
    plain = LesionCNNClassifier(steps=3, batch=8)
    train, folds = TRAIN.take(range(60)), np.arange(60) % JUDGES
    judges = [fit_judge(train, folds, 0, recipe, Run(0)) for recipe in (plain, plain.replace(published=True))]
    assert judges[1].trained.trained_on == {train.digests[i] for i in np.flatnonzero(folds != 0)}
    assert np.array_equal(*(judge.probabilities(train.images) for judge in judges))


def test_the_seed_decides_and_nothing_else_is_touched():
    with nothing_touched(TRAIN, FRESH):
        one, two, other = (fit(seed=seed).look(FRESH).scores["agreement"] for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


# ---- verdicts


def test_the_first_filter_that_drops_an_image_is_named(curator):
    wrong = replace(TRAIN, labels=1 - TRAIN.labels)
    found = curator.look(wrong)
    assert set(found.reasons) == {"agreement"}
    reversed_order = Curator(tuple(reversed(ALL)), curator.judges, curator.known)
    again = reversed_order.look(wrong)
    assert set(again.reasons) <= {"difficulty", "near_copy (drops 0.03)"}
    assert again.keep.tolist() == found.keep.tolist()


def test_an_image_is_kept_if_every_filter_keeps_it_and_in_its_order(curator):
    found = curator.look(FRESH)
    each = [rule.keep(found.scores[rule.label], curator.known) for rule in ALL]
    assert found.keep.tolist() == np.all(each, axis=0).tolist()
    assert [reason == "" for reason in found.reasons] == found.keep.tolist()
    assert contents(found.kept()) == contents(FRESH.take(np.flatnonzero(found.keep)))
    assert 0 < found.keep.sum() < len(FRESH)


def test_a_pool_of_another_size_is_a_sentence():
    curator = fit(filters=[NearCopy()])
    with pytest.raises(DataError, match=r"size of the training images. Got \(1, 8, 9\)"):
        curator.look(toy_images(size=(8, 9)))


def test_too_few_images_for_judges_is_a_sentence():
    with pytest.raises(DataError, match="3 folds need 3 groups of images"):
        fit(toy_images(per_class=(1, 2)), [Agreement()])


# ---- what distances are measured between


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_brought_to_mean_zero_and_length_one(channels):
    images = toy_images(channels=channels, size=(8, 8))
    rows = vectors_of(images, PIXELS)
    plain = images.images.flatten(1).double().numpy()
    plain -= plain.mean(1, keepdims=True)
    assert rows == pytest.approx(plain / np.linalg.norm(plain, axis=1, keepdims=True), abs=1e-12)
    brighter = vectors_of(repainted(images, 0.5, 60.0), PIXELS)
    assert np.diag(cdist(rows, brighter)).max() < cdist(rows, rows)[~np.eye(len(rows), dtype=bool)].min()


@pytest.mark.parametrize(("size", "shrunk"), [((64, 64), (32, 32)), ((96, 48), (32, 16)), ((33, 20), (32, 19))])
def test_large_images_are_shrunk_by_areas(size, shrunk):
    images = toy_images(size=size, per_class=2)
    rows = vectors_of(images, PIXELS)
    assert max(shrunk) == SIDE
    assert rows.shape == (4, shrunk[0] * shrunk[1])
    if size == (64, 64):
        blocks = images.images.double().reshape(4, 32, 2, 32, 2).mean((2, 4)).flatten(1).numpy()
        blocks -= blocks.mean(1, keepdims=True)
        assert rows == pytest.approx(blocks / np.linalg.norm(blocks, axis=1, keepdims=True), abs=1e-6)


def test_a_blank_image_has_a_place_too():
    blank = replace(toy_images(per_class=1), images=torch.full((2, 1, 8, 8), 7, dtype=torch.uint8))
    assert np.array_equal(vectors_of(blank, PIXELS), np.zeros((2, 64)))
