"""The game that all GANs share, DCGAN's networks, and one pair of networks per class."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augury.errors import DataError, SettingsError
from augury.generators import DCGAN, WGANGP
from augury.generators.adversarial import (
    Game,
    GANLearner,
    SourcesInTurn,
    bound,
    discriminator_loss,
    generator_loss,
    squared_gradient,
    told_apart,
)
from augury.networks.by_class import ByClass
from augury.networks.convgan import DCGANDiscriminator, DCGANGenerator
from augury.training import Batch, Run
from toy import toy_images

REAL, FAKE = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([-3.0, 0.25, 1.0])


def parameters(network):
    return sum(value.numel() for value in network.parameters())


# ---- networks


def test_at_32_pixels_in_colour_the_networks_have_the_published_sizes_layer_by_layer():
    generator, discriminator = DCGAN().players((3, 32, 32), 0)
    assert (parameters(generator), parameters(discriminator)) == (370_624, 167_872)
    up = [tuple(layer.weight.shape) for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert up == [(100, 128, 4, 4), (128, 64, 4, 4), (64, 32, 4, 4), (32, 3, 4, 4)]
    down = [tuple(layer.weight.shape) for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
    assert down == [(32, 3, 4, 4), (64, 32, 4, 4), (128, 64, 4, 4), (1, 128, 4, 4)]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in discriminator.layers) == 3


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (1, 128, 128), (1, 8, 12), (3, 13, 8), (1, 9, 9)])
@pytest.mark.parametrize("classes", [0, 3])
def test_any_size_comes_out_and_goes_in(shape, classes):
    generator, discriminator = DCGANGenerator(shape, classes, 10, 4), DCGANDiscriminator(shape, classes, 2, width=4)
    labels = torch.tensor([0, 2])
    images = generator(torch.randn(2, 10), labels)
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    assert discriminator(images, labels).shape == (2, 2)


def test_only_a_conditional_network_listens_to_the_label():
    for classes, listens in ((0, False), (2, True)):
        generator = DCGANGenerator((1, 16, 16), classes, 10, 4).eval()
        codes = torch.randn(1, 10)
        one, other = (generator(codes, torch.tensor([label])) for label in (0, 1))
        assert torch.equal(one, other) is not listens


def test_each_code_goes_to_the_network_of_its_label():
    networks = [DCGANGenerator((1, 8, 8), 0, 6, 4).eval() for _ in range(3)]
    codes, labels = torch.randn(4, 6), torch.tensor([2, 0, 2, 1])
    images = ByClass(networks)(codes, labels)
    for i, label in enumerate(labels.tolist()):
        assert torch.equal(images[i], networks[label](codes, labels)[i])


# ---- the game


def test_the_losses_are_those_of_their_papers():
    sigmoid = torch.sigmoid
    expected = -(sigmoid(REAL).log().mean() + (1 - sigmoid(FAKE)).log().mean())
    assert torch.allclose(discriminator_loss(Game(), REAL, FAKE), expected)
    assert torch.allclose(generator_loss(Game(), FAKE), -sigmoid(FAKE).log().mean())
    hinge, wasserstein = Game(loss="hinge"), Game(loss="wasserstein")
    assert math.isclose(
        float(discriminator_loss(hinge, REAL, FAKE)), (0 + 2 + 0.5) / 3 + (0 + 1.25 + 2) / 3, rel_tol=1e-6
    )
    assert torch.allclose(discriminator_loss(wasserstein, REAL, FAKE), FAKE.mean() - REAL.mean())
    for game in (hinge, wasserstein):
        assert torch.allclose(generator_loss(game, FAKE), -FAKE.mean())


def test_smoothing_is_one_sided():
    loss = discriminator_loss(Game(smoothing=0.1), REAL, FAKE)
    called = F.binary_cross_entropy_with_logits(REAL, torch.full((3,), 0.9))
    assert torch.allclose(loss, called + F.binary_cross_entropy_with_logits(FAKE, torch.zeros(3)))
    with pytest.raises(SettingsError, match="smoothing belongs to the logistic loss"):
        Game(loss="hinge", smoothing=0.1)


def test_the_squared_gradient_of_a_linear_score_is_that_of_its_weights():
    weights, images = torch.randn(1, 4, 4), torch.randn(5, 1, 4, 4, requires_grad=True)
    found = squared_gradient((images * weights).flatten(1).sum(1), images)
    assert torch.allclose(found, weights.square().sum().expand(5))


def test_lecam_keeps_scores_near_the_moving_mean_of_the_other_side():
    recipe = DCGAN(conditional=True, batch=4, width=4, latent=4, game=Game(lecam=1.0))
    learner = recipe.learner(toy_images(), Run(seed=0))
    assert float(learner._lecam(REAL, FAKE)) == pytest.approx(
        float(((REAL - 0.01 * FAKE.mean()) ** 2).mean() + ((FAKE - 0.01 * REAL.mean()) ** 2).mean())
    )
    learner._lecam(REAL, FAKE)
    expected = torch.stack([REAL.mean(), FAKE.mean()]) * (1 - 0.99**2)
    assert torch.allclose(learner.anchors, expected)
    again = recipe.learner(toy_images(), Run(seed=1))
    again.restore(learner.state())
    assert torch.equal(again.anchors, learner.anchors)


def test_told_apart_counts_both_kinds():
    assert math.isclose(float(told_apart(REAL, FAKE)), (2 / 3 + 1 / 3) / 2, rel_tol=1e-6)


def test_spectral_norm_bounds_every_layer():
    _, network = DCGAN().players((1, 16, 16), 0)
    bound(network)
    for _ in range(50):  # one power iteration per forward pass
        network(torch.randn(4, 1, 16, 16), torch.zeros(4, dtype=torch.int64))
    first = network.eval().layers[0].weight.flatten(1)
    assert float(torch.linalg.matrix_norm(first, 2).detach()) == pytest.approx(1.0, abs=0.02)


class Recorded(GANLearner):
    """Notes which player moves."""

    def update(self, step, draw):
        before = {name: parameters_of(part) for name, part in self.players().items()}
        losses = super().update(step, draw)
        self.moved = {
            name for name, part in self.players().items() if not torch.equal(before[name], parameters_of(part))
        }
        return losses

    def players(self):
        return {"generator": self.generator, "discriminator": self.discriminator}


def parameters_of(network):
    return torch.cat([value.detach().flatten().clone() for value in network.parameters()])


@pytest.mark.parametrize(
    ("game", "named"),
    [
        ({}, {"discriminator", "generator", "discriminator right"}),
        ({"r1": 1.0, "spectral_norm": True}, {"discriminator", "generator", "discriminator right", "R1"}),
        ({"loss": "wasserstein", "gradient_penalty": 10.0}, {"discriminator", "generator", "gradient penalty"}),
        ({"loss": "hinge", "diffaugment": ("shift", "erase")}, {"discriminator", "generator", "discriminator right"}),
    ],
)
def test_a_step_moves_both_players_and_reports_every_loss(game, named):
    calls = []

    def draw(n):
        calls.append(n)
        return Batch(torch.randn(n, 1, 8, 8).clamp(-1, 1), torch.zeros(n, dtype=torch.int64), torch.zeros(n).bool())

    recipe = WGANGP(
        width=4, batch=6, latent=4, game={"critic_steps": 3, "loss": "logistic", "gradient_penalty": 0.0, **game}
    )
    learner = Recorded(recipe, recipe.players((1, 8, 8), 1), "cpu")
    learner.update(0, draw)
    losses = learner.update(1, draw)
    assert set(losses) == named
    assert learner.moved == {"generator", "discriminator"}
    assert calls == [6] * 6
    assert all(value.requires_grad for value in learner.discriminator.parameters() if value.is_leaf)


# ---- settings


def test_a_table_names_what_differs_from_the_kinds_own_game():
    assert WGANGP(game={"critic_steps": 7}).game == WGANGP().game.replace(critic_steps=7)
    with pytest.raises(SettingsError, match="critic_stepz"):
        WGANGP(game={"critic_stepz": 7})
    with pytest.raises(SettingsError, match="diffaugment has no 'shft'"):
        DCGAN(game={"diffaugment": ("shft",)})


def test_dcgan_is_per_class_or_conditional():
    assert DCGAN(conditional=True).per_class is False
    for both in (True, False):
        with pytest.raises(SettingsError, match="exactly one of per_class and conditional"):
            DCGAN(conditional=both, per_class=both)


# ---- one pair per class


def test_with_one_pair_per_class_each_sees_its_own_class_only():
    train = toy_images(classes=3, per_class=(4, 5, 6))
    source = DCGAN().source(train, Run(seed=0))
    assert isinstance(source, SourcesInTurn)
    for step in range(6):
        assert set(source.at(step)(5).labels.tolist()) == {step % 3}


def test_a_class_without_images_cannot_have_networks_of_its_own():
    train = toy_images(classes=2).take([0, 1, 2])
    with pytest.raises(DataError, match=r"class 'class 1' has no training image, and dcgan has a network for each"):
        DCGAN(steps=1).fit(train, Run(seed=0))
