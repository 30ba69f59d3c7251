import io
import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from augury.errors import DataError
from augury.images import pixel_digest
from augury.readers import ReadSettings, read, read_source
from augury.readers.levels import Levels
from augury.readers.pixels import decode
from augury.resizing import resized
from pictures import colour, grey, save, shown, two_classes, wide


@pytest.fixture
def folder(tmp_path):
    return two_classes(tmp_path / "data")


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def decoded(data):
    return decode(data, Levels())


# ---- kinds of pixels


def test_grey_pixels_saved_as_colour_count_as_grey_and_have_the_same_digest(folder):
    save(folder / "a/3.png", np.stack([grey(2)] * 3, axis=2))
    images = read(folder)
    assert images.shape == (1, 12, 10)
    assert images.digests[images.names.index("a/3.png")] == images.digests[images.names.index("a/1.png")]


def test_palette_cmyk_and_one_bit_images_become_rgb(folder):
    red = Image.new("RGB", (10, 12), (255, 0, 0))
    red.quantize(4).save(folder / "a/palette.png")
    red.convert("CMYK").save(folder / "a/cmyk.tif")
    Image.new("1", (10, 12), 1).save(folder / "a/one_bit.png")
    images = read(folder)
    for name, expected in (("a/palette.png", [255, 0, 0]), ("a/cmyk.tif", [255, 0, 0]), ("a/one_bit.png", [255] * 3)):
        assert shown(images, name)[:, 0, 0].tolist() == expected


def test_a_cmyk_jpeg_has_the_colours_that_pillow_shows():
    data = encoded(Image.fromarray(colour(1, 16, 16)).convert("CMYK"), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(decoded(data).shown, expected)
    assert decoded(data).facts.mode == "CMYK"


def test_transparent_pixels_are_shown_over_black(folder):
    Image.new("RGBA", (10, 12), (200, 100, 50, 0)).save(folder / "a/clear.png")
    Image.new("RGBA", (10, 12), (200, 100, 50, 255)).save(folder / "a/opaque.png")
    Image.new("RGBA", (10, 12), (200, 100, 50, 51)).save(folder / "a/half.png")
    Image.new("LA", (10, 12), (200, 0)).save(folder / "a/grey.png")
    Image.new("P", (10, 12), 0).save(folder / "a/palette.png", transparency=b"\x00")
    Image.new("RGB", (10, 12), (9, 8, 7)).save(folder / "a/key.png", transparency=(9, 8, 7))
    images = read(folder)
    seen = {name: shown(images, name)[:, 0, 0].tolist() for name in images.names}
    assert all(seen[f"a/{name}.png"] == [0, 0, 0] for name in ("clear", "grey", "palette", "key"))
    assert seen["a/opaque.png"] == [200, 100, 50]
    assert seen["a/half.png"] == [40, 20, 10]  # a fifth


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "values"), [("PNG", grey), ("PNG", wide), ("TIFF", grey), ("TIFF", wide)])
def test_exif_rotation_is_applied(orientation, kind, values):
    turned = {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda p: np.rot90(p, -1),
        7: lambda p: np.rot90(p.T, 2),
        8: np.rot90,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(encoded(Image.fromarray(values(2)), kind, exif=exif))
    assert np.array_equal(found.values, turned[orientation](values(2)))
    assert (found.facts.height, found.facts.width) == found.values.shape


def test_exif_rotation_of_a_jpeg_turns_the_picture(tmp_path):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    found = decoded(encoded(Image.fromarray(pixels), "JPEG", exif=exif)).shown
    assert found.shape == (32, 16)
    assert found[4, 8] > 250 > 5 > found[28, 8]


@pytest.mark.parametrize("real", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
def test_the_content_says_what_a_file_is_and_the_name_does_not(folder, real):
    for name in ("odd.png", "odd.jpg", "odd.dcm", "odd.GIF"):
        (folder / "a" / name).write_bytes(encoded(Image.fromarray(grey(5)), real, **{"lossless": True}))
    reading = read_source(folder, ReadSettings())
    assert len(reading.images) == 8
    assert [facts.format for facts in reading.facts].count(real) >= 4


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_the_first_picture_of_several_is_taken_and_that_is_known(kind):
    frames = [Image.fromarray(pixels) for pixels in (np.full((12, 10), 20, np.uint8), grey(1), grey(2))]
    found = decoded(encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True))
    assert np.array_equal(found.shown if found.shown.ndim == 2 else found.shown[..., 0], np.asarray(frames[0]))
    assert found.facts.several
    assert not decoded(encoded(frames[0], kind)).facts.several


def test_the_second_picture_in_a_phones_jpeg_is_no_second_frame():
    frames = [Image.fromarray(colour(seed, 32, 32)) for seed in (1, 2)]
    found = decoded(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert (found.facts.format, found.facts.several) == ("JPEG", False)


# ---- 16 bits


@pytest.mark.parametrize("values", [wide(1), wide(2, dtype=np.int16) // 2 + 20000, np.full((12, 10), 7, np.uint16)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight_by_percentiles(values, kind):
    values = values.astype(np.uint16)
    found = decoded(encoded(Image.fromarray(values), kind))
    low, high = np.percentile(values, [0.5, 99.5])
    expected = np.rint(255 * np.clip((values - low) / max(high - low, 1), 0, 1))
    assert np.array_equal(found.values, values)
    assert np.abs(found.shown - expected).max() <= (0 if high > low else 255)
    assert found.facts.wide


@pytest.mark.parametrize("dtype", [np.int32, np.float32, ">u2"])
def test_other_wide_pixels_of_tiffs_are_read(dtype):
    values = (grey(3).astype(np.float64) * 100 - 5000).astype(dtype) if dtype != ">u2" else wide(3).astype(dtype)
    mode = {">u2": "I;16B"}.get(dtype)
    image = Image.frombytes(mode, values.shape[::-1], values.tobytes()) if mode else Image.fromarray(values)
    found = decoded(encoded(image, "TIFF"))
    assert np.array_equal(found.values, values)
    low, high = np.percentile(values.astype(float), [0.5, 99.5])
    assert np.array_equal(found.shown, np.rint(255 * np.clip((values.astype(float) - low) / (high - low), 0, 1)))


@pytest.mark.parametrize("values", [grey(1), wide(1)])
def test_a_tiff_in_which_0_is_white_is_shown_as_a_negative(values):
    data = bytearray(encoded(Image.fromarray(values), "TIFF"))
    plain = decoded(bytes(data)).shown
    at = data.index(struct.pack("<HHI", 262, 3, 1))  # photometric interpretation, one short
    struct.pack_into("<I", data, at + 8, 0)
    assert np.array_equal(decoded(bytes(data)).shown, 255 - plain)


def test_values_that_are_no_numbers_are_refused(folder):
    values = np.zeros((12, 10), np.float32)
    values[3, 4] = np.nan
    save(folder / "a/3.tif", values)
    with pytest.raises(DataError, match=r"a/3.tif holds values that are no numbers \(NaN or infinite\). Replace it"):
        read(folder)


def test_the_digest_is_of_the_values_themselves_and_not_of_what_is_shown(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        save(tmp_path / name / "1.png", wide(seed))
    one, other = read(tmp_path), read(tmp_path, levels="window 1000 500")
    assert one.digests == other.digests == (pixel_digest(wide(1)[None]), pixel_digest(wide(2)[None]))
    assert not np.array_equal(one.images, other.images)


def test_the_report_is_told_how_sixteen_bits_became_eight(folder):
    assert read_source(folder, ReadSettings()).levels == ""
    save(folder / "a/3.png", wide(1))
    said = read_source(folder, ReadSettings()).levels
    assert said.startswith("1 of 5 images hold more than 8 bits per pixel: brought to 8 by the file's own window")
    said = read_source(folder, ReadSettings(levels="window 300 200")).levels
    assert said.endswith("brought to 8 by a window of centre 300 and width 200")


# ---- bombs and broken files


@pytest.mark.parametrize("limit", [100, 40])  # pillow warns over the limit and refuses over twice the limit
@pytest.mark.filterwarnings("default")  # as users have it: a warning alone stops nothing
def test_pixel_bombs_are_refused(folder, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=f"a/1.png has more than {limit} pixels. Make it smaller or remove it"):
        read(folder)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
def test_truncated_files_of_every_kind_are_refused(folder, kind):
    data = encoded(Image.fromarray(colour(1, 40, 40)), kind)
    shutil.rmtree(folder / "b")
    for share in (0.2, 0.5, 0.8):
        path = folder / "b" / "1.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(DataError, match=r"^b/1.png (cannot be read as|is not) an image"):
            read(folder)


# ---- sizes


def test_auto_shrinks_large_images_of_one_size_but_digests_them_before(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", grey(3, H=80, W=40))
    images = read(tmp_path)
    assert images.shape == (1, 64, 64)
    assert images.digests[0] == pixel_digest(grey(3, H=80, W=40)[None])


def smooth(H, W):
    """Return a colour picture without noise, as pictures are: what is clipped between two passes of noise varies."""
    small = Image.fromarray(colour(7, max(2, H // 6), max(2, W // 6)))
    return np.asarray(small.resize((W, H), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("source", [(28, 28), (100, 37), (15, 200), (9, 9), (3, 1000), (150, 200)])
@pytest.mark.parametrize("target", [(28, 28), (64, 64), (8, 30), (130, 70)])
def test_sizes_change_as_pillow_changes_them(source, target):
    for pixels, most in ((smooth(*source), 2), (colour(7, *source), 20)):
        found = resized(np.ascontiguousarray(pixels.transpose(2, 0, 1)), target, "stretch")
        expected = np.asarray(Image.fromarray(pixels).resize(target[::-1], Image.Resampling.BICUBIC))
        away = np.abs(found.astype(int) - expected.transpose(2, 0, 1))
        assert away.max() <= most
        assert away.mean() < 0.5


@pytest.mark.parametrize(("fit", "left", "middle"), [("stretch", 0, 255), ("crop", 255, 255), ("pad", 0, 255)])
def test_fit_says_what_becomes_of_a_wide_image(tmp_path, fit, left, middle):
    pixels = np.zeros((20, 60), dtype=np.uint8)
    pixels[:, 15:45] = 255
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", pixels)
    found = read(tmp_path, size=(20, 20), fit=fit).images[0, 0]
    assert found[10, [0, 10]].tolist() == [left, middle]
    assert found[0, 10] == (0 if fit == "pad" else 255)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (1, 1), (1024, 8)])
def test_extreme_aspects_are_fitted(tmp_path, fit, shape):
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", np.full(shape, 255, dtype=np.uint8))
    found = read(tmp_path, size=8, fit=fit).images[0].float().mean()
    assert found == (255 if fit != "pad" or shape == (1, 1) else 255 / 8)


def test_shrinking_averages_over_all_pixels(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (160, 80))
    for name in ("a", "b"):
        save(tmp_path / name / "1.png", stripes)
    inner = read(tmp_path, size=16).images[0, 0, 2:-2, 2:-2].float()
    assert (inner - 127.5).abs().max() < 2
