"""`small_cnn` trained with augmentation of whole batches against torchvision's transforms, image by image.

Both train the same network with the same batch, steps, optimiser and schedule on the same colour pixels, each in a
fresh process, one after the other, several rounds. Every image is mirrored at even odds, turned by up to 15 degrees,
shifted by up to 8 % of the side, cropped to 85 % of it or more, and changed in brightness, contrast and saturation by a
factor of up to 1 +- 0.2. The plain loop is the teaching one: a Dataset, torchvision v2 transforms, a DataLoader
(without workers, and with as many as there are cores; the faster counts), float32. Run:

    python benchmarks/augment.py [--size 64] [--steps 200] [--rounds 3]
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


def pixels(size: int):
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (IMAGES, size, size, 3), dtype=np.uint8)
    return images, generator.integers(0, CLASSES, IMAGES)


def augmentation():
    import augury

    return augury.Augment(flip=True, rotate=ROTATE, shift=SHIFT, crop=CROP, colour=COLOUR, share=1.0)


def train_augury(size: int, steps: int) -> float:
    import torch

    import augury
    from augury.images import real_set

    images, labels = pixels(size)
    training = real_set(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels), ["a", "b"])
    augment = augmentation()
    augury.SmallCNNClassifier(steps=5, batch=BATCH, augment=augment).fit(training, None, augury.Run(seed=0))
    start = time.perf_counter()
    augury.SmallCNNClassifier(steps=steps, batch=BATCH, augment=augment).fit(training, None, augury.Run(seed=0))
    return time.perf_counter() - start


class Plain:
    """A Dataset as tutorials write it."""

    def __init__(self, size: int) -> None:
        import torch
        from torchvision.transforms import v2

        self.images, self.labels = pixels(size)
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(ROTATE, translate=(SHIFT, SHIFT), interpolation=v2.InterpolationMode.BILINEAR),
                v2.RandomResizedCrop(size, scale=(CROP**2, 1), ratio=(1, 1)),  # a share of the area, not of the side
                v2.ColorJitter(COLOUR, COLOUR, COLOUR),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def train_plain(size: int, steps: int, workers: int) -> float:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    from augury.networks.small_cnn import SmallCNN

    torch.manual_seed(0)
    network = SmallCNN(3, (size, size), CLASSES, 32, 0.2).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps + 1)
    loader = DataLoader(
        Plain(size), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
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


def measure(loop: str, size: int, steps: int) -> dict[str, float]:
    workers = (os.cpu_count() or 1) if loop == LOOPS[2] else 0
    seconds = train_augury(size, steps) if loop == LOOPS[0] else train_plain(size, steps, workers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {"images_per_second": steps * BATCH / seconds, "peak_mib": peak / 1024}
    if loop == LOOPS[0]:
        result["share"] = share_of_a_step(size, seconds / steps)
    return result


def in_fresh_process(loop: str, size: int, steps: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--size", str(size), "--steps", str(steps), "--only", loop]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=LOOPS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(measure(asked.only, asked.size, asked.steps)))
        return
    rounds = [{loop: in_fresh_process(loop, asked.size, asked.steps) for loop in LOOPS} for _ in range(asked.rounds)]
    print(f"small_cnn, {asked.size} x {asked.size} x 3, batch {BATCH}, {asked.steps} steps, {os.cpu_count()} cores")
    speeds = {loop: statistics.median(r[loop]["images_per_second"] for r in rounds) for loop in LOOPS}
    for loop in LOOPS:
        peak = max(r[loop]["peak_mib"] for r in rounds)
        print(f"{loop:<24} {speeds[loop]:8.0f} images/s   peak {peak:6.0f} MiB")
    share = statistics.median(r[LOOPS[0]]["share"] for r in rounds)
    print(f"augmentation takes {share:.0%} of a step of augury")
    ratio = speeds[LOOPS[0]] / max(speeds[LOOPS[1]], speeds[LOOPS[2]])
    print(f"ratio to the faster plain loop: {ratio:.2f}")


if __name__ == "__main__":
    main()
