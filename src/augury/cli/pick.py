"""The command that opens a page for picking images by hand: pick."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augury.cli.shell import INTERRUPTED, Seed, app, say, stderr, tell

if TYPE_CHECKING:
    from augury.picking.board import Board


@app.command()
def pick(
    pool: Annotated[
        str, typer.Argument(metavar="POOL", help="Images made by augury sample, or what augury look takes.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The list; one that is there is gone on with.")] = Path(
        "picks.csv"
    ),
    seed: Seed = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: any that is free.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the page's address.")] = False,
) -> None:
    """Pick images by hand, on a page that this machine alone can see."""
    from augury.picking.board import Board
    from augury.picking.pool import read_pool
    from augury.picking.server import PickServer
    from augury.progress import Bar

    with Bar(stderr) as bar:
        images = read_pool(pool, bar.on_image)
    board = Board(images, out, seed=seed)
    with PickServer(board, pool, port) as server:
        tell(f"pick at {server.url} (Ctrl-C ends; what was saved stays)")
        if not no_browser:  # in a thread, because a browser in the terminal would be waited for
            threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            _tell_of(board)
            raise typer.Exit(INTERRUPTED) from None
    _tell_of(board)


def _tell_of(board: Board) -> None:
    if not board.path.exists():
        tell("nothing was saved")
        return
    say(f"{len(board.picks)} {'image' if len(board.picks) == 1 else 'images'} picked: {board.path}")
    for name, picked, count in board.counts():
        say(f"  {name}: {picked} of {count}")
    others = len(board.picks.missing(board.pool.digests))
    if others:
        say(f"  not in this pool: {others}")
