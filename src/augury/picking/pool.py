"""The images that there is to pick from: as they are, of one class or more."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import torch
from PIL import Image

from augury.errors import DataError
from augury.images import ImageSet, real_set
from augury.models import MANIFEST
from augury.readers import ReadSettings, Told, read_source
from augury.readers.album import Album
from augury.readers.base import Listing
from augury.readers.decoding import decoded_pieces
from augury.readers.folder import list_tree
from augury.readers.manifest import Table, list_manifest
from augury.readers.pixels import Picture
from augury.readers.tree import FolderTree, Refused, UnreadableError
from augury.training import torch_threads

AS_THEY_ARE = ReadSettings(size="native")


def read_pool(source: str, told: Told | None = None) -> ImageSet:
    """Read images to pick from, at their own size.

    Args:
        source: A folder that `augury sample` wrote, or what `augury.read` takes. A folder may hold one class only.
        told: Hears (images read, images in all).

    Returns:
        Images whose digests are those that they were drawn with.

    Raises:
        DataError: If the images cannot be read, or their sizes differ.
    """
    folder = Path(source)
    if not folder.is_dir():
        return read_source(source, AS_THEY_ARE, told).images
    listing = _listing(folder)
    if listing.refused or not listing.entries:
        raise DataError(" ".join(next(iter(listing.refused), (source, "holds no images. Add some."))))
    album = _decoded(listing, told)
    label_of = {name: label for label, name in enumerate(listing.classes)}
    return real_set(
        album.pixels(),
        torch.tensor([label_of[entry.class_name] for entry in listing.entries]),
        listing.classes,
        names=[kept.name for kept in album.kept],
        digests=[kept.digest for kept in album.kept],
    )


def _listing(folder: Path) -> Listing:
    tree = FolderTree(folder)
    if not tree.has(MANIFEST):
        return list_tree(tree, AS_THEY_ARE)
    try:  # beside folders with harmless names, it alone holds the classes in full
        data = tree.read(MANIFEST)
    except UnreadableError as error:
        raise DataError(f"{MANIFEST} {error}") from None
    return list_manifest(Table.parse(MANIFEST, data, AS_THEY_ARE), tree, data)


def _decoded(listing: Listing, told: Told | None) -> Album:
    """Decode all images, of one class or more: reading for a study would refuse a single class."""
    album = Album(len(listing.entries), AS_THEY_ARE.sizing)
    with closing(_pictures(listing)) as pictures:  # puts warnings and threads back when an image is refused
        for done, picture in enumerate(pictures, start=1):
            if isinstance(picture, Refused):
                raise DataError(f"{picture.name} {picture.reason}")
            album.add(picture)
            if told is not None:
                told(done, len(listing.entries))
    return album


def _pictures(listing: Listing) -> Generator[Picture | Refused, None, None]:
    with warnings.catch_warnings(), torch_threads(1):
        warnings.simplefilter("ignore")  # Pillow warns of harmless departures from the standards
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield from decoded_pieces(listing.tree, [entry.name for entry in listing.entries], AS_THEY_ARE)
