import pytest

from augury.errors import SettingsError
from augury.policies import POLICIES, Add, Balance, Level, Nothing, Ratio, policy_from

CLASSES = ("nevus", "melanoma", "other")
REAL = (90, 10, 0)


@pytest.mark.parametrize(
    ("policy", "counts"),
    [
        (Nothing(), (0, 0, 0)),
        (Add(n=150), (150, 150, 150)),
        (Add(n=0), (0, 0, 0)),
        (Balance(), (0, 80, 90)),
        (Level(n=50), (0, 40, 50)),
        (Level(n=100), (10, 90, 100)),
        (Ratio(r=2.0), (180, 20, 0)),
        (Ratio(r=0.25), (22, 2, 0)),
        (Ratio(r=0), (0, 0, 0)),
    ],
)
def test_each_policy_gives_its_counts(policy, counts):
    assert policy.counts(REAL, CLASSES) == counts
    assert all(type(count) is int for count in policy.counts(REAL, CLASSES))


def test_named_classes_have_their_own_number_whatever_the_policy_says():
    policy = Balance(per_class={"nevus": 7, "other": 0})
    assert policy.counts(REAL, CLASSES) == (7, 80, 0)
    assert policy == Balance(per_class=(("nevus", 7), ("other", 0)))
    assert hash(policy) == hash(Balance(per_class={"other": 0, "nevus": 7}))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"nevi": 3}, "per_class names the class 'nevi': did you mean 'nevus'?"),
        ({"nevus": -1}, "per_class of 'nevus' must be 0 or more. Got -1."),
    ],
)
def test_overrides_that_cannot_be_meant_are_refused(overrides, sentence):
    with pytest.raises(SettingsError) as caught:
        Balance(per_class=overrides).counts(REAL, CLASSES)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("none", Nothing()),
        ("balance", Balance()),
        ("add 150", Add(n=150)),
        ("level 50", Level(n=50)),
        ("ratio 0.5", Ratio(r=0.5)),
        ("ratio 2", Ratio(r=2.0)),
        ("  ratio   1e-2 ", Ratio(r=0.01)),
        ({"kind": "add", "n": 3}, Add(n=3)),
        ({"kind": "level", "n": 3, "per_class": {"nevus": 1}}, Level(n=3, per_class={"nevus": 1})),
        (Add(n=4), Add(n=4)),
    ],
)
def test_a_policy_is_read_as_it_is_written(written, policy):
    assert policy_from(written) == policy


@pytest.mark.parametrize("policy", [Nothing(), Balance(), Add(n=150), Level(n=3), Ratio(r=0.5), Ratio(r=2.0)])
def test_a_label_is_how_a_policy_is_written(policy):
    assert policy_from(policy.label) == policy


@pytest.mark.parametrize(
    ("policy", "label"),
    [
        (Ratio(r=1.0, per_class={"nevus": 1}), "ratio 1, 1 of nevus"),
        (Ratio(r=2.0, per_class={"nevus": 0, "wart": 0}), "ratio 2, not nevus, wart"),
        (Balance(per_class={"nevus": 0, "wart": 7}), "balance, 7 of wart, not nevus"),
        (Nothing(per_class={"nevus": 128, "wart": 128}), "128 of nevus, wart"),
        (Nothing(per_class={"nevus": 0}), "none"),
        (Nothing(), "none"),
    ],
)
def test_a_label_names_the_classes_that_get_another_number(policy, label):
    assert policy.label == label


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("balence", "there is no policy 'balence': did you mean 'balance'?"),
        ("", "there is no policy ''. Expected one of: none, add, balance, level, ratio."),
        ({"n": 3}, "there is no policy ''. Expected one of: none, add, balance, level, ratio."),
        ("add", "the policy 'add' is written 'add n'. Got 'add'."),
        ("balance 3", "the policy 'balance' is written 'balance'. Got 'balance 3'."),
        ("add 1 2", "the policy 'add' is written 'add n'. Got 'add 1 2'."),
        ("add many", "a number was expected in a policy. Got 'many'."),
        ("add 1.5", "n of add: expected a valid integer. Got 1.5."),
        ("add -1", "n of add: expected greater than or equal to 0. Got -1."),
        ("level 0", "n of level: expected greater than or equal to 1. Got 0."),
        ("ratio -1", "r of ratio: expected greater than or equal to 0. Got -1."),
        ("ratio 1e999", "r of ratio: expected less than or equal to 1000. Got inf."),
        ({"kind": "add", "m": 3}, "add has no setting 'm'. Expected one of: per_class, n."),
        ({"kind": "add"}, "add needs the setting 'n'."),
    ],
)
def test_a_policy_that_cannot_be_meant_is_a_sentence(written, sentence):
    with pytest.raises(SettingsError) as caught:
        policy_from(written)
    assert str(caught.value) == sentence


def test_the_table_names_each_policy_by_its_kind():
    assert all(policy.kind == kind for kind, policy in POLICIES.items())
