"""Study files with any value in any place: 750 cases."""

import tomllib

import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from augury.networks.backbones import check_backbone, is_backbone
from augury.settings import parse_assignment
from augury.study import Study, demo, dump_study, load_study
from augury.study.identity import digest
from fuzzing import ODD_PARTS, attempt, cases, fresh

for name in ("vgg16", "timm:resnet10t"):  # libraries that set filters of warnings when they are first imported
    assert is_backbone(name)
    check_backbone(name)

FULL = tomllib.loads(dump_study(demo()))
SMALL = {
    "data": {"source": "digits"},
    "classifiers": [{"kind": "small_cnn"}],
    "generators": [{"kind": "blend"}],
    "arms": [{"name": "real"}, {"name": "blend", "generator": "blend", "amounts": ["balance", "ratio 1"]}],
}
RICH = {
    "data": {"source": "digits", "safe": ["dermoscopy", "flip"]},
    "tune": {"trials": 3, "grid": {"rate": [0.001, 0.01], "loss": ["weighted", {"name": "focal"}]}, "per_arm": True},
    "classifiers": [
        {"kind": "vgg11", "weights": "file:w.pth", "dense": [8], "train": "last", "blocks": 1},
        {"kind": "backbone", "network": "squeezenet1_1", "weights": "none", "loss": {"name": "ldam_drw"}},
        {"kind": "covid_cnn", "synthetic": {"share": 0.5, "weight": 0.25, "real_last": 0.2, "replaces": True}},
    ],
    "generators": [{"kind": "blend"}],
    "arms": [
        {"name": "real"},
        {"name": "moved", "recalibrate": "temperature", "longer": 2.0},
        {"name": "blend", "generator": "blend", "amounts": ["balance"], "classifier": {"synthetic": {"share": 1}}},
        {"name": "rivals", "classifier": {"augment": {"rotate": 9.0, "trivial": True}, "sampling": "balanced"}},
    ],
}
WORDS = (
    *("digits", "cvae", "blend", "repeat", "small_cnn", "real", "balance", "ratio 1", "add 5", "level 3", "folds"),
    *("auroc", "accuracy", "auto", "native", "stretch", "shift", "window 40 400", "os:system", "law:Oracle", "x:y"),
    *("focal", "ldam_drw", "vgg16", "resnet18", "timm:x", "file:", "file:\0", "imagenet", "none", "head", "both"),
    *("chest", "more_steps_with_synthetic", "weights", "network", "synthetic", "published", "longer", "self", "grid"),
    *("generator_sees_test", "ratio nan", "ratio -1", "add 99999999999999999999", "join", "given", "a.b:c"),
    *ODD_PARTS[:30],
)


def scalars():
    numbers = st.integers(-3, 20) | st.sampled_from([2**31, 2**63 - 1, -(2**63)]) | st.floats() | st.floats(0, 1)
    return st.one_of(st.sampled_from(WORDS), st.text(max_size=5), st.booleans(), numbers, st.dates())


def values():
    keys = st.sampled_from([*WORDS, "name", "kind", "per_class", "steps", "r", "loss", "share", "weight", "augment"])
    inner = lambda value: st.lists(value, max_size=3) | st.dictionaries(keys, value, max_size=3)  # noqa: E731
    return st.recursive(scalars(), inner, max_leaves=5)


def places(table, at=()):
    """Yield the way to every value of a table, at any depth."""
    items = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in items:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


def changed(table, way, value, drop):
    """Return a copy with one value changed, added or dropped."""
    copied = dict(table) if isinstance(table, dict) else list(table)
    if len(way) == 1 and drop:
        del copied[way[0]]
    else:
        copied[way[0]] = value if len(way) == 1 else changed(copied[way[0]], way[1:], value, drop)
    return copied


@st.composite
def tables(draw):
    """Draw a study of which a few values were changed, dropped, renamed or added."""
    table = draw(st.sampled_from([FULL, SMALL, RICH]))
    for _ in range(draw(st.integers(1, 3))):
        ways = list(places(table))
        way = draw(st.sampled_from(ways))
        if draw(st.integers(0, 4)) == 0 and isinstance(way[-1], str):
            misspelt = draw(st.sampled_from([way[-1][:-1] or "x", way[-1] + "s", "seed", draw(st.text(max_size=4))]))
            way = (*way[:-1], misspelt)
        known = way in ways
        table = changed(table, way, draw(values()), drop=known and draw(st.integers(0, 4)) == 0)
    return table


def loaded(folder, text):
    """Load a study file; of one that is accepted, what is written is read as an equal one."""
    path = folder / "study.toml"
    path.write_bytes(text)
    result = attempt(lambda: load_study(path), folder)
    if isinstance(result, Study):
        assert isinstance(attempt(lambda: digest(result)), str)  # a name for the results, or a sentence
        path.write_text(dump_study(result), encoding="utf-8")
        again = attempt(lambda: load_study(path), folder)
        assert again == result, again
    return result


@cases(550)
@given(table=tables())
def test_any_value_in_any_place_is_taken_or_refused(table):
    with fresh() as folder:
        loaded(folder, tomli_w.dumps(table).encode("utf-8", "replace"))


@cases(125)
@given(data=st.data(), whole=st.sampled_from([FULL, SMALL, RICH]))
def test_a_damaged_file_is_taken_or_refused(data, whole):
    text = tomli_w.dumps(whole)
    at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 30))
    odd = data.draw(
        st.sampled_from(["", "\n", '"', "[", "]]", "=", "\x00", "é", "[data]\n", "'''", "a.b = 1\n", "{" * 500])
    )
    raw = data.draw(st.sampled_from([b"", b"\xff", b"\xef\xbb\xbf"]))
    with fresh() as folder:
        loaded(folder, raw + (text[:at] + odd + text[at + length :]).encode())


@cases(75)
@given(name=st.sampled_from([*WORDS, "", "steps", "hidden"]), value=st.text(max_size=8) | st.sampled_from(WORDS))
def test_any_assignment_of_the_command_line_is_read_or_refused(name, value):
    result = attempt(lambda: parse_assignment(f"{name}={value}"))
    assert isinstance(result, str) or result[0] == name.strip() or "=" in name
