import os
import shutil
import socket

import numpy as np
import pytest

from augury.errors import DataError
from augury.images import pixel_digest
from augury.readers import ReadSettings, content_digest, read, read_source, tree
from pictures import grey, one_each, png, save, two_classes


@pytest.fixture
def folder(tmp_path):
    return two_classes(tmp_path / "data")


def skipping(source):
    """Read on without what cannot be read; return the names that stay and those that were skipped, with reasons."""
    reading = read_source(source, ReadSettings(skip_unreadable=True))
    return reading.images.names, dict(reading.skipped)


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
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert len(read(folder)) == 4


def test_part_folders_give_parts_and_may_be_called_validation(folder, tmp_path):
    for part in ("train", "Validation", "test"):
        shutil.copytree(folder, tmp_path / "parted" / part)
    images = read(tmp_path / "parted")
    assert images.classes == ("a", "b")
    assert [images.parts.count(part) for part in ("train", "val", "test")] == [4, 4, 4]
    assert dict(zip(images.names, images.parts, strict=True))["Validation/a/1.png"] == "val"


def test_a_class_may_be_called_train_but_parts_never_stand_beside_classes(folder):
    (folder / "a").rename(folder / "train")
    assert read(folder).classes == ("b", "train")
    shutil.copytree(folder / "train", folder / "test")
    with pytest.raises(DataError, match=r"'test' and 'train' stand beside 'b': expected either parts .* or classes"):
        read(folder)


@pytest.mark.parametrize("wrap", ["set", "set/images/v1"])
@pytest.mark.parametrize("parts", [("",), ("train/", "test/")])
def test_folders_around_all_class_folders_make_no_difference(tmp_path, wrap, parts):
    paths = [f"{part}{name}" for part in parts for name in ("a/1.png", "b/sub/2.png")]
    plain = read(one_each(tmp_path / "plain", *paths))
    one_each(tmp_path / "wrapped" / wrap, *paths)
    (tmp_path / "wrapped" / "notes").mkdir()
    (tmp_path / "wrapped" / "notes" / "readme.txt").write_text("x")
    images = read(tmp_path / "wrapped")
    assert (images.classes, images.parts, images.digests) == (plain.classes, plain.parts, plain.digests)


def test_class_names_may_be_hostile_and_stay_as_they_are(tmp_path):
    names = ["<script>alert(1)</script>".replace("/", "|"), "=cmd()", "new\nline", "😀", "..x", "a' OR 1", "\x1b[2J"]
    one_each(tmp_path, *(f"{name}/1.png" for name in names))
    assert set(read(tmp_path).classes) == {name for name in names if not name.startswith(".")}


def test_names_that_are_not_unicode_are_read_digested_and_saved(tmp_path, folder):
    odd = os.fsdecode(b"\xff\xfe.png")
    try:
        (folder / "a" / odd).write_bytes(png(grey(9)))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    images = read(folder)
    assert f"a/{odd}" in images.names
    assert len(content_digest(folder)) == 64
    (tmp_path / "kept").mkdir()
    images.save(tmp_path / "kept")
    assert type(images).load(tmp_path / "kept").names == images.names


def test_folders_may_be_nested_deeply(folder):
    place = folder / "a"
    here = os.open(place, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    with os.fdopen(os.open("deep.png", os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        file.write(png(grey(9)))
    os.close(here)
    assert sum(name.endswith("d/deep.png") for name in read(folder).names) == 1


# ---- what is refused


def test_a_class_without_training_images_is_an_error(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "parted" / "test")
    shutil.copytree(folder / "a", tmp_path / "parted" / "train" / "a")
    with pytest.raises(DataError, match=r"class 'b' has no images in the train part"):
        read(tmp_path / "parted")


def test_too_few_classes_and_empty_folders_are_errors(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no folders: one folder of images per class was expected"):
        read(tmp_path / "empty")
    (tmp_path / "empty" / "train").mkdir()
    with pytest.raises(DataError, match=r"holds no images that can be read. Expected some of PNG.*: add images"):
        read(tmp_path / "empty")
    shutil.rmtree(folder / "b")
    with pytest.raises(DataError, match=r"at least 2 classes .* Got only 'a': add images of another class"):
        read(folder)
    (folder / "c").mkdir()
    with pytest.raises(DataError, match=r"the class folder 'c' holds no images. Add images or remove the folder"):
        read(folder)


BROKEN = {
    "truncated.png": (png(grey())[:80], r"cannot be read as an image \(.*\)\. Replace it or remove it\."),
    "text.png": (b"hello", r"is not an image: expected PNG.* Replace it or remove it\."),
    "empty.png": (b"", r"is not an image: expected PNG.* Replace it or remove it\."),
    "notes.txt": (b"hello", r"is not an image file: expected PNG.* Convert it or remove it\."),
    "../stray.png": (png(grey()), r"lies in no class folder. Move it into the folder of its class\."),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_image_is_named_or_skipped(folder, name):
    data, reason = BROKEN[name]
    (folder / "a" / name).write_bytes(data)
    named = name.removeprefix("../") if name.startswith("..") else f"a/{name}"
    with pytest.raises(DataError, match=f"^{named} {reason} To go on without it: --skip-unreadable.$"):
        read(folder)
    names, skipped = skipping(folder)
    assert len(names) == 4
    assert list(skipped) == [named]


def test_many_bad_files_are_counted_and_the_first_are_named(folder):
    for i in range(5):
        (folder / "a" / f"{i}.jpg").write_text("x")
    with pytest.raises(DataError) as caught:
        read(folder)
    message = str(caught.value)
    assert message.startswith("5 files cannot be read. a/0.jpg is not an image")
    assert message.endswith("And 2 more: augury look DATA lists them. To go on without them: --skip-unreadable.")
    assert message.count("is not an image") == 3


def test_skipping_stops_where_a_class_or_everything_is_lost(folder):
    for path in (folder / "b").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"class 'b' has no images \(2 files could not be read\)"):
        skipping(folder)
    for path in (*(folder / "a").glob("*.png"), folder / "a/deep/er/2.bmp"):
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"^4 files cannot be read.*And 1 more: augury look DATA lists them.$"):
        skipping(folder)


def outside(folder, tmp_path):
    save(tmp_path / "outside.png", grey())
    (folder / "a/odd.png").symlink_to(tmp_path / "outside.png")


def to_folder(folder, tmp_path):
    (folder / "a/odd.png").symlink_to(folder / "a")


def dangling(folder, tmp_path):
    (folder / "a/odd.png").symlink_to(folder / "a/nothing.png")


def in_circles(folder, tmp_path):
    (folder / "a/odd.png").symlink_to(folder / "a/odd.png")


def pipe(folder, tmp_path):
    os.mkfifo(folder / "a/odd.png")


def listening(folder, tmp_path):
    with socket.socket(socket.AF_UNIX) as open_socket:
        os.chdir(folder / "a")  # the name of a socket must be short
        open_socket.bind("odd.png")


ODD = {
    outside: "is a link that leaves the folder. Copy the file to its place instead.",
    to_folder: "is a link to a folder, which is not followed. Copy the files instead.",
    dangling: "is a link to nothing. Remove it.",
    in_circles: "is a link to nothing. Remove it.",
    pipe: r"is no file \(a pipe, a socket or a device\). Remove it.",
    listening: r"is no file \(a pipe, a socket or a device\). Remove it.",
}


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_links_that_leave_and_what_is_no_file_is_refused_or_skipped(folder, tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    make(folder, tmp_path)
    with pytest.raises(DataError, match=f"^a/odd.png {ODD[make]}"):
        read(folder)
    names, skipped = skipping(folder)
    assert (len(names), list(skipped)) == (4, ["a/odd.png"])


def test_links_may_stay_in_the_folder(folder):
    (folder / "a/link.png").symlink_to(folder / "a/1.png")
    (folder.parent / "also").symlink_to(folder)
    assert len(read(folder)) == 5
    assert read(folder.parent / "also").digests == read(folder).digests


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_rights_are_named(folder):
    (folder / "a/1.png").chmod(0)
    with pytest.raises(DataError, match=r"^a/1.png cannot be opened \(Permission denied\). Check its rights"):
        read(folder)
    (folder / "a").chmod(0)
    with pytest.raises(DataError, match=r"the class folder a cannot be opened \(Permission denied\)"):
        read(folder)
    folder.chmod(0)
    with pytest.raises(DataError, match=r"the folder .* cannot be opened \(Permission denied\)"):
        read(folder)


@pytest.mark.parametrize(("closed", "sentence"), [("a", "the class folder a cannot"), ("", "the folder .*data cannot")])
def test_a_folder_that_may_not_be_listed_is_named(folder, monkeypatch, closed, sentence):
    really = os.scandir

    def scandir(path):
        if os.fspath(path).rstrip("/") == os.fspath(folder / closed):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=rf"{sentence} be opened \(Permission denied\). Check it"):
        read(folder)


def test_a_file_that_vanishes_or_is_too_large_is_named(folder, monkeypatch):
    monkeypatch.setattr(tree, "MAX_FILE_BYTES", 300)
    with pytest.raises(DataError, match=r"a/deep/er/2.bmp has [\d,]+ bytes, at most 300 are read. Make it smaller"):
        read(folder)
    assert skipping(folder)[0] == ("a/1.png", "b/1.png", "b/2.PNG")


# ---- the digest


def test_the_digest_of_a_folder_knows_names_and_bytes_but_not_the_place(folder, tmp_path):
    before = content_digest(folder)
    assert content_digest(shutil.copytree(folder, tmp_path / "elsewhere")) == before
    (folder / "README.txt").write_text("no image")
    assert content_digest(folder) == before
    (folder / "a/1.png").rename(folder / "a/0.png")
    renamed = content_digest(folder)
    save(folder / "a/0.png", grey(77))
    assert len({before, renamed, content_digest(folder)}) == 3
