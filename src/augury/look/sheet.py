"""Contact sheets: some images of each class side by side, as one PNG or one HTML file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augury.errors import SettingsError
from augury.files import printable, write_whole
from augury.look.findings import findings
from augury.look.overview import Look
from augury.report.pictures import Picture, picture
from augury.report.templates import template
from augury.seeds import numbers_for

SHOWN = 12  # images of each class
CELL, GAP, LINE = 128, 6, 22  # pixels
PAPER, INK = "white", "black"


@dataclass(frozen=True)
class Row:
    """Some images of one class: uint8 (n, C, H, W), drawn at random, in the order of the source."""

    name: str
    count: int
    images: np.ndarray
    names: tuple[str, ...]

    @property
    def pictures(self) -> list[tuple[str, Picture]]:
        """Return name and picture of each image."""
        return [(name, picture(image)) for name, image in zip(self.names, self.images, strict=True)]


def write_sheet(seen: Look, path: Path, *, seed: int = 0) -> None:
    """Write a contact sheet by class.

    Args:
        seen: A look at some images.
        path: The file: `.png` for a picture, `.html` for a page with the findings below it; an older one is replaced.
        seed: Which images are shown.

    Raises:
        SettingsError: If the name ends otherwise.
        DataError: If the file cannot be written.
    """
    rows = _rows(seen, seed)
    if path.suffix.lower() == ".png":
        write_whole(path, _as_png(rows))
    elif path.suffix.lower() in (".html", ".htm"):
        write_whole(path, _as_html(seen, rows))
    else:
        raise SettingsError(f"a contact sheet is a .png or .html file. Got {path.name!r}.")


def _rows(seen: Look, seed: int) -> list[Row]:
    labels = seen.images.labels.numpy()
    rows = []
    for label, name in enumerate(seen.images.classes):
        own = np.flatnonzero(labels == label)
        chosen = np.sort(numbers_for(seed, "sheet", label).permutation(own)[:SHOWN])
        names = tuple(seen.images.names[row] for row in chosen)
        rows.append(Row(name, len(own), seen.images.images[chosen].numpy(), names))
    return rows


def _as_png(rows: list[Row]) -> bytes:
    widest = max(len(row.images) for row in rows)
    width = GAP + widest * (CELL + GAP)
    sheet = Image.new("RGB", (max(width, 4 * CELL), GAP + len(rows) * (LINE + CELL + GAP)), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, row in enumerate(rows):
        top = GAP + i * (LINE + CELL + GAP)
        pen.text((GAP, top), printable(f"{row.name}: {row.count:,}"), INK, font)
        for j, image in enumerate(row.images):
            tile = _tile(image)
            left = GAP + j * (CELL + GAP) + (CELL - tile.width) // 2
            sheet.paste(tile, (left, top + LINE + (CELL - tile.height) // 2))
    file = io.BytesIO()
    sheet.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _tile(image: np.ndarray) -> Image.Image:
    """Bring one image, uint8 (C, H, W), into a cell; small ones are enlarged in whole pixels."""
    tile = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    factor = max(1, CELL // max(tile.size))
    if factor > 1:
        return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)
    tile.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return tile


def _as_html(seen: Look, rows: list[Row]) -> str:
    page = template("augury.look", "sheet.html.jinja")
    return page.render(seen=seen, rows=rows, findings=findings(seen), most=SHOWN)
