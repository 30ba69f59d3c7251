"""Folders, archives and tables of any shape: 1,000 cases."""

import csv
import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.readers import Reading
from fuzzing import (
    ODD_PARTS,
    cases,
    fresh,
    image_files,
    mutated,
    names,
    payloads,
    read_or_refuse,
    readings,
    zip_bytes,
)
from pictures import grey, one_each, png

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a file that fails

KINDS = ("file", "file", "file", "file", "folder", "link", "link out", "dangling", "pipe")


def entries():
    """Return what lies in a folder: (relative name, kind, content)."""
    plain = st.tuples(st.sampled_from(["a/1.png", "b/2.png", "train/a/1.png", "train/b/2.png"]), st.just("file"))
    whole = st.tuples(plain, st.sampled_from(image_files()))
    odd = st.tuples(st.tuples(names(), st.sampled_from(KINDS)), payloads())
    sound = [((f"{label}/0.png", "file"), png(grey(i))) for i, label in enumerate("ab")]
    lists = st.sampled_from([sound, sound, []]), st.lists(whole, max_size=4), st.lists(odd, max_size=5)
    return st.builds(lambda sound, whole, odd: [*sound, *whole, *odd], *lists)


def lay(root: Path, name: str, kind: str, data: bytes) -> None:
    """Put something into a folder, where it can be put."""
    path = root / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():  # a pipe would wait for a reader
            return
        if kind == "file":
            path.write_bytes(data)
        elif kind == "folder":
            path.mkdir(exist_ok=True)
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            target = {"link": root / "a/1.png", "link out": root.parent / "secret.png", "dangling": root / "none"}[kind]
            path.symlink_to(target)
    except (OSError, ValueError, UnicodeError):
        return  # no such name here, or a file stands where a folder should


@cases(300)
@given(found=entries(), how=readings())
def test_any_folder_is_read_or_refused(found, how):
    with fresh() as place:
        (place / "secret.png").write_bytes(png(grey(77)))
        (place / "set").mkdir()
        for (name, kind), data in found:
            lay(place / "set", name, kind, data)
        result = read_or_refuse(place / "set", how)
        if isinstance(result, Reading):
            assert all(not (place / "set" / name).resolve().name.startswith("secret") for name in result.images.names)


def members():
    """Return what is packed: (name, or its entry with odd marks; content)."""
    extra = st.sampled_from(["../{}", "/{}", "C:\\{}", "x\\..\\..\\{}", "./{}", "{}/", "{}//1.png", "data/{}", "{}"])
    name = st.builds(lambda form, inner: form.format(inner.encode("utf-8", "replace").decode()), extra, names())
    plain = st.sampled_from(["s/a/1.png", "s/b/2.png", "s/t.csv", "a/1.png", "b/2.png"])
    mode = st.sampled_from([0, 0, 0, 0xA1FF, 0x11ED])  # of nothing, a link, a pipe
    sound = [(f"{label}/0.png", png(grey(i)), 0) for i, label in enumerate("ab")]
    odd = st.lists(st.tuples(plain | name, payloads(), mode), max_size=5)
    return st.builds(lambda sound, odd: [*sound, *odd], st.sampled_from([sound, sound, []]), odd)


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.external_attr, found.create_system = mode << 16, 3
    return found


@cases(300)
@given(
    data=st.data(),
    found=members(),
    packing=st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2]),
    how=readings(),
    damaged=st.sampled_from([False, False, True]),
)
def test_any_archive_is_read_or_refused_and_nothing_is_unpacked(data, found, packing, how, damaged):
    packed = zip_bytes([(entry(name, mode), content) for name, content, mode in found], packing)
    with fresh() as place:
        (place / "set.zip").write_bytes(data.draw(mutated(packed)) if damaged else packed)
        read_or_refuse(place / "set.zip", how)
        assert [path.name for path in place.iterdir()] == ["set.zip"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images beside which tables are written, and an archive of some of them."""
    root = one_each(tmp_path_factory.mktemp("tables"), "a/1.png", "a/2.png", "b/1.png", "b/3.png", "b/d/4.png")
    (root / "packed.zip").write_bytes(zip_bytes([(f"z/{i}.png", png(grey(i))) for i in range(4)]))
    return root


PATHS = ("a/1.png", "a/2.png", "a/2.png", "b/3.png", "b/3.png", "z/0.png", "./a/2.png", "a\\1.png")
HEADS = ("path", "label", "split", "group", "site", "file", "fold", "age", " path ", "Label", "", "path")


def cells():
    odd = st.sampled_from([*ODD_PARTS, "", "train", "test", "../x.png", "/etc/passwd", "4", "3.png", "0", "table.csv"])
    cell = st.one_of(st.sampled_from(PATHS), st.sampled_from(["a", "b", "0", "10"]), odd, st.text(max_size=5))
    return st.lists(st.lists(cell, min_size=1, max_size=5), max_size=8)


def headed():
    return st.builds(lambda head, rows: [head, *rows], st.permutations(HEADS[:5]), cells())


def proper():
    """Return tables that are nearly right."""
    row = st.tuples(st.sampled_from(PATHS), st.sampled_from("abc"), st.sampled_from(["train", "val", "train", "odd"]))
    heads = st.sampled_from([("path", "label", "split"), ("path", "label", "group"), ("path", "label", "site")])
    sound = [("b/d/4.png", "a", "train"), ("b/1.png", "b", "train")]
    rows = st.lists(row, max_size=4, unique_by=lambda row: row[0])
    return st.builds(lambda head, rows: [head, *sound, *rows], heads, rows)


def table_bytes(rows, delimiter, encoding, ends):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=ends).writerows(rows)
    return file.getvalue().encode(encoding, "replace")


@cases(400)
@given(
    data=st.data(),
    rows=st.one_of(proper(), proper(), headed(), cells()),
    delimiter=st.sampled_from(",,;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    end=st.sampled_from(["csv", "tsv"]),
    how=readings(),
    damaged=st.integers(0, 4),
)
def test_any_table_is_read_or_refused(place, data, rows, delimiter, encoding, ends, end, how, damaged):
    written = table_bytes(rows, delimiter, encoding, ends)
    table = place / f"table.{end}"
    table.write_bytes(data.draw(mutated(written)) if not damaged else written)
    result = read_or_refuse(table, how)
    table.unlink()
    if isinstance(result, Reading):
        assert not any(".." in name.split("/") or name.startswith("/") for name in result.images.names)
