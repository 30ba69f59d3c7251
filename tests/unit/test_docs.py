"""The examples of the documentation run, and name every generator."""

import doctest
from pathlib import Path

from augury.generators import GENERATORS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "generators.md"


def test_the_worked_examples_of_the_generators_run():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 15
    assert found.failed == 0


def test_the_worked_examples_of_the_how_to_run():
    found = doctest.testfile(str(DOCS / "how-to.md"), module_relative=False)
    assert (found.attempted, found.failed) == (6, 0)


def test_every_kind_has_its_row():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert all(any(f"`{kind}`" in row.split("|")[1] for row in rows) for kind in GENERATORS)
