from dataclasses import replace

import pytest

from augury.errors import DataError, SettingsError
from augury.statistics import Bootstrap, nadeau_bengio
from augury.verdict import ABSENCE, NO_SPREAD, Evidence, Kind, decide

SPREAD = (0.002, -0.002, 0.001, -0.001, 0.0) * 5  # mean 0, sd about .0014


def evidence(shift=0.0, scale=1.0, **changes):
    differences = tuple(shift + scale * value for value in SPREAD)
    return replace(Evidence("AUROC", differences, ratio=0.25, rope=0.01, groups=120), **changes)


def external(mean, low, high, left, inside, right, **changes):
    return evidence(differences=(), external=Bootstrap(mean, low, high, inside, right, left, 2000), **changes)


CASES = {
    "far above": (evidence(0.05), Kind.HELPS),
    "far below": (evidence(-0.05), Kind.HARMS),
    "tight around zero": (evidence(0.0), Kind.NO_PRACTICAL_DIFFERENCE),
    "tight, above zero, inside the region": (evidence(0.005), Kind.NO_PRACTICAL_DIFFERENCE),
    "above zero, not surely beyond the region": (evidence(0.011), Kind.SUGGESTIVE),
    "below zero, not surely beyond the region": (evidence(-0.011), Kind.SUGGESTIVE),
    "wide": (evidence(0.005, scale=20), Kind.INCONCLUSIVE),
    "no region, above": (evidence(0.05, rope=0.0), Kind.HELPS),
    "no region, around zero": (evidence(0.0, rope=0.0), Kind.INCONCLUSIVE),
    "the same difference everywhere": (evidence(0.05, scale=0), Kind.HELPS),
    "zero everywhere": (evidence(0.0, scale=0), Kind.INCONCLUSIVE),
    "same predictions": (evidence(0.05, same_predictions=True), Kind.INCONCLUSIVE),
    "quick": (evidence(0.05, exploratory=("one repeat",)), Kind.EXPLORATORY),
    "flaw": (evidence(0.05, withheld=("leak",)), Kind.WITHHELD),
    "flaw beats all": (evidence(0, 0, withheld=("a",), exploratory=("b",), same_predictions=True), Kind.WITHHELD),
    "exploratory beats sameness": (evidence(0, scale=0, exploratory=("one repeat",)), Kind.EXPLORATORY),
    "given test part, above": (external(0.05, 0.03, 0.07, 0, 0, 1), Kind.SUGGESTIVE),
    "given test part, below": (external(-0.05, -0.07, -0.03, 1, 0, 0), Kind.SUGGESTIVE),
    "given test part, inside": (external(0.001, -0.004, 0.006, 0, 0.99, 0.01), Kind.NO_PRACTICAL_DIFFERENCE),
    "given test part, wide": (external(0.02, -0.03, 0.07, 0.1, 0.3, 0.6), Kind.INCONCLUSIVE),
    "given test part, nothing": (external(0.0, 0.0, 0.0, 0, 1, 0), Kind.INCONCLUSIVE),
    "given test part, quick": (external(0.05, 0.03, 0.07, 0, 0, 1, exploratory=("few",)), Kind.EXPLORATORY),
    "given test part, flaw": (external(0.05, 0.03, 0.07, 0, 0, 1, withheld=("leak",)), Kind.WITHHELD),
}


@pytest.mark.parametrize(("case", "kind"), CASES.values(), ids=CASES.keys())
def test_each_case_has_its_verdict(case, kind):
    verdict = decide(case)
    assert verdict.kind is kind
    assert verdict.sentence.startswith(f"{kind}: ")


@pytest.mark.parametrize(("case", "kind"), CASES.values(), ids=CASES.keys())
def test_each_headline_is_one_sentence_that_names_both_arms_and_its_scope(case, kind):
    sentence = decide(case).sentence
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "the best arm with generated images" in sentence
    assert "the best arm without them" in sentence
    assert sentence.endswith("on this test set.") == (case.external is not None)


ARMS = "the best arm with generated images", "the best arm without them"


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("far above", "HELPS: {0} scores +0.050 AUROC above {1} (95 % interval +0.048 to +0.052)."),
        ("far below", "HARMS: {0} scores below {1}, -0.050 AUROC (95 % interval -0.052 to -0.048)."),
        (
            "above zero, not surely beyond the region",
            "SUGGESTIVE: {0} scores +0.011 AUROC above {1} (95 % interval +0.009 to +0.013).",
        ),
        (
            "below zero, not surely beyond the region",
            "SUGGESTIVE: {0} scores below {1}, -0.011 AUROC (95 % interval -0.013 to -0.009).",
        ),
        (
            "tight around zero",
            "NO PRACTICAL DIFFERENCE: {0} differs from {1} by +0.000 AUROC, inside ±0.010 "
            "(95 % interval -0.002 to +0.002).",
        ),
        ("wide", "INCONCLUSIVE: {0} differs from {1} by +0.005 AUROC (95 % interval -0.027 to +0.037)."),
        (
            "quick",
            "EXPLORATORY: as an estimate only, {0} differs from {1} by +0.050 AUROC (95 % interval +0.048 to +0.052).",
        ),
        ("flaw", "WITHHELD: the reasons listed rule out a verdict on {0} against {1}."),
        ("same predictions", "INCONCLUSIVE: {0} and {1} made the same predictions in every split."),
        ("zero everywhere", "INCONCLUSIVE: {0} and {1} score the same AUROC in every split."),
        (
            "given test part, below",
            "SUGGESTIVE: {0} scores below {1}, -0.050 AUROC (95 % interval -0.070 to -0.030) on this test set.",
        ),
    ],
)
def test_sentences_are_fixed(case, sentence):
    assert decide(CASES[case][0]).sentence == sentence.format(*ARMS)


@pytest.mark.parametrize(
    ("right", "low", "kind"),
    [
        (0.95, 0.001, Kind.SUGGESTIVE),
        (0.95, 0.0, Kind.INCONCLUSIVE),
        (0.0, 0.0, Kind.NO_PRACTICAL_DIFFERENCE),
        (0.05, 0.001, Kind.NO_PRACTICAL_DIFFERENCE),
        (0.051, 0.001, Kind.SUGGESTIVE),
    ],
)
def test_bounds_of_a_given_test_part(right, low, kind):
    assert decide(external(0.02, low, 0.04, 0, 1 - right, right)).kind is kind


def test_helps_begins_where_the_region_is_left_with_95_percent():
    shift = 0.0112
    posterior = decide(evidence(shift)).posterior
    assert 0.8 < posterior.right < 0.95
    while decide(evidence(shift)).posterior.right < 0.95:
        assert decide(evidence(shift)).kind is Kind.SUGGESTIVE
        assert decide(evidence(-shift)).kind is Kind.SUGGESTIVE
        shift += 0.00005
    assert decide(evidence(shift)).kind is Kind.HELPS
    assert decide(evidence(-shift)).kind is Kind.HARMS


def test_a_gain_beyond_the_region_by_chance_is_inconclusive_where_the_interval_holds_zero():
    # Without a region, P(right) reaches .95 before the two-sided interval leaves 0.
    scale = nadeau_bengio(SPREAD, 0.25).se
    verdict = decide(evidence(1.9 * scale, rope=0.0))
    assert verdict.posterior.right > 0.95
    assert verdict.kind is Kind.INCONCLUSIVE


def test_numbers_are_those_of_the_interval():
    case = evidence(0.005, scale=20)
    verdict, interval = decide(case), nadeau_bengio(case.differences, 0.25)
    assert (verdict.estimate, verdict.low, verdict.high) == (interval.mean, interval.low, interval.high)
    assert verdict.minimum_detectable == pytest.approx(1.573 * interval.sd, rel=1e-3)
    assert verdict.groups_needed == pytest.approx(120 * ((interval.high - interval.low) / 2 / 0.01) ** 2, abs=1)
    assert sum(vars(verdict.posterior).values()) == pytest.approx(1)


def test_inconclusive_says_what_it_could_have_seen():
    verdict = decide(evidence(0.005, scale=20))
    spread, power, needed, absence = verdict.details
    assert spread.startswith("Probability of a difference below -0.010: 0.1")
    assert f"from -0.010 to +0.010: {verdict.posterior.inside:.3f}" in spread
    assert spread.endswith(f"above +0.010: {verdict.posterior.right:.3f}.")
    assert power == f"This study could detect a difference of {verdict.minimum_detectable:.3f} or more with 80 % power."
    assert needed.startswith(
        f"About {verdict.groups_needed} groups would be needed for an interval of half-width 0.010"
    )
    assert needed.endswith("this study has 120.")
    assert absence == ABSENCE


@pytest.mark.parametrize(("case", "kind"), CASES.values(), ids=CASES.keys())
def test_absence_of_evidence_is_named_where_nothing_was_found(case, kind):
    assert (ABSENCE in decide(case).details) == (kind is Kind.INCONCLUSIVE)


def test_reasons_are_listed():
    withheld = decide(evidence(0.05, withheld=("a leak", "a failed gate"), exploratory=("one repeat",))).details
    assert withheld[:2] == ("Withheld because: a leak.", "Withheld because: a failed gate.")
    same = decide(evidence(0, 0, withheld=("a leak",), same_predictions=True)).details
    assert same[:2] == ("Withheld because: a leak.", NO_SPREAD)
    assert withheld[2].startswith("The measured difference is +0.050 AUROC (95 % interval +0.048 to +0.052); it is not")
    exploratory = decide(evidence(0.05, exploratory=("one repeat",)))
    assert exploratory.details[0] == "Exploratory because: one repeat."
    assert exploratory.reasons == exploratory.details[:1]
    assert decide(evidence(0.05)).reasons == ()
    both = decide(evidence(0.05, withheld=("a leak",), exploratory=("one repeat",)))
    assert both.reasons == ("Withheld because: a leak.",)


def test_suggestive_says_why_it_is_no_more():
    assert decide(evidence(0.011)).details[0].endswith("a difference beyond 0.010 has a probability below 0.95.")
    details = decide(CASES["given test part, above"][0]).details
    assert details[0] == "A single given test part supports no more than SUGGESTIVE."
    assert details[1].startswith("Share of resamples with a difference below -0.010: 0.000")


@pytest.mark.parametrize("name", ["given test part, wide", "zero everywhere", "the same difference everywhere"])
def test_power_is_left_out_where_it_is_not_defined(name):
    verdict = decide(CASES[name][0])
    assert (verdict.minimum_detectable, verdict.groups_needed) == (0, 0)
    assert not any("power" in line or "groups" in line for line in verdict.details)


def test_without_a_region_no_number_of_groups_is_named():
    verdict = decide(evidence(0.0, rope=0.0))
    assert verdict.minimum_detectable > 0
    assert verdict.groups_needed == 0


def test_a_difference_that_rounds_to_zero_has_no_minus():
    assert "by +0.000 AUROC" in decide(evidence(-0.0001)).sentence


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"differences": (0.1,)}, SettingsError),
        ({"rope": -0.01}, SettingsError),
        ({"groups": 0}, SettingsError),
        ({"differences": (0.1, float("nan"))}, DataError),
    ],
)
def test_evidence_that_cannot_be_judged_is_refused(changes, error):
    with pytest.raises(error):
        decide(evidence(0.05, **changes))
