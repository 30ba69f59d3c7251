"""The grid of a study: every arm on every split with every classifier, and the steps that each cell consists of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from augury.classifiers.base import GENERATOR_SEES_TEST, Classifier
from augury.curation import JUDGES, rules_in_words, spaces_of
from augury.filters import Filter
from augury.images import ImageSet
from augury.mixing import Synthetic, class_shares
from augury.policies import Nothing, Policy
from augury.seeds import seed_for
from augury.selections import JUDGE, Selection
from augury.splits import Split
from augury.study.classifier_steps import Features, FitClassifier, Predict, Tune
from augury.study.curation_steps import Curate, FitJudge, LookAtReal, Select
from augury.study.steps import CHUNK, DrawImages, FitGenerator, MakeSplit, Part, Pool, ReadImages
from augury.study.study import BEST_TEST_EPOCH, REAL, NamedClassifier, NamedGenerator, Recalibrate, Study
from augury.study.watching import ChooseSnapshot, LookForCollapse

LOOKED_AT = 100  # drawn images of a class, at most, whose diversity is compared with that of the real ones


@dataclass(frozen=True)
class ArmPlan:
    """One row of the arms table: an arm at one amount."""

    name: str
    generator: NamedGenerator | None
    policy: Policy
    overrides: tuple[tuple[str, Any], ...]
    recalibrate: Recalibrate = "none"
    longer: float = 1.0
    filters: tuple[Filter, ...] = ()
    select: Selection | None = None
    factor: float = 1.0

    @property
    def chosen_from(self) -> bool:
        """Tell whether it has the budget that all share, and may be chosen; what a person picked may not."""
        return self.longer == 1.0 and not (self.select is not None and self.select.exploratory)

    @property
    def curated(self) -> bool:
        """Tell whether some of the drawn images are left out."""
        return bool(self.filters) or self.select is not None

    @property
    def curation(self) -> str:
        """Return its filters and its selection in words; empty for a pool that is used as it was drawn."""
        return rules_in_words(self.filters, self.select)

    @property
    def uses_generated(self) -> bool:
        """Tell whether its classifiers see generated images that are news to them."""
        return self.generator is not None and not self.generator.recipe.control

    @property
    def copies(self) -> bool:
        """Tell whether it is a copycat: real images again, through a generator's path, nothing else changed."""
        plain = not self.overrides and self.recalibrate == "none" and self.chosen_from and not self.curated
        return self.generator is not None and self.generator.recipe.kind == "repeat" and plain


@dataclass(frozen=True)
class Cell:
    """One arm, one classifier, one split: the steps whose predictions are scored."""

    classifier: str
    arm: ArmPlan
    split: Split
    counts: tuple[int, ...]
    real_counts: tuple[int, ...]
    fit: FitClassifier
    predictions: dict[Part, Predict]


def arm_plans(study: Study) -> tuple[ArmPlan, ...]:
    """List the rows of the arms table, real images first."""
    named = {generator.name: generator for generator in study.generators}
    rows = []
    for arm in sorted(study.arms, key=lambda arm: arm.name != REAL):
        if arm.generator is None:
            rows.append(ArmPlan(arm.name, None, Nothing(), arm.classifier, arm.recalibrate, arm.longer))
        for policy in arm.amounts:
            name, generator = f"{arm.name} · {policy.label}", named[str(arm.generator)]
            curation = (arm.filters, arm.select, arm.factor)
            rows.append(ArmPlan(name, generator, policy, arm.classifier, arm.recalibrate, arm.longer, *curation))
    return tuple(rows)


def looks(grid: Sequence[Cell]) -> tuple[LookForCollapse, ...]:
    """Return the steps that look at the diversity of every fitted generator whose images count as generated."""
    found: dict[FitGenerator, LookForCollapse] = {}
    for cell in grid:
        if cell.arm.uses_generated and cell.fit.chunks and cell.fit.chunks[0].fit not in found:
            first = cell.fit.chunks[0]
            wanted = [min(count, LOOKED_AT) for count in cell.real_counts]
            found[first.fit] = LookForCollapse(chunks_of(first, wanted))
    return tuple(found.values())


def chunks_of(first: DrawImages, counts: Sequence[int]) -> tuple[DrawImages, ...]:
    """Return the steps that draw at least some number of images of each class, as one of them does."""
    return tuple(
        replace(first, label=label, chunk=chunk)
        for label, count in enumerate(counts)
        for chunk in range(-(-count // CHUNK))
    )


def cells(study: Study, read: ReadImages, images: ImageSet) -> tuple[Cell, ...]:
    """Lay out the grid: every classifier on every split with every arm.

    All cells of one block (classifier, split) share one seed; equal steps are one step, because their keys are equal.
    """
    grid = []
    for index, split in enumerate(study.split.cut(images, study.seed)):
        upto = study.split.replace(repeats=split.repeat + 1)
        made = MakeSplit(read, upto, study.seed, index, "groups_ignored" in study.flaws)
        for classifier in study.classifiers:
            block = _Block(study, images, split, made, classifier)
            grid += [block.cell(arm) for arm in (*arm_plans(study), *_twins(study, block))]
    return tuple(grid)


@dataclass(frozen=True)
class _Block:
    study: Study
    images: ImageSet
    split: Split
    made: MakeSplit
    classifier: NamedClassifier

    def real_counts(self) -> tuple[int, ...]:
        labels = self.images.labels[list(self.split.train)]
        return tuple(labels.bincount(minlength=len(self.images.classes)).tolist())

    def seed(self, name: str) -> int:
        return seed_for(self.study.seed, name, self.split.repeat, self.split.fold, self.split.inner)

    def cell(self, arm: ArmPlan) -> Cell:
        real = self.real_counts()
        counts = arm.policy.counts(real, self.images.classes)
        fit = self._fit(arm, counts)
        parts: tuple[Part, ...] = ("val", "test", "rest") if self.split.rest else ("val", "test")
        predictions = {part: Predict(fit, part, self.study.flaws) for part in parts}
        return Cell(self.classifier.name, arm, self.split, counts, real, fit, predictions)

    def _fit(self, arm: ArmPlan, counts: tuple[int, ...]) -> FitClassifier:
        recipe = self.classifier.recipe.replace(**dict(arm.overrides))
        if not arm.chosen_from:
            recipe = recipe.replace(steps=max(1, round(arm.longer * getattr(recipe, "steps", 1))))
        fit = self._untuned(recipe, self._pool(arm, counts), counts)
        if not self.study.tune.trials:
            return fit
        shared = self._untuned(self.classifier.recipe, (), ())
        return replace(fit, tuned=self._tune(fit if self.study.tune.per_arm else shared))

    def _untuned(self, recipe: Classifier, pool: tuple[Pool, ...], counts: tuple[int, ...]) -> FitClassifier:
        return FitClassifier(
            split=self.made,
            classifier=recipe,
            seed=self.seed("classifier"),
            pool=pool,
            counts=counts if any(counts) else (),
            features=self._features(recipe, tuple(chunk for source in pool for chunk in source.chunks)),
            watched="test" if BEST_TEST_EPOCH in self.study.flaws else "val",
        )

    def _features(self, recipe: Classifier, chunks: tuple[DrawImages, ...] = ()) -> tuple[Features, ...]:
        maker = recipe.feature_maker()
        sources: tuple[ReadImages | DrawImages, ...] = (self.made.images, *chunks)
        return tuple(Features(source, maker) for source in sources if maker)

    def _tune(self, fit: FitClassifier) -> Tune:
        from augury.metrics.classification import METRICS  # loads statistics: worker processes do without

        candidates = self.study.tune.candidates(self.study.seed)
        fits = [self._untuned(fit.classifier.replace(**dict(each)), fit.pool, fit.counts) for each in candidates]
        even = METRICS[self.study.primary_metric(len(self.images.classes))].even
        return Tune(self.made, candidates, even, tuple(Predict(each, "val", self.study.flaws) for each in fits))

    def _pool(self, arm: ArmPlan, counts: tuple[int, ...]) -> tuple[Pool, ...]:
        if arm.generator is None:
            return ()
        sees_test = GENERATOR_SEES_TEST in self.study.flaws
        recipe, seed = arm.generator.recipe, self.seed(f"generator {arm.generator.name}")
        fit = FitGenerator(self.made, recipe.as_trained(), seed, sees_test)
        drawn_by = recipe if recipe.drawing else None
        open_choice = any(getattr(recipe, name, ()) for name in ("snapshots", "guidances"))
        choice = ChooseSnapshot(fit, self._judge(), drawn_by) if open_choice else None
        first = DrawImages(fit, label=0, chunk=0, choice=choice, drawn_by=drawn_by)
        if not arm.curated:
            return chunks_of(first, counts)
        drawn = chunks_of(first, [math.ceil(arm.factor * count) for count in counts])
        return self._selected(arm, self._filtered(arm, drawn))

    def _filtered(self, arm: ArmPlan, drawn: tuple[DrawImages, ...]) -> tuple[Pool, ...]:
        if not arm.filters:
            return drawn
        seed = self.seed("judges")
        judges = self._judges() if any(rule.judged for rule in arm.filters) else ()
        known = LookAtReal(self.made, seed, judges, spaces_of(arm.filters))
        return tuple(Curate(chunk, arm.filters, judges, known) for chunk in drawn)

    def _selected(self, arm: ArmPlan, pool: tuple[Pool, ...]) -> tuple[Pool, ...]:
        if arm.select is None:
            return pool
        judge = self._judges()[0] if arm.select.measures_in() == JUDGE else None
        labels = sorted({chunk.label for source in pool for chunk in source.chunks})
        of_label = ([source for source in pool if source.chunks[0].label == label] for label in labels)
        return tuple(Select(tuple(sources), arm.select, judge) for sources in of_label)

    def _judges(self) -> tuple[FitJudge, ...]:
        """Return the first classifier, trained on real images outside of one fold each."""
        recipe, seed = self.study.classifiers[0].recipe, self.seed("judges")
        features = self._features(recipe)
        return tuple(FitJudge(self.made, recipe, seed, fold, features) for fold in range(JUDGES))

    def _judge(self) -> FitClassifier:
        """Return the first classifier on real images only: the arm that always runs."""
        return replace(self, classifier=self.study.classifiers[0])._fit(ArmPlan(REAL, None, Nothing(), ()), ())


def twin_name(arm: ArmPlan) -> str:
    """Return the name of the oversampling arm that shows each class as often as a copycat arm does."""
    return f"oversampling as in {arm.name}"


def _twins(study: Study, block: _Block) -> list[ArmPlan]:
    """Return the oversampling arms that the copycat gate compares with (PROTOCOL, Decisions 10)."""
    return [
        ArmPlan(twin_name(arm), None, Nothing(), _shown_as_often(block, arm))
        for arm in arm_plans(study)
        if arm.copies and any(arm.policy.counts(block.real_counts(), block.images.classes))
    ]


def _shown_as_often(block: _Block, arm: ArmPlan) -> tuple[tuple[str, Any], ...]:
    real = block.real_counts()
    use = getattr(block.classifier.recipe, "synthetic", Synthetic())
    shares = class_shares(real, arm.policy.counts(real, block.images.classes), use)
    natural = class_shares(real, [0] * len(real))
    if max(abs(a - b) for a, b in zip(shares, natural, strict=True)) < 0.01:
        return ()  # the same step as the arm of real images only
    if max(shares) - min(shares) < 0.01:
        return (("sampling", "balanced"),)  # the same step as class-balanced sampling
    return (("sampling", shares),)
