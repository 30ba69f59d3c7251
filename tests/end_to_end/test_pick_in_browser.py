"""`augury pick` as a person meets it: a real browser, a real command, and a list on disk."""

import json
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from augury.models import write_images
from augury.picking import Pick, Picks
from augury.picking.board import Board
from augury.picking.server import PickServer
from browser import CHROMIUM, CONTROL, SHIFT, Browser
from toy import toy_images

CLASSES = ("benign", "<script>alert(1)</script>")
PER_CLASS = 30
PATIENCE = 60  # seconds


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def drawn():
    images = replace(toy_images(per_class=PER_CLASS, size=(28, 28)), classes=CLASSES)
    makers = {"seed": range(len(images)), "maker": ["toy"] * len(images)}
    return replace(images, names=tuple(f"toy/{i}" for i in range(len(images))), columns=makers)


@pytest.fixture(scope="module")
def pool(drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool") / "drawn"
    folder.mkdir()
    write_images(drawn, folder)
    return folder


@contextmanager
def picking(folder, out):
    """Run the command; yield its process, and the page's address."""
    words = [sys.executable, "-m", "augury", "pick", str(folder), "-o", str(out), "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, re.search(r"http://127\.0\.0\.1:\d+/\S+/", process.stderr.readline())[0]
        finally:
            process.kill()


@pytest.fixture
def url(drawn, tmp_path):
    """Serve the images in this process; return the page's address."""
    with PickServer(Board(drawn, tmp_path / "picks.csv", seed=0), "drawn") as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def ready(browser, url, **size):
    browser.open(url, **size)
    browser.until(f"document.querySelectorAll('.tile').length === {2 * PER_CLASS}")


def tiles(browser, name):
    """Return the numbers of a class's tiles, in the order of the page."""
    own = f"sections.find(section => section.querySelector('bdi').textContent === {json.dumps(name)})"
    return browser.run(f"[...{own}.querySelectorAll('.tile')].map(tile => tile.dataset.tile)")


def pressed(browser):
    return set(browser.run("[...document.querySelectorAll('.tile[aria-pressed=true]')].map(t => t.dataset.tile)"))


def leave(browser):
    """Let go of picks that are not saved; else the page would ask before it is left."""
    browser.run("saved = changes")


def digest_of(drawn, browser, tile):
    """Return the digest of the drawn image that a tile shows, by its pixels as the browser decoded them."""
    shown = browser.run(f"""(async () => {{
        const image = document.querySelector('[data-tile="{tile}"] img');
        image.loading = 'eager';
        await image.decode();
        const canvas = Object.assign(document.createElement('canvas'), {{width: 28, height: 28}});
        canvas.getContext('2d').drawImage(image, 0, 0, 28, 28);
        return [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0);
    }})()""")
    same = [i for i, pixels in enumerate(drawn.images) if pixels.flatten().tolist() == shown]
    assert len(same) == 1
    return drawn.digests[same[0]]


def test_three_clicks_and_a_key_become_a_list_of_these_images(browser, drawn, pool, tmp_path):
    listed = tmp_path / "picks.csv"
    with picking(pool, listed) as (process, url):
        ready(browser, url)
        first, second = (tiles(browser, name) for name in CLASSES)
        for tile in (first[20], first[2], second[5]):
            browser.click(f'[data-tile="{tile}"]')
        browser.press("ArrowRight")
        browser.press(" ")
        digests = [digest_of(drawn, browser, tile) for tile in (first[20], first[2], second[5], second[6])]
        browser.click("#finish")
        browser.until("document.querySelector('#state.good') !== null")
        assert f"Saved: 4 images in {listed}." in browser.run("document.querySelector('#state').textContent")
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (0, "")
    picks = Picks.load(listed, CLASSES)
    assert [pick.digest for pick in picks.entries] == digests
    assert [pick.label for pick in picks.entries] == [CLASSES[0], CLASSES[0], CLASSES[1], CLASSES[1]]
    assert all(timedelta(0) <= datetime.now(UTC) - pick.picked_at < timedelta(minutes=5) for pick in picks.entries)
    head, *counts = out.splitlines()
    assert head == f"4 images picked: {listed}"
    assert sorted(counts) == sorted(f"  {name}: 2 of {PER_CLASS}" for name in CLASSES)


def test_a_list_is_gone_on_with_and_what_was_saved_outlives_an_interrupt(browser, drawn, pool, tmp_path):
    listed = tmp_path / "picks.csv"
    Picks((Pick(drawn.digests[3], drawn.classes[0], "an earlier day's", datetime(2026, 1, 31, tzinfo=UTC)),)).save(
        listed
    )
    with picking(pool, listed) as (process, url):
        ready(browser, url)
        assert len(pressed(browser)) == 1
        free = tiles(browser, CLASSES[1])
        browser.click(f'[data-tile="{free[0]}"]')
        browser.click("#save")
        browser.until("document.querySelector('#state.good') !== null")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE)[0].startswith(f"2 images picked: {listed}\n")
        assert process.returncode == 130
        browser.click(f'[data-tile="{free[1]}"]')
        browser.click("#save")
        browser.until("document.querySelector('#state.bad') !== null")
        leave(browser)
    earlier, later = Picks.load(listed).entries
    assert (earlier.digest, earlier.picked_at) == (drawn.digests[3], datetime(2026, 1, 31, tzinfo=UTC))
    assert (later.label, later.digest in drawn.of_class(1).digests) == (CLASSES[1], True)


def test_the_page_works_as_it_says(browser, url):
    ready(browser, url)
    own = tiles(browser, CLASSES[0])
    browser.click(f'[data-tile="{own[3]}"]')
    browser.click(f'[data-tile="{own[7]}"]', SHIFT)
    assert pressed(browser) == set(own[3:8])
    browser.click(f'[data-tile="{own[5]}"]')
    browser.click("#picked")
    assert browser.run("document.querySelectorAll('.tile:not([hidden])').length") == 4
    browser.click("#all")
    browser.press("z", CONTROL)
    assert pressed(browser) == set(own[3:8])
    browser.click("#undo")
    assert pressed(browser) == {own[3]}
    browser.click("#undo")
    browser.run("document.querySelector('#target').value = 25; show(sections)")
    assert browser.run("document.querySelector('.count').textContent") == f"0 of 25 picked ({PER_CLASS} images)"
    columns = browser.run("tiles.findIndex(tile => tile.offsetTop > tiles[0].offsetTop)")
    browser.click(f'[data-tile="{own[1]}"]')
    browser.press("ArrowDown")
    assert browser.run("document.activeElement.dataset.tile") == own[1 + columns]
    leave(browser)


def test_names_do_nothing_and_nothing_is_asked_of_a_network(browser, url):
    ready(browser, url)
    browser.until("[...document.images].slice(0, 9).every(image => image.naturalWidth === 28)")
    assert browser.run("[...document.querySelectorAll('h2 bdi')].map(e => e.textContent)") == list(CLASSES)
    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert len(asked) > 9
    assert all(address.startswith((url, "data:")) for address in asked)
    assert [e for e in browser.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_scrolls_down_only(browser, url, width):
    ready(browser, url, width=width)
    assert browser.run("document.documentElement.scrollWidth") == width


def test_who_does_not_know_the_token_sees_nothing(browser, url):
    wrong = re.sub(r"/[^/]+/$", "/" + "A" * 43 + "/", url)
    browser.open(wrong)
    answers = [e["params"]["response"] for e in browser.events if e["method"] == "Network.responseReceived"]
    assert [answer["status"] for answer in answers if answer["url"] == wrong] == [403]
    assert browser.run("document.querySelectorAll('.tile').length") == 0
