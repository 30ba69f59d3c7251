"""Fidelity, copying, usefulness and filters on real images: `python docs/results/fidelity_and_copying.py DATA`.

DATA is a folder with breastmnist.npz, ham10000_200x150.zip and pneumoniamnist_rebuilt.npz; a set that is not there is
left out. What is in the folder of `-o` already is not done again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import augury
from augury.audit import Parts, Views, Witness, copycat, decide_copying, unused, witness
from augury.audit.decision import ALPHA
from augury.classifiers.features import FeatureMaker
from augury.curation import Curator, vectors_of
from augury.filters import PIXELS, Agreement, NearCopy
from augury.images import ImageSet
from augury.processes import cores
from augury.study import load_study, run
from augury.study.audit_outcome import AuditedMaker
from augury.study.conclude import environment
from augury.study.layout import lay_out
from augury.study.outcome import Outcome
from augury.study.store import MemoryStore

STUDIES = Path(__file__).parents[2] / "studies"
SETS = {"breastmnist": "breastmnist.npz", "ham10000": "ham10000_200x150.zip"}
PLANTED = {"breastmnist": "breastmnist.npz", "pneumoniamnist": "pneumoniamnist_rebuilt.npz"}
COMMAND = "python docs/results/fidelity_and_copying.py DATA -o audits > docs/results/fidelity-and-copying.md"
NETWORK = "efficientnet_lite0"
DRAWS = 100
HEAD = f"""<!-- written by: {COMMAND} -->

# Fidelity, copying, usefulness

Every generator is trained on the same images, for a declared number of steps of one to two minutes of processor time
(`studies/audit_*.toml`), and one on purpose for far too long. Numbers are means over the folds. KID (x 1000) and
coverage are those of as many drawn as held-out real images; what training images reach stands in the first row. TSTR:
balanced accuracy on real images of a classifier trained on drawn images only. TRTS: that of the classifier trained on
real images, on drawn ones. Copies: share of drawn images that are nearer to a training image than 99 % of the held-out
real ones are. Closer: share of drawn images that are nearer to training than to as many held-out images, 50 % for new
ones. Membership: AUC of telling training from held-out images by the drawn ones. Gain: balanced accuracy with the
images minus that without. The audit's p value is exact, Holm-adjusted over the generators.
"""


def tables(outcome: Outcome) -> Iterator[str]:
    """Yield what a page says of one study."""
    found, plan = outcome.audited, outcome.plan
    yield f"## {outcome.title}\n"
    counts = ", ".join(f"{name} {n}" for name, n in zip(outcome.data.classes, outcome.data.used_counts, strict=True))
    yield f"{outcome.data.used} images ({counts}), {plan.folds} folds, {plan.train_images:.0f} training images.\n"
    heads = ["generator", "KID, judge", f"KID, {NETWORK}", f"coverage, {NETWORK}", "detector AUC", "TSTR", "TRTS"]
    heads += ["gain", "copies, pixels", f"copies, {NETWORK}", "closer", "C_T", "membership", "audit"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    yield floor(found.makers[0])
    yield from (line(maker) for maker in found.makers)
    if found.controls is not None:
        yield f"\nControls: {found.controls.sentence}.\n"
    yield from (f"- {maker.decision.sentence}" for maker in found.makers if maker.decision)
    yield "\nDid fidelity foretell usefulness? Rank correlation with the gain, over the generators of this table:\n"
    yield "| measure | rank correlation | p | generators |\n|---|---|---|---|"
    yield from (f"| {one.measure} | {one.rho:+.2f} | {one.p:.2f} | {one.makers} |" for one in found.predicted)
    yield ""


def floor(maker: AuditedMaker) -> str:
    """Return the row of real images."""
    judge, network = (next(r for r in maker.fidelity if r.space == s and not r.name) for s in ("judge", NETWORK))
    cells = [f"{1000 * judge.kid_floor:.1f}", f"{1000 * network.kid_floor:.1f}", f"{network.coverage_floor:.2f}"]
    cells += [f"{network.detector_floor:.2f}", f"{maker.real:.3f}", "–", "–", "–", "–", "50%", "–", "–", "–"]
    return f"| real training images | {' | '.join(cells)} |"


def line(maker: AuditedMaker) -> str:
    """Return the row of one generator."""
    judge, network = (next(r for r in maker.fidelity if r.space == s and not r.name) for s in ("judge", NETWORK))
    pixels, features = (next(c for c in maker.copying if c.space == s) for s in (PIXELS, NETWORK))
    cells = [f"{1000 * judge.kid:.1f}", f"{1000 * network.kid:.1f}", f"{network.coverage:.2f}"]
    cells += [f"{network.detector:.2f}", number(maker.tstr), number(maker.trts), number(maker.gain, "+.3f")]
    cells += [f"{pixels.rate:.1%}", f"{features.rate:.1%}", f"{pixels.closer:.0%}", f"{pixels.c_t:+.1f}"]
    cells += [number(pixels.membership, ".2f")]
    cells += [f"{maker.decision.state}, p = {maker.decision.p:.2g}" if maker.decision else "–"]
    return f"| {maker.maker} | {' | '.join(cells)} |"


def number(value: float | None, form: str = ".3f") -> str:
    """Return a number, or a dash where there is none."""
    return "–" if value is None else f"{value:{form}}"


@dataclass(frozen=True)
class Trial:
    """How often the audit says that images are copies."""

    name: str
    flagged: int
    of: int


def trials(images: ImageSet) -> list[Trial]:
    """Audit what is known: new images, copies, a few copies; each time with other thirds of the data."""
    bank = FeatureMaker(network=NETWORK, weights="imagenet").compute(images)
    everything = Views.of(
        images, {PIXELS: lambda these: vectors_of(these, PIXELS), NETWORK: lambda these: bank.of(these)[:, 0]}
    )
    flags: dict[str, list[bool]] = {}
    rarest = int(np.bincount(images.labels.numpy()).argmin())
    for seed in range(DRAWS):
        parts = thirds(images, everything, seed)
        few = replace(parts, drawn=with_copies(parts, 0.05, seed))
        rare = replace(parts, drawn=with_copies(parts, 0.2, seed, label=rarest))
        new, half = decided(witness(parts, seed), unused(parts, seed))
        some, all_of_them = decided(witness(few, seed), copycat(parts, seed))
        shown = {"another third of the data": new, "one half of those held out": half}
        shown |= {"another third, 5 % of it copies of training images": some, "copies of training images": all_of_them}
        of_rarest, _ = decided(witness(rare, seed), unused(parts, seed))
        shown[f"another third, 20 % of its images of {images.classes[rarest]} copies"] = of_rarest
        for name, flagged in shown.items():
            flags.setdefault(name, []).append(flagged)
    return [Trial(name, sum(found), len(found)) for name, found in flags.items()]


def decided(one: Witness, other: Witness) -> tuple[bool, bool]:
    """Tell of two sets of images whether the audit calls them copies."""
    controls = decide_copying({}, [one], [other])[1]
    return controls.copycat < ALPHA, controls.unused < ALPHA


def thirds(images: ImageSet, views: Views, seed: int) -> Parts:
    """Return training, held-out and "drawn" images: thirds of the groups."""
    names = np.array(sorted(set(images.group_names)), dtype=object)
    part = {name: i % 3 for i, name in enumerate(np.random.default_rng(seed).permutation(names).tolist())}
    places = np.array([part[name] for name in images.group_names])
    train, held_out, drawn = (views.take(places == i) for i in range(3))
    return Parts(images.classes, train, held_out, drawn.one_per_group(seed))


def with_copies(parts: Parts, share: float, seed: int, label: int | None = None) -> Views:
    """Return the drawn images with some of them, or of one class, replaced by training images of their class."""
    rng = np.random.default_rng(seed)
    spaces = {name: found.copy() for name, found in parts.drawn.spaces.items()}
    for k in range(len(parts.classes)) if label is None else [label]:
        drawn, train = (np.flatnonzero(side.labels == k) for side in (parts.drawn, parts.train))
        chosen = drawn[: max(1, round(share * len(drawn)))]
        rows = rng.choice(train, len(chosen))
        for name, found in spaces.items():
            found[chosen] = parts.train.spaces[name][rows]
    return replace(parts.drawn, spaces=spaces)


def planted(images: ImageSet, seed: int) -> list[str]:
    """Filter a pool of held-out real images, of which 20 % got a wrong label and 10 % are copies of training images."""
    order = np.random.default_rng(seed).permutation(len(images))
    train, rest = images.take(order[: len(images) // 2]), images.take(order[len(images) // 2 :][:1000])
    pool, kind = spoiled(train, rest, seed)
    curator = Curator.fit(train, [Agreement(), NearCopy()], augury.SmallCNNClassifier(steps=400), augury.Run(seed=seed))
    found = curator.look(pool)
    dropped = {name: f"{1 - found.keep[kind == name].mean():.1%}" for name in ("copy", "wrong", "good")}
    folds = curator.known.folds
    right = [np.mean(fold.outside.probabilities.argmax(1) == fold.outside.labels) for fold in folds]
    return [f"{np.mean(right):.1%}", dropped["copy"], dropped["wrong"], dropped["good"]]


def spoiled(train: ImageSet, rest: ImageSet, seed: int) -> tuple[ImageSet, np.ndarray]:
    """Return a pool and what each of its images is: good, wrong (its label) or a copy (every second with noise)."""
    rng, classes = np.random.default_rng(seed), len(rest.classes)
    order, kind = rng.permutation(len(rest)), np.full(len(rest), "good", dtype=object)
    kind[order[: len(rest) // 5]] = "wrong"
    kind[order[len(rest) // 5 : len(rest) * 3 // 10]] = "copy"
    pixels, labels = rest.images[:].clone(), rest.labels.clone()
    for i in range(len(rest)):
        if kind[i] == "wrong":
            labels[i] = (labels[i] + int(rng.integers(1, classes))) % classes
        elif kind[i] == "copy":
            j = int(rng.integers(len(train)))
            noise = torch.from_numpy(rng.normal(0, 2 * (i % 2), train.shape))
            pixels[i] = (train.images[[j]][0] + noise).round().clamp(0, 255).to(torch.uint8)
            labels[i] = train.labels[j]
    return replace(rest, images=pixels, labels=labels, synthetic=torch.ones(len(rest), dtype=torch.bool)), kind


def read(path: Path, name: str) -> ImageSet:
    """Read a set as its study does: duplicates set right, rare classes kept whole."""
    study = load_study(STUDIES / f"audit_{name}.toml")
    study = study.replace(data=study.data.replace(source=str(path)))
    laid = lay_out(study, MemoryStore())
    first = laid.cells[0].split
    return laid.images.take(sorted({*first.train, *first.val, *first.test}))


def main() -> None:
    """Run what has its data, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("audits"))
    parser.add_argument("--only", nargs="*", choices=[*SETS, "trials", "planted"], default=[*SETS, "trials", "planted"])
    arguments = parser.parse_args()
    there = {name: arguments.data / file for name, file in SETS.items() if (arguments.data / file).exists()}
    print(HEAD)
    for name, path in there.items():
        if name in arguments.only:
            study = load_study(STUDIES / f"audit_{name}.toml")
            study = study.replace(data=study.data.replace(source=str(path)))
            print("\n".join(tables(run(study, arguments.out / name, jobs=cores(), force=True).outcome)), flush=True)
    if "trials" in arguments.only:
        print(f"## What the audit says of images that are known to be new or copies, {DRAWS} draws\n")
        print("| set | images | called copies |\n|---|---|---|")
        for name, path in there.items():
            for trial in trials(read(path, name)):
                print(f"| {name} | {trial.name} | {trial.flagged} of {trial.of} |", flush=True)
    if "planted" in arguments.only:
        print_planted(arguments.data)
    print("\nEnvironment: " + ", ".join(f"{name} {value}" for name, value in environment("cpu", 1).items()) + ".")


PLANTED_HEAD = """
## `agreement` + `near_copy` on a pool with planted flaws

Held-out real images, of which 20 % got a wrong label and 10 % are copies of training images, every second with noise of
2 grey levels. The judges' accuracy on images that they have not seen is what `agreement` can reach.

| set | judges' accuracy | copies removed | wrong labels removed | good images removed |
|---|---|---|---|---|"""


def print_planted(data: Path) -> None:
    """Print the table of planted flaws."""
    print(PLANTED_HEAD)
    for name, file in PLANTED.items():
        if (data / file).exists():
            images = augury.duplicates.clean(augury.read(data / file), given_split=False).images
            for seed in range(3):
                print(f"| {name}, seed {seed} | {' | '.join(planted(images, seed))} |", flush=True)


if __name__ == "__main__":
    main()
