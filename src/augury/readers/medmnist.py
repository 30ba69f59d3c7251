"""MedMNIST's published 2-D sets by name (extra `medmnist`): from the package's folder, or over the network."""

from __future__ import annotations

import re
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from augury.errors import DataError
from augury.readers.base import Reading, Told
from augury.readers.how import ReadSettings
from augury.readers.npz import Npz

SIZES = (28, 64, 128, 224)
_SOURCE = re.compile(r"medmnist:([a-z0-9]+)(?:\+(\d+))?", re.IGNORECASE)


@dataclass(frozen=True)
class MedMNIST:
    """Reads `medmnist:NAME` or `medmnist:NAME+SIZE`, such as `medmnist:breastmnist+64`.

    Reference: Yang et al. 2023, Scientific Data 10:41.
    """

    name: ClassVar[str] = "medmnist"
    summary: ClassVar[str] = "medmnist:NAME[+SIZE]: a 2-D set of MedMNIST, from its folder or the network"

    def matches(self, source: str) -> bool:
        """Tell whether the source begins with `medmnist:`."""
        return source.lower().startswith("medmnist:")

    def digest(self, source: str, settings: ReadSettings) -> str:
        """Return the SHA-256 of the set's file and name."""
        return Npz().digest(str(_file(source)), settings)

    def read(self, source: str, settings: ReadSettings, told: Told | None = None) -> Reading:
        """Read all parts of the set.

        Raises:
            DataError: If there is no such set, or its file is neither there nor to be had.
        """
        return Npz().read(str(_file(source)), settings, told)


def _file(source: str) -> Path:
    """Return where a set's file lies, after fetching it if need be."""
    package = _package()
    name, size = _asked(source, package)
    root = package.info.DEFAULT_ROOT
    if root is None:
        raise DataError("a folder ~/.medmnist to keep the sets in was expected, and cannot be made. Check its rights.")
    path = Path(root) / (f"{name}.npz" if size == 28 else f"{name}_{size}.npz")
    if not path.is_file():
        _fetch(package, name, size, path)
    return path


def _package() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a home that cannot be written
            import medmnist
    except ImportError:
        raise DataError("to read medmnist:NAME the package is needed: pip install 'augury[medmnist]'.") from None
    return medmnist


def _asked(source: str, package: Any) -> tuple[str, int]:
    flat = {name: info for name, info in package.INFO.items() if not name.endswith("3d")}
    single = [name for name, info in flat.items() if "multi-label" not in info["task"]]
    found = _SOURCE.fullmatch(source)
    name, size = (found[1].lower(), int(found[2] or 28)) if found else ("", 0)
    if name not in single:
        why = " Sets of volumes and of several labels per image are not supported." if name in package.INFO else ""
        raise DataError(f"a set was expected: medmnist:NAME with NAME one of {', '.join(single)}. Got {source!r}.{why}")
    if size not in SIZES:
        raise DataError(f"MedMNIST has the sizes {', '.join(map(str, SIZES))}. Got {source!r}: use medmnist:{name}+64.")
    return name, size


def _fetch(package: Any, name: str, size: int, path: Path) -> None:
    kind = getattr(package, package.INFO[name]["python_class"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a download that breaks off must not be taken for the set
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            kind(split="train", download=True, size=size, root=folder)
            (Path(folder) / path.name).replace(path)
    except (OSError, RuntimeError):
        url = package.INFO[name]["url" if size == 28 else f"url_{size}"]
        raise DataError(
            f"{path.name} is not in {path.parent}, and it cannot be fetched. "
            f"Fetch {url} on a machine with a network and put it there."
        ) from None
