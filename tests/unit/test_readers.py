import hashlib
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augury.errors import DataError, SettingsError
from augury.images import pixel_digest
from augury.readers import READERS, content_digest, npz, read, reader_for

SHARED = Path(__file__).parents[3] / "shared" / "data"
BREAST = SHARED / "breastmnist.npz"


def grey(seed=0, H=12, W=10):
    return np.random.default_rng(seed).integers(0, 256, (H, W), dtype=np.uint8)


def colour(seed=0, H=12, W=10):
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Two classes of two grey images of 12 x 10."""
    root = tmp_path / "data"
    for seed, name in enumerate(["b/1.png", "b/2.PNG", "a/1.png", "a/deep/er/2.bmp"]):
        save(root / name, grey(seed))
    return root


# ---- folders


def test_a_folder_per_class_gives_sorted_names_labels_and_the_pixels_themselves(folder):
    images = read(folder)
    assert images.names == ("a/1.png", "a/deep/er/2.bmp", "b/1.png", "b/2.PNG")
    assert images.classes == ("a", "b")
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert images.parts is None
    assert images.groups is None
    assert np.array_equal(images.images[0, 0].numpy(), grey(2))
    assert images.digests[0] == pixel_digest(grey(2)[None])


def test_hidden_and_system_files_are_ignored(folder):
    (folder / ".git").mkdir()
    for name in (".DS_Store", "a/.hidden.png", "a/Thumbs.db", "README.md"):
        (folder / name).write_text("no image")
    assert len(read(folder)) == 4


def test_colour_anywhere_gives_three_channels_and_repeats_grey(folder):
    save(folder / "a/3.png", colour(9))
    images = read(folder)
    assert images.shape == (3, 12, 10)
    assert np.array_equal(images.images[0].numpy(), np.stack([grey(2)] * 3))
    assert np.array_equal(images.images[1].numpy(), colour(9).transpose(2, 0, 1))


def test_grey_pixels_saved_as_colour_count_as_grey_and_have_the_same_digest(folder):
    save(folder / "a/3.png", np.stack([grey(2)] * 3, axis=2))
    images = read(folder)
    assert images.shape == (1, 12, 10)
    assert images.digests[images.names.index("a/3.png")] == images.digests[images.names.index("a/1.png")]


def test_palette_cmyk_and_one_bit_images_become_rgb(folder):
    red = Image.new("RGB", (10, 12), (255, 0, 0))
    red.quantize(4).save(folder / "a/palette.png")
    red.convert("CMYK").save(folder / "a/cmyk.tif")
    Image.new("1", (10, 12), 1).save(folder / "a/one_bit.png")
    images = read(folder)
    for name, expected in (("a/palette.png", [255, 0, 0]), ("a/cmyk.tif", [255, 0, 0]), ("a/one_bit.png", [255] * 3)):
        assert images.images[images.names.index(name), :, 0, 0].tolist() == expected


def test_transparent_pixels_are_shown_over_black(folder):
    Image.new("RGBA", (10, 12), (200, 100, 50, 0)).save(folder / "a/clear.png")
    Image.new("RGBA", (10, 12), (200, 100, 50, 255)).save(folder / "a/opaque.png")
    Image.new("LA", (10, 12), (200, 0)).save(folder / "a/grey.png")
    Image.new("P", (10, 12), 0).save(folder / "a/palette.png", transparency=b"\x00")
    images = read(folder)
    shown = {name: images.images[row, :, 0, 0].tolist() for row, name in enumerate(images.names)}
    assert shown["a/clear.png"] == shown["a/grey.png"] == shown["a/palette.png"] == [0, 0, 0]
    assert shown["a/opaque.png"] == [200, 100, 50]


def test_exif_rotation_is_applied(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    save(folder / "a/1.png", grey(2, H=10, W=12), exif=exif)
    images = read(folder, size=None)
    assert np.array_equal(images.images[0, 0].numpy(), np.rot90(grey(2, H=10, W=12), -1))


def test_part_folders_give_parts_and_may_be_called_validation(folder, tmp_path):
    for part in ("train", "validation", "test"):
        shutil.copytree(folder, tmp_path / "parted" / part)
    images = read(tmp_path / "parted")
    assert images.classes == ("a", "b")
    assert [images.parts.count(part) for part in ("train", "val", "test")] == [4, 4, 4]
    assert dict(zip(images.names, images.parts, strict=True))["validation/a/1.png"] == "val"


def test_a_class_may_be_called_train_but_parts_never_stand_beside_classes(folder):
    (folder / "a").rename(folder / "train")
    assert read(folder).classes == ("b", "train")
    shutil.copytree(folder / "train", folder / "test")
    with pytest.raises(DataError, match=r"'test' and 'train' stand beside 'b': expected either parts .* or classes"):
        read(folder)


def test_a_class_without_training_images_is_an_error(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "parted" / "test")
    shutil.copytree(folder / "a", tmp_path / "parted" / "train" / "a")
    with pytest.raises(DataError, match=r"class 'b' has no images in the train part"):
        read(tmp_path / "parted")


def test_too_few_classes_and_empty_folders_are_errors(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no folders: one folder of images per class was expected"):
        read(tmp_path / "empty")
    shutil.rmtree(folder / "b")
    with pytest.raises(DataError, match=r"at least 2 classes .* Got only 'a': add images of another class"):
        read(folder)
    (folder / "c").mkdir()
    with pytest.raises(DataError, match=r"the class folder 'c' holds no images. Add images or remove the folder"):
        read(folder)


def test_files_that_are_no_whole_image_are_named(folder):
    whole = (folder / "a/1.png").read_bytes()
    (folder / "a/1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^a/1.png cannot be read as an image \(.*\)\. Replace it or remove it\.$"):
        read(folder)
    (folder / "a/1.png").write_text("hello")
    with pytest.raises(DataError, match=r"^a/1.png is not an image: expected PNG"):
        read(folder)
    (folder / "a/1.png").rename(folder / "a/1.txt")
    with pytest.raises(DataError, match=r"^a/1.txt is not an image file: expected png, .* Convert it or remove it"):
        read(folder)
    (folder / "a/1.txt").unlink()
    save(folder / "stray.png", grey())
    with pytest.raises(DataError, match=r"^stray.png lies in no class folder"):
        read(folder)


def test_sixteen_bit_and_many_picture_files_are_refused(folder):
    save(folder / "a/1.png", grey().astype(np.uint16) * 256)
    with pytest.raises(DataError, match=r"a/1.png is a 16-bit or float image, which is not supported yet. Scale it"):
        read(folder)
    frames = [Image.fromarray(grey(seed)) for seed in range(2)]
    (folder / "a/1.png").unlink()
    frames[0].save(folder / "a/1.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"a/1.gif holds several pictures: one was expected"):
        read(folder)


@pytest.mark.parametrize("limit", [100, 40])  # pillow warns over the limit and refuses over twice the limit
def test_pixel_bombs_are_refused(folder, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    warnings.simplefilter("default")  # as users have it: a warning alone stops nothing
    with pytest.raises(DataError, match=f"a/1.png has more than {limit} pixels: make it smaller or remove it"):
        read(folder)


def test_links_may_stay_in_the_folder_but_not_leave_it(folder, tmp_path):
    (folder / "a/link.png").symlink_to(folder / "a/1.png")
    assert len(read(folder)) == 5
    save(tmp_path / "outside.png", grey())
    (folder / "a/out.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match=r"a/out.png is a link that leaves the folder. Copy the file"):
        read(folder)
    (folder / "a/out.png").unlink()
    (folder / "a/loop").symlink_to(folder / "a")
    with pytest.raises(DataError, match=r"a/loop is a link to a folder, which is not followed"):
        read(folder)
    (folder / "a/loop").unlink()
    (folder / "a/gone.png").symlink_to(folder / "a/nothing.png")
    with pytest.raises(DataError, match=r"a/gone.png is a link to nothing"):
        read(folder)


def test_the_digest_of_a_folder_knows_names_and_bytes_but_not_the_place(folder, tmp_path):
    before = content_digest(folder)
    assert content_digest(shutil.copytree(folder, tmp_path / "elsewhere")) == before
    (folder / "a/1.png").rename(folder / "a/0.png")
    renamed = content_digest(folder)
    save(folder / "a/0.png", grey(77))
    assert len({before, renamed, content_digest(folder)}) == 3


# ---- sizes


def test_auto_keeps_small_images_of_one_size_and_makes_others_64(folder):
    assert read(folder).shape == (1, 12, 10)
    save(folder / "a/other.png", grey(5, H=20, W=20))
    assert read(folder).shape == (1, 64, 64)


def test_auto_shrinks_large_images_of_one_size_but_digests_them_before(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", grey(3, H=80, W=40))
    images = read(tmp_path)
    assert images.shape == (1, 64, 64)
    assert images.digests[0] == pixel_digest(grey(3, H=80, W=40)[None])


def test_without_a_size_differing_images_are_named(folder):
    save(folder / "b/1.png", grey(5, H=20, W=21))
    with pytest.raises(DataError, match=r"a/1.png is 12 x 10, b/1.png is 20 x 21 \(height x width\): give a size"):
        read(folder, size=None)


@pytest.mark.parametrize("size", [None, "auto"])
def test_images_as_they_are_must_not_be_tiny(tmp_path, size):
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", grey(3, H=7, W=20))
    with pytest.raises(DataError, match=r"the images are 7 x 20 .*: sides from 8 to 1024 were expected. Give a size"):
        read(tmp_path, size=size)
    assert read(tmp_path, size=8).shape == (1, 8, 8)


@pytest.mark.parametrize("size", [7, 1025, (8, 4), (8, 8, 8), "large", 32.0, True])
def test_sizes_that_cannot_be_meant_are_refused(size):
    with pytest.raises(SettingsError, match=r"size must be a side from 8 to 1024"):
        read("digits", size=size)


def test_an_unknown_fit_is_refused():
    with pytest.raises(SettingsError, match=r"fit must be 'stretch', 'crop' or 'pad'. Got 'squeeze'"):
        read("digits", fit="squeeze")


@pytest.mark.parametrize(
    ("fit", "left", "middle"),
    [("stretch", 0, 255), ("crop", 255, 255), ("pad", 0, 255)],
)
def test_fit_says_what_becomes_of_a_wide_image(tmp_path, fit, left, middle):
    pixels = np.zeros((20, 60), dtype=np.uint8)
    pixels[:, 15:45] = 255
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", pixels)
    shown = read(tmp_path, size=(20, 20), fit=fit).images[0, 0]
    assert shown[10, [0, 10]].tolist() == [left, middle]
    assert shown[0, 10] == (0 if fit == "pad" else 255)


def test_padding_survives_an_extreme_aspect(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", np.full((1, 500), 255, dtype=np.uint8))
    assert read(tmp_path, size=8, fit="pad").images[0].float().mean() == 255 / 8


def test_shrinking_averages_over_all_pixels(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (160, 80))
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", stripes)
    inner = read(tmp_path, size=16).images[0, 0, 2:-2, 2:-2].float()
    assert (inner - 127.5).abs().max() < 2


# ---- npz files


def medmnist(parts=("train", "val", "test"), shape=(9, 9), labels=(0, 1, 1)):
    rng = np.random.default_rng(0)
    arrays = {}
    for part in parts:
        arrays[f"{part}_images"] = rng.integers(0, 256, (len(labels), *shape), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.array(labels, dtype=np.uint8)[:, None]
    return arrays


def write(path, arrays):
    np.savez(path, **arrays)
    return path


def test_medmnist_layout_gives_parts_names_and_pixels(tmp_path):
    arrays = medmnist()
    images = read(write(tmp_path / "set.npz", arrays))
    assert images.parts == ("train",) * 3 + ("val",) * 3 + ("test",) * 3
    assert images.names[3:5] == ("val/0", "val/1")
    assert images.labels.tolist() == [0, 1, 1] * 3
    assert images.classes == ("0", "1")
    assert np.array_equal(images.images[3:6, 0].numpy(), arrays["val_images"])


def test_colour_arrays_are_turned_channels_first(tmp_path):
    arrays = medmnist(parts=("train",), shape=(9, 10, 3))
    images = read(write(tmp_path / "set.npz", arrays))
    assert images.shape == (3, 9, 10)
    assert np.array_equal(images.images.numpy(), arrays["train_images"].transpose(0, 3, 1, 2))
    assert set(images.parts) == {"train"}


def test_plain_arrays_may_bring_classes_and_groups(tmp_path):
    arrays = medmnist(parts=("x",))
    plain = {
        "images": arrays["x_images"],
        "labels": np.array([0, 1, 1]),
        "classes": ["cat", "dog"],
        "groups": [7, 7, 9],
    }
    images = read(write(tmp_path / "set.npz", plain))
    assert images.parts is None
    assert images.classes == ("cat", "dog")
    assert images.groups == ("7", "7", "9")
    assert images.names == ("0", "1", "2")


def test_published_sets_have_their_class_names_and_the_digest_knows(tmp_path):
    known = write(tmp_path / "pneumoniamnist_64.npz", medmnist())
    other = shutil.copy(known, tmp_path / "other.npz")
    assert read(known).classes == ("normal", "pneumonia")
    assert read(other).classes == ("0", "1")
    assert content_digest(other) == hashlib.sha256(known.read_bytes()).hexdigest() != content_digest(known)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"train_images": np.zeros((3, 9, 9))},
            "train_images of set.npz must be uint8, 0..255. Got float64. Scale them",
        ),
        (
            {"train_images": np.zeros((3, 9, 9, 4), np.uint8)},
            r"must be \(N, H, W\) or \(N, H, W, 3\). Got \(3, 9, 9, 4\)",
        ),
        ({"train_images": np.array([{}, {}, {}])}, r"train_images of set.npz cannot be read \(Object arrays .*savez"),
        ({"train_labels": np.zeros((3, 14), int)}, r"one label per image, \(N,\) or \(N, 1\). Got \(3, 14\)"),
        ({"train_labels": np.zeros(3)}, "train_labels of set.npz must be whole numbers, 0, 1, .... Got float64"),
        ({"train_labels": np.array([0, 1])}, "must have 3 labels, one per image. Got 2"),
        ({"train_labels": np.array([0, 2, 3])}, "without a gap. Got 2 but no 1: number the classes anew"),
        ({"train_labels": np.array([0, -1, 1])}, "without a gap. Got -1 but no 0"),
        ({"classes": np.array(["only"])}, "classes must name 2 classes, each once. Got 1: only"),
        ({"classes": np.zeros((2, 2))}, r"classes of set.npz must be texts, one dimension. Got float64 \(2, 2\)"),
        ({"groups": np.array(["p1"])}, "groups must have 3 entries, one per image. Got 1"),
    ],
)
def test_bad_arrays_are_errors(tmp_path, change, sentence):
    path = write(tmp_path / "set.npz", medmnist(parts=("train",)) | change)
    with pytest.raises(DataError, match=sentence):
        read(path)


def test_missing_arrays_are_named(tmp_path):
    with pytest.raises(DataError, match=r"needs train_images and train_labels, or images and labels. Got x"):
        read(write(tmp_path / "a.npz", {"x": np.zeros(3)}))
    with pytest.raises(DataError, match=r"a.npz has no train_labels. Got train_images: add it"):
        read(write(tmp_path / "a.npz", {"train_images": medmnist()["train_images"]}))
    with pytest.raises(DataError, match=r"a.npz has val_images but no train_images"):
        read(write(tmp_path / "a.npz", medmnist(parts=("val", "test"))))


def test_a_file_that_is_no_archive_or_expands_too_far_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.npz").write_text("hello")
    with pytest.raises(DataError, match=r"a.npz is not a .npz file .* Write it with numpy.savez"):
        read(tmp_path / "a.npz")
    path = write(tmp_path / "b.npz", medmnist())
    monkeypatch.setattr(npz, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match=r"b.npz expands to .* bytes, at most 1,000 are read"):
        read(path)


@pytest.mark.skipif(not BREAST.exists(), reason="the published breastmnist.npz is not here")
def test_breastmnist_has_its_published_counts():
    images = read(BREAST)
    assert images.shape == (1, 28, 28)
    assert images.classes == ("malignant", "normal, benign")
    assert [images.parts.count(part) for part in ("train", "val", "test")] == [546, 78, 156]
    assert images.counts() == (147 + 21 + 42, 399 + 57 + 114)


# ---- digits and the table


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


def test_a_source_that_nothing_reads_says_what_was_expected_and_found(tmp_path):
    expected = (
        "Expected one of: the word digits.*; a folder with one folder of images per class.*; a .npz file in MedMNIST"
    )
    with pytest.raises(DataError, match=f"found nothing there: check the path. {expected}"):
        read(tmp_path / "nowhere")
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError, match=f"found a file of the kind '.csv'. {expected}"):
        read(tmp_path / "a.csv")
