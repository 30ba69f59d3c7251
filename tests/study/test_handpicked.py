"""What a person picked is what a study trains on, and never what it chooses from."""

from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

import augury
from augury.errors import DataError
from augury.generators import External
from augury.images import pixel_digest
from augury.picking.picks import Pick, Picks
from augury.policies import Ratio
from augury.selections import Handpicked
from augury.study import Arm, NamedGenerator, dump_study, load_study, run, toy

PICKED = 7  # images of each class


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of synthetic digits, and a list of some of them."""
    folder = tmp_path_factory.mktemp("elsewhere")
    digits, noise = augury.read("digits"), np.random.default_rng(0)
    entries = []
    for label, name in enumerate(digits.classes):
        (folder / "drawn" / name).mkdir(parents=True)
        for i, image in enumerate(digits.of_class(label).images[:30].numpy()):
            changed = np.clip(image + noise.integers(-9, 10, image.shape), 0, 255).astype(np.uint8)
            Image.fromarray(changed[0]).save(folder / "drawn" / name / f"{i:02d}.png")
            if i % 4 == 0 and i < 4 * PICKED:
                entries.append(
                    Pick(pixel_digest(changed), name, f"{name}/{i:02d}.png", datetime(2026, 1, 31, tzinfo=UTC))
                )
    Picks(tuple(entries)).save(folder / "picks.csv")
    return folder


def study_of(folder, amount=0.5):
    select = Handpicked(picks=str(folder / "picks.csv"))
    generator = NamedGenerator(name="elsewhere", recipe=External(source=str(folder / "drawn")))
    arms = (
        Arm(name="all", generator="elsewhere", amounts=(Ratio(r=amount),)),
        Arm(name="picked", generator="elsewhere", amounts=(Ratio(r=amount),), select=select, factor=20),
    )
    return toy().replace(generators=(generator,), arms=(toy().arms[0], *arms))


@pytest.fixture(scope="module")
def finished(folder):
    return run(study_of(folder))


def test_the_study_trains_on_the_picked_images_and_on_no_others(finished, folder):
    listed = {entry.digest for entry in Picks.load(folder / "picks.csv").entries}
    cell = next(cell for cell in finished.laid.cells if cell.arm.name.startswith("picked"))
    pool = [finished.laid.store.get(source) for source in cell.fit.pool]
    assert sum(len(part) for part in pool) == 10 * PICKED
    assert {digest for part in pool for digest in part.digests} == listed


def test_what_a_person_picked_is_shown_and_never_chosen(finished):
    rows = {row.arm.partition(" ·")[0]: row for row in finished.outcome.arms}
    assert rows["picked"].sensitivity_row
    assert not rows["all"].sensitivity_row
    assert rows["picked"].splits == 2
    assert all("picked" not in name for name in finished.outcome.contrasts[0].using)


def test_a_list_that_is_too_short_leaves_the_arm_with_what_it_has(folder):
    outcome = run(study_of(folder, amount=3.0)).outcome
    row = next(row for row in outcome.arms if row.arm.startswith("picked"))
    assert row.added == 10 * PICKED
    assert any(note.startswith("picked · ratio 3: 140 of the 360 images wanted") for note in outcome.notes)


def test_a_list_counts_by_its_content_and_is_meant_from_the_study_file(folder, tmp_path):
    (tmp_path / "picks.csv").write_bytes((folder / "picks.csv").read_bytes())
    text = dump_study(study_of(folder)).replace(str(folder / "picks.csv"), "picks.csv")
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    moved = load_study(tmp_path / "study.toml").arms[2].select
    assert moved.picks == str(tmp_path / "picks.csv")
    assert moved.identity() == study_of(folder).arms[2].select.identity()
    (tmp_path / "picks.csv").unlink()
    with pytest.raises(DataError, match=r"picks\.csv"):
        moved.identity()
