"""What the bar says of a single fit."""

import io

import pytest
from rich.console import Console

from augury.progress import Bar


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr("augury.progress.QUIET_SECONDS", 0.0)
    return io.StringIO()


def fitted(told, batch):
    with Bar(Console(file=told, width=120)) as bar:
        for done in range(1, 21):
            bar.on_step(done, 20, batch)
    return told.getvalue().splitlines()


def test_a_fit_says_every_tenth_of_its_steps_and_how_many_images_they_take_in_a_second(told):
    lines = fitted(told, batch=64)
    assert [line.split(" of ")[0] for line in lines] == [f"{tenth}0 %" for tenth in range(1, 11)]
    assert all("of 20 steps done" in line for line in lines)
    assert "images/s" in lines[-1]


def test_a_short_fit_says_nothing():
    assert fitted(io.StringIO(), batch=64) == []


def test_a_fit_of_some_seconds_says_once_how_far_it_is(monkeypatch):
    monkeypatch.setattr("augury.progress.FIRST_SECONDS", 0.0)
    (line,) = fitted(io.StringIO(), batch=0)
    assert line.startswith("5 % of 20 steps done")


def test_where_the_batch_is_not_known_no_speed_is_told(told):
    assert not any("images/s" in line for line in fitted(told, batch=0))
