import pytest
import torch
from torch import nn

from augury.generators.wgan_gp import WGANGP
from augury.training import Batch


class Constant(nn.Module):
    """A generator that draws one image."""

    def __init__(self, image):
        super().__init__()
        self.image = nn.Parameter(image.clone())

    def forward(self, codes, labels):
        return self.image.expand(len(codes), *self.image.shape)


@pytest.mark.parametrize("distance", [0.5, 2.0])
def test_the_critics_loss_becomes_the_earth_movers_distance(distance):
    # all real images are one, all drawn ones another: a score of slope s tells them apart by s * d, and
    # s * d - 10 * (s - 1)^2 is greatest at s = 1 + d / 20
    real = torch.zeros(1, 8, 8)
    drawn = real + distance / 8
    recipe = WGANGP(batch=8, width=4, rate=1e-9, rate_discriminator=3e-3, average=0.0)
    torch.manual_seed(0)
    learner = recipe.learner_class(recipe, (Constant(drawn), recipe.players((1, 8, 8), 1)[1]), "cpu")
    batch = Batch(real.expand(8, 1, 8, 8).clone(), torch.zeros(8, dtype=torch.int64), torch.zeros(8, dtype=torch.bool))
    losses = [-float(learner.update(step, lambda n: batch)["discriminator"]) for step in range(50)]
    assert sum(losses[-10:]) / 10 == pytest.approx(distance * (1 + distance / 20), rel=0.1)


def test_a_setting_of_the_game_leaves_the_others_as_they_are():
    game = WGANGP(game={"critic_steps": 5}).game
    assert game == WGANGP().game.replace(critic_steps=5)
    assert (game.loss, game.gradient_penalty, game.beta1, game.beta2) == ("wasserstein", 10.0, 0.0, 0.9)
