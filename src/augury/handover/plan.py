"""What is to be handed over: which real images, what draws beside them, and how many of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from augury.classifiers import SmallCNNClassifier
from augury.classifiers.base import Classifier
from augury.curation import rules_in_words
from augury.errors import DataError, LeakError, SettingsError
from augury.filters import Filter
from augury.generators import generator_from, load_sampler
from augury.generators.base import Generator, Sampler
from augury.images import ImageSet
from augury.policies import Policy, policy_from
from augury.readers import Reading, ReadSettings, read_source
from augury.selections import Selection
from augury.study.grid import ArmPlan, arm_plans
from augury.study.outcome import Contrast
from augury.study.run import Finished, collect
from augury.study.study_file import load_study
from augury.verdict import Kind


@dataclass(frozen=True)
class Curation:
    """Which of the drawn images are worth handing over.

    Attributes:
        filters: All of them must keep an image.
        select: Which of the kept ones come first; None: in the order in which they were drawn.
        factor: Images drawn per image wanted, at most.
        judge: The recipe of the judges that filters ask.
    """

    filters: tuple[Filter, ...] = ()
    select: Selection | None = None
    factor: float = 2.0
    judge: Classifier = field(default_factory=SmallCNNClassifier)

    @property
    def label(self) -> str:
        """Return filters and selection in words.

        Example:
            >>> Curation().label
            'none'
        """
        return rules_in_words(self.filters, self.select) or "none"


@dataclass(frozen=True)
class Usual:
    """What the inner parts of a study's splits chose most often among the networks of a training.

    Attributes:
        steps: Optimiser steps of the network.
        guidance: The weight of guidance; None: that of the recipe.
        times: In how many trainings this was chosen.
        trainings: Of so many.
    """

    steps: int
    guidance: float | None
    times: int
    trainings: int

    @property
    def sentence(self) -> str:
        """Say it.

        Example:
            >>> Usual(500, 1.5, 3, 5).sentence
            'It is drawn from the network of 500 steps with guidance 1.5, as in 3 of 5 trainings of the study.'
        """
        guided = f" with guidance {self.guidance:g}" if self.guidance is not None else ""
        times = f"{self.times} of {self.trainings} trainings"
        return f"It is drawn from the network of {self.steps:,} steps{guided}, as in {times} of the study."


@dataclass(frozen=True, eq=False)
class Plan:
    """What is asked for.

    Attributes:
        source: What `augury.read` takes.
        how: How it is read.
        real: The real images that are handed over.
        everything: All images of the source, those that are held back (other given parts, duplicates) among them.
        maker: A recipe, to be fitted on `real`, or a sampler that was fitted before.
        policy: How many images of each class are wanted.
        curation: Which of the drawn images are worth it.
        remarks: Sentences on where the choice comes from.
        drawn_from: Steps of training and weight of guidance that a study's inner parts chose; None: the last network.
    """

    source: str
    how: ReadSettings
    real: Reading
    everything: ImageSet
    maker: Generator | Sampler
    policy: Policy
    curation: Curation
    remarks: tuple[str, ...] = ()
    drawn_from: Usual | None = None

    @property
    def images(self) -> ImageSet:
        """Return the real images that are handed over."""
        return self.real.images

    def wanted(self) -> tuple[int, ...]:
        """Return the synthetic images that are wanted of each class.

        Raises:
            SettingsError: If that is none at all.
        """
        counts = self.policy.counts(self.images.counts(), self.images.classes)
        if not any(counts):
            sizes = ", ".join(f"{name}: {n}" for name, n in zip(self.images.classes, self.images.counts(), strict=True))
            raise SettingsError(
                f"nothing is to be added: {self.policy.label!r} asks for no more than there is ({sizes}). "
                "Ask for more with --to."
            )
        return counts


def parse_amount(text: str) -> Policy:
    """Read how many images are wanted, as a command line writes it: `balance`, `500` (of each class), `ratio:0.5`.

    Raises:
        SettingsError: If it is none of these.

    Example:
        >>> parse_amount("500").label, parse_amount("ratio:0.5").label, parse_amount("balance").label
        ('level 500', 'ratio 0.5', 'balance')
    """
    try:
        return policy_from(f"level {text}" if text.isdecimal() else text.replace(":", " ", 1))
    except SettingsError as error:
        raise SettingsError(f"--to expects balance, N (of each class) or ratio:R. Got {text!r}: {error}") from None


def from_generator(
    source: str,
    how: ReadSettings,
    part: str,
    generator: str,
    settings: Sequence[str],
    amount: Policy,
    curation: Curation,
) -> Plan:
    """Plan to fit a generator on the images that are handed over.

    Raises:
        SettingsError: If kind or settings are unknown or wrong.
        DataError: If the images cannot be read, or have no given parts and one is asked for.
    """
    recipe = generator_from(generator, settings)
    return Plan(source, how, *_parted(read_source(source, how), part), recipe, amount, curation)


def from_model(
    source: str, how: ReadSettings, part: str, model: Path, device: str, amount: Policy, curation: Curation
) -> Plan:
    """Plan to draw from a fitted generator; the images are read at the size that it draws.

    Raises:
        DataError: If the model cannot be read, or the images differ from its own in size, colours or classes.
        LeakError: If the model has seen images of the parts that are held back.
    """
    sampler = load_sampler(model, device)
    C, H, W = sampler.card.shape
    how = how.replace(size=(H, W) if how.size == "auto" else how.size, channels="grey" if C == 1 else how.channels)
    real, everything = _parted(read_source(source, how), part)
    _check_alike(real.images, sampler)
    seen = len((set(everything.digests) - set(real.images.digests)) & sampler.card.seen)
    if seen:
        raise LeakError(
            f"the model has seen {seen} images outside of the train part, whose test would then be worth nothing. "
            "Fit one with --part train, or hand over all images with --part all."
        )
    return Plan(source, how, real, everything, sampler, amount, curation)


def _check_alike(images: ImageSet, sampler: Sampler) -> None:
    card = sampler.card
    if images.shape != card.shape:
        raise DataError(
            f"images as the model draws them were expected, {card.shape} (channels, height, width). "
            f"Got {images.shape}: leave out --size and --grey, or fit a model on these images."
        )
    if images.classes != card.classes:
        raise DataError(
            f"images of the model's classes were expected, {', '.join(card.classes)}. "
            f"Got {', '.join(images.classes)}: fit a model on these images."
        )


def from_study(folder: Path, source: str | None, *, store: Path | None, plugins: bool, force: bool) -> Plan:
    """Plan what a study has found to help: the arm it chose most often, on all of its images.

    Args:
        folder: The folder of a run.
        source: Where its images lie now; None: where they lay.
        store: Where it kept its steps; None: in its folder.
        plugins: Whether the study may name code from outside.
        force: Whether to go on after another verdict than HELPS.

    Raises:
        SettingsError: If the verdict is another, or no arm with generated images was chosen.
        DataError: If the study or its images cannot be read.
    """
    study = load_study(folder / "study.toml", allow_plugins=plugins)
    study = study if source is None else study.replace(data=study.data.replace(source=source))
    finished = collect(study, store or folder / "store")
    found = _contrast(finished)
    verdict, said = found.verdict, " ".join((found.verdict.sentence, *found.verdict.reasons))
    if verdict.kind is not Kind.HELPS and not force:
        raise SettingsError(
            f"a study that ends in HELPS was expected. Got {said} Train on the real images, ask another study, or go "
            "on all the same with --force."
        )
    arm = _chosen(finished, found)
    assert arm.generator is not None
    forced, usual = verdict.kind is not Kind.HELPS, _usual(finished, arm)
    remarks = (
        f"The study '{study.title}' chose the arm '{arm.name}' in {found.using[arm.name]} of "
        f"{sum(found.using.values())} splits. Its verdict: {said}",
        *(["The verdict does not say that these images help: they were asked for all the same (--force)."] * forced),
        *([usual.sentence] if usual else []),
    )
    how, images = study.data.how(), finished.laid.images
    reading = read_source(study.data.source, how)
    kept = set(images.names)
    rows = [i for i, name in enumerate(reading.images.names) if name in kept]
    real = replace(reading.take(rows), images=images)
    curation = Curation(arm.filters, arm.select, arm.factor, study.classifiers[0].recipe)
    return Plan(
        study.data.source, how, real, reading.images, arm.generator.recipe, arm.policy, curation, remarks, usual
    )


def _contrast(finished: Finished) -> Contrast:
    contrasts = finished.outcome.contrasts
    if not contrasts or not contrasts[0].generated or not contrasts[0].using:
        raise SettingsError(
            "a study that compared generated images was expected. Got one without: name a generator and --to instead."
        )
    return contrasts[0]


def _chosen(finished: Finished, found: Contrast) -> ArmPlan:
    """Return the arm that was chosen most often, the first of several."""
    name = max(found.using, key=lambda arm: found.using[arm])
    return next(arm for arm in arm_plans(finished.laid.study) if arm.name == name)


def _usual(finished: Finished, arm: ArmPlan) -> Usual | None:
    """Return which network the inner parts chose most often, of equal ones the later; None without a choice."""
    laid = finished.laid
    first = laid.study.classifiers[0].name
    fits = [cell.fit for cell in laid.cells if (cell.classifier, cell.arm.name) == (first, arm.name)]
    chosen = {chunk.choice.key: chunk.choice for fit in fits for chunk in fit.chunks if chunk.choice is not None}
    made = [laid.store.get(step) for step in chosen.values() if laid.store.has(step)]
    if not made:
        return None
    counted = Counter((choice.steps, choice.guidance) for choice in made)
    (steps, guidance), times = max(counted.items(), key=lambda item: (item[1], item[0][0]))
    return Usual(steps, guidance, times, len(made))


def _parted(reading: Reading, part: str) -> tuple[Reading, ImageSet]:
    """Return the images of a part, and all of them."""
    if part == "all":
        return reading, reading.images
    if reading.images.parts is None:
        raise DataError("the given train part was asked for, and these images have no given parts. Use --part all.")
    inside = [i for i, name in enumerate(reading.images.parts) if name == "train"]
    return reading.take(inside), reading.images
