"""`resnet18` at 28 px and batch 128 on the device against the same network in a plain float32 loop.

Both train the same network (ResNet-18, 3 x 3 stem, no max-pool) with the same optimiser, schedule, batches and steps on
the digits that come with scikit-learn, enlarged to 28 px, each in a fresh process, one after the other, over several
seeds; the plain loop has its images in memory as floats, so that what is compared is the training itself. Accuracy on
held-out digits must agree within the spread of the seeds. A matrix product of the same process says what the processor
can do at most. Run:

    python benchmarks/resnet.py [--steps 80] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

BATCH, SIZE, TRAINING, RATE = 128, 28, 1200, 0.02
LOOPS = ("augury", "plain float32")
FORWARD_AND_BACKWARD = 3  # a training step costs about three forward passes


def images():
    import torch
    import torch.nn.functional as F
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
    large = F.interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8), torch.from_numpy(digits.target).long()


def train_augury(steps: int, seed: int) -> tuple[float, float]:
    import augury
    from augury.classifiers import ResNet18Classifier
    from augury.images import real_set

    pixels, labels = images()
    everything = real_set(pixels, labels, [str(digit) for digit in range(10)])
    training, held_out = everything.take(range(TRAINING)), everything.take(range(TRAINING, len(everything)))
    recipe = ResNet18Classifier(steps=steps, batch=BATCH, rate=RATE, average=0.0, schedule="cosine")
    recipe.replace(steps=3).fit(training, None, augury.Run(seed=seed))
    start = time.perf_counter()
    predictor = recipe.fit(training, None, augury.Run(seed=seed))
    seconds = time.perf_counter() - start
    hits = predictor.predict(held_out).argmax(1) == held_out.labels.numpy()
    return seconds, float(hits.mean())


def train_plain(steps: int, seed: int) -> tuple[float, float]:
    import torch
    from torch import nn

    from augury.networks.resnet28 import ResNet28
    from augury.training import warm_up_then_cosine

    pixels, labels = images()
    x = pixels.float() / 127.5 - 1
    torch.manual_seed(seed)
    network = ResNet28(1, (SIZE, SIZE), 10).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for step in range(-3, steps):
        if step == 0:
            start = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = RATE * warm_up_then_cosine(max(step, 0), steps)
        rows = torch.randint(TRAINING, (BATCH,))
        optimiser.zero_grad()
        loss = criterion(network(x[rows]), labels[rows])
        loss.backward()
        optimiser.step()
    seconds = time.perf_counter() - start
    network.eval()
    with torch.no_grad():
        predicted = torch.cat([network(part).argmax(1) for part in x[TRAINING:].split(256)])
    return seconds, float((predicted == labels[TRAINING:]).float().mean())


def operations_per_image() -> int:
    """Count floating point operations of one forward pass of one image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from augury.networks.resnet28 import ResNet28

    network = ResNet28(1, (SIZE, SIZE), 10).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, SIZE, SIZE))
    return int(counter.get_total_flops())


def peak_of_matrix_product(low_precision: bool) -> float:
    """Measure floating point operations per second of a large matrix product."""
    import torch

    kind = torch.bfloat16 if low_precision else torch.float32
    a, b = torch.randn(2048, 2048, dtype=torch.float32).to(kind), torch.randn(2048, 2048).to(kind)
    best = 0.0
    for _ in range(12):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start))
    return best


def measure(loop: str, steps: int, seed: int) -> dict[str, float]:
    from augury.training import has_fast_bf16

    ours = loop == LOOPS[0]
    seconds, accuracy = (train_augury if ours else train_plain)(steps, seed)
    speed = steps * BATCH / seconds
    used = speed * FORWARD_AND_BACKWARD * operations_per_image()
    peak = peak_of_matrix_product(ours and has_fast_bf16("cpu"))
    return {"images_per_second": speed, "accuracy": accuracy, "used": used, "peak": peak}


def in_fresh_process(loop: str, steps: int, seed: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--steps", str(steps), "--only", loop, "--seed", str(seed)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=LOOPS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(measure(asked.only, asked.steps, asked.seed)))
        return
    rounds = [{loop: in_fresh_process(loop, asked.steps, seed) for loop in LOOPS} for seed in range(asked.seeds)]
    print(f"resnet18, {SIZE} x {SIZE}, batch {BATCH}, {asked.steps} steps, {asked.seeds} seeds, {os.cpu_count()} cores")
    for loop in LOOPS:
        speed = statistics.median(r[loop]["images_per_second"] for r in rounds)
        scores = [r[loop]["accuracy"] for r in rounds]
        share = statistics.median(r[loop]["used"] / r[loop]["peak"] for r in rounds)
        peak = statistics.median(r[loop]["peak"] for r in rounds)
        print(
            f"{loop:<14} {speed:7.0f} images/s   accuracy {statistics.mean(scores):.3f} "
            f"({min(scores):.3f} to {max(scores):.3f})   {share:.0%} of {peak / 1e9:.0f} GFLOP/s (matrix product)"
        )
    ratio = statistics.median(r[LOOPS[0]]["images_per_second"] / r[LOOPS[1]]["images_per_second"] for r in rounds)
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    main()
