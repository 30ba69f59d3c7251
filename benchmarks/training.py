"""`small_cnn` trained on the device against the loop that a user would otherwise write, with augmentation or without.

Both train the same network with the same batch, steps, optimiser and schedule on the same pixels, each in a fresh
process, one after the other, several rounds. The plain loop is the teaching one: a Dataset, torchvision's v2 transforms
image by image, a DataLoader (without workers, and with as many as there are cores; the faster counts), float32.

With `--augment` images have three colours, and every image is mirrored at even odds, turned by up to 15 degrees,
shifted by up to 8 % of the side, cropped to 85 % of it or more, and changed in brightness, contrast and saturation by a
factor of up to 1 +- 0.2. Without it they are grey. Run:

    python benchmarks/training.py [--augment] [--size 28] [--steps 300] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

BATCH, IMAGES, CLASSES = 64, 2000, 2
LOOPS = ("augury", "torchvision, no workers", "torchvision, workers")
ROTATE, SHIFT, CROP, COLOUR = 15.0, 0.08, 0.85, 0.2


def pixels(size: int, augmented: bool):
    import numpy as np

    generator = np.random.default_rng(0)
    shape = (IMAGES, size, size, 3) if augmented else (IMAGES, size, size)
    return generator.integers(0, 256, shape, dtype=np.uint8), generator.integers(0, CLASSES, IMAGES)


def augmentation():
    import augury

    return augury.Augment(flip=True, rotate=ROTATE, shift=SHIFT, crop=CROP, colour=COLOUR, share=1.0)


def train_augury(size: int, steps: int, augmented: bool) -> float:
    import torch

    import augury
    from augury.images import real_set

    images, labels = pixels(size, augmented)
    images = images.transpose(0, 3, 1, 2) if augmented else images[:, None]
    training = real_set(torch.from_numpy(images), torch.from_numpy(labels), ["a", "b"])
    recipe = augury.SmallCNNClassifier(batch=BATCH, **({"augment": augmentation()} if augmented else {}))
    recipe.replace(steps=5).fit(training, None, augury.Run(seed=0))
    start = time.perf_counter()
    recipe.replace(steps=steps).fit(training, None, augury.Run(seed=0))
    return time.perf_counter() - start


class Plain:
    """A Dataset as tutorials write it."""

    def __init__(self, size: int, augmented: bool) -> None:
        import torch
        from torchvision.transforms import v2

        self.images, self.labels = pixels(size, augmented)
        changes = [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(ROTATE, translate=(SHIFT, SHIFT), interpolation=v2.InterpolationMode.BILINEAR),
            v2.RandomResizedCrop(size, scale=(CROP**2, 1), ratio=(1, 1)),  # a share of the area, not of the side
            v2.ColorJitter(COLOUR, COLOUR, COLOUR),
        ]
        half = [0.5] * (3 if augmented else 1)
        as_floats = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(half, half)]
        self.transform = v2.Compose([*(changes if augmented else []), *as_floats])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def train_plain(size: int, steps: int, augmented: bool, workers: int) -> float:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    from augury.networks.small_cnn import SmallCNN

    torch.manual_seed(0)
    network = SmallCNN(3 if augmented else 1, (size, size), CLASSES, 32, 0.2).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps + 1)
    how = {"batch_size": BATCH, "shuffle": True, "drop_last": True}
    loader = DataLoader(Plain(size, augmented), **how, num_workers=workers, persistent_workers=workers > 0)
    criterion, done, running = nn.CrossEntropyLoss(), 0, 0.0
    start = time.perf_counter()
    while done < steps:
        for images, labels in loader:
            optimiser.zero_grad()
            loss = criterion(network(images), labels)
            loss.backward()
            optimiser.step()
            schedule.step()
            running += loss.item()
            done += 1
            if done == steps:
                break
    return time.perf_counter() - start


def share_of_a_step(size: int, seconds_per_step: float) -> float:
    """Return how much of one of our steps the augmentation takes."""
    import torch

    augment, images = augmentation(), torch.rand(BATCH, 3, size, size) * 2 - 1
    times = []
    for _ in range(30):
        start = time.perf_counter()
        augment.apply(images)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / seconds_per_step


def measure(loop: str, size: int, steps: int, augmented: bool) -> dict[str, float]:
    workers = (os.cpu_count() or 1) if loop == LOOPS[2] else 0
    ours = loop == LOOPS[0]
    seconds = train_augury(size, steps, augmented) if ours else train_plain(size, steps, augmented, workers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    share = share_of_a_step(size, seconds / steps) if ours and augmented else 0.0
    return {"images_per_second": steps * BATCH / seconds, "peak_mib": peak / 1024, "share": share}


def in_fresh_process(loop: str, size: int, steps: int, augmented: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--size", str(size), "--steps", str(steps), "--only", loop]
    command += ["--augment"] if augmented else []
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--augment", action="store_true")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=LOOPS)
    asked = parser.parse_args()
    settings = (asked.size, asked.steps, asked.augment)
    if asked.only:
        print(json.dumps(measure(asked.only, *settings)))
        return
    rounds = [{loop: in_fresh_process(loop, *settings) for loop in LOOPS} for _ in range(asked.rounds)]
    kind = "colour, augmented" if asked.augment else "grey"
    print(f"small_cnn, {asked.size} x {asked.size}, {kind}, batch {BATCH}, {asked.steps} steps, {os.cpu_count()} cores")
    speeds = {loop: statistics.median(r[loop]["images_per_second"] for r in rounds) for loop in LOOPS}
    for loop in LOOPS:
        peak = max(r[loop]["peak_mib"] for r in rounds)
        print(f"{loop:<24} {speeds[loop]:8.0f} images/s   peak {peak:6.0f} MiB")
    if asked.augment:
        share = statistics.median(r[LOOPS[0]]["share"] for r in rounds)
        print(f"augmentation takes {share:.0%} of a step of augury")
    ratio = speeds[LOOPS[0]] / max(speeds[LOOPS[1]], speeds[LOOPS[2]])
    print(f"ratio to the faster plain loop: {ratio:.2f}")


if __name__ == "__main__":
    main()
