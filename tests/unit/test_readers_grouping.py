import pytest

from augury.errors import DataError, SettingsError
from augury.readers import read
from augury.readers.grouping import check_rule
from pictures import grey, one_each, save

PATHS = ("a/p1/left_1.png", "a/p1/left_2.png", "a/p2/left_1.png", "b/p3/right_1.png", "b/p3/right_2.png")


@pytest.fixture
def folder(tmp_path):
    return one_each(tmp_path / "set", *PATHS)


def test_nothing_is_grouped_unless_something_says_so(folder):
    assert read(folder).groups is None
    assert read(folder, group="none").groups is None


def test_folders_below_the_class_folders_can_be_groups(folder):
    assert read(folder, group="folder").groups == ("a/p1", "a/p1", "a/p2", "b/p3", "b/p3")


def test_folders_are_groups_however_deep_some_images_lie(folder):
    save(folder / "a/loose.png", grey(99))
    assert "a" in read(folder, group="folder").groups


def test_class_folders_alone_make_no_groups(tmp_path):
    one_each(tmp_path, "a/1.png", "b/1.png")
    with pytest.raises(DataError, match=r"needs a folder for each group, such as class/patient/image.png. Got a/1.png"):
        read(tmp_path, group="folder")


def test_images_without_folders_make_no_groups(tmp_path):
    with pytest.raises(DataError, match=r"Got 0: the images lie directly in their class folders, or in none"):
        read("digits", group="folder")
    one_each(tmp_path, "1.png", "p1/2.png", "p1/3.png")
    (tmp_path / "t.csv").write_text("path,label\n1.png,a\np1/2.png,b\np1/3.png,a\n")
    assert read(tmp_path / "t.csv", group="folder").groups == ("#1.png", "p1", "p1")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (r"(?P<group>\w+)_\d", ("left", "left", "left", "right", "right")),
        (r"/(?P<group>p\d)/", ("p1", "p1", "p2", "p3", "p3")),
        (r"^(?P<group>[^/]+)/", ("a", "a", "a", "b", "b")),
        (r"_(?P<group>[[\d]+)", ("1", "2", "1", "1", "2")),  # python warns of the bracket
    ],
)
def test_a_pattern_is_looked_for_in_the_file_name_or_with_a_slash_in_the_path(folder, rule, expected):
    assert read(folder, group=rule).groups == expected


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (r"(?P<group>left)_", r"finds no group in b/p3/right_1.png: its file name does not match. Change the pattern"),
        (r"/(?P<group>p[12])/", r"finds no group in b/p3/right_1.png: its path does not match"),
        (r"(?P<group>x?)", r"finds no group in a/p1/left_1.png"),
        (r"left|(?P<group>right)", r"finds no group in a/p1/left_1.png"),
    ],
)
def test_a_pattern_must_find_a_group_in_every_name(folder, rule, sentence):
    with pytest.raises(DataError, match=sentence):
        read(folder, group=rule)


@pytest.mark.parametrize("rule", [r"(?P<group>(", r"(?P<group>a)(?P<group>b)", r"(?P<group>a{99999999999})"])
def test_a_broken_pattern_is_refused_before_anything_is_read(rule):
    with pytest.raises(SettingsError, match=r"group is not a regular expression: .* Got "):
        check_rule(rule)


def test_a_rule_that_is_nothing_names_the_nearest(folder):
    with pytest.raises(SettingsError, match=r"group must be a column, 'folder', .* Got 'foldr': did you mean 'folder'"):
        read(folder, group="foldr")


def test_a_column_groups_and_must_be_full(folder):
    (folder / "t.csv").write_text(
        "path,label,eye,who\n" + "".join(f"{path},{path[0]},x,{path[2:4]}\n" for path in PATHS)
    )
    assert read(folder / "t.csv", group="who").groups == ("p1", "p1", "p2", "p3", "p3")
    with pytest.raises(SettingsError, match=r"Got 'whom': did you mean 'who'"):
        read(folder / "t.csv", group="whom")
    (folder / "t.csv").write_text(f"path,label,who\n{PATHS[0]},a,x\n{PATHS[3]},b,\n")
    with pytest.raises(DataError, match=r"the column 'who' is empty for b/p3/right_1.png. Fill it, or group by"):
        read(folder / "t.csv", group="who")


def test_the_group_column_can_be_left_out(folder):
    (folder / "t.csv").write_text("path,label,group\n" + "".join(f"{path},{path[0]},x\n" for path in PATHS))
    assert set(read(folder / "t.csv").groups) == set(read(folder / "t.csv", group="group").groups) == {"x"}
    assert read(folder / "t.csv", group="none").groups is None
