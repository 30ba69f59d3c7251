"""Classes that are called otherwise, joined or left out, through every reader and from every place."""

import json
import sys

import numpy as np
import pytest

import augury
from augury.cli import main
from augury.errors import DataError, SettingsError
from augury.generators.base import Card
from augury.readers import ReadSettings, content_digest, parse_classes, read, read_source
from augury.study import dump_study, for_images, load_study
from augury.study.study import DataSettings
from pictures import as_table, as_zip, grey, save

JOINED = {"mel": "malignant", "bcc": "malignant", "other": ""}


@pytest.fixture
def folder(tmp_path):
    """Four classes: two images of mel and nv each, one of bcc and of other."""
    for i, name in enumerate(("bcc/1", "mel/1", "mel/2", "nv/1", "nv/2", "other/1")):
        save(tmp_path / f"data/{name}.png", grey(i))
    return tmp_path / "data"


def as_arrays(folder):
    names = ["bcc", "mel", "nv", "other"]
    pixels = np.stack([grey(i) for i in range(6)])
    np.savez(folder.parent / "data.npz", images=pixels, labels=[0, 1, 1, 2, 2, 3], classes=names)
    return folder.parent / "data.npz"


@pytest.mark.parametrize("source", [lambda folder: folder, as_table, as_zip, as_arrays])
def test_classes_of_one_name_are_one_and_an_empty_name_leaves_one_out(folder, source):
    where = source(folder)
    images = read(where, classes=JOINED)
    assert images.classes == ("malignant", "nv")
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert np.array_equal(images.images[:, 0].numpy(), np.stack([grey(i) for i in range(5)]))
    assert read(where).classes == ("bcc", "mel", "nv", "other")


def test_what_is_known_of_the_images_goes_with_them(folder):
    reading = read_source(folder, ReadSettings(classes=tuple(JOINED.items())))
    whole = read_source(folder, ReadSettings())
    assert reading.facts == whole.facts[:5]
    assert np.array_equal(reading.thumbnails, whole.thumbnails[:5])
    assert reading.images.names == whole.images.names[:5]


def test_the_files_are_the_same_and_the_settings_are_not(folder):
    assert content_digest(folder, ReadSettings(classes=tuple(JOINED.items()))) == content_digest(folder)
    assert ReadSettings(classes=JOINED) == ReadSettings(classes=tuple(reversed(JOINED.items()))) != ReadSettings()


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ({"mell": "malignant"}, "'classes' renames 'mell', and no class is called that: did you mean 'mel'"),
        ({"bcc": "nv", "mel": "nv", "other": ""}, "at least 2 classes are needed .* Got only 'nv'"),
        ({"bcc": "", "mel": "", "nv": "", "other": ""}, "at least 2 classes are needed .* Got none"),
    ],
)
def test_what_leaves_no_two_classes_or_is_not_there_is_refused(folder, classes, sentence):
    with pytest.raises(DataError, match=sentence):
        read(folder, classes=classes)


def test_on_the_command_line_a_name_may_hold_anything():
    assert parse_classes(["a=b=c", "normal, benign=benign", "x="]) == (
        ("a=b", "c"),
        ("normal, benign", "benign"),
        ("x", ""),
    )
    for wrong in ("mel", "=malignant"):
        with pytest.raises(SettingsError, match="a class is renamed like mel=malignant"):
            parse_classes([wrong])


def test_look_and_fit_take_them(folder, tmp_path, capsys, monkeypatch):
    def called(*command):
        monkeypatch.setattr(sys, "argv", ["augury", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    words = [word for name, new in JOINED.items() for word in ("--classes", f"{name}={new}")]
    assert called("look", str(folder), "--json", *words) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == {"malignant": 3, "nv": 2}
    model = tmp_path / "model"
    assert called("fit", str(folder), "--generator", "repeat", "-o", str(model), *words) == 0
    assert Card.load(model).classes == ("malignant", "nv")


def test_a_study_file_names_them_and_keeps_them(folder, tmp_path):
    data = DataSettings(source=str(folder), classes=JOINED)
    study = for_images(data, read(folder, classes=JOINED), augury.SmallCNNClassifier(), (augury.CVAE(),))
    (tmp_path / "study.toml").write_text(dump_study(study), encoding="utf-8")
    again = load_study(tmp_path / "study.toml")
    assert again == study
    assert dict(again.data.classes) == JOINED
    assert "[data.classes]" in dump_study(study)
