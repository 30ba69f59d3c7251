"""What is kept of a training: the losses of every player, pictures of the same seeds as it went on, and snapshots."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

POINTS = 400  # of a loss curve: more cannot be seen
FRAME_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)  # of the steps: pictures change early
LOSSES = "losses.json"


class Film:
    """A folder with what was seen of a training.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def temporary(cls) -> Self:
        """Return an empty film in a folder that goes with it."""
        film = cls(Path(tempfile.mkdtemp(prefix="augury-film-")))
        weakref.finalize(film, shutil.rmtree, film.folder, ignore_errors=True)
        return film

    def frames(self) -> dict[int, np.ndarray]:
        """Return the pictures by steps done: uint8 (R, C, H, W), the same seeds and labels in each."""
        return {_steps(path): np.load(path, allow_pickle=False) for path in sorted(self.folder.glob("frame-*.npy"))}

    def snapshots(self) -> dict[int, Path]:
        """Return the weights that were kept on the way, by steps done."""
        return {_steps(path): path for path in sorted(self.folder.glob("snapshot-*.pt"))}

    def losses(self) -> dict[str, list[float]]:
        """Return the loss curve of every player: means over equal stretches of the training, at most POINTS."""
        path = self.folder / LOSSES
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def keep_losses(self, losses: Mapping[str, Sequence[float]]) -> None:
        """Write the loss curves."""
        short = {name: _thinned(values) for name, values in losses.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / LOSSES).write_text(json.dumps(short), encoding="utf-8")

    def copy_to(self, folder: Path) -> None:
        """Copy it into a folder, unless it lies there."""
        if folder.resolve() != self.folder.resolve():
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)


class Camera:
    """Takes the pictures and snapshots of one training.

    Args:
        film: What they go to.
        shoot: Draws the pictures: uint8 (R, C, H, W).
        network: The network whose weights are kept.
        steps: Steps of the whole training.
        snapshots: Snapshots to keep, at equal distances; the last step needs none.
    """

    def __init__(
        self, film: Film, shoot: Callable[[], Tensor], network: nn.Module, *, steps: int, snapshots: int
    ) -> None:
        self.film, self.shoot, self.network = film, shoot, network
        self.frame_steps = {round(share * steps) for share in FRAME_SHARES}
        self.snapshot_steps = {round(i * steps / (snapshots + 1)) for i in range(1, snapshots + 1)} - {0, steps}
        film.folder.mkdir(parents=True, exist_ok=True)

    def watch(self, done: int) -> None:
        """Look at the training after some steps."""
        if done in self.frame_steps:
            np.save(self.film.folder / f"frame-{done:08d}.npy", self.shoot().numpy(), allow_pickle=False)
        if done in self.snapshot_steps:
            partial = self.film.folder / "snapshot.tmp"  # a killed run leaves no half snapshot under a snapshot's name
            torch.save(self.network.state_dict(), partial)
            partial.replace(self.film.folder / f"snapshot-{done:08d}.pt")


def _steps(path: Path) -> int:
    return int(path.stem.partition("-")[2])


def _thinned(values: Sequence[float]) -> list[float]:
    stretches = np.array_split(np.asarray(values), min(POINTS, len(values)))
    return [round(float(stretch.mean()), 6) for stretch in stretches]
