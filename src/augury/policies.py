"""Policies: real class counts in, synthetic class counts out. Integers in, integers out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from augury.errors import SettingsError
from augury.settings import Recipe, by_name, nearest


class Policy(Recipe):
    """How many synthetic images each class gets.

    `per_class` overrides the number of named classes, whatever the policy says.
    """

    summary: ClassVar[str]
    per_class: Annotated[tuple[tuple[str, int], ...], AfterValidator(by_name)] = Field(
        default=(), description="synthetic images of named classes"
    )

    def __init__(self, **settings: Any) -> None:
        overrides = settings.get("per_class")
        if isinstance(overrides, dict):
            settings["per_class"] = tuple(overrides.items())
        super().__init__(**settings)

    def counts(self, real: Sequence[int], classes: Sequence[str]) -> tuple[int, ...]:
        """Return the synthetic images per class.

        Args:
            real: K real images per class.
            classes: K class names.

        Raises:
            SettingsError: If `per_class` names an unknown class or a negative number.
        """
        counts = list(self._rule(real))
        for name, number in self.per_class:
            if name not in classes:
                raise SettingsError(f"per_class names the class {name!r}{nearest(name, list(classes))}")
            if number < 0:
                raise SettingsError(f"per_class of {name!r} must be 0 or more. Got {number}.")
            counts[list(classes).index(name)] = number
        return tuple(counts)

    @property
    def label(self) -> str:
        """Return the policy in words: as a study file writes it, and which classes get another number."""
        value = next((getattr(self, name) for name in type(self).model_fields if name != "per_class"), None)
        words = " ".join([self.kind] + ([str(value).removesuffix(".0")] if value is not None else []))
        nothing = isinstance(self, Nothing)
        alike: dict[int, list[str]] = {}
        for name, number in self.per_class:
            alike.setdefault(number, []).append(name)
        left_out = [] if nothing else alike.pop(0, [])
        named = [f"{number} of {', '.join(names)}" for number, names in alike.items() if number]
        named += [f"not {', '.join(left_out)}"] if left_out else []
        return ", ".join(named if nothing and named else [words, *named])

    @abstractmethod
    def _rule(self, real: Sequence[int]) -> Sequence[int]:
        """Return the synthetic images per class, before the overrides."""


class Nothing(Policy):
    """Add nothing: the real images alone."""

    kind: ClassVar[str] = "none"
    summary: ClassVar[str] = "no synthetic images"

    def _rule(self, real: Sequence[int]) -> Sequence[int]:
        return [0] * len(real)


class Add(Policy):
    """Add the same number to every class (S4's 150 per class).

    Example:
        >>> Add(n=150).counts([10, 90], ["a", "b"])
        (150, 150)
    """

    kind: ClassVar[str] = "add"
    summary: ClassVar[str] = "n synthetic images for every class"
    n: int = Field(ge=0, description="synthetic images per class")

    def _rule(self, real: Sequence[int]) -> Sequence[int]:
        return [self.n] * len(real)


class Balance(Policy):
    """Fill every class up to the size of the largest.

    Example:
        >>> Balance().counts([10, 90], ["a", "b"])
        (80, 0)
    """

    kind: ClassVar[str] = "balance"
    summary: ClassVar[str] = "every class up to the largest one"

    def _rule(self, real: Sequence[int]) -> Sequence[int]:
        return [max(real) - n for n in real]


class Level(Policy):
    """Fill every class up to n images, real and synthetic; larger classes get none (S3's 1,197).

    Example:
        >>> Level(n=50).counts([10, 90], ["a", "b"])
        (40, 0)
    """

    kind: ClassVar[str] = "level"
    summary: ClassVar[str] = "every class up to n images"
    n: int = Field(ge=1, description="images per class, real and synthetic")

    def _rule(self, real: Sequence[int]) -> Sequence[int]:
        return [max(0, self.n - n) for n in real]


class Ratio(Policy):
    """Add r synthetic images for every real one, class by class (S0's 1:2 is r = 2).

    Example:
        >>> Ratio(r=0.5).counts([10, 90], ["a", "b"])
        (5, 45)
    """

    kind: ClassVar[str] = "ratio"
    summary: ClassVar[str] = "r synthetic images for every real one"
    r: float = Field(ge=0, le=1000, description="synthetic images per real image")

    def _rule(self, real: Sequence[int]) -> Sequence[int]:
        return [round(self.r * n) for n in real]


POLICIES: dict[str, type[Policy]] = {policy.kind: policy for policy in (Nothing, Add, Balance, Level, Ratio)}


def policy_from(value: Any) -> Policy:
    """Read a policy as a study file writes it: `"balance"`, `"ratio 0.5"` or a table with `kind`.

    Raises:
        SettingsError: If there is no such policy, or its number is missing or wrong.

    Example:
        >>> policy_from("add 150")
        Add(per_class=(), n=150)
        >>> policy_from({"kind": "balance", "per_class": {"nevus": 0}}).label
        'balance, not nevus'
    """
    if isinstance(value, Policy):
        return value
    if isinstance(value, dict):
        return _known(str(value.get("kind", "")))(**{key: item for key, item in value.items() if key != "kind"})
    words = str(value).split()
    policy = _known(words[0] if words else "")
    numbered = [name for name in policy.model_fields if name != "per_class"]
    if len(words) - 1 != len(numbered):
        wanted = " ".join([policy.kind, *numbered])
        raise SettingsError(f"the policy {policy.kind!r} is written {wanted!r}. Got {value!r}.")
    return policy(**{name: _number(word) for name, word in zip(numbered, words[1:], strict=True)})


def _known(kind: str) -> type[Policy]:
    if kind not in POLICIES:
        raise SettingsError(f"there is no policy {kind!r}{nearest(kind, list(POLICIES))}")
    return POLICIES[kind]


def _number(word: str) -> int | float:
    try:
        return float(word) if "." in word or "e" in word else int(word)
    except ValueError:
        raise SettingsError(f"a number was expected in a policy. Got {word!r}.") from None
