import pytest
import torch
from torch import nn

from augury.generators import CGAN
from augury.training import Run
from toy import toy_images


def test_the_published_form_is_the_default():
    recipe = CGAN()
    assert (recipe.hidden, recipe.latent, recipe.rate, recipe.batch) == ((256, 512, 1024), 100, 1e-4, 128)
    assert (recipe.game.loss, recipe.game.critic_steps, recipe.game.diffaugment) == ("logistic", 1, ())
    assert recipe.average == 0


def test_the_players_are_mirror_images_with_the_label_at_both_inputs():
    generator, discriminator = CGAN(hidden=(16, 32, 64)).players((3, 9, 8), 5)
    made, seen = (
        [(layer.in_features, layer.out_features) for layer in player.modules() if isinstance(layer, nn.Linear)]
        for player in (generator, discriminator)
    )
    assert made == [(105, 16), (16, 32), (32, 64), (64, 216)]
    assert seen == [(221, 64), (64, 32), (32, 16), (16, 1)]
    assert all(layer.negative_slope == 0.2 for layer in generator.modules() if isinstance(layer, nn.LeakyReLU))


@pytest.mark.parametrize(("dropout", "layers"), [(0.3, 2), (0.0, 0)])
def test_dropout_is_in_the_discriminator_alone(dropout, layers):
    generator, discriminator = CGAN(hidden=(16, 32), dropout=dropout).players((1, 8, 8), 2)
    assert [
        sum(isinstance(layer, nn.Dropout) for layer in player.modules()) for player in (generator, discriminator)
    ] == [0, layers]


def test_losses_of_both_players_are_kept():
    film = CGAN(hidden=(8,), steps=5, batch=8).fit(toy_images(), Run(seed=0)).film
    assert {"generator", "discriminator"} <= film.losses().keys()
    assert all(len(curve) == 5 for curve in film.losses().values())


def test_the_first_loss_is_that_of_players_that_know_nothing():
    losses = CGAN(steps=1).fit(toy_images(), Run(seed=0)).film.losses()
    assert losses["discriminator"][0] == pytest.approx(2 * torch.log(torch.tensor(2.0)).item(), abs=0.05)
    assert losses["generator"][0] == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=0.05)
