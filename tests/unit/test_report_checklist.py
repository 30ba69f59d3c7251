"""The checklist appendix: filled in from what was run, and only from that."""

from dataclasses import replace

import pytest

from augury.report.checklist import Item, checklist
from augury.report.page import render
from outcomes import galleries, outcome


def row(made, topic: str) -> Item:
    """Return one row of the checklist."""
    return next(item for item in checklist(made) if item.topic == topic)


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("Source of the images", "200 images of 2 classes in 90 groups"),
        ("Classes and their labels", "The positive class is malignant."),
        ("Number of images", "90 groups, 200 images."),
        ("Partition", "5 folds x 5 repeats"),
        ("What is kept apart", "no group stands on both sides"),
        ("Software and machine", "torch 2.7.0"),
        ("Rivals, and uneven classes", "balanced; classical"),
        ("Measures", "Primary: AUROC."),
        ("Result and uncertainty", "HELPS"),
        ("Fairness", "sex"),
        ("Images from elsewhere", "None were scored"),
        ("Leaks", "No flaw was declared."),
    ],
)
def test_what_the_run_knows(topic: str, said: str) -> None:
    """Each row tells what the outcome holds."""
    assert said in " ".join(row(outcome(), topic).known)


def test_declared_flaws_are_told_where_they_matter() -> None:
    """A study that chose by its test part does not claim to have read it once."""
    flawed = replace(outcome(), flaws=("picked_with_test_knowledge", "groups_ignored"))
    assert "test part (declared)" in row(flawed, "Choice of the final model").known[0]
    assert "ignored (declared)" in row(flawed, "What is kept apart").known[0]
    assert "picked_with_test_knowledge" in " ".join(row(flawed, "Leaks").known)


def test_every_row_names_its_items_and_leaves_nothing_unsaid() -> None:
    """A row that the run knows nothing of is left to the authors."""
    for item in checklist(outcome()):
        assert any(name in item.numbers for name in ("CLAIM", "TRIPOD+AI", "REFORMS"))
        assert item.known or item.left


def test_no_item_is_asked_twice() -> None:
    """Every item of the three guidelines stands in one row, but for those whose parts stand in several."""
    shared = {"CLAIM 12", "TRIPOD+AI 12c", "TRIPOD+AI 18f", "REFORMS 6a", "REFORMS 6b"}
    seen: list[str] = []
    for item in checklist(outcome()):
        for part in item.numbers.split("; "):
            guide, numbers = part.split(" ", 1)
            seen += [f"{guide} {number}" for several in numbers.split(", ") for number in spelled_out(several)]
    assert {name for name in seen if seen.count(name) > 1} == shared
    assert {f"CLAIM {number}" for number in range(1, 43)} <= set(seen)
    assert len({name for name in seen if name.startswith("REFORMS")}) == 32


def spelled_out(numbers: str) -> list[str]:
    """Return every item of a range such as 4–6 or 1a–1c."""
    first, _, last = numbers.partition("–")
    if not last:
        return [first]
    if first.isdigit():
        return [str(number) for number in range(int(first), int(last) + 1)]
    return [f"{first[:-1]}{chr(letter)}" for letter in range(ord(first[-1]), ord(last[-1]) + 1)]


def test_names_are_escaped_on_the_page() -> None:
    """A class name cannot become a tag."""
    made = outcome()
    hostile = replace(made, data=replace(made.data, source="<script>alert(1)</script>"))
    assert "<script>" not in render(hostile, galleries())
