"""Reading images, drawing batches of them and the memory that takes, beside what a user would otherwise run.

Three measurements, each in fresh processes, one after the other, several rounds (medians; the files are in the
system's cache):

batches   Batches as training takes them (float32 in -1..1, 64 images, shuffled) from the second epoch on: Augury's own
          draw from a stored set against torchvision's ImageFolder with Resize, ToTensor and Normalize in a DataLoader
          with two workers that outlive the epoch. Same JPEG files, 64 x 64. Aim: at least 10 times as fast.
read      Decode, resize to 64 x 64 and write one .npy: `augury.read` and `ImageSet.save`, digests and checks included,
          against a loop over Pillow, which runs on one core. Aim: not slower on one core, 1.6 times as fast on two.
memory    Peak resident memory while `small_cnn` is fitted on 60 % of a large synthetic set: from a stored set, from
          the array loaded whole, and on one batch of images alone (what torch and the network take).
          Aim: under 2 GB from the stored set.

    python benchmarks/data.py [batches] [read] [memory] [--zip FILE] [--images 10015] [--rounds 3]
                              [--count 25000] [--side 224] [--steps 20] [--batch 64]
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

SIDE, BATCH, WORKERS, EPOCHS = 64, 64, 2, 3
MEASURES = ("batches", "read", "memory")


# ---- the images


def unzip(archive: Path, folder: Path, most: int) -> int:
    """Write the images of HAM10000 into one folder per class, at most so many, all classes in proportion."""
    with zipfile.ZipFile(archive) as opened:
        table = csv.DictReader(io.StringIO(opened.read("HAM10000_metadata.csv").decode()))
        class_of = {row["image_id"]: row["dx"] for row in table}
        members = [name for name in opened.namelist() if Path(name).stem in class_of]
        chosen = members[:: max(1, len(members) // most)][:most]
        for name in chosen:
            home = folder / class_of[Path(name).stem]
            home.mkdir(parents=True, exist_ok=True)
            (home / Path(name).name).write_bytes(opened.read(name))
    return len(chosen)


def synthetic(folder: Path, count: int, side: int) -> None:
    """Save a set of noise, written and read in chunks."""
    import numpy as np
    import torch

    from augury.images import StoredPixels, real_set

    generator = np.random.default_rng(0)
    with tempfile.TemporaryFile(dir=folder.parent) as file:
        pixels = np.memmap(file, dtype=np.uint8, mode="w+", shape=(count, 3, side, side))
    for start in range(0, count, 500):
        chunk = pixels[start : start + 500]
        chunk[:] = generator.integers(0, 256, chunk.shape, dtype=np.uint8)
    folder.mkdir()
    labels = torch.arange(count) % 7
    names = [f"{i:064x}" for i in range(count)]
    real_set(StoredPixels(pixels), labels, list("abcdefg"), names=names, digests=names).save(folder)


# ---- what is measured, each in a process of its own


def batches_augury(folder: Path, scratch: Path) -> float:
    import augury
    from augury.mixing import Mixture

    scratch.mkdir(exist_ok=True)
    augury.read(folder, size=SIDE).save(scratch)
    images = augury.ImageSet.load(scratch)
    source, steps = Mixture(images, seed=0), len(images) // BATCH
    for step in range(steps):
        source.at(step)(BATCH)
    start = time.perf_counter()
    for step in range(steps, (1 + EPOCHS) * steps):
        source.at(step)(BATCH)
    return EPOCHS * steps * BATCH / (time.perf_counter() - start)


def batches_plain(folder: Path, scratch: Path) -> float:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = [transforms.Resize((SIDE, SIDE)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    data = datasets.ImageFolder(folder, transforms.Compose(steps))
    loader = DataLoader(
        data, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
    )
    for _ in loader:
        pass
    start = time.perf_counter()
    shown = sum(len(labels) for _, labels in loader)
    return shown / (time.perf_counter() - start)


def read_augury(folder: Path, scratch: Path) -> float:
    import augury

    scratch.mkdir(exist_ok=True)
    augury.read("digits")  # what is imported once is not measured, as it is not for Pillow
    start = time.perf_counter()
    images = augury.read(folder, size=SIDE)
    images.save(scratch)
    return len(images) / (time.perf_counter() - start)


def read_plain(folder: Path, scratch: Path) -> float:
    import numpy as np
    from PIL import Image

    scratch.mkdir(exist_ok=True)
    start = time.perf_counter()
    files = sorted(folder.glob("*/*.jpg"))
    pixels = [np.asarray(Image.open(f).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for f in files]
    np.save(scratch / "images.npy", np.stack(pixels))
    return len(files) / (time.perf_counter() - start)


def memory(kind: str, folder: Path, steps: int, batch: int) -> dict[str, float]:
    import numpy as np
    import torch

    import augury
    from augury.images import real_set

    watch = Watch()
    images = augury.ImageSet.load(folder)
    share = np.random.default_rng(0).permutation(len(images))[: int(0.6 * len(images))]
    if kind == "whole":
        pixels = torch.from_numpy(np.load(folder / "images.npy"))[torch.from_numpy(share)]
        names = [str(i) for i in share]
        train = real_set(pixels, images.labels[share], images.classes, names=names, digests=names)
    else:
        train = images.take(share[:batch] if kind == "network alone" else share)
    start = time.perf_counter()
    augury.SmallCNNClassifier(steps=steps, batch=batch).fit(train, None, augury.Run(seed=0))
    return {"seconds": time.perf_counter() - start, **watch.peaks()}


class Watch:
    """Looks every few milliseconds at what of this process is resident."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        if Path("/proc/self/status").exists():
            threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in ("RssAnon", "RssFile"):
                    self.most[name] = max(self.most.get(name, 0), int(value.split()[0]))
            time.sleep(0.005)

    def peaks(self) -> dict[str, float]:
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return {"peak": peak / 1e6} | {name: value * 1024 / 1e6 for name, value in self.most.items()}


TASKS = {"batches": (batches_augury, batches_plain), "read": (read_augury, read_plain)}


# ---- the comparison


def in_fresh_process(task: str, *arguments: str, cores: int = 0) -> float | dict[str, float]:
    command = [sys.executable, __file__, "--task", task, "--cores", str(cores), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_task(asked: argparse.Namespace) -> None:
    if asked.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    name, _, kind = asked.task.partition(":")
    if name == "synthetic":
        synthetic(asked.folder, asked.count, asked.side)
        result = None
    elif name == "memory":
        result = memory(kind, asked.folder, asked.steps, asked.batch)
    else:
        result = TASKS[name][kind == "plain"](asked.folder, asked.scratch)
    print(json.dumps(result))


def compare(task: str, folder: Path, scratch: Path, rounds: int, cores: dict[str, int]) -> dict[str, float]:
    """Measure both ways in turn, and return the median images per second of each."""
    where = ("--folder", str(folder), "--scratch", str(scratch))
    speeds: dict[str, list[float]] = {kind: [] for kind in cores}
    for _, kind in itertools.product(range(rounds), cores):
        way = "plain" if kind.startswith("plain") else "augury"
        speeds[kind].append(in_fresh_process(f"{task}:{way}", *where, cores=cores[kind]))
    medians = {kind: statistics.median(values) for kind, values in speeds.items()}
    for kind, values in speeds.items():
        spread = ", ".join(f"{value:.0f}" for value in sorted(values))
        print(f"{task:<8} {kind:<28} {medians[kind]:9.0f} images/s   of {spread}")
    return medians


def compare_files(asked: argparse.Namespace, temporary: Path) -> None:
    folder, scratch = temporary / "images", temporary / "stored"
    print(f"{unzip(asked.zip, folder, asked.images)} JPEG files of {asked.zip.name}, {os.cpu_count()} cores")
    if "batches" in asked.measures:
        speed = compare("batches", folder, scratch, asked.rounds, {"augury": 0, f"plain, {WORKERS} workers": 0})
        print(f"ratio: {speed['augury'] / speed[f'plain, {WORKERS} workers']:.1f} (aim: 10)")
    if "read" in asked.measures:
        cores = {"augury, one core": 1, "augury, two cores": 2, "plain loop, one core": 1}
        speed = compare("read", folder, scratch, asked.rounds, cores)
        for kind, aim in (("augury, one core", 1.0), ("augury, two cores", 1.6)):
            print(f"ratio, {kind}: {speed[kind] / speed['plain loop, one core']:.2f} (aim: {aim})")


def compare_memory(asked: argparse.Namespace, temporary: Path) -> None:
    folder = temporary / "set"
    sizes = [f"--{name}={getattr(asked, name)}" for name in ("count", "side", "steps", "batch")]
    in_fresh_process("synthetic", "--folder", str(folder), *sizes)
    size = (folder / "images.npy").stat().st_size / 1e6
    print(f"{asked.count} x 3 x {asked.side} x {asked.side}: {size:.0f} MB; {asked.steps} steps of {asked.batch}")
    for kind in ("stored", "whole", "network alone"):
        peaks = in_fresh_process(f"memory:{kind}", "--folder", str(folder), *sizes)
        rest = "  ".join(f"{name} {peaks[name]:6.0f} MB" for name in ("RssAnon", "RssFile") if name in peaks)
        print(f"memory   {kind:<14} peak {peaks['peak']:6.0f} MB  {rest}  fit {peaks['seconds']:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="*", metavar="measure", help=", ".join(MEASURES))
    parser.add_argument("--zip", type=Path, default=Path("../shared/data/ham10000_200x150.zip"))
    for name, default in (("images", 10015), ("rounds", 3), ("count", 25000), ("side", 224), ("steps", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--batch", type=int, default=BATCH)
    for name in ("task", "folder", "scratch", "cores"):
        parser.add_argument(f"--{name}", type=int if name == "cores" else Path if name != "task" else str)
    asked = parser.parse_args()
    if asked.task:
        run_task(asked)
        return
    asked.measures = asked.measures or list(MEASURES)
    if unknown := set(asked.measures) - set(MEASURES):
        parser.error(f"measures are {', '.join(MEASURES)}. Got {', '.join(unknown)}.")
    files = {"batches", "read"}.intersection(asked.measures)
    if files and not asked.zip.is_file():
        print(f"the images of HAM10000 were expected in {asked.zip}. Name the zip (--zip).", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory() as temporary:
        if files:
            compare_files(asked, Path(temporary))
        if "memory" in asked.measures:
            compare_memory(asked, Path(temporary))


if __name__ == "__main__":
    main()
