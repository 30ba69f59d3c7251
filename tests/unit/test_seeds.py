import subprocess
import sys

import numpy as np
import pytest
import torch

from augury.seeds import generator_for, guarded, noise, seed_for
from toy import nothing_touched


def test_seeds_stay_what_they_are():
    """These numbers are in every stored result: a change of them is a change of every result."""
    assert seed_for(0, "fold", 3) == 2317486976451725670
    assert seed_for() == 8203414616412130826


def test_seeds_are_the_same_in_another_process():
    command = "from augury.seeds import seed_for; print(seed_for('image', 7))"
    printed = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout
    assert int(printed) == seed_for("image", 7)


def test_different_names_give_different_seeds():
    names = [(), ("",), ("", ""), ("a", "bc"), ("ab", "c"), ("abc",), (1,), ("1",), (1, 2), (12,), (2, 1), (-1,)]
    assert len({seed_for(*name) for name in names}) == len(names)


def test_seeds_fit_into_what_torch_and_numpy_take():
    seeds = [seed_for("many", i) for i in range(1000)]
    assert 0 <= min(seeds) < max(seeds) < 2**63
    assert max(seeds) > 2**62


@pytest.mark.parametrize("name", [1.0, True, None, np.int64(1), ("a",), b"a"])
def test_only_text_and_integers_name_a_seed(name):
    with pytest.raises(TypeError, match="a seed is made from str and int"):
        seed_for(0, name)


def test_inside_the_guard_torch_is_seeded_and_afterwards_it_is_as_before():
    with nothing_touched():
        with guarded(5):
            first = torch.rand(3)
        with guarded(5):
            again = torch.rand(3)
        with guarded(6):
            other = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def fail_inside_the_guard():
    with guarded(5):
        torch.rand(3)
        raise RuntimeError


def test_the_guard_puts_back_when_the_block_fails():
    with nothing_touched(), pytest.raises(RuntimeError):
        fail_inside_the_guard()


def test_a_generator_is_its_names():
    first, again, other = generator_for(0, "a"), generator_for(0, "a"), generator_for(0, "b")
    drawn = torch.rand(3, generator=first)
    assert torch.equal(drawn, torch.rand(3, generator=again))
    assert not torch.equal(drawn, torch.rand(3, generator=other))


def test_noise_is_standard_normal_and_each_row_is_its_seed():
    rows = noise(range(2000), 5)
    assert rows.shape == (2000, 5)
    assert rows.dtype == torch.float32
    assert rows.mean().abs() < 0.05
    assert abs(rows.std() - 1) < 0.05
    assert torch.equal(noise([7, 3], 5), rows[[7, 3]])
    assert noise([1], 2, 3).shape == (1, 2, 3)


def test_noise_leaves_the_global_randomness_alone():
    with nothing_touched():
        noise([1, 2], 3)


def test_noise_uses_all_bits_of_a_seed():
    """Of 32 bits alone, two of 100,000 images would be one and the same more often than not."""
    seeds = [1, 1 + 2**32, 1 + 2**40, 1 + 2**62]
    assert len({tuple(row.tolist()) for row in noise(seeds, 4)}) == len(seeds)


def test_no_seeds_make_no_noise():
    assert noise([], 2, 3).shape == (0, 2, 3)
