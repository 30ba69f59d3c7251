import csv
import io
import json
import math
import re
from dataclasses import fields, replace

import pytest

from augury.audit import Controls
from augury.report import audit, fidelity, findings, sieve
from augury.report.page import render
from augury.report.pictures import picture
from augury.study import outcome_json
from augury.study.audit_outcome import Audited
from augury.study.exhibit import Closest
from augury.study.outcome import Curation
from augury.study.table import results_csv
from outcomes import DECISIONS, audited_galleries, audited_outcome, maker, outcome, pictures_of, words_of

CLASSES = ("benign", "malignant")
HOSTILE = ("<script>alert(1)</script>", "=cmd()<img src=x onerror=alert(1)>")
SECTIONS = ("audit", "fidelity", "filters")


def section(page, name):
    start = page.index(f'id="{name}"')
    return page[start : page.index("</section>", start)]


def with_makers(*makers, **changes):
    return audited_outcome(audited=Audited(makers, **changes))


@pytest.mark.parametrize(("state", "mark"), [("green", "✓ green"), ("red", "✗ red"), ("void", "? void")])
def test_a_decision_has_a_sign_a_word_and_its_sentence(state, mark):
    page = section(render(with_makers(maker("cvae", DECISIONS[state], CLASSES)), ()), "audit")
    assert f'">{mark}</span>' in page
    assert DECISIONS[state].sentence in words_of(page)
    assert page.count('class="state ') == 1


def test_every_number_of_the_audit_stands_beside_what_real_images_have():
    text = words_of(section(render(audited_outcome(), ()), "audit"))
    assert "measure pixels: drawn images to compare with efficientnet_lite0: drawn images to compare with" in text
    for measure, numbers in {
        "Copy rate ": "23.1 % (≥ 18.7 %) 1.2 %",
        "Copy rate, worst class": "31.0 % (malignant) 1.2 %",
        "Authenticity": "42.0 % 55.0 %",
        "Neighbour ratio": "11.0 % 1.2 %",
        "Closer to training": "64.0 % 50.0 %",
        "C_T": "-4.56 0.00",
        "Training groups copied": "8.3 % –",
        "Duplicates": "3.4 % 1.0 %",
        "Membership AUC": "0.712 (≥ 0.651) 0.500 – 0.500",
        "Members found": "4.3 % 1.0 % – –",
        "DOMIAS": "0.680 0.500 – 0.500",
    }.items():
        assert numbers in text[text.index(measure) :][:180], measure
    assert "Means over 5 splits, in each about 250 drawn and 80 held-out real images." in text


def test_green_is_never_called_private():
    text = words_of(section(render(audited_outcome(), ()), "audit"))
    assert audit.NOT_PRIVATE in text
    assert "privat" not in text.replace(audit.NOT_PRIVATE, "").lower()


def test_the_controls_are_told_once_and_a_failed_one_is_an_alarm():
    made = audited_outcome()
    good = section(render(made, ()), "audit")
    assert words_of(good).count(made.audited.controls.sentence) == 1
    assert "The audit is void" not in good
    failed = replace(made, audited=replace(made.audited, controls=Controls(0.4, 0.7)))
    bad = section(render(failed, ()), "audit")
    assert 'role="alert">Controls: copies of training images were NOT flagged' in bad
    assert "The audit is void." in bad


def test_what_is_known_of_a_generator_beforehand_is_said():
    plain = with_makers(maker("cvae", DECISIONS["green"], CLASSES))
    assert audit.NEAR_COPIES not in render(plain, ())
    told = maker("dagan", DECISIONS["green"], CLASSES, near_copies=True, unknown="dagan: its training set is unknown")
    page = render(with_makers(told), ())
    assert audit.NEAR_COPIES in words_of(page)
    assert '<p class="reasons" role="alert">dagan: its training set is unknown.</p>' in page


@pytest.mark.parametrize(("low", "told"), [(0.61, True), (0.49, False), (None, False)])
def test_a_green_audit_says_so_where_images_tell_what_was_trained_on(low, told):
    made = maker("cvae", DECISIONS["green"], CLASSES)
    level = None if low is None else 0.69
    spaces = tuple(replace(space, membership=level, membership_low=low) for space in made.copying)
    page = words_of(section(render(with_makers(replace(made, copying=spaces)), ()), "audit"))
    assert ("so tell which these were" in page) is told
    assert ("AUC 0.690, at least 0.610" in page) is told


def test_an_audit_without_a_result_is_no_green_one():
    page = section(render(with_makers(maker("cvae", None, CLASSES)), ()), "audit")
    assert "? none" in page
    assert f"cvae: {audit.NO_DECISION}" in page
    assert "green</span>" not in page


def test_the_closest_pairs_stand_in_their_order():
    made, shown = audited_outcome(), audited_galleries()
    page = section(render(made, shown), "audit")
    one, other = shown[1].closest
    expected = [[*item.drawn, *item.nearest] for pool in (one, other) for item in pool.classes]
    assert pictures_of(page) == [picture(image).uri for images in expected for image in images]
    assert "distance 0.050 0.110" in words_of(page)
    assert "held-out real image lies nearer than 0.071" in words_of(page)
    empty = replace(shown[1], closest=(Closest("cvae", math.nan, ()),))
    assert "nearest to training images</summary>" not in render(made, (empty,))


def test_without_real_images_no_pair_and_nothing_of_a_copier_is_left():
    made, shown = audited_outcome(), audited_galleries()
    page = render(made, shown, real_images=False)
    assert pictures_of(page) == []  # cvae is red: what it draws shows its training images
    assert sieve.HIDDEN in words_of(page)


def test_without_real_images_what_a_filter_called_a_copy_is_not_shown():
    made, shown = audited_outcome(), audited_galleries()
    green = replace(made, audited=replace(made.audited, makers=made.audited.makers[1:]))
    page = section(render(green, shown, real_images=False), "filters")
    allowed = [image for item in shown[1].sifted[0].classes for image in (*item.kept, item.dropped[0])]
    assert pictures_of(page) == [picture(image).uri for image in allowed]
    assert "Images that near_copy dropped are not shown" in page
    assert "are not shown" not in section(render(green, shown), "filters")


def test_near_copies_by_construction_are_hidden_with_real_images():
    near = with_makers(maker("cvae", DECISIONS["green"], CLASSES, near_copies=True))
    assert pictures_of(render(near, audited_galleries()[1:], real_images=False)) == []


def test_fidelity_stands_beside_what_real_images_have():
    text = words_of(section(render(audited_outcome(), ()), "fidelity"))
    assert "cvae 12.3 (p = 0.004) -0.400 3.21 0.080 0.71 0.64 0.97 12.3 0.93 0.51" in text
    assert "malignant 12.3 -0.400 3.21 0.080 0.71 0.12 0.97 – 0.93 0.51" in text
    assert "cvae 0.611 0.733 0.822 +0.047" in text
    assert "cvae: LPIPS, benign 0.310 0.420" in text
    assert "too small." in text
    assert fidelity.NO_VERDICT in text


def test_a_column_that_no_row_has_is_left_out():
    made = maker("cvae", None, CLASSES)
    rows = tuple(replace(row, frechet=None) for row in made.fidelity)
    assert "Fréchet" in [column.heading for column in fidelity.tables([made])[0].columns]
    (table,) = fidelity.tables([replace(made, fidelity=rows)])
    assert "Fréchet" not in [column.heading for column in table.columns]
    assert [len(row.cells) for row in table.rows] == [len(table.columns)]


def test_whether_fidelity_foretold_usefulness_is_told_or_said_to_be_unknown():
    made = audited_outcome()
    text = words_of(section(render(made, ()), "fidelity"))
    assert "KID (judge) +0.800 0.333 4 TSTR – – 4" in text
    assert fidelity.CAUTION in text
    assert fidelity.TOO_FEW not in text
    few = words_of(render(replace(made, audited=replace(made.audited, predicted=())), ()))
    assert fidelity.TOO_FEW in few
    assert fidelity.CAUTION in few


def test_what_filters_left_is_told_by_class():
    page = section(render(audited_outcome(), audited_galleries()), "filters")
    text = words_of(page)
    assert "benign 750 600 80 % 120 30 malignant 750 600 80 % 120 30 all classes 1,500 1,200 80 % 240 60" in text
    assert "1,050 of the 1,500 images wanted over all splits were there, 450 fewer" in text
    assert "All 9 images wanted over all splits were there." in text
    assert "dropped by agreement near_copy" in text
    shown = audited_galleries()[1].sifted[0].classes
    expected = [image for item in shown for image in (*item.kept, *item.dropped)]
    assert pictures_of(page) == [picture(image).uri for image in expected]


def test_the_same_examples_are_shown_once():
    made = audited_outcome()
    twice = replace(made.curations[0], arm="cvae, sifted · ratio 2", reasons={"near_copy (drops 0.1)": (750, 0)})
    page = section(render(replace(made, curations=(made.curations[0], twice)), audited_galleries()), "filters")
    assert "Examples stand with cvae, sifted · ratio 1, whose images and filters are the same." in page
    assert len(pictures_of(page)) == 8


def test_classes_without_a_drawn_image_are_left_out():
    bare = Curation("a", "near_copy", CLASSES, (0, 9), (0, 0), {"near_copy": (0, 9)}, 5, 0)
    (found,) = sieve.sieves(replace(outcome(), curations=(bare,)), (), frozenset(), real_images=True)
    assert [(row.name, row.part) for row in found.classes] == [("malignant", 0.0)]
    assert found.total == sieve.Share("", 9, 0, (9,))


def test_withheld_arms_have_a_footnote_and_stand_in_the_summary():
    made = audited_outcome()
    text = words_of(render(made, ()))
    assert "cvae · balance generated withheld (1)" in text
    assert f"Withheld (1): {DECISIONS['red'].sentence}" in text
    said = findings.withheld(made.arms)
    assert said.startswith("4 of 6 arms with generated images are withheld: cvae · ratio 0.5, cvae · balance")
    assert text.index("HELPS") < text.index(said) < text.index("What was compared")
    one = [replace(arm, withheld="") for arm in made.arms[:5]] + [made.arms[5]]
    assert findings.withheld(one) == (
        "1 of 2 arms with generated images is withheld: cvae · balance. It takes no part in the choice and in the "
        "verdict."
    )


def test_a_persons_choice_is_a_sensitivity_row():
    text = words_of(render(audited_outcome(), ()))
    assert "cvae, picked · ratio 1 generated sensitivity row picked by a person" in text
    assert "another budget, or images that a person picked: it is shown" in text
    assert "picked" not in words_of(render(outcome(), ()))


def test_doses_are_read_beside_their_chart():
    made = audited_outcome()
    text = words_of(section(render(made, ()), "amounts"))
    readings = {reading.arm: reading.sentence for reading in made.doses}
    assert "How many cvae withheld cvae , 95 % interval" in text
    assert text.count(readings["cvae"]) == 1
    assert readings["cvae, sifted"] in text
    assert "within one standard error of the best (" not in text


def test_studies_without_any_of_it_look_as_before():
    page = render(outcome(), ())
    assert [name for name in SECTIONS if f'"{name}"' in page or f'"#{name}"' in page] == []
    assert '<h2 id="amounts">Amounts</h2>' in page
    assert "withheld (" not in page
    assert findings.withheld(outcome().arms) == ""


def undefined(row):
    """Return a row whose every number is undefined."""
    numbers = [f.name for f in fields(row) if isinstance(getattr(row, f.name), float)]
    return replace(row, **dict.fromkeys(numbers, math.nan))


def test_undefined_numbers_are_dashes_and_null():
    made = maker("cvae", DECISIONS["void"], CLASSES, tstr=math.nan, gain=math.nan)
    copying = tuple(replace(undefined(row), worst_class=("benign", math.nan)) for row in made.copying)
    rows = tuple(undefined(row) for row in made.fidelity)
    lost = with_makers(replace(made, copying=copying, fidelity=rows), controls=Controls(math.nan, math.nan))
    page = section(render(lost, ()), "fidelity") + section(render(lost, ()), "audit")
    text = words_of(page).replace(lost.audited.controls.sentence, "")
    assert not re.search(r"nan\b", re.sub("malignant", "", text))
    written = json.dumps(outcome_json(lost), allow_nan=False)
    assert json.loads(written)["audited"]["makers"][0]["fidelity"][0]["kid"] is None
    assert json.loads(written)["audited"]["controls"]["copycat"] is None


def test_hostile_names_stay_text():
    made = audited_outcome(HOSTILE)
    rules = replace(made.curations[0], arm=f"{HOSTILE[1]} · x", rules=HOSTILE[0])
    unknown = tuple(replace(one, maker=HOSTILE[1], unknown=HOSTILE[0]) for one in made.audited.makers)
    reason = [replace(arm, withheld=f"{HOSTILE[0]}") for arm in made.arms]
    hostile = replace(
        made, arms=tuple(reason), curations=(rules,), audited=replace(made.audited, makers=unknown, predicted=())
    )
    page = render(hostile, audited_galleries(HOSTILE))
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in section(page, "audit")
    assert "&lt;img src=x" in section(page, "fidelity")


def test_the_table_of_results_says_why_an_arm_is_withheld():
    made = audited_outcome()
    rows = list(csv.DictReader(io.StringIO(results_csv(replace(made, arms=(*made.arms, made.arms[0]))))))
    assert {row["arm"] for row in rows if row["withheld"]} == {arm.arm for arm in made.arms if arm.withheld}
    formula = replace(made.arms[0], withheld="=cmd()")
    assert next(csv.DictReader(io.StringIO(results_csv(replace(made, arms=(formula,))))))["withheld"] == "'=cmd()"
