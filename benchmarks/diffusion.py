"""Diffusion and flow matching against the two libraries that one would otherwise take, same data, about equal size.

All learn 32 x 32 grey images in batches of 64. Ours are `diffusion` and `flow` at size tiny; the others are
denoising-diffusion-pytorch's Unet with its GaussianDiffusion, and diffusers' UNet2DModel with DDPMScheduler in the loop
of its own training example (random crops and flips left out), both with as many weights as ours, to 10 %. Theirs run as
their documentation runs them: float32, Adam or AdamW.

steps     Seconds per training step, and per 64 images drawn: theirs by 50 steps of DDIM, ours by the defaults.
quality   Each is trained for the same time, then draws some images, timed. KID to held-out real images, with the
          interval of 20 halves of them, in the features of EfficientNet-lite0 (extra `pretrained`).

Each measurement is a fresh process with all cores, one after the other, several rounds (medians). The share of the
machine's peak is that of a step's multiplications, counted by torch, in a product of two matrices of 4,096.

    pip install diffusers denoising-diffusion-pytorch
    python benchmarks/diffusion.py [steps] [quality] [--data breastmnist.npz] [--rounds 3]
        [--train-seconds 300] [--drawn 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIDE, BATCH, DDIM_STEPS, MATRIX = 32, 64, 50, 4096
OURS, THEIRS = ("diffusion", "flow"), ("denoising-diffusion-pytorch", "diffusers")
MEASURES = ("steps", "quality")


def real_images(source: str):
    """Return half of the images to train on and half to compare with, of all classes: uint8 (N, 1, 32, 32)."""
    import augury

    images = augury.read(source, size=(SIDE, SIDE), channels="grey")
    return images.take(range(0, len(images), 2)), images.take(range(1, len(images), 2))


class Ours:
    """One of our kinds, step by step."""

    def __init__(self, kind: str, train, steps: int) -> None:
        import augury
        from augury.generators import GENERATORS

        self.recipe = GENERATORS[kind](size="tiny", steps=steps, snapshots=0)
        self.run, self.train = augury.Run(seed=0), train
        self.learner = self.recipe.learner(train, self.run)
        self.source, self.done = self.recipe.source(train, self.run), 0

    @property
    def network(self):
        return self.learner.network

    def step(self) -> None:
        self.learner.update(self.done, self.source.at(self.done))
        self.done += 1

    def draw(self, n: int):
        from augury.generators import Card
        from augury.generators.film import Film

        card = Card.of(self.recipe, self.train, 0)
        sampler = self.recipe.sampler(card, self.learner.kept, "cpu", Film.temporary())
        classes = len(self.train.classes)
        return sampler.draw(n // classes, seed=0).images


class LucidDiffusion:
    """denoising-diffusion-pytorch as its README uses it."""

    def __init__(self, train) -> None:
        import torch
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet

        self.network = Unet(dim=16, dim_mults=(1, 2, 4), channels=1)
        self.diffusion = GaussianDiffusion(self.network, image_size=SIDE, timesteps=1000, sampling_timesteps=DDIM_STEPS)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=8e-4, betas=(0.9, 0.99))
        self.images = train.images[:].float() / 255

    def step(self) -> None:
        import torch

        loss = self.diffusion(self.images[torch.randint(len(self.images), (BATCH,))])
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()

    def draw(self, n: int):
        import torch

        self.diffusion.eval()
        batches = [self.diffusion.sample(batch_size=min(BATCH, n - start)) for start in range(0, n, BATCH)]
        return to_pixels(torch.cat(batches))


class Diffusers:
    """diffusers' unconditional training example: UNet2DModel, DDPMScheduler, AdamW."""

    def __init__(self, train) -> None:
        import torch
        from diffusers import DDPMScheduler, UNet2DModel

        self.network = UNet2DModel(
            sample_size=SIDE,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(32, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
        )
        self.noise = DDPMScheduler(num_train_timesteps=1000)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=8e-4)
        self.images = train.images[:].float() / 127.5 - 1

    def step(self) -> None:
        import torch
        import torch.nn.functional as F

        clean = self.images[torch.randint(len(self.images), (BATCH,))]
        noise, times = torch.randn(clean.shape), torch.randint(0, 1000, (BATCH,))
        said = self.network(self.noise.add_noise(clean, noise, times), times, return_dict=False)[0]
        F.mse_loss(said, noise).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()

    def draw(self, n: int):
        import torch
        from diffusers import DDIMScheduler

        schedule = DDIMScheduler.from_config(self.noise.config)
        schedule.set_timesteps(DDIM_STEPS)
        self.network.eval()
        batches = []
        with torch.no_grad():
            for start in range(0, n, BATCH):
                images = torch.randn(min(BATCH, n - start), 1, SIDE, SIDE)
                for when in schedule.timesteps:
                    images = schedule.step(self.network(images, when).sample, when, images).prev_sample
                batches.append(images)
        return to_pixels((torch.cat(batches) + 1) / 2)


def to_pixels(images):
    import torch

    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def made(name: str, train, steps: int):
    if name in OURS:
        return Ours(name, train, steps)
    return LucidDiffusion(train) if name == THEIRS[0] else Diffusers(train)


def measure_steps(name: str, source: str, steps: int) -> dict[str, float]:
    from torch.utils.flop_counter import FlopCounterMode

    train, _ = real_images(source)
    model = made(name, train, steps + 4)
    with FlopCounterMode(display=False) as counted:
        model.step()
    for _ in range(3):
        model.step()
    start = time.perf_counter()
    for _ in range(steps):
        model.step()
    took = (time.perf_counter() - start) / steps
    start = time.perf_counter()
    model.draw(BATCH)
    drawing = time.perf_counter() - start
    weights = sum(value.numel() for value in model.network.parameters())
    return {"step": took, "draw": drawing, "weights": weights, "flops": counted.get_total_flops()}


def measure_quality(name: str, source: str, seconds: float, drawn: str, out: str) -> dict[str, float]:
    """Train for some time, draw and save the images; of ours the schedule needs to know how many steps that will be."""
    import numpy as np

    train, _ = real_images(source)
    steps = 10**9
    if name in OURS:
        steps = max(50, round(seconds / measure_steps(name, source, 10)["step"]))
    model, start, done = made(name, train, steps), time.perf_counter(), 0
    while time.perf_counter() - start < seconds and done < steps:
        model.step()
        done += 1
    trained = time.perf_counter() - start
    start = time.perf_counter()
    images = model.draw(int(drawn))
    took = time.perf_counter() - start
    np.savez(out, images=images.numpy())
    return {"trained": trained, "steps": done, "draw": 1000 * took / len(images)}


def distances(source: str, drawn: str) -> tuple[float, float, float]:
    """Return KID x 1000 to the held-out images, and the 5 and 95 % points of that of 20 random halves of the drawn."""
    import numpy as np
    import torch

    from augury.classifiers.features import FeatureMaker
    from augury.images import real_set
    from augury.metrics import kid

    _, held_out = real_images(source)
    with np.load(drawn, allow_pickle=False) as file:
        images = torch.from_numpy(file["images"])
    found = real_set(images, torch.zeros(len(images), dtype=torch.int64), ["drawn"])
    maker = FeatureMaker(network="efficientnet_lite0", weights="imagenet")
    theirs, ours = (maker.compute(each).of(each)[:, 0].astype(np.float64) for each in (held_out, found))
    rng = np.random.default_rng(0)
    halves = [kid(theirs, ours[rng.permutation(len(ours))[: len(ours) // 2]]) for _ in range(20)]
    low, high = np.quantile(halves, [0.05, 0.95])
    return 1000 * kid(theirs, ours), 1000 * low, 1000 * high


def peak() -> dict[str, float]:
    """Return floating point operations per second of a product of matrices, in float32 and bf16."""
    import torch

    found = {}
    for kind in (torch.float32, torch.bfloat16):
        matrix = torch.randn(MATRIX, MATRIX).to(kind)
        matrix @ matrix
        start = time.perf_counter()
        for _ in range(3):
            matrix @ matrix
        found[str(kind).removeprefix("torch.")] = 3 * 2 * MATRIX**3 / (time.perf_counter() - start)
    return found


def in_fresh_process(*words: str):
    command = [sys.executable, __file__, *words]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def compare_steps(source: str, rounds: int, steps: int) -> None:
    names = [*OURS, *THEIRS]
    found = [
        {name: in_fresh_process("--only", "steps", name, source, str(steps)) for name in names} for _ in range(rounds)
    ]
    middle = {
        name: {key: statistics.median(each[name][key] for each in found) for key in found[0][name]} for name in names
    }
    most = in_fresh_process("--only", "peak", "", "", "0")
    print(f"{SIDE} x {SIDE} grey, batch {BATCH}, {os.cpu_count()} cores; peak of a product of matrices: ", end="")
    print(", ".join(f"{value / 1e9:.0f} GFLOP/s in {kind}" for kind, value in most.items()))
    for name, each in middle.items():
        rate = each["flops"] / each["step"]
        print(
            f"  {name:<28} {each['weights'] / 1e6:.3f} M weights {1000 * each['step']:8.1f} ms per step "
            f"{100 * rate / most['bfloat16' if name in OURS else 'float32']:5.1f} % of peak "
            f"{1000 * each['draw'] / BATCH:8.2f} ms per image"
        )
    for key, what in (("step", "training step"), ("draw", "drawing")):
        best = min(middle[name][key] for name in THEIRS)
        print(f"  {what}, ratio to the faster library: ", end="")
        print(", ".join(f"{name} {best / middle[name][key]:.2f}" for name in OURS))


def compare_quality(source: str, seconds: float, drawn: int) -> None:
    print(f"each trained for {seconds:.0f} s, then {drawn} images")
    took = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in (*OURS, *THEIRS):
            out = str(Path(folder) / f"{name}.npz")
            found = in_fresh_process("--only", "quality", name, source, str(seconds), str(drawn), out)
            low_high = distances(source, out)
            took[name] = found["draw"]
            print(
                f"  {name:<28} {found['steps']:6.0f} steps, {found['draw']:7.1f} s per 1,000 images, "
                f"KID x 1000 {low_high[0]:.1f} ({low_high[1]:.1f} to {low_high[2]:.1f})",
                flush=True,
            )
    best = min(took[name] for name in THEIRS)
    print("  time per image, ratio to the faster library: ", end="")
    print(", ".join(f"{name} {best / took[name]:.1f}" for name in OURS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="*", default=MEASURES, metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--data", default="digits")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--train-seconds", type=float, default=300.0)
    parser.add_argument("--drawn", type=int, default=1000)
    parser.add_argument("--only", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        what, name, source, amount, *out = asked.only
        found = {
            "steps": lambda: measure_steps(name, source, int(amount)),
            "quality": lambda: measure_quality(name, source, float(amount), *out),
            "peak": peak,
        }[what]()
        print(json.dumps(found))
        return
    if "steps" in asked.measures:
        compare_steps(asked.data, asked.rounds, asked.steps)
    if "quality" in asked.measures:
        compare_quality(asked.data, asked.train_seconds, asked.drawn)


if __name__ == "__main__":
    main()
