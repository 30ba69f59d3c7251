import io
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.errors import DataError
from augury.readers import ReadSettings, dicom, read, read_source
from augury.readers.levels import Levels
from augury.readers.tree import UnreadableError
from pictures import colour, grey, shown, two_classes, wide

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_windowing  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

INSIDE = Path(pydicom.data.__file__).parent / "test_files"  # those that come with the package
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture
def folder(tmp_path):
    return two_classes(tmp_path / "data")


def dataset(pixels, kind="MONOCHROME2", **tags):
    """Return a DICOM image with given pixels and further tags."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    made = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = SecondaryCaptureImageStorage, meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns = pixels.shape[:2]
    made.PhotometricInterpretation, made.SamplesPerPixel = kind, pixels.shape[2] if pixels.ndim == 3 else 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit = made.BitsStored - 1
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def saved(made):
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def decode(made, levels="auto"):
    """Return values, what is shown, and the group."""
    return dicom.decode(saved(made), Levels.parse(levels))


def inside(name):
    return dicom.decode((INSIDE / name).read_bytes(), Levels())


def eight(shown, bits=16, signed=True):
    """Bring what pydicom shows, which spans the range of the stored values, to 8 bits."""
    low = -(2 ** (bits - 1)) if signed else 0
    return np.rint((shown - low) / (2**bits - 1) * 255)


# ---- grey


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (2.5, -100)])
def test_rescale_and_window_are_those_of_pydicom(function, slope, intercept):
    tags = {"RescaleSlope": slope, "RescaleIntercept": intercept, "WindowCenter": 40, "WindowWidth": 4000}
    made = dataset(wide(3, dtype=np.int16) // 16, **tags)
    if function:
        made.VOILUTFunction = function
    values, shown, _ = decode(made)
    expected = apply_modality_lut(made.pixel_array, made)
    assert np.array_equal(values, expected)
    low, high = (-32768 * slope + intercept, 32767 * slope + intercept)  # what pydicom's window spans
    windowed = apply_windowing(expected, made)
    assert np.abs(shown - np.rint((windowed - low) / (high - low) * 255)).max() <= 1


def test_the_first_of_several_windows_is_taken_and_a_declared_one_wins():
    made = dataset(wide(1, dtype=np.int16), WindowCenter=[40, 400], WindowWidth=[400, 2000])
    values, shown, _ = decode(made)
    assert np.array_equal(shown, Levels.parse("window 40 400").apply(values))
    assert np.array_equal(decode(made, "window 7 70")[1], Levels.parse("window 7 70").apply(values))
    assert np.array_equal(decode(made, "percentiles 1 99")[1], Levels.parse("percentiles 1 99").apply(values))


@pytest.mark.parametrize("tags", [{}, {"WindowCenter": 40}, {"WindowCenter": 40, "WindowWidth": 0}])
def test_without_a_window_percentiles_are_taken(tags):
    values, shown, _ = decode(dataset(wide(1), **tags))
    assert np.array_equal(values, wide(1))
    assert np.array_equal(shown, Levels().apply(wide(1)))


def test_eight_bits_without_a_window_stay_as_they_are():
    values, shown, _ = decode(dataset(grey(1)), "percentiles 5 95")
    assert values is shown
    assert np.array_equal(shown, grey(1))


def test_monochrome1_is_shown_as_a_negative():
    tags = {"WindowCenter": 30000, "WindowWidth": 20000}
    plain, negative = decode(dataset(wide(1), **tags)), decode(dataset(wide(1), "MONOCHROME1", **tags))
    assert np.array_equal(negative[0], plain[0])
    assert np.array_equal(negative[1], 255 - plain[1])
    values, shown, _ = decode(dataset(grey(1), "MONOCHROME1"))
    assert values is shown
    assert np.array_equal(shown, 255 - grey(1))


def test_the_order_of_bytes_makes_no_other_picture(folder):
    for name in ("MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_RLE.dcm"):
        (folder / "a" / name).write_bytes((INSIDE / name).read_bytes())
    images = read(folder)
    assert len({digest for name, digest in zip(images.names, images.digests, strict=True) if "MR_" in name}) == 1


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "693_J2KI.dcm", "examples_overlay.dcm"])
def test_files_of_scanners_are_shown_as_pydicom_shows_them(name):
    made = pydicom.dcmread(INSIDE / name)
    values, shown, _ = inside(name)
    expected = apply_modality_lut(made.pixel_array, made)
    assert np.array_equal(values, expected)
    if "WindowCenter" in made and "VOILUTFunction" not in made:
        windowed = apply_windowing(expected, made).astype(float)
        low, high = windowed.min(), windowed.max()
        near = shown.astype(float) - np.rint((windowed - low) / (high - low) * (int(shown.max()) - int(shown.min())))
        assert np.abs(near - int(shown.min())).max() <= 1


# ---- colour


def test_colour_is_taken_as_it_is():
    _, shown, _ = decode(dataset(colour(1), "RGB"))
    assert np.array_equal(shown, colour(1))


def test_colour_of_more_bits_is_scaled_by_the_bits_that_are_used():
    pixels = (colour(1).astype(np.uint16) << 4) | 15
    _, shown, _ = decode(dataset(pixels, "RGB", BitsStored=12, HighBit=11))
    assert np.array_equal(shown, np.rint(pixels / 4095 * 255))


def test_palettes_and_luminance_become_rgb():
    made = pydicom.dcmread(INSIDE / "examples_palette.dcm")
    expected = pydicom.pixels.apply_color_lut(made.pixel_array, made)
    assert np.abs(inside("examples_palette.dcm")[1] - expected / np.iinfo(expected.dtype).max * 255).max() <= 0.5
    made = pydicom.dcmread(INSIDE / "SC_ybr_full_422_uncompressed.dcm")
    expected = pydicom.pixels.pixel_array(made)
    assert np.array_equal(inside("SC_ybr_full_422_uncompressed.dcm")[1], expected)


def test_colour_becomes_its_luma_where_colours_are_left_out(folder):
    (folder / "a/c.dcm").write_bytes(saved(dataset(colour(4), "RGB")))
    images = read(folder, channels="grey")
    assert images.shape == (1, 12, 10)
    assert np.array_equal(shown(images, "a/c.dcm")[0], np.array(Image.fromarray(colour(4)).convert("L")))


# ---- groups


def test_patients_are_groups_under_a_name_that_does_not_tell_who(folder):
    for i, patient in enumerate(["Jane^Doe", "Jane^Doe ", "Other"]):
        (folder / f"a/{i}.dcm").write_bytes(saved(dataset(wide(i), PatientID=patient)))
    (folder / "b/3.dcm").write_bytes(saved(dataset(wide(3), PatientID="")))
    images = read(folder)
    group = dict(zip(images.names, images.groups, strict=True))
    assert group["a/0.dcm"] == group["a/1.dcm"] != group["a/2.dcm"]
    assert group["b/3.dcm"] == "#b/3.dcm"
    assert group["a/0.dcm"].startswith("patient ")
    assert "Doe" not in repr(images.groups)
    assert read(folder, group="none").groups is None


def test_files_without_an_extension_are_found_by_their_content(folder):
    for name in ("IM0001", "1.2.840.113619", "odd.png"):
        (folder / "a" / name).write_bytes(saved(dataset(wide(1))))
    reading = read_source(folder, ReadSettings())
    assert [facts.format for facts in reading.facts].count("DICOM") == 3
    assert reading.levels.startswith("3 of 7 images hold more than 8 bits")


# ---- what is refused


def without(*names):
    made = dataset(wide(1))
    for name in names:
        delattr(made, name)
    return made


REFUSED = {
    "several": (
        lambda: dataset(wide(1), NumberOfFrames=3),
        r"holds 3 pictures \(a volume or a film\): one was expected",
    ),
    "no picture": (lambda: without("PixelData"), "holds no picture"),
    "no size": (lambda: without("Rows"), "holds no picture"),
    "no kind": (lambda: without("PhotometricInterpretation"), "cannot be read as a DICOM image"),
    "no bits": (lambda: without("BitsStored"), "cannot be read as a DICOM image"),
    "short": (lambda: dataset(wide(1), PixelData=b"\0\0"), r"cannot be read as a DICOM image \(The number of bytes"),
    "infinite": (
        lambda: dataset(wide(1), RescaleSlope="1e308", RescaleIntercept=0),
        "holds values that are no numbers",
    ),
    "huge": (lambda: dataset(wide(1), Rows=60000, Columns=60000), r"has more than [\d,]+ pixels. Make it smaller"),
    "odd kind": (lambda: dataset(colour(1), "UNKNOWN"), "cannot be read as a DICOM image"),
    "samples": (lambda: dataset(colour(1), "MONOCHROME2"), "cannot be read as a DICOM image|one picture was expected"),
    "odd length": (lambda: saved(dataset(wide(1))).replace(b"UL\x04\0", b"UL\x05\0", 1), "as a DICOM image|no picture"),
    "bits": (lambda: dataset(wide(1), BitsAllocated=13), "cannot be read as a DICOM image"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore")  # as `read` ignores them
def test_what_is_not_one_whole_picture_is_refused(case):
    make, reason = REFUSED[case]
    made = make()
    with pytest.raises(UnreadableError, match=reason):
        dicom.decode(made if isinstance(made, bytes) else saved(made), Levels())


def test_a_deflated_bomb_is_refused_and_other_deflated_files_are_read(monkeypatch):
    assert inside("image_dfl.dcm")[1].shape == (512, 512)
    whole = saved(dataset(wide(1), syntax=DeflatedExplicitVRLittleEndian))
    monkeypatch.setattr(dicom, "MAX_FILE_BYTES", 1_000_000)
    assert np.array_equal(dicom.decode(whole, Levels())[0], wide(1))
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = 144 + int.from_bytes(whole[140:144], "little")  # behind the first group, which says its length
    bomb = whole[:body] + packer.compress(bytes(2_000_000)) + packer.flush()
    with pytest.raises(UnreadableError, match=r"expands to more than 1,000,000 bytes"):
        dicom.decode(bomb, Levels())


def test_a_compression_without_a_decoder_says_what_to_install(folder):
    (folder / "a/1.dcm").write_bytes((INSIDE / "JPEGLSNearLossless_16.dcm").read_bytes())
    with pytest.raises(DataError, match=r"a/1.dcm .*install pylibjpeg and its plug-ins, or export the file"):
        read(folder)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.95])
@pytest.mark.parametrize("name", ["CT_small.dcm", "examples_palette.dcm", "693_J2KI.dcm", "MR_small_RLE.dcm"])
def test_truncated_files_are_refused_by_name(folder, name, share):
    data = (INSIDE / name).read_bytes()
    (folder / "a/1.dcm").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"^a/1.dcm (cannot be read as a DICOM image|holds no picture|is not an image)"):
        read(folder, size=16)


def test_without_the_package_it_says_what_to_install(folder, monkeypatch):
    (folder / "a/1.dcm").write_bytes(saved(dataset(wide(1))))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DataError, match=r"a/1.dcm is a DICOM file. To read it: pip install 'augury\[dicom\]'"):
        read(folder)


def test_every_file_that_comes_with_pydicom_is_read_or_refused_with_a_sentence(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**7)
    for path in INSIDE.iterdir():
        if path.is_file() and dicom.is_dicom(path.read_bytes()):
            (folder / "a" / path.name).write_bytes(path.read_bytes())
    reading = read_source(folder, ReadSettings(size=(16, 16), skip_unreadable=True))
    assert len(reading.images) > 30
    assert all(item.reason.endswith(".") and "\n" not in item.reason for item in reading.skipped)
