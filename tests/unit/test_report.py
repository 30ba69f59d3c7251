import base64
import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from augury.errors import DataError
from augury.report import curves, findings, tables, write_report
from augury.report.page import render
from augury.report.pictures import LARGEST, mosaic, picture
from augury.report.reliability import reliability_chart
from augury.statistics import Bootstrap, Interval, nadeau_bengio
from augury.study.clinic_outcome import Subgroup, Subgroups
from augury.study.exhibit import ClassGallery, Curve
from augury.study.outcome import ClassResult, Failure, Gate
from outcomes import arms, blob, contrast, galleries, outcome, pictures_of, rivals_only, words_of

HOSTILE = ("<script>alert(1)</script>", "=cmd()", "naevus 😀\n\"quoted\" & 'so'")


def changed(mean, low, high):
    return Interval(mean, low, high, 0.01, 0.02, 25, 0.03)


def with_changes(*changes):
    rows = tuple(
        ClassResult(f"class {number}", 0.8, 0.8, 0.8, 40, change) for number, change in enumerate(changes, start=1)
    )
    return replace(outcome().arms[5], classes=rows)


def test_a_shortcut_is_an_alarm_unless_it_is_the_border():
    found = (("format", "the file format alone tells all"), ("border", "the border alone tells all"))
    made = outcome()
    page = render(replace(made, data=replace(made.data, shortcuts=found)), ())
    assert '<p class="alarm" role="alert">Shortcut: the file format alone tells all.' in page
    assert "Shortcut: the border" not in page


def test_a_class_that_got_worse_is_named():
    arm = with_changes(changed(-0.041, -0.07, -0.012), changed(0.03, 0.01, 0.05), changed(-0.004, -0.02, 0.012))
    assert findings.class_changes(arm) == (
        "class 1: recall fell by 0.041 (95 % interval -0.070 to -0.012).",
        "Recall fell, but with a 95 % interval that includes 0, in class 3 (-0.020 to +0.012).",
    )


def test_no_class_lost_recall():
    arm = with_changes(changed(0.0, -0.01, 0.01), changed(0.03, 0.01, 0.05))
    assert findings.class_changes(arm) == ("No class lost recall.",)


def test_unknown_changes_are_said_to_be_unknown():
    assert findings.class_changes(with_changes(None, None)) == ("The change of recall by class is not known.",)
    assert findings.trade(with_changes(None, None)) == ""


def test_a_given_test_part_has_means_without_intervals():
    nothing = changed(-0.02, math.nan, math.nan)
    arm = with_changes(nothing, changed(math.nan, math.nan, math.nan))
    assert findings.class_changes(arm)[0] == "class 1: recall fell by 0.020 (no interval)."
    assert findings.trade(arm) == "Recall fell in 1 class (class 1 -0.020)."
    made = outcome()
    rows = tuple(replace(row, difference=row.difference and nothing, classes=arm.classes[:2]) for row in made.arms)
    page = render(replace(made, arms=rows), ())
    assert "cvae: without a standard error its amounts are not told apart." in page
    assert not re.search(r"nan|–\)|\(–", re.sub(r"<style>.*?</style>|malignant", "", page, flags=re.DOTALL))


def test_what_is_the_same_in_every_split_has_no_interval():
    same, other = nadeau_bengio([0.02, 0.02, 0.02], ratio=0.5), nadeau_bengio([0.02, 0.02, 0.03], ratio=0.5)
    assert (findings.bounded(same), findings.span(same)) == (False, "no interval")
    assert findings.bounded(other)
    assert findings.span(other).startswith("95 % interval ")


def test_a_class_without_a_known_change_is_not_passed_over():
    arm = with_changes(changed(0.03, 0.01, 0.05), None)
    assert findings.class_changes(arm) == (
        "No class with a known change lost recall.",
        "The change of recall is not known for class 2.",
    )


def test_gains_and_losses_stand_in_one_sentence():
    arm = with_changes(changed(-0.041, -0.07, -0.012), changed(0.03, 0.01, 0.05), changed(0.0, 0.0, 0.0))
    assert findings.trade(arm) == (
        "Recall rose in 1 class (class 2 +0.030) and fell in 1 class (class 1 -0.041); it is unchanged in 1 class."
    )


def test_the_pipeline_sentence():
    assert findings.pipeline(outcome().contrasts[0], "AUROC") == (
        "Free to choose among all arms, the inner part takes one with generated images in 64 % of the splits; what it "
        "takes differs from the best arm without them by +0.028 AUROC (95 % interval +0.014 to +0.042)."
    )
    assert findings.pipeline(replace(outcome().contrasts[0], pipeline=None), "AUROC").endswith("has no interval.")
    assert findings.pipeline(replace(outcome().contrasts[0], pipeline_share=0.0), "AUROC") == (
        "Free to choose among all arms, the inner part takes one without generated images in every split."
    )


def test_the_second_endpoint_is_told_where_there_is_one():
    made = outcome().contrasts[0]
    left_out = replace(made, external=Bootstrap(0.012, -0.003, 0.027, 0.4, 0.6, 0.0, 2000))
    assert findings.external(made, "AUROC") == ""
    assert findings.external(left_out, "AUROC") == (
        "Second endpoint, the images that the scarce subset left out: the best arm with generated images differs from "
        "the best arm without them by +0.012 AUROC (95 % interval -0.003 to +0.027)."
    )


def test_the_dose_rule_names_the_smallest_amount():
    real, *rest = arms(("a", "b"), "auroc")
    amounts = [arm for arm in rest if arm.generator == "cvae"]
    assert findings.dose("cvae", amounts, real, "auroc", "AUROC") == (
        "cvae: the smallest amount within one standard error of the best (AUROC 0.846) is balance (160 images)."
    )
    best = replace(real, scores={"auroc": 0.9})
    assert findings.dose("cvae", amounts, best, "auroc", "AUROC").endswith("is no images (real images only).")
    bootstrapped = replace(changed(0.01, 0.0, 0.02), se=math.nan)
    for difference in (None, bootstrapped):
        alone = [replace(arm, difference=difference) for arm in amounts]
        assert "without a standard error" in findings.dose("cvae", alone, real, "auroc", "AUROC")


def test_the_nearness_sentence_counts_closer_images():
    image = blob(8, 0, 0)[None]
    item = ClassGallery("a", image, image, image, np.array([3.0, 20.0]), 18.2)
    assert findings.nearness(item) == (
        "1 of 2 drawn images are closer to a training image than 18.2, the median distance of a real image to its "
        "nearest other training image of the class."
    )
    assert findings.nearness(replace(item, real_distance=math.nan)).endswith("of the class: –.")


def test_failures_gates_and_cells_in_words():
    made = replace(outcome(), cells_failed=3)
    assert (
        findings.completeness(made) == "3 of 200 cells (classifier, arm, split; those of controls, too) have no result."
    )
    assert (
        findings.failure(Failure("fit cvae", "out of memory", 1)) == "fit cvae: out of memory (1 cell without a result)"
    )
    assert [findings.state(Gate("g", passed, "")) for passed in (True, False, None)] == ["pass", "fail", "open"]


def test_data_and_splits_in_words():
    assert findings.data(outcome().data) == (
        "200 images of 2 classes in 90 groups, colour, 28 x 28 pixels; 200 of them stand in the splits."
    )
    assert findings.splits(outcome().plan) == (
        "5 folds x 5 repeats, 1 inner part to choose on. On average 120 images to train, 40 to choose, 40 to test. "
        "Test groups / training groups: 0.250."
    )


@pytest.mark.parametrize("evidence", [{"exploratory": ("8 groups",)}, {"withheld": ("a flaw",)}, {}])
def test_the_sentence_and_its_details_are_all_on_the_page(evidence):
    made = replace(outcome(), contrasts=(contrast("AUROC", 0.035, **evidence),))
    assert made.verdict.reasons + findings.remarks(made.verdict) == made.verdict.details
    page = render(made, ())
    assert findings.claim(made.verdict) in page
    assert all(detail in page for detail in made.verdict.details)


def test_missing_groups_raise_the_banner():
    made = outcome()
    assert "Independence not assured" not in render(made, ())
    assert "Independence not assured" in render(replace(made, data=replace(made.data, groups_given=False)), ())


def test_hostile_names_stay_text():
    made = outcome(HOSTILE)
    named = [replace(arm, arm=f"{arm.arm}<img src=x onerror=alert(1)>") for arm in made.arms[1:]]
    settings = {"title": "</title><script>", "settings": "</pre><script>", "notes": ("<script>",), "flaws": ("<b>",)}
    asked = [replace(arm, arm=named[4].arm) for arm in made.clinics[0].arms]
    settings["clinics"] = (replace(made.clinics[0], arms=tuple(asked)),)
    page = render(replace(made, arms=(made.arms[0], *named), **settings), galleries(HOSTILE, shown=2))
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_hostile_columns_of_a_table_stay_text():
    made = outcome()
    column, value = "</h4><script>alert(1)</script>", '"><img src=x onerror=alert(1)>'
    table = Subgroups(column, ("real",), (Subgroup(value, 20, 10, (0.7,)),))
    page = render(replace(made, clinics=(replace(made.clinics[0], subgroups=(table,)),)), ())
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;/h4&gt;&lt;script&gt;alert(1)" in page
    assert "&gt;&lt;img src=x" in page


def test_what_a_clinician_asks_stands_on_the_page():
    made, text = outcome(), words_of(render(outcome(), ()))
    assert "Sensitivity for malignant at a fixed specificity" in text
    assert "0.610 0.887 +0.020 (-0.010 to +0.050)" in text
    assert "knows nothing: 0.200, the prevalence of malignant" in text
    assert "A gain in sensitivity is often only a moved threshold." in text
    low, high = made.arms[5].classes[0].recall_interval
    assert f"({low:.2f} to {high:.2f})" in text
    test_set = made.clinics[0].test_sets[0]
    assert f"Difference in AUROC by DeLong: {test_set.auroc.difference:+.3f} (95 % interval" in text
    assert f"only “cvae · balance” gets {test_set.mcnemar.a_only} images right" in text
    assert "AUROC by BCa bootstrap over groups, 2,000 resamples: +0.030 (95 % interval -0.021 to +0.077)" in text
    assert "f 61 30 0.810 0.830 0.850" in text
    assert "not given 4 2 – – –" in text


def test_what_was_before_recalibration_equals_the_results_table():
    page = render(outcome(), ())
    section = page[page.index('id="clinic"') : page.index('id="test-set"')]
    for arm in (outcome().arms[0], outcome().arms[2], outcome().arms[5]):
        for column in ("log_loss", "brier", "ece", "balanced_accuracy"):
            assert f'data-arm="{arm.arm}" data-column="{column}" data-value="{arm.scores[column]:.6f}"' in section


def test_a_reliability_diagram_has_a_point_and_a_bar_for_every_bin():
    arm = outcome().clinics[0].arms[0]
    drawn = reliability_chart(arm)
    assert drawn.count("<circle") == drawn.count('class="interval"') == 16
    half = replace(arm.reliability[0], confidence=0.5, frequency=1.0, interval=(0.0, 1.0))
    drawn = reliability_chart(replace(arm, reliability=(half,), reliability_recalibrated=()))
    top, bottom = (float(end) for end in re.search(r'y1="([\d.]+)" y2="([\d.]+)" class="interval"', drawn).groups())
    assert drawn.count(f'y1="{bottom}" y2="{bottom}" class="grid"') == 1  # the bar ends where 0 and 1 are
    assert f'cy="{bottom}"' in drawn or f'cy="{top}"' in drawn


def test_seven_classes_without_a_positive_one_have_no_operating_points():
    text = words_of(render(outcome(tuple("abcdefg")), ()))
    assert "at a fixed specificity" not in text
    assert "by DeLong" not in text.replace("DeLong and McNemar", "")
    assert "No bootstrap over groups: every class must have images of 2 or more groups." in text


def test_the_chosen_doses_are_ringed_on_the_curve():
    page = render(outcome(), ())
    chosen = [arm for arm in outcome().arms if arm.uses_generated and arm.chosen > 0]
    assert page.count('class="ring"') == len(chosen) == 2
    assert ">chosen 56 %<" in page


def test_a_gain_in_accuracy_that_costs_sensitivity_is_named():
    real, *_, arm = outcome().arms
    real = replace(real, scores={"accuracy": 0.80, "log_loss": 0.50}, sensitivity=0.96, specificity=0.66)
    arm = replace(arm, scores={"accuracy": 0.84, "log_loss": 0.45}, sensitivity=0.86, specificity=0.82)
    assert findings.trade_off(arm, real, "malignant") == (
        "A trade-off, by the means: better in accuracy (+0.040), log-loss (-0.050), specificity (+0.160); "
        "worse in sensitivity for malignant (-0.100)."
    )
    assert findings.trade_off(replace(arm, sensitivity=0.97), real, "malignant") == ""
    assert findings.trade_off(arm, None, "malignant") == ""
    assert findings.trade_off(replace(arm, scores={"accuracy": float("nan")}, sensitivity=None), real, "") == ""


def test_sections_without_content_do_not_appear():
    page = render(replace(outcome(), clinics=()), ())
    assert not re.search(r'(id="|href="#)(clinic|test-set|subgroups)"', page)


def test_a_study_without_generated_images_speaks_of_none():
    text = words_of(render(rivals_only(), ()))
    assert "Does a treatment of the real images, without generated ones, help" in text
    assert "the arm chosen on the inner part minus real images only" in text
    assert "AUROC, arm chosen on the inner part" in text
    assert "classical against real images only" in text
    assert "balanced sensitivity row" in text
    for absent in ("best arm", "may use generated", "Prior expectation", "Amounts", "Nearest", "No images are at hand"):
        assert absent not in text
    assert text.count("generated") == text.count("without generated ones")


def test_where_only_real_images_were_chosen_that_is_said():
    made = rivals_only()
    alone = replace(made, contrasts=(replace(made.contrasts[0], using={"real": 25}),))
    assert "No arm beside real images only was chosen." in render(alone, ())


def test_names_that_are_not_valid_unicode_can_be_written(tmp_path):
    write_report(outcome(("a\udcff", "b")), (), tmp_path / "report.html")
    assert "a\\udcff" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_real_images_none_is_left():
    copies, cvae = galleries()
    secret = {picture(image).uri for item in copies.classes for image in (*item.real, *item.nearest, *item.drawn)}
    drawn = {picture(image).uri for item in cvae.classes for image in item.drawn}
    drawn |= {picture(image).uri for images in cvae.training.frames.values() for image in images}
    drawn |= {mosaic(each.images).uri for each in cvae.training.traversals}
    assert secret | drawn == set(pictures_of(render(outcome(), (copies, cvae))))
    page = render(outcome(), (copies, cvae), real_images=False)
    assert set(pictures_of(page)) == drawn
    assert "This report was written without real images" in page


def test_a_training_that_holds_training_images_is_hidden_with_them():
    made, (_, cvae) = outcome(), galleries()
    copying = tuple(replace(each, contains_training_images=True) for each in made.generators)
    page = render(replace(made, generators=copying), (replace(cvae, contains_training_images=True),), real_images=False)
    assert pictures_of(page) == []
    text = words_of(page)
    assert "What single codes change" not in text
    assert "The same seeds" not in text
    assert "Losses" in text
    assert "The collapse detector fired in 3 of 5 splits." in text


def test_how_a_generator_was_trained_stands_on_the_page():
    page = render(outcome(), galleries())
    text = words_of(page)
    assert "How cvae was trained" in text
    assert "How copies was trained" not in text
    assert "class 'malignant': the drawn images vary less than half as much as real ones (spread 0.08 of real)" in text
    assert "benign 0.91 (0.87) 0.88 (0.79) 0 of 5 splits 50 64" in text
    assert "malignant 0.41 (0.08) – 3 of 5 splits 50 24.5" in text
    assert "after steps 0 40 400 benign" in text
    assert "100 0.0431 200 0.0123 chosen 400 0.0342" in text
    assert "columns: values of the discrete code; rows: seeds" in text
    assert "columns: continuous 1, from -1 to 1; rows: values of the discrete code" in text
    assert page.count('class="curve ') == 4
    assert "Kernel distance over 400 steps, network chosen after 200: from 0.0431 to 0.0342" in page


@pytest.mark.parametrize(("collapsed", "said"), [(0, "did not fire"), (1, "fired")])
def test_a_single_split_is_called_the_only_one(collapsed, said):
    made, (_, cvae) = outcome(), galleries()
    looked = replace(made.generators[1], collapsed=collapsed, looked=1)
    text = words_of(render(replace(made, generators=(looked,)), (cvae,)))
    assert f"The collapse detector {said} in the only split." in text


def test_a_strip_shows_the_frames_in_their_order():
    copies, cvae = galleries()
    page = render(outcome(), (copies, cvae))
    strip = page[page.index('aria-label="strips"') : page.index("Which network is used")]
    frames = cvae.training.frames
    assert pictures_of(strip) == [picture(frames[steps][row]).uri for row in (0, 1) for steps in (0, 40, 400)]
    assert 'alt="malignant, seed 1, after 40 steps"' in strip


def test_only_what_was_seen_of_a_training_is_shown():
    made, (_, cvae) = outcome(), galleries()
    bare = replace(cvae.training, losses={}, frames={}, rows=(), measured={}, traversals=())
    looked = replace(made.generators[1], collapsed=0, findings=(), diversity=(), looked=4)
    text = words_of(render(replace(made, generators=(looked,)), (replace(cvae, training=bare),)))
    assert "The collapse detector did not fire in any of 4 splits. No class has enough images to compare." in text
    absent = (
        "Losses",
        "Discriminator right",
        "The same seeds",
        "Which network",
        "What single codes",
        "within each",
    )
    assert [words for words in absent if words in text] == []
    unknown = replace(looked, looked=0)
    text = words_of(render(replace(made, generators=(unknown,)), (replace(cvae, training=None),)))
    assert "How cvae was trained" not in text
    assert "How the generators" not in text
    text = words_of(render(replace(made, generators=(unknown,)), (cvae,)))
    assert "The diversity of its images was not looked at." in text


def test_hostile_names_in_a_training_stay_text():
    name = "<script>alert(1)</script>"
    made, (_, cvae) = outcome((name, name + "<b>")), galleries((name, name + "<b>"), shown=2)
    losses = {f"{name} loss": Curve(0, 400, (1.0, 2.0)), "a": Curve(0, 400, (0.5,))}
    traversal = replace(cvae.training.traversals[0], code="<img src=x onerror=alert(1)>")
    trained = replace(cvae.training, losses=losses, traversals=(traversal,))
    hostile = replace(made.generators[1], name=name)
    page = render(replace(made, generators=(hostile,)), (replace(cvae, generator=name, training=trained),))
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "How <bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi> was trained" in page
    assert "<bdi>&lt;script&gt;alert(1)&lt;/script&gt; loss</bdi>" in page


def test_notes_stand_below_the_sentence():
    page = render(outcome(notes=("gan: collapse in 2 of 5 splits.",)), ())
    assert page.index('id="sentence"') < page.index("gan: collapse in 2 of 5 splits.") < page.index('id="compared"')


def points_of(drawn):
    """Return the points of every line of a chart: across 0..1, and height 0..1 of a plot of 240 pixels."""
    lines = re.findall(r'<polyline points="([^"]*)"', drawn)
    return [[(float(x) / 1000, 1 - float(y) / 240) for x, y in (p.split(",") for p in line.split())] for line in lines]


def test_a_loss_curve_goes_through_its_values():
    values = (2.0, 1.0, -0.5, 0.25)
    ((*points,),) = points_of(curves.loss_chart("gan", {"generator": Curve(0, 400, values)}, 400))
    assert [x for x, _ in points] == [0.125, 0.375, 0.625, 0.875]
    heights = np.array([y for _, y in points])
    np.testing.assert_allclose(np.diff(heights) / np.ptp(heights), np.diff(values) / np.ptp(values), atol=2e-3)


def test_losses_of_very_different_size_are_told_apart_on_a_logarithmic_axis():
    losses = {"reconstruction": Curve(0, 2, (300.0, 30.0)), "divergence": Curve(0, 2, (0.03, 3.0))}
    drawn = curves.loss_chart("vae", losses, 2)
    (a, b), (c, d) = points_of(drawn)
    assert a[1] - b[1] == pytest.approx(0.25 / 1.16, abs=1e-3)  # one of four decades, and 8 % left free at both ends
    assert d[1] - c[1] == pytest.approx(0.5 / 1.16, abs=1e-3)
    assert "loss, logarithmic" in drawn
    assert re.findall(r'text-anchor="end" class="tick-label">([^<]+)', drawn)[:4] == ["0.1", "1", "10", "100"]


def test_a_few_values_far_out_do_not_flatten_a_curve():
    losses = {"critic": Curve(0, 400, (900.0, *(math.sin(i) for i in range(399))))}
    ((first, *rest),) = points_of(curves.loss_chart("gan", losses, 400))
    assert first[1] == 1.0
    assert np.ptp([y for _, y in rest]) > 0.8
    made, (_, cvae) = outcome(), galleries()
    page = render(made, (replace(cvae, training=replace(cvae.training, losses=losses)),))
    assert "A few values lie beyond the axis" in page
    assert "A few values lie beyond the axis" not in render(made, galleries())


def test_a_curve_of_a_phase_stands_over_its_steps():
    losses = {"reconstruction": Curve(0, 100, (1.0, 2.0)), "generator": Curve(100, 400, (2.0, 1.0, 2.0))}
    first, second = points_of(curves.loss_chart("gan", losses, 400))
    assert [x for x, _ in first] == [0.0625, 0.1875]
    assert [x for x, _ in second] == [0.375, 0.625, 0.875]


@pytest.mark.parametrize("values", [(0.7,), (0.7, 0.7, 0.7)])
def test_a_level_curve_is_a_level_line(values):
    (points,) = points_of(curves.loss_chart("gan", {"generator": Curve(0, 9, values)}, 9))
    assert len(points) >= 2
    assert {y for _, y in points} == {0.5}


def test_a_mosaic_keeps_every_pixel_in_its_place():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 9, 8), dtype=np.uint8)
    shown = mosaic(images)
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))))
    assert decoded.shape == (2 * 9 + 1, 3 * 8 + 2, 4)
    for row in range(2):
        for column in range(3):
            tile = decoded[10 * row : 10 * row + 9, 9 * column : 9 * column + 8]
            np.testing.assert_array_equal(np.moveaxis(tile[..., :3], 2, 0), images[row, column])
    assert (decoded[..., 3] == 0).sum() == 2 * 19 + 26 - 2
    assert (shown.width, shown.height, shown.enlarged) == (26 * 7, 19 * 7, True)


def test_nothing_points_to_a_network():
    page = render(outcome(HOSTILE), galleries(HOSTILE, shown=2))
    assert not re.search(r"https?:|url\(|@import|<script|<link(?! rel=\"icon\" href=\"data:,\")", page)
    assert all(target.startswith(("data:", "#")) for target in re.findall(r'(?:src|href)="([^"]*)"', page))


def test_numbers_carry_the_exact_value():
    page = render(outcome(), ())
    arm = outcome().arms[5]
    for column, value in (("auroc", arm.scores["auroc"]), ("difference_low", arm.difference.low), ("dose", arm.dose)):
        cell = f'data-arm="{arm.arm}" data-column="{column}" data-value="{value:.6f}"'
        assert cell in page
    assert f'data-arm="{arm.arm}" data-column="steps" data-value="300"' in page
    assert 'data-arm="balanced" data-column="mcc" data-value="">–<' in page


def test_columns_without_a_value_are_dashes():
    cell = tables.budget_columns()[3].cell(replace(outcome().arms[0], real_exposures=math.nan))
    assert (cell.value, cell.text) == ("", "–")


def test_a_study_with_next_to_nothing_still_has_a_page():
    made = outcome()
    bare = replace(made.contrasts[0], interval=None, pipeline=None, using={}, without={}, differences=())
    real = replace(made.arms[0], scores={"auroc": math.nan}, confusion=(), splits=0, failed=25)
    page = render(replace(made, contrasts=(bare,), arms=(real,), generators=(), gates=(), clinics=()), ())
    assert "No arm with generated images was chosen." in page
    assert not re.search(r"\bnan\b", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))


def test_a_classifier_without_a_contrast_keeps_its_rows():
    made = outcome()
    second = [replace(arm, classifier="resnet") for arm in made.arms]
    page = render(replace(made, arms=(*made.arms, *second)), ())
    assert "No split has a result of every arm: there is nothing to compare." in page
    assert 'data-classifier="resnet" data-arm="real" data-column="auroc"' in page


def test_pictures_keep_their_pixels_and_fit_the_page():
    image = blob(28, 1, 4)
    shown = picture(image)
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))))
    np.testing.assert_array_equal(np.moveaxis(decoded, 2, 0), image)
    large = picture(np.zeros((1, 300, 200), dtype=np.uint8))
    assert (large.width, large.height, large.enlarged) == (75, LARGEST, False)


def test_the_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("older")
    write_report(outcome(), (), path)
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["file/report.html", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=f"{place} cannot be written"):
        write_report(outcome(), (), tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
