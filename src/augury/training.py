"""The one training loop, its checkpoint, the weight average and the precision it runs in."""

from __future__ import annotations

import copy
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from augury.errors import DataError, SettingsError, TrainingError
from augury.seeds import guarded, seed_for

if TYPE_CHECKING:
    from augury.classifiers.features import FeatureBank

FINITE_CHECK_EVERY = 20  # steps; looking at every loss would make a GPU wait each time
WARM_UP_SHARE = 0.1


@dataclass(frozen=True)
class Run:
    """Where and how one training runs; nothing in it belongs to the recipe.

    Attributes:
        seed: Seed of the whole training.
        device: `cpu` or `cuda`.
        folder: Where the checkpoint is kept; None keeps none.
        on_step: Called after each step with (steps done, steps in all).
        checkpoint_seconds: Least time between two checkpoints.
        features: Features of the training images under a frozen backbone, if they were computed before.
    """

    seed: int
    device: str = "cpu"
    folder: Path | None = None
    on_step: Callable[[int, int], None] | None = None
    checkpoint_seconds: float = 20.0
    features: FeatureBank | None = None


@dataclass(frozen=True)
class Batch:
    """One draw, on the device.

    Attributes:
        images: float32 (B, C, H, W) in -1..1, or (B, D) features of a network that is not trained.
        labels: int64 (B,).
        synthetic: bool (B,).
    """

    images: Tensor
    labels: Tensor
    synthetic: Tensor


Draw = Callable[[int], Batch]


class Source(Protocol):
    """What training images are drawn from."""

    def at(self, step: int) -> Draw:
        """Return the draw of one step: `draw(n)` gives n images; what it gives depends on (seed, step, call) alone."""
        ...


class Learner(Protocol):
    """What is trained: it owns its networks and optimisers, and knows its objective."""

    def update(self, step: int, draw: Draw) -> Mapping[str, Tensor]:
        """Take one optimiser step and return the detached losses by name."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything that changes during training, as state dicts and plain values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        ...


def learn(
    learner: Learner, source: Source, *, steps: int, run: Run, watch: Callable[[int], None] | None = None
) -> dict[str, list[float]]:
    """Train a learner: the one loop of the project.

    Step s draws its randomness from (run.seed, s), so a training that was stopped and goes on from its
    checkpoint ends in the same weights as one that never stopped.

    Args:
        learner: What is trained.
        source: What its batches are drawn from.
        steps: Steps in all, those of a checkpoint included.
        run: Seed, device, folder.
        watch: Called with the steps done: before the first one and after each; it must change nothing.

    Returns:
        The losses by name, one value per step.

    Raises:
        TrainingError: If a loss is not finite; the message names the step.
    """
    first, losses = _resume(learner, run)
    saved = time.monotonic()
    pending: list[Mapping[str, Tensor]] = []
    if watch is not None and first == 0:
        watch(0)
    for step in range(first, steps):
        with guarded(seed_for(run.seed, "step", step)):
            pending.append(learner.update(step, source.at(step)))
        due = time.monotonic() - saved >= run.checkpoint_seconds and run.folder is not None
        if due or len(pending) >= FINITE_CHECK_EVERY or step + 1 == steps:
            _collect(losses, pending, step + 1 - len(pending))
            pending = []
        if watch is not None:
            watch(step + 1)
        if due and step + 1 < steps:
            _checkpoint(learner, losses, step + 1, run)
            saved = time.monotonic()
        if run.on_step is not None:
            run.on_step(step + 1, steps)
    return losses


def _collect(losses: dict[str, list[float]], pending: list[Mapping[str, Tensor]], first: int) -> None:
    for step, entry in enumerate(pending, start=first):
        for name, tensor in entry.items():
            value = float(tensor)
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss {name!r} became {value} at step {step + 1}. "
                    "Lower the setting 'rate', or look for constant images in the data."
                )
            losses.setdefault(name, []).append(value)


def _checkpoint(learner: Learner, losses: dict[str, list[float]], step: int, run: Run) -> None:
    assert run.folder is not None
    run.folder.mkdir(parents=True, exist_ok=True)
    partial = run.folder / "checkpoint.tmp"
    torch.save({"step": step, "losses": losses, "learner": learner.state()}, partial)
    partial.replace(run.folder / "checkpoint.pt")


def _resume(learner: Learner, run: Run) -> tuple[int, dict[str, list[float]]]:
    path = run.folder / "checkpoint.pt" if run.folder is not None else None
    if path is None or not path.exists():
        return 0, {}
    saved = torch.load(path, map_location=run.device, weights_only=True)
    learner.restore(saved["learner"])
    return saved["step"], saved["losses"]


def load_weights(network: nn.Module, path: Path, *, rest_known: bool = False) -> None:
    """Load a saved state dict into a network; nothing is unpickled.

    Args:
        network: Where to.
        path: What `torch.save` wrote.
        rest_known: Whether the file may hold a part of the weights, the rest being right already.

    Raises:
        DataError: If the file is missing or damaged, or belongs to another network.
    """
    try:
        if not zipfile.is_zipfile(path):  # what torch.save writes; anything older would be a pickle
            raise DataError(f"the weights in {path} are missing or damaged. Fit the model again.")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({**network.state_dict(), **saved} if rest_known else saved)
    except (RuntimeError, OSError) as error:
        raise DataError(f"the weights in {path} cannot be used: {error} Fit the model again.") from None


class Average:
    """Exponential moving average of a network's weights and buffers (Polyak averaging).

    The decay grows from 0, so that the first random weights are forgotten:
    d_s = min(decay, (1 + s) / (10 + s)).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
        means, values = self.network.state_dict(), network.state_dict()
        moving = [name for name, mean in means.items() if mean.is_floating_point() and name not in frozen]
        floats = [(means[name], values[name].detach()) for name in moving]
        self.means, self.values = [mean for mean, _ in floats], [value for _, value in floats]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average toward the network's weights after one step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.means, self.values, 1 - decay)


def warm_up_then_cosine(step: int, steps: int) -> float:
    """Return the factor on the learning rate: linear warm-up over the first tenth, then half a cosine to 0.

    Reference: Loshchilov & Hutter 2017 (arXiv 1608.03983), eq. 5, one period.

    Example:
        >>> warm_up_then_cosine(10, 100), round(warm_up_then_cosine(99, 100), 4)
        (1.0, 0.0003)
    """
    warm_up = max(1, round(steps * WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def autocast(device: str) -> torch.autocast:
    """Return bf16 autocast where the processor multiplies bf16 in hardware, and plain float32 elsewhere.

    Without AVX-512 bf16 a CPU emulates it and becomes slower than in float32.
    """
    return torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=has_fast_bf16(device))


def has_fast_bf16(device: str) -> bool:
    """Tell whether bf16 pays on a device."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported()) if hasattr(torch.cpu, "_is_avx512_bf16_supported") else False


def choose_device(wish: str) -> str:
    """Resolve `auto` to `cuda` when there is a GPU, else `cpu`.

    Raises:
        SettingsError: If `cuda` is asked for and there is none.
    """
    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wish == "cuda" and not torch.cuda.is_available():
        raise SettingsError("the device cuda was asked for, and torch finds no GPU here. Use --device cpu or auto.")
    return wish


@contextmanager
def torch_threads(wanted: int) -> Iterator[None]:
    """Set torch's threads inside the block, and put them back afterwards."""
    found = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(found)


def to_float(images: Tensor) -> Tensor:
    """Map uint8 0..255 to float32 -1..1."""
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Map float -1..1 to uint8 0..255, rounded and clipped."""
    return images.add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
