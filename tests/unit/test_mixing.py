import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from augury.errors import DataError, SettingsError
from augury.mixing import BySize, Mixture, Synthetic, Uniform, class_shares, mix
from augury.training import Batch
from toy import contents, nothing_touched, toy_images, toy_pool

TRAIN = toy_images(per_class=(14, 7), groups=True)
POOL = toy_pool(TRAIN, per_class=40)
STEPS, BATCH = 30, 7


def mixture(counts=(0, 0), *, seed=0, sampling="natural", **use):
    return Mixture(mix(TRAIN, POOL, counts), seed=seed, sampling=sampling, use=Synthetic(**use), steps=STEPS)


def shown(source, steps=STEPS, batch=BATCH):
    """Return the positions of all images of a training, in order."""
    return torch.cat([source.index(step, batch) for step in range(steps)])


def real(positions):
    return positions[positions < len(TRAIN)]


# ---- the training set


def test_the_first_images_of_each_class_follow_the_real_ones():
    mixed = mix(TRAIN, POOL.take(range(79, -1, -1)), (1, 3))
    assert mixed.names[:21] == TRAIN.names
    assert mixed.names[21:] == ("blend/class 0/39", "blend/class 1/39", "blend/class 1/38", "blend/class 1/37")
    assert mixed.labels[21:].tolist() == [0, 1, 1, 1]
    assert mixed.synthetic.tolist() == [False] * 21 + [True] * 4
    assert torch.equal(mixed.images[21], POOL.images[39])
    assert mixed.digests[:21] == TRAIN.digests
    assert mixed.seen == POOL.seen


def test_a_synthetic_image_belongs_to_no_patient():
    assert set(mix(TRAIN, POOL, (2, 2)).groups[21:]).isdisjoint(TRAIN.groups)


@pytest.mark.parametrize("pool", [POOL, None], ids=["pool", "no pool"])
def test_nothing_to_mix_leaves_the_real_images(pool):
    assert mix(TRAIN, pool, (0, 0)) is TRAIN
    assert mix(TRAIN, pool, ()) is TRAIN


def test_mixing_changes_neither_of_its_parts():
    with nothing_touched(TRAIN, POOL):
        mix(TRAIN, POOL, (3, 3)).images.fill_(0)


@pytest.mark.parametrize(
    ("pool", "counts", "sentence"),
    [
        (None, (1, 2), "a pool was expected for 3 synthetic images. Got none"),
        (POOL, (41, 0), "class 'class 0' needs 41 synthetic images. The pool holds 40: draw more"),
        (replace(POOL, classes=("a", "b")), (1, 1), "the pool must have the classes and the size"),
        (replace(POOL, images=POOL.images[..., :7]), (1, 1), "the pool must have the classes and the size"),
    ],
)
def test_a_pool_that_does_not_fit_is_refused(pool, counts, sentence):
    with pytest.raises(DataError, match=sentence):
        mix(TRAIN, pool, counts)


# ---- the order


@pytest.mark.parametrize("counts", [(0, 7), (14, 7), (40, 40)])
def test_arms_walk_through_the_same_real_images_at_their_own_pace(counts):
    plain, mixed = shown(mixture()), real(shown(mixture(counts)))
    assert len(mixed) < len(plain)
    assert torch.equal(mixed, plain[: len(mixed)])


def test_each_real_image_is_shown_once_before_any_is_shown_twice():
    order = shown(mixture((14, 7)), steps=18)
    rounds = real(order).split(len(TRAIN))
    assert all(sorted(each.tolist()) == list(range(len(TRAIN))) for each in rounds)
    assert not torch.equal(rounds[0], rounds[1])
    drawn = order[order >= len(TRAIN)].split(21)
    assert all(sorted(each.tolist()) == list(range(21, 42)) for each in drawn)


@pytest.mark.parametrize(("counts", "share"), [((0, 7), 0.25), ((14, 7), 0.5), ((40, 40), 0.5), ((1, 2), 0.125)])
def test_synthetic_images_have_their_share_after_every_step(counts, share):
    source = mixture(counts)
    assert source.share == share
    for steps in range(1, STEPS):
        batches = [source.index(step, BATCH) for step in range(steps)]
        assert {len(batch) for batch in batches} == {BATCH}
        assert sum(int((batch >= len(TRAIN)).sum()) for batch in batches) == math.floor(steps * BATCH * share)
        assert len(real(torch.cat(batches))) == source.real_exposures(steps, BATCH)


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.7, 0.99, 1.0])
def test_a_share_that_is_set_is_exact_after_every_step_whatever_the_amount(share):
    for counts in ((1, 0), (40, 40)):
        source = mixture(counts, share=share, max_share=0.0)
        drawn = 0
        for step in range(STEPS):
            drawn += int((source.index(step, BATCH) >= len(TRAIN)).sum())
            assert drawn == math.floor((step + 1) * BATCH * share)
            assert source.real_exposures(step + 1, BATCH) == (step + 1) * BATCH - drawn
    assert mixture(share=share).share == 0.0  # without synthetic images there is nothing to share


def test_a_share_of_one_shows_no_real_image_at_all():
    source = mixture((3, 2), share=1.0)
    order = shown(source)
    assert sorted(set(order.tolist())) == list(range(len(TRAIN), len(TRAIN) + 5))
    assert source.real_exposures(STEPS, BATCH) == 0
    assert shown(mixture((3, 2), share=1.0, sampling="balanced")).min() >= len(TRAIN)


@pytest.mark.parametrize(("last", "mixed"), [(0.5, 15), (0.34, 20), (0.01, 30), (0.99, 0)])
def test_the_last_steps_show_real_images_only(last, mixed):
    source = mixture((14, 7), real_last=last)
    batches = [source.index(step, BATCH) for step in range(STEPS)]
    drawn = [int((batch >= len(TRAIN)).sum()) for batch in batches]
    assert all(drawn[:mixed])
    assert not any(drawn[mixed:])
    assert sum(drawn) == mixed * BATCH // 2
    assert source.real_exposures(STEPS, BATCH) == STEPS * BATCH - sum(drawn)
    plain = shown(mixture())
    assert torch.equal(real(torch.cat(batches)), plain[: STEPS * BATCH - sum(drawn)])  # none is skipped at the seam


# ---- in place of real images


def left(source):
    """Return the real images that take part."""
    return set(real(shown(source, steps=60)).tolist())


@pytest.mark.parametrize("counts", [(4, 0), (4, 7), (13, 2)])
def test_synthetic_images_take_the_place_of_as_many_real_ones_of_their_class(counts):
    source = mixture(counts, replaces=True)
    labels = TRAIN.labels[sorted(left(source))]
    assert torch.bincount(labels, minlength=2).tolist() == [14 - counts[0], 7 - counts[1]]
    assert source.counts.tolist() == [14, 7]
    assert source.share == pytest.approx(min(0.5, sum(counts) / 21))


def test_which_real_images_are_replaced_is_the_seeds():
    assert left(mixture((5, 3), replaces=True)) == left(mixture((5, 3), replaces=True, share=0.2))
    assert left(mixture((5, 3), replaces=True)) != left(mixture((5, 3), replaces=True, seed=1))


@pytest.mark.parametrize("sampling", ["natural", "balanced", (0.3, 0.7)])
@pytest.mark.parametrize("counts", [(14, 7), (40, 40)])
def test_all_real_images_can_be_replaced(counts, sampling):
    source = mixture(counts, replaces=True, sampling=sampling)
    assert source.share == 1.0
    assert left(source) == set()
    assert source.real_exposures(STEPS, BATCH) == 0
    assert float(source.class_shares.sum()) == pytest.approx(1, abs=1e-5)


def test_real_images_last_without_real_images_are_refused():
    with pytest.raises(DataError, match=r"all of them were replaced\. Set real_last = 0"):
        mixture((14, 7), replaces=True, real_last=0.5)


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_real_images_last_are_those_that_were_not_replaced(sampling):
    source = mixture((5, 3), replaces=True, real_last=0.5, sampling=sampling)
    assert len(real(shown(source))) > STEPS * BATCH / 2
    assert float(source.class_shares.sum()) == pytest.approx(1, abs=1e-5)


def test_the_greatest_share_can_be_set():
    assert mixture((40, 40), max_share=0.1).share == 0.1
    assert len(real(shown(mixture((40, 40), max_share=0.0)))) == STEPS * BATCH
    assert mixture((40, 40), max_share=1.0).share == pytest.approx(80 / 101)
    with pytest.raises(SettingsError, match="share of synthetic: expected less than or equal to 1"):
        Synthetic(share=1.01)


def test_the_order_is_the_seeds():
    assert torch.equal(shown(mixture((3, 3))), shown(mixture((3, 3))))
    assert not torch.equal(shown(mixture((3, 3))), shown(mixture((3, 3), seed=1)))
    with nothing_touched():
        shown(mixture((3, 3), sampling="balanced"))


@pytest.mark.parametrize(
    ("sampling", "share"), [("natural", 1 / 3), ("balanced", 1 / 2), ((0.2, 0.8), 0.8), ((1.0, 0.0), 0.0)]
)
def test_real_images_are_sampled_at_the_asked_class_shares(sampling, share):
    labels = TRAIN.labels[real(shown(mixture((14, 7), sampling=sampling), steps=600))]
    assert float(labels.float().mean()) == pytest.approx(share, abs=0.04)


def test_balanced_sampling_shows_each_image_of_a_class_as_often():
    often = torch.bincount(shown(mixture(sampling="balanced"), steps=3000))
    assert often[:14].float().mean() == pytest.approx(3000 * BATCH / 28, rel=0.05)
    assert often[14:].float().mean() == pytest.approx(3000 * BATCH / 14, rel=0.05)
    assert often[:14].max() < 1.3 * often[:14].min()


def test_balanced_sampling_passes_over_a_class_without_images():
    source = Mixture(toy_images(per_class=(4, 0, 2)), seed=0, sampling="balanced")
    assert set(shown(source).tolist()) == set(range(6))


def test_class_shares_of_another_number_of_classes_are_refused():
    with pytest.raises(SettingsError, match=r"3 class shares, .* 2 classes"):
        mixture(sampling=(0.2, 0.3, 0.5))


def test_a_batch_holds_the_images_and_labels_of_its_index():
    source = mixture((14, 7))
    batch, index = source.at(3)(BATCH), source.index(3, BATCH)
    mixed = mix(TRAIN, POOL, (14, 7))
    assert torch.allclose(batch.images, mixed.images[index] / 127.5 - 1, atol=1e-6)
    assert torch.equal(batch.labels, mixed.labels[index])
    assert torch.equal(batch.synthetic, index >= len(TRAIN))


class Numbers:
    """Rows that are their own positions, as features of images would be."""

    def batch(self, index):
        return Batch(index[:, None].float(), index, index >= len(TRAIN))


def test_batches_can_be_made_of_rows_in_the_same_order():
    training = mix(TRAIN, POOL, (14, 7))
    rows = Mixture(training, seed=0, rows=Numbers()).at(3)(BATCH)
    assert torch.equal(rows.labels, mixture((14, 7)).index(3, BATCH))


# ---- shares


@pytest.mark.parametrize(
    ("numbers", "share"), [((10, 0), 0.0), ((10, 10), 0.5), ((30, 10), 0.25), ((10, 90), 0.5), ((0, 9), 1.0)]
)
def test_the_share_is_that_of_the_training_set_up_to_its_cap(numbers, share):
    real, drawn = numbers
    assert Synthetic().batch_share([real, 0], [0, drawn]) == share
    assert Synthetic(max_share=0.8).batch_share([10], [90]) == 0.8


USES = {
    "plain": {},
    "share": {"share": 0.3},
    "synthetic only": {"share": 1.0},
    "two stages": {"share": 0.4, "real_last": 0.3},
    "in place of real ones": {"replaces": True},
    "all at once": {"replaces": True, "share": 0.6, "real_last": 0.2, "weight": 0.25},
}


@pytest.mark.parametrize("sampling", ["natural", "balanced", (0.1, 0.9)])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_shares_are_what_the_mixture_shows_over_the_whole_training(use, sampling):
    counts, steps = (3, 6), 1000
    training = mix(TRAIN, POOL, counts)
    source = Mixture(training, seed=0, sampling=sampling, use=Synthetic(**use), steps=steps)
    order = shown(source, steps=steps, batch=10)
    drawn = float((order >= len(TRAIN)).float().mean())
    assert Synthetic(**use).mean_share((14, 7), counts) == pytest.approx(drawn, abs=2e-3)
    often = torch.bincount(training.labels[order], minlength=2) / len(order)
    assert source.class_shares.tolist() == pytest.approx(often.tolist(), abs=0.02)


def test_class_shares_follow_how_real_images_are_sampled():
    assert class_shares((14, 7), (0, 7)) == pytest.approx((0.5, 0.5))
    assert class_shares((14, 7), (0, 0)) == pytest.approx((2 / 3, 1 / 3), abs=1e-6)
    assert class_shares((14, 7), (0, 7), sampled=(0.2, 0.8)) == pytest.approx((0.15, 0.85))
    assert class_shares((14, 7), (0, 7), Synthetic(share=1.0), sampled=(0.2, 0.8)) == (0.0, 1.0)
    assert sum(class_shares((14, 7, 3), (5, 90, 1))) == pytest.approx(1, abs=1e-5)


# ---- a generator's batches


def test_a_generators_batch_repeats_no_image_before_all_were_shown():
    draw = Uniform(TRAIN, seed=0).at(0)
    assert len({tuple(image.flatten().tolist()) for image in draw(21).images}) == 21
    assert torch.bincount(draw(50).labels).tolist()[0] >= 2 * 14


def test_a_generators_batch_depends_on_seed_step_and_call_alone():
    first, again = Uniform(TRAIN, seed=0).at(5), Uniform(TRAIN, seed=0).at(5)
    one, two = first(6), first(6)
    assert torch.equal(one.images, again(6).images)
    assert not torch.equal(one.images, two.images)
    assert not torch.equal(one.images, Uniform(TRAIN, seed=0).at(6)(6).images)
    assert not torch.equal(one.images, Uniform(TRAIN, seed=1).at(5)(6).images)


def test_each_call_of_a_step_by_size_draws_another_batch_and_the_same_again():
    first, second = [BySize(TRAIN, power=0.0, seed=0).at(5) for _ in range(2)]
    batches = [draw(6).images for draw in (first, first, second, second)]
    assert not torch.equal(batches[0], batches[1])
    assert torch.equal(torch.cat(batches[:2]), torch.cat(batches[2:]))


@pytest.mark.parametrize(("power", "share"), [(0.0, 1 / 2), (0.5, 1 / 4), (1.0, 1 / 10)])
def test_a_class_is_shown_in_proportion_to_a_power_of_its_size(power, share):
    train = toy_images(classes=3, per_class=(4, 0, 36))
    labels = BySize(train, power=power, seed=0).at(0)(4000).labels
    assert not (labels == 1).any()
    assert stats.binomtest(int((labels == 0).sum()), 4000, share).pvalue > 0.001


def test_drawing_batches_leaves_the_images_alone():
    before = contents(TRAIN)
    Uniform(TRAIN, seed=0).at(0)(21).images.fill_(0)
    Mixture(TRAIN, seed=0).at(0)(21).images.fill_(0)
    assert contents(TRAIN) == before
