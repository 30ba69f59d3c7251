"""The report in a real browser: what it says, what it asks of the network, and whether it fits a phone.

Chromium is spoken to through its debugging pipe, so that no driver program is needed beside it.
"""

import csv
import fcntl
import io
import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from augury.report import write_report
from outcomes import galleries, outcome

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
]
LONG = ("melanoma in situ, lentigo maligna type, of the head and neck 😀", "a" * 90, "<script>alert(1)</script>")


class Browser:
    """One page of a headless Chromium, and every event that it reported."""

    def __init__(self, profile):
        commands, self._out = os.pipe()
        self._in, events = os.pipe()
        # Moved up first, because 3 or 4 may be an end of these very pipes.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands, events)]

        def as_three_and_four():
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}"],
            preexec_fn=as_three_and_four,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (commands, events, *ends):
            os.close(end)
        self._unread, self._number, self._session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScrollbarsHidden", hidden=True)  # as on a phone

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, path, *, width, height=900):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())
        self.run("new Promise(done => requestAnimationFrame(() => done(0)))")

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self):
        self._session = None
        self.call("Browser.close")
        self._process.wait(timeout=20)
        os.close(self._out)
        os.close(self._in)

    def _read(self):
        while b"\0" not in self._unread:
            part = os.read(self._in, 1 << 16)
            assert part, "the browser ended"
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


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
    browser.open(path, width=1280)
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
    words = {"classifier", "arm", "generator", "policy", "uses_generated"}
    assert set(rows[0]) - {column for _, column in shown} - words <= {"external"}


@pytest.mark.parametrize("classes", [("benign", "malignant"), (*LONG, *(f"class {n}" for n in range(9)))])
def test_a_phone_scrolls_down_only(browser, tmp_path, classes):
    write_report(outcome(classes), galleries(classes, shown=3), tmp_path / "report.html")
    browser.open(tmp_path / "report.html", width=390)
    assert browser.run("document.documentElement.scrollWidth") == 390


def test_text_in_drawings_is_not_cut(browser, finished, tmp_path):
    write_report(finished, galleries(), tmp_path / "report.html")
    browser.open(tmp_path / "report.html", width=390)
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


def test_a_curve_keeps_inside_its_plot_and_falls_where_it_should(page):
    boxes = """[...document.querySelectorAll('.curves')].map(chart => {
        const plot = chart.querySelector('svg').getBoundingClientRect();
        return [...chart.querySelectorAll('.curve')].map(curve => {
            const {left, right, top, bottom, height} = curve.getBoundingClientRect();
            return [left - plot.left, plot.right - right, top - plot.top, plot.bottom - bottom, height];
        });
    })"""
    losses, right = page.run(boxes)
    assert len(losses) == 2
    assert all(side >= -2 for box in (*losses, *right) for side in box[:4])
    share = right[0][4] / 110  # of the plot's height: from 50 to 89 %
    assert 0.36 < share < 0.42
