"""Seeds made from names, noise made from seeds, and the global generators left as they were found.

Adding a name to a study never changes the seed of another one: a seed is a digest of what it is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

_SEED_BITS = 63  # torch and numpy both take any non-negative int64


def seed_for(*names: str | int) -> int:
    """Return the seed that belongs to a sequence of names.

    Args:
        names: Strings and integers that say what the seed is for, outermost first.

    Returns:
        An integer in 0..2**63 - 1, the same on every machine and in every process.

    Raises:
        TypeError: If a name is neither a string nor an integer (a NumPy integer prints otherwise elsewhere).

    Example:
        >>> seed_for(0, "fold", 3) == seed_for(0, "fold", 3)
        True
        >>> seed_for("a", "bc") == seed_for("ab", "c")
        False
    """
    hasher = hashlib.sha256()
    for name in names:
        if type(name) not in (str, int):
            raise TypeError(f"a seed is made from str and int. Got {type(name).__name__}: {name!r}.")
        text = f"{type(name).__name__}:{name}".encode()
        hasher.update(len(text).to_bytes(8, "big") + text)
    return int.from_bytes(hasher.digest()[:8], "big") >> (64 - _SEED_BITS)


@contextmanager
def guarded(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside the block, and put them back afterwards.

    Layers such as dropout can draw from nothing else.
    """
    import torch

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def generator_for(*names: str | int) -> torch.Generator:
    """Return a torch generator on the CPU, seeded with `seed_for(*names)`."""
    import torch

    return torch.Generator().manual_seed(seed_for(*names))


def numbers_for(*names: str | int) -> np.random.Generator:
    """Return a NumPy generator seeded with all bits of `seed_for(*names)`.

    What tells one image from another is drawn from it: torch's generator on the CPU uses the lower 32 bits of a seed
    only, and 100,000 images would hold twins.
    """
    import numpy as np

    return np.random.default_rng(seed_for(*names))


def noise(seeds: Sequence[int], *shape: int) -> torch.Tensor:
    """Draw standard normal noise, each row from its own seed.

    Args:
        seeds: N seeds.
        shape: Shape of one row.

    Returns:
        float32 (N, *shape) on the CPU. Row i depends on `seeds[i]` alone.

    Example:
        >>> bool((noise([1, 2], 3)[1] == noise([2], 3)[0]).all())
        True
    """
    import numpy as np
    import torch

    rows = [numbers_for(seed, "noise").standard_normal(shape, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, *shape)
