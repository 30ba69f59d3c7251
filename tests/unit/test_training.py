import math

import pytest
import torch

from augury.errors import DataError, SettingsError, TrainingError
from augury.seeds import guarded, seed_for
from augury.training import (
    FINITE_CHECK_EVERY,
    Average,
    Run,
    autocast,
    choose_device,
    has_fast_bf16,
    learn,
    load_weights,
    to_float,
    to_uint8,
    warm_up_then_cosine,
)
from toy import nothing_touched, stop_at_half, stopped_and_continued


class Steps:
    """A source whose draw returns the number of its step."""

    def at(self, step):
        return lambda n: torch.full((n,), float(step))


class Walker:
    """A learner that adds up its batches and a random number: its state tells every mistake of the loop."""

    def __init__(self, losses=None):
        self.steps, self.noise, self.total, self.losses = [], [], torch.zeros(2), losses or {}

    def update(self, step, draw):
        self.steps.append(step)
        self.noise.append(float(torch.rand(())))
        self.total += draw(2) + self.noise[-1]
        return {"loss": torch.tensor(self.losses.get(step, float(step))), "twice": torch.tensor(2.0 * step)}

    def state(self):
        return {"total": self.total.clone()}

    def restore(self, state):
        self.total = state["total"]


def walk(run, steps=10):
    walker = Walker()
    losses = learn(walker, Steps(), steps=steps, run=run)
    return walker, losses


# ---- the loop


@pytest.mark.parametrize("steps", [1, FINITE_CHECK_EVERY, 2 * FINITE_CHECK_EVERY + 5])
def test_every_step_is_taken_once_in_order_and_leaves_its_losses(steps):
    walker, losses = walk(Run(0), steps)
    assert walker.steps == list(range(steps))
    assert losses == {"loss": walker.steps, "twice": [2 * step for step in walker.steps]}


def test_a_step_draws_its_randomness_from_the_seed_and_its_number_alone():
    with nothing_touched():
        walker, _ = walk(Run(3))
    for step, drawn in enumerate(walker.noise):
        with guarded(seed_for(3, "step", step)):
            assert drawn == float(torch.rand(()))
    assert walker.noise != walk(Run(4))[0].noise


def test_every_step_is_told_of():
    told = []
    walk(Run(0, on_step=lambda *step: told.append(step)), steps=3)
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("step", [0, 6, FINITE_CHECK_EVERY, 44])
def test_a_loss_that_is_not_finite_names_its_step_and_the_remedy(step, value):
    with pytest.raises(
        TrainingError, match=f"the loss 'loss' became {value} at step {step + 1}. Lower the setting 'rate'"
    ):
        learn(Walker({step: value}), Steps(), steps=45, run=Run(0))


# ---- the checkpoint


def test_stopped_and_continued_equals_never_stopped(tmp_path):
    whole, losses = walk(Run(7))
    continued, same = stopped_and_continued(walk, tmp_path / "kept", seed=7)
    assert torch.equal(continued.total, whole.total)
    assert same == losses
    assert continued.steps == [5, 6, 7, 8, 9]


def test_a_checkpoint_is_whole_or_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        walk(Run(0, folder=tmp_path, on_step=stop_at_half, checkpoint_seconds=0))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_diverged_training_never_becomes_a_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match="at step 4"):
        learn(Walker({3: math.nan}), Steps(), steps=10, run=Run(0, folder=tmp_path, checkpoint_seconds=0))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3


def test_checkpoints_wait_for_their_time(tmp_path):
    walk(Run(0, folder=tmp_path, checkpoint_seconds=3600))
    assert not list(tmp_path.iterdir())


# ---- the average of weights


def test_the_average_follows_its_formula_and_forgets_the_first_weights():
    network = torch.nn.Linear(1, 1)
    average = Average(network, decay=0.5)
    expected = network.weight.item()
    for step in range(12):
        with torch.no_grad():
            network.weight.fill_(float(step))
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert average.network.weight.item() == pytest.approx(expected)
    assert network.weight.item() == 11


def test_the_average_holds_buffers_too_and_is_never_trained():
    network = torch.nn.BatchNorm1d(1)
    average = Average(network, decay=0.9)
    network(torch.tensor([[3.0], [5.0]]))
    average.update(0)
    assert float(average.network.running_mean) == pytest.approx(0.9 * float(network.running_mean))
    assert not average.network.training
    assert not any(weight.requires_grad for weight in average.network.parameters())
    assert all(weight.requires_grad for weight in network.parameters())


def test_the_average_leaves_frozen_weights_as_they_are_to_the_bit():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    network[0].requires_grad_(False)
    frozen, average = network[0].weight.clone(), Average(network, decay=0.7)
    with torch.no_grad():
        network[2].weight.fill_(9.0)
    network(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    for step in range(50):
        average.update(step)
    assert torch.equal(average.network[0].weight, frozen)
    assert torch.allclose(average.network[2].weight, network[2].weight, atol=1e-3)
    assert torch.allclose(average.network[1].running_mean, network[1].running_mean, atol=1e-3)


# ---- weights on disk


def net():
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))


def test_weights_come_back_whole_or_in_part(tmp_path):
    saved, whole, part = net(), net(), net()
    kept = part[0].weight.clone()
    torch.save(saved.state_dict(), tmp_path / "whole.pt")
    torch.save({f"1.{name}": value for name, value in saved[1].state_dict().items()}, tmp_path / "part.pt")
    load_weights(whole, tmp_path / "whole.pt")
    load_weights(part, tmp_path / "part.pt", rest_known=True)
    assert torch.equal(whole[0].weight, saved[0].weight)
    assert torch.equal(part[1].weight, saved[1].weight)
    assert torch.equal(part[0].weight, kept)
    with pytest.raises(DataError, match=r"(?s)cannot be used: .*Missing key.*0.weight"):
        load_weights(net(), tmp_path / "part.pt")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"2.weight": torch.zeros(1)}, "cannot be used: .*Unexpected key"),
        ({"1.weight": torch.zeros(5, 5)}, "cannot be used: .*size mismatch"),
        (None, "missing or damaged"),
    ],
    ids=["another part", "another shape", "no file"],
)
def test_weights_of_another_network_are_refused_even_in_part(tmp_path, content, sentence):
    if content is not None:
        torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(DataError, match=f"(?s){sentence}.* Fit the model again"):
        load_weights(net(), tmp_path / "weights.pt", rest_known=True)


# ---- schedule, precision, device, pixels


def test_the_rate_rises_to_one_and_falls_to_almost_nothing():
    factors = [warm_up_then_cosine(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[10] == max(factors) == 1
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert warm_up_then_cosine(55, 100) == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.001


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_have_a_rate_too(steps):
    assert all(0 < warm_up_then_cosine(step, steps) <= 1 for step in range(steps))


@pytest.mark.parametrize("fast", [True, False])
def test_bf16_is_used_where_the_processor_has_it(monkeypatch, fast):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    assert has_fast_bf16("cpu") is fast
    with autocast("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if fast else torch.float32)


def test_the_device_is_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(SettingsError, match=r"torch finds no GPU here. Use --device cpu or auto"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"


def test_pixels_go_to_floats_and_back_unchanged():
    pixels = torch.arange(256, dtype=torch.uint8)
    floats = to_float(pixels)
    assert (floats[0], floats[-1], floats.dtype) == (-1, 1, torch.float32)
    assert torch.equal(to_uint8(floats), pixels)
    assert pixels.tolist() == list(range(256))


def test_floats_outside_are_clipped():
    assert to_uint8(torch.tensor([-9.0, -1.001, 1.001, 9.0])).tolist() == [0, 0, 255, 255]
