"""The page's server: on this machine only, for who knows the token only, as long as somebody picks.

Any page that a browser shows can send requests to this machine, and any name can be made to lead here. So the token
stands in the address and is compared before anything else is done, `Host` must be this server's own, and what writes
must come from its own page.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from typing import Any

from augury.errors import DataError, SettingsError
from augury.picking.board import Board
from augury.report.templates import template

HERE = "127.0.0.1"
MOST_BYTES = 32  # that one pick may take of what the page sends

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PickServer(ThreadingHTTPServer):
    """Serves one board until it is finished.

    Args:
        board: What is shown, and where picks are saved.
        title: What the page calls the pool.
        port: 0: any that is free.

    Attributes:
        url: The page's address, with the token.

    Raises:
        SettingsError: If the port is taken.
    """

    request_queue_size = 64

    def __init__(self, board: Board, title: str, port: int = 0) -> None:
        self.board, self.title = board, title
        self._token = secrets.token_urlsafe(32)
        try:
            super().__init__((HERE, port), _Handler)
        except OSError as error:
            raise SettingsError(
                f"port {port} cannot be used ({error.strerror}). Leave --port out: any will do."
            ) from None
        told = "" if self.server_port == HTTP_PORT else f":{self.server_port}"  # as browsers name a host
        self.hosts = HERE + told, "localhost" + told
        self.url = f"http://{self.hosts[0]}/{self._token}/"

    def server_bind(self) -> None:
        """Take the port; the usual way would ask the network for this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HERE, int(self.server_address[1])

    def knows(self, token: str) -> bool:
        """Tell whether a token is the one of this run."""
        return bool(self._token) and secrets.compare_digest(token.encode("latin-1"), self._token.encode())

    def void(self) -> None:
        """Forget the token: from now on everything is refused."""
        self._token = ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over connections that a browser gave up, as it does with images that are scrolled away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PickServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "augury", ""
    timeout = 60  # seconds that an idle connection is kept

    def do_GET(self) -> None:
        what = self._asked()
        if what is None:
            self._refuse()
        elif what.startswith("image/"):
            self._image(what.removeprefix("image/"))
        elif what in _PAGES:
            kind, content = _PAGES[what]
            self._answer(HTTPStatus.OK, kind, content(self.server).encode("utf-8", "replace"))
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        what = self._asked()
        own = [[f"http://{host}"] for host in self.server.hosts]
        body = self._body() if what in ("save", "finish") and self.headers.get_all("Origin") in own else None
        if body is None:
            self._refuse()
        else:
            self._save(body, last=what == "finish")

    def _asked(self) -> str | None:
        """Return what is asked for, None if it must not be answered."""
        start, token, what = (*self.path.split("/", 2), "", "")[:3]
        own = self.headers.get_all("Host") in [[host] for host in self.server.hosts]
        return what if own and start == "" and self.server.knows(token) else None

    def _body(self) -> bytes | None:
        """Return what was sent, None if it is none of the page's."""
        length = self.headers.get("Content-Length", "")
        most = MOST_BYTES * (len(self.server.board.places) + 1)
        if not (length.isascii() and length.isdecimal() and len(length) < 12 and int(length) <= most):
            return None
        return self.rfile.read(int(length))

    def _image(self, number: str) -> None:
        board = self.server.board
        if number.isascii() and number.isdecimal() and len(number) < 12 and int(number) < len(board.places):
            self._answer(HTTPStatus.OK, "image/png", board.png(int(number)))
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def _save(self, body: bytes, *, last: bool) -> None:
        board = self.server.board
        try:
            board.save(body)
        except DataError as error:
            self._answer(HTTPStatus.CONFLICT, "application/json", json.dumps({"error": str(error)}).encode())
            return
        if last:
            self.server.void()
        said = {"picked": len(board.picked()), "path": str(board.path.absolute())}
        self._answer(HTTPStatus.OK, "application/json", json.dumps(said).encode())
        if last:
            self.server.shutdown()

    def _refuse(self) -> None:
        self.close_connection = True  # what else was sent is not read
        self._answer(HTTPStatus.FORBIDDEN)

    def _answer(self, status: HTTPStatus, kind: str = "text/plain", body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request of the page's, without a word."""
        self._refuse()

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: a line of the log would hold the token."""


def _page(server: PickServer) -> str:
    board = server.board
    return template("augury.picking", "page.html.jinja").render(
        title=server.title,
        rows=board.counts(),
        twins=board.twins,
        others=len(board.picks.missing(board.pool.digests)),
        listed=len(board.picked()),
        path=board.path,
    )


def _tiles(server: PickServer) -> str:
    board = server.board
    _, height, width = board.pool.shape
    return json.dumps({"labels": board.labels(), "picked": board.picked(), "width": width, "height": height})


def _file(name: str) -> str:
    return files("augury.picking").joinpath(name).read_text(encoding="utf-8")


_PAGES: dict[str, tuple[str, Callable[[PickServer], str]]] = {
    "": ("text/html; charset=utf-8", _page),
    "page.css": ("text/css; charset=utf-8", lambda _: _file("page.css")),
    "page.js": ("text/javascript; charset=utf-8", lambda _: _file("page.js")),
    "tiles.json": ("application/json", _tiles),
}
