import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import augury
from augury.classifiers.base import Exposure, Trained
from augury.errors import DataError, LeakError, SettingsError
from augury.generators import External, Repeat, load_sampler
from augury.images import pixel_digest
from augury.models import sample_model
from augury.study.identity import digest
from augury.study.presets import named_generator
from augury.training import Run
from law import DiscriminantPredictor
from pictures import colour, grey, pack, save, wide
from toy import toy_images

TRAIN = toy_images(size=(12, 10))
COLOURED = toy_images(size=(12, 10), channels=3)
A, B = TRAIN.classes


@pytest.fixture
def made(tmp_path):
    """Three images of each class: other sizes, other modes, one that fits."""
    root = tmp_path / "made"
    for name in (A, B):
        start = 10 * (name == B)
        save(root / name / "fits.png", grey(start))
        save(root / name / "large.png", grey(start + 1, 30, 20))
        save(root / name / "wide.png", wide(start + 2, 24, 40))
    return root


@pytest.fixture
def modes(made):
    save(made / A / "colour.png", colour(3))
    save(made / A / "alpha.png", np.dstack([colour(4, 9, 9), grey(5, 9, 9)]))
    return made


def fitted(source, train=TRAIN, seed=0, **settings):
    return External(source=str(source), **settings).fit(train, Run(seed=seed))


def model_of(recipe, folder, images=TRAIN):
    (folder / "model").mkdir()
    recipe.fit(images, Run(seed=0)).save(folder / "model")
    return folder / "model"


def drawn_by(recipe, folder, *, images=TRAIN, per_class=4):
    """Let a generator draw, as `augury sample` does."""
    sample_model(model_of(recipe, folder, images), folder / "drawn", per_class=per_class, device="cpu")
    return folder / "drawn"


def classifier_of(train):
    trained = Trained.of(train, Exposure(1, 1, 1, 1, 0.5, 1))
    return DiscriminantPredictor(trained, torch.zeros(64, 2, dtype=torch.float64), torch.zeros(2))


# ---- reading


@pytest.mark.parametrize("fitting", ["stretch", "crop", "pad"])
@pytest.mark.parametrize(("train", "channels"), [(TRAIN, "grey"), (COLOURED, "auto")], ids=["grey", "colour"])
def test_images_of_any_size_and_mode_become_what_the_reader_makes_of_them(modes, train, channels, fitting):
    pool = fitted(modes, train, fitting=fitting).draw(9, seed=0)
    read = augury.read(modes, size=(12, 10), fit=fitting, channels=channels)
    assert (pool.shape, pool.counts()) == (train.shape, (5, 3))
    pixels = dict(zip(read.digests, read.images, strict=True))
    assert all(torch.equal(image, pixels[d]) for image, d in zip(pool.images, pool.digests, strict=True))


def test_grey_images_take_part_in_colour(made):
    pool = fitted(made, COLOURED).draw(3, seed=0)
    assert pool.shape == (3, 12, 10)
    assert torch.equal(pool.images[:, 0], pool.images[:, 2])


@pytest.mark.parametrize("form", ["folder", "zip", "npz", "csv"])
def test_every_source_that_can_be_read_will_do(form, tmp_path):
    folder = drawn_by(Repeat(), tmp_path)
    read = augury.read(folder / "manifest.csv")
    np.savez(tmp_path / "made.npz", images=read.images[:, 0].numpy(), labels=read.labels, classes=read.classes)
    members = [(str(path.relative_to(tmp_path)), path.read_bytes()) for path in folder.rglob("*.*")]
    places = {"folder": folder, "csv": folder / "manifest.csv", "npz": tmp_path / "made.npz"}
    sampler = fitted(places.get(form) or pack(tmp_path / "made.zip", members))
    assert sorted(sampler.draw(9, seed=0).digests) == sorted(read.digests)
    assert sampler.unknown_training_set is (form == "npz")  # which lies elsewhere, without seen.json


def test_a_table_of_augury_names_classes_that_are_no_folder_names_and_real_images_are_left_out(tmp_path):
    odd = replace(TRAIN, classes=("=cmd()", "Nävus/x"))
    folder = drawn_by(Repeat(), tmp_path, images=odd)
    table = (folder / "manifest.csv").read_text(encoding="utf-8").splitlines()
    (folder / "manifest.csv").write_text("\n".join([*table[:-1], table[-1].replace("repeat", "")]), encoding="utf-8")
    assert fitted(folder, odd).draw(9, seed=0).counts() == (4, 3)


def test_a_column_of_a_table_that_is_not_of_augury_is_no_maker(made):
    rows = [f"{path.relative_to(made)},{path.parent.name}," for path in sorted(made.rglob("*.png"))]
    (made / "scans.csv").write_text("\n".join(["path,label,maker", *rows]))
    assert fitted(made / "scans.csv").draw(9, seed=0).counts() == (3, 3)


def test_a_file_that_cannot_be_read_is_named_or_left_out(made):
    (made / A / "broken.png").write_bytes((made / A / "fits.png").read_bytes()[:60])
    (made / B / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"broken.png cannot be read .* 1 more cannot .* skip_unreadable = true"):
        fitted(made)
    sampler = fitted(made, skip_unreadable=True)
    assert sampler.draw(9, seed=0).counts() == (3, 3)
    assert "2 of 8 images made elsewhere could not be read and were left out" in sampler.notes[0]


def test_a_source_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"the images made elsewhere: no images at .*nothing there: check the path"):
        External(source=str(tmp_path / "nowhere")).identity()


def test_without_a_source_it_says_where_to_write_it():
    with pytest.raises(SettingsError, match=r"a 'source' was expected.* source = \"synthetic/\""):
        named_generator("external")
    with pytest.raises(SettingsError, match=r"external has no setting 'sorce': did you mean 'source'"):
        External(sorce="x")


# ---- classes


def test_an_unknown_class_names_the_nearest_and_is_mapped_or_left_out(made):
    (made / A).rename(made / "Class 0")
    with pytest.raises(DataError, match=r"a class 'Class 0', .* did you mean 'class 0'. .* classes = { \"Class 0\" = "):
        fitted(made)
    with pytest.raises(DataError, match=r"by 'classes' 'class 9', which the study does not have"):
        fitted(made, classes={"Class 0": "class 9"})
    assert fitted(made, classes={"Class 0": A}).draw(9, seed=0).counts() == (3, 3)
    assert fitted(made, classes={"Class 0": B}).draw({B: 9}, seed=0).counts() == (0, 6)
    assert fitted(made, classes={"Class 0": ""}).draw({B: 9}, seed=0).counts() == (0, 3)


def test_a_class_without_images_can_be_left_alone_and_not_be_drawn(made):
    sampler = fitted(made, toy_images(classes=3))
    assert sampler.draw({A: 2, "class 2": 0}, seed=0).counts() == (2, 0, 0)
    for draw in (lambda: sampler.draw({"class 2": 1}, seed=0), lambda: sampler.sample(torch.tensor([2]), [7])):
        with pytest.raises(DataError, match=r"class 'class 2' .* none .* per_class = { \"class 2\" = 0 }"):
            draw()


@pytest.mark.parametrize("table", [False, True])
def test_images_of_the_rare_class_alone_will_do(table, made, tmp_path):
    if table:
        sample_model(model_of(Repeat(), tmp_path), tmp_path / "drawn", counts=[f"{B}=3"], device="cpu")
    else:
        shutil.rmtree(made / A)
    assert fitted(tmp_path / "drawn" if table else made).draw({B: 9}, seed=0).counts() == (0, 3)


# ---- drawing


def test_each_image_is_drawn_once_in_an_order_of_the_seed_and_then_no_more(made):
    sampler = fitted(made)
    pool = sampler.draw(9, seed=0)
    assert sorted(pool.digests) == sorted(augury.read(made, size=(12, 10)).digests)
    chunks = [sampler.draw_rows([1] * 2, range(start, start + 2), seed=0) for start in (0, 2, 4)]
    assert [len(chunk) for chunk in chunks] == [2, 1, 0]
    assert chunks[0].digests + chunks[1].digests == pool.of_class(1).digests
    orders = {sampler.draw({A: 9}, seed=seed).digests for seed in range(20)}
    assert len(orders) == 6  # of three images


def test_by_seeds_images_come_with_replacement_and_all_alike_often(made):
    images = fitted(made).sample(torch.zeros(3000, dtype=torch.int64), [augury.seeds.seed_for(i) for i in range(3000)])
    _, counts = images.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 3
    assert counts.min() > 900  # 1000 expected, standard deviation 26


# ---- identity


def test_content_decides_the_identity_and_its_place_does_not(made, tmp_path):
    there = shutil.copytree(made, tmp_path / "there")
    first, second = External(source=str(made)), External(source=str(there))
    assert digest(first) == digest(second)
    (there / "seen.json").write_text('{"maker": "x", "seen": []}')
    assert digest(first) != digest(second)
    (there / "seen.json").unlink()
    save(there / A / "fits.png", grey(99))
    assert digest(first) != digest(second)
    assert digest(first) != digest(first.replace(classes={A: B}))


# ---- leaks


def test_what_a_maker_saw_stays_with_its_images(tmp_path):
    sampler = fitted(drawn_by(Repeat(), tmp_path, images=toy_images(seed=3)))
    assert sampler.draw(1, seed=0).seen == frozenset(TRAIN.digests) | frozenset(toy_images(seed=3).digests)
    (tmp_path / "kept").mkdir()
    sampler.save(tmp_path / "kept")
    loaded = load_sampler(tmp_path / "kept")
    assert (loaded.card, loaded.unknown_training_set, loaded.notes) == (sampler.card, False, ())


def test_images_drawn_from_images_of_unknown_origin_claim_nothing(made, tmp_path):
    assert fitted(made).unknown_training_set
    assert not (drawn_by(External(source=str(made)), tmp_path) / "seen.json").exists()


@pytest.mark.parametrize("text", ["[]", "{", '{"seen": 3}', '{"seen": [3]}', "[" * 100_000])
def test_a_list_of_seen_images_that_is_none_is_a_sentence(made, text):
    (made / "seen.json").write_text(text)
    with pytest.raises(DataError, match=r"seen.json should list the images that their maker saw"):
        fitted(made)


def test_an_image_that_is_a_real_one_cannot_score_it(made):
    test = augury.read(made, size=(12, 10))
    mixed = augury.mix(TRAIN, fitted(made).draw(3, seed=0), (3, 3))
    with pytest.raises(LeakError, match="6 of the 6 images to be scored"):
        classifier_of(mixed).predict(test)


def test_copies_of_training_images_are_counted(tmp_path):
    sampler = fitted(drawn_by(Repeat(), tmp_path, per_class=1))
    assert "2 of 2 images made elsewhere are training images themselves, first" in sampler.notes[0]


def test_seen_json_lists_what_a_generator_saw_and_who_drew(tmp_path):
    folder = drawn_by(Repeat(), tmp_path)
    record = json.loads((folder / "seen.json").read_text())
    assert record == {"maker": "repeat", "seen": sorted(pixel_digest(image.numpy()) for image in TRAIN.images)}
