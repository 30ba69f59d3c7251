import numpy as np
import pytest

from augury.errors import SettingsError
from augury.readers.levels import Levels, windowed
from pictures import wide


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", Levels()),
        ("percentiles 0 100", Levels("percentiles", 0, 100, True)),
        ("  percentiles 1.5 98 ", Levels("percentiles", 1.5, 98, True)),
        ("window -600 1500", Levels("window", -600, 1500, True)),
        ("window 1e3\t.5", Levels("window", 1000, 0.5, True)),
    ],
)
def test_levels_are_read_from_text(text, expected):
    assert Levels.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "Auto", "window", "window 3", "window 3 0", "window 3 -1", "window a b", "window nan 3", "window 3 inf"),
        *("percentiles 50 50", "percentiles 90 10", "percentiles -1 50", "percentiles 0 101", "percentiles nan 50"),
        *("window 3 4 5", "gamma 2", "window 3,4"),
    ],
)
def test_levels_that_cannot_be_meant_are_refused(text):
    with pytest.raises(SettingsError, match=r"levels must be 'auto', 'percentiles LOW HIGH' .* or 'window CENTRE WID"):
        Levels.parse(text)


@pytest.mark.parametrize("values", [wide(1), wide(2, dtype=np.int16), wide(3).astype(np.float32) * 1e30])
@pytest.mark.parametrize(("low", "high"), [(0, 100), (0.5, 99.5), (20, 30)])
def test_percentiles_are_numpys(values, low, high):
    first, last = np.percentile(values.astype(np.float64), [low, high])
    expected = np.rint(255 * np.clip((values.astype(np.float64) - first) / (last - first), 0, 1))
    found = Levels("percentiles", low, high).apply(values)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


def test_extreme_floats_do_not_overflow():
    top = np.finfo(np.float32).max
    assert Levels().apply(np.array([[-top, 0, top]], np.float32)).tolist() == [[0, 128, 255]]


def test_few_pixels_that_differ_from_all_others_do_not_vanish():
    values = np.full((100, 100), 500, np.uint16)
    values[3, 4] = 900
    found = Levels().apply(values)
    assert (found[3, 4], found[0, 0]) == (255, 0)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_an_image_of_one_value_becomes_black(value):
    assert Levels().apply(np.full((9, 9), value, np.uint16)).max() == 0


def test_a_window_is_the_same_for_all_images():
    levels = Levels.parse("window 1000 511")
    assert levels.apply(np.array([[744, 745, 999, 1254, 1255]])).tolist() == [[0, 0, 127, 255, 255]]
    assert str(levels) == "a window of centre 1000 and width 511"


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(40, 400), (0, 1), (-600.5, 1500.25), (128, 256), (5, 2)])
def test_windows_are_those_of_pydicom(function, centre, width):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.pixels import apply_windowing

    dataset = pydicom.Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored, dataset.PixelRepresentation = 16, 1
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = centre, width, function
    values = np.arange(-2000, 2000, dtype=np.int16).reshape(80, 50)
    with np.errstate(over="ignore"):  # of its exponential, far outside the window
        shown = apply_windowing(values, dataset)  # -32768..32767
    expected = np.rint((shown + 2.0**15) / (2**16 - 1) * 255)
    assert np.abs(windowed(values, centre, width, function) - expected).max() <= (1 if function == "SIGMOID" else 0)
