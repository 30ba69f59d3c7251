"""The images that there is to pick from: as they are, of one class or more."""

from __future__ import annotations

from pathlib import Path

from augury.images import ImageSet
from augury.readers import Told, read_source
from augury.readers.drawn import MANIFEST, settings_for_drawn


def read_pool(source: str, told: Told | None = None) -> ImageSet:
    """Read images to pick from, at their own size.

    Args:
        source: A folder that `augury sample` wrote, or what `augury.read` takes. It may hold one class only.
        told: Hears (images read, images in all).

    Returns:
        Images whose digests are those that they were drawn with.

    Raises:
        DataError: If the images cannot be read, or their sizes differ.
    """
    table = Path(source) / MANIFEST  # named, it is read whatever other tables lie beside it
    place = str(table) if table.is_file() else source
    return read_source(place, settings_for_drawn(place, size="native"), told).images
