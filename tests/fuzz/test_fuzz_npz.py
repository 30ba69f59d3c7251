"""Arrays of any type and shape, and .npz files that are none: 450 cases."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from augury.readers import Reading
from fuzzing import cases, fresh, mutated, read_or_refuse, readings, zip_bytes

GIVEN = ("train_images", "train_labels", "val_images", "val_labels")
KEYS = ("images", "labels", "classes", "groups", *GIVEN)
DTYPES = st.one_of(
    *(npst.integer_dtypes(), npst.unsigned_integer_dtypes(), npst.floating_dtypes(), npst.boolean_dtypes()),
    *(npst.unicode_string_dtypes(max_len=5), npst.byte_string_dtypes(max_len=5), npst.datetime64_dtypes()),
    *(npst.complex_number_dtypes(), npst.array_dtypes(), st.just(np.dtype("O"))),
)

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a file that fails


def images():
    shape = st.tuples(st.integers(0, 5), st.integers(0, 12), st.integers(0, 12))
    colour = st.tuples(st.integers(1, 4), st.integers(8, 12), st.integers(8, 12), st.integers(1, 4))
    dtype = st.sampled_from(["u1", "u1", "u1", "<u2", ">u2", "<i2", "f4", "?"])
    return st.builds(lambda d, shape: np.arange(np.prod(shape)).reshape(shape).astype(d), dtype, shape | colour)


def labels():
    return st.lists(st.integers(-1, 3), min_size=0, max_size=5).map(np.array)


def anything():
    shapes = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
    return st.builds(lambda dtype, shape: np.zeros(shape, dtype), DTYPES, shapes)


@st.composite
def fitting(draw):
    """Draw a proper set, which the other arrays then spoil."""
    N, H, W = draw(st.integers(2, 5)), draw(st.integers(7, 12)), draw(st.integers(8, 12))
    dtype = draw(st.sampled_from(["u1", ">u2", "<i2"]))
    return {"images": np.arange(N * H * W).reshape(N, H, W).astype(dtype), "labels": np.arange(N) % 2}


def npy(array):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that old versions of numpy cannot read
        np.save(file, array, allow_pickle=True)
    return file.getvalue()


@cases(450)
@given(
    data=st.data(),
    base=st.one_of(fitting(), st.just({})),
    arrays=st.dictionaries(st.sampled_from(KEYS), st.one_of(images(), labels(), anything()), max_size=4),
    how=readings(),
    damage=st.sampled_from(["none", "none", "member", "archive"]),
    name=st.sampled_from(["set.npz", "breastmnist.npz", "bloodmnist_64.NPZ"]),
)
def test_any_npz_file_is_read_or_refused(data, base, arrays, how, damage, name):
    members = [(f"{key}.npy", npy(array)) for key, array in {**base, **arrays}.items()]
    if damage == "member":
        members = [(key, data.draw(mutated(content))) for key, content in members]
    packed = zip_bytes(members)
    with fresh() as place:
        (place / name).write_bytes(data.draw(mutated(packed)) if damage == "archive" else packed)
        result = read_or_refuse(place / name, how)
    if isinstance(result, Reading):
        assert result.images.shape[0] in (1, 3)
