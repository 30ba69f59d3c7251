from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from augury.errors import SettingsError
from augury.settings import Recipe, describe, lists, nearest, parse_assignment, read_toml, to_toml, tuples
from augury.study.identity import digest


class Inner(Recipe):
    kind: ClassVar[str] = "inner"
    share: float = 0.5


class Thing(Recipe):
    kind: ClassVar[str] = "thing"
    channels: int = Field(default=8, ge=1, description="how wide")
    mode: Literal["fast", "slow"] = "fast"
    widths: tuple[int, ...] = (1, 2)
    limit: int | None = None
    inner: Inner = Inner()
    order: Literal["up", "down"] | tuple[int, ...] = "up"


class Needy(Recipe):
    source: str


def test_a_recipe_is_frozen_comparable_and_hashable():
    thing = Thing(channels=4)
    with pytest.raises(ValidationError, match="frozen"):
        thing.channels = 5
    assert thing == Thing(channels=4) != Thing(channels=5)
    assert len({thing, Thing(channels=4), Thing(channels=5)}) == 2


def test_lists_become_tuples_all_the_way_down():
    assert Thing(widths=[3, 4]).widths == (3, 4)
    assert hash(Thing(widths=[3, 4])) == hash(Thing(widths=(3, 4)))
    assert tuples({"a": [1, [2, {"b": [3]}]]}) == {"a": (1, (2, {"b": (3,)}))}


def test_settings_are_the_fields_in_order_and_nested_recipes_stay_recipes():
    assert list(Thing().settings()) == ["channels", "mode", "widths", "limit", "inner", "order"]
    assert type(Thing().settings()["inner"]) is Inner
    assert Thing(**Thing(channels=3).settings()) == Thing(channels=3)


class Pointer(Recipe):
    """A recipe with a setting that says where something lies."""

    kind: ClassVar[str] = "pointer"
    path: str

    def identity(self):
        return {"path": self.path.rpartition("/")[2]}


def test_the_identity_is_the_settings_unless_a_recipe_says_otherwise():
    assert Thing(channels=3).identity() == Thing(channels=3).settings()
    assert digest(Thing(channels=3)) != digest(Thing())
    here, there = Pointer(path="/here/a"), Pointer(path="/there/a")
    assert here != there
    assert digest(here) == digest(there) != digest(Pointer(path="/here/b"))
    assert digest((1, here)) == digest((1, there))


def test_replace_changes_some_settings_and_checks_them():
    assert Thing(channels=3).replace(mode="slow") == Thing(channels=3, mode="slow")
    with pytest.raises(SettingsError, match="channels of thing"):
        Thing().replace(channels=0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"chanels": 3}, "thing has no setting 'chanels': did you mean 'channels'?"),
        ({"zzz": 3}, "thing has no setting 'zzz'. Expected one of: channels, mode, widths, limit, inner, order."),
        ({"channels": "3"}, "channels of thing: expected a valid integer. Got '3'."),
        ({"channels": 3.0}, "channels of thing: expected a valid integer. Got 3.0."),
        ({"channels": True}, "channels of thing: expected a valid integer. Got True."),
        ({"channels": 0}, "channels of thing: expected greater than or equal to 1. Got 0."),
        ({"mode": "quick"}, "mode of thing: expected one of: 'fast', 'slow'. Got 'quick'."),
        ({"order": "upp"}, "order of thing: expected 'up' or 'down'. Got 'upp'."),
        ({"widths": (1, "x")}, "widths.1 of thing: expected a valid integer. Got 'x'."),
    ],
)
def test_a_mistake_is_one_sentence_with_the_setting_and_what_came(settings, sentence):
    with pytest.raises(SettingsError) as caught:
        Thing(**settings)
    assert str(caught.value) == sentence


def test_a_missing_setting_is_named():
    with pytest.raises(SettingsError, match=r"^needy needs the setting 'source'\.$"):
        Needy()


def test_a_misspelt_setting_that_is_required_is_a_misspelling():
    with pytest.raises(SettingsError, match="did you mean 'source'"):
        Needy(sorce="x")


def test_toml_holds_lists_kinds_and_no_nones(tmp_path):
    thing = Thing(widths=(5,), inner=Inner(share=0.25))
    assert lists(thing) == {
        "kind": "thing",
        "channels": 8,
        "mode": "fast",
        "widths": [5],
        "inner": {"kind": "inner", "share": 0.25},
        "order": "up",
    }
    path = tmp_path / "thing.toml"
    path.write_text(to_toml({"thing": thing}))
    assert read_toml(path) == {"thing": lists(thing)}


@pytest.mark.parametrize("where", ["nothing.toml", ".", "file/below.toml"])
def test_a_file_that_is_not_there_is_a_sentence(tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"a study file was expected at .* check the path"):
        read_toml(tmp_path / where)


@pytest.mark.parametrize("content", [b"a = = 3", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_a_sentence(tmp_path: Path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^broken.toml is not a TOML file: "):
        read_toml(path)


def test_the_nearest_name_is_proposed_else_all_are_listed():
    assert nearest("balence", ["add", "balance"]) == ": did you mean 'balance'?"
    assert nearest("xyz", ["add", "balance"]) == ". Expected one of: add, balance."


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("steps=200", ("steps", 200)),
        ("rate=1e-3", ("rate", 1e-3)),
        ("flip=true", ("flip", True)),
        ("hidden=[3, 4]", ("hidden", [3, 4])),
        ("mode=slow", ("mode", "slow")),
        (' mode = "slow" ', ("mode", "slow")),
        ("text=a=b", ("text", "a=b")),
        ("text=", ("text", "")),
    ],
)
def test_an_assignment_is_read_as_toml_else_as_text(text, read):
    assert parse_assignment(text) == read


@pytest.mark.parametrize("text", ["steps", "=3", " =3", ""])
def test_an_assignment_without_a_name_or_a_value_is_a_sentence(text):
    with pytest.raises(SettingsError, match="--set expects name=value"):
        parse_assignment(text)


def test_settings_are_described_with_default_and_meaning():
    assert describe(Thing)[:2] == [("channels", "8", "how wide"), ("mode", "fast", "")]
    assert describe(Needy) == [("source", "required", "")]
