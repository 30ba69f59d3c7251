import csv
import http.client
import json
import os
import signal
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
from PIL import Image

from augury.cli import main
from augury.errors import DataError, SettingsError
from augury.generators import Blend
from augury.models import sample_model, write_images
from augury.picking import Pick, Picks
from augury.picking.board import LAST_SECOND, Board
from augury.picking.pool import read_pool
from augury.picking.server import PickServer
from augury.training import Run
from toy import toy_images

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
HEADER = "digest,label,name,picked_at\n"
ROW = f"{A},benign,benign/0,2026-01-31T12:00:00+00:00\n"
HOSTILE = ("=cmd()", "+1", "@x", "<b>", 'a\nb,"c"', "😀", "-")


# ---- the list


def test_a_list_is_read_as_it_was_written(tmp_path):
    picks = Picks((Pick(B, "benign", "benign/1", NOON), Pick(A, "line\nbreak,", "\udce9.png", NOON)))
    picks.save(tmp_path / "new" / "picks.csv")
    first, second = Picks.load(tmp_path / "new" / "picks.csv").entries
    assert first == picks.entries[0]
    assert (second.digest, second.label, second.name) == (A, "line\nbreak,", r"\udce9.png")
    assert list(tmp_path.rglob("*.partial")) == []


def test_times_are_written_in_utc(tmp_path):
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    Picks((Pick(A, "benign", "benign/0", berlin),)).save(tmp_path / "picks.csv")
    assert (tmp_path / "picks.csv").read_text() == HEADER + ROW


def test_no_text_is_a_formula_and_classes_are_known_all_the_same(tmp_path):
    picks = Picks(tuple(Pick(f"{i:064x}", name, name, NOON) for i, name in enumerate(HOSTILE)))
    picks.save(tmp_path / "picks.csv")
    with (tmp_path / "picks.csv").open(newline="", encoding="utf-8") as handle:
        cells = [cell for row in csv.reader(handle) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=+-@"]
    again = Picks.load(tmp_path / "picks.csv", HOSTILE)
    again.save(tmp_path / "again.csv")
    assert Picks.load(tmp_path / "again.csv") == again


def test_a_list_without_picks_is_one(tmp_path):
    Picks().save(tmp_path / "picks.csv")
    assert len(Picks.load(tmp_path / "picks.csv")) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "with the columns digest,label,name,picked_at, was expected. Got nothing"),
        ("path,label\na.png,benign\n", "was expected. Got path,label"),
        (HEADER.replace(",", ";"), "was expected. Got digest;label;name;picked_at"),
        (HEADER + "abc,benign,x,2026-01-31T12:00:00Z\n", "line 2 of picks.csv: a digest of 64 .* Got 'abc'"),
        (HEADER + ROW + f"{B},benign\n", "line 3 of picks.csv has 2 cells, 4 were expected"),
        (HEADER + ROW + "\n" + ROW, "lines 2 and 4 of picks.csv pick the same image"),
        (HEADER + ROW.replace("+00:00", ""), "a time with a time zone .* Got '2026-01-31T12:00:00'"),
        (HEADER + ROW.replace("2026", "soon"), "a time with a time zone .* Got 'soon-01-31"),
        (HEADER + f'{A},"benign,x,y', "Line 2 is no row of one"),
        (
            HEADER + ROW.replace(",benign,", ",nevus,"),
            r"picks images of 'nevus'\. The classes are 'benign', 'malignant'",
        ),
        (b"\xff\xfe", "It is not UTF-8 text"),
        (None, r"picks.csv: a list made by augury pick.* cannot be opened \(No such file"),
    ],
)
def test_what_is_no_list_of_picks_is_said(tmp_path, content, said):
    path = tmp_path / "picks.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=f"(?s){said}"):
        Picks.load(path, ("benign", "malignant"))


def test_the_order_is_that_of_picking_and_of_equal_images_the_first_is_meant():
    picks = Picks((Pick(C, "x", "2", NOON), Pick("d" * 64, "y", "9", NOON), Pick(A, "x", "0", NOON)))
    assert picks.order([B, A, C, A]) == [2, 1]
    assert [pick.name for pick in picks.missing([B, A, C, A])] == ["9"]
    assert picks.counts() == {"x": 2, "y": 1}


# ---- the pool


def drawn(channels=1, classes=2, size=(9, 12), per_class=5):
    images = toy_images(classes, channels, size, per_class)
    columns = {"seed": range(len(images)), "maker": ["toy"] * len(images)}
    return replace(images, names=tuple(f"toy/{i}" for i in range(len(images))), columns=columns)


@pytest.mark.parametrize(("channels", "size"), [(1, (9, 12)), (3, (9, 12)), (3, (80, 70))])
def test_drawn_images_are_read_with_the_digests_they_were_drawn_with(tmp_path, channels, size):
    model = tmp_path / "model"
    model.mkdir()
    sampler = Blend().fit(toy_images(channels=channels, size=size), Run(0))
    sampler.save(model)
    sample_model(model, tmp_path / "drawn", per_class=3, seed=1)
    pool, meant = read_pool(str(tmp_path / "drawn")), sampler.draw(3, seed=1)
    assert (pool.digests, pool.classes) == (meant.digests, meant.classes)
    assert torch.equal(pool.images, meant.images)
    assert torch.equal(pool.labels, meant.labels)


def test_one_class_and_a_list_among_the_images_are_no_obstacle(tmp_path):
    images = drawn().of_class(1)
    write_images(images, tmp_path)
    (tmp_path / "picks.csv").write_text(HEADER)
    pool = read_pool(str(tmp_path))
    assert (pool.digests, pool.classes) == (images.digests, ("class 1",))
    for name in ("manifest.csv", "picks.csv"):
        (tmp_path / name).unlink()
    assert read_pool(str(tmp_path)).classes == ("01-class-1",)


def test_what_augury_reads_can_be_picked_from():
    assert read_pool("digits").shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"no image"), "is not an image: expected PNG"),
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: Image.new("L", (20, 20)).save(path), "all images must have one size"),
    ],
)
def test_images_that_cannot_be_used_are_said_and_warnings_are_left_alone(tmp_path, recwarn, spoil, said):
    write_images(drawn(), tmp_path)
    spoil(tmp_path / "01-class-1" / "000007.png")
    with pytest.raises(DataError, match=said):
        read_pool(str(tmp_path))
    assert len(recwarn) == 0


# ---- the board


@pytest.fixture
def board(tmp_path):
    return Board(drawn(), tmp_path / "picks.csv", seed=0)


def asked(*pairs):
    return json.dumps(pairs).encode()


def test_every_image_has_a_tile_and_the_seed_says_which(board, tmp_path):
    assert sorted(board.places) == list(range(10))
    same, other = (Board(board.pool, tmp_path / "picks.csv", seed=seed) for seed in (0, 1))
    assert same.places == board.places != other.places
    assert board.labels() == [int(board.pool.labels[place]) for place in board.places]


def test_a_tile_is_the_image_that_its_place_says(board, tmp_path):
    (tmp_path / "tile.png").write_bytes(board.png(3))
    with Image.open(tmp_path / "tile.png") as image:
        assert image.mode == "L"
        assert np.array_equal(np.array(image), board.pool.images[board.places[3]][0])


def test_images_with_the_same_pixels_are_shown_once(tmp_path):
    pool = drawn().take([0, 1, 0, 2, 1])
    board = Board(pool, tmp_path / "picks.csv", seed=0)
    assert (sorted(board.places), board.twins) == ([0, 1, 3], 2)


def test_what_is_saved_is_what_was_asked_in_the_order_of_picking(board):
    board.save(asked([4, 200], [1, 100], [7, 200]))
    again = Board(board.pool, board.path, seed=0)
    assert again.picked() == [(1, 100), (4, 200), (7, 200)] == board.picked()
    assert again.picks.order(board.pool.digests) == [board.places[tile] for tile in (1, 4, 7)]
    board.save(asked())
    assert len(Picks.load(board.path)) == 0


def test_picks_from_another_pool_stay(board):
    other = Pick(A, "class 1", "elsewhere", NOON)
    Picks((other,)).save(board.path)
    again = Board(board.pool, board.path, seed=0)
    assert again.picked() == []
    again.save(asked([0, 5]))
    assert Picks.load(board.path).entries[1] == other
    assert sum(picked for _, picked, _ in again.counts()) == 1


def test_a_list_of_other_classes_is_refused_before_it_is_overwritten(board):
    Picks((Pick(A, "nevus", "elsewhere", NOON),)).save(board.path)
    with pytest.raises(DataError, match="picks images of 'nevus'"):
        Board(board.pool, board.path, seed=0)


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{}",
            b"[[0]]",
            b"[[0, 1, 2]]",
            b"[[-1, 0]]",
            b"[[10, 0]]",
            b"[[0, -1]]",
            b"[[true, 0]]",
            b"[[0, 0.5]]",
        ),
        *(b"[[0, 1], [0, 2]]", b'["ab"]', b"\xff", b"[" * 100_000, f"[[0, {LAST_SECOND + 1}]]".encode()),
    ],
)
def test_what_no_page_would_send_changes_nothing(board, content):
    board.save(asked([2, 100]))
    with pytest.raises(DataError, match="the picks could not be read: pairs of a tile"):
        board.save(content)
    assert Picks.load(board.path) == board.picks
    assert board.picked() == [(2, 100)]


# ---- the server


@pytest.fixture
def server(board):
    with PickServer(board, "drawn <b>") as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path, method="GET", body=None, **headers):
    """Send a request with headers of one's own; return the answer's status, content and headers."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)) as connection:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in {"Content_Length": len(body or b""), **headers}.items():
            connection.putheader(name.replace("_", "-"), str(value))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())


def own(server):
    """Return the path and the origin of a server's page."""
    address = urlsplit(server.url)
    return address.path, f"http://{address.netloc}"


def test_only_this_machine_can_reach_it_and_every_run_has_another_token(server, board):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    with PickServer(board, "drawn") as other:
        assert own(other)[0] != own(server)[0]
    assert len(own(server)[0]) == 43 + 2


@pytest.mark.parametrize("what", ["", "page.css", "page.js", "tiles.json", "image/0"])
def test_everything_is_answered_with_the_token_and_nothing_without(server, what):
    path, _ = own(server)
    status, content, headers = ask(server, path + what)
    assert (status, len(content) > 0, headers["Cache-Control"]) == (200, True, "no-store")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    for wrong in (
        "/",
        f"/{what}",
        f"/{'A' * 43}/{what}",
        f"{path[:-2]}/{what}",
        f"/%C3%A9{path[1:]}{what}",
        f"x{path}{what}",
    ):
        assert ask(server, wrong)[:2] == (403, b"")
    with pytest.raises(HTTPError, match="403"):
        urlopen(server.url.replace(path, "/wrong/") + what, timeout=20)


@pytest.mark.parametrize(
    "what", ["image/10", "image/-1", "image/x", "image/" + "9" * 50, "image/../page.js", "../x", "x"]
)
def test_what_is_not_there_is_not_found(server, what):
    assert ask(server, own(server)[0] + what)[:2] == (404, b"")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:PORT.evil.example", ""])
def test_a_foreign_host_is_refused(server, host):
    path, _ = own(server)
    assert ask(server, path, Host=host.replace("PORT", str(server.server_port)))[:2] == (403, b"")
    assert ask(server, path, Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:PORT", "http://127.0.0.1", "", None]
)
def test_a_foreign_origin_saves_nothing(server, board, origin):
    headers = {} if origin is None else {"Origin": origin.replace("PORT", str(server.server_port))}
    assert ask(server, own(server)[0] + "save", "POST", asked([0, 1]), **headers)[:2] == (403, b"")
    assert not board.path.exists()


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
def test_other_methods_are_refused(server, method):
    assert ask(server, own(server)[0], method)[:2] == (403, b"")


@pytest.mark.parametrize("length", ["-1", "x", "", "1" * 30, "99999"])
def test_more_than_the_page_sends_is_not_read(server, length):
    path, origin = own(server)
    assert ask(server, path + "save", "POST", Origin=origin, Content_Length=length)[:2] == (403, b"")


def test_a_list_is_saved_and_finishing_voids_the_token(server, board):
    path, origin = own(server)
    status, content, _ = ask(server, path + "save", "POST", asked([3, 100]), Origin=origin)
    assert (status, json.loads(content)) == (200, {"picked": 1, "path": str(board.path)})
    assert ask(server, path + "save", "POST", b"[[99, 1]]", Origin=origin)[0] == 409
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)) as kept:
        kept.request("GET", path)
        assert kept.getresponse().read().startswith(b"<!doctype html>")
        assert ask(server, path + "finish", "POST", asked([3, 100], [4, 101]), Origin=origin)[0] == 200
        kept.request("GET", path)
        assert kept.getresponse().status == 403
    assert Picks.load(board.path).order(board.pool.digests) == [board.places[3], board.places[4]]


def test_a_list_that_cannot_be_written_is_said_to_the_page(server, board):
    path, origin = own(server)
    board.path.mkdir()
    status, content, _ = ask(server, path + "finish", "POST", asked([0, 1]), Origin=origin)
    assert (status, "cannot be written" in json.loads(content)["error"]) == (409, True)
    assert ask(server, path)[0] == 200


def test_names_are_escaped(tmp_path):
    hostile = replace(drawn(), classes=("<script>alert(1)</script>", '"><img src=x>'))
    with PickServer(Board(hostile, tmp_path / "<i>.csv", seed=0), "<b>") as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        page = ask(server, own(server)[0])[1].decode()
        server.shutdown()
        thread.join()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not [tag for tag in ("<script>", "<img", "<i>", "<b>") if tag in page]


def test_a_port_that_is_taken_is_said(server, board):
    with pytest.raises(SettingsError, match=rf"port {server.server_port} cannot be used .*Leave --port out"):
        PickServer(board, "drawn", server.server_port)


def test_nothing_of_the_page_comes_from_elsewhere():
    folder = Path(read_pool.__code__.co_filename).parent
    texts = [(folder / name).read_text() for name in ("page.html.jinja", "page.css", "page.js")]
    assert not [text for text in texts if "http:" in text or "https:" in text or "//cdn" in text]


# ---- the command


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type `augury pick drawn` where some images are; somebody does something with the page that is opened."""
    write_images(drawn(), tmp_path)

    def run(somebody):
        monkeypatch.setattr("webbrowser.open", somebody)
        monkeypatch.setattr("sys.argv", ["augury", "pick", str(tmp_path), "-o", str(tmp_path / "picks.csv")])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


def test_the_command_opens_the_page_and_says_what_was_picked(typed, tmp_path):
    def finish(url):
        asked_for = Request(f"{url}finish", asked([0, 1]), {"Origin": "http://" + urlsplit(url).netloc})
        urlopen(asked_for, timeout=20).close()

    code, out, err = typed(finish)
    pick = Picks.load(tmp_path / "picks.csv").entries[0]
    assert (code, err.startswith("pick at http://127.0.0.1:")) == (0, True)
    assert out.splitlines()[0] == f"1 image picked: {tmp_path / 'picks.csv'}"
    assert f"  {pick.label}: 1 of 5" in out.splitlines()


def test_an_interrupt_before_anything_is_saved_leaves_nothing(typed, tmp_path):
    def interrupt(url):
        urlopen(url, timeout=20).close()  # the page is being served
        os.kill(os.getpid(), signal.SIGINT)

    code, out, err = typed(interrupt)
    assert (code, out, err.splitlines()[-1]) == (130, "", "nothing was saved")
    assert not (tmp_path / "picks.csv").exists()
