"""Every generator: seconds per 1,000 steps and per 1,000 images; `dcgan` and `cgan` against an ordinary teaching loop.

The teaching loop trains the very same networks with the same batch, rate and betas on the same pixels: a Dataset, a
DataLoader (without workers, and with as many as there are cores; the faster counts), float32, two optimisers, `.item()`
at each step. Each measurement is a fresh process, one after the other, several rounds. Run:

    python benchmarks/generators.py [--steps 60] [--rounds 3] [--kinds dcgan cgan ...]
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

IMAGES, CLASSES, BATCH = 2000, 2, 128
DRAWN = 500  # images whose drawing is timed
OURS, PLAIN, PLAIN_WORKERS = "augury", "DataLoader, no workers", "DataLoader, workers"
# the two that are compared: S2's networks at 32 px in colour, one class; S4's at 28 px in grey, two classes
COMPARED = {"dcgan": ((3, 32, 32), 1), "cgan": ((1, 28, 28), 2)}
SHAPE = (1, 28, 28)  # of all others
WITHOUT = ("repeat", "blend", "superres", "external")  # nothing is trained, or another generator


def pixels(shape: tuple[int, int, int], classes: int):
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (IMAGES, *shape), dtype=np.uint8)
    return images, np.arange(IMAGES) % classes


def recipe(kind: str, steps: int):
    from augury.generators import GENERATORS

    extra = {"batch": BATCH, "average": 0.0} if kind in COMPARED else {}  # the teaching loop keeps no mean of weights
    return GENERATORS[kind](steps=steps, **extra)


def measure_ours(kind: str, steps: int) -> dict[str, float]:
    import torch

    import augury
    from augury.images import real_set

    shape, classes = COMPARED.get(kind, (SHAPE, CLASSES))
    images, labels = pixels(shape, classes)
    training = real_set(torch.from_numpy(images), torch.from_numpy(labels), [f"class {k}" for k in range(classes)])
    recipe(kind, 3).fit(training, augury.Run(seed=0))
    asked = recipe(kind, steps)
    taken = asked.total_steps(classes)
    start = time.perf_counter()
    sampler = asked.fit(training, augury.Run(seed=0))
    fitted = time.perf_counter() - start
    start = time.perf_counter()
    sampler.draw(DRAWN // classes, seed=0)
    return result(fitted, taken, drawing=time.perf_counter() - start)


def result(seconds: float, steps: int, drawing: float = 0.0) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"step": seconds / steps, "image": drawing / DRAWN, "peak_mib": peak}


class Plain:
    """A Dataset as tutorials write it."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        from torchvision import transforms

        self.images, self.labels = pixels(shape, classes)
        middle = [0.5] * shape[0]
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(middle, middle)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        from PIL import Image

        pixel = self.images[index].transpose(1, 2, 0)
        return self.transform(Image.fromarray(pixel.squeeze())), int(self.labels[index])


def measure_plain(kind: str, steps: int, workers: int) -> dict[str, float]:
    import torch
    from torch.utils.data import DataLoader

    torch.manual_seed(0)
    shape, classes = COMPARED[kind]
    asked = recipe(kind, steps)
    generator, discriminator = asked.players(shape, 0 if asked.one_per_class else classes)
    loader = DataLoader(
        Plain(shape, classes), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    play = Teaching(generator, discriminator, asked)
    start, done = time.perf_counter(), 0
    while done < steps:
        for images, labels in loader:
            play.step(images, labels)
            done += 1
            if done == 3:
                start, counted = time.perf_counter(), done
            if done == steps:
                break
    return result(time.perf_counter() - start, steps - counted)


class Teaching:
    """The two steps of PyTorch's own DCGAN tutorial, in float32."""

    def __init__(self, generator, discriminator, asked) -> None:
        import torch

        self.generator, self.discriminator = generator.train(), discriminator.train()
        betas = asked.game.beta1, asked.game.beta2
        self.latent, self.criterion, self.losses = asked.latent, torch.nn.BCEWithLogitsLoss(), [0.0, 0.0]
        self.move_generator = torch.optim.Adam(generator.parameters(), lr=asked.rate, betas=betas)
        rate = asked.rate_discriminator or asked.rate
        self.move_discriminator = torch.optim.Adam(discriminator.parameters(), lr=rate, betas=betas)

    def step(self, images, labels) -> None:
        import torch

        ones, zeros = torch.ones(len(images)), torch.zeros(len(images))
        self.discriminator.zero_grad()
        real = self.criterion(self.discriminator(images, labels)[:, 0], ones)
        real.backward()
        drawn = self.generator(torch.randn(len(images), self.latent), labels)
        fake = self.criterion(self.discriminator(drawn.detach(), labels)[:, 0], zeros)
        fake.backward()
        self.move_discriminator.step()
        self.generator.zero_grad()
        loss = self.criterion(self.discriminator(drawn, labels)[:, 0], ones)
        loss.backward()
        self.move_generator.step()
        self.losses[0] += real.item() + fake.item()
        self.losses[1] += loss.item()


def measure(kind: str, loop: str, steps: int) -> dict[str, float]:
    if loop == OURS:
        return measure_ours(kind, steps)
    return measure_plain(kind, steps, (os.cpu_count() or 1) if loop == PLAIN_WORKERS else 0)


def in_fresh_process(kind: str, loop: str, steps: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--steps", str(steps), "--only", kind, loop]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(kind: str, steps: int, rounds: int) -> None:
    """Print our loop beside the plain ones."""
    found = [
        {loop: in_fresh_process(kind, loop, steps) for loop in (OURS, PLAIN, PLAIN_WORKERS)} for _ in range(rounds)
    ]
    took = {loop: statistics.median(each[loop]["step"] for each in found) for loop in found[0]}
    print(f"{kind}, {COMPARED[kind][0]}, batch {BATCH}, {steps} steps")
    for loop, seconds in took.items():
        peak = max(each[loop]["peak_mib"] for each in found)
        print(f"  {loop:<24} {1000 * seconds:7.1f} s per 1,000 steps   peak {peak:6.0f} MiB")
    print(f"  ratio to the faster plain loop: {min(took[PLAIN], took[PLAIN_WORKERS]) / took[OURS]:.2f}")


def main() -> None:
    from augury.generators import GENERATORS

    trained = [kind for kind in GENERATORS if kind not in WITHOUT]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=trained)
    parser.add_argument("--only", nargs=2, metavar=("KIND", "LOOP"))
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(measure(*asked.only, asked.steps)))
        return
    for kind in COMPARED:
        if kind in asked.kinds:
            compare(kind, asked.steps, asked.rounds)
    print(f"\nseconds per 1,000 steps and per 1,000 images at {SHAPE}, own defaults, {os.cpu_count()} cores")
    for kind in asked.kinds:
        found = in_fresh_process(kind, OURS, max(10, asked.steps // 3))
        took = f"{1000 * found['step']:8.1f} s per 1,000 steps {1000 * found['image']:8.1f} s per 1,000 images"
        print(f"  {kind:<12} {took}   peak {found['peak_mib']:6.0f} MiB")


if __name__ == "__main__":
    main()
