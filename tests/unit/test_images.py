from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from augury.errors import DataError
from augury.images import ImageSet, pixel_digest, real_set
from toy import contents, nothing_touched, toy_images, toy_pool


def full():
    """An image set with everything in it."""
    images = toy_images(per_class=(5, 3), channels=3, size=(8, 10), groups=True, parts=True)
    return replace(images, columns={"age": tuple(range(8))}, seen=frozenset({"x", "y"}))


def test_it_knows_its_size_shape_and_counts():
    images = full()
    assert (len(images), images.shape, images.counts()) == (8, (3, 8, 10), (5, 3))
    assert images.of_class(1).names == ("1/0.png", "1/1.png", "1/2.png")


def test_a_class_without_images_counts_zero():
    assert toy_images(per_class=(0, 2, 0)).counts() == (0, 2, 0)


def test_without_groups_each_image_is_a_group_of_its_own():
    assert len(set(toy_images().group_names)) == len(toy_images())
    assert len(set(full().group_names)) == 5


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        full().labels = torch.zeros(8)


@pytest.mark.parametrize("index", [[6, 0, 0], np.array([6, 0, 0]), torch.tensor([6, 0, 0])])
def test_taking_takes_every_column_in_the_asked_order(index):
    images = full()
    taken = images.take(index)
    assert taken.names == ("1/1.png", "0/0.png", "0/0.png")
    assert taken.labels.tolist() == [1, 0, 0]
    assert taken.columns["age"] == (6, 0, 0)
    for column in ("digests", "groups", "parts"):
        assert getattr(taken, column) == tuple(getattr(images, column)[i] for i in (6, 0, 0))
    assert torch.equal(taken.images, images.images[[6, 0, 0]])
    assert (taken.classes, taken.seen) == (images.classes, images.seen)


def test_taking_copies_pixels():
    images = full()
    with nothing_touched(images):
        images.take(range(8)).images.fill_(0)


def test_taking_nothing_leaves_an_empty_set():
    empty = full().take([])
    assert (len(empty), empty.shape, empty.counts()) == (0, (3, 8, 10), (0, 0))


def test_it_comes_back_from_a_folder_as_it_was(tmp_path):
    images = full()
    images.save(tmp_path)
    loaded = ImageSet.load(tmp_path)
    assert contents(loaded) == {**contents(images), "columns": {"age": list(range(8))}}
    assert loaded.labels.dtype == torch.int64
    assert loaded.synthetic.dtype == torch.bool


@pytest.mark.parametrize("images", [toy_images(), toy_images().take([])], ids=["plain", "empty"])
def test_columns_that_are_not_there_come_back_as_none(tmp_path, images):
    images.save(tmp_path)
    assert contents(ImageSet.load(tmp_path)) == contents(images)


def test_a_pool_comes_back_as_synthetic_with_what_its_maker_saw(tmp_path):
    pool = toy_pool(toy_images())
    pool.save(tmp_path)
    loaded = ImageSet.load(tmp_path)
    assert loaded.synthetic.all()
    assert loaded.seen == frozenset(toy_images().digests)


def test_writing_into_loaded_pixels_never_reaches_the_file(tmp_path):
    full().save(tmp_path)
    ImageSet.load(tmp_path).images.fill_(0)
    assert torch.equal(ImageSet.load(tmp_path).images, full().images)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"images": torch.zeros(8, 3, 8, 10)},
            r"images must be uint8 \(N, C, H, W\). Got torch.float32 \(8, 3, 8, 10\)",
        ),
        ({"images": torch.zeros(8, 8, 10, dtype=torch.uint8)}, r"Got torch.uint8 \(8, 8, 10\)"),
        ({"labels": torch.zeros(8)}, r"labels must be int64 \(8,\). Got torch.float32 \(8,\)"),
        ({"labels": torch.zeros(7, dtype=torch.int64)}, r"labels must be int64 \(8,\). Got torch.int64 \(7,\)"),
        ({"labels": torch.full((8,), 2)}, r"labels must lie in 0..1. Got 2..2."),
        ({"labels": torch.tensor([0, -1] * 4)}, r"labels must lie in 0..1. Got -1..0."),
        ({"names": ("a",)}, "names must have 8 entries, one per image. Got 1"),
        ({"digests": ()}, "digests must have 8 entries"),
        ({"synthetic": torch.zeros(3, dtype=torch.bool)}, "synthetic must have 8 entries"),
        ({"groups": ("a",) * 9}, "groups must have 8 entries"),
        ({"parts": ()}, "parts must have 8 entries"),
    ],
)
def test_what_does_not_agree_is_refused(changes, sentence):
    with pytest.raises(DataError, match=sentence):
        replace(full(), **changes)


def test_real_images_get_names_and_the_digests_of_their_pixels():
    images = real_set(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), ["a", "b"])
    assert images.names == ("0", "1")
    assert images.digests == (pixel_digest(np.zeros((1, 8, 8), dtype=np.uint8)),) * 2
    assert not images.synthetic.any()
    assert (images.groups, images.parts, images.seen) == (None, None, frozenset())


def test_digests_tell_pixels_and_shapes_apart_but_not_memory_layouts():
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 4, 6)
    assert pixel_digest(pixels) == pixel_digest(np.asfortranarray(pixels))
    different = [pixels, pixels.reshape(1, 6, 4), pixels.reshape(4, 1, 6), pixels + 1]
    assert len({pixel_digest(each) for each in different}) == 4


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_a_mask_takes_what_it_marks(kind):
    images = toy_images(per_class=(2, 2))
    assert images.take(kind([False, True, False, True])).names == (images.names[1], images.names[3])


@pytest.mark.parametrize(
    ("groups", "given"), [(None, False), (("#0", "#0", "#1", "#2"), False), (("p", "p", "#1", "q"), True)]
)
def test_groups_of_duplicates_are_none_that_someone_gave(groups, given):
    assert replace(toy_images(per_class=(2, 2)), groups=groups).groups_given is given
