"""A published autoencoder, read from a file, in the place of one that is trained on the same images."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from augury.errors import DataError
from augury.networks.weights import file_of, need

CONFIG, FILE_NAME = "config.json", "diffusion_pytorch_model.safetensors"


class PublishedCodes:
    """An AutoencoderKL of diffusers as it was published, frozen; grey images are shown to it as colour.

    It is no module, so that its weights are neither averaged nor saved with every network that works on its codes.

    Args:
        weights: `file:PATH`, PATH a diffusion_pytorch_model.safetensors with its config.json beside it.
        shape: (C, H, W) of the images.

    Raises:
        SettingsError: If diffusers is not installed.
        DataError: If there is no such file, or it holds something else.

    Reference: Rombach et al. 2022 (arXiv 2112.10752), section 3.1.
    """

    def __init__(self, weights: str, shape: tuple[int, int, int]) -> None:
        self.folder, self.shape = folder_of(weights), shape
        self.network = _read(self.folder, (self.folder / FILE_NAME).stat().st_mtime_ns)
        config: Any = self.network.config
        self.factor = 2 ** (len(config.block_out_channels) - 1)
        self.channels = int(config.in_channels)
        if shape[0] not in (1, self.channels):
            raise DataError(f"{weights} takes images of {self.channels} channels. Got {shape[0]}: read with --grey.")
        self.code_shape = (int(config.latent_channels), *(math.ceil(side / self.factor) for side in shape[1:]))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: it never changes."""
        return self

    @property
    def files(self) -> tuple[Path, Path]:
        """Return what it was read from."""
        return self.folder / CONFIG, self.folder / FILE_NAME

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to mean and log-variance, each (B, channels, h, w)."""
        H, W = images.shape[-2:]
        fitted = F.pad(images, (0, -W % self.factor, 0, -H % self.factor), mode="replicate")
        colour = fitted.expand(-1, self.channels, -1, -1)
        law = self._on(images).encode(colour).latent_dist
        return law.mean, law.logvar

    def decode(self, codes: Tensor) -> Tensor:
        """Map (B, channels, h, w) to images of about -1..1, (B, C, H, W)."""
        C, H, W = self.shape
        images: Tensor = self._on(codes).decode(codes).sample[:, :, :H, :W]
        return images if self.channels == C else images.mean(1, keepdim=True)

    def _on(self, beside: Tensor) -> Any:
        return self.network.to(beside.device)


def folder_of(weights: str) -> Path:
    """Return the folder of a published autoencoder.

    Raises:
        DataError: If the file has another name, or its description is not beside it.
    """
    path = file_of(weights)
    if path.name != FILE_NAME or not (path.parent / CONFIG).is_file():
        raise DataError(f"{path}: {FILE_NAME} with its {CONFIG} beside it was expected, as diffusers publishes them.")
    return path.parent


@functools.lru_cache(maxsize=1)  # every network that was kept of a training asks for it
def _read(folder: Path, modified: int) -> Any:
    need("latent", "diffusers")
    import diffusers

    kind: Any = diffusers.AutoencoderKL
    told = {"local_files_only": True, "use_safetensors": True, "low_cpu_mem_usage": False, "torch_dtype": torch.float32}
    try:
        network, found = kind.from_pretrained(folder, output_loading_info=True, **told)
        faults = [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(f"{folder}: {CONFIG} and {FILE_NAME} of a diffusers AutoencoderKL were expected.") from error
    if faults:
        raise DataError(f"{folder}: {FILE_NAME} and {CONFIG} do not belong together, first: {faults[0]}.")
    return network.eval().requires_grad_(False)
