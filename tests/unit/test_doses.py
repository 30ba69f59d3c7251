import math
from dataclasses import replace

import pytest

from augury.statistics import Interval
from augury.study.doses import NO_IMAGES, dose_readings
from outcomes import arms

TEMPLATE = next(arm for arm in arms(("a", "b"), "auroc") if arm.arm == "cvae · ratio 1")


def row(r, mean, se=0.01, *, name="cvae", half=None, **changes):
    """Return an arm of dose r whose difference to real images only has a mean and a standard error."""
    half = 2 * se if half is None else half
    change = None if mean is None else Interval(mean, mean - half, mean + half, se, 0.02, 5, 0.1)
    policy = f"ratio {r:g}"
    fields = {"arm": f"{name} · {policy}", "policy": policy, "added": 300.0 * r, "dose": float(r), "difference": change}
    return replace(TEMPLATE, **{**fields, **changes})


def read(*rows):
    (reading,) = dose_readings(rows)
    return reading


def policies(reading):
    return [dose.policy if dose else None for dose in (reading.saturation, reading.best, reading.harm)]


@pytest.mark.parametrize(
    ("means", "expected", "words"),
    [
        ((0.05, 0.055, 0.02), ["ratio 0.5", "ratio 1", None], "it saturates at ratio 0.5 (150 images)"),
        (
            (0.02, 0.05, 0.08),
            ["ratio 2", "ratio 2", None],
            "the largest one tried, ratio 2 (600 images): no saturation",
        ),
        ((0.02, 0.05, 0.02), ["ratio 1", "ratio 1", None], "smaller ones lie more than one standard error below it"),
        ((0.002, 0.005, 0.0), ["none", "ratio 1", None], "no dose lies more than one standard error above real images"),
        (
            (-0.01, -0.03, -0.05),
            ["none", "none", "ratio 1"],
            "no dose scores above real images only; from ratio 1 (300",
        ),
        ((0.05, -0.05, -0.01), ["ratio 0.5", "ratio 0.5", None], "no harm was found: the largest dose's 95 % interval"),
        ((-0.05, -0.05, -0.05), ["none", "none", "ratio 0.5"], "from ratio 0.5 (150 images) on it harms"),
    ],
)
def test_saturation_and_harm_are_read_from_the_grid(means, expected, words):
    reading = read(*(row(r, mean) for r, mean in zip((0.5, 1, 2), means, strict=True)))
    assert policies(reading) == expected
    assert words in reading.sentence
    assert reading.sentence.startswith("cvae with small_cnn: ")


def test_the_error_that_counts_is_that_of_the_best_dose():
    assert policies(read(row(1, 0.05, se=0.5), row(2, 0.08, se=0.02)))[0] == "ratio 2"
    assert policies(read(row(1, 0.05, se=0.001), row(2, 0.08, se=0.04)))[0] == "ratio 1"


def test_one_dose_tells_no_saturation():
    reading = read(row(1, 0.05))
    assert policies(reading) == [None, "ratio 1", None]
    assert (
        "one dose was tried, ratio 1 (300 images): where more images bring nothing cannot be told" in reading.sentence
    )
    assert policies(read(row(1, -0.05))) == [None, "none", "ratio 1"]


def test_on_one_given_test_part_the_error_comes_from_the_interval():
    rows = [row(r, mean, se=math.nan, half=1.96 * 0.01) for r, mean in ((1, 0.075), (2, 0.08), (4, 0.01))]
    assert policies(read(*rows))[:2] == ["ratio 1", "ratio 2"]


def test_without_any_error_doses_are_not_told_apart():
    reading = read(row(1, 0.05, se=math.nan, half=math.nan), row(2, 0.08, se=math.nan, half=math.nan))
    assert policies(reading) == [None, "ratio 2", None]
    assert reading.sentence.endswith("without a standard error its doses are not told apart.")


def test_what_has_no_result_is_left_out_and_said():
    assert [dose.policy for dose in read(row(2, 0.02), row(1, 0.01), row(4, None)).tried] == ["ratio 1", "ratio 2"]
    reading = read(row(1, None))
    assert (reading.tried, reading.best) == ((), None)
    assert reading.sentence == "cvae with small_cnn: none of its doses has a difference to real images only."


def test_each_arm_and_classifier_has_its_reading_and_controls_have_none():
    rows = [
        row(1, 0.01),
        row(2, 0.02),
        row(1, 0.03, name="cvae, mixup"),
        row(1, 0.04, classifier="resnet18"),
        row(1, 0.05, name="copies", uses_generated=False),
        row(3, 0.9, sensitivity_row=True),
        row(0, 0.9),
    ]
    found = {(reading.arm, reading.classifier): len(reading.tried) for reading in dose_readings(rows)}
    assert found == {("cvae", "small_cnn"): 2, ("cvae, mixup", "small_cnn"): 1, ("cvae", "resnet18"): 1}


def test_no_images_are_the_best_of_a_whole_table_only_where_they_are():
    found = dose_readings(arms(("a", "b"), "auroc"))
    assert [reading.generator for reading in found] == ["cvae"]
    assert found[0].best is not NO_IMAGES
