import re

import numpy as np
import pytest
from PIL import Image

from augury.errors import DataError, SettingsError
from augury.look import look, write_sheet

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Look at two classes, one of them with a hostile name, of 5 and 20 pictures."""
    root = tmp_path_factory.mktemp("set")
    numbers = np.random.default_rng(0)
    for name, count in (("plain", 5), (HOSTILE.replace("/", "_"), 20)):
        (root / name).mkdir()
        for i in range(count):
            Image.fromarray(numbers.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return look(root)


def test_a_png_sheet_holds_a_row_of_pictures_for_each_class(seen, tmp_path):
    write_sheet(seen, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    coloured = (pixels.max(axis=2) - pixels.min(axis=2)) > 30
    rows = np.flatnonzero(np.diff(coloured.any(axis=1).astype(int)) == 1)
    assert len(rows) == 2
    widths = [int(coloured[row + 1 : row + 100].any(axis=0).sum()) for row in rows]
    # the shorter row comes second: classes stand in order of their names
    assert widths[0] > 2 * widths[1] > 4 * 100


def test_an_html_sheet_shows_at_most_twelve_of_a_class_and_escapes_names(seen, tmp_path):
    write_sheet(seen, tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("<img ") == 12 + 5
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert all(uri.startswith("data:image/png;base64,") for uri in re.findall('src="([^"]*)"', page))
    assert "href" not in page
    assert "no exact duplicates" in page


def test_the_same_seed_shows_the_same_images(seen, tmp_path):
    for name, seed in (("a.html", 1), ("b.html", 1), ("c.html", 2)):
        write_sheet(seen, tmp_path / name, seed=seed)
    a, b, c = ((tmp_path / name).read_text() for name in ("a.html", "b.html", "c.html"))
    assert a == b != c


def test_another_kind_of_file_and_a_place_that_cannot_be_written_are_refused(seen, tmp_path):
    with pytest.raises(SettingsError, match=r"a contact sheet is a .png or .html file. Got 'sheet.pdf'"):
        write_sheet(seen, tmp_path / "sheet.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_sheet(seen, tmp_path / "file" / "sheet.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
