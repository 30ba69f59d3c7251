"""What the property tests share: odd names, broken files, and the property that all of them check."""

from __future__ import annotations

import hashlib
import io
import os
import random
import re
import signal
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

import augury.look  # noqa: F401 - beforehand: what it stands on adds warning filters when it is loaded
from augury.errors import AuguryError
from augury.readers import Reading, ReadSettings, content_digest, read_source
from pictures import colour, grey, wide

SECONDS = 20  # that a case may take before it counts as hanging
ODD_PARTS = (
    *("train", "val", "TEST", "a", "b", "A", "images", "x.png", "1", "0001", ".hidden", "__MACOSX", "DICOMDIR", " "),
    *(
        "=cmd()",
        "<script>",
        "new\nline",
        "tab\tbed",
        "😀",
        "é",
        "e\u0301",
        "\u202egnp",
        "\x1b[2J",
        "'",
        '"',
        "a,b",
        "a;b",
    ),
    *("..x", "-rf", "~", "$HOME", "%s{0}", "C:", "con", "x" * 120, "nul\udcff", "a.b.c", "Thumbs.db", "group", "label"),
)
ODD_ENDS = (".png", ".PNG", ".jpg", ".tif", ".gif", ".webp", ".bmp", ".dcm", ".txt", ".csv", ".zip", "", ".1", ".png ")


def cases(count: int) -> Any:
    """Return hypothesis settings: the same cases in every run, none of them written to disk.

    With `FUZZ=10` in the environment there are ten times as many, and others in every run.
    """
    times = int(os.environ.get("FUZZ", "1"))
    slow = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
    return settings(
        max_examples=count * times, derandomize=times == 1, database=None, deadline=None, suppress_health_check=slow
    )


# ---- the property


def attempt(work: Callable[[], Any], *inputs: Path) -> Any:
    """Do some work and return its result, or the sentence with which it was refused; anything else fails.

    It must end in time, leave the inputs, the global random states and the warning filters as they were, and warn of
    nothing.
    """
    before = _state(), [contents(path) for path in inputs]
    with _deadline(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        try:
            result = work()
        except AuguryError as error:
            result = check_sentence(str(error))
        assert warnings.filters == filters
    assert not caught, [str(item.message) for item in caught]
    assert (_state(), [contents(path) for path in inputs]) == before
    return result


def check_sentence(text: str) -> str:
    """Check that a message is a sentence that a user can read, and return it."""
    assert text.strip(), "an empty message"
    assert text.rstrip()[-1] in ".?", text
    assert len(text) < 4000, text[:200]
    assert not re.search(r"Traceback|object at 0x|<class |File \"|NoneType| None\b(?!\.)", text), text
    return text


def check_reading(reading: Reading) -> None:
    """Check that what was read agrees with itself."""
    images = reading.images
    N, C, H, W = images.images.shape
    assert N == len(images.labels) == len(images.names) == len(images.digests) == len(reading.facts) > 1
    assert C in (1, 3)
    assert 8 <= min(H, W) <= max(H, W) <= 1024
    assert len(set(images.names)) == N
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in images.digests)
    assert reading.thumbnails.shape == (N, 32, 32)
    assert len(images.classes) == len(set(images.classes)) > 1
    trained = [
        label for i, label in enumerate(images.labels.tolist()) if not images.parts or images.parts[i] == "train"
    ]
    assert set(trained) == set(range(len(images.classes)))
    assert all(len(values) == N for values in images.columns.values())
    assert images.groups is None or all(images.groups)


def read_or_refuse(source: Path, how: dict[str, Any]) -> Reading | str:
    """Read a source by some settings, check the property, and return the reading or the sentence."""
    inputs = source if source.is_dir() else source.parent

    def work() -> Reading:
        settings = ReadSettings(**how)
        content_digest(source, settings)
        return read_source(source, settings)

    result = attempt(work, inputs)
    if isinstance(result, Reading):
        check_reading(result)
    return result


def contents(path: Path) -> str:
    """Return a digest of the names and bytes below a path; links are not followed, pipes are not opened."""
    found = hashlib.sha256()
    for below in sorted([path, *path.rglob("*")] if path.is_dir() else [path]):
        found.update(str(below).encode("utf-8", "surrogateescape"))
        if below.is_file() and not below.is_symlink():
            found.update(below.read_bytes())
    return found.hexdigest()


def _state() -> tuple[Any, ...]:
    numpys = np.random.get_state()  # noqa: NPY002
    threads = torch.get_num_threads(), torch.get_default_dtype()
    return random.getstate(), numpys[1].tobytes(), numpys[2], torch.get_rng_state().numpy().tobytes(), threads


@contextmanager
def _deadline() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"still at work after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def fresh() -> Iterator[Path]:
    """Yield an empty folder for one case."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        yield Path(folder)


# ---- material


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    file = io.BytesIO()
    image.copy().save(file, format=kind, **options)
    return file.getvalue()


def frames() -> dict[str, Any]:
    """Return how to save an image with a second picture behind it; Pillow leaves its marks on that one."""
    return {"save_all": True, "append_images": [Image.fromarray(grey(4))]}


@cache
def image_files() -> tuple[bytes, ...]:
    """Return small image files of every kind that can be read."""
    exif = Image.Exif()
    exif[0x0112] = 6
    shown, tinted, deep = Image.fromarray(grey(1)), Image.fromarray(colour(2)), Image.fromarray(wide(3))
    clear = tinted.convert("RGBA")
    files = [
        *(encoded(image, "PNG") for image in (shown, tinted, deep, clear, shown.convert("LA"), shown.convert("1"))),
        encoded(tinted.quantize(8), "PNG", transparency=bytes([0, 99, 255])),
        *(encoded(image, "JPEG") for image in (shown, tinted, tinted.convert("CMYK"))),
        *(encoded(tinted, "JPEG", exif=exif, progressive=True), encoded(tinted, "MPO", **frames())),
        *(encoded(shown, "TIFF", compression=how) for how in (None, "tiff_lzw", "tiff_deflate", "packbits")),
        *(
            encoded(deep, "TIFF"),
            encoded(Image.fromarray(wide(3).astype(np.float32)), "TIFF"),
            encoded(shown, "TIFF", **frames()),
        ),
        *(
            encoded(tinted, "BMP"),
            encoded(shown, "GIF"),
            encoded(shown, "GIF", **frames()),
            encoded(shown, "PNG", **frames()),
        ),
        *(encoded(tinted, "WEBP"), encoded(clear, "WEBP", lossless=True), encoded(shown, "WEBP", **frames())),
    ]
    return (*files, *dicom_files())


def dicom_files() -> list[bytes]:
    """Return the smaller files that come with pydicom, if it is there."""
    try:
        import pydicom.data
    except ImportError:
        return []
    folder = Path(pydicom.data.__file__).parent / "test_files"
    names = ("MR_small.dcm", "MR_small_RLE.dcm", "SC_rgb_small_odd.dcm", "rtdose_1frame.dcm", "693_J2KI.dcm")
    more = ("image_dfl.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_16bit.dcm", "JPEGLSNearLossless_08.dcm", "badVR.dcm")
    return [(folder / name).read_bytes() for name in (*names, *more) if (folder / name).is_file()]


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw a file that was cut, patched, doubled or filled in places."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 3))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        length = draw(st.sampled_from([1, 2, 4, 8, 64, len(data)]))
        way = draw(st.sampled_from(["cut", "flip", "fill", "drop", "double", "noise"]))
        if way == "cut":
            del data[at:]
        elif way == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif way == "fill":
            data[at : at + length] = bytes([draw(st.sampled_from([0, 1, 127, 255]))]) * len(data[at : at + length])
        elif way == "drop":
            del data[at : at + length]
        elif way == "double":
            data[at:at] = data[at : at + length]
        else:
            data[at : at + 4] = draw(st.binary(max_size=8))
    return bytes(data)


def payloads() -> st.SearchStrategy[bytes]:
    """Return the content of files: whole and broken images, and other things."""
    whole = st.sampled_from(image_files())
    other = st.one_of(st.binary(max_size=40), st.just(b"path,label\na/1.png,a\n"), st.just(bytes(128) + b"DICM"))
    return st.one_of(whole, whole.flatmap(mutated), other)


def names(deepest: int = 3) -> st.SearchStrategy[str]:
    """Return relative paths of odd parts."""
    ends = st.builds("{}{}".format, st.sampled_from(ODD_PARTS), st.sampled_from(ODD_ENDS))
    parts = st.lists(st.sampled_from(ODD_PARTS), min_size=0, max_size=deepest)
    return st.builds(lambda homes, end: "/".join([*homes, end]), parts, ends)


def readings() -> st.SearchStrategy[dict[str, Any]]:
    """Return how to read, mostly as one would."""
    sizes = st.sampled_from(["auto", "native", (8, 8), (16, 12), (64, 64), (7, 7), "large", 32])
    levels = st.sampled_from(["auto", "percentiles 1 99", "window 40 400", "window 0 1e-300", "gamma 2"])
    groups = st.sampled_from(
        ["", "none", "folder", r"(?P<group>\w+)", r"/(?P<group>[^/]+)/", "(?P<group>[[a]", "site", "gruop"]
    )
    columns = st.sampled_from([(), (("label", "site"),), (("path", "file"),), (("split", "fold"),), (("paht", "x"),)])
    odd = st.fixed_dictionaries(
        {},
        optional={
            "size": sizes,
            "fit": st.sampled_from(["stretch", "crop", "pad"]),
            "levels": levels,
            "group": groups,
            "columns": columns,
            "skip_unreadable": st.booleans(),
        },
    )
    return st.one_of(st.just({}), st.just({"size": (16, 16), "skip_unreadable": True}), odd)


def zip_bytes(members: list[tuple[Any, bytes]], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return the bytes of an archive; names may stand twice."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        with zipfile.ZipFile(file, "w", packing) as archive:
            for name, data in members:
                archive.writestr(name, data)
    return file.getvalue()
