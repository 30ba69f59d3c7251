"""Sets that are handed over: what is chosen, what is written, what the card says, and how they are read back."""

import csv
import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from torchvision.datasets import ImageFolder

from augury import handover
from augury.curation import vectors_of
from augury.duplicates import near_duplicates, thumbnail
from augury.errors import DataError, LeakError, SettingsError
from augury.generators import Blend, Repeat
from augury.handover import handing, write
from augury.handover.choice import ALIKE, COPY, SPARE, TWICE, choose
from augury.handover.nearness import audit, look_alikes, nearest_images, seen_and_new
from augury.handover.plan import Curation, Usual, _usual, from_generator, parse_amount
from augury.handover.write import class_folders, link_or_copy
from augury.images import ImageSet, pixel_digest
from augury.look import look
from augury.models import fit_model
from augury.policies import policy_from
from augury.readers import ReadSettings, read
from augury.selections import Diverse
from pictures import colour, grey, save
from tiny import TINY_CLASSIFIERS
from toy import nothing_touched, toy_images


@pytest.fixture
def data(tmp_path):
    """Write images of two classes, of 26 x 24 pixels: 9 and 5."""
    images = toy_images(channels=3, size=(26, 24), per_class=(9, 5))
    for name, label, image in zip(images.names, images.labels.tolist(), images.images, strict=True):
        save(tmp_path / "data" / "ab"[label] / name.replace("/", "-"), image.permute(1, 2, 0).numpy())
    return tmp_path / "data"


def ready(data, out, **changes):
    """Hand over blends, which differ from all real images."""
    wanted = {"generator": "blend", "settings": ["parents=3"], "to": "balance"}
    return handover.augment(data, out, **{**wanted, **changes})


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


class Drawn:
    """Draws some images in order, whatever the seed."""

    def __init__(self, card, images):
        self.card, self.images = card, images

    def draw(self, counts, *, seed):
        rows = [
            row
            for label, name in enumerate(self.images.classes)
            for row in np.flatnonzero(self.images.labels.numpy() == label)[: counts[name]]
        ]
        pool = self.images.take(rows)
        return replace(pool, columns={"seed": rows, "maker": ["toy"] * len(rows)}, names=[f"toy/{r}" for r in rows])


# ---- how many


@pytest.mark.parametrize(
    ("text", "policy"), [("balance", "balance"), ("500", "level 500"), ("ratio:0.5", "ratio 0.5"), ("add:3", "add 3")]
)
def test_an_amount_is_one_of_the_policies(text, policy):
    assert parse_amount(text) == policy_from(policy)


@pytest.mark.parametrize("text", ["", "many", "ratio", "-5", "ratio:much"])
def test_an_amount_that_is_none_is_refused_with_the_three_ways(text):
    with pytest.raises(SettingsError, match=r"--to expects balance, N \(of each class\) or ratio:R. Got"):
        parse_amount(text)


def test_nothing_to_add_is_said(data, tmp_path):
    with pytest.raises(SettingsError, match=r"'level 5' asks for no more than there is .a: 9, b: 5."):
        ready(data, tmp_path / "out", to="5")
    assert not (tmp_path / "out").exists()


# ---- how near


@pytest.mark.parametrize("channels", [1, 3])
def test_nearest_images_are_those_of_all_distances(channels):
    a, b = (toy_images(channels=channels, size=(12, 10), seed=seed) for seed in (0, 1))
    distances, index = nearest_images(a, b)
    flat = [images.images.numpy().reshape(len(images), -1).astype(float) for images in (a, b)]
    every = cdist(*flat) / np.sqrt(channels * 120)
    assert np.allclose(distances, every.min(1))
    assert index.tolist() == every.argmin(1).tolist()


def test_distances_are_between_images_of_at_most_32_pixels():
    fine = torch.from_numpy(np.indices((96, 64)).sum(0) % 2 * 255).to(torch.uint8)[None, None]
    even = torch.full_like(fine, 127)
    real = toy_images(size=(96, 64), per_class=1)
    chess, plain = (replace(real.take([0]), images=pixels) for pixels in (fine, even))
    assert nearest_images(chess, plain)[0][0] < 1.5  # 127.5 before it is shrunk


def scene(seed, taken=0):
    """Return a picture, the same at every taking but for a little noise: uint8 (1, 28, 28)."""
    waves = np.random.default_rng(seed).normal(size=(12, 12)).astype(np.float32)
    smooth = np.array(Image.fromarray(waves).resize((28, 28), Image.Resampling.BICUBIC))
    noise = np.random.default_rng([seed, taken]).normal(size=(28, 28))
    return (127 + 50 * smooth + noise).clip(0, 255).astype(np.uint8)[None]


def test_look_alikes_go_until_none_is_left_and_real_ones_stay():
    real = np.stack([thumbnail(scene(seed, taken)) for seed, taken in ((0, 0), (1, 0), (0, 1))])
    drawn = np.stack([thumbnail(scene(seed, 10 + i)) for i, seed in enumerate((5, 0, 6, 5, 5, 7))])
    gone = look_alikes(drawn, real, 28, [28] * 3)
    assert gone == {1, 3, 4}
    left = [row for row in range(6) if row not in gone]
    assert near_duplicates(np.concatenate([real, drawn[left]])) == ((0, 2),)
    assert look_alikes(drawn, real, 8, [8] * 3) == set()  # so small that all look alike


def test_an_audit_detects_copies_and_nothing_else():
    trained, held, new = (toy_images(size=(12, 12), per_class=60, seed=seed) for seed in range(3))
    copied = audit(trained.take(range(0, 120, 2)), trained, held)
    assert copied.decision.state == "red"
    assert copied.controls.passed
    assert copied.distances.max() == 0
    innocent = audit(new, trained, held)
    assert innocent.decision.state == "green"
    assert innocent.decision.limit < 0.2
    smooth = replace(new, images=new.images.float().mean((2, 3), keepdim=True).expand(-1, -1, 12, 12).to(torch.uint8))
    assert audit(smooth, trained, held).decision.state == "green"  # near to everything


def test_images_of_one_group_are_one_witness_and_too_few_are_none():
    trained, held = (toy_images(per_class=40, seed=seed) for seed in (0, 1))
    pairs = replace(held, groups=tuple(f"{i // 2}" for i in range(80)))
    assert audit(held, trained, pairs).held_out == 40
    few = audit(held, trained, pairs.take(range(38)))
    assert (few.held_out, few.decision, few.controls) == (19, None, None)
    assert len(audit(held, trained.take([]), pairs).distances) == 0


def test_images_of_a_group_that_was_seen_are_not_new():
    images = replace(toy_images(per_class=3), groups=tuple("aabbcc"))
    seen, new = seen_and_new(images, frozenset(images.digests[:1]) | {images.digests[3]})
    assert seen.names == (images.names[0], images.names[3])
    assert new.groups == ("c", "c")


# ---- which images


def chosen(data, drawn, to="add 2", **curation):
    plan = from_generator(str(data), ReadSettings(), "all", "blend", (), policy_from(to), Curation(**curation))
    card = Blend().fit(plan.images, handing.Run(0)).card
    made = ImageSet(
        torch.stack(drawn), torch.zeros(len(drawn), dtype=torch.int64), plan.images.classes, *2 * [[""] * len(drawn)],
        torch.ones(len(drawn), dtype=torch.bool),
    )  # fmt: skip
    return plan, choose(plan, Drawn(card, made), linked=False, seed=0, device="cpu")


def noise(seed):
    return torch.from_numpy(colour(seed, 26, 24)).permute(2, 0, 1)


def test_copies_twins_and_look_alikes_are_dropped_and_replaced_by_the_next(data):
    real = read(data).images[3]
    bright = (noise(1).float() * 0.9 + 20).to(torch.uint8)
    _, found = chosen(data, [real, noise(1), noise(1), bright, noise(2), noise(3)], factor=3)
    assert found.reasons == (COPY, "", TWICE, ALIKE, "", SPARE)
    assert (found.distances[0], found.nearest[0]) == (0.0, 3)
    assert found.kept().counts() == (2, 0)
    assert found.shortfall() == ("class 'b' gets 0 of 2 synthetic images: 0 were drawn, dropped: none",)


def test_what_is_short_is_said_with_the_reasons(data):
    _, found = chosen(data, [read(data).images[3], noise(1), noise(1)])
    first = "class 'a' gets 1 of 2 synthetic images: 3 were drawn, dropped: 1 copy, 1 drawn twice"
    assert found.shortfall()[0] == first


BY_EPOCHS = TINY_CLASSIFIERS["lesion_cnn"].replace(steps=20, published=True)


@pytest.mark.parametrize(
    ("space", "judge"),
    [("pixels", TINY_CLASSIFIERS["small_cnn"]), ("judge", TINY_CLASSIFIERS["small_cnn"]), ("judge", BY_EPOCHS)],
)
def test_a_selection_puts_the_most_different_images_first(data, space, judge):
    near = [(noise(1).float() * 0.3 + noise(seed).float() * 0.7).to(torch.uint8) for seed in (2, 3)]
    rule = Diverse(space=space)
    _, found = chosen(data, [noise(1), *near, noise(4), noise(5)], factor=3, select=rule, judge=judge)
    assert sorted(found.reasons) == ["", "", SPARE, SPARE, SPARE]
    if space == "pixels":
        assert found.order == tuple(rule.order(found.pool, vectors_of(found.pool, space))[:2])


def test_a_filter_has_its_say_and_its_scores_are_written(data, tmp_path):
    handed = ready(data, tmp_path / "out", generator="cvae", settings=["steps=3"], filters=["near_copy"], to="12")
    assert len(handed.chosen.pool) == 2 * (3 + 7)
    rows = table(tmp_path / "out" / "manifest.csv") + table(tmp_path / "out" / "dropped.csv")
    drawn = [row for row in rows if row["synthetic"] == "1"]
    assert len(drawn) == 20
    assert all(0 <= float(row["score near_copy"]) <= 1 for row in drawn)
    assert {row["reason"] for row in drawn} <= {"", "near_copy", SPARE, COPY, TWICE, ALIKE}
    assert all((row["path"] == "") == (row["kept"] == "0") == (row["reason"] != "") for row in drawn)


# ---- what is written


def test_a_set_is_images_manifest_card_digests_and_checksums(data, tmp_path):
    out = tmp_path / "out"
    handed = ready(data, out)
    assert (handed.added, handed.real) == ((0, 4), "copy")
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    sums = [line.split("  ") for line in (out / "checksums.sha256").read_text().splitlines()]
    assert {name for _, name in sums} == files - {"checksums.sha256"}
    assert all(hashlib.sha256((out / name).read_bytes()).hexdigest() == digest for digest, name in sums)
    rows = table(out / "manifest.csv")
    assert [row["synthetic"] for row in rows] == ["0"] * 14 + ["1"] * 4
    assert {row["path"] for row in rows} == {name for name in files if name.startswith("images/")}
    assert all(row["path"] == f"images/b/syn-{row['name'].replace('/b/', '-00000')}.png" for row in rows[14:])
    seen = json.loads((out / "seen.json").read_text())
    assert seen == {"maker": "blend", "seen": sorted(read(data).digests)}


def test_other_programs_read_the_folder_and_look_finds_no_fault_of_ours(data, tmp_path):
    ready(data, tmp_path / "out", to="20", factor=4)
    found = ImageFolder(str(tmp_path / "out" / "images"))
    assert found.classes == ["a", "b"]
    assert np.bincount(found.targets).tolist() == [20, 20]
    assert {image.size for image, _ in found} == {(24, 26)}
    for place in ("images", "manifest.csv"):
        seen = look(tmp_path / "out" / place)
        assert seen.twins == ()
        assert [item.property for item in seen.shortcuts if item.gives_away] in ([], ["border"])


def test_one_seed_gives_the_same_set_and_nothing_is_touched(data, tmp_path):
    images = read(data)
    with nothing_touched(images):
        for name in ("one", "two"):
            ready(data, tmp_path / name, seed=3)
    ready(data, tmp_path / "other", seed=4)
    one, two, other = ((tmp_path / name / "checksums.sha256").read_text() for name in ("one", "two", "other"))
    assert one == two != other


def test_links_are_the_files_themselves(data, tmp_path):
    save(data / "a" / "wider.png", colour(9, 40, 40))
    handed = ready(data, tmp_path / "out", real="link", how=ReadSettings(size=(26, 24)))
    assert handed.notes == ("real images keep their own sizes: bring all to one before training",)
    linked = next((tmp_path / "out" / "images" / "a").glob("real-*-wider.png"))
    assert linked.samefile(data / "a" / "wider.png")
    assert "Bring all images to 26 x 24 pixels" in (tmp_path / "out" / "card.md").read_text()
    again = handover.load(tmp_path / "out")
    assert again.shape == (3, 26, 24)
    assert set(again.digests) >= set(read(data, size=(26, 24)).digests)


def test_where_no_link_can_be_made_a_copy_is(tmp_path, monkeypatch):
    (tmp_path / "one").write_bytes(b"1")

    def refuse(*_):
        raise OSError(18, "cross-device link")

    monkeypatch.setattr(write.os, "link", refuse)
    link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == b"1"
    assert not (tmp_path / "two").samefile(tmp_path / "one")


def test_what_are_no_files_cannot_be_linked(tmp_path):
    images = toy_images(per_class=(6, 3))
    np.savez(tmp_path / "data.npz", images=images.images[:, 0].numpy(), labels=images.labels.numpy())
    handed = ready(tmp_path / "data.npz", tmp_path / "out", real="link")
    assert handed.real == "copy"
    assert handed.notes == ("the images are no files in a folder: real images are written as PNG instead of linked",)


@pytest.mark.parametrize("form", ["folders", "npz"])
@pytest.mark.parametrize("real", ["copy", "none"])
def test_a_set_is_read_back_as_it_was_handed_over(data, tmp_path, form, real):
    handed = ready(data, tmp_path / "out", form=form, real=real, how=ReadSettings(group=r"(?P<group>\d+-\d)"))
    images = handover.load(tmp_path / "out")
    before = [] if real == "none" else [*handed.plan.images.images]
    expected = torch.stack([*before, *handed.chosen.kept().images])
    assert torch.equal(images.images[:], expected)
    assert images.labels.tolist() == [0] * 9 * bool(before) + [1] * 5 * bool(before) + [1] * 4
    assert images.synthetic.tolist() == [False] * len(before) + [True] * 4
    assert images.digests == tuple(pixel_digest(image.numpy()) for image in expected)
    assert (images.classes, images.seen) == (("a", "b"), handed.maker.seen)
    assert images.groups is None if real == "none" else images.groups[:14] == handed.plan.images.groups


def test_views_are_a_data_set_and_arrays(data, tmp_path):
    ready(data, tmp_path / "out")
    images = handover.load(tmp_path / "out")
    X, y = handover.as_arrays(images)
    pictures = handover.as_dataset(images, transform=lambda image: image + 1)
    assert (X.shape, X.dtype, y.tolist()) == ((18, 26, 24, 3), np.uint8, images.labels.tolist())
    pixels, label = pictures[17]
    assert (len(pictures), label, pixels.dtype) == (18, 1, torch.float32)
    assert np.allclose(pixels.numpy(), X[17].transpose(2, 0, 1) / 255 + 1)


def test_names_from_outside_are_no_paths_formulas_or_pages(tmp_path):
    classes = ["../../etc", "=cmd()", "<b>[x](javascript:y)"]
    images = toy_images(classes=3, per_class=(6, 6, 4))
    np.savez(tmp_path / "data.npz", images=images.images[:, 0].numpy(), labels=images.labels.numpy(), classes=classes)
    ready(tmp_path / "data.npz", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "images").iterdir()} == {
        "00-etc",
        "01-cmd",
        "02-b-x-javascript-y",
    }
    assert {row["label"] for row in table(tmp_path / "out" / "manifest.csv")} == {classes[0], "'=cmd()", classes[2]}
    assert r"&lt;b&gt;\[x\](javascript:y)" in (tmp_path / "out" / "card.md").read_text()
    assert handover.load(tmp_path / "out").classes == tuple(classes)


@pytest.mark.parametrize("classes", [["train", "car"], ["A", "a"], ["", "b"], [".a", "b"], ["x" * 50, "b"]])
def test_class_folders_that_could_be_taken_for_something_else_are_numbered(classes):
    folders = class_folders(classes)
    assert [folder[:3] for folder in folders] == ["00-", "01-"]
    assert len(set(map(str.lower, folders))) == 2


# ---- the card


def test_the_card_says_what_is_known_of_copies_and_promises_nothing(tmp_path):
    images = toy_images(size=(16, 16), per_class=(60, 40), parts=True)
    part = {name: np.array(images.parts) == name for name in ("train", "test", "val")}
    arrays = {f"{name}_images": images.images[:, 0].numpy()[rows] for name, rows in part.items()}
    labels = {f"{name}_labels": images.labels.numpy()[rows] for name, rows in part.items()}
    np.savez(tmp_path / "data.npz", **arrays, **labels)
    ready(tmp_path / "data.npz", tmp_path / "out", part="train", to="60")
    ready(tmp_path / "data.npz", tmp_path / "all", to="80")
    some, everything = ((tmp_path / name / "card.md").read_text() for name in ("out", "all"))
    assert "50 images of the source are held back" in some
    # a blend of three images keeps close to one of them
    assert "Against real images of 50 held-out groups, **the generator: copies training images (in pixels: " in some
    assert "Controls: copies of training images were flagged (p = " in some
    ready(
        tmp_path / "data.npz",
        tmp_path / "new",
        part="train",
        to="60",
        generator="cvae",
        settings=["steps=1"],
        force=True,
    )
    assert "held-out groups, the generator: no copying detected at " in (tmp_path / "new" / "card.md").read_text()
    assert "that the generator has not seen, of at least 20 other groups, and there are 0" in everything
    assert "private" not in (some + everything).lower()
    assert "| 0 | 30 | 30 | 30 |" in some


# ---- where the images are drawn from


@pytest.fixture
def model(tmp_path):
    """Fit blends on the train part of grey images of 12 x 10 pixels."""
    for part in ("train", "test"):
        for label, name in enumerate("ab"):
            for i in range(3 + label):
                save(tmp_path / "split" / part / name / f"{i}.png", grey(100 * len(part) + 10 * label + i))
    fit_model(tmp_path / "split", "blend", ["parents=3"], tmp_path / "model", part="train")
    fit_model(tmp_path / "split", "blend", ["parents=3"], tmp_path / "leaky")
    return tmp_path / "model"


def test_a_model_draws_for_the_images_it_was_fitted_on(model, tmp_path):
    handed = handover.augment(tmp_path / "split", tmp_path / "out", model=model, to="6", part="train")
    assert handed.added == (3, 2)
    assert handed.audit.held_out == 7


@pytest.mark.parametrize(
    ("name", "changes", "error", "sentence"),
    [
        ("leaky", {"part": "train"}, LeakError, "the model has seen 7 images outside of the train part"),
        ("model", {"how": ReadSettings(size=(16, 16))}, DataError, r"expected, \(1, 12, 10\).*Got \(1, 16, 16\)"),
        ("model", {"settings": ["parents=2"]}, SettingsError, "say what the images are drawn from"),
        ("model", {"to": None}, SettingsError, "say how many: --to balance, N"),
        ("nowhere", {}, DataError, "a fitted generator .a folder with card.json. was expected"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model, tmp_path, name, changes, error, sentence):
    with pytest.raises(error, match=sentence):
        handover.augment(tmp_path / "split", tmp_path / "out", **{"model": tmp_path / name, "to": "6", **changes})
    assert not (tmp_path / "out").exists()


def test_a_model_of_other_classes_is_refused(model, data, tmp_path):
    (data / "b").rename(data / "c")
    with pytest.raises(DataError, match=r"images of the model's classes were expected, a, b. Got a, c"):
        handover.augment(data, tmp_path / "out", model=model, to="balance")


def test_copies_alone_are_nothing_to_hand_over(data, tmp_path):
    with pytest.raises(DataError, match="repeat drew nothing to hand over: class 'b' gets 0 of 4 synthetic images"):
        handover.augment(data, tmp_path / "out", generator=Repeat.kind, to="balance")


def test_small_classes_are_refused_unless_forced(data, tmp_path):
    with pytest.raises(DataError, match="class 'b' has 5 training images, and dcgan"):
        handover.augment(data, tmp_path / "out", generator="dcgan", settings=["steps=1"], to="balance")


@pytest.mark.parametrize("stage", ["write_set", "card_text", "write_checksums"])
def test_a_set_is_whole_or_not_there(data, tmp_path, monkeypatch, stage):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(handing, stage, full)
    with pytest.raises(DataError, match="cannot be written: No space left on device"):
        ready(data, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep").exists()


# ---- damaged sets


def test_no_set_or_half_of_one_is_said(data, tmp_path):
    with pytest.raises(DataError, match=r"a set that augury augment wrote .a folder with handover.json. was expected"):
        handover.load(data)
    ready(data, tmp_path / "out")
    gone = next((tmp_path / "out" / "images" / "b").iterdir())
    gone.unlink()
    with pytest.raises(DataError, match=f"images/b/{gone.name} stands in manifest.csv, and is not in"):
        handover.load(tmp_path / "out")


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "images/../../secret.png"])
def test_a_manifest_leads_nowhere_else(data, tmp_path, path):
    ready(data, tmp_path / "out")
    save(tmp_path / "secret.png", grey())
    manifest = tmp_path / "out" / "manifest.csv"
    first = table(manifest)[0]["path"]
    manifest.write_text(manifest.read_text().replace(first, path))
    with pytest.raises(DataError, match=r"stands in manifest.csv, and is not in"):
        handover.load(tmp_path / "out")


def test_the_usual_network_is_counted_over_trainings_that_chose_one():
    """Trainings without images, or whose choice failed, do not count; chunks of one choice count once."""
    choices = {name: SimpleNamespace(key=name) for name in "abcd"}
    made = {"a": (100, None), "b": (300, None), "c": (300, None)}
    drawn = ["aa", "b", "c", "d", ""]  # by training; d has failed, the last one draws nothing
    fits = [SimpleNamespace(chunks=tuple(SimpleNamespace(choice=choices[name]) for name in names)) for names in drawn]
    arm = SimpleNamespace(name="gan")
    cells = [SimpleNamespace(classifier="cnn", arm=arm, fit=fit) for fit in fits]
    store = SimpleNamespace(
        has=lambda step: step.key in made,
        get=lambda step: SimpleNamespace(steps=made[step.key][0], guidance=made[step.key][1]),
    )
    study = SimpleNamespace(classifiers=[SimpleNamespace(name="cnn")])
    laid = SimpleNamespace(study=study, cells=cells, store=store)
    assert _usual(SimpleNamespace(laid=laid), arm) == Usual(300, None, 2, 3)
    assert _usual(SimpleNamespace(laid=SimpleNamespace(study=study, cells=cells[4:], store=store)), arm) is None
