"""Diffusion and flow matching against closed forms: Gaussians, a mixture, and equations that can be solved."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from augury.denoising import Preconditioning, StraightLine, guided, noise_levels, times, toward_doubt
from augury.generators import Diffusion, Flow
from augury.seeds import noise
from augury.solvers import cosine_stops, euler, heun, noise_stops

MEAN = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
MIXED = torch.tensor([[0.5, 0.0, 0.0], [0.2, 0.3, 0.0], [-0.1, 0.1, 0.2]], dtype=torch.float64)
COVARIANCE = MIXED @ MIXED.T


class Answering:
    """A network that always says the same and keeps what it was shown."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, noisy, level):
        self.seen = noisy
        return self.answer


def points(n, dimensions=3):
    return noise(range(n), dimensions).double()


# ---- table 1


@pytest.mark.parametrize("sigma", [0.002, 0.1, 0.5, 3.0, 80.0])
def test_the_factors_are_those_of_the_table(sigma):
    data = 0.5
    c_skip, c_out, c_in, c_noise = (float(each) for each in Preconditioning(data).factors(torch.tensor(sigma)))
    assert c_skip == pytest.approx(data**2 / (sigma**2 + data**2))
    assert c_out == pytest.approx(sigma * data / math.sqrt(data**2 + sigma**2))
    assert c_in == pytest.approx(1 / math.sqrt(sigma**2 + data**2))
    assert c_noise == pytest.approx(math.log(sigma) / 4)


def test_input_and_target_of_the_network_have_variance_one_at_every_noise_level():
    torch.manual_seed(0)
    images, drawn = 0.5 * torch.randn(4000, 1, 4, 4), torch.randn(4000, 1, 4, 4)
    for sigma in (0.01, 0.5, 20.0):
        network, levels = Answering(torch.zeros_like(images)), torch.full((4000,), sigma)
        loss = Preconditioning(0.5).loss(network, images, drawn, levels)
        assert float(network.seen.var()) == pytest.approx(1, abs=0.02)
        assert float(loss.mean()) == pytest.approx(1, abs=0.02)  # of a network that says 0: the target's variance


def test_the_loss_is_the_weighted_error_of_the_denoiser():
    torch.manual_seed(0)
    images, drawn, sigma = torch.rand(5, 1, 4, 4), torch.randn(5, 1, 4, 4), torch.tensor([0.01, 0.1, 0.5, 2.0, 40.0])
    network, factors = (lambda x, level: 0.3 * x + level.view(-1, 1, 1, 1)), Preconditioning(0.5)
    error = factors.denoise(network, images + sigma.view(-1, 1, 1, 1) * drawn, sigma) - images
    weight = (sigma**2 + 0.25) / (sigma * 0.5) ** 2  # lambda(sigma)
    expected = weight * error.square().flatten(1).mean(1)
    assert torch.allclose(factors.loss(network, images, drawn, sigma), expected, rtol=1e-3)


def test_noise_levels_and_times_have_their_laws():
    normal = noise([0], 20000)[0]
    levels = noise_levels(normal).log()
    assert float(levels.mean()) == pytest.approx(-1.2, abs=0.03)
    assert float(levels.std()) == pytest.approx(1.2, abs=0.03)
    assert torch.allclose(torch.logit(times(normal)), normal, atol=1e-3)
    assert torch.allclose(torch.logit(times(normal, -0.8, 0.5)), 0.5 * normal - 0.8, atol=1e-3)


def test_the_stops_follow_equation_5():
    stops = noise_stops(18)
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    assert np.allclose(stops.numpy(), [*expected, 0.0])
    assert noise_stops(1).tolist() == [80.0, 0.0]


# ---- solvers


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2)])
def test_the_error_falls_with_the_order_of_the_solver(solver, order):
    def error(n):
        stops = torch.linspace(0, 2, n + 1, dtype=torch.float64)
        end = solver(lambda x, s: x * math.cos(s), torch.ones(1, dtype=torch.float64), stops)
        return abs(float(end) - math.exp(math.sin(2)))

    orders = [math.log2(error(n) / error(2 * n)) for n in (32, 64, 128)]
    assert orders == pytest.approx([order] * 3, abs=0.08)


def gaussian_denoiser(x, sigma):
    """Return E[image | image + sigma noise = x] of Gaussian images."""
    gain = COVARIANCE @ torch.linalg.inv(COVARIANCE + sigma**2 * torch.eye(3, dtype=torch.float64))
    return MEAN + (x - MEAN) @ gain.T


def test_on_a_gaussian_the_way_from_noise_recovers_mean_and_covariance():
    start, stops = points(20000) * 80, noise_stops(40)
    end = heun(lambda x, sigma: (x - gaussian_denoiser(x, sigma)) / sigma, start, stops)
    assert torch.allclose(end.mean(0), MEAN, atol=0.02)
    assert torch.allclose(end.T.cov(), COVARIANCE, atol=0.02)


def test_on_a_gaussian_single_points_end_where_the_equation_leads():
    # each eigendirection scales by sqrt(variance / (variance + 80^2)) on the way from sigma = 80 to 0
    values, directions = torch.linalg.eigh(COVARIANCE)
    start = points(5) * 80
    factors = (values / (values + 80**2)).sqrt()
    expected = MEAN + ((start - MEAN) @ directions * factors) @ directions.T
    end = heun(lambda x, sigma: (x - gaussian_denoiser(x, sigma)) / sigma, start, noise_stops(200))
    assert torch.allclose(end, expected, atol=2e-3)


@pytest.mark.parametrize("solver", [euler, heun])
def test_the_flow_from_noise_to_a_gaussian_recovers_it(solver):
    mean, deviation = 0.4, 0.3

    def velocity(x, t):  # E[n - x0 | x_t = x] for x0 of this law
        variance = (1 - t) ** 2 * deviation**2 + t**2
        away = x - (1 - t) * mean
        return -mean + (t - (1 - t) * deviation**2) / variance * away

    start = points(20000, 1)
    end = solver(velocity, start, cosine_stops(400))
    assert torch.allclose(end, mean + deviation * start, atol=0.02)
    assert (float(end.mean()), float(end.std())) == pytest.approx((mean, deviation), abs=0.02)


def test_the_velocity_is_learned_as_noise_minus_image_and_the_input_has_variance_one():
    torch.manual_seed(0)
    images, drawn = 0.5 * torch.randn(4000, 1, 4, 4), torch.randn(4000, 1, 4, 4)
    for t in (0.05, 0.5, 0.95):
        network = Answering(drawn - images)
        loss = StraightLine(0.5).loss(network, images, drawn, torch.full((4000,), t))
        assert float(network.seen.var()) == pytest.approx(1, abs=0.02)
        assert loss.max() == 0


# ---- guidance


class Mixture(nn.Module):
    """Denoisers of two unit Gaussians at -2 and 2, known exactly; label 2 is no class. Level: ln sigma / 4."""

    classes = 2

    def forward(self, x, level, labels):
        total = 1 + (4 * level.view(-1, 1, 1, 1)).exp() ** 2
        places = torch.tensor([-2.0, 2.0])
        each = torch.stack([place + (x - place) / total for place in places])
        weights = torch.stack([-((x - place) ** 2) / (2 * total) for place in places]).softmax(0)
        known = torch.cat([each, (weights * each).sum(0, keepdim=True)])
        return known[labels, torch.arange(len(x))]


def test_guidance_follows_the_posterior_of_the_class():
    x, sigma, weight = torch.linspace(-3, 3, 7).view(7, 1, 1, 1), 0.7, 2.5
    labels, level = torch.ones(7, dtype=torch.int64), torch.full((7,), math.log(sigma) / 4)
    conditional = guided(Mixture(), labels, 1.0)(x, level)
    pushed = guided(Mixture(), labels, weight)(x, level)
    # ln p(1 | x) of the noisy mixture is -softplus(-4 x / (1 + sigma^2)); a denoiser moves by sigma^2 times a score
    posterior = 4 / (1 + sigma**2) * torch.sigmoid(-4 * x / (1 + sigma**2))
    assert torch.allclose(pushed, conditional + (weight - 1) * sigma**2 * posterior, atol=1e-5)


def test_no_guidance_asks_the_network_once():
    network, asked = Mixture(), []
    network.register_forward_hook(lambda _, inputs, __: asked.append(len(inputs[0])))
    x, labels = torch.zeros(3, 1, 1, 1), torch.zeros(3, dtype=torch.int64)
    guided(network, labels, 1.0)(x, torch.zeros(3))
    guided(network, labels, 2.0)(x, torch.zeros(3))
    assert asked == [3, 6]


# ---- feedback


def white_velocity(noisy, level):
    """Return the exact velocity for white Gaussian images of deviation 0.5, at points divided by their deviation."""
    t = (4 * level).sigmoid().view(-1, 1, 1, 1)
    return (t - (1 - t) * 0.25) / ((1 - t) ** 2 * 0.25 + t**2).sqrt() * noisy


@pytest.mark.parametrize(
    ("recipe", "exact"),
    [
        (Diffusion(drawing_steps=60), lambda noisy, level: torch.zeros_like(noisy)),
        (Flow(drawing_steps=60), white_velocity),
    ],
)
def test_a_constant_gradient_tilts_a_gaussian_as_its_law_says(recipe, exact):
    # N(0, v) times exp(g x) is N(v g, v)
    start = noise(range(500), 1, 4, 4)
    gradient = torch.linspace(-2, 2, 16).view(1, 1, 4, 4)
    plain, tilted = (recipe.solve(exact, start, pull) for pull in (None, lambda x: gradient.expand_as(x)))
    assert torch.allclose(plain, 0.5 * start, atol=0.02)
    assert torch.allclose(tilted, 0.5 * start + 0.25 * gradient, atol=0.02)


def test_the_pull_is_the_gradient_of_the_entropy():
    direction = torch.tensor([0.5, -1.0, 2.0, 0.3])

    def classifier(images):
        score = images.flatten(1) @ direction
        return torch.stack([torch.zeros_like(score), score], dim=1)

    images = points(6, 4).float().view(6, 1, 2, 2)
    score = images.flatten(1) @ direction
    slope = -score * score.sigmoid() * (-score).sigmoid()  # dH/ds = -s p (1 - p)
    with torch.no_grad():
        found = toward_doubt(classifier, 3.0)(images)
    assert torch.allclose(found.flatten(1), 3 * slope[:, None] * direction, atol=1e-5)
