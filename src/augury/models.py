"""Fitted generators on disk, and the labelled images that are drawn from them: whole folders or nothing."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from augury.errors import DataError, SettingsError
from augury.files import formula_safe, fresh_folder
from augury.generators import Card, generator_from, load_sampler
from augury.generators.base import refuse_small, small_class
from augury.generators.external import ExternalSampler, write_seen
from augury.generators.infogan import InfoGAN, InfoGANSampler
from augury.images import ImageSet
from augury.readers import ReadSettings, read_source
from augury.readers.drawn import MANIFEST as MANIFEST
from augury.training import Run, choose_device


def fit_model(
    data: str | Path,
    generator: str,
    settings: Sequence[str],
    out: Path,
    *,
    how: ReadSettings | None = None,
    part: str = "all",
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Card:
    """Fit a generator and write it into a new folder.

    Args:
        data: What `augury.read` takes.
        generator: A kind.
        settings: `name=value` texts.
        out: The folder; it must not exist, or be empty.
        how: How the images are read; None: as they are, at most 64 x 64.
        part: `all` images, or `train`: the given training part only.
        seed: Seed of the fit.
        device: `auto`, `cpu` or `cuda`.
        force: Whether to go on where a class is too small for the generator.
        on_step: Told of optimiser steps.

    Raises:
        SettingsError: If kind or settings are unknown or wrong.
        DataError: If the images cannot be read, a class is too small, or the folder is taken.
    """
    recipe = generator_from(generator, settings)
    where = choose_device(device)
    with fresh_folder(out) as folder:
        train = _part(read_source(data, how or ReadSettings()).images, part)
        counted = zip(train.classes, train.counts(), strict=True)
        refuse_small([text for name, n in counted if (text := small_class(recipe, name, n))], force=force)
        sampler = recipe.fit(train, Run(seed, where, on_step=on_step))
        sampler.save(folder)
    return sampler.card


def _part(images: ImageSet, part: str) -> ImageSet:
    if part == "all":
        return images
    if images.parts is None:
        raise DataError("the given train part was asked for, and these images have no given parts. Use --part all.")
    return images.take([i for i, name in enumerate(images.parts) if name == "train"])


def sample_model(
    model: Path,
    out: Path,
    *,
    per_class: int | None = None,
    counts: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
) -> int:
    """Draw labelled images from a fitted generator and write them into a new folder.

    The same seed always gives the same images, and 100 per class are the first 100 of 500. Beside them stands
    `seen.json`, the digests of the images that the generator saw: the guard against leaks knows them by it.

    Args:
        model: A folder that `fit_model` wrote.
        out: The folder; it must not exist, or be empty.
        per_class: Images of every class.
        counts: `CLASS=N` texts instead.
        seed: Seed of the images.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The number of images written.

    Raises:
        SettingsError: If not exactly one of `per_class` and `counts` is given, or a count is no number.
        DataError: If the model cannot be read, a class is unknown, or the folder is taken.
    """
    if (per_class is None) == (not counts):
        raise SettingsError("say how many: either --per-class N or --count CLASS=N.")
    sampler = load_sampler(model, choose_device(device))
    wanted = per_class if per_class is not None else dict(_count(entry) for entry in counts)
    pool = sampler.draw(wanted, seed=seed)
    with fresh_folder(out) as folder:
        write_images(pool, folder)
        if not (isinstance(sampler, ExternalSampler) and sampler.unknown_training_set):
            write_seen(folder, sampler.card)
    return len(pool)


def traverse_model(model: Path, out: Path, *, seed: int = 0, device: str = "auto") -> int:
    """Draw what each code of a fitted generator does, and write one picture per class and code into a new folder.

    A continuous code goes from -1 to 1 from column to column, in each row with another value of the discrete code; of
    the discrete code each column is a value, each row a seed.

    Args:
        model: A folder that `fit_model` wrote.
        out: The folder; it must not exist, or be empty.
        seed: Where the noise and the other codes come from.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The number of pictures written.

    Raises:
        SettingsError: If the generator has no codes.
        DataError: If the model cannot be read, or the folder is taken.
    """
    sampler = load_sampler(model, choose_device(device))
    if not isinstance(sampler, InfoGANSampler):
        raise SettingsError(
            f"a model with codes to traverse was expected. Got {sampler.card.kind}, which has none: "
            f"fit one with --generator {InfoGAN.kind}."
        )
    names = [(label, code) for label in range(len(sampler.card.classes)) for code in sampler.recipe.code_names]
    with fresh_folder(out) as folder:
        for label, code in names:
            grid = sampler.traverse(label, seed, code=code).numpy()
            name = f"{label:02d}-{slug(sampler.card.classes[label])}-{slug(code)}.png"
            _image(contact(grid)).save(folder / name)
    return len(names)


def contact(grid: np.ndarray) -> np.ndarray:
    """Lay images out side by side, with a white line around each.

    Args:
        grid: uint8 (rows, columns, C, H, W).

    Returns:
        uint8 (C, rows * (H + 1) + 1, columns * (W + 1) + 1).

    Example:
        >>> contact(np.zeros((2, 3, 1, 8, 8), dtype=np.uint8)).shape
        (1, 19, 28)
    """
    framed = np.pad(grid, [(0, 0)] * 3 + [(1, 0)] * 2, constant_values=255)
    rows, columns, C, H, W = framed.shape
    joined = framed.transpose(2, 0, 3, 1, 4).reshape(C, rows * H, columns * W)
    return np.pad(joined, [(0, 0), (0, 1), (0, 1)], constant_values=255)


def _count(entry: str) -> tuple[str, int]:
    name, _, number = entry.rpartition("=")
    if not name or not number.isdecimal():
        raise SettingsError(f"--count expects CLASS=N. Got {entry!r}.")
    return name, int(number)


def write_images(pool: ImageSet, folder: Path) -> None:
    """Write labelled PNGs, a folder per class, and `manifest.csv` (path, label, seed, maker).

    Class names become folder names only as far as they are harmless; the manifest holds them in full.
    """
    homes = [f"{k:02d}-{slug(name)}" for k, name in enumerate(pool.classes)]
    with (folder / MANIFEST).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["path", "label", "seed", "maker"])
        for i, name in enumerate(pool.names):
            label = int(pool.labels[i])
            path = f"{homes[label]}/{int(name.rpartition('/')[2]):06d}.png"
            (folder / homes[label]).mkdir(exist_ok=True)
            _image(pool.images[i].numpy()).save(folder / path)
            writer.writerow(
                [path, formula_safe(pool.classes[label]), pool.columns["seed"][i], pool.columns["maker"][i]]
            )


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def slug(name: str) -> str:
    """Return a harmless file name.

    Example:
        >>> slug("../Nævus <b>"), slug("???")
        ('N-vus-b', 'class')
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:40] or "class"
