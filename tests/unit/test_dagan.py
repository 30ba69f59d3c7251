import pytest
import torch

from augury.errors import DataError
from augury.generators import DAGAN, load_sampler
from augury.generators.dagan import Pairs
from augury.networks.dagan import DAGANGenerator
from augury.training import Run, to_float
from toy import toy_images

SMALL = DAGAN(steps=4, batch=8, width=4, critic_width=4, latent=6)


# ---- the network


@pytest.mark.parametrize("shape", [(1, 8, 12), (3, 9, 9), (1, 13, 8), (1, 28, 28), (3, 64, 64)])
def test_the_network_keeps_every_size_and_every_pixel_and_all_noise_reach_the_image(shape):
    network = DAGANGenerator(shape, noise=5, width=2).eval()
    codes = (2 * torch.rand(3, network.latent) - 1).requires_grad_()
    images = network(codes, torch.zeros(3, dtype=torch.int64))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    (gradient,) = torch.autograd.grad(images[0].square().sum(), codes)
    assert (gradient[0] != 0).all()
    assert (gradient[1:] == 0).all()


def test_at_first_an_image_is_its_source_changed_and_the_noise_changes_it():
    torch.manual_seed(0)
    network, sources = (
        DAGANGenerator((1, 16, 16), noise=8, width=8),
        2 * torch.rand(1, 1, 16, 16).repeat(32, 1, 1, 1) - 1,
    )
    images = network(network.code(sources, torch.randn(32, 8)), torch.zeros(32, dtype=torch.int64))
    assert torch.corrcoef(torch.stack([images.mean(0).flatten(), sources[0].flatten()]))[0, 1] > 0.8
    assert (images.std(0) > 0.01).float().mean() > 0.95


def test_a_critic_without_norm_tells_images_apart_from_the_first_step():
    torch.manual_seed(0)
    critic, pairs = SMALL.players((1, 32, 32), 2)[1], torch.randn(64, 2, 32, 32)
    assert 0.3 < critic(pairs, torch.zeros(64, dtype=torch.int64)).std() < 3


# ---- pairs


def test_a_pair_is_two_different_images_of_one_class_and_every_pair_can_come():
    train = toy_images(classes=3, per_class=(4, 1, 2)).take([6, 0, 4, 1, 5, 2, 3])
    one, other = Pairs(train, seed=0, device="cpu").index(step=0, call=0, n=4000)
    assert torch.equal(train.labels[one], train.labels[other])
    alone = train.labels[one] == 1
    assert torch.equal(one == other, alone)
    assert len(set(zip(one[~alone].tolist(), other[~alone].tolist(), strict=True))) == 4 * 3 + 2
    shares = torch.bincount(one, minlength=7) / 4000
    assert (shares - 1 / 7).abs().max() < 0.03


def test_a_batch_holds_both_images_on_its_channels_and_each_call_draws_others():
    train = toy_images(channels=3)
    source = Pairs(train, seed=0, device="cpu")
    (one, other), draw = source.index(step=7, call=0, n=5), source.at(7)
    first, second = draw(5), draw(5)
    assert torch.equal(first.images, torch.cat([to_float(train.images[one]), to_float(train.images[other])], dim=1))
    assert torch.equal(first.labels, train.labels[one])
    assert not torch.equal(first.images, second.images)


def test_the_critic_sees_what_is_made_beside_its_source():
    train = toy_images(channels=3)
    torch.manual_seed(0)
    learner, batch = SMALL.learner(train, Run(0)), SMALL.source(train, Run(0)).at(0)(5)
    drawn = learner.draw(batch.labels, batch)
    assert torch.equal(drawn.images[:, :3], batch.images[:, :3])
    assert not torch.equal(drawn.images[:, 3:], batch.images[:, 3:])
    assert learner.judge(drawn.images, drawn.labels, batch).shape == (5, 1)


# ---- drawing


def nearest(images, others):
    """Return the root mean squared difference, in grey levels, of each image and the nearest of others."""
    distances = torch.cdist(images.flatten(1).float(), others.flatten(1).float())
    return distances.min(1).values / images[0].numel() ** 0.5


@pytest.mark.parametrize("few", [1, 5])
def test_what_is_drawn_for_a_small_class_differs_from_its_sources_and_among_itself(few):
    train = toy_images(per_class=(few, 30))
    recipe = SMALL.replace(steps=60, batch=16, width=8, critic_width=8, rate=1e-3, average=0.9)
    sampler = recipe.fit(train, Run(seed=0))
    pool = sampler.draw({"class 0": 20}, seed=0)
    assert len(set(pool.digests)) == 20
    assert set(sampler.sources(pool.labels, pool.columns["seed"]).tolist()) == set(range(few))
    assert (nearest(pool.images, train.of_class(0).images) > 3).all()
    apart = torch.cdist(pool.images.flatten(1).float(), pool.images.flatten(1).float()) / 8 + 99 * torch.eye(20)
    assert (apart.min(1).values > 1).all()


def test_source_and_noise_of_an_image_come_from_its_seed():
    sampler = SMALL.fit(toy_images(), Run(seed=0))
    labels = torch.tensor([0, 1, 1])
    codes = sampler.codes(labels, [5, 6, 7])
    assert torch.equal(codes[1:2], sampler.codes(labels[1:2], [6]))
    source = sampler.train.images[sampler.sources(labels, [5, 6, 7])]
    assert torch.equal(codes[:, :64], to_float(source).flatten(1))
    assert codes.shape == (3, 64 + 6)


def test_images_of_a_class_without_training_images_are_refused():
    sampler = SMALL.fit(toy_images(per_class=(4, 0)), Run(seed=0))
    with pytest.raises(DataError, match="class without training images"):
        sampler.draw({"class 1": 1}, seed=0)


def test_it_says_that_it_keeps_real_images_and_stays_close_to_them():
    assert DAGAN.contains_training_images
    assert DAGAN.near_copies


# ---- keeping


def test_a_snapshot_of_a_saved_model_starts_from_the_same_images(tmp_path):
    sampler = SMALL.replace(snapshots=1).fit(toy_images(), Run(seed=0))
    sampler.save(tmp_path)
    early, again = sampler.at(2), load_sampler(tmp_path).at(2)
    labels = torch.tensor([0, 1])
    assert torch.equal(early.sample(labels, [1, 2]), again.sample(labels, [1, 2]))
    assert not torch.equal(early.sample(labels, [1, 2]), sampler.sample(labels, [1, 2]))
