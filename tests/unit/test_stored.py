import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from augury import stored
from augury.errors import DataError
from augury.images import ImageSet, StoredPixels, pixel_digest, real_set
from augury.stored import in_chunks, join, open_pixels, save_pixels, take
from toy import contents, toy_images

PIXELS = torch.randint(0, 256, (7, 2, 5, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
ORDER = [8, 3, 3, 0, 5, 6, 2]


def on_disk(folder, pixels=PIXELS):
    np.save(folder / "pixels.npy", pixels.numpy())
    return open_pixels(folder / "pixels.npy", lazily=True)


@pytest.fixture
def few_in_memory(monkeypatch):
    """From here on every set but an empty one stays on disk, and is walked through two images at a time."""
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(stored, "CHUNK_BYTES", 2 * 60)


@pytest.fixture(params=["one file", "a map", "in another order", "of two sources"])
def both(request, tmp_path, few_in_memory):
    """Stored pixels, and the tensor that they stand for."""
    pixels = on_disk(tmp_path)
    if request.param == "one file":
        return pixels, PIXELS
    if request.param == "a map":
        return StoredPixels(np.load(tmp_path / "pixels.npy", mmap_mode="r")), PIXELS
    if request.param == "in another order":
        return pixels.take(ORDER[1:]).take([0, 2, 5]), PIXELS[[3, 0, 2]]
    return join([PIXELS[:2], pixels]).take(ORDER), torch.cat([PIXELS[:2], PIXELS])[ORDER]


INDICES = [0, -1, np.int64(1), torch.tensor(1), slice(None), slice(1, 3), slice(0, 0), slice(None, None, 2)]
INDICES += [[2, 0, 2], [], np.array([1, 0]), torch.tensor([2, -1]), torch.empty(0, dtype=torch.int64)]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_an_index_gives_what_it_gives_of_a_tensor(both, index):
    pixels, tensor = both
    assert torch.equal(pixels[index], tensor[index])


def test_a_mask_gives_what_it_gives_of_a_tensor(both):
    pixels, tensor = both
    mask = torch.arange(len(tensor)) % 2 == 0
    assert torch.equal(pixels[mask], tensor[mask])
    assert torch.equal(pixels.take(mask)[:], tensor[mask])


def test_it_is_walked_through_as_a_tensor_is(both):
    pixels, tensor = both
    assert (len(pixels), pixels.shape, pixels.numel()) == (len(tensor), tensor.shape, tensor.numel())
    assert (pixels.dtype, pixels.ndim) == (tensor.dtype, tensor.ndim)
    for mine, its in [(pixels, tensor), (pixels.split(2), tensor.split(2)), (in_chunks(pixels), in_chunks(tensor))]:
        assert all(torch.equal(one, other) for one, other in zip(mine, its, strict=True))


def test_what_was_read_may_be_written_to(both):
    pixels, tensor = both
    pixels[:].fill_(0)
    assert torch.equal(pixels[:], tensor)


def test_an_image_that_is_not_there_and_a_part_of_one_are_refused(both):
    pixels, _ = both
    with pytest.raises(IndexError):
        pixels[len(pixels)]
    with pytest.raises(TypeError, match=r"indexed by image alone. Got \(0, 1\): write pixels\[rows\]\[...\] instead"):
        pixels[0, 1]
    assert repr(pixels) == f"StoredPixels{tuple(pixels.shape)}"


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ([np.zeros((2, 1, 8, 8))], r"images must be uint8 \(N, C, H, W\). Got float64 \(2, 1, 8, 8\)."),
        ([np.zeros((2, 8, 8), dtype=np.uint8)], r"Got uint8 \(2, 8, 8\)."),
        ([np.zeros((2, 1, 8, side), dtype=np.uint8) for side in (8, 9)], r"Got uint8 \(2, 1, 8, 9\)."),
    ],
)
def test_pixels_of_another_kind_are_refused(sources, sentence):
    with pytest.raises(DataError, match=sentence):
        StoredPixels(*sources)


# ---- what stays on disk


@pytest.mark.parametrize(("limit", "kind"), [(420, Tensor), (419, StoredPixels)])
def test_only_more_than_the_limit_stays_on_disk(tmp_path, monkeypatch, limit, kind):
    pixels = on_disk(tmp_path)
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", limit)
    rows = torch.arange(6, -1, -1)
    assert isinstance(open_pixels(tmp_path / "pixels.npy"), kind)
    assert isinstance(take(pixels, rows), kind)
    assert isinstance(join([PIXELS[:3], pixels.take(range(4))]), kind)
    assert torch.equal(take(pixels, rows)[:], PIXELS.flip(0))


def test_a_file_of_something_else_is_refused(tmp_path):
    np.save(tmp_path / "pixels.npy", np.zeros((2, 1, 8, 8), dtype=np.float32))
    with pytest.raises(DataError, match="images must be uint8"):
        open_pixels(tmp_path / "pixels.npy")


@pytest.mark.parametrize("rows", [range(7), [], [4, 4, 1]], ids=["all", "none", "some"])
def test_files_are_those_that_numpy_writes(tmp_path, rows):
    np.save(tmp_path / "numpy.npy", PIXELS[list(rows)].numpy())
    for pixels in (on_disk(tmp_path).take(rows), PIXELS[list(rows)]):
        save_pixels(pixels, tmp_path / "ours.npy")
        assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="this system does not list open files")
@pytest.mark.parametrize("lazily", [False, True])
def test_many_sets_hold_no_file_open(tmp_path, lazily):
    on_disk(tmp_path)
    before = len(list(Path("/dev/fd").iterdir()))
    opened = [open_pixels(tmp_path / "pixels.npy", lazily) for _ in range(20)]
    assert all(torch.equal(pixels[:], PIXELS) for pixels in opened)
    assert len(list(Path("/dev/fd").iterdir())) == before


def resident(path):
    """Return how many kB of a mapped file are resident."""
    found = re.findall(rf"{re.escape(str(path))}\n(?:.+\n)*?Rss: +(\d+) kB", Path("/proc/self/smaps").read_text())
    return sum(map(int, found))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says what is resident")
def test_pages_that_were_read_are_given_back(tmp_path):
    pixels = on_disk(tmp_path, torch.ones(64, 1, 256, 256, dtype=torch.uint8))
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    assert int(mapped.sum()) == 64 * 256 * 256
    assert resident(tmp_path / "pixels.npy") > 3000
    assert torch.equal(StoredPixels(mapped)[:], pixels[:])
    assert resident(tmp_path / "pixels.npy") == 0


# ---- image sets


def test_a_set_on_disk_is_the_set_in_memory(tmp_path, few_in_memory):
    images = toy_images(per_class=(5, 3), channels=3, groups=True, parts=True)
    images.save(tmp_path)
    loaded = ImageSet.load(tmp_path)
    assert isinstance(loaded.images, StoredPixels)
    assert contents(loaded) == contents(images)
    assert contents(loaded.take([6, 0, 0])) == contents(images.take([6, 0, 0]))
    assert contents(loaded.of_class(1).take([])) == contents(images.take([]))


def test_a_map_of_a_file_becomes_a_set_with_the_digests_of_its_pixels(tmp_path):
    on_disk(tmp_path)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    images = real_set(StoredPixels(mapped), torch.arange(7) % 2, ["a", "b"])
    assert images.digests == tuple(pixel_digest(image.numpy()) for image in PIXELS)
    assert images.shape == (2, 5, 6)
