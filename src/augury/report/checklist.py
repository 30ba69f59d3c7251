"""The checklist appendix: what reporting guidelines ask, what this run knows, and what is left to the authors.

Items are numbered as in CLAIM (Mongan 2020, Radiology: Artificial Intelligence 2:e200029), TRIPOD+AI (Collins 2024,
BMJ 385:e078378) and REFORMS (Kapoor 2024, Science Advances 10:eadk3452); what they ask is told in our words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from augury.metrics.classification import METRICS
from augury.report import findings
from augury.report.wording import wording
from augury.study.contrast import FLAW_REASONS
from augury.study.outcome import Outcome
from augury.study.study import BEST_TEST_EPOCH, PICKED


@dataclass(frozen=True)
class Item:
    """One row of the checklist.

    Attributes:
        topic: What is asked.
        numbers: Where it is asked.
        known: What the run knows of it, in sentences; empty where it knows nothing.
        left: What the authors must add; empty where nothing is left.
    """

    topic: str
    numbers: str
    known: tuple[str, ...]
    left: str


Known = Callable[[Outcome], Sequence[str]]


def checklist(outcome: Outcome) -> tuple[Item, ...]:
    """Fill in the checklist from a finished study."""
    return tuple(
        Item(topic, numbers, tuple(line for line in known(outcome) if line), left)
        for topic, numbers, known, left in ROWS
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _source(outcome: Outcome) -> list[str]:
    data = outcome.data
    return [f"{data.source}: {findings.data(data)}", data.levels]


def _classes(outcome: Outcome) -> list[str]:
    data = outcome.data
    counts = [f"{name} {count}" for name, count in zip(data.classes, data.used_counts, strict=True)]
    named = f"The positive class is {outcome.positive}." if outcome.positive else ""
    return [f"In the splits: {', '.join(counts)}.", named]


def _size(outcome: Outcome) -> list[str]:
    verdict = outcome.verdict
    detectable = f"Detectable with 80 % power: {verdict.minimum_detectable:.3f}." if verdict.minimum_detectable else ""
    needed = f"Groups for a half-width of {outcome.rope:.3f}: {verdict.groups_needed}." if verdict.groups_needed else ""
    return [f"{outcome.data.groups} groups, {outcome.data.used} images.", detectable, needed]


def _left_out(outcome: Outcome) -> list[str]:
    return [findings.unreadable(outcome.data), *findings.duplicates(outcome.data)]


def _apart(outcome: Outcome) -> list[str]:
    if "groups_ignored" in outcome.flaws:
        return ["Nothing: the groups were ignored (declared)."]
    if outcome.data.groups_given:
        return ["By the given groups: no group stands on both sides of a split."]
    return [_sentence(findings.INDEPENDENCE)]


def _models(outcome: Outcome) -> list[str]:
    names = [contrast.classifier for contrast in outcome.contrasts]
    made = [
        f"{maker.name}: {maker.kind}, {findings.whole(maker.parameters)} weights"
        for maker in outcome.generators
        if not maker.control
    ]
    listed = f"Generators: {'; '.join(made)}." if made else ""
    return [f"Classifiers: {', '.join(names)}.", listed, "All settings stand under Reproduce and cite."]


def _software(outcome: Outcome) -> list[str]:
    return [f"{', '.join(f'{key} {value}' for key, value in outcome.environment.items())}."]


def _choice(outcome: Outcome) -> list[str]:
    chosen = wording(outcome.contrasts[0].generated).choosing
    read = [FLAW_REASONS[flaw] for flaw in (PICKED, BEST_TEST_EPOCH) if flaw in outcome.flaws]
    if read:
        return [_sentence(reason) for reason in read]
    return [f"An inner part of the training images chooses {chosen}, by log-loss; the test part is read once."]


def _baselines(outcome: Outcome) -> list[str]:
    names = list(dict.fromkeys(arm.arm for arm in outcome.arms if not arm.uses_generated))
    which = "Arms without generated images" if outcome.contrasts[0].generated else "Arms"
    return [f"{which}: {'; '.join(names)}."]


def _metrics(outcome: Outcome) -> list[str]:
    others = dict.fromkeys(key for arm in outcome.arms for key in arm.scores if key != outcome.metric)
    labels = [METRICS[key].label if key in METRICS else key for key in others]
    calibrated = "Calibration stands under Operating points." if outcome.clinics else ""
    return [f"Primary: {outcome.metric_label}. Also: {', '.join(labels)}.", calibrated]


def _uncertainty(outcome: Outcome) -> list[str]:
    given = outcome.plan.plan == "given"
    method = "a bootstrap over the given test part" if given else "Nadeau and Bengio's corrected t over the splits"
    return [
        f"95 % intervals by {method}; p of single arms by Holm's rule.",
        f"Differences up to {outcome.rope:.3f} were declared of no practical interest before the run.",
        outcome.verdict.sentence,
    ]


def _robustness(outcome: Outcome) -> list[str]:
    rows = [arm.arm for arm in outcome.arms if arm.sensitivity_row]
    shown = f"Sensitivity rows: {'; '.join(rows)}." if rows else ""
    several = f"{len(outcome.contrasts)} classifiers were tried." if len(outcome.contrasts) > 1 else ""
    return [several, shown, *(findings.external(contrast, outcome.metric_label) for contrast in outcome.contrasts)]


def _elsewhere(outcome: Outcome) -> list[str]:
    return ["None were scored: the sentence holds for images like these."]


def _fairness(outcome: Outcome) -> list[str]:
    columns = dict.fromkeys(each.column for clinic in outcome.clinics for each in clinic.subgroups)
    return [f"By subgroup: {', '.join(columns)}." if columns else "No subgroups were given."]


def _leaks(outcome: Outcome) -> list[str]:
    checks = [f"{gate.name}: {findings.state(gate)}." for gate in outcome.gates]
    return [*checks, f"Declared flaws: {', '.join(outcome.flaws)}." if outcome.flaws else "No flaw was declared."]


def _copies(outcome: Outcome) -> list[str]:
    return [
        f"{maker.maker}: copying audit {maker.decision.state}."
        for maker in outcome.audited.makers
        if maker.decision is not None
    ]


def _again(outcome: Outcome) -> list[str]:
    return [f"study.toml beside this page, augury {outcome.version} and the same images: augury run study.toml."]


def _limits(outcome: Outcome) -> list[str]:
    return [*outcome.verdict.reasons, *outcome.notes]


def _nothing(outcome: Outcome) -> list[str]:
    return []


ROWS: tuple[tuple[str, str, Known, str], ...] = (
    (
        "Purpose, setting, title, ethics, funding",
        "CLAIM 1–6, 39, 40, 42; TRIPOD+AI 1–4, 6, 17–19, 25, 27; REFORMS 1a–1c, 3b, 3c, 3g",
        _nothing,
        "all of it",
    ),
    (
        "Source of the images",
        "CLAIM 7; TRIPOD+AI 5; REFORMS 2a, 3a",
        _source,
        "where, when and how they were collected; a link",
    ),
    (
        "Classes and their labels",
        "CLAIM 11, 14–18; TRIPOD+AI 8, 21; REFORMS 3d",
        _classes,
        "who labelled, by what standard, with what agreement",
    ),
    ("Number of images", "CLAIM 19; TRIPOD+AI 10; REFORMS 3e", _size, "how the number was decided on beforehand"),
    (
        "Images left out",
        "CLAIM 10, 13, 33; TRIPOD+AI 11, 20; REFORMS 3f, 4a, 4b",
        _left_out,
        "what was left out before the images got here",
    ),
    (
        "Preparation",
        "CLAIM 8, 9, 12; TRIPOD+AI 7, 9; REFORMS 4c",
        lambda outcome: [f"Read as {' x '.join(map(str, outcome.data.shape))} (channels, height, width)."],
        "who could be in the set, what was done before, how names were removed",
    ),
    (
        "Partition",
        "CLAIM 20; TRIPOD+AI 12a; REFORMS 5c, 6a",
        lambda outcome: [findings.splits(outcome.plan)],
        "",
    ),
    ("What is kept apart", "CLAIM 21; REFORMS 6b", _apart, "whether the groups are patients"),
    ("Models", "CLAIM 22, 24; TRIPOD+AI 12c, 15, 22; REFORMS 5a, 5b", _models, "why these"),
    ("Software and machine", "CLAIM 23; TRIPOD+AI 18f; REFORMS 2b, 2c", _software, "the machine"),
    (
        "Training and tuning",
        "CLAIM 25; TRIPOD+AI 12c; REFORMS 5e",
        lambda outcome: [_sentence(outcome.budget)],
        "",
    ),
    ("Choice of the final model", "CLAIM 26, 27; REFORMS 5d", _choice, ""),
    ("Rivals, and uneven classes", "TRIPOD+AI 13; REFORMS 5f", _baselines, ""),
    ("Measures", "CLAIM 28; TRIPOD+AI 12e; REFORMS 7a", _metrics, ""),
    ("Result and uncertainty", "CLAIM 29, 35, 36; TRIPOD+AI 23a; REFORMS 7b, 7c", _uncertainty, ""),
    ("Robustness", "CLAIM 30; TRIPOD+AI 23b", _robustness, "other settings that were tried, all of them"),
    ("Images from elsewhere", "CLAIM 32; TRIPOD+AI 12d, 16; REFORMS 8a", _elsewhere, "how they differ from these"),
    ("Fairness", "TRIPOD+AI 14; CLAIM 34", _fairness, "who is in the images"),
    ("Leaks", "REFORMS 6a–6c", _leaks, "whether anything in an image gives its class away (rulers, marks, devices)"),
    ("Copies of patients' images", "CLAIM 12", _copies, "whether images may be passed on"),
    (
        "Wrongly classified images",
        "CLAIM 31, 37",
        lambda outcome: ["Counts stand under Confusion."],
        "a look at them by someone who knows",
    ),
    ("To repeat it", "CLAIM 41; TRIPOD+AI 18e, 18f; REFORMS 2d, 2e", _again, "where images and this folder are kept"),
    ("Limits", "CLAIM 38; TRIPOD+AI 26; REFORMS 8b", _limits, "for whom the sentence need not hold"),
)
