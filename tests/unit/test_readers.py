from pathlib import Path

import numpy as np
import pytest
import torch

from augury import stored
from augury.errors import DataError, SettingsError
from augury.readers import READERS, ReadSettings, content_digest, is_place, read, read_source, reader_for
from pictures import colour, grey, one_each, png, save, shown, two_classes


@pytest.fixture
def folder(tmp_path):
    return two_classes(tmp_path / "data")


# ---- the table


def test_digits_are_stretched_to_the_full_range():
    from sklearn.datasets import load_digits

    images = read("digits")
    assert (len(images), images.shape) == (1797, (1, 8, 8))
    assert int(images.images.max()) == 255
    assert torch.equal(images.labels, torch.from_numpy(load_digits().target))
    assert np.array_equal(np.rint(images.images[:, 0].numpy() / 255 * 16), load_digits().images)


def test_the_digest_of_the_digits_stays():
    assert content_digest("digits") == content_digest("digits")
    assert len(content_digest("digits")) == 64


def test_the_table_names_its_readers_and_the_word_wins_over_a_folder(folder, monkeypatch):
    assert all(name == reader.name and reader.summary for name, reader in READERS.items())
    folder.rename(folder.with_name("digits"))
    monkeypatch.chdir(folder.parent)
    assert reader_for("digits").name == "digits"
    assert reader_for("./digits").name == reader_for(Path("digits")).name == "folder"
    assert not is_place("digits")
    assert is_place("./digits")


EXPECTED = "Expected one of: the word digits.*; a folder with one folder .*; a .zip .*; a .csv or .tsv .*; a .npz file"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("nowhere", "found nothing there: check the path"),
        ("", "found nothing there"),
        ("a\0b", "found nothing there"),
        ("a.xlsx", "found a file of the kind '.xlsx'"),
        ("a", "found a file of the kind ''"),
    ],
)
def test_a_source_that_nothing_reads_says_what_was_expected_and_found(tmp_path, monkeypatch, source, found):
    monkeypatch.chdir(tmp_path)
    for name in ("a.xlsx", "a"):
        (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=f"{found}.* {EXPECTED}"):
        read(source)


def test_a_path_too_long_for_the_system_is_a_sentence():
    with pytest.raises(DataError, match=r"no images at 'x+': File name too long. Check the path"):
        read("x" * 5000)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"size": (7, 7)}, "size must be a side from 8 to 1024"),
        ({"size": "large"}, "size of read"),
        ({"fit": "squeeze"}, "fit of read: expected one of: 'stretch', 'crop', 'pad'. Got 'squeeze'"),
        ({"levels": "window 3"}, "levels must be 'auto'"),
        ({"group": "(?P<group>["}, "group is not a regular expression"),
        ({"columns": (("paht", "x"),)}, "there is no column 'paht' to be named: did you mean 'path'"),
        ({"columns": (("path", "x"), ("path", "y"))}, "'path' stands twice"),
        ({"skip_unreadable": "yes"}, "skip_unreadable of read: expected a valid boolean"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_anything_is_read(wrong, sentence):
    with pytest.raises(SettingsError, match=sentence.replace("(?P<group>[", "")):
        ReadSettings(**wrong)


def test_progress_is_told_image_by_image(folder):
    heard = []
    read_source(folder, ReadSettings(), lambda done, of: heard.append((done, of)))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


# ---- one size and one number of channels


def test_colour_in_the_middle_makes_all_colour_and_repeats_grey(folder):
    save(folder / "a/3.png", colour(9))
    images = read(folder)
    assert images.shape == (3, 12, 10)
    assert np.array_equal(shown(images, "a/1.png"), np.stack([grey(2)] * 3))
    assert np.array_equal(shown(images, "a/3.png"), colour(9).transpose(2, 0, 1))
    assert np.array_equal(shown(images, "b/1.png"), np.stack([grey(0)] * 3))


def test_auto_keeps_small_images_of_one_size_and_makes_others_64(folder):
    assert read(folder).shape == (1, 12, 10)
    save(folder / "a/other.png", grey(5, H=20, W=20))
    images = read(folder)
    assert images.shape == (1, 64, 64)
    assert torch.equal(images.images, read(folder, size=64).images)


def test_the_order_in_which_sizes_and_colours_turn_up_makes_no_difference(tmp_path):
    made = [grey(1), grey(2, H=20, W=30), colour(3), colour(4, H=100, W=80)]
    for turn in range(4):
        for i, pixels in enumerate(made[turn:] + made[:turn]):
            save(tmp_path / str(turn) / "ab"[i % 2] / f"{i}.png", pixels)
    sets = [read(tmp_path / str(turn)) for turn in range(4)]
    by_digest = [dict(zip(images.digests, images.images.numpy().tolist(), strict=True)) for images in sets]
    assert all(found == by_digest[0] for found in by_digest)


def test_native_refuses_differing_images_by_name_and_keeps_others(folder):
    assert read(folder, size="native").shape == (1, 12, 10)
    save(folder / "b/1.png", grey(5, H=20, W=21))
    with pytest.raises(DataError, match=r"a/1.png is 12 x 10, b/1.png is 20 x 21 \(height x width\): give a size"):
        read(folder, size="native")


@pytest.mark.parametrize("size", ["native", "auto"])
def test_images_as_they_are_must_not_be_tiny(tmp_path, size):
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", grey(3, H=7, W=20))
    with pytest.raises(DataError, match=r"the images are 7 x 20 .*: sides from 8 to 1024 were expected. Give a size"):
        read(tmp_path, size=size)
    assert read(tmp_path, size=8).shape == (1, 8, 8)


def test_images_as_they_are_must_not_be_huge(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", grey(3, H=10, W=1025))
    with pytest.raises(DataError, match=r"the images are 10 x 1025"):
        read(tmp_path, size="native")


@pytest.mark.parametrize("size", [7, 1025, (8, 4), (8, 8, 8), "large", 32.0, True, None])
def test_sizes_that_cannot_be_meant_are_refused(size):
    with pytest.raises(SettingsError, match=r"size must be a side from 8 to 1024"):
        read("digits", size=size)


# ---- large sets stay on disk


@pytest.fixture
def mixed(tmp_path):
    """Grey and small first, then colour, then another size: the set is rebuilt twice on the way."""
    root = tmp_path / "mixed"
    for i in range(12):
        pixels = grey(i) if i < 6 else colour(i) if i < 9 else grey(i, H=30, W=17)
        save(root / ("a" if i % 2 else "b") / f"{i:02d}.png", pixels)
    return root


@pytest.mark.parametrize("size", ["auto", 32])
def test_a_set_that_stays_on_disk_has_the_same_pixels(mixed, monkeypatch, size):
    small = read_source(mixed, ReadSettings(size=size if size == "auto" else (size, size)))
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(stored, "CHUNK_BYTES", 2000)  # memory is given back every few images
    large = read_source(mixed, ReadSettings(size=size if size == "auto" else (size, size)))
    assert isinstance(large.images.images, stored.StoredPixels)
    assert torch.equal(large.images.images[:], small.images.images)
    assert large.images.digests == small.images.digests
    assert np.array_equal(large.thumbnails, small.thumbnails)


def test_a_large_set_may_lose_images_and_keeps_the_others(mixed, monkeypatch):
    (mixed / "a/03.png").write_bytes(png(grey())[:60])
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 100)
    images = read(mixed, skip_unreadable=True)
    assert len(images) == 11
    assert images.images[:].shape == (11, 3, 64, 64)
    assert np.array_equal(
        images.images[images.names.index("b/08.png")].numpy(), shown(read(mixed, skip_unreadable=True), "b/08.png")
    )


def test_no_room_for_a_large_set_is_a_sentence(mixed, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DataError, match=r"need \d+ MB of disk .* \(No space left on device\): free some"):
        read(mixed)


# ---- the state of the process


def test_reading_leaves_threads_and_warnings_as_they_were_even_when_it_fails(folder):
    import warnings

    save(folder / "b/1.png", grey(5, H=20, W=21))
    before = torch.get_num_threads(), list(warnings.filters)
    with pytest.raises(DataError) as caught:
        read(folder, size="native")
    assert (torch.get_num_threads(), warnings.filters) == before
    assert caught.value.__traceback__ is not None  # what holds the frames of the failed call


def test_reading_leaves_the_global_random_states_alone(folder):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    read(one_each(folder, "a/x.png"))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
