import csv
import io

import numpy as np
import pytest

from augury.errors import DataError, SettingsError
from augury.readers import content_digest, manifest, read
from pictures import SHARED, grey, one_each, pack, png, shown

PATHS = ("scans/1.png", "scans/2.png", "scans/deep/3.png", "scans/4.png")
ROWS = [["path", "label"], *([path, "ab"[i % 2]] for i, path in enumerate(PATHS))]


@pytest.fixture
def place(tmp_path):
    """Four images, as `scans/...`."""
    return one_each(tmp_path / "set", *PATHS)


def text(rows, **form):
    file = io.StringIO()
    csv.writer(file, **form).writerows(rows)
    return file.getvalue()


def table(place, rows, name="table.csv", encoding="utf-8", **form):
    (place / name).write_bytes(text(rows, **form).encode(encoding))
    return place / name


def refused(source, **how):
    with pytest.raises(DataError) as caught:
        read(source, **how)
    return str(caught.value)


# ---- forms of a table


def test_a_table_gives_names_labels_and_pixels_in_its_own_order(place):
    rows = [ROWS[0], *ROWS[:0:-1]]
    images = read(table(place, rows))
    assert images.names == PATHS[::-1]
    assert images.classes == ("a", "b")
    assert images.labels.tolist() == [1, 0, 1, 0]
    assert np.array_equal(shown(images, "scans/2.png")[0], grey(51))
    assert (images.groups, images.parts, dict(images.columns)) == (None, None, {})


@pytest.mark.parametrize(
    ("name", "encoding", "form"),
    [
        ("t.csv", "utf-8", {}),
        ("t.csv", "utf-8-sig", {"lineterminator": "\n"}),
        ("t.csv", "utf-8-sig", {"delimiter": ";"}),
        ("t.tsv", "utf-8", {"delimiter": "\t"}),
        ("t.TSV", "utf-8", {"delimiter": "\t", "lineterminator": "\n"}),
        ("t.csv", "utf-8", {"delimiter": "\t"}),
        ("t.csv", "utf-8", {"quoting": csv.QUOTE_ALL}),
        ("t.csv", "utf-8", {"lineterminator": "\r"}),
    ],
)
def test_encodings_delimiters_and_line_ends_make_no_difference(place, name, encoding, form):
    rows = [ROWS[0], *([path, {"a": "Nävus, groß", "b": 'so "called"; 😀'}[label]] for path, label in ROWS[1:])]
    images = read(table(place, rows, name, encoding, **form))
    assert images.classes == ("Nävus, groß", 'so "called"; 😀')
    assert images.names == PATHS


def test_spaces_empty_lines_and_empty_columns_are_no_content(place):
    (place / "t.csv").write_text("path , label,\n\n scans/1.png , a ,\nscans/2.png,b,\n , ,\n")
    images = read(place / "t.csv")
    assert (images.names, images.classes, dict(images.columns)) == (PATHS[:2], ("a", "b"), {})


def test_labels_that_are_numbers_are_ordered_as_numbers(place):
    rows = [ROWS[0], *([path, label] for path, label in zip(PATHS, ("10", "9", "2", "10"), strict=True))]
    assert read(table(place, rows)).classes == ("2", "9", "10")


def test_group_split_and_further_columns_are_kept(place):
    head = ["label", "age", "split", "path", "group", "site"]
    body = [
        [label, i, part, path, f"p{i // 2}", "x y"]
        for i, ((path, label), part) in enumerate(zip(ROWS[1:], ("train", "Train", "VALID", "test"), strict=True))
    ]
    images = read(table(place, [head, *body]))
    assert images.parts == ("train", "train", "val", "test")
    assert images.groups == ("p0", "p0", "p1", "p1")
    assert dict(images.columns) == {"age": ("0", "1", "2", "3"), "group": images.groups, "site": ("x y",) * 4}


def test_images_without_a_group_stand_for_themselves(place):
    rows = [[*row, group] for row, group in zip(ROWS, ("group", "p1", "", "p1", ""), strict=True)]
    assert read(table(place, rows)).groups == ("p1", "#scans/2.png", "p1", "#scans/4.png")


def test_columns_may_have_other_names(place):
    rows = [["image_id", "dx", "fold"], *([*row, "train"] for row in ROWS[1:])]
    images = read(table(place, rows), columns={"path": "image_id", "label": "dx", "split": "fold"})
    assert (images.names, images.classes, images.parts) == (PATHS, ("a", "b"), ("train",) * 4)


# ---- where the files are


def test_windows_separators_and_dots_are_understood(place):
    rows = [ROWS[0], ["scans\\1.png", "a"], [".\\scans\\2.png", "b"], ["scans//deep/./3.png", "a"]]
    assert read(table(place, rows)).names == PATHS[:3]


@pytest.mark.parametrize("written", ["{stem}", "{stem}.png"])
def test_mere_file_names_are_looked_for_anywhere(place, written):
    rows = [ROWS[0], *([written.format(stem=i), "ab"[i % 2]] for i in (1, 2, 3))]
    assert read(table(place, rows)).names == PATHS[:3]


def test_notes_beside_the_images_do_not_make_a_file_name_ambiguous(place):
    for i in (1, 2):
        (place / f"scans/{i}.txt").write_text("notes")
    assert read(table(place, [ROWS[0], ["1", "a"], ["2", "b"]])).names == PATHS[:2]


def test_a_file_name_that_several_have_is_refused_with_their_paths(place):
    one_each(place, "other/1.png")
    sentence = refused(table(place, [ROWS[0], ["1.png", "a"], ["2.png", "b"]]))
    assert sentence.startswith("1.png stands in line 2 of table.csv, and could mean other/1.png or scans/1.png. Write")


def test_a_table_may_speak_of_an_archive_beside_it(place, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    pack(alone / "other.zip", [])
    pack(alone / "scans.zip", [(f"v1/{path}", (place / path).read_bytes()) for path in PATHS])
    (alone / "broken.zip").write_text("no archive")
    named = tuple(f"v1/{path}" for path in PATHS)
    for prefix in ("v1/", "v1\\"):
        rows = [ROWS[0], *([prefix + path, label] for path, label in ROWS[1:])]
        assert read(table(alone, rows)).names == named
    assert read(table(alone, [ROWS[0], ["1", "a"], ["2", "b"]])).names == named[:2]


@pytest.mark.parametrize("home", ["", "meta/"])
@pytest.mark.parametrize("written", ["scans/{}.png", "{}.png", "{}"])
def test_a_table_inside_an_archive_or_a_folder_is_found(tmp_path, home, written):
    rows = [["path", "label"], *([written.format(i), "ab"[i % 2]] for i in range(4))]
    members = [(f"scans/{i}.png", png(grey(i))) for i in range(4)]
    members.append((f"{home}table.csv", text(rows).encode()))
    images = read(pack(tmp_path / "set.zip", members))
    assert images.names == tuple(f"scans/{i}.png" for i in range(4))
    for name, data in members:
        (tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(data)
    assert read(tmp_path / "plain").digests == images.digests


def test_paths_in_an_archive_are_meant_from_the_folder_of_the_table(tmp_path):
    rows = text([["path", "label"], ["1.png", "a"], ["2.png", "b"]]).encode()
    members = [(f"{home}/{i}.png", png(grey(i))) for home in ("one", "two") for i in (1, 2)]
    path = pack(tmp_path / "set.zip", [*members, ("two/t.csv", rows)])
    assert read(path, columns={"path": "path"}).names == ("two/1.png", "two/2.png")


def test_class_folders_win_over_a_table_unless_columns_are_named(place):
    one_each(place, "a/1.png", "b/1.png")
    (place / "scans").rename(place / "c")
    rows = [["file", "kind"], ["a/1.png", "y"], ["c/1.png", "x"]]
    table(place, rows)
    assert read(place).classes == ("a", "b", "c")
    assert read(place, columns={"path": "file", "label": "kind"}).classes == ("x", "y")


def test_several_tables_are_refused(place):
    table(place, ROWS)
    table(place, ROWS, "more.csv")
    assert refused(place).startswith(
        f"{place} holds 2 tables, more.csv and table.csv among them, and no class folders."
    )


# ---- what is refused

WRONG = {
    "no column": (
        [["file", "label"], ["x", "a"]],
        "t.csv has no column 'path' for the path of each image. Got file, la",
    ),
    "no label": (
        [["path", "dx"], ["x", "a"]],
        "t.csv has no column 'label' for the label of each image. Got path, dx.",
    ),
    "empty": ([], "t.csv is empty: a table with the columns path and label was expected."),
    "blank header": ([["", ""], ["x", "a"]], "t.csv is empty: a table with the columns"),
    "no rows": ([ROWS[0]], "t.csv has a header and no rows: one row per image was expected. Add the images."),
    "twice": ([["path", "label", "path"]], "t.csv has the column 'path' twice. Rename one of them."),
    "short row": ([*ROWS, ["x.png"]], "line 6 of t.csv has 1 cells, the header has 2. Correct it."),
    "long row": ([*ROWS, ["x.png", "a", "b"]], "line 6 of t.csv has 3 cells, the header has 2. Correct it."),
    "empty path": ([*ROWS, ["", "a"]], "line 6 of t.csv has no path. Fill it or remove the row."),
    "empty label": ([*ROWS, ["x.png", " "]], "line 6 of t.csv has no label. Fill it or remove the row."),
    "duplicate": ([*ROWS, ROWS[1]], "scans/1.png stands in lines 2 and 6 of t.csv. Remove one of them."),
    "conflict": (
        [*ROWS, ["scans/1.png", "b"]],
        "scans/1.png stands in lines 2 and 6 of t.csv with the labels 'a' and 'b'. Keep the right one.",
    ),
    "same file": ([*ROWS, ["./scans/1.png", "a"]], "lines 2 and 6 of t.csv both mean scans/1.png. Remove one of them."),
    "part": (
        [["path", "label", "split"], ["scans/1.png", "a", "learn"]],
        "line 2 of t.csv has the split 'learn': train, val or test was expected. Correct it.",
    ),
    "some parts": (
        [["path", "label", "split"], ["scans/1.png", "a", "train"], ["scans/2.png", "b", ""]],
        "line 3 of t.csv has no split while others have one. Fill it.",
    ),
    "one class": ([ROWS[0], ROWS[1]], "at least 2 classes are needed to train a classifier. Got only 'a'"),
    "missing file": (
        [*ROWS, ["scans/5.png", "a"]],
        "scans/5.png stands in line 6 of t.csv, and there is no such file in ",
    ),
    "leads out": (
        [*ROWS, ["../secret.png", "a"]],
        "../secret.png stands in line 6 of t.csv, and leads out of its folder. Put the table into the folder that",
    ),
    "absolute": ([*ROWS, ["/etc/passwd", "a"]], "/etc/passwd stands in line 6 of t.csv, and leads out of its folder."),
    "a folder": ([*ROWS, ["scans/deep", "a"]], "scans/deep stands in line 6 of t.csv, and there is no such file in "),
    "no image": ([*ROWS, ["t.csv", "a"]], "t.csv is not an image: expected PNG"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_table_that_cannot_be_used_is_a_sentence(place, case):
    rows, sentence = WRONG[case]
    assert refused(table(place, rows, "t.csv")).startswith(sentence)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("path,label\nx,ä".encode("latin-1"), "t.csv is not UTF-8 text. Save it as 'CSV UTF-8'."),
        ("path,label\nx,a".encode("utf-16"), "t.csv is not UTF-8 text."),
        (b'path,label\n"x,a', "line 2 of t.csv cannot be read (unexpected end of data). Save it anew as CSV."),
        (b'path,label\n"x"y,a', "line 2 of t.csv cannot be read ("),
        (b"path,label\n" + b"x" * 200_000 + b",a", "line 2 of t.csv cannot be read (field larger than field limit"),
        (b"path,label\nx\0y,a\nz,b", "holds no images that can be read. 2 files cannot be read. x\0y stands in line 2"),
    ],
)
def test_a_file_that_is_no_table_is_a_sentence(place, data, sentence):
    (place / "t.csv").write_bytes(data)
    found = refused(place / "t.csv")
    assert sentence in found


def test_a_link_that_leaves_the_folder_is_no_file_of_a_table(place, tmp_path):
    (tmp_path / "secret.png").write_bytes(png(grey()))
    (place / "scans/link.png").symlink_to(tmp_path / "secret.png")
    assert "there is no such file" in refused(table(place, [*ROWS, ["scans/link.png", "a"]]))


def test_a_named_split_column_must_be_there(place):
    assert "has no column 'fold' for the split" in refused(table(place, ROWS), columns={"split": "fold"})
    with pytest.raises(SettingsError, match=r"there is no column 'group' to be named"):
        read(table(place, ROWS), columns={"group": "patient"})


def test_a_table_too_large_is_refused(place, monkeypatch):
    monkeypatch.setattr(manifest, "MAX_BYTES", 10)
    assert refused(table(place, ROWS)).endswith("bytes: a table of at most 10 was expected. Split it.")


def test_rows_whose_file_cannot_be_read_are_skipped(place):
    (place / "scans/5.png").write_text("no image")
    rows = [*ROWS, ["scans/5.png", "a"], ["scans/6.png", "b"], ["../7.png", "a"]]
    assert read(table(place, rows), skip_unreadable=True).names == PATHS
    assert refused(table(place, rows)).startswith("3 files cannot be read. scans/6.png stands")


def test_labels_stay_as_they_are_however_hostile(place):
    labels = ("../x", "<script>", "=cmd()", "two\nlines")
    images = read(table(place, [ROWS[0], *zip(PATHS, labels, strict=True)]))
    assert set(images.classes) == set(labels)


# ---- the digest


def test_the_digest_knows_the_table_and_the_files_it_names(place):
    path = table(place, ROWS)
    before = content_digest(path)
    one_each(place, "scans/unnamed.png")
    assert content_digest(path) == before
    one_each(place, "scans/4.png", seed=99)
    changed = content_digest(path)
    assert len({before, changed, content_digest(table(place, ROWS[:-1]))}) == 3


# ---- published sets


@pytest.mark.skipif(not (SHARED / "covid_ct.zip").exists(), reason="the published COVID-CT images are not here")
def test_covid_ct_has_its_published_counts():
    images = read(SHARED / "covid_ct_manifest.csv", size=16)
    assert len(images) == 746
    assert dict(zip(images.classes, images.counts(), strict=True)) == {"COVID": 349, "NonCOVID": 397}
    assert [images.parts.count(part) for part in ("train", "val", "test")] == [425, 118, 203]
    assert len(set(images.groups)) == 361


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "ham10000_200x150.zip").exists(), reason="the published HAM10000 is not here")
def test_ham10000_is_read_from_its_archive_with_its_own_columns():
    source = SHARED / "ham10000_200x150.zip"
    images = read(source, size=8, columns={"path": "image_id", "label": "dx"}, group="lesion_id")
    assert dict(zip(images.classes, images.counts(), strict=True)) == {
        **{"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}
    }
    assert len(set(images.groups)) == 7470
    assert set(images.columns) >= {"lesion_id", "age", "sex"}
