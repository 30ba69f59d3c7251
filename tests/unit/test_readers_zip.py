import gc
import stat
import struct
import warnings
import zipfile

import numpy as np
import pytest

from augury.errors import DataError, SettingsError
from augury.readers import ReadSettings, archive, content_digest, read, read_source
from pictures import grey, pack, png, shown

PACKED = [("a/1.png", png(grey(1))), ("a/2.png", png(grey(2))), ("b/1.png", png(grey(3))), ("b/2.png", png(grey(4)))]


@pytest.fixture
def zipped(tmp_path):
    """Return a function that packs members beside the usual four and returns the archive's path."""
    return lambda *more, **how: pack(tmp_path / "set.zip", [*PACKED, *more], **how)


def skipped(path):
    reading = read_source(path, ReadSettings(skip_unreadable=True))
    assert len(reading.images) == 4
    return dict(reading.skipped)


def test_an_archive_reads_as_the_folder_it_would_become(zipped, tmp_path):
    path = zipped()
    with zipfile.ZipFile(path) as file:
        file.extractall(tmp_path / "folder")
    images, plain = read(path), read(tmp_path / "folder")
    assert (images.names, images.classes, images.digests) == (plain.names, plain.classes, plain.digests)
    assert np.array_equal(shown(images, "b/2.png")[0], grey(4))
    assert {found.name for found in tmp_path.iterdir()} == {"set.zip", "folder"}


def test_stored_members_are_read(zipped):
    assert np.array_equal(shown(read(zipped(compression=zipfile.ZIP_STORED)), "a/1.png")[0], grey(1))


def test_folders_around_macos_leftovers_and_hidden_files_make_no_difference(tmp_path):
    members = [(f"My set/v1/{name}", data) for name, data in PACKED]
    leftovers = [("__MACOSX/My set/v1/a/._1.png", b"x"), ("My set/v1/a/._1.png", b"x"), ("My set/.DS_Store", b"x")]
    images = read(pack(tmp_path / "set.zip", [("My set/", b""), *members, *leftovers]))
    assert (len(images), images.classes) == (4, ("a", "b"))


def held_in_a_cycle(path):
    tree = archive.ZipTree(path)
    tree.holder = [tree]
    return tree.holder, tree._archive.fp


def test_an_archive_that_is_part_of_a_cycle_is_closed_in_silence(zipped):
    path = zipped()
    gc.collect()
    gc.disable()
    try:
        holder, file = held_in_a_cycle(path)
        gc.collect(0)  # the collector comes to the file before the archive from here on
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            del holder, file
            gc.collect()
    finally:
        gc.enable()
    assert not heard


def test_windows_separators_and_folder_entries_are_understood(tmp_path):
    members = [("a\\", b""), ("a\\sub\\", b""), *((name.replace("/", "\\"), data) for name, data in PACKED)]
    assert read(pack(tmp_path / "set.zip", members)).names == tuple(name for name, _ in PACKED)


def test_parts_inside_an_archive_are_given_parts(tmp_path):
    members = [(f"{part}/{name}", data) for part in ("train", "val", "test") for name, data in PACKED]
    assert read(pack(tmp_path / "set.zip", members)).parts == ("test",) * 4 + ("train",) * 4 + ("val",) * 4


def test_an_empty_class_folder_of_an_archive_is_an_error(zipped):
    with pytest.raises(DataError, match=r"the class folder 'c' holds no images"):
        read(zipped(("c/", b"")))


def test_an_archive_in_an_archive_is_no_image(zipped, tmp_path):
    inner = pack(tmp_path / "inner.zip", PACKED).read_bytes()
    with pytest.raises(DataError, match=r"^a/inner.zip is not an image file: expected PNG"):
        read(zipped(("a/inner.zip", inner)))


# ---- hostile members


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png", "a/x/../../../y.png"]
)
def test_names_that_lead_out_are_refused_or_skipped_and_nothing_is_written(zipped, tmp_path, name):
    path = zipped((name, png(grey())))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"leads out of the archive. Pack it anew, with relative names."):
        read(path)
    assert list(skipped(path).values()) == ["leads out of the archive. Pack it anew, with relative names."]
    assert sorted(tmp_path.rglob("*")) == before


def link(name):
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def test_links_are_not_followed(zipped):
    path = zipped((link("a/link.png"), b"/etc/passwd"))
    with pytest.raises(DataError, match=r"^a/link.png is a link, which is not followed. Pack the file itself."):
        read(path)
    assert list(skipped(path)) == ["a/link.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")  # by which zipfile warns who writes one
def test_a_name_that_stands_twice_is_refused(zipped):
    path = zipped(("a/1.png", png(grey(9))))
    with pytest.raises(DataError, match=r"^a/1.png stands in the archive twice. Pack it anew."):
        read(path)
    assert list(skipped(path)) == ["a/1.png"]


def patched(path, at, value, form):
    """Change a number in each local header and each entry of the directory of an archive."""
    data = bytearray(path.read_bytes())
    for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        place = data.find(mark)
        while place >= 0:
            struct.pack_into(form, data, place + at + shift, value)
            place = data.find(mark, place + 4)
    path.write_bytes(data)
    return path


def test_encrypted_members_are_refused(zipped):
    with pytest.raises(DataError, match=r"a/1.png is encrypted. Pack it without a password."):
        read(patched(zipped(), 6, 1, "<H"))


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99])
def test_other_packings_are_refused(zipped, packing):
    with pytest.raises(DataError, match=r"a/1.png is packed in an unusual way. Pack it anew as a plain zip archive"):
        read(patched(zipped(), 8, packing, "<H"))


# ---- broken archives and bombs


def test_a_truncated_archive_and_other_files_are_no_archives(zipped, tmp_path):
    path = zipped()
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"set.zip cannot be opened as a zip archive \(.*\). Pack it anew."):
        read(path)
    (tmp_path / "other.zip").write_text("hello")
    with pytest.raises(DataError, match=r"other.zip cannot be opened as a zip archive"):
        content_digest(tmp_path / "other.zip")


def test_damaged_members_are_named(zipped):
    path = zipped(compression=zipfile.ZIP_STORED)
    data = path.read_bytes()
    at = data.find(b"IDAT")
    path.write_bytes(data[:at] + b"IDAX" + data[at + 4 :])
    with pytest.raises(DataError, match=r"^a/1.png cannot be unpacked \(Bad CRC-32.*\). Pack the archive anew."):
        read(path)
    assert len(read(path, skip_unreadable=True)) == 3


def test_declared_bombs_are_refused(zipped, monkeypatch):
    path = zipped(("a/bomb.png", bytes(2_000_000)))
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 1_000_000)
    monkeypatch.setattr("augury.readers.tree.MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(DataError, match=r"^a/bomb.png has 2,000,000 bytes, at most 1,000,000 are read"):
        read(path)
    monkeypatch.setattr(archive, "MAX_TREE_BYTES", 1_000_000)
    with pytest.raises(DataError, match=r"set.zip expands to 2,\d+,\d+ bytes, at most 1,000,000 are read. Use a part"):
        read(path)


def test_an_archive_that_declares_less_than_it_holds_takes_no_memory(tmp_path):
    """64 MB that are declared as 40 bytes: never more than a few megabytes of them are held."""
    import tracemalloc

    path = pack(tmp_path / "set.zip", [("a/1.png", bytes(64 * 2**20)), ("b/1.png", png(grey()))])
    patched(path, 22, 40, "<I")  # for both members: the second cannot be unpacked either
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"a/1.png cannot be unpacked"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


# ---- the rest


def test_the_digest_of_an_archive_is_that_of_its_bytes(zipped):
    first = content_digest(zipped())
    assert len(first) == 64
    assert content_digest(zipped(("a/3.png", png(grey(8))))) != first


def test_columns_mean_nothing_where_there_is_no_table(zipped):
    with pytest.raises(SettingsError, match=r"columns were named, and set.zip is no table and holds none. Leave them"):
        read(zipped(), columns={"path": "x"})
