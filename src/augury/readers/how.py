"""How images are read: the settings that all readers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from augury.errors import SettingsError
from augury.readers.grouping import check_rule
from augury.readers.levels import Levels
from augury.readers.pixels import Channels, Size, Sizing
from augury.settings import Recipe, by_name, nearest

ROLES = ("path", "label", "split")


def _roles(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    for role, _ in pairs:
        if role not in ROLES:
            raise ValueError(f"there is no column {role!r} to be named{nearest(role, list(ROLES))}")
    return by_name(pairs)


def _pairs(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


ClassNames = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs), AfterValidator(by_name)]


class ReadSettings(Recipe):
    """How images are read."""

    kind: ClassVar[str] = "read"
    to_train_on: ClassVar[bool] = True  # by themselves: then two classes, with images of each, are needed

    size: Literal["auto", "native"] | tuple[int, int] = Field(
        default="auto", description="height and width in pixels, auto (as they are, at most 64 x 64) or native"
    )
    fit: Literal["stretch", "crop", "pad"] = Field(default="stretch", description="how other shapes are fitted")
    channels: Channels = Field(
        default="auto", description="auto (grey unless any image has colour) or grey (colours are left out)"
    )
    levels: str = Field(
        default="auto",
        description="more than 8 bits to 8: 'percentiles LOW HIGH' of each image, 'window CENTRE WIDTH', or auto",
    )
    group: str = Field(
        default="",
        description="what belongs together: a column, 'folder', a regular expression with (?P<group>...), or 'none'",
    )
    columns: Annotated[tuple[tuple[str, str], ...], AfterValidator(_roles)] = Field(
        default=(), description="a manifest's columns by another name: path, label, split"
    )
    classes: ClassNames = Field(
        default=(), description="what to call a class; two of one name are one class, and '' leaves a class out"
    )
    skip_unreadable: bool = Field(default=False, description="go on without files that cannot be read, and list them")

    @model_validator(mode="after")
    def _meant(self) -> Self:
        _ = self.sizing, Levels.parse(self.levels)
        check_rule(self.group)
        return self

    @property
    def sizing(self) -> Sizing:
        """Return size and fit."""
        return Sizing(self.size, self.fit)

    def column(self, role: str) -> str:
        """Return the name of the column that plays a role."""
        return dict(self.columns).get(role, role)


def sized(size: Size) -> Literal["auto", "native"] | tuple[int, int]:
    """Return a size as the settings hold it: a side stands for a square.

    Raises:
        SettingsError: If the size cannot be meant.

    Example:
        >>> sized(64), sized("auto")
        ((64, 64), 'auto')
    """
    checked = Sizing(size).size
    return checked if isinstance(checked, tuple | str) else (checked, checked)


def parse_columns(text: str) -> tuple[tuple[str, str], ...]:
    """Read column names from a command line.

    Raises:
        SettingsError: If they are not written as `role=name`.

    Example:
        >>> parse_columns("path=image_id, label=dx")
        (('path', 'image_id'), ('label', 'dx'))
    """
    pairs = []
    for item in filter(str.strip, text.split(",")):
        role, equals, name = (part.strip() for part in item.partition("="))
        if not (role and equals and name):
            raise SettingsError(f"columns are written like path=image_id,label=dx. Got {item.strip()!r}.")
        pairs.append((role, name))
    return tuple(pairs)


def parse_classes(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read class names from a command line; a name may hold anything but what comes after its last `=`.

    Raises:
        SettingsError: If one is not written as `NAME=NEW`.

    Example:
        >>> parse_classes(["mel=malignant", "nv=benign", "other="])
        (('mel', 'malignant'), ('nv', 'benign'), ('other', ''))
    """
    pairs = []
    for word in words:
        name, equals, new = (part.strip() for part in word.rpartition("="))
        if not (name and equals):
            raise SettingsError(f"a class is renamed like mel=malignant, and left out by mel= . Got {word!r}.")
        pairs.append((name, new))
    return tuple(pairs)
