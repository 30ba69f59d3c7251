import csv
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from augury.errors import DataError, SettingsError
from augury.files import fresh_folder
from augury.generators import Blend, Repeat, load_sampler
from augury.models import fit_model, sample_model, slug
from augury.readers import ReadSettings
from augury.training import Run
from toy import stop_at_half, toy_images

TINY = ["hidden=[8]", "latent=2", "steps=6", "batch=8"]
HOSTILE = ("../x", "<script>", "=cmd()", 'a\nb,"c"', "😀", "", "CON", "x" * 300)


def write_pngs(images, root):
    """Write an image set as a folder per class, in part folders if it has parts."""
    for i, pixels in enumerate(images.images):
        part = images.parts[i] if images.parts else "."
        folder = root / part / images.classes[int(images.labels[i])]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0].numpy()).save(folder / f"{i}.png")
    return root


@pytest.fixture
def data(tmp_path):
    return write_pngs(toy_images(per_class=4, size=(8, 10)), tmp_path / "data")


@pytest.fixture
def out(tmp_path):
    """A name in a folder of its own, in which nothing else may appear."""
    (tmp_path / "made").mkdir()
    return tmp_path / "made" / "out"


def model_of(images, folder, recipe=None):
    folder.mkdir()
    (recipe or Blend()).fit(images, Run(0)).save(folder)
    return folder


def manifest(folder):
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- fitting


def test_a_model_is_fitted_with_its_settings_and_kept(data, out):
    told = []
    card = fit_model(data, "cvae", TINY, out, seed=3, device="cpu", on_step=lambda *step: told.append(step))
    assert load_sampler(out).card == card
    assert (card.kind, card.seed, card.counts, card.shape) == ("cvae", 3, (4, 4), (1, 8, 10))
    assert (card.settings["hidden"], card.settings["steps"]) == ([8], 6)
    assert told[-1] == (6, 6)


def test_a_model_can_be_fitted_in_another_size_and_on_the_training_part_only(tmp_path, out):
    images = toy_images(per_class=8, size=(20, 20), parts=True)
    card = fit_model(
        write_pngs(images, tmp_path / "data"),
        "repeat",
        [],
        out,
        how=ReadSettings(size=(8, 8)),
        part="train",
        device="cpu",
    )
    assert (card.counts, card.shape) == ((4, 4), (1, 8, 8))


@pytest.mark.parametrize(
    ("kind", "settings", "part", "error", "sentence"),
    [
        ("cvea", [], "all", SettingsError, "there is no generator 'cvea': did you mean 'cvae'?"),
        ("cvae", ["stepz=3"], "all", SettingsError, "cvae has no setting 'stepz': did you mean 'steps'?"),
        ("cvae", ["steps"], "all", SettingsError, "--set expects name=value"),
        ("repeat", [], "train", DataError, "these images have no given parts"),
    ],
)
def test_a_fit_that_cannot_be_meant_is_refused_and_leaves_nothing(data, out, kind, settings, part, error, sentence):
    with pytest.raises(error) as caught:
        fit_model(data, kind, settings, out, part=part, device="cpu")
    assert sentence in str(caught.value)
    assert not list(out.parent.iterdir())


def test_a_fit_that_is_stopped_leaves_nothing(data, out):
    with pytest.raises(KeyboardInterrupt):
        fit_model(data, "cvae", TINY, out, device="cpu", on_step=stop_at_half)
    assert not list(out.parent.iterdir())


# ---- sampling


def test_images_and_manifest_agree_with_what_the_sampler_draws(tmp_path, out):
    images = toy_images(channels=3, size=(8, 10))
    model = model_of(images, tmp_path / "model")
    assert sample_model(model, out, per_class=2, seed=5, device="cpu") == 4
    pool = load_sampler(model).draw(2, seed=5)
    rows = manifest(out)
    assert [row["path"] for row in rows[:3]] == [f"0{k}-class-{k}/00000{j}.png" for k, j in [(0, 0), (0, 1), (1, 0)]]
    assert [row["label"] for row in rows] == ["class 0", "class 0", "class 1", "class 1"]
    assert [int(row["seed"]) for row in rows] == list(pool.columns["seed"])
    assert {row["maker"] for row in rows} == {"blend"}
    for row, pixels in zip(rows, pool.images, strict=True):
        with Image.open(out / row["path"]) as image:
            assert np.array_equal(np.asarray(image), pixels.permute(1, 2, 0).numpy())


def test_grey_images_stay_grey(tmp_path, out):
    sample_model(model_of(toy_images(), tmp_path / "model"), out, per_class=1, device="cpu")
    with Image.open(out / "00-class-0" / "000000.png") as image:
        assert image.mode == "L"


def test_few_images_are_a_prefix_of_many(tmp_path, out):
    model = model_of(toy_images(), tmp_path / "model")
    few, many = out.with_name("few"), out.with_name("many")
    sample_model(model, few, per_class=3, device="cpu")
    sample_model(model, many, counts=["class 0=9", "class 1=5"], device="cpu")
    fewer, more = files(few), files(many)
    assert len(more) == 2 + 9 + 5
    assert all(more[name] == content for name, content in fewer.items() if name != "manifest.csv")
    assert [row for row in manifest(many) if row["path"] in fewer] == manifest(few)


def test_class_names_become_no_paths_no_formulas_and_no_broken_rows(tmp_path, out):
    images = replace(toy_images(classes=len(HOSTILE), per_class=2), classes=HOSTILE)
    sample_model(model_of(images, tmp_path / "model", Repeat()), out, per_class=2, device="cpu")
    rows = manifest(out)
    assert [row["label"].removeprefix("'") for row in rows] == [name for name in HOSTILE for _ in range(2)]
    assert rows[4]["label"] == "'=cmd()"
    assert all((out / row["path"]).is_file() for row in rows)
    assert {os.path.dirname(row["path"]).isascii() for row in rows} == {True}  # noqa: PTH120  a path of the CSV
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "model"]
    assert len(files(out)) == 2 + 2 * len(HOSTILE)


@pytest.mark.parametrize("name", [*HOSTILE, "..", ".", "/etc/passwd", "C:\\x", "a\0b"])
def test_a_slug_is_a_harmless_file_name(name):
    assert set(slug(name)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert 1 <= len(slug(name)) <= 40


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({}, SettingsError, "say how many: either --per-class N or --count CLASS=N."),
        ({"per_class": 1, "counts": ["class 0=1"]}, SettingsError, "say how many"),
        ({"counts": ["class 0"]}, SettingsError, "--count expects CLASS=N. Got 'class 0'."),
        ({"counts": ["=3"]}, SettingsError, "--count expects CLASS=N"),
        ({"counts": ["class 0=-3"]}, SettingsError, "--count expects CLASS=N"),
        ({"counts": ["class 0=²"]}, SettingsError, "--count expects CLASS=N"),
        ({"counts": ["clas 0=3"]}, DataError, "this model has no class 'clas 0': did you mean 'class 0'?"),
    ],
)
def test_a_sample_that_cannot_be_meant_is_refused_and_leaves_nothing(tmp_path, out, asked, error, sentence):
    model = model_of(toy_images(), tmp_path / "model")
    with pytest.raises(error) as caught:
        sample_model(model, out, device="cpu", **asked)
    assert sentence in str(caught.value)
    assert not list(out.parent.iterdir())


def test_a_sample_that_fails_half_way_leaves_nothing(tmp_path, out, monkeypatch):
    def full_disk(pixels):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("augury.models._image", full_disk)
    with pytest.raises(DataError, match="cannot be written: No space left on device"):
        sample_model(model_of(toy_images(), tmp_path / "model"), out, per_class=1, device="cpu")
    assert not list(out.parent.iterdir())


def test_a_folder_that_is_no_model_is_a_sentence(tmp_path, out):
    with pytest.raises(DataError, match=r"a fitted generator .* was expected at"):
        sample_model(tmp_path, out, per_class=1, device="cpu")


# ---- whole folders


def test_a_taken_folder_is_left_as_it_is(data, tmp_path, out):
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"out exists already. Name another folder, or remove it"):
        fit_model(data, "repeat", [], out, device="cpu")
    with pytest.raises(DataError, match="exists already"):
        sample_model(model_of(toy_images(), tmp_path / "model"), out, per_class=1, device="cpu")
    assert files(out) == {"mine.txt": b"mine"}


def test_a_file_of_that_name_is_left_as_it_is(out):
    out.write_text("mine")
    with pytest.raises(DataError, match="exists already"), fresh_folder(out):
        pytest.fail("the block must not run")
    assert out.read_text() == "mine"


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_or_a_deep_folder_is_taken(out, exists):
    target = out if exists else out / "very" / "deep"
    if exists:
        target.mkdir()
    with fresh_folder(target) as folder:
        (folder / "a").write_text("a")
    assert files(target) == {"a": b"a"}
