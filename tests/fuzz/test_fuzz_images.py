"""Any bytes in place of an image file: 650 cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.readers import Reading
from fuzzing import cases, image_files, mutated, payloads, read_or_refuse, readings
from pictures import one_each

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a file that fails


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return one_each(tmp_path_factory.mktemp("images"), "a/1.png", "b/1.png")


@cases(400)
@given(data=payloads(), end=st.sampled_from(["png", "jpg", "dcm", "tif"]), how=readings())
def test_any_file_is_read_or_refused(folder, data, end, how):
    odd = folder / f"a/odd.{end}"
    odd.write_bytes(data)
    result = read_or_refuse(folder, how)
    odd.unlink()
    if isinstance(result, Reading):
        kept, skipped = set(result.images.names), {item.name for item in result.skipped}
        assert kept | skipped == {"a/1.png", "b/1.png", f"a/odd.{end}"}
        assert how.get("skip_unreadable") or not skipped


@cases(250)
@given(data=st.sampled_from(image_files()).flatmap(mutated))
def test_a_damaged_file_never_does_harm_to_the_others(folder, data):
    odd = folder / "a/odd.png"
    odd.write_bytes(data)
    result = read_or_refuse(folder, {"size": (16, 16), "skip_unreadable": True})
    odd.unlink()
    assert isinstance(result, Reading)
    assert {"a/1.png", "b/1.png"} <= set(result.images.names)
