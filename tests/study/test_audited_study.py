"""Studies whose generators are audited: a copier, an honest one, and the controls."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from augury import study
from augury.audit import Controls, Copying, Decision
from augury.filters import NearCopy
from augury.generators import Repeat
from augury.metrics.classification import METRICS
from augury.policies import Ratio
from augury.splits import SplitPlan
from augury.study import Arm, Audit
from augury.study.audit_outcome import Audited, AuditedMaker
from augury.study.audit_results import UNDONE, judged, predicted
from augury.study.audit_steps import AuditControls, AuditCopying, MeasureFidelity
from augury.study.grid import arm_plans
from augury.study.outcome import Gate
from augury.study.steps import DrawImages, FitGenerator
from augury.study.store import FolderStore, MemoryStore
from augury.study.table import results_csv
from augury.verdict import Kind
from law import BALANCED, Oracle, SecondRepeat, arm, draw_images, toy_study, write

SPLITS = 2
PLAN = SplitPlan(folds=SPLITS, repeats=1)
COPYING = Audit(fidelity=False)
STEPS = (AuditCopying, AuditControls, MeasureFidelity)
CLEANED = Arm(name="cleaned", generator="second_repeat", amounts=(Ratio(r=1.0),), filters=(NearCopy(),))
ARMS = (BALANCED, arm("oracle", 1), arm("second_repeat", 1), arm("second_repeat", 0.5, name="few"), CLEANED)
HONEST, COPIES, FEW = "oracle · ratio 1", "second_repeat · ratio 1", "few · ratio 0.5"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(draw_images(60, seed=0), tmp_path_factory.mktemp("images") / "images.npz")


@pytest.fixture(scope="module")
def plan(source):
    return toy_study(source, [Oracle(), SecondRepeat()], ARMS, split=PLAN, audit=Audit(images=60))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("audited") / "store"


@pytest.fixture(scope="module")
def finished(plan, home):
    return study.run(plan, home)


def made_by(finished, name):
    return next(maker for maker in finished.outcome.audited.makers if maker.maker == name)


def gate(finished, name):
    return next(gate for gate in finished.outcome.gates if gate.name == name)


# ---- a copier and an honest generator


def test_a_copier_is_red_and_an_honest_generator_is_green(finished):
    assert made_by(finished, "second_repeat").decision.state == "red"
    assert made_by(finished, "oracle").decision.state == "green"
    assert finished.outcome.audited.controls.passed
    assert finished.outcome.failures == ()


def test_the_copiers_arms_are_withheld_and_those_of_others_are_not(finished):
    withheld = {row.arm: row.withheld for row in finished.outcome.arms if row.withheld}
    assert withheld.keys() == {COPIES, FEW}
    assert all(text.startswith("second_repeat: copies training images (in pixels: ") for text in withheld.values())
    assert not {arm.name for arm in finished.block("discriminant").rivals} & {COPIES, FEW}
    assert not finished.outcome.contrasts[0].using.keys() & {COPIES, FEW}
    assert finished.outcome.verdict.kind is not Kind.WITHHELD
    assert all(row.splits == SPLITS for row in finished.outcome.arms)  # they are shown all the same
    assert sum(row.chosen for row in finished.outcome.arms if row.withheld) == 0


def test_what_was_found_is_a_gate_and_a_note(finished):
    red, green = gate(finished, "copying audit: second_repeat"), gate(finished, "copying audit: oracle")
    assert red.passed is None
    assert red.text.endswith("Its arms take no part in the verdict")
    assert green.passed is True
    assert "no copying detected at a detection limit of" in green.text
    notes = [note for note in finished.outcome.notes if "copies training images" in note]
    assert notes == [made_by(finished, "second_repeat").decision.sentence]


def test_what_filters_leave_nothing_of_is_not_audited_and_no_failure(finished):
    assert [maker.maker for maker in finished.outcome.audited.makers] == ["oracle", "second_repeat"]
    planned = {planned.maker for planned in finished.laid.audits.makers}
    assert planned == {"oracle", "second_repeat", "second_repeat, near_copy"}
    row = next(row for row in finished.outcome.arms if row.arm == "cleaned · ratio 1")
    assert (row.added, row.withheld, row.splits) == (0, "", SPLITS)


def test_a_generator_is_audited_once_for_all_its_arms(finished):
    assert made_by(finished, "second_repeat").arms == (COPIES, FEW)
    assert made_by(finished, "second_repeat").splits == SPLITS
    audits = Counter(type(step) for step in finished.ran.made if isinstance(step, STEPS))
    assert audits == {AuditCopying: 3 * SPLITS, MeasureFidelity: 3 * SPLITS, AuditControls: SPLITS}
    fits = {step for step in finished.ran.made if isinstance(step, FitGenerator)}
    assert len(fits) == 2 * SPLITS  # nothing is fitted for an audit


def test_an_audit_looks_at_as_many_images_as_there_are_real_ones_and_no_more_than_asked(finished):
    for planned in finished.laid.audits.makers:
        found = finished.laid.store.get(planned.copying)
        train = finished.laid.images.take(planned.split.train)
        held_out = len(planned.split.val) + len(planned.split.test)
        for row in found.spaces:
            assert row.held_out == held_out
            assert row.drawn >= sum(min(60, count) for count in train.counts())
            assert (row.rate == 1.0) == (planned.maker == "second_repeat")


# ---- fidelity


def test_fidelity_is_measured_in_the_judges_features_on_the_test_part(finished):
    for maker in finished.outcome.audited.makers:
        assert {row.space for row in maker.fidelity} == {"judge"}
        assert [row.name for row in maker.fidelity] == ["", "a", "b"]
        assert all(row.real <= 60 for row in maker.fidelity)
    assert abs(made_by(finished, "oracle").fidelity[0].kid) < 3 * abs(made_by(finished, "oracle").fidelity[0].kid_floor)


def test_what_was_trained_on_drawn_images_only_is_scored_on_real_ones(finished):
    store, labels = finished.laid.store, finished.laid.images.labels.numpy()
    for maker in ("oracle", "second_repeat"):
        rows = [row for row in finished.laid.audits.makers if row.maker == maker]
        exposures = [store.get(row.tstr.fit).trained.exposure for row in rows]
        assert {(one.share, one.real_exposures) for one in exposures} == {(1.0, 0)}
        balanced = METRICS["balanced_accuracy"].function
        scores = [balanced(labels[list(row.split.test)], store.get(row.tstr)) for row in rows]
        assert made_by(finished, maker).tstr == pytest.approx(np.mean(scores))
    assert made_by(finished, "second_repeat").trts > 0.95  # the judge has seen these very images
    assert made_by(finished, "second_repeat").real == made_by(finished, "oracle").real


def test_usefulness_stands_beside_it(finished):
    means = {row.arm: row.difference.mean for row in finished.outcome.arms if row.difference}
    assert made_by(finished, "oracle").gain == pytest.approx(means[HONEST])
    assert made_by(finished, "second_repeat").gain == pytest.approx(max(means[COPIES], means[FEW]))
    assert finished.outcome.audited.predicted == ()  # two generators tell nothing


# ---- done again


def test_what_was_audited_is_found_again(finished, plan, home):
    again = study.run(plan, home)
    assert again.ran.made == ()
    assert results_csv(again.outcome) == results_csv(finished.outcome)
    assert repr(again.outcome.audited) == repr(finished.outcome.audited)
    record = json.loads(json.dumps(study.outcome_json(again.outcome)))
    assert [maker["maker"] for maker in record["audited"]["makers"]] == ["oracle", "second_repeat"]


def test_an_audit_that_is_lost_is_made_again_and_comes_to_the_same_end(finished, plan, home):
    store = FolderStore(home)
    for step in finished.laid.audits.makers[0].steps[:2]:
        store.discard(store.folder(step))
    again = study.run(plan, home)
    assert {type(step) for step in again.ran.made} == {AuditCopying, MeasureFidelity}
    assert repr(again.outcome.audited) == repr(finished.outcome.audited)


def test_an_audit_that_is_not_done_yet_is_a_check_without_an_answer(finished, plan, home, tmp_path):
    shutil.copytree(home, tmp_path / "store")
    store = FolderStore(tmp_path / "store")
    for planned in finished.laid.audits.makers:
        if planned.maker == "oracle":
            store.discard(store.folder(planned.copying))
    undone = study.collect(plan, tmp_path / "store")
    assert undone.outcome.audited.pending == ("oracle",)
    assert gate(undone, "copying audit: oracle") == Gate("copying audit: oracle", None, UNDONE)
    assert finished.outcome.audited.pending == ()


# ---- where it leads


def test_where_the_only_generator_copies_the_verdict_is_withheld(source):
    finished = study.run(toy_study(source, [SecondRepeat()], [arm("second_repeat", 1)], split=PLAN, audit=COPYING))
    assert finished.outcome.verdict.kind is Kind.WITHHELD
    said = " ".join((finished.outcome.verdict.sentence, *finished.outcome.verdict.details))
    assert "second_repeat: copies training images" in said
    assert gate(finished, "copying audit: second_repeat").passed is False
    assert [row.withheld for row in finished.outcome.arms] == ["", ""]
    assert made_by(finished, "second_repeat").fidelity == ()
    assert made_by(finished, "second_repeat").tstr is None


def planned_steps(plan):
    laid = study.lay_out(plan, MemoryStore())
    return laid, [step for step in laid.plan().steps if isinstance(step, STEPS)]


def test_a_study_without_audits_has_no_step_of_them(plan):
    laid, steps = planned_steps(plan.replace(audit=Audit(copying=False, fidelity=False)))
    assert steps == []
    assert laid.audits.steps == ()


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [({"fidelity": False}, {AuditCopying, AuditControls}), ({"copying": False}, {MeasureFidelity})],
)
def test_each_audit_can_be_left_out(plan, wanted, kinds):
    assert {type(step) for step in planned_steps(plan.replace(audit=Audit(**wanted)))[1]} == kinds


def test_the_first_repeat_is_audited_and_every_image_is_held_out_once(plan):
    laid, steps = planned_steps(plan.replace(split=SplitPlan(folds=3, repeats=3, inner_folds=2)))
    assert {(row.split.repeat, row.split.inner) for row in laid.audits.makers} == {(0, 0)}
    tested = [i for row in laid.audits.makers if row.maker == "oracle" for i in row.split.test]
    assert sorted(tested) == list(range(len(laid.images)))
    assert len([step for step in steps if isinstance(step, AuditControls)]) == 3


def test_what_is_no_news_is_not_audited(source):
    blank = toy_study(source, [Repeat()], [BALANCED, arm("repeat", 1)], split=PLAN, audit=Audit())
    assert planned_steps(blank)[1] == []


def test_an_audit_changes_no_key_of_the_cells(plan):
    bare = plan.replace(audit=Audit(copying=False, fidelity=False))
    with_it, without = (planned_steps(each)[0] for each in (plan, bare))
    assert [cell.fit.key for cell in with_it.cells] == [cell.fit.key for cell in without.cells]
    drawn = [{s.key for s in laid.plan().steps if isinstance(s, DrawImages)} for laid in (with_it, without)]
    assert drawn[0] >= drawn[1]


def test_filters_with_other_settings_are_audited_apart(source):
    sieves = [CLEANED.replace(name="one"), CLEANED.replace(name="other", filters=(NearCopy(drops=0.5),))]
    laid = planned_steps(toy_study(source, [SecondRepeat()], sieves, split=PLAN, audit=COPYING))[0]
    makers = {row.maker: row for row in laid.audits.makers}
    assert makers.keys() == {"second_repeat, near_copy", "second_repeat, near_copy (drops 0.5)"}
    assert len({row.copying.key for row in makers.values()}) == 2
    assert [row.arms for row in makers.values()] == [("one · ratio 1",), ("other · ratio 1",)]


# ---- from decisions to arms


def decision(state, name="oracle"):
    return Decision(name, state, 0.01, "pixels", 9, 4.0, 0.05, 3)


def maker(name, arms, state=None, **changes):
    blank = AuditedMaker(name, name, False, arms, 3, state and decision(state, name), (), (), None, None, None, None)
    return replace(blank, **changes)


@pytest.mark.parametrize(
    ("states", "withheld", "passed"),
    [
        (("green", "green"), set(), [True, True]),
        (("green", "red"), {COPIES, FEW}, [True, None]),
        (("red", "red"), set(), [False, False]),  # nothing would be left: the verdict is
    ],
)
def test_arms_are_withheld_while_others_are_left(plan, states, withheld, passed):
    arms = plan.replace(arms=plan.arms[:-1])
    makers = (maker("oracle", (HONEST,), states[0]), maker("second_repeat", (COPIES, FEW), states[1]))
    reasons, gates = judged(Audited(makers, Controls(0.001, 0.5)), arm_plans(arms))
    assert reasons.keys() == withheld
    assert [gate.passed for gate in gates] == passed
    assert all(("No arm with generated images is left" in gate.text) == (gate.passed is False) for gate in gates)


def test_a_void_audit_withholds_nothing_and_says_so(plan):
    makers = (maker("oracle", (HONEST,), "void"), maker("second_repeat", (COPIES, FEW), "void"))
    reasons, gates = judged(Audited(makers, Controls(0.5, 0.5)), arm_plans(plan))
    assert reasons == {}
    (only,) = gates
    assert (only.name, only.passed) == ("copying audit", None)
    assert only.text.startswith("void: copies of training images were NOT flagged")


def test_without_an_audit_there_is_nothing_to_check(plan):
    assert judged(Audited((maker("oracle", (HONEST,)),)), arm_plans(plan)) == ({}, ())


# ---- did fidelity foretell usefulness?


def measured(fidelity_row, gains, tstr):
    rows = zip(gains, tstr, strict=True)
    return tuple(
        maker(
            f"g{i}",
            (),
            gain=gain,
            tstr=score,
            fidelity=(replace(fidelity_row, kid=-gain, cmmd=gain, density=1.0, coverage=gain**3, name=""),),
        )
        for i, (gain, score) in enumerate(rows)
    )


def test_ranks_of_fidelity_and_usefulness_are_compared(finished):
    row = made_by(finished, "oracle").fidelity[0]
    gains, scores = [0.1, 0.3, 0.2, 0.5, 0.4], [0.6, 0.7, 0.5, 0.8, 0.9]
    found = {one.measure: one for one in predicted(measured(row, gains, scores))}
    assert found["KID (judge)"].rho == pytest.approx(1.0)  # smaller is better
    assert found["CMMD (judge)"].rho == pytest.approx(-1.0)
    assert found["coverage (judge)"].rho == pytest.approx(1.0)
    assert found["TSTR"].rho == pytest.approx(0.8)  # 1 - 6 * sum(d^2) / (n (n^2 - 1)) with sum(d^2) = 4
    assert np.isnan(found["density (judge)"].rho)  # all alike
    assert found["KID (judge)"].p == pytest.approx(2 / 120)  # both orders of 5! that agree as well
    assert found["TSTR"].makers == 5
    assert predicted(measured(row, gains[:3], scores[:3])) == ()
    without = measured(row, gains, [None, *scores[1:]])
    assert "TSTR" not in {one.measure for one in predicted(without)}


def test_what_copying_found_survives_the_store(finished, tmp_path):
    step = finished.laid.audits.makers[0].copying
    value = finished.laid.store.get(step)
    step.save(value, tmp_path)
    assert isinstance(step.load(tmp_path, "cpu"), Copying)
    assert step.load(tmp_path, "cpu").record() == value.record()
