import hashlib
import io
import pickle
import shutil
import struct
import zipfile

import numpy as np
import pytest

from augury.errors import DataError, SettingsError
from augury.readers import ReadSettings, content_digest, npz, read, read_source
from pictures import SHARED, pack

BREAST = SHARED / "breastmnist.npz"


def medmnist(parts=("train", "val", "test"), shape=(9, 9), labels=(0, 1, 1)):
    rng = np.random.default_rng(0)
    arrays = {}
    for part in parts:
        arrays[f"{part}_images"] = rng.integers(0, 256, (len(labels), *shape), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.array(labels, dtype=np.uint8)[:, None]
    return arrays


def write(path, arrays, how=np.savez):
    how(path, **arrays)
    return path


@pytest.mark.parametrize("how", [np.savez, np.savez_compressed])
def test_medmnist_layout_gives_parts_names_and_pixels(tmp_path, how):
    arrays = medmnist()
    images = read(write(tmp_path / "set.npz", arrays, how))
    assert images.parts == ("train",) * 3 + ("val",) * 3 + ("test",) * 3
    assert images.names[3:5] == ("val/0", "val/1")
    assert images.labels.tolist() == [0, 1, 1] * 3
    assert images.classes == ("0", "1")
    assert np.array_equal(images.images[3:6, 0].numpy(), arrays["val_images"])


@pytest.mark.parametrize("order", ["C", "F"])
def test_colour_arrays_are_turned_channels_first(tmp_path, order):
    arrays = medmnist(parts=("train",), shape=(9, 10, 3))
    arrays["train_images"] = np.asarray(arrays["train_images"], order=order)
    images = read(write(tmp_path / "set.npz", arrays))
    assert images.shape == (3, 9, 10)
    assert np.array_equal(images.images.numpy(), arrays["train_images"].transpose(0, 3, 1, 2))
    assert set(images.parts) == {"train"}


def test_plain_arrays_may_bring_classes_and_groups(tmp_path):
    arrays = medmnist(parts=("x",))
    plain = {"images": arrays["x_images"], "labels": [0, 1, 1], "classes": ["cat", "dog"], "groups": [7, 7, 9]}
    images = read(write(tmp_path / "set.npz", plain))
    assert images.parts is None
    assert images.classes == ("cat", "dog")
    assert images.groups == ("7", "7", "9")
    assert images.names == ("0", "1", "2")


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i2", ">i2"])
@pytest.mark.parametrize("shape", [(3, 12, 10), (3, 12, 10, 1)])
def test_sixteen_bit_arrays_become_eight_by_percentiles_of_each_image(tmp_path, dtype, shape):
    values = np.random.default_rng(1).integers(0, 30000, shape).astype(dtype)
    source = write(tmp_path / "set.npz", {"images": values, "labels": [0, 1, 1]})
    reading = read_source(source, ReadSettings())
    for shown, own in zip(reading.images.images[:, 0].numpy(), values.reshape(3, 12, 10), strict=True):
        low, high = np.percentile(own.astype(float), [0.5, 99.5])
        assert np.array_equal(shown, np.rint(255 * np.clip((own.astype(float) - low) / (high - low), 0, 1)))
    assert reading.levels.startswith("3 of 3 images hold more than 8 bits per pixel")
    native = write(tmp_path / "native.npz", {"images": values.astype(dtype[1:]), "labels": [0, 1, 1]})
    assert read(native).digests == reading.images.digests


def test_published_sets_have_their_class_names_and_the_digest_knows(tmp_path):
    known = write(tmp_path / "pneumoniamnist_64.npz", medmnist())
    other = shutil.copy(known, tmp_path / "other.npz")
    assert read(known).classes == ("normal", "pneumonia")
    assert read(other).classes == ("0", "1")
    assert content_digest(other) == hashlib.sha256(known.read_bytes()).hexdigest() != content_digest(known)


# ---- what is refused

WRONG = {
    "float": (
        {"train_images": np.zeros((3, 9, 9))},
        r"train_images of set.npz must be uint8, 0..255, or grey and 16-bit. Got float64 \(3, 9, 9\). Scale them",
    ),
    "colour 16": ({"train_images": np.zeros((3, 9, 9, 3), np.uint16)}, r"Got uint16 \(3, 9, 9, 3\). Scale them"),
    "channels": ({"train_images": np.zeros((3, 9, 9, 4), np.uint8)}, r"must be \(N, H, W\) or .* Got \(3, 9, 9, 4\)"),
    "empty": ({"train_images": np.zeros((3, 0, 9), np.uint8)}, r"must be \(N, H, W\) or .* Got \(3, 0, 9\)"),
    "flat": ({"train_images": np.zeros((3, 81), np.uint8)}, r"must be \(N, H, W\) or .* Got \(3, 81\)"),
    "single": ({"train_images": np.uint8(3)}, r"must be \(N, H, W\) or .* Got \(\)"),
    "objects": (
        {"train_images": np.array([{}, {}, {}])},
        r"train_images of set.npz cannot be read \(it holds Python objects\)",
    ),
    "object labels": (
        {"train_labels": np.array([0, "a", 1], object)},
        "train_labels of set.npz cannot be read",
    ),
    "many labels": (
        {"train_labels": np.zeros((3, 14), int)},
        r"one label per image, .* Got \(3, 14\)",
    ),
    "float labels": ({"train_labels": np.zeros(3)}, "train_labels of set.npz must be whole numbers, .* Got float64"),
    "few labels": ({"train_labels": np.array([0, 1])}, "must have 3 labels, one per image. Got 2"),
    "gap": ({"train_labels": np.array([0, 2, 3])}, "without a gap. Got 2 but no 1: number the classes anew"),
    "negative": ({"train_labels": np.array([0, -1, 1])}, "without a gap. Got -1 but no 0"),
    "huge": (
        {"train_labels": np.array([0, 1, 2**64 - 1], np.uint64)},
        "without a gap. Got 18446744073709551615 but",
    ),
    "one class": ({"train_labels": np.zeros(3, int)}, "at least 2 classes are needed .* Got only '0'"),
    "classes": ({"classes": np.array(["only"])}, "classes must name 2 classes, one for each label. Got 1: only"),
    "same classes": ({"classes": np.array(["x", "x"])}, "one for each label. Got 2: x, x. Name each once"),
    "blank class": ({"classes": np.array(["x", " "])}, "one for each label. Got 2: x,"),
    "class table": (
        {"classes": np.zeros((2, 2))},
        r"must be texts, one dimension. Got float64 \(2, 2\)",
    ),
    "groups": ({"groups": np.array(["p1"])}, "groups must have 3 entries, one per image. Got 1"),
    "no images": (
        {"train_images": np.zeros((0, 9, 9), np.uint8), "train_labels": np.zeros(0, int)},
        "at least 2 classes are needed to train a classifier. Got none",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_arrays_are_errors(tmp_path, case):
    change, sentence = WRONG[case]
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
    with pytest.raises(DataError, match=r"a.npz needs train_images .* Got no arrays"):
        read(pack(tmp_path / "a.npz", []))


def test_a_class_that_only_the_test_part_has_is_an_error(tmp_path):
    arrays = medmnist() | {"test_labels": np.array([0, 1, 2])}
    with pytest.raises(DataError, match=r"class '2' has no images in the train part"):
        read(write(tmp_path / "set.npz", arrays))


def test_columns_mean_nothing_here(tmp_path):
    with pytest.raises(SettingsError, match=r"columns were named, and set.npz is no table"):
        read(write(tmp_path / "set.npz", medmnist()), columns={"path": "x"})


# ---- hostile files


def npy(header, data=b"", version=1):
    """Return the bytes of a .npy file with any header."""
    text = header.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


class Touch:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickles_are_never_opened(tmp_path):
    trap = tmp_path / "trapped"
    objects = io.BytesIO()
    np.save(objects, np.array([Touch(trap)], dtype=object), allow_pickle=True)
    for data in (objects.getvalue(), pickle.dumps(Touch(trap))):
        path = pack(tmp_path / "set.npz", [("images.npy", data), ("labels.npy", data)])
        with pytest.raises(
            DataError, match=r"labels of set.npz cannot be read \((it holds Python objects|it holds something else)\)"
        ):
            read(path)
    assert not trap.exists()


HEADERS = {
    "no dictionary": "[1]",
    "no header": "",
    "broken": "{'descr': '|u1', 'fortran_order': False, 'shape': (3,",
    "indented": "{'descr':\n  '|u1',\n'fortran_order': False\n 'shape' (3, 9, 9)}",
    "odd type": "{'descr': ['a'], 'fortran_order': False, 'shape': (3, 9, 9)}",
    "odd types": "{'descr': [('a',)], 'fortran_order': False, 'shape': (3, 9, 9)}",
    "unhashable": "{[]: 1}",
    "nested": "(" * 3000,
    "deep": "-" * 9000 + "1",
    "negative": "{'descr': '|u1', 'fortran_order': False, 'shape': (-3, -9, 9)}",
    "enormous": "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999, 99999999, 99999999)}",
    "large": "{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 100000, 100000)}",
    "too short": "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 9, 9)}",
    "python 2": "{'descr': '|u1', 'fortran_order': False, 'shape': (3L, 9L, 9L)}",
    "long": "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 9, 9)}" + " " * 20000,
    "bytes": "\x00\xff",
    "no value": "{'descr': '|u1', 'fortran_order': Galse, 'shape': (3,)}",
}


@pytest.mark.parametrize("case", HEADERS)
def test_broken_headers_are_errors(tmp_path, case):
    labels = io.BytesIO()
    np.save(labels, np.array([0, 1, 1]))
    path = pack(tmp_path / "set.npz", [("images.npy", npy(HEADERS[case])), ("labels.npy", labels.getvalue())])
    with pytest.raises(DataError, match=r"^images of set.npz cannot be read \([^\n<>]+\)\. Arrays of numbers"):
        read(path)


def test_a_header_of_python_2_is_read_without_a_warning(tmp_path):
    images = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 9L, 9L)}", bytes(162))
    labels = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2L,)}", b"\0\1")
    assert len(read(pack(tmp_path / "set.npz", [("images.npy", images), ("labels.npy", labels)]))) == 2


def test_members_that_are_no_arrays_are_errors(tmp_path):
    path = pack(tmp_path / "set.npz", [("images.npy", b"hello"), ("labels.npy", b"")])
    with pytest.raises(DataError, match=r"labels of set.npz cannot be read \(it holds something else\)"):
        read(path)
    path = pack(tmp_path / "set.npz", [("images", b"hello"), ("labels", b"")])
    with pytest.raises(DataError, match=r"set.npz needs .* Got no arrays"):
        read(path)


def test_a_file_that_is_no_archive_or_expands_too_far_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.npz").write_text("hello")
    with pytest.raises(DataError, match=r"a.npz is not a .npz file .* Write it with numpy.savez"):
        read(tmp_path / "a.npz")
    np.save(tmp_path / "c.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"c.npz is not a .npz file"):
        read((tmp_path / "c.npy").rename(tmp_path / "c.npz"))
    path = write(tmp_path / "b.npz", medmnist())
    monkeypatch.setattr(npz, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match=r"b.npz expands to .* bytes, at most 1,000 are read"):
        read(path)


def test_other_packings_are_refused(tmp_path):
    path = pack(tmp_path / "set.npz", [("images.npy", bytes(1000))], compression=zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match=r"set.npz is not packed as numpy packs .npz files. Write it with numpy.savez"):
        read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_errors(tmp_path, share):
    path = write(tmp_path / "set.npz", medmnist())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"set.npz is not a .npz file"):
        read(path)


@pytest.mark.skipif(not BREAST.exists(), reason="the published breastmnist.npz is not here")
def test_breastmnist_has_its_published_counts():
    images = read(BREAST)
    assert images.shape == (1, 28, 28)
    assert images.classes == ("malignant", "normal, benign")
    assert [images.parts.count(part) for part in ("train", "val", "test")] == [546, 78, 156]
    assert images.counts() == (147 + 21 + 42, 399 + 57 + 114)
