import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from augury.generators import BAGAN
from augury.generators.adversarial import Game, discriminator_loss, generator_loss
from augury.networks.bagan import ClassGaussians, class_gaussians
from augury.networks.convgan import DCGANGenerator
from augury.seeds import guarded, seed_for
from augury.training import Run, learn
from toy import toy_images

SMALL = BAGAN(pretrain=4, steps=4, batch=8, width=4, latent=6, average=0.5)
GAMES = [Game(), Game(loss="hinge"), Game(loss="wasserstein", gradient_penalty=10.0, critic_steps=2)]


def learner_of(recipe, train, seed=0):
    torch.manual_seed(seed)
    return recipe.learner(train, Run(seed))


# ---- the Gaussians


def test_with_many_images_mean_and_covariance_are_those_of_the_class():
    numbers = np.random.default_rng(0)
    codes = torch.from_numpy(numbers.multivariate_normal([3, -1], [[2, 1.2], [1.2, 1]], size=20_000))
    other = torch.from_numpy(numbers.standard_normal((20_000, 2)))
    labels = torch.arange(2).repeat_interleave(20_000)
    means, covariances = class_gaussians(torch.cat([codes, other]), labels, 2)
    assert torch.allclose(means[0], codes.mean(0))
    assert torch.allclose(covariances[0], torch.cov(codes.T), atol=0.01)
    assert torch.allclose(covariances[1], torch.cov(other.T), atol=0.01)


def test_a_class_with_one_image_borrows_the_covariance_of_the_others():
    codes = torch.randn(101, 4, generator=torch.Generator().manual_seed(0))
    means, covariances = class_gaussians(codes, torch.tensor([0] * 100 + [1]), 2)
    assert torch.allclose(means[1].float(), codes[100])
    assert torch.allclose(covariances[1].float(), torch.cov(codes[:100].T), atol=0.01)


@pytest.mark.parametrize("labels", [[0], [0, 1], [0, 0, 0, 1], [2, 2, 2, 2]])
def test_fewer_images_than_numbers_in_a_code_still_make_proper_gaussians(labels):
    codes = torch.randn(len(labels), 50, generator=torch.Generator().manual_seed(0))
    network = ClassGaussians(DCGANGenerator((1, 8, 8), 0, 50, 4), 3)
    network.place(codes, torch.tensor(labels))
    assert network.factors.isfinite().all()
    assert (network.factors.diagonal(dim1=1, dim2=2) > 0).all()
    assert torch.allclose(network.means[1], codes[torch.tensor(labels) == 1].mean(0) if 1 in labels else codes.mean(0))


def test_standard_normal_codes_become_draws_of_the_classs_gaussian():
    network = ClassGaussians(DCGANGenerator((1, 8, 8), 0, 3, 4), 2)
    network.place(torch.randn(60, 3, generator=torch.Generator().manual_seed(1)), torch.arange(2).repeat(30))
    seen = []
    network.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    codes = torch.randn(500, 3, generator=torch.Generator().manual_seed(2))
    network(codes, torch.ones(500, dtype=torch.int64))
    white = torch.linalg.solve_triangular(network.factors[1], (seen[0] - network.means[1]).T, upper=False).T
    assert torch.allclose(white, codes, atol=1e-5)


# ---- the game


def test_the_logistic_game_is_the_softmax_over_the_classes_and_drawn():
    learner = learner_of(SMALL, toy_images(classes=3))
    outputs, labels = torch.randn(10, 4), torch.arange(10) % 3
    real, fake = outputs[:5], outputs[5:]
    score = learner.score(outputs, labels)
    whole = discriminator_loss(learner.game, score[:5], score[5:])
    whole += learner.discriminator_extra(real, fake, *pair(labels[:5], labels[5:]))["class"]
    expected = F.cross_entropy(real, labels[:5]) + F.cross_entropy(fake, torch.full((5,), 3))
    assert torch.allclose(whole, expected)
    wish = generator_loss(learner.game, score[5:]) + learner.generator_extra(fake, pair(labels[5:])[0])["class"]
    assert torch.allclose(wish, F.cross_entropy(fake, labels[5:]))


def pair(*labels):
    return [SimpleNamespace(labels=each) for each in labels]


def test_a_critics_score_is_its_output_for_the_class():
    learner = learner_of(SMALL.replace(game=GAMES[2]), toy_images(classes=3))
    outputs = torch.arange(8.0).view(2, 4)
    assert learner.score(outputs, torch.tensor([2, 0])).tolist() == [2.0, 4.0]
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in learner.discriminator.modules())


@pytest.mark.parametrize("game", GAMES)
def test_images_of_a_rare_class_are_drawn_as_often_as_others_and_those_of_an_absent_one_never(game):
    train = toy_images(classes=3, per_class=(1, 0, 60))
    recipe = SMALL.replace(game=game)
    learner, draw = learner_of(recipe, train), recipe.source(train, Run(0)).at(0)
    torch.manual_seed(0)
    counts = torch.bincount(learner.fake_labels(draw(2000)), minlength=3).tolist()
    assert counts[1] == 0
    assert stats.binomtest(counts[0], 2000, 0.5).pvalue > 0.001


# ---- two phases


def test_the_autoencoder_trains_the_players_and_the_game_starts_from_it():
    train = toy_images()
    learner = learner_of(SMALL.replace(pretrain=150, pretrain_rate=3e-3), train)
    losses = learn(learner, SMALL.source(train, Run(0)), steps=150, run=Run(0))["reconstruction"]
    assert losses[-1] < 0.2 * losses[0]
    decoder = learner.generator.decoder.state_dict()
    learner._place_gaussians()
    assert all(torch.equal(value, decoder[name]) for name, value in learner.generator.decoder.state_dict().items())
    assert torch.equal(learner.kept.means, learner.generator.means)
    with torch.no_grad():
        from_means = learner.generator.eval()(torch.zeros(2, 6), torch.arange(2))
    wanted = torch.stack([train.of_class(k).images.float().mean(0) / 127.5 - 1 for k in range(2)])
    assert (from_means - wanted).abs().mean() < 0.15
    assert learner.generator_optimiser.state_dict()["state"] == {}


@pytest.mark.parametrize("game", GAMES[::2])
@pytest.mark.parametrize("stop", [2, 4, 5], ids=["autoencoder", "border", "game"])
def test_stopped_in_either_phase_or_at_the_border_it_goes_on_to_the_same_weights(game, stop):
    train, recipe = toy_images(per_class=(1, 12)), SMALL.replace(game=game)
    whole, source = learner_of(recipe, train), recipe.source(train, Run(0))
    learn(whole, source, steps=8, run=Run(0))
    first, second = learner_of(recipe, train), learner_of(recipe, train, seed=1)
    steps_of(first, source, range(stop))
    second.restore(first.state())
    steps_of(second, source, range(stop, 8))
    for one, other in ((whole.kept, second.kept), (whole.discriminator, second.discriminator)):
        assert all(
            torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        )


def steps_of(learner, source, steps):
    for step in steps:
        with guarded(seed_for(0, "step", step)):
            learner.update(step, source.at(step))


def test_the_steps_of_both_phases_are_counted_and_their_losses_kept():
    film = SMALL.fit(toy_images(), Run(seed=0)).film
    assert SMALL.total_steps(2) == 8
    assert len(film.losses()["reconstruction"]) == len(film.losses()["generator"]) == 4
    assert math.isfinite(sum(film.losses()["generator: class"]))


def test_the_gaussians_are_saved_with_the_network(tmp_path):
    sampler = SMALL.fit(toy_images(), Run(seed=0))
    sampler.save(tmp_path)
    again = BAGAN.load(tmp_path, sampler.card)
    assert torch.equal(again.network.factors, sampler.network.factors)
    assert not torch.equal(again.network.means[0], again.network.means[1])
