"""The examples of the documentation run, its commands and settings exist, and it names every generator."""

import doctest
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from augury.cli import app
from augury.generators import GENERATORS
from augury.study import load_study

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = DOCS / "generators.md"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
BASE = """
[data]
source = "digits"

[[arms]]
name = "real"

[[arms]]
name = "blend"
generator = "blend"
amounts = ["balance"]
"""
KNOWN = {"generators": ("cvae", "wgan_gp", "blend"), "classifiers": ("small_cnn",)}  # what blocks build on


def study_around(text):
    """Return a study file that lacks what a block names, and has what it builds on."""
    stated = tomllib.loads(text)
    lines = [BASE, '[[classifiers]]\nkind = "vgg16"' if "vgg16" in text else ""]
    for table, kinds in KNOWN.items():
        rows = stated.get(table, [])
        named = {row.get("name", row["kind"]) for row in rows} if isinstance(rows, list) else set()
        lines += [f'[[{table}]]\nkind = "{kind}"' for kind in kinds if kind not in named]
    return "\n".join(lines)


def blocks(page, language):
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page):
    """Return the commands of the program that a page shows."""
    text = "\n".join([*blocks(page, "sh"), *blocks(page, "")]).replace("\\\n", " ")
    lines = [part.strip() for line in text.splitlines() for part in line.split("&&")]
    return [line for line in lines if re.match(r"augury [a-z]+( |$)", line)]


SHOWN = [(page.name, line) for page in PAGES for line in commands(page)]
SETTINGS = [(page.name, i, text) for page in PAGES for i, text in enumerate(blocks(page, "toml"))]


def test_the_worked_examples_of_the_generators_run():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 15
    assert found.failed == 0


def test_the_worked_examples_of_the_how_to_run():
    found = doctest.testfile(str(DOCS / "how-to.md"), module_relative=False)
    assert (found.attempted, found.failed) == (6, 0)


def test_commands_and_settings_are_found():
    assert len(SHOWN) > 20
    assert len(SETTINGS) > 15


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_every_command_that_is_shown_can_be_given(page, line):
    root = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    context = root.make_context("augury", list(words))
    name, command, rest = root.resolve_command(context, words)
    assert command.make_context(name, rest, parent=context).params


@pytest.mark.parametrize(("page", "i", "text"), SETTINGS)
def test_every_setting_that_is_shown_is_one(page, i, text, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "my_module.py").write_text("from augury import CVAE as MyGenerator\n", encoding="utf-8")
    (tmp_path / "isic.toml").write_text(study_around(text), encoding="utf-8")
    path = tmp_path / "study.toml"
    path.write_text(text if text.startswith("extends") else f'extends = "isic.toml"\n{text}', encoding="utf-8")
    assert load_study(path, allow_plugins=True).arms


def test_every_kind_has_its_row():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert all(any(f"`{kind}`" in row.split("|")[1] for row in rows) for kind in GENERATORS)
