import dataclasses
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from augury import duplicates
from augury.duplicates import Duplicates, clean, find, near_duplicates, thumbnail
from augury.errors import DataError, SettingsError
from augury.images import real_set
from augury.readers import read

SHARED = Path(__file__).parents[3] / "shared" / "data"
BREAST = SHARED / "breastmnist.npz"
PNEUMONIA = SHARED / "pneumoniamnist_rebuilt.npz"
COVID = SHARED / "covid_ct.zip"
HAM = SHARED / "ham10000_200x150.zip"


def image_set(pictures, labels, *, groups=None, parts=None):
    """One image per letter: equal letters are equal pictures. Images are named by letter and position."""
    pixels = torch.tensor([ord(letter) for letter in pictures], dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    names = [f"{letter}{row}" for row, letter in enumerate(pictures)]
    return real_set(pixels.clone(), torch.tensor(labels), ["x", "y"], names=names, groups=groups, parts=parts)


def test_a_set_without_duplicates_stays_as_it_is():
    images = image_set("abcd", [0, 1, 0, 1])
    cleaned = clean(images, given_split=False)
    assert cleaned.images is images
    assert (cleaned.set_aside, cleaned.dropped, cleaned.merged) == ((), (), 0)


def test_pictures_with_conflicting_labels_are_all_set_aside():
    cleaned = clean(image_set("abacad", [0, 1, 1, 0, 0, 1]), given_split=False)
    assert cleaned.set_aside == (("a0", "a2", "a4"),)
    assert cleaned.images.names == ("b1", "c3", "d5")
    assert cleaned.images.groups is None


def test_agreeing_duplicates_become_one_group_and_others_stand_alone():
    cleaned = clean(image_set("abac", [0, 1, 0, 1]), given_split=False)
    assert cleaned.images.groups == ("#0", "#1", "#0", "#3")
    assert cleaned.merged == 2
    assert len(cleaned.images) == 4


def test_groups_that_share_pictures_are_joined_in_chains():
    images = image_set("abbcdcee", [0, 0, 0, 0, 1, 0, 0, 0], groups=["p", "p", "q", "q", "r", "s", "q", "p"])
    cleaned = clean(images, given_split=False)
    assert cleaned.images.groups == ("p", "p", "p", "p", "r", "p", "p", "p")
    assert cleaned.merged == 3


def test_a_duplicate_within_one_group_joins_nothing():
    images = image_set("aab", [0, 0, 1], groups=["p", "p", "q"])
    cleaned = clean(images, given_split=False)
    assert cleaned.images.groups == ("p", "p", "q")
    assert cleaned.merged == 0


def test_of_a_duplicate_across_given_parts_the_test_copy_stays_then_the_val_copy():
    parts = ["train", "val", "test", "val", "train", "train", "test"]
    cleaned = clean(image_set("aaabbcd", [0, 0, 0, 1, 1, 0, 1], parts=parts), given_split=True)
    assert cleaned.dropped == (("a0", "a2"), ("a1", "a2"), ("b4", "b3"))
    assert cleaned.images.names == ("a2", "b3", "c5", "d6")
    assert cleaned.images.parts == ("test", "val", "train", "test")


def test_copies_within_a_part_stay_and_become_one_group():
    cleaned = clean(
        image_set("aabaa", [0, 0, 1, 0, 0], parts=["train", "train", "val", "test", "test"]), given_split=True
    )
    assert cleaned.dropped == (("a0", "a3"), ("a1", "a3"))
    assert cleaned.images.names == ("b2", "a3", "a4")
    assert cleaned.images.groups == ("#0", "#1", "#1")


def test_given_parts_that_are_not_used_drop_nothing():
    cleaned = clean(image_set("aab", [0, 0, 1], parts=["train", "test", "test"]), given_split=False)
    assert cleaned.dropped == ()
    assert cleaned.images.groups == ("#0", "#0", "#2")


def test_the_declared_flaw_leaves_everything():
    images = image_set("aabb", [0, 1, 0, 0], parts=["train", "test", "train", "test"])
    assert clean(images, given_split=True, as_is=True).images is images


def test_a_given_split_needs_parts():
    with pytest.raises(DataError, match=r"the images have no given parts. Use the plan 'folds'"):
        clean(image_set("ab", [0, 1]), given_split=True)


@pytest.mark.skipif(not BREAST.exists(), reason="the published breastmnist.npz is not here")
@pytest.mark.parametrize("given_split", [True, False])
def test_the_conflicting_pair_of_breastmnist_is_set_aside(given_split):
    images = read(BREAST)
    cleaned = clean(images, given_split=given_split)
    assert cleaned.set_aside == (("train/115", "test/76"),)
    assert len(cleaned.images) == len(images) - 2
    assert (cleaned.dropped, cleaned.merged, cleaned.images.groups) == ((), 0, None)


def test_a_class_all_of_whose_images_stand_elsewhere_too_is_named():
    with pytest.raises(DataError, match="every image of class 'y' stands in another class, too, first: a0 = a3"):
        clean(image_set("abca", [0, 0, 0, 1]), given_split=False)


# ---- thumbnails


def field(seed, H=96, W=128):
    """A smooth random grey picture: the same one at any size."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    return Image.fromarray(coarse).resize((W, H), Image.Resampling.BICUBIC)


def small(picture):
    return thumbnail(np.asarray(picture)[None])


def test_a_thumbnail_is_a_grey_square_whatever_the_size():
    rng = np.random.default_rng(0)
    for C, H, W in [(1, 1, 1), (3, 1, 2000), (1, 2000, 3), (3, 28, 28), (3, 700, 900)]:
        shown = thumbnail(rng.integers(0, 256, (C, H, W), dtype=np.uint8))
        assert (shown.shape, shown.dtype) == ((32, 32), np.uint8)


def test_a_thumbnail_averages_instead_of_picking_pixels():
    stripes = np.zeros((1, 320, 320), dtype=np.uint8)
    stripes[:, :, ::2] = 200
    assert np.abs(thumbnail(stripes).astype(int) - 100).max() <= 4


def test_a_thumbnail_depends_on_neither_the_memory_order_nor_grey_stored_as_colour():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    assert np.array_equal(thumbnail(pixels.transpose(2, 0, 1)), thumbnail(pixels.transpose(2, 0, 1).copy()))
    grey = np.asarray(field(1))
    assert np.array_equal(thumbnail(np.stack([grey] * 3)), thumbnail(grey[None]))


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 4, 4)), np.zeros((4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8), np.zeros((3, 0, 4), "u1")],
)
def test_what_is_no_picture_has_no_thumbnail(pixels):
    with pytest.raises(DataError, match=r"pixels must be uint8 \(C, H, W\), C = 1 or 3. Got .*: convert the image"):
        thumbnail(pixels)


# ---- near duplicates


def saved(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def noisy(picture):
    noise = np.random.default_rng(0).normal(0, 6, (picture.height, picture.width))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


CHANGES = {
    "half the size": lambda picture: picture.resize((64, 48), Image.Resampling.BICUBIC),
    "larger": lambda picture: picture.resize((230, 173), Image.Resampling.BILINEAR),
    "stretched": lambda picture: picture.resize((90, 90), Image.Resampling.LANCZOS),
    "strongly compressed": lambda picture: saved(picture, 25),
    "smaller and compressed": lambda picture: saved(picture.resize((77, 58)), 60),
    "brighter": lambda picture: picture.point(lambda value: 0.8 * value + 40),
    "darker": lambda picture: picture.point(lambda value: 255 * (value / 255) ** 1.2),
    "noisy": noisy,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("seed", range(4))
def test_a_changed_copy_is_found_among_other_pictures(change, seed):
    others = [small(field(100 + other)) for other in range(20)]
    copy = small(change(field(seed)))
    assert near_duplicates(np.stack([*others, small(field(seed)), copy])) == ((20, 21),)


def test_other_pictures_are_not_alike():
    assert near_duplicates(np.stack([small(field(seed)) for seed in range(400)])) == ()


def test_mirrored_turned_and_inverted_pictures_are_not_alike():
    picture = small(field(0))
    assert near_duplicates(np.stack([picture, picture[:, ::-1], picture[::-1], picture.T, 255 - picture])) == ()


def turned(degrees):
    """A picture that drifts towards a fine pattern no hash sees: the cosine of the angle is the correlation."""
    scene = np.asarray(small(field(0)), dtype=np.float64)
    scene = (scene - scene.mean()) / scene.std()
    board = np.indices((32, 32)).sum(axis=0) % 2 * 2.0 - 1
    angle = np.deg2rad(degrees)
    return np.round(128 + 30 * (np.cos(angle) * scene + np.sin(angle) * board)).astype(np.uint8)


def flipped(bits):
    """A picture of a few strong waves, and weak ones whose signs, `bits` of them turned round, the hash sees."""
    waves = np.zeros((32, 32))
    waves[:9, :9] = np.random.default_rng(0).choice([-4, 4], (9, 9))
    waves[0, 1], waves[1, 0], waves[2, 2] = 900, 700, -500
    waves[4, :bits] *= -1
    return np.round(128 + scipy.fft.idctn(waves, norm="ortho")).astype(np.uint8)


def test_a_chain_is_cut_where_the_ends_do_not_correlate():
    assert near_duplicates(np.stack([turned(0), turned(7)])) == ((0, 1),)
    assert near_duplicates(np.stack([turned(7), turned(16)])) == ((0, 1),)
    assert near_duplicates(np.stack([turned(0), turned(16)])) == ()
    assert near_duplicates(np.stack([turned(16), turned(7), turned(0)])) == ((1, 2),)


def test_a_chain_is_cut_where_the_hashes_of_the_ends_differ():
    assert near_duplicates(np.stack([flipped(0), flipped(4)])) == ((0, 1),)
    assert near_duplicates(np.stack([flipped(0), flipped(5)])) == ()
    assert near_duplicates(np.stack([flipped(0), flipped(4), flipped(7)])) == ((1, 2),)
    assert near_duplicates(np.stack([flipped(0), flipped(2), flipped(4)])) == ((0, 1, 2),)


def drifting(seed, families=12, members=7):
    """Families of pictures that drift apart in small steps: full of chains."""
    rng = np.random.default_rng(seed)
    at = np.repeat(rng.normal(0, 1, (families, 1, 12, 12)), members, axis=1)
    at += np.cumsum(rng.normal(0, 0.07, at.shape), axis=1)
    coarse = np.clip(128 + 40 * at, 0, 255).astype(np.uint8).reshape(-1, 12, 12)
    return np.stack([small(Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC)) for picture in coarse])


def alike_by_definition(thumbnails):
    """bool (N, N): both conditions, computed another way; with the correlations."""
    grid = np.arange(32)
    cosines = np.cos(np.pi * np.outer(grid, grid + 0.5) / 32) * np.sqrt(np.where(grid == 0, 1, 2) / 32)[:, None]
    lowest = sorted((i * i + j * j, i, j) for i in range(32) for j in range(32))[1:65]
    waves = cosines @ thumbnails.astype(np.float64) @ cosines.T
    bits = np.array([waves[:, i, j] > 0.5 for _, i, j in lowest]).T
    correlation = np.corrcoef(thumbnails.reshape(len(thumbnails), -1).astype(np.float64))
    return ((bits[:, None] != bits[None]).sum(axis=2) <= 4) & (correlation >= 0.975), correlation


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_complete_linkage(seed):
    thumbnails = drifting(seed)
    alike, correlation = alike_by_definition(thumbnails)
    distance = np.where(alike, 1 - correlation, 2)
    np.fill_diagonal(distance, 0)
    clusters = fcluster(linkage(squareform(distance, checks=False), "complete"), t=1, criterion="distance")
    groups = [tuple(np.flatnonzero(clusters == cluster).tolist()) for cluster in dict.fromkeys(clusters)]
    found = near_duplicates(thumbnails)
    assert found == tuple(rows for rows in groups if len(rows) > 1)
    assert max(map(len, found)) > 2
    assert connected_components(alike)[0] < len(groups)  # there were chains to cut


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_pictures_makes_no_difference(seed):
    thumbnails = np.concatenate([drifting(seed), drifting(seed)[:9]])
    order = np.random.default_rng(seed).permutation(len(thumbnails))
    found = near_duplicates(thumbnails[order])
    assert {tuple(sorted(order[list(rows)])) for rows in found} == set(near_duplicates(thumbnails))
    assert list(found) == sorted(found)


def test_pictures_without_contrast_take_no_part():
    rng = np.random.default_rng(0)
    flat = np.stack([np.full((32, 32), value, dtype=np.uint8) for value in (0, 90, 90, 255)])
    faint = rng.integers(100, 103, (20, 32, 32), dtype=np.uint8)
    assert near_duplicates(np.concatenate([flat, faint])) == ()


def test_none_and_one_picture_have_no_duplicates():
    assert near_duplicates(np.empty((0, 32, 32), dtype=np.uint8)) == ()
    assert near_duplicates(small(field(0))[None]) == ()


def test_originals_that_are_too_small_take_no_part():
    three = np.stack([small(field(0))] * 3)
    assert near_duplicates(three, [24, 23, 24]) == ((0, 2),)
    assert near_duplicates(three, [8, 8, 8]) == ()


@pytest.mark.parametrize("shape", [(2, 32), (2, 32, 31), (2, 8, 8)])
def test_thumbnails_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match=r"thumbnails must be uint8 \(2, 32, 32\). Got uint8 .*: take one thumbnail"):
        near_duplicates(np.zeros(shape, dtype=np.uint8))


def test_there_must_be_as_many_sides_as_pictures():
    with pytest.raises(DataError, match=r"sides must have 2 entries, one per image. Got 1: give all, or None"):
        near_duplicates(np.zeros((2, 32, 32), dtype=np.uint8), [30])


def test_a_set_of_nothing_but_copies_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 5)
    copies = np.stack([turned(degrees) for degrees in (0, 1, 2, 3)])
    with pytest.raises(DataError, match=r"at most 5 pairs .* Got more in 4 images: leave near duplicates"):
        near_duplicates(copies)


# ---- exact and near together: a capital letter is a near duplicate of the small one


def thumbnails_of(pictures):
    brighter = {letter: field(ord(letter.lower())).point(lambda value: 0.8 * value + 30) for letter in pictures}
    return np.stack([small(brighter[one] if one.isupper() else field(ord(one))) for one in pictures])


def cleaned(pictures, labels, *, given_split=False, parts=None, groups=None, **choices):
    images = image_set(pictures, labels, parts=parts, groups=groups)
    return clean(images, given_split=given_split, thumbnails=thumbnails_of(pictures), **choices)


def test_copies_of_a_member_are_members_but_copies_alone_are_not_near():
    images = image_set("abAcabb", [0] * 7)
    found = find(images, thumbnails_of("abAcabb"))
    assert (found.exact, found.near) == (((0, 4), (1, 5, 6)), ((0, 2, 4),))
    assert find(images, None) == Duplicates(found.exact, ())
    assert find(images, thumbnails_of("abAcabb"), [30, 30, 23, 30, 30, 30, 30]).near == ()


def test_there_must_be_as_many_thumbnails_as_images():
    with pytest.raises(DataError, match=r"thumbnails must be uint8 \(3, 32, 32\). Got uint8 \(2, 32, 32\)"):
        find(image_set("abc", [0, 0, 1]), thumbnails_of("ab"))


def test_near_duplicates_become_one_group():
    result = cleaned("abAc", [0, 1, 0, 1])
    assert result.images.groups == ("#0", "#1", "#0", "#3")
    assert (result.near, result.near_conflicts, result.merged) == ((("a0", "A2"),), (), 2)
    assert (result.set_aside, result.dropped) == ((), ())


@pytest.mark.parametrize("choice", [{"near": "leave"}, {"thumbnails": None}, {"sides": [8] * 4}, {"as_is": True}])
def test_near_duplicates_can_be_left(choice):
    images = image_set("abAc", [0, 1, 0, 1])
    result = clean(images, given_split=False, **{"thumbnails": thumbnails_of("abAc"), **choice})
    assert result.images is images
    assert (result.near, result.merged) == ((), 0)


def test_near_duplicates_under_different_labels_stay_and_are_listed():
    result = cleaned("aAbBc", [0, 1, 0, 0, 1])
    assert result.near == (("a0", "A1"), ("b2", "B3"))
    assert result.near_conflicts == (("a0", "A1"),)
    assert len(result.images) == 5


def test_given_groups_are_joined_by_near_duplicates_and_keep_a_given_name():
    assert cleaned("abAc", [0, 1, 0, 1], groups=["p", "q", "r", "r"]).images.groups == ("p", "q", "p", "p")
    assert cleaned("abAc", [0, 1, 0, 1], groups=["#0", "q", "r", "s"]).images.groups == ("r", "q", "r", "s")


def test_what_is_set_aside_leaves_its_near_group():
    result = cleaned("aabAbB", [0, 1, 0, 0, 0, 1])
    assert result.set_aside == (("a0", "a1"),)
    assert result.near == result.near_conflicts == (("b2", "b4", "B5"),)
    assert result.images.groups == ("#0", "#1", "#0", "#0")


def test_in_a_given_split_near_copies_of_scored_images_are_dropped():
    parts = ["train", "test", "train", "val", "train", "val", "train"]
    result = cleaned("aAbBcdD", [0, 0, 1, 1, 1, 0, 1], parts=parts, given_split=True)
    assert result.dropped == (("a0", "A1"), ("b2", "B3"), ("D6", "d5"))
    assert result.images.names == ("A1", "B3", "c4", "d5")
    assert result.near == (("a0", "A1"), ("b2", "B3"), ("d5", "D6"))
    assert result.near_conflicts == (("d5", "D6"),)
    assert (result.images.groups, result.merged) == (None, 0)


def test_a_copy_between_the_parts_is_dropped_for_the_near_duplicate_that_is_scored():
    parts = ["train", "val", "test", "test", "train"]
    result = cleaned("aaAAa", [0] * 5, parts=parts, given_split=True)
    assert result.dropped == (("a0", "A2"), ("a1", "A2"), ("a4", "A2"))
    assert result.images.groups == ("#0", "#0")
    exact_first = cleaned("aAa", [0] * 3, parts=["train", "test", "test"], given_split=True)
    assert exact_first.dropped == (("a0", "a2"),)


@pytest.mark.parametrize("seed", range(10))
def test_no_test_image_goes_and_no_group_spans_two_given_parts(seed):
    rng = np.random.default_rng(seed)
    pictures = "".join(rng.choice(list("abcdeABCDEfghij"), 40))
    parts = rng.choice(["train", "val", "test"], 40).tolist()
    groups = [f"{part}{rng.integers(8)}" for part in parts]
    labels = [ord(one.lower()) % 2 for one in pictures]
    result = cleaned(pictures, labels, parts=parts, groups=groups, given_split=True)
    assert sum(part == "test" for part in result.images.parts) == parts.count("test")
    part_of = dict(zip(result.images.groups, result.images.parts, strict=True))
    assert all(part_of[name] == part for name, part in zip(result.images.groups, result.images.parts, strict=True))
    looks = [(name[0].lower(), part) for name, part in zip(result.images.names, result.images.parts, strict=True)]
    assert len({look for look, _ in looks}) == len(set(looks))  # each picture in one part
    assert {gone for gone, _ in result.dropped} == {*image_set(pictures, labels).names} - {*result.images.names}
    assert {twin for _, twin in result.dropped} <= {*result.images.names}


def test_conflicting_copies_can_stay_in_one_group():
    result = cleaned("aabc", [0, 1, 0, 1], conflicts="join")
    assert (result.set_aside, result.merged) == ((), 2)
    assert result.images.groups == ("#0", "#0", "#2", "#3")
    given = cleaned("aabc", [0, 1, 0, 1], parts=["train", "test", "train", "train"], given_split=True, conflicts="join")
    assert (given.set_aside, given.dropped) == ((), (("a0", "a1"),))
    assert given.images.names == ("a1", "b2", "c3")


def test_a_class_that_stands_only_in_scored_copies_of_another_is_named():
    with pytest.raises(DataError, match="every image of class 'y' is in a part kept for scoring, too, first: a0 = A1"):
        cleaned("aAb", [1, 0, 0], parts=["train", "test", "train"], given_split=True)


@pytest.mark.parametrize("choice", [{"near": "drop"}, {"conflicts": "leave"}])
def test_a_choice_that_does_not_exist_is_refused(choice):
    with pytest.raises(SettingsError, match=r"(near|conflicts) must be '.*' or '.*'. Got '.*': choose one of them"):
        cleaned("ab", [0, 1], **choice)


def test_what_was_done_survives_json():
    result = cleaned("aAbBcc", [0, 1, 0, 0, 1, 0], parts=["train", "test"] * 3, given_split=True)
    done = {field.name: getattr(result, field.name) for field in dataclasses.fields(result) if field.name != "images"}
    assert json.loads(json.dumps(done)) == {name: listed(value) for name, value in done.items()}


def listed(value):
    return [listed(one) for one in value] if isinstance(value, tuple) else value


# ---- published sets


def npz_thumbnails(path):
    with np.load(path) as arrays:
        pictures = [picture for part in ("train", "val", "test") for picture in arrays[f"{part}_images"]]
    return np.stack([thumbnail(picture[None]) for picture in pictures])


def zip_thumbnails(path, chosen):
    with zipfile.ZipFile(path) as members:
        names = [name for name in members.namelist() if name.endswith((".png", ".jpg"))]
        names = chosen(names)
        opened = (Image.open(io.BytesIO(members.read(name))).convert("RGB") for name in names)
        return [Path(name).stem for name in names], np.stack(
            [thumbnail(np.asarray(one).transpose(2, 0, 1)) for one in opened]
        )


@pytest.mark.skipif(not COVID.exists(), reason="covid_ct.zip is not here")
def test_both_figures_that_stand_twice_in_covid_ct_are_found():
    twice = ("kjr-21-e24-p5-29.png", "71%0.jpg", "kjr-21-e24-p5-31.png", "71%1.jpg")
    names, thumbnails = zip_thumbnails(
        COVID, lambda names: [name for row, name in enumerate(names) if row % 6 == 0 or name.endswith(twice)]
    )
    found = {frozenset(names[row] for row in rows) for rows in near_duplicates(thumbnails)}
    assert {frozenset({"kjr-21-e24-p5-29", "71%0"}), frozenset({"kjr-21-e24-p5-31", "71%1"})} <= found
    assert len(found) <= 4


@pytest.mark.skipif(not PNEUMONIA.exists(), reason="pneumoniamnist_rebuilt.npz is not here")
def test_the_look_alike_chests_of_pneumoniamnist_are_not_grouped():
    images = read(PNEUMONIA)
    found = find(images, npz_thumbnails(PNEUMONIA))
    assert len(found.exact) == 27
    assert max((len(rows) for rows in found.near), default=0) <= 4
    assert len(found.near) <= 3


@pytest.mark.skipif(not BREAST.exists(), reason="the published breastmnist.npz is not here")
def test_breastmnist_repeats_its_pictures_across_the_given_parts():
    images = read(BREAST)
    result = clean(images, given_split=True, thumbnails=npz_thumbnails(BREAST))
    assert result.set_aside == (("train/115", "test/76"),)
    assert ("train/481", "test/7") in result.dropped
    assert any({"train/481", "test/7"} <= set(names) for names in result.near_conflicts)
    assert result.images.parts.count("test") == 155
    assert max(map(len, result.near)) <= 4


@pytest.mark.skipif(not HAM.exists(), reason="ham10000_200x150.zip is not here")
def test_one_photograph_of_ham10000_under_two_lesions_is_found():
    twice = ("ISIC_0030074.jpg", "ISIC_0025226.jpg")
    names, thumbnails = zip_thumbnails(
        HAM, lambda names: [name for row, name in enumerate(names) if row % 20 == 0 or name.endswith(twice)]
    )
    found = near_duplicates(thumbnails)
    assert {"ISIC_0030074", "ISIC_0025226"} in [{names[row] for row in rows} for rows in found]
    assert len(found) <= 3
