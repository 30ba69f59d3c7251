"""A property beside the picture that gives the classes away is known to a study, and stays known in its store."""

import numpy as np
import pytest
from PIL import Image

from augury.study import DataSettings, for_images
from augury.study.layout import lay, read_images
from augury.study.store import FolderStore


def write(folder, formats):
    noise = np.random.default_rng(0)
    for k, extension in enumerate(formats):
        (folder / f"class {k}").mkdir(parents=True)
        for i in range(12):
            pixels = noise.integers(0, 256, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class {k}" / f"{i}.{extension}")
    return DataSettings(source=str(folder))


@pytest.mark.parametrize(("formats", "named"), [(("png", "jpg"), True), (("png", "png"), False)])
def test_a_format_that_gives_the_classes_away_is_said_beforehand_and_kept(tmp_path, formats, named):
    data = write(tmp_path / "set", formats)
    for _ in range(2):  # the second time from the store
        store = FolderStore(tmp_path / "store")
        read, prepared = read_images(data, store, given_split=False)
        assert ("format" in dict(prepared.shortcuts)) is named
    laid = lay(for_images(data, prepared.cleaned.images), read, prepared, store)
    assert any(line.startswith("shortcut: the file format alone") for line in laid.describe()) is named


@pytest.mark.parametrize(("classes", "moved"), [(2, False), (3, True)])
def test_no_threshold_is_moved_where_the_metric_goes_by_ranks(tmp_path, classes, moved):
    data = write(tmp_path / "set", ["png"] * classes)
    for i in range(4, 12):
        (tmp_path / "set" / "class 0" / f"{i}.png").unlink()  # uneven classes
    _, prepared = read_images(data, FolderStore(tmp_path / "store"), given_split=False)
    study = for_images(data, prepared.cleaned.images)
    assert ("moved threshold" in [arm.name for arm in study.arms]) is moved
