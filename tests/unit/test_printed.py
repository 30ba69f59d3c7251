"""Printed tables that can be true, and that cannot."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import precision_recall_fscore_support

from augury.cli import main
from augury.errors import DataError
from augury.printed import PrintedClass, implied, read_printed

# the report of the conditional WGAN on ISIC 2019, real images only; 30 % of each class of the set
SUPPORT = {"MEL": 1357, "NV": 3863, "BCC": 997, "AK": 260, "BKL": 787, "DF": 72, "VASC": 76, "SCC": 188}
ISIC = {"MEL": (0.22, 0.07, 0.11), "NV": (0.34, 0.77, 0.47), "BCC": (0.33, 0.08, 0.11), "BKL": (0.09, 0.06, 0.07)}
# the report of two DCGANs: malignant, benign; accuracy
DCGAN = [
    ((0.70, 0.96, 0.81), (0.95, 0.66, 0.78), 0.80),
    ((0.74, 0.94, 0.83), (0.94, 0.73, 0.82), 0.83),
    ((0.80, 0.86, 0.83), (0.88, 0.82, 0.84), 0.84),
]


def isic(**changes):
    return [PrintedClass(name, SUPPORT[name], *{**ISIC, **changes}.get(name, (0.0, 0.0, 0.0))) for name in SUPPORT]


def test_the_table_of_the_first_report_cannot_be_true():
    found = implied(isic(), accuracy=0.33)
    assert found.accuracy == pytest.approx((0.42, 0.42), abs=0.01)
    assert found.called["NV"][0] > found.images == 7600
    said = " ".join(found.contradictions)
    assert "NV: with precision 0.34 and recall 0.77 at least" in said
    assert "an accuracy of 0.33 is printed, and the recalls imply 0.416 to 0.425" in said
    assert "the classes together were called at least 9," in said


@pytest.mark.parametrize(("malignant", "benign", "accuracy"), DCGAN)
def test_the_tables_of_the_third_report_can(malignant, benign, accuracy):
    rows = [PrintedClass("malignant", 300, *malignant), PrintedClass("benign", 360, *benign)]
    assert implied(rows, accuracy=accuracy).contradictions == ()
    assert "is printed, and the recalls imply" in implied(rows, accuracy=accuracy + 0.03).contradictions[0]


@given(arrays(np.int64, (3, 3), elements=st.integers(0, 60)), st.integers(1, 4))
def test_what_was_rounded_from_counts_never_contradicts_itself(confusion, digits):
    confusion = confusion + np.eye(3, dtype=np.int64)  # each class has an image
    labels, told = (np.repeat(place, confusion.ravel()) for place in (np.arange(9) // 3, np.arange(9) % 3))
    scores = precision_recall_fscore_support(labels, told, zero_division=0)
    rows = [
        PrintedClass(str(i), int(n), *(round(float(v), digits) for v in (p, r, f)))
        for i, (p, r, f, n) in enumerate(zip(*scores, strict=True))
    ]
    found = implied(rows, digits=digits, accuracy=round(float((labels == told).mean()), digits))
    assert found.contradictions == ()
    assert found.accuracy[0] - 1e-9 <= (labels == told).mean() <= found.accuracy[1] + 1e-9
    for i, (low, high) in enumerate(found.called.values()):
        assert low - 1e-6 <= (told == i).sum() <= high + 1e-6


def test_a_recall_that_no_count_gives_is_named():
    said = implied([PrintedClass("a", 3, 0.5, 0.50), PrintedClass("b", 3, 0.5, 0.67)]).contradictions
    assert "a: no number of hits among 3 images gives a recall of 0.50." in said


def test_classes_that_are_called_too_seldom_are_named():
    said = implied([PrintedClass("a", 100, 1.0, 0.50), PrintedClass("b", 100, 1.0, 0.50)]).contradictions
    assert said == ("the classes together were called at most 100 times, and there are 200 images.",)


@pytest.mark.parametrize("row", [("a", 0, 0.5, 0.5), ("a", 3, 1.5, 0.5), ("a", 3, 0.5, float("nan"))])
def test_what_no_table_holds_is_refused(row):
    with pytest.raises(DataError, match="class 'a': a support of 1 or more and shares of 0 to 1 were expected"):
        implied([PrintedClass(*row)])


@pytest.mark.parametrize("rows", [[], [PrintedClass("a", 3, 0.5, 0.33), PrintedClass("a", 3, 0.5, 0.67)]])
def test_a_table_has_rows_of_different_classes(rows):
    with pytest.raises(DataError, match=rf"each of another class, were expected\. Got {len(rows)} rows"):
        implied(rows)


def called(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["augury", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_command_ends_in_1_where_a_table_contradicts_itself(tmp_path, monkeypatch, capsys):
    lines = ["class,support,precision,recall,f1", "malignant,300,.70,.96,.81", "benign,360,.95,.66,.78"]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    assert called(monkeypatch, "check", tmp_path / "table.csv", "--accuracy", "0.80") == 0
    assert "nothing contradicts itself: the table can be true" in capsys.readouterr().out
    assert called(monkeypatch, "check", tmp_path / "table.csv", "--accuracy", "0.90") == 1
    said = capsys.readouterr().out
    assert "it cannot be true as printed:" in said
    assert "an accuracy of 0.90 is printed" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "a table was expected at .*table.csv. Got nothing readable"),
        ("class,support,precision\na,3,0.5", "needs rows with the columns class, support, .* Missing: recall"),
        ("class,support,precision,recall", "needs rows with the columns"),
        (
            "class,support,precision,recall\na,3,0.5,high",
            "line 2 of table.csv holds a cell that is no number: a, 3, 0.5, high",
        ),
        ("class,support,precision,recall\na,3.5,0.5,0.5", "line 2 of table.csv holds a cell that is no number"),
    ],
)
def test_a_file_that_holds_no_such_table_says_so(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=sentence):
        read_printed(tmp_path / "table.csv")
