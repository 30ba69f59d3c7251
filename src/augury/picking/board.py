"""What the page shows and saves: each image of a pool once, shuffled, as tiles by number."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from augury.errors import DataError
from augury.images import ImageSet
from augury.picking.picks import Pick, Picks, first_places
from augury.seeds import numbers_for

LAST_SECOND = 253_402_300_799  # of the year 9999


class Board:
    """A pool laid out for picking, and the list that is picked.

    A tile stands for one image; of images with the same pixels the first one is shown. Which tile is which image
    depends on the seed alone, so that an image's place says nothing about when it was drawn.

    Args:
        pool: N images.
        path: Where the list is, or will be. Picks of images that are not in the pool stay in it.
        seed: Of the tiles' order.

    Raises:
        DataError: If there is a list that cannot be read, or that picks images of other classes.

    Example:
        >>> from augury.images import real_set
        >>> import torch
        >>> images = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1, 1).expand(3, 1, 8, 8)
        >>> board = Board(real_set(images, torch.tensor([0, 1, 1]), ["benign", "malignant"]), Path("none.csv"), seed=0)
        >>> sorted(board.labels()), board.counts()
        ([0, 1, 1], [('benign', 0, 1), ('malignant', 0, 2)])
    """

    def __init__(self, pool: ImageSet, path: Path, *, seed: int) -> None:
        self.pool, self.path = pool, path
        shown = sorted(first_places(pool.digests).values())
        self.places: list[int] = numbers_for(seed, "pick").permutation(shown).tolist()
        self.picks = Picks.load(path, pool.classes) if path.exists() else Picks()
        self._saving = Lock()  # two windows may be open

    @property
    def twins(self) -> int:
        """Return how many images are not shown, because their pixels are those of another one."""
        return len(self.pool) - len(self.places)

    def labels(self) -> list[int]:
        """Return the label of each tile."""
        labels: list[int] = self.pool.labels[self.places].tolist()
        return labels

    def picked(self) -> list[tuple[int, int]]:
        """Return which tiles the list picks, and when: seconds since 1970, UTC."""
        tile_of = {self.pool.digests[place]: tile for tile, place in enumerate(self.places)}
        own = [pick for pick in self.picks.entries if pick.digest in tile_of]
        return [(tile_of[pick.digest], int(pick.picked_at.timestamp())) for pick in own]

    def counts(self) -> list[tuple[str, int, int]]:
        """Return for each class its name, how many of its tiles the list picks, and how many there are."""
        labels = np.array(self.labels())
        classes = len(self.pool.classes)
        picked = np.bincount(labels[[tile for tile, _ in self.picked()]], minlength=classes)
        return list(
            zip(self.pool.classes, picked.tolist(), np.bincount(labels, minlength=classes).tolist(), strict=True)
        )

    def png(self, tile: int) -> bytes:
        """Return the image of a tile as a PNG file, at its own size."""
        pixels = self.pool.images[self.places[tile]].numpy()
        shown = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
        file = io.BytesIO()
        Image.fromarray(shown).save(file, format="PNG", compress_level=1)
        return file.getvalue()

    def save(self, asked: bytes) -> None:
        """Write the list as the page sends it, in the order of picking.

        Args:
            asked: JSON, `[[tile, second], ...]`.

        Raises:
            DataError: If it is not that, or the list cannot be written; the list that was there stays.
        """
        chosen = [self._pick(tile, second) for tile, second in self._checked(asked)]
        with self._saving:
            kept = self.picks.missing(self.pool.digests)
            picks = Picks(tuple(sorted((*kept, *chosen), key=lambda pick: pick.picked_at)))
            picks.save(self.path)
            self.picks = picks

    def _pick(self, tile: int, second: int) -> Pick:
        place = self.places[tile]
        label = self.pool.classes[int(self.pool.labels[place])]
        return Pick(self.pool.digests[place], label, self.pool.names[place], datetime.fromtimestamp(second, UTC))

    def _checked(self, asked: bytes) -> list[tuple[int, int]]:
        try:
            pairs = json.loads(asked)
        except (ValueError, RecursionError):
            pairs = None
        if not isinstance(pairs, list) or not all(map(self._is_pair, pairs)) or len({t for t, _ in pairs}) < len(pairs):
            expected = f"pairs of a tile (0 to {len(self.places) - 1}), each once, and a second were expected"
            raise DataError(f"the picks could not be read: {expected}. Reload the page.")
        return [(tile, second) for tile, second in pairs]

    def _is_pair(self, pair: Any) -> bool:
        if not isinstance(pair, list) or [type(number) for number in pair] != [int, int]:
            return False
        tile, second = map(int, pair)
        return 0 <= tile < len(self.places) and 0 <= second <= LAST_SECOND
