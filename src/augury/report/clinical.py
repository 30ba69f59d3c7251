"""The clinician's sections in words: fixed sentences about thresholds, calibration, one test set and subgroups."""

from __future__ import annotations

from augury.one_test_set import Auroc
from augury.report.findings import plain, probability, signed
from augury.study.clinic import RESAMPLES
from augury.study.clinic_outcome import Clinic, OneTestSet
from augury.study.subgroups import FEWEST_IMAGES

THRESHOLDS = (
    "Each threshold is set on the inner part of a split to reach the specificity aimed at, and judged on its test "
    "part: the specificity reached there may miss the aim, so both are given. Means over the splits."
)
RECALIBRATION = (
    "Recalibration fits one temperature and one shift per class on the inner part of each split; its test part is "
    "scored with them. Less is better of log-loss, Brier and ECE."
)
MOVED = (
    "A gain in sensitivity is often only a moved threshold. The last column weighs all classes alike after training: "
    "no new image, no new training. A gain of another arm that is no larger than that may be a moved threshold too."
)
BINS = (
    "Test predictions of the first repeat, every image once, in bins of about equally many images; bars are 95 % "
    "Wilson intervals. Points below the dashed line: surer than right."
)
FIXED = (
    "These intervals hold the trained classifiers fixed and ask what other patients would do; they say nothing about "
    "training again. DeLong and McNemar count images as independent; the bootstrap draws whole groups."
)
CHANCE = (
    "Small subgroups vary by chance, and the more of them are looked at, the larger the largest difference: one that "
    f"stands out is a question for the next study, not a finding. Fewer than {FEWEST_IMAGES} images, or one class "
    "only: a dash. Classes without an image in a subgroup do not count in it."
)
PARTS = {"test": "The given test part", "rest": "The images that the scarce subset left out"}


def precision(clinic: Clinic, positive: str) -> str:
    """Say what the average precision is to be compared with.

    >>> precision(Clinic("cnn", (), prevalence=0.125), "malignant")
    'Average precision of a score that knows nothing: 0.125, the prevalence of malignant in the test parts.'
    """
    return (
        f"Average precision of a score that knows nothing: {plain(clinic.prevalence)}, the prevalence of {positive} "
        "in the test parts."
    )


def test_set(item: OneTestSet, groups_given: bool) -> str:
    """Say which images the two arms are compared on."""
    groups = f" in {item.groups:,} groups" if groups_given else " without given groups"
    return f"{PARTS[item.part]}: {item.images:,} images{groups}. Probabilities are averaged over the trainings."


def area(found: Auroc) -> str:
    """Write an AUROC with its interval by DeLong, which has none where the ranking is perfect.

    >>> area(Auroc(0.9, 0.0004, 0.02, 0.861, 0.939))
    '0.900 (0.861 to 0.939)'
    """
    ends = f"{plain(found.low)} to {plain(found.high)}" if found.se > 0 else "no interval: without a spread"
    return f"{plain(found.auroc)} ({ends})"


def comparisons(item: OneTestSet, metric_label: str) -> tuple[str, ...]:
    """Say what each comparison of the two arms found, and why one is missing."""
    lines = []
    if item.auroc is not None and item.auroc.se > 0:
        size = f"{signed(item.auroc.difference)} (95 % interval {signed(item.auroc.low)} to {signed(item.auroc.high)}"
        lines.append(f"Difference in AUROC by DeLong: {size}, p {_p(item.auroc.p_value)}).")
    if item.bootstrap is not None:
        ends = f"95 % interval {signed(item.bootstrap.low)} to {signed(item.bootstrap.high)}"
        how = f"by BCa bootstrap over groups, {RESAMPLES:,} resamples"
        lines.append(f"Difference in {metric_label} {how}: {signed(item.bootstrap.estimate)} ({ends}).")
    if item.mcnemar is not None:
        one, other = f"only “{item.one}” gets {item.mcnemar.a_only:,}", f"only “{item.other}” {item.mcnemar.b_only:,}"
        values = f"exact p {_p(item.mcnemar.p_value)}, mid-p {_p(item.mcnemar.mid_p)}"
        lines.append(f"McNemar on predicted classes: {one} images right, {other} ({values}).")
    return (*lines, *(f"{reason[:1].upper()}{reason[1:].rstrip('.')}." for reason in item.reasons))


def _p(value: float) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"
