from itertools import combinations

import numpy as np
import pytest
import torch

from augury import splits
from augury.dealing import Groups
from augury.errors import DataError, SettingsError
from augury.images import real_set
from augury.splits import SplitPlan

SEEDS = range(4)


def image_set(labels, *, groups=None, parts=None, classes=None):
    classes = classes or [f"class {label}" for label in range(max(labels) + 1)]
    pixels = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    digests = [str(row) for row in range(len(labels))]
    return real_set(pixels, torch.tensor(labels), classes, digests=digests, groups=groups, parts=parts)


def patients(seed=0, number=90, mixed=0.1):
    """Three unequal classes, patients with 1 to 8 images, some of them of another class."""
    rng = np.random.default_rng(seed)
    labels, groups = [], []
    for patient in range(number):
        label = int(rng.choice(3, p=[0.6, 0.25, 0.15]))
        for _ in range(int(rng.integers(1, 9))):
            labels.append(label if rng.random() > mixed else int(rng.integers(3)))
            groups.append(f"p{patient}")
    return image_set(labels, groups=groups)


def groups_of(images, positions):
    return {images.group_names[position] for position in positions}


def classes_of(images, positions):
    return set(images.labels[list(positions)].tolist())


def counts_of(images, positions):
    return np.bincount(images.labels[list(positions)].numpy(), minlength=len(images.classes)).tolist()


# ---- folds


@pytest.mark.parametrize("inner_folds", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_group_is_cut_and_nothing_is_lost(seed, inner_folds):
    images = patients(seed)
    for split in SplitPlan(repeats=2, inner_folds=inner_folds).cut(images, seed):
        assert sorted(split.train + split.val + split.test) == list(range(len(images)))
        assert split.rest == ()
        for one, other in combinations((split.train, split.val, split.test), 2):
            assert not groups_of(images, one) & groups_of(images, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_part_of_every_fold_has_every_class(seed):
    images = patients(seed, mixed=0.3)
    for split in SplitPlan(repeats=2).cut(images, seed):
        assert classes_of(images, split.train) == classes_of(images, split.val) == {0, 1, 2}
        assert classes_of(images, split.test) == {0, 1, 2}


@pytest.mark.parametrize("seed", SEEDS)
def test_each_image_is_tested_once_in_each_repeat(seed):
    images = patients(seed)
    cut = SplitPlan(folds=4, repeats=3).cut(images, seed)
    for repeat in range(3):
        tested = [position for split in cut if split.repeat == repeat for position in split.test]
        assert sorted(tested) == list(range(len(images)))
    assert [(split.repeat, split.fold) for split in cut] == [(r, f) for r in range(3) for f in range(4)]


@pytest.mark.parametrize("seed", SEEDS)
def test_folds_agree_in_size_and_classes(seed):
    images = patients(seed, number=150)
    for split in SplitPlan(repeats=2).cut(images, seed):
        assert len(split.test) == pytest.approx(len(images) / 5, rel=0.15)
        assert counts_of(images, split.test)[0] == pytest.approx(images.counts()[0] / 5, rel=0.35)


def test_swaps_bring_unequal_folds_together():
    # dealing alone leaves folds of very unequal sizes: every group is either tiny or large
    sizes = [1, 9] * 20
    labels = [group % 4 // 2 for group, size in enumerate(sizes) for _ in range(size)]
    images = image_set(labels, groups=[str(group) for group, size in enumerate(sizes) for _ in range(size)])
    for seed in range(10):
        sizes_of_tests = [len(split.test) for split in SplitPlan(repeats=1).cut(images, seed)]
        assert max(sizes_of_tests) <= 1.15 * len(images) / 5
        assert min(sizes_of_tests) >= 0.85 * len(images) / 5


def test_many_small_classes_do_not_pile_up_in_one_fold():
    images = image_set([label for label in range(10) for _ in range(6)])
    for split in SplitPlan(repeats=3).cut(images, 0):
        assert len(split.test) == 12


def test_swaps_take_no_class_from_a_fold():
    # class 2 hides in five groups of very unequal sizes, which swaps would like to move
    sizes = [2, 4, 8, 16, 30] + [1, 3, 5, 7] * 6
    labels = [2 if group < 5 and row == 0 else group % 2 for group, size in enumerate(sizes) for row in range(size)]
    images = image_set(labels, groups=[str(group) for group, size in enumerate(sizes) for _ in range(size)])
    for split in SplitPlan(repeats=20).cut(images, 0):
        assert 2 in classes_of(images, split.test)


def test_repeats_resemble_each_other_no_more_than_by_chance():
    images = patients(5, number=120)
    cut = SplitPlan(folds=5, repeats=20).cut(images, 0)
    overlaps = []
    for fold in range(5):
        tests = [set(split.test) for split in cut if split.fold == fold]
        overlaps += [len(one & other) / len(one | other) for one, other in combinations(tests, 2)]
    assert np.mean(overlaps) == pytest.approx(1 / 9, abs=0.03)


def test_the_same_seed_gives_the_same_cut_and_another_seed_another():
    images, plan = patients(), SplitPlan(repeats=2)
    assert plan.cut(images, 7) == plan.cut(images, 7)
    assert plan.cut(images, 7) != plan.cut(images, 8)
    assert plan.cut(images, 7) == plan.replace(repeats=3).cut(images, 7)[:10]
    first, second = plan.cut(images, 7)[0], plan.cut(images, 7)[5]
    assert first.test != second.test


def test_the_cut_is_the_one_it_always_was():
    images = image_set([0, 1] * 6)
    assert [split.test for split in SplitPlan(folds=3, repeats=1).cut(images, 0)] == [
        (1, 4, 5, 6),
        (0, 3, 9, 10),
        (2, 7, 8, 11),
    ]


def test_images_without_groups_are_cut_one_by_one():
    images = image_set([0] * 40 + [1] * 20)
    for split in SplitPlan(repeats=1).cut(images, 0):
        assert counts_of(images, split.test) == [8, 4]
        assert counts_of(images, split.val) == [8, 4]
        assert counts_of(images, split.train) == [24, 12]


def test_a_rare_class_inside_other_groups_reaches_every_fold():
    # class 2 never dominates a group: dealing by the dominant label knows nothing of it
    labels = [label for group in range(30) for label in (group % 2, group % 2, 2 if group % 6 == 0 else group % 2)]
    images = image_set(labels, groups=[str(row // 3) for row in range(90)])
    for seed in range(10):
        for split in SplitPlan(repeats=1).cut(images, seed):
            assert classes_of(images, split.test) == classes_of(images, split.train) == {0, 1, 2}
            assert classes_of(images, split.val) == {0, 1, 2}


# ---- inner parts


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_inner_part_has_its_share_of_the_images(share):
    images = patients(3, number=200)
    for split in SplitPlan(repeats=1, inner_share=share).cut(images, 0):
        assert len(split.val) / (len(split.val) + len(split.train)) == pytest.approx(share, abs=0.04)


def test_a_large_group_does_not_overfill_the_inner_part():
    sizes = [22, 22] + [1] * 36
    groups = [str(group) for group, size in enumerate(sizes) for _ in range(size)] + ["x", "y"]
    labels = [group % 2 for group, size in enumerate(sizes) for _ in range(size)] + [0, 1]
    images = image_set(labels, groups=groups, parts=["train"] * 80 + ["test"] * 2)
    for split in SplitPlan(plan="given", repeats=10).cut(images, 0):
        assert counts_of(images, split.val) == [10, 10]


def test_inner_folds_take_turns_as_validation_part():
    images = patients()
    cut = SplitPlan(repeats=1, inner_folds=3).cut(images, 0)
    assert len(cut) == 15
    first = [split for split in cut if split.fold == 0]
    assert [split.inner for split in first] == [0, 1, 2]
    validated = [position for split in first for position in split.val]
    assert sorted(validated) == sorted(set(range(len(images))) - set(first[0].test))


@pytest.mark.parametrize("inner_folds", [1, 3])
def test_the_only_training_group_of_a_class_is_trained_on(inner_folds):
    images = image_set([0] * 20 + [1] * 3, groups=[f"g{row}" for row in range(20)] + ["a", "b", "c"])
    for seed in range(10):
        for split in SplitPlan(folds=2, repeats=1, inner_folds=inner_folds).cut(images, seed):
            assert classes_of(images, split.train) == {0, 1}


def test_too_few_groups_for_an_inner_part_are_an_error():
    images = image_set([0, 0, 0, 1, 1, 1], groups=["a", "b", "c", "a", "b", "c"])
    with pytest.raises(
        DataError, match=r"1 groups of images are left for training and validation: too few for an inner"
    ):
        SplitPlan(folds=2).cut(images, 0)


# ---- scarce subsets


def test_per_class_keeps_so_many_images_of_each_class_and_rest_the_others():
    images = image_set([0] * 60 + [1] * 40 + [2] * 10)
    cut = SplitPlan(per_class=20, repeats=2).cut(images, 0)
    kept = set(cut[0].train + cut[0].val + cut[0].test)
    assert counts_of(images, kept) == [20, 20, 10]
    assert {split.rest for split in cut} == {cut[0].rest}
    assert sorted(kept | set(cut[0].rest)) == list(range(110))
    assert not kept & set(cut[0].rest)


def test_keep_names_single_classes_and_wins_over_per_class():
    images = image_set([0] * 60 + [1] * 40 + [2] * 30, classes=["a", "b", "c"])
    only = SplitPlan(keep=(("b", 12),), repeats=1).cut(images, 0)[0]
    assert counts_of(images, only.train + only.val + only.test) == [60, 12, 30]
    both = SplitPlan(keep=(("b", 12),), per_class=20, repeats=1).cut(images, 0)[0]
    assert counts_of(images, both.train + both.val + both.test) == [20, 12, 20]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scarce_subset_keeps_whole_groups_and_never_too_many_images(seed):
    images = patients(seed, number=200)
    split = SplitPlan(per_class=30, repeats=1).cut(images, seed)[0]
    kept = split.train + split.val + split.test
    assert not groups_of(images, kept) & groups_of(images, split.rest)
    assert max(counts_of(images, kept)) <= 30
    assert min(counts_of(images, kept)) >= 27


def test_another_seed_keeps_other_images():
    images = image_set([0] * 60 + [1] * 60)
    plan = SplitPlan(per_class=20, repeats=1)
    assert plan.cut(images, 0)[0].rest != plan.cut(images, 1)[0].rest


def test_scarce_subsets_that_cannot_be_drawn_are_errors():
    images = image_set(
        [0] * 30 + [1] * 30, classes=["nevus", "melanoma"], groups=["p"] * 30 + list(map(str, range(30)))
    )
    with pytest.raises(SettingsError, match=r"keep names a class 'melanom': did you mean 'melanoma'"):
        SplitPlan(keep=(("melanom", 3),)).cut(images, 0)
    with pytest.raises(DataError, match=r"keep asks for 31 images of class 'melanoma': there are 30. Ask for fewer"):
        SplitPlan(keep=(("melanoma", 31),)).cut(images, 0)
    with pytest.raises(
        DataError, match=r"10 images of class 'nevus' are to be kept, but each of its groups would bring more"
    ):
        SplitPlan(per_class=10).cut(images, 0)


# ---- given parts


def given(val=True, groups=None):
    parts = (["train"] * 40 + ["val" if val else "train"] * 10 + ["test"] * 20) * 2
    return image_set([0] * 70 + [1] * 70, parts=parts, groups=groups)


def test_given_parts_are_used_in_every_repeat():
    images = given()
    cut = SplitPlan(plan="given", repeats=3).cut(images, 0)
    assert [(split.repeat, split.fold, split.inner) for split in cut] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    for split in cut:
        for part, positions in (("train", split.train), ("val", split.val), ("test", split.test)):
            assert positions == tuple(row for row in range(140) if images.parts[row] == part)


def test_without_a_given_validation_part_each_repeat_cuts_one():
    images = given(val=False)
    first, second = SplitPlan(plan="given", repeats=2).cut(images, 0)
    assert counts_of(images, first.val) == [13, 13]
    assert sorted(first.train + first.val + first.test) == list(range(140))
    assert first.test == second.test
    assert first.val != second.val


def test_a_scarce_subset_of_given_parts_thins_out_training_only():
    images = given()
    for split in SplitPlan(plan="given", repeats=2, per_class=15).cut(images, 0):
        assert counts_of(images, split.train) == [15, 15]
        assert (len(split.val), len(split.test), split.rest) == (20, 40, ())


def test_given_parts_must_be_there_and_hold_every_class():
    with pytest.raises(DataError, match=r"the images have no given test part. Use the plan 'folds'"):
        SplitPlan(plan="given").cut(image_set([0, 1] * 20), 0)
    parts = ["train"] * 20 + ["test"] * 10
    with pytest.raises(DataError, match=r"class 'class 1' has no images in the given test part"):
        SplitPlan(plan="given").cut(image_set([0, 1] * 10 + [0] * 10, parts=parts), 0)
    with pytest.raises(DataError, match=r"class 'class 1' has no images in the given train part"):
        SplitPlan(plan="given").cut(image_set([0] * 20 + [0, 1] * 5, parts=parts), 0)


def test_a_group_in_two_given_parts_is_an_error():
    groups = [f"p{row}" for row in range(139)] + ["p3"]
    with pytest.raises(
        DataError, match=r"a group lies in two given parts: 3 \(train\) and 139 \(test\). Correct the parts"
    ):
        SplitPlan(plan="given").cut(given(groups=groups), 0)


# ---- errors and numbers


@pytest.mark.parametrize(
    ("rare", "sentence"),
    [
        (1, "class 'basophil' has 1 image: a split needs at least 3. Remove the class or add images."),
        (2, "class 'basophil' has 2 images: a split needs at least 3. Remove the class or add images."),
        (4, "class 'basophil' has 4 images: 5 folds need at least 5. Use at most folds = 4, or add images."),
    ],
)
def test_a_class_that_is_too_small_is_named(rare, sentence):
    with pytest.raises(DataError) as caught:
        SplitPlan().cut(image_set([0] * 20 + [1] * rare, classes=["platelet", "basophil"]), 0)
    assert str(caught.value) == sentence


def test_groups_count_not_images():
    images = image_set([0] * 20 + [1] * 20, groups=[f"p{row}" for row in range(20)] + ["q", "r", "s", "t"] * 5)
    with pytest.raises(DataError, match=r"class 'class 1' has 4 groups: 5 folds need at least 5"):
        SplitPlan().cut(images, 0)
    assert splits.smallest_class_groups(images) == ("class 1", 4)


def test_a_class_that_cannot_reach_every_fold_is_named():
    # each class has three groups, but two groups hold two of them at once and one group holds all
    labels, groups = [0, 0, 1, 1, 2, 2, 0, 1, 2], ["a", "b", "c", "a", "b", "c", "d", "d", "d"]
    with pytest.raises(DataError, match=r"cannot be put into each of 3 folds: its groups hold other classes, too"):
        SplitPlan(folds=3).cut(image_set(labels, groups=groups), 0)


@pytest.mark.parametrize(("rarest", "folds"), [(3, 2), (14, 2), (15, 3), (24, 4), (25, 5), (500, 5)])
def test_suggested_folds_leave_five_groups_of_the_rarest_class(rarest, folds):
    assert splits.suggested_folds(image_set([0] * 600 + [1] * rarest)) == folds


@pytest.mark.parametrize(
    "settings",
    [
        *({"folds": 1}, {"folds": 21}, {"repeats": 0}, {"inner_share": 0.6}, {"inner_folds": 6}),
        *({"plan": "random"}, {"per_class": 0}, {"keep": (("a", 0),)}),
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(SettingsError, match=next(iter(settings))):
        SplitPlan(**settings)


def test_ties_go_to_the_rarest_label():
    images = image_set([0, 1, 0, 0, 1, 1, 0], groups=["a", "a", "b", "c", "d", "e", "f"])
    assert Groups.of(images).strata.tolist() == [1, 0, 0, 1, 1, 0]


# ---- folds of judges


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_cross_folds_keep_groups_whole_and_deal_every_class_to_every_fold(folds, seed):
    images = patients(seed)
    found = splits.cross_folds(images, folds, seed)
    of_group = {name: set() for name in images.group_names}
    for name, fold in zip(images.group_names, found.tolist(), strict=True):
        of_group[name].add(fold)
    assert all(len(seen) == 1 for seen in of_group.values())
    parts = [np.flatnonzero(found == fold) for fold in range(folds)]
    assert sum(map(len, parts)) == len(images)
    assert all(classes_of(images, part) == {0, 1, 2} for part in parts)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) < 0.4 * np.mean(sizes)


def test_the_only_group_of_a_class_is_in_no_fold():
    labels = [0] * 12 + [1] * 4 + [2] * 2
    groups = [*(f"p{i // 2}" for i in range(12)), "q", "q", "q", "p0", "r", "s"]
    found = splits.cross_folds(image_set(labels, groups=groups), 3, seed=0)
    assert (found[:2] >= 0).all()  # p0 has a second class, which q has too
    assert (found >= 0).all()
    groups[15] = "q"
    found = splits.cross_folds(image_set(labels, groups=groups), 3, seed=0)
    assert (found == -1).tolist() == [group == "q" for group in groups]
    assert set(found[:12].tolist()) == {0, 1, 2}


def test_cross_folds_follow_their_seed_and_no_other():
    images = patients()
    one, again, other = (splits.cross_folds(images, 3, seed) for seed in (1, 1, 2))
    assert one.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize(("labels", "left"), [([0, 1], 0), ([0, 0, 1], 2), ([0, 0, 1, 2], 2)])
def test_too_few_groups_to_cross_fold_are_a_sentence(labels, left):
    with pytest.raises(DataError, match=rf"3 folds need 3 groups of images .*\. Got {left}: add images"):
        splits.cross_folds(image_set(labels), 3, seed=0)
