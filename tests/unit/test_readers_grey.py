"""Colour images read as grey, through every reader and from every place where it can be asked for."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

import augury
from augury.cli import main
from augury.duplicates import thumbnail
from augury.errors import DataError, SettingsError
from augury.look import look
from augury.readers import ReadSettings, content_digest, read, read_source
from augury.resizing import resized
from augury.study import DataSettings, dump_study, for_images, load_study
from augury.study.layout import read_images
from augury.study.store import MemoryStore
from pictures import as_table, as_zip, colour, grey, png, save, shown

GREY = ReadSettings(channels="grey")


def luma(pixels):
    """ITU-R BT.601, of uint8 (..., 3)."""
    return pixels.astype(np.float64) @ [0.299, 0.587, 0.114]


def pillows(pixels):
    return np.array(Image.fromarray(pixels).convert("L"))


@pytest.fixture
def folder(tmp_path):
    """Two classes of two images: two in colour, one grey, one grey that is stored as colour."""
    save(tmp_path / "data/a/1.png", colour(0))
    save(tmp_path / "data/a/2.png", grey(1))
    save(tmp_path / "data/b/1.png", colour(2))
    save(tmp_path / "data/b/2.png", np.repeat(grey(3)[..., None], 3, axis=2))
    return tmp_path / "data"


# ---- through every reader


@pytest.mark.parametrize("source", [lambda folder: folder, as_table, as_zip], ids=["folder", "manifest", "zip"])
def test_files_become_their_luma_and_grey_ones_stay(folder, source):
    where = source(folder)
    assert read(where).shape == (3, 12, 10)
    images = read(where, channels="grey")
    assert (images.shape, len(images)) == ((1, 12, 10), 4)
    for name, seed in (("a/1.png", 0), ("b/1.png", 2)):
        assert np.array_equal(shown(images, name)[0], pillows(colour(seed)))
        assert np.abs(shown(images, name)[0] - luma(colour(seed))).max() <= 1
    assert np.array_equal(shown(images, "a/2.png")[0], grey(1))
    assert np.array_equal(shown(images, "b/2.png")[0], grey(3))


@pytest.mark.parametrize("layout", ["parts", "plain"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_colour_arrays_become_their_luma(tmp_path, layout, order):
    pixels = np.stack([colour(seed, 28, 28) for seed in range(4)])
    prefix = "train_" if layout == "parts" else ""
    held = {f"{prefix}images": np.asarray(pixels, order=order), f"{prefix}labels": np.array([[0], [1], [0], [1]])}
    np.savez(tmp_path / "set.npz", **held)
    images = read(tmp_path / "set.npz", channels="grey")
    assert images.shape == (1, 28, 28)
    assert np.array_equal(images.images[:, 0].numpy(), np.stack([pillows(image) for image in pixels]))


def test_a_colour_set_of_medmnist_becomes_grey(tmp_path, monkeypatch):
    medmnist = pytest.importorskip("medmnist")
    monkeypatch.setattr(medmnist.info, "DEFAULT_ROOT", str(tmp_path))
    pixels = np.stack([colour(seed, 28, 28) for seed in range(14)])
    held = {"images": pixels, "labels": np.arange(14)[:, None] % 7}
    parts = ("train", "val", "test")
    np.savez(tmp_path / "dermamnist.npz", **{f"{part}_{kind}": held[kind] for part in parts for kind in held})
    images = read("medmnist:dermamnist", channels="grey")
    assert (images.shape, len(images), images.classes[4]) == ((1, 28, 28), 42, "melanoma")
    assert np.array_equal(images.images[14, 0].numpy(), pillows(pixels[0]))


def test_grey_sources_are_read_as_ever():
    as_ever, asked = read("digits"), read("digits", channels="grey")
    assert np.array_equal(as_ever.images.numpy(), asked.images.numpy())
    assert as_ever.digests == asked.digests


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_of_colour_becomes_the_luma_of_what_is_shown(folder, mode):
    ending, options = ("tif", {}) if mode in ("CMYK", "YCbCr") else ("png", {})
    picture = Image.fromarray(colour(5, 40, 40)).convert(mode)
    picture.save(folder / f"a/x.{ending}", **options)
    in_colour = shown(read(folder, size=40), f"a/x.{ending}")
    found = shown(read(folder, size=40, channels="grey"), f"a/x.{ending}")
    assert np.abs(found[0] - luma(in_colour.transpose(1, 2, 0))).max() <= 1


def test_colours_are_left_out_before_images_are_resized(folder):
    save(folder / "a/1.png", colour(6, 50, 70))
    images = read(folder, size=16, channels="grey")
    assert np.array_equal(shown(images, "a/1.png"), resized(pillows(colour(6, 50, 70))[None], (16, 16), "stretch"))


@pytest.mark.parametrize("size", ["auto", 24])
def test_many_files_become_grey_in_every_process(tmp_path, size):
    for i in range(300):
        save(tmp_path / f"data/{'ab'[i % 2]}/{i:03}.png", colour(i))
    images = read(tmp_path / "data", size=size, channels="grey")
    assert (images.shape[0], len(set(images.digests))) == (1, 300)


# ---- digests, facts, duplicates


def test_a_picture_and_its_grey_copy_are_one_picture_only_when_read_grey(folder):
    save(folder / "b/copy.png", pillows(colour(0)))
    digests = [
        {name: images.digests[images.names.index(name)] for name in ("a/1.png", "b/copy.png")}
        for images in (read(folder), read(folder, channels="grey"))
    ]
    assert len(set(digests[0].values())) == 2
    assert set(digests[1].values()) == {digests[0]["b/copy.png"]}
    exact = [{frozenset(twins.names) for twins in look(folder, how).twins if twins.exact} for how in (None, GREY)]
    assert exact == [set(), {frozenset({"a/1.png", "b/copy.png"})}]


def test_facts_tell_of_the_files_and_thumbnails_stay_alike(folder):
    as_ever, asked = read_source(folder, ReadSettings()), read_source(folder, GREY)
    assert as_ever.facts == asked.facts
    assert [facts.mode for facts in asked.facts] == ["RGB", "L", "RGB", "RGB"]
    assert np.array_equal(asked.thumbnails[0], thumbnail(pillows(colour(0))[None]))
    assert np.abs(as_ever.thumbnails.astype(int) - asked.thumbnails).mean() < 1


def test_the_content_of_a_source_is_the_same_however_it_is_read(folder):
    assert content_digest(folder) == content_digest(folder, GREY)


# ---- where it can be asked for


def test_other_channels_are_refused():
    with pytest.raises(SettingsError, match=r"channels of read: expected one of: 'auto', 'grey'. Got 'gray'"):
        augury.read("digits", channels="gray")


def test_a_study_file_holds_it(folder, tmp_path):
    settings = DataSettings(source=str(folder), channels="grey")
    study = for_images(settings, read(folder), preset="quick")
    (tmp_path / "study.toml").write_text(dump_study(study))
    again = load_study(tmp_path / "study.toml")
    assert 'channels = "grey"' in dump_study(study)
    assert (again, again.data.how().channels) == (study, "grey")


def test_a_study_reads_grey_and_tells_it_from_colour(folder):
    store = MemoryStore()
    settings = [DataSettings(source=str(folder), channels=channels) for channels in ("auto", "grey")]
    reads = [read_images(one, store, given_split=False) for one in settings]
    assert [prepared.cleaned.images.shape[0] for _, prepared in reads] == [3, 1]
    assert reads[0][0] != reads[1][0]


def augury_says(monkeypatch, *words):
    """Run `augury ...`; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["augury", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize(("option", "channels", "copies"), [([], 3, 0), (["--grey"], 1, 1)])
def test_look_takes_it(folder, monkeypatch, capsys, option, channels, copies):
    (folder / "b/copy.png").write_bytes(png(pillows(colour(0))))
    assert not augury_says(monkeypatch, "look", folder, "--json", *option)
    said = json.loads(capsys.readouterr().out)
    assert (said["shape"], len(said["exact_duplicates"])) == ([channels, 12, 10], copies)


@pytest.mark.parametrize(("option", "channels"), [([], "auto"), (["--grey"], "grey")])
def test_try_takes_it(folder, monkeypatch, tmp_path, option, channels):
    asked = []

    def stop(settings, *_, **__):
        asked.append(settings.channels)
        raise DataError("seen enough")

    monkeypatch.setattr("augury.study.layout.read_images", stop)
    assert augury_says(monkeypatch, "try", folder, "-o", tmp_path / "try", *option)
    assert asked == [channels]


@pytest.mark.parametrize(("option", "channels"), [([], 3), (["--grey"], 1)])
def test_fit_takes_it(folder, tmp_path, monkeypatch, option, channels):
    words = ("--generator", "repeat", "--force", "-o", tmp_path / "model")
    assert not augury_says(monkeypatch, "fit", folder, *words, *option)
    assert not augury_says(monkeypatch, "sample", tmp_path / "model", "--per-class", 1, "-o", tmp_path / "drawn")
    assert read(tmp_path / "drawn").shape == (channels, 12, 10)
