from pathlib import Path

import pytest
import torch

from augury.duplicates import clean
from augury.errors import DataError
from augury.images import real_set
from augury.readers import read

BREAST = Path(__file__).parents[3] / "shared" / "data" / "breastmnist.npz"


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
