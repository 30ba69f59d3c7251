"""Features of a backbone that is not trained: each image's are its own, and they are kept by content."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from augury.augment import Augment
from augury.classifiers.features import FeatureBank, FeatureMaker, FeatureRows, features_of
from augury.errors import DataError
from augury.networks.backbones import open_backbone
from augury.study.identity import digest
from augury.training import to_float
from toy import nothing_touched, toy_images

IMAGES = toy_images(per_class=12)
MOVED = Augment(shift=0.2, rotate=20.0, share=1.0)
MAKER = FeatureMaker(network="squeezenet1_1", weights="none")
COPIES = MAKER.replace(augment=MOVED, views=2)


@pytest.fixture(scope="module")
def bank():
    return COPIES.compute(IMAGES)


def test_features_are_those_of_the_backbone(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    network = open_backbone("squeezenet1_1", "none", seed=0).eval()
    with torch.no_grad():
        expected = network.features(network.prepare(to_float(IMAGES.images))).numpy()
    with nothing_touched(IMAGES):
        bank = MAKER.compute(IMAGES)
    assert bank.rows.shape == (24, 1, 512)
    assert bank.rows.dtype == np.float32
    assert np.allclose(bank.rows[:, 0], expected, atol=1e-4)
    assert bank.rows.std(0).max() > 0


def test_features_do_not_depend_on_the_neighbours_nor_on_the_chunk(bank):
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0)).tolist()
    shuffled = COPIES.compute(IMAGES.take(order))
    alone = FeatureBank.joined([COPIES.compute(IMAGES.take([i])) for i in range(3)])
    assert np.allclose(shuffled.of(IMAGES), bank.rows, atol=1e-5)
    assert np.allclose(alone.of(IMAGES.take(range(3))), bank.rows[:3], atol=1e-5)


def test_copies_depend_on_content_and_seed_only(bank):
    renamed = replace(IMAGES, names=tuple(f"x{i}" for i in range(24)))
    assert np.array_equal(COPIES.compute(renamed).rows, bank.rows)
    other = replace(IMAGES, digests=tuple(digest[::-1] for digest in IMAGES.digests))
    assert np.allclose(COPIES.compute(other).rows[:, 0], bank.rows[:, 0], atol=1e-5)  # the image itself
    assert not np.allclose(COPIES.compute(other).rows[:, 1:], bank.rows[:, 1:], atol=1e-3)
    more = COPIES.replace(views=3).compute(IMAGES.take([5])).rows
    assert np.allclose(more[:, :3], bank.rows[5:6], atol=1e-5)  # a further copy changes none of the others


def test_another_seed_gives_other_copies():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        copies = COPIES._copies(to_float(IMAGES.images), IMAGES.digests)
    again = COPIES._copies(to_float(IMAGES.images), IMAGES.digests)
    other = COPIES.replace(seed=1)._copies(to_float(IMAGES.images), IMAGES.digests)
    assert all(torch.equal(one, two) for one, two in zip(copies, again, strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(copies, other, strict=True))
    assert not torch.equal(copies[0], copies[1])


def test_five_crops_are_five_views_before_the_copies():
    maker = MAKER.replace(augment=Augment(five_crop=0.8, shift=0.1), views=2)
    bank = maker.compute(IMAGES.take(range(3)))
    assert (bank.rows.shape, bank.shown) == ((3, 7, 512), 5)
    crops = maker.augment.views(to_float(IMAGES.images[:3]))
    network = maker.backbone()
    assert np.allclose(bank.rows[:, :5], features_of(network, crops, "cpu").numpy(), atol=1e-4)


def test_no_images_have_no_features():
    assert COPIES.compute(IMAGES.take([])).rows.shape == (0, 3, 512)


def test_it_tells_how_far_it_is():
    told = []
    MAKER.compute(IMAGES, told=lambda *done: told.append(done))
    assert told == [(16, 24), (24, 24)]


# ---- the bank


def test_a_bank_comes_back_from_its_folder(bank, tmp_path):
    bank.save(tmp_path)
    loaded = FeatureBank.load(tmp_path)
    assert np.array_equal(loaded.rows, bank.rows)
    assert (loaded.digests, loaded.shown) == (bank.digests, bank.shown)
    assert np.array_equal(loaded.of(IMAGES.take([3, 1])), bank.rows[[3, 1]])


def test_banks_are_joined_and_looked_up_by_content(bank):
    halves = [replace(bank, rows=bank.rows[rows], digests=bank.digests[rows]) for rows in (slice(15, 24), slice(15))]
    joined = FeatureBank.joined(halves)
    assert np.array_equal(joined.of(IMAGES), bank.rows)
    assert joined.shown == bank.shown
    assert FeatureBank.joined([bank]) is bank


def test_features_that_were_not_computed_are_a_sentence(bank):
    with pytest.raises(DataError, match=r"features of 24 images were expected. Got none of '0/0.png': compute them"):
        bank.of(toy_images(seed=5))


def test_batches_are_copies_where_there_are_some_and_else_the_first_view(bank):
    rows = FeatureRows(IMAGES, bank, "cpu")
    index = torch.tensor([4, 4, 4, 4, 4, 4, 4, 4, 7])
    batch = rows.batch(index)
    found = [int(np.isclose(bank.rows[4], row.numpy()).all(1).argmax()) for row in batch.images[:8]]
    assert set(found) == {1, 2}
    assert torch.equal(batch.labels, IMAGES.labels[index])
    plain = MAKER.compute(IMAGES)
    assert np.array_equal(FeatureRows(IMAGES, plain, "cpu").batch(index).images.numpy(), plain.rows[index, 0])


# ---- identity


def test_the_features_have_their_own_identity():
    makers = [MAKER, COPIES, COPIES.replace(views=3), COPIES.replace(seed=1), MAKER.replace(network="squeezenet1_0")]
    assert len({digest(maker) for maker in makers}) == len(makers)


def test_a_file_of_weights_counts_by_its_content_and_not_by_its_place(tmp_path):
    here, there = tmp_path / "a.pth", tmp_path / "elsewhere" / "b.pth"
    torch.save(open_backbone("squeezenet1_1", "none", seed=7).body.state_dict(), here)
    there.parent.mkdir()
    shutil.copy(here, there)
    one, other = (MAKER.replace(weights=f"file:{path}") for path in (here, there))
    assert one != other
    assert digest(one) == digest(other)
    few = IMAGES.take(range(4))
    assert np.array_equal(one.compute(few).rows, other.compute(few).rows)
    torch.save(open_backbone("squeezenet1_1", "none", seed=8).body.state_dict(), there)
    assert digest(other) != digest(one)
    assert not np.allclose(one.compute(few).rows, other.compute(few).rows, atol=1e-3)
