"""A study of 100 cells on a frozen backbone: what the features cost once, and what each cell costs after that.

The images are the COVID-CT set if its table is named, else 746 random ones: the time is the same. Beside it stands what
a loop would cost that sends every image through the backbone in every step, as a user would write it. Run:

    python benchmarks/frozen.py [DATA] [--size 224] [--jobs 1]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

IMAGES, STEPS, BATCH, PROBE_STEPS = 746, 300, 32, 3
RIVALS = {
    "balanced sampling": {"sampling": "balanced"},
    "weighted": {"loss": "weighted"},
    "focal": {"loss": "focal"},
    "class-balanced": {"loss": "class_balanced"},
    "LDAM-DRW": {"loss": "ldam_drw"},
    "balanced softmax": {"loss": "balanced_softmax"},
    "dense": {"dense": (128,)},
    "little decay": {"weight_decay": 0.001},
    "much dropout": {"dropout": 0.5},
}


def random_images(folder: Path, size: int) -> str:
    import numpy as np

    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (IMAGES, size, size), dtype=np.uint8)
    path = folder / "random.npz"
    np.savez(path, images=pixels, labels=generator.integers(0, 2, IMAGES))
    return str(path)


def study(source: str, size: int):
    from augury.classifiers import BackboneClassifier
    from augury.splits import SplitPlan
    from augury.study.study import Arm, DataSettings, NamedClassifier, Study

    recipe = BackboneClassifier(network="efficientnet_lite0", train="head", steps=STEPS, batch=BATCH)
    rivals = tuple(Arm(name=name, classifier=tuple(changed.items())) for name, changed in RIVALS.items())
    return Study(
        data=DataSettings(source=source, size=(size, size), near_duplicates="leave"),
        split=SplitPlan(folds=5, repeats=2),
        classifiers=(NamedClassifier(name="frozen", recipe=recipe),),
        arms=(Arm(name="real"), *rivals),
    )


def every_step_through_the_backbone(laid) -> float:
    """Measure seconds per cell of a loop that computes features anew in every step, without gradients."""
    import torch

    from augury.classifiers.features import FeatureMaker, features_of
    from augury.training import to_float, torch_threads

    network = FeatureMaker(network="efficientnet_lite0", weights="imagenet").backbone()
    network = network.to(memory_format=torch.channels_last)
    batch = to_float(laid.images.images[list(range(BATCH))])
    with torch_threads(laid.study.threads):
        features_of(network, [batch], "cpu")
        start = time.perf_counter()
        for _ in range(PROBE_STEPS):
            features_of(network, [batch], "cpu")
    return (time.perf_counter() - start) / PROBE_STEPS * STEPS


def main() -> None:
    from augury.study.engine import Progress, plan
    from augury.study.executors import InProcess
    from augury.study.layout import lay_out
    from augury.study.run import make
    from augury.study.store import open_store

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = asked.data or random_images(Path(folder), asked.size)
        with open_store(Path(folder) / "store", "cpu") as store:
            laid = lay_out(study(source, asked.size), store)
            features = {step.key: step for cell in laid.cells for step in cell.fit.features}
            start = time.perf_counter()
            InProcess("cpu", laid.study.threads).run(plan(list(features.values()), store), store, Progress())
            cached = time.perf_counter()
            make(laid, jobs=asked.jobs)
            done = time.perf_counter()
        print(f"{len(laid.images)} images at {asked.size} px, {len(laid.cells)} cells, {STEPS} steps x {BATCH}")
        print(f"features, once: {cached - start:.1f} s; all cells after that: {done - cached:.1f} s")
        loop = every_step_through_the_backbone(laid)
        each = (done - start) / len(laid.cells)
        print(f"a cell: {each:.2f} s, features included; through the backbone in every step: {loop:.1f} s")
        print(f"ratio: {loop / each:.0f}")


if __name__ == "__main__":
    main()
