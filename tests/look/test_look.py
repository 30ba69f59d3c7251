import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.look import as_json, as_text, findings, look
from augury.readers import ReadSettings

SHARED = Path(__file__).parents[3] / "shared" / "data"
real = pytest.mark.skipif(not SHARED.exists(), reason="the real sets are not here")
CLASSES = ("a", "b")


def smooth(seed, H=60, W=48):
    """Return a random smooth grey picture."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 7), dtype=np.uint8)
    return Image.fromarray(small).resize((W, H), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    """Two classes of eight pictures each."""
    root = tmp_path / "set"
    for k, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(8):
            smooth(100 * k + i).save(root / name / f"{i}.png")
    return root


def seen_by(source, **settings):
    return look(source, ReadSettings(**settings))


def topics(seen, weight="warning"):
    return [finding.topic for finding in findings(seen) if finding.weight == weight]


def test_a_clean_folder_gives_counts_and_no_false_alarm(folder):
    seen = seen_by(folder)
    assert seen.counts == {"a": {"": 8}, "b": {"": 8}}
    assert (seen.sizes, seen.formats, seen.modes) == ({"60 x 48": 16}, {"PNG": 16}, {"L": 16})
    assert topics(seen) == ["classes", "groups"]  # eight images are few, and no groups are given
    assert topics(seen, "good") == ["exact", "near"]


def test_duplicates_are_told_apart_by_where_they_lie(folder):
    smooth(0).save(folder / "a" / "copy.png")
    smooth(1).save(folder / "b" / "copy.png")
    smooth(2).resize((96, 120), Image.Resampling.BICUBIC).save(folder / "b" / "larger.png")
    seen = seen_by(folder)
    kinds = {twins.names: (twins.exact, twins.kind) for twins in seen.twins}
    assert kinds == {
        ("a/0.png", "a/copy.png"): (True, "within a class"),
        ("a/1.png", "b/copy.png"): (True, "across classes"),
        ("a/2.png", "b/larger.png"): (False, "across classes"),
    }
    said = {finding.seen: finding.study for finding in findings(seen)}
    text = "1 group of exact duplicates across classes, first: a/1.png (a) = b/copy.png (b)"
    assert said[text] == "sets all copies aside and lists them"


def test_duplicates_across_given_parts_are_named_with_their_parts(folder, tmp_path):
    rows = ["path,label,split"]
    rows += [f"{name}/{i}.png,{name},{'test' if i > 5 else 'train'}" for name in CLASSES for i in range(8)]
    smooth(0).save(folder / "a" / "copy.png")
    (folder / "m.csv").write_text("\n".join([*rows, "a/copy.png,a,test"]))
    seen = seen_by(folder / "m.csv")
    (twins,) = seen.twins
    assert (twins.kind, twins.parts) == ("across given splits", ("train", "test"))
    assert seen.counts == {"a": {"train": 6, "test": 3}, "b": {"train": 6, "test": 2}}
    assert any("first: train: a/0.png = test: a/copy.png" in finding.seen for finding in findings(seen))


def test_unreadable_files_are_listed_with_what_a_study_does(folder):
    (folder / "a" / "0.png").write_bytes(b"no image")
    (folder / "b" / "notes.txt").write_text("hello")
    seen = seen_by(folder)
    assert [item.name for item in seen.reading.skipped] == ["a/0.png", "b/notes.txt"]
    assert "unreadable" in topics(seen)
    assert [line for line in as_text(seen) if line.startswith("unreadable")] == ["unreadable: 2 files"]


@pytest.mark.parametrize("property", ["format", "mode", "size", "border"])
def test_each_shortcut_that_is_put_in_is_found_and_no_other_is(folder, property):
    for i in range(8, 60):
        for k, name in enumerate(CLASSES):
            picture = smooth(1000 * k + i)
            if property == "mode" and name == "b":
                picture = picture.convert("RGB")
            if property == "size" and name == "b":
                picture = smooth(1000 * k + i, 90, 48)
            if property == "border" and name == "b":
                picture.paste(0, (0, 0, 48, 4))
                picture.paste(0, (0, 0, 4, 60))
            kind = "jpg" if property == "format" and name == "b" else "png"
            picture.save(folder / name / f"{i}.{kind}")
    found = {shortcut.property: shortcut for shortcut in seen_by(folder).shortcuts if shortcut.gives_away}
    assert list(found) == [property]
    assert found[property].score > 0.8
    assert found[property].chance == 0.5


def test_too_few_groups_tell_nothing_of_shortcuts(folder):
    Image.open(folder / "a" / "0.png").save(folder / "a" / "0.bmp")  # two formats: something that could differ
    assert seen_by(folder, group=r"(?P<group>[a-z]+)$").shortcuts == ()  # a group per format


def test_files_that_lie_and_hold_several_pictures_are_noted(folder):
    smooth(50).save(folder / "a" / "liar.png", format="JPEG")
    smooth(51).save(folder / "a" / "film.gif", save_all=True, append_images=[smooth(52)])
    seen = seen_by(folder)
    assert seen.misnamed == ("a/liar.png",)
    assert seen.several == 1


def test_images_on_which_there_is_nothing_are_named(folder):
    Image.new("L", (48, 60), 17).save(folder / "a" / "black.png")
    noise = np.random.default_rng(0).normal(200, 1.0, (60, 48)).round().astype(np.uint8)
    Image.fromarray(noise).save(folder / "b" / "empty.png")
    faint = np.random.default_rng(0).normal(200, 4.0, (60, 48)).round().astype(np.uint8)
    Image.fromarray(faint).save(folder / "b" / "faint.png")
    seen = seen_by(folder)
    assert list(seen.blank) == as_json(seen)["blank"] == ["a/black.png", "b/empty.png"]
    assert "2 images nearly of one value, first a/black.png" in [item.seen for item in findings(seen)]


def test_groups_are_counted_by_class_and_those_across_classes_are_noted(folder):
    seen = seen_by(folder, group=r"(?P<group>\d)\.png")
    assert seen.group_sizes == (2,) * 8
    assert seen.groups_in_classes == {"a": 8, "b": 8}
    assert any("8 groups with images of several classes, first '0'" in finding.seen for finding in findings(seen))


def test_a_class_too_small_for_a_split_is_a_warning_not_an_error(folder):
    for i in range(2, 8):
        (folder / "b" / f"{i}.png").unlink()
    (finding,) = [item for item in findings(seen_by(folder)) if item.seen == "class 'b' has 2 images"]
    assert finding.study == "none: a split needs 3"


def test_json_holds_everything_that_the_text_says(folder):
    smooth(0).save(folder / "a" / "copy.png")
    values = json.loads(json.dumps(as_json(seen_by(folder))))
    assert values["images"] == 17
    assert values["classes"] == {"a": 9, "b": 8}
    assert values["exact_duplicates"][0]["names"] == ["a/0.png", "a/copy.png"]
    assert values["near_duplicates"] == values["unreadable"] == []
    assert values["groups"] is None
    text = "\n".join(as_text(seen_by(folder)))
    assert all(finding["seen"] in text for finding in values["findings"])


# ---- real sets


@real
def test_breastmnist_has_one_picture_in_train_and_test_under_both_labels():
    twins = [twins for twins in look(SHARED / "breastmnist.npz").twins if twins.exact]
    assert [(item.names, item.labels) for item in twins] == [
        (("train/115", "test/76"), ("malignant", "normal, benign"))
    ]
    assert twins[0].kind == "across classes and across given splits"


@real
def test_covid_ct_has_two_near_pairs_across_classes_and_parts_and_its_format_gives_the_class_away():
    seen = look(SHARED / "covid_ct_manifest.csv")
    across = {
        tuple(name.rpartition("/")[2] for name in twins.names)
        for twins in seen.twins
        if not twins.exact and twins.across_classes and twins.across_parts
    }
    assert across == {("kjr-21-e24-p5-29.png", "71%0.jpg"), ("kjr-21-e24-p5-31.png", "71%1.jpg")}
    assert "format" in [shortcut.property for shortcut in seen.shortcuts if shortcut.gives_away]
    assert len(seen.misnamed) == 34


@real
def test_pneumoniamnist_has_27_exact_groups_and_no_chain_of_look_alikes():
    seen = look(SHARED / "pneumoniamnist_rebuilt.npz")
    assert sum(twins.exact for twins in seen.twins) == 27
    assert sum(twins.exact and twins.across_parts for twins in seen.twins) == 8
    assert max((len(twins.names) for twins in seen.twins if not twins.exact), default=0) <= 4
