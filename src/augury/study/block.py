"""All scored cells of one classifier: scores per split, choices on the inner part, comparisons on the outer one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np

from augury.images import ImageSet
from augury.metrics.classification import METRICS, choice_losses
from augury.splits import fold_ratio
from augury.statistics import Bootstrap, Interval, nadeau_bengio, one_standard_error, two_level_bootstrap
from augury.study.grid import ArmPlan, Cell, arm_plans
from augury.study.layout import Laid
from augury.study.steps import Part
from augury.study.study import PICKED, REAL, Study
from augury.study.table import ScoredCell

Unit = tuple[int, int]
ROW_DRAWS = 500  # bootstrap draws of what stands beside the verdict; the verdict itself takes more


@dataclass(frozen=True, eq=False)
class Block:
    """All scored cells of one classifier, and the choices made among its arms."""

    study: Study
    images: ImageSet
    classifier: str
    scored: tuple[ScoredCell, ...]
    planned: tuple[Cell, ...]
    withheld: Mapping[str, str] = field(default_factory=dict)  # arm -> why it takes no part in any choice

    @classmethod
    def of(
        cls, laid: Laid, scored: Sequence[ScoredCell], classifier: str, withheld: Mapping[str, str] | None = None
    ) -> Self:
        """Return one classifier's part of a study."""
        return cls(
            laid.study,
            laid.images,
            classifier,
            tuple(item for item in scored if item.cell.classifier == classifier),
            tuple(cell for cell in laid.cells if cell.classifier == classifier),
            withheld or {},
        )

    @cached_property
    def metric(self) -> str:
        """Return the key of the primary metric."""
        return self.study.primary_metric(len(self.images.classes))

    @cached_property
    def by_arm(self) -> dict[str, dict[Unit, list[ScoredCell]]]:
        """Return arm -> split -> its cells, one per inner fold."""
        table: dict[str, dict[Unit, list[ScoredCell]]] = {}
        for item in self.scored:
            table.setdefault(item.cell.arm.name, {}).setdefault(item.unit, []).append(item)
        return table

    @property
    def given(self) -> bool:
        """Tell whether one given test part is scored after several trainings."""
        return self.study.split.plan == "given"

    @cached_property
    def ratio(self) -> float:
        """Return n_test / n_train, in groups."""
        return fold_ratio(self.study.split.folds)

    @cached_property
    def rows(self) -> tuple[ArmPlan, ...]:
        """Return the arms of the study, without the gate's twins."""
        return arm_plans(self.study)

    @cached_property
    def rivals(self) -> tuple[ArmPlan, ...]:
        """Return the arms that are chosen from: of one budget, by rule and not by hand, and not withheld."""
        return tuple(arm for arm in self.rows if arm.chosen_from and arm.name not in self.withheld)

    def values(self, arm: str, of: Callable[[ScoredCell], float]) -> dict[Unit, float]:
        """Return a value per split: the mean over inner folds."""
        return {unit: float(np.mean([of(c) for c in cells])) for unit, cells in self.by_arm.get(arm, {}).items()}

    def scores(self, arm: str) -> dict[Unit, float]:
        """Return the primary metric per split."""
        return self.values(arm, lambda item: item.scores[self.metric])

    def complete_units(self) -> list[Unit]:
        """Return the splits in which every arm has a result; an arm that has none at all does not take part."""
        units = [set(self.by_arm[arm.name]) for arm in self.rivals if arm.name in self.by_arm]
        return sorted(set.intersection(*units)) if units else []

    def choose(self, arms: Sequence[ArmPlan]) -> dict[Unit, str]:
        """Choose one arm per split on the inner part: one-standard-error rule toward fewer synthetic images."""
        alive = [arm for arm in arms if arm.name in self.by_arm]
        return {unit: self._choose_in(unit, alive) for unit in self.complete_units()} if alive else {}

    def _choose_in(self, unit: Unit, arms: Sequence[ArmPlan]) -> str:
        cells = [self.by_arm[arm.name][unit] for arm in arms]
        losses = np.stack([self._inner_losses(row) for row in cells])
        amounts = [float(np.mean([sum(item.cell.counts) for item in row])) for row in cells]
        names = self.images.group_names
        groups = [names[i] for item in cells[0] for i in item.cell.split.val]
        return arms[one_standard_error(losses, amounts, groups)].name

    def _inner_losses(self, row: Sequence[ScoredCell]) -> np.ndarray:
        labels, probabilities = ([getattr(item, of)["val"] for item in row] for of in ("labels", "probabilities"))
        even = METRICS[self.metric].even
        return choice_losses(np.concatenate(labels), np.concatenate(probabilities), even=even)

    @cached_property
    def using(self) -> dict[Unit, str]:
        """Return the chosen arm with generated images of each split; under a declared flaw the test part chooses."""
        arms = [arm for arm in self.rivals if arm.uses_generated]
        return self._best_on_test(arms) if PICKED in self.study.flaws else self.choose(arms)

    def _best_on_test(self, arms: Sequence[ArmPlan]) -> dict[Unit, str]:
        sign = 1 if METRICS[self.metric].higher_is_better else -1
        scores = {arm.name: self.scores(arm.name) for arm in arms if arm.name in self.by_arm}
        return {
            unit: max(scores, key=lambda name: sign * scores[name][unit]) for unit in self.complete_units() if scores
        }

    @cached_property
    def without(self) -> dict[Unit, str]:
        """Return the chosen arm without generated images of each split."""
        return self.choose([arm for arm in self.rivals if not arm.uses_generated])

    @cached_property
    def either(self) -> dict[Unit, str]:
        """Return the chosen arm of each split when all arms may be chosen."""
        return self.choose(self.rivals)

    def of_choice(self, choice: dict[Unit, str]) -> dict[Unit, float]:
        """Return the primary metric of a choice, per split."""
        return {unit: self.scores(arm)[unit] for unit, arm in choice.items()}

    def compare(self, a: dict[Unit, float], b: dict[Unit, float]) -> Interval | None:
        """Return the Nadeau–Bengio interval of a - b over the splits that both have; None with fewer than two."""
        common = sorted(set(a) & set(b))
        return nadeau_bengio([a[u] - b[u] for u in common], self.ratio) if len(common) > 1 else None

    def change(self, a: dict[Unit, float], b: dict[Unit, float]) -> Interval | None:
        """Return the interval of a - b; retrainings on one given test part have a mean, and no interval."""
        if not self.given:
            return self.compare(a, b)
        common = sorted(set(a) & set(b))
        mean = float(np.mean([a[u] - b[u] for u in common])) if common else np.nan
        return Interval(mean, np.nan, np.nan, np.nan, np.nan, len(common), np.nan)

    def passes(self, arm: str) -> list[list[ScoredCell]]:
        """Return the cells of each pass over the scored images: of one repeat, or training, and one inner fold."""
        found: dict[Unit, list[ScoredCell]] = {}
        for item in (item for unit in sorted(self.by_arm.get(arm, {})) for item in self.by_arm[arm][unit]):
            found.setdefault((item.cell.split.repeat, item.cell.split.inner), []).append(item)
        return list(found.values())

    def beside_real(self, arm: str) -> Interval | None:
        """Return an arm's difference to real images only."""
        if arm == REAL:
            return None
        if not self.given:
            return self.compare(self.scores(arm), self.scores(REAL))
        both = sorted(set(self.by_arm.get(arm, {})) & set(self.by_arm.get(REAL, {})))
        drawn = self.bootstrap(dict.fromkeys(both, arm), dict.fromkeys(both, REAL), "test", draws=ROW_DRAWS)
        if drawn is None:
            return None
        return Interval(drawn.mean, drawn.low, drawn.high, np.nan, np.nan, drawn.draws, np.nan)

    def bootstrap(self, a: dict[Unit, str], b: dict[Unit, str], part: Part, draws: int = 2000) -> Bootstrap | None:
        """Return the two-level bootstrap of choice a minus choice b on one shared part; None without cells."""
        units = sorted(set(a) & set(b))
        if not units:
            return None
        first = self.by_arm[a[units[0]]][units[0]][0].cell.split
        positions = np.asarray(getattr(first, part))
        names = self.images.group_names
        return two_level_bootstrap(
            METRICS[self.metric].function,
            self.images.labels.numpy()[positions],
            self._stack(a, units, part),
            self._stack(b, units, part),
            [names[i] for i in positions],
            rope=self.study.rope,
            seed=self.study.seed,
            draws=draws,
        )

    def _stack(self, choice: dict[Unit, str], units: Sequence[Unit], part: Part) -> np.ndarray:
        cells = [self.by_arm[choice[unit]][unit] for unit in units]
        return np.stack([np.mean([item.probabilities[part] for item in row], axis=0) for row in cells])


def share_of(hits: Sequence[bool]) -> float:
    """Return the share of true entries; 0 of none."""
    return sum(hits) / len(hits) if hits else 0.0
