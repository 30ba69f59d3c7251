"""Small pictures, and files and folders of them, for the tests of the readers."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

SHARED = Path(__file__).parents[2] / "shared" / "data"  # published sets, where somebody put them


def grey(seed=0, H=12, W=10):
    return np.random.default_rng(seed).integers(0, 256, (H, W), dtype=np.uint8)


def colour(seed=0, H=12, W=10):
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)


def wide(seed=0, H=12, W=10, dtype=np.uint16):
    """Return 16-bit grey values."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(low, high, (H, W), dtype=dtype, endpoint=True)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def png(pixels):
    """Return the bytes of a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def two_classes(root):
    """Make two classes of two grey images of 12 x 10 each, one of them deeper than the others."""
    for seed, name in enumerate(["b/1.png", "b/2.PNG", "a/1.png", "a/deep/er/2.bmp"]):
        save(root / name, grey(seed))
    return root


def one_each(root, *paths, seed=50):
    """Make a grey image under each path."""
    for i, path in enumerate(paths):
        save(root / path, grey(seed + i))
    return root


def pack(path, members, compression=zipfile.ZIP_DEFLATED):
    """Write a zip archive of (name or ZipInfo, bytes)."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def shown(images, name):
    """Return the pixels (C, H, W) of the image of a name."""
    return images.images[images.names.index(name)].numpy()


def as_table(folder):
    """Write a table of a folder's images into it, with their classes."""
    names = [f"{path.relative_to(folder).as_posix()},{path.parent.name}" for path in sorted(folder.glob("*/*.png"))]
    (folder / "table.csv").write_text("\n".join(["path,label", *names]))
    return folder / "table.csv"


def as_zip(folder):
    """Pack a folder's images into an archive beside it."""
    members = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in sorted(folder.glob("*/*.png"))]
    return pack(folder.parent / "data.zip", members)
