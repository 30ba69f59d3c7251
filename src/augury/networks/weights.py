"""Files of weights: what tells them apart, how they are read without unpickling, and putting them into a network."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from augury.errors import DataError, SettingsError

FILE = "file:"
NUMBERED = re.compile(r"backbone\.([0-9]{1,3})\.")


def weights_digest(weights: str) -> str:
    """Return what tells weights apart: of `file:PATH` the SHA-256 of its content, else the text itself.

    Raises:
        DataError: If the file is missing.

    Example:
        >>> weights_digest("imagenet")
        'imagenet'
    """
    if not weights.startswith(FILE):
        return weights
    path = file_of(weights)
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_of(weights: str) -> Path:
    """Return the file that `file:PATH` names.

    Raises:
        DataError: If it is missing.
    """
    path = Path(weights.removeprefix(FILE)).expanduser().absolute()
    if not _is_file(path):
        raise DataError(f"a file of weights was expected at {path}. Got none: check the path after 'file:'.")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # of a name that no file can have
        return False


def need(extra: str, *packages: str) -> None:
    """Make sure that the packages of an extra are installed.

    Raises:
        SettingsError: If one is not; the message says how to install it.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise SettingsError(f"this network needs the package {missing[0]}: pip install 'augury[{extra}]'.")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict, bare or under `state_dict` or `model`, without unpickling anything.

    Raises:
        SettingsError: If a package is needed to read it.
        DataError: If it holds something else.
    """
    content = read_content(path)
    for wrapper in ("state_dict", "model"):
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise _no_weights(path)
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def read_content(path: Path) -> Mapping[str, Any]:
    """Read what a file of weights holds, as it lies there; nothing is unpickled but tensors.

    Args:
        path: `.safetensors`, or what torch.save wrote.

    Raises:
        SettingsError: If a package is needed to read it.
        DataError: If it is damaged or holds something else.
    """
    if path.suffix == ".safetensors" and importlib.util.find_spec("safetensors") is None:
        raise SettingsError(f"to read {path.name} the package safetensors is needed: pip install safetensors.")
    try:
        content = _content(path)
    except Exception:  # a damaged file fails in many ways, and torch's words advise to unpickle it
        raise _no_weights(path) from None
    if not isinstance(content, Mapping):
        raise _no_weights(path)
    return content


def _no_weights(path: Path) -> DataError:
    return DataError(
        f"{path} holds no weights that can be read without unpickling code. "
        "Expected a state dict: torch.save(network.state_dict(), 'weights.pth'), or a .safetensors file."
    )


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


@torch.no_grad()
def put_weights(network: nn.Module, weights: Mapping[str, Tensor], name: str, heads: tuple[str, ...] = ()) -> None:
    """Copy weights into a network, if each but the last layers' is there and has its shape.

    Args:
        network: A network without its last layers.
        weights: Its state dict, with or without them.
        name: What they are, for the message.
        heads: Where the last layers were.

    Raises:
        DataError: If the weights belong to another network.
    """
    own, left_out = network.state_dict(), tuple(f"{head}." for head in heads)
    given = {key if key in own else _own_name(network, key): value for key, value in weights.items()}
    given = {key: value for key, value in given.items() if key in own or not key.startswith(left_out)}
    # how many batches a batch norm has seen is used by none of them, and old files lack it
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    misshapen = [key for key in given if key in own and given[key].shape != own[key].shape]
    if missing or unexpected or misshapen:
        faults = {"lack": missing, "hold the unexpected": unexpected, "have another shape of": misshapen}
        fault = ", ".join(f"{verb} {keys[0]!r}" for verb, keys in faults.items() if keys)
        raise DataError(f"{name} belong to another network: they {fault}. Check 'network', or use another file.")
    for key, value in given.items():
        own[key].copy_(value)


def numbers_parts(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict is RadImageNet's: it numbers the parts of a network.

    Example:
        >>> numbers_parts({"backbone.0.weight": torch.zeros(1)}), numbers_parts({"conv1.weight": torch.zeros(1)})
        (True, False)
    """
    return bool(weights) and all(NUMBERED.match(key) for key in weights)


def _own_name(network: nn.Module, key: str) -> str:
    """Return the present name of a weight: files of DenseNet have names of old, RadImageNet's number the parts."""
    parts = [name for name, _ in network.named_children()]
    numbered = NUMBERED.match(key)
    if numbered and int(numbered[1]) < len(parts):
        key = f"{parts[int(numbered[1])]}.{key[numbered.end() :]}"
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key)
