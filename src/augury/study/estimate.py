"""How long a study will take, measured on its own images, and what it leaves out to fit into a budget."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from augury.classifiers.features import FeatureBank, FeatureMaker
from augury.errors import SettingsError
from augury.images import ImageSet
from augury.study.audit_steps import AuditControls, AuditCopying, MeasureFidelity
from augury.study.classifier_steps import Features, FitClassifier
from augury.study.curation_steps import Curate, FitJudge
from augury.study.layout import Laid
from augury.study.steps import CHUNK, DrawImages, FitGenerator, Step
from augury.study.study import Study
from augury.training import Run, torch_threads

PROBE_STEPS = 8
WARM_UP_STEPS = 3
PROBE_IMAGES = 4
SLACK = 1.2  # a machine does not take the same time twice
START_SECONDS = 6.0  # a process imports torch
FEWEST_REPEATS = 2
AUDIT_SECONDS = 2.0  # of some hundreds of images a side
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Estimate:
    """Seconds that the missing steps of a study will take, and their number."""

    seconds: float
    steps: int


class _Clock(Exception):  # noqa: N818 - not an error: it ends a probe
    pass


class Stopwatch:
    """Measures the time per optimiser step of recipes on some images, each recipe once."""

    def __init__(self, images: ImageSet, device: str) -> None:
        self.images, self.device = images, device
        self.known: dict[Any, float] = {}

    def seconds(self, recipe: Any) -> float:
        """Return the time of one whole fit, from a few of its steps."""
        if recipe not in self.known:
            self.known[recipe] = self._measure(recipe)
        return self.known[recipe]

    def _measure(self, recipe: Any) -> float:
        times: list[float] = []
        steps = 1

        def on_step(done: int, in_all: int) -> None:
            nonlocal steps
            times.append(time.perf_counter())
            steps = in_all
            if done >= WARM_UP_STEPS + PROBE_STEPS:
                raise _Clock

        run = Run(seed=0, device=self.device, on_step=on_step, features=self._stand_in(recipe))
        start = time.perf_counter()
        self._fit(recipe, run)
        if len(times) <= WARM_UP_STEPS:
            return time.perf_counter() - start
        return (times[-1] - times[WARM_UP_STEPS - 1]) / (len(times) - WARM_UP_STEPS) * steps

    def _stand_in(self, recipe: Any) -> FeatureBank | None:
        """Return features of the right shape, if a recipe is trained on features: those of one image for all."""
        maker: FeatureMaker | None = recipe.feature_maker() if hasattr(recipe, "feature_maker") else None
        if maker is None:
            return None
        one = maker.compute(self.images.take([0]), self.device)
        return replace(one, rows=one.rows.repeat(len(self.images), 0), digests=self.images.digests)

    def per_image(self, maker: FeatureMaker) -> float:
        """Return the time that the features of one image take."""
        if maker not in self.known:
            few = self.images.take(range(min(PROBE_IMAGES, len(self.images))))
            maker.compute(few.take([0]), self.device)
            start = time.perf_counter()
            maker.compute(few, self.device)
            self.known[maker] = (time.perf_counter() - start) / len(few)
        return self.known[maker]

    def _fit(self, recipe: Any, run: Run) -> None:
        fit: Callable[..., Any] = recipe.fit
        try:
            if hasattr(recipe, "control"):
                fit(self.images, run)
            else:
                fit(self.images, self.images, run)  # validation images are looked at by 'published' alone
        except _Clock:
            return


def estimate(laid: Laid, *, jobs: int, device: str, watch: Stopwatch | None = None) -> Estimate:
    """Measure a few steps of each recipe and add up what is missing; a given watch knows some already."""
    return estimate_levels([laid], jobs=jobs, device=device, watch=watch)


def estimate_levels(levels: Sequence[Laid], *, jobs: int, device: str, watch: Stopwatch | None = None) -> Estimate:
    """Add up what is missing of a study at several levels, as `estimate` does; what levels share is made once."""
    largest = levels[-1]
    watch = watch or stopwatch(largest, device)
    missing = {step.key: step for level in levels for step in level.plan().steps}
    with torch_threads(largest.study.threads):
        seconds = sum(_seconds(step, watch, len(largest.images)) for step in missing.values())
    return Estimate(START_SECONDS * bool(missing) + seconds / jobs, len(missing))


def stopwatch(laid: Laid, device: str) -> Stopwatch:
    """Return a watch that measures on the training images of the first split."""
    return Stopwatch(laid.images.take(laid.cells[0].split.train), device)


def _seconds(step: Step, watch: Stopwatch, images: int) -> float:
    overhead = 0.01  # writing and reading one result
    if isinstance(step, Features):
        return overhead + watch.per_image(step.maker) * (CHUNK if isinstance(step.images, DrawImages) else images)
    if isinstance(step, FitGenerator):
        return overhead + watch.seconds(step.generator)
    if isinstance(step, FitClassifier | FitJudge):
        plain = {"sampling": "natural"} if hasattr(step.classifier, "sampling") else {}
        return overhead + watch.seconds(step.classifier.replace(**plain))
    if isinstance(step, AuditCopying | MeasureFidelity | AuditControls):
        return AUDIT_SECONDS
    return overhead + (0.02 if isinstance(step, DrawImages | Curate) else 0.0)


def fit_into(laid: Laid, seconds: float, *, jobs: int, device: str) -> tuple[Laid, Estimate, tuple[str, ...]]:
    """Leave out of a study what does not fit into a budget: first doses, then repeats, then the diagnosis of fidelity.

    Returns:
        The study that fits, laid out, its estimate, and what was left out, in words.

    Raises:
        SettingsError: If not even the smallest form fits.
    """
    left_out: list[str] = []
    watch = stopwatch(laid, device)
    while True:
        need = estimate(laid, jobs=jobs, device=device, watch=watch)
        if need.seconds <= seconds:
            return laid, need, tuple(left_out)
        smaller, what = _smaller(laid.study)
        if smaller is None:
            other = "" if laid.study.exploratory else " --preset quick takes less."
            raise SettingsError(
                f"the smallest form of this study needs about {in_words(need.seconds)}, and the budget is "
                f"{in_words(seconds)}.{_costs(laid, watch, jobs)} Raise --budget to {_enough(need.seconds)}, "
                f"or lower --size or --steps.{other}"
            )
        laid = laid.of(smaller)
        left_out.append(what)


def _enough(seconds: float) -> str:
    """Write a budget that holds what was measured, if the machine is a little busier the next time."""
    return f"{math.ceil(SLACK * seconds / 60)}m"


def _costs(laid: Laid, watch: Stopwatch, jobs: int) -> str:
    """Say what each generator takes of a study's time, where there are several to choose among."""
    fits = [step.generator for step in laid.plan().steps if isinstance(step, FitGenerator)]
    makers = {named.name: named.recipe.as_trained() for named in laid.study.generators if not named.recipe.control}
    taken = {name: fits.count(recipe) * watch.seconds(recipe) for name, recipe in makers.items()}
    listed = ", ".join(f"{name} {in_words(seconds / jobs)}" for name, seconds in taken.items())
    return f" Of these, training takes: {listed}; fewer --generator take less." if len(taken) > 1 else ""


def _smaller(study: Study) -> tuple[Study | None, str]:
    longest = max((len(arm.amounts) for arm in study.arms), default=0)
    if longest > 1:
        arms = tuple(arm.replace(amounts=arm.amounts[: longest - 1]) for arm in study.arms)
        dropped = next(arm.amounts[-1].label for arm in study.arms if len(arm.amounts) == longest)
        return study.replace(arms=arms), f"dose {dropped!r}"
    if study.split.repeats > FEWEST_REPEATS:
        repeats = study.split.repeats - 1
        return study.replace(split=study.split.replace(repeats=repeats)), f"repeat {study.split.repeats}"
    if study.audit.fidelity:
        return study.replace(audit=study.audit.replace(fidelity=False)), "fidelity, which decides nothing"
    return None, ""


def parse_seconds(text: str) -> float:
    """Read a time such as `90s`, `30m`, `2h` or `1h30m`.

    Raises:
        SettingsError: If it is none.

    Example:
        >>> parse_seconds("1h30m")
        5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
    matched = "".join(number + unit for number, unit in parts)
    if not parts or matched != re.sub(r"\s", "", text.strip().lower()) or any(unit not in UNITS for _, unit in parts):
        raise SettingsError(f"a time is written like 90s, 30m, 2h or 1h30m. Got {text!r}.")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def in_words(seconds: float) -> str:
    """Write a time as people say it.

    Example:
        >>> in_words(95), in_words(4000)
        ('2 min', '1 h 07 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
