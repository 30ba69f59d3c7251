"""The documentation is built by one command, without a warning."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_built(site):
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.name not in ("README.md", "index.md")]
    pages = [path for path in pages if path.parent.name != "printed"]  # pasted into pages by docs/results/reports.py
    built = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    assert {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in pages} <= built


def test_the_reference_has_every_example_as_code(site):
    page = (site / "reference" / "index.html").read_text(encoding="utf-8")
    assert "augury.readers.read" in page
    assert "digits = read(" in page
    assert "<blockquote>" not in page  # what markdown makes of an example that nobody fenced
