"""The report in a real browser: what it says, what it asks of the network, and whether it fits a phone."""

import csv
import io
from dataclasses import replace

import pytest

from augury.report import write_report
from browser import CHROMIUM, Browser
from outcomes import galleries, outcome

LONG = ("melanoma in situ, lentigo maligna type, of the head and neck 😀", "a" * 90, "<script>alert(1)</script>")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def finished():
    made = outcome()
    hostile = replace(made.arms[3], arm='=cmd() "<b>&', failed=2)
    return replace(made, arms=(*made.arms[:3], hostile, *made.arms[4:]))


@pytest.fixture(scope="module")
def page(browser, finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(finished, galleries(), path)
    browser.open(path.as_uri(), width=1280)
    return browser


def test_the_console_stays_silent(page):
    assert [
        event for event in page.events if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")
    ] == []


def test_nothing_is_asked_of_a_network(page):
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked[0].startswith("file:")
    assert [url for url in asked[1:] if not url.startswith("data:")] == []


def test_the_sentence_stands_in_the_first_view(page, finished):
    sentence = "document.querySelector('#sentence')"
    assert page.run(f"{sentence}.textContent") == finished.verdict.sentence
    assert page.run(f"{sentence}.checkVisibility()")
    assert page.run(f"{sentence}.getBoundingClientRect().bottom < innerHeight")


def test_every_number_equals_the_results_table(page, finished):
    results_csv = pytest.importorskip("augury.study.table").results_csv
    rows = list(csv.DictReader(io.StringIO(results_csv(finished))))
    table = {(arm.arm, key): row[key] for arm, row in zip(finished.arms, rows, strict=True) for key in row}
    cells = page.run("[...document.querySelectorAll('[data-column]')].map(cell => ({...cell.dataset}))")
    shown = {(cell["arm"], cell["column"]): cell["value"] for cell in cells}
    assert shown == {place: table[place] for place in shown}
    words = {"classifier", "arm", "generator", "policy", "uses_generated", "withheld"}
    assert set(rows[0]) - {column for _, column in shown} - words <= {"external"}


def test_the_short_form_prints_on_one_page(browser, finished, tmp_path):
    path = tmp_path / "report.html"
    write_report(finished, galleries(), path)
    browser.open(path.as_uri())
    assert browser.pages() > 2
    assert not browser.run("document.querySelector('.whole').checkVisibility()")
    browser.click("nav a[href='#one-page']")
    browser.until("!document.querySelector('#checks').checkVisibility()")
    assert browser.run("document.querySelector('#sentence').checkVisibility()")
    assert browser.run("[...document.querySelectorAll('.armed tbody tr')].some(row => row.checkVisibility())")
    assert browser.pages() == 1
    browser.click(".whole a")
    browser.until("document.querySelector('#checks').checkVisibility()")


@pytest.mark.parametrize("classes", [("benign", "malignant"), (*LONG, *(f"class {n}" for n in range(9)))])
def test_a_phone_scrolls_down_only(browser, tmp_path, classes):
    write_report(outcome(classes), galleries(classes, shown=3), tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri(), width=390)
    assert browser.run("document.documentElement.scrollWidth") == 390


def test_text_in_drawings_is_not_cut(browser, finished, tmp_path):
    write_report(finished, galleries(), tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri(), width=390)
    outside = """[...document.querySelectorAll('svg.chart text')].filter(text => {
        const [inner, outer] = [text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect()];
        return inner.left < outer.left - 1 || inner.right > outer.right + 1;
    }).map(text => text.textContent)"""
    assert browser.run(outside) == []


def test_pictures_are_decoded(page):
    sizes = page.run("[...document.images].map(image => [image.naturalWidth, image.width])")
    alone = [(natural, shown) for natural, shown in sizes if natural == 28]
    assert len(alone) == 2 * 2 * 3 * 8 + 2 * 3  # of both generators, and the strips of one
    assert {shown for _, shown in alone} == {56}
    assert [shown - 2 * natural for natural, shown in sizes if natural != 28] == [0, 0]  # two traversals


def test_the_chosen_network_stands_where_it_was_kept(page):
    places = """(() => {
        const chart = document.querySelector('.curves:has(.mark)');
        const label = [...chart.querySelectorAll('.tick-label')].find(each => each.textContent === '200');
        const {left, right} = label.getBoundingClientRect();
        return [chart.querySelector('.mark').getBoundingClientRect().left, (left + right) / 2];
    })()"""
    mark, label = page.run(places)
    assert abs(mark - label) < 2


def test_a_curve_keeps_inside_its_plot_and_falls_where_it_should(page):
    boxes = """[...document.querySelectorAll('.curves')].map(chart => {
        const plot = chart.querySelector('svg').getBoundingClientRect();
        return [...chart.querySelectorAll('.curve')].map(curve => {
            const {left, right, top, bottom, height} = curve.getBoundingClientRect();
            return [left - plot.left, plot.right - right, top - plot.top, plot.bottom - bottom, height];
        });
    })"""
    losses, right, distances = page.run(boxes)
    assert (len(losses), len(distances)) == (2, 1)
    assert all(side >= -2 for box in (*losses, *right, *distances) for side in box[:4])
    share = right[0][4] / 110  # of the plot's height: from 50 to 89 %
    assert 0.36 < share < 0.42
