import csv
import io
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augury import study
from augury.cli import main
from augury.errors import DataError, SettingsError, StepDiedError
from augury.metrics.classification import METRICS
from augury.policies import Add, Balance
from augury.report.curve_page import chart, render, write_curves
from augury.splits import SplitPlan
from augury.study.curve import curve, lay_levels, make_curves, nested, shared_images, size_of
from augury.study.exchange import Worth
from augury.study.learning_curve import Exchange, LearningCurve, Point, curve_csv
from augury.study.store import FolderStore, MemoryStore
from law import BALANCED, Broken, Noise, Oracle, arm, draw_images, toy_study, write

STUDIES = Path(__file__).parents[2] / "studies"
FOLDS = SplitPlan(folds=5, repeats=1)
GIVEN = SplitPlan(plan="given", repeats=5)
LEVELS = (10, 20, 40)
QUICK = {"split": FOLDS, "metric": "macro_f1"}  # AUROC takes thirty times as long


def source_of(tmp_path, counts=120, **columns):
    return write(draw_images(counts, seed=0), tmp_path / "images.npz", **columns)


def given_source(tmp_path, **parts):
    """Write parts of so many images per class in MedMNIST's layout."""
    drawn = {part: draw_images(n, seed=seed) for seed, (part, n) in enumerate(parts.items())}
    arrays = {f"{part}_images": images.images[:, 0].numpy() for part, images in drawn.items()}
    arrays |= {f"{part}_labels": images.labels.numpy() for part, images in drawn.items()}
    np.savez(tmp_path / "given.npz", **arrays)
    return str(tmp_path / "given.npz")


@pytest.fixture
def source(tmp_path):
    return source_of(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the curve of an oracle beside noise, and the study and store that it came from."""
    folder = tmp_path_factory.mktemp("curve")
    plan = toy_study(source_of(folder), [Oracle(), Noise()], [BALANCED, arm("oracle", Add(n=30))], **QUICK)
    (found,) = curve(plan, LEVELS, folder / "store")
    return found, plan, folder / "store"


def laid(plan, kept=LEVELS):
    return lay_levels(plan, kept, MemoryStore())


# ---- levels


def test_levels_are_nested_and_scored_on_what_none_of_them_kept(source):
    levels = laid(toy_study(source, [Oracle()], [arm("oracle", 1)], split=FOLDS), (40, 10, 20, 20))
    assert [level.study.split.per_class for level in levels] == [10, 20, 40]
    assert nested(levels)
    used = {
        i
        for level in levels
        for cell in level.cells
        for part in ("train", "val", "test")
        for i in cell.split.part(part)
    }
    assert set(shared_images(levels)) == set(range(240)) - used
    assert [size_of(level) for level in levels] == [8, 16, 32]  # four folds of five


@pytest.mark.parametrize("parts", [{"train": 80, "test": 40}, {"train": 80, "val": 20, "test": 40}])
def test_with_given_parts_all_kept_images_are_learned_from_and_the_test_part_is_one(tmp_path, parts):
    plan = toy_study(given_source(tmp_path, **parts), [Oracle()], [arm("oracle", 1)], split=GIVEN)
    levels = laid(plan)
    assert [size_of(level) for level in levels] == [10, 20, 40]
    assert {cell.split.test for level in levels for cell in level.cells} == {shared_images(levels)}
    assert nested(levels)
    with pytest.raises(DataError, match="level 81 keeps 81 images of every class"):
        laid(plan, (10, 81))


def test_a_class_with_a_number_of_its_own_does_not_follow_the_levels(tmp_path):
    source = source_of(tmp_path, (90, 200))
    split = SplitPlan(folds=5, repeats=1, keep=(("b", 150),))
    levels = laid(toy_study(source, [Oracle()], [arm("oracle", Balance())], split=split))
    assert [size_of(level) for level in levels] == [8, 16, 32]
    assert {sum(cell.real_counts) - cell.real_counts[0] for level in levels for cell in level.cells} == {90}


def test_groups_that_are_not_nested_are_told(tmp_path):
    groups = np.repeat([f"p{i}" for i in range(160)], np.tile([1, 2, 1, 2], 40))[:240]
    levels = laid(toy_study(source_of(tmp_path, groups=groups), [Oracle()], [arm("oracle", 1)], split=FOLDS))
    kept = [{i for cell in level.cells for i in (*cell.split.train, *cell.split.val)} for level in levels]
    assert nested(levels) == (kept[0] <= kept[1] <= kept[2])
    assert not nested(levels[::-1])


@pytest.mark.parametrize(
    ("kept", "error", "words"),
    [
        ((10,), SettingsError, r"2 or more different levels of at least 1 image\. Got \[10\]"),
        ((0, 10), SettingsError, "2 or more different levels"),
        ((10, 121), DataError, "level 121 keeps 121 images of every class. Class 'a' has 120: keep no more, or"),
        ((10, 120), DataError, "images that none of them keeps. Of class 'a' none is left: keep fewer, or use"),
        ((2, 10), DataError, "with 2 images kept per class: class 'a' has 2 images"),
    ],
)
def test_levels_that_cannot_be_are_refused_before_anything_is_trained(source, kept, error, words):
    with pytest.raises(error, match=words):
        laid(toy_study(source, [Oracle()], [arm("oracle", 1)], split=FOLDS), kept)


def test_a_curve_needs_arms_that_add_generated_images(source):
    with pytest.raises(SettingsError, match="no arm with a generator: add one"):
        laid(toy_study(source, [], [BALANCED], split=FOLDS))
    with pytest.raises(SettingsError, match="with 10 images kept per class no arm adds a generated one"):
        laid(toy_study(source, [Oracle()], [arm("oracle", Balance())], split=FOLDS))


def test_all_classes_with_numbers_of_their_own_leave_no_level(source):
    split = SplitPlan(folds=5, repeats=1, keep=(("a", 20), ("b", 20)))
    with pytest.raises(SettingsError, match="keep names every class"):
        laid(toy_study(source, [Oracle()], [arm("oracle", 1)], split=split))


# ---- a whole study


def test_true_images_are_worth_real_ones(finished):
    found, *_ = finished
    first = found.exchanges[0]
    assert (first.kept, first.real, first.added, first.against, first.splits) == (10, 8, 30, "real", 5)
    assert first.worth.low > 0
    assert found.sentences[0].startswith(
        "With 8 real images per class (10 kept), 30 synthetic ones per class are worth "
    )
    assert math.isinf(found.exchanges[2].worth.value)
    assert found.exchanges[2].worth.most == 0


def test_points_are_the_means_on_the_shared_images_of_arms_that_the_inner_part_chose(finished):
    found, plan, store = finished
    levels = lay_levels(plan, LEVELS, FolderStore(store))
    level = study.collect(levels[1].study, store)
    rows = np.flatnonzero(np.isin(levels[1].cells[0].split.rest, shared_images(levels)))
    cells = [item for item in level.scored if item.cell.arm.name == "oracle · add 30"]
    score = METRICS["macro_f1"].function
    expected = [score(item.labels["rest"][rows], item.probabilities["rest"][rows]) for item in cells]
    point = found.side("with")[1]
    assert point.mean == pytest.approx(np.mean(expected))
    assert point.low <= point.mean <= point.high
    assert point.chosen == (("oracle · add 30", 5),)
    assert (found.metric_label, found.test_images, found.cells_failed) == ("macro F1", 160, 0)


def test_a_second_run_makes_nothing_and_comes_to_the_same_curve(finished):
    found, plan, store = finished
    before = set(store.glob("FitClassifier/*"))
    assert curve(plan, LEVELS, store) == (found,)
    assert set(store.glob("FitClassifier/*")) == before


def test_a_given_test_part_is_scored_at_all_levels(tmp_path):
    plan = toy_study(
        given_source(tmp_path, train=60, test=40), [Oracle()], [arm("oracle", Add(n=30))], **{**QUICK, "split": GIVEN}
    )
    (found,) = curve(plan.replace(flaws=("no_rebalancing_control",)), (10, 30))
    assert sum("kept, the study itself ends in WITHHELD: " in note for note in found.notes) == 2
    assert found.test_images == 80
    assert "All levels are scored on the same 80 images: the given test part." in found.notes
    assert found.sentences[0].startswith("With 10 real images per class, 30 synthetic ones per class ")


def test_a_level_without_results_ends_in_a_sentence(source):
    plan = toy_study(source, [Broken(), Oracle()], [arm("broken", 1)], split=FOLDS)
    with pytest.raises(StepDiedError, match="broken"):
        make_curves(laid(plan, (10, 20)))


STUDY = """
metric = "macro_f1"
data = { source = "images.npz" }
split = { folds = 5, repeats = 1 }
generators = [{ kind = "law:Oracle", name = "oracle" }]
classifiers = [{ kind = "law:Discriminant", name = "lda" }]
arms = [{ name = "real" }, { name = "oracle", generator = "oracle", amounts = ["add 30"] }]
"""


def type_in(monkeypatch, *words):
    """Type a command; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["augury", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_the_command_writes_page_table_and_levels_that_clean_spares(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.toml").write_text(STUDY)
    code = type_in(monkeypatch, "curve", "toy.toml", "--kept", "20, 10", "--allow-plugins", "--jobs", "1", "--json")
    (read,) = json.loads(capsys.readouterr().out)["curves"]
    assert (code, {rate["against"] for rate in read["exchanges"]}) == (0, {"real"})  # there is no rival arm
    means = [[point["mean"] for point in read["points"] if point["side"] == side] for side in ("real", "without")]
    assert means[0] == means[1]
    names = {path.name for path in (tmp_path / "toy" / "curve").iterdir()}
    assert names == {"curve.html", "curve.csv", "kept-10", "kept-20"}
    assert type_in(monkeypatch, "clean", "toy", "--dry-run", "--allow-plugins") == 0
    assert "0 results" in capsys.readouterr().out


def test_a_dry_run_lists_levels_steps_and_time_and_makes_nothing(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.toml").write_text(STUDY)
    assert type_in(monkeypatch, "curve", "toy.toml", "--kept", "10,20", "--allow-plugins", "--dry-run") == 0
    out, err = capsys.readouterr()
    single = laid(study.load_study(tmp_path / "toy.toml", allow_plugins=True), (10, 20))
    shared = {step.key for each in single for step in each.plan().steps}
    assert out.startswith(f"2 levels, 20 cells, {len(shared)} steps to do, about ")
    assert "10 kept per class: 10 cells" in err
    assert not (tmp_path / "toy").exists()


@pytest.mark.parametrize("kept", ["ten", "10,-5", "10;20", "1.5,3"])
def test_levels_are_typed_as_numbers(kept, source, tmp_path, monkeypatch, capsys):
    assert type_in(monkeypatch, "curve", str(tmp_path / "toy.toml"), "--kept", kept) == 2
    assert "--kept lists numbers of images, such as 10,25,50,100. Got" in capsys.readouterr().err


# ---- what is written


def made(splits=5, **changes):
    worth = Worth(12.2, -4.0, math.inf, least=-15, most=75)
    points = [
        Point(
            kept, float(kept), side, 50.0 * (side == "with"), 0.6 + kept / 500, 0.5, 0.9, splits, (("=a<b>", splits),)
        )
        for kept in (10, 25, 100)
        for side in ("real", "without", "with")
    ]
    rates = (Exchange(25, 25.0, 50.0, "real", worth, splits), Exchange(25, 20.0, 50.0, "without", worth, splits))
    return replace(LearningCurve("<Moles>", "=cnn", "AUROC", 160, tuple(points), rates, ("note",)), **changes)


def test_sentences_say_level_yardstick_and_how_few_splits_there_were():
    assert made().sentences == (
        "With 25 real images per class, 50 synthetic ones per class are worth 12 (95 % interval -4 to more than 75) "
        "further real ones.",
        "With 20 real images per class (25 kept) and the best arm without generated images as the yardstick, 50 "
        "synthetic ones per class are worth 12 (95 % interval -4 to more than 75) further real ones.",
    )
    assert made(splits=3).sentences[0].endswith("From 3 splits: the interval is too narrow to be trusted.")


def test_the_table_has_a_row_per_level_and_side_and_no_formula():
    rows = list(csv.DictReader(io.StringIO(curve_csv([made()]))))
    assert [(row["level"], row["arm"]) for row in rows][:4] == [
        ("10", "real"),
        ("10", "without"),
        ("10", "with"),
        ("25", "real"),
    ]
    assert {"mean", "low", "high", "splits"} < rows[0].keys()
    assert (rows[0]["classifier"], rows[0]["chosen"], rows[0]["mean"]) == ("'=cnn", "'=a<b> (5)", "0.620000")


def test_the_record_is_json(finished):
    for found in (made(), finished[0]):
        read = json.loads(json.dumps(found.record(), allow_nan=False))
        assert read["exchanges"][0]["sentence"] == found.sentences[0]
        assert read["points"][0]["chosen"] == dict(found.points[0].chosen)


def test_the_page_asks_nothing_of_a_network_and_escapes_every_name(tmp_path):
    write_curves([made()], tmp_path / "out")
    page = (tmp_path / "out" / "curve.html").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["curve.csv", "curve.html"]
    assert not re.search(r"<(script|link[^>]+href=.http)|https?://", page)
    assert "<Moles>" not in page
    assert "=a<b>" not in page
    assert all(sentence in page for sentence in made().sentences)


def test_the_chart_has_a_point_per_level_and_side_on_a_logarithmic_axis():
    drawn = chart(made())
    assert drawn.count('class="mean"') == 9
    labels = re.findall(r'x="([\d.]+)%"[^>]*class="label">(\d+)<', drawn)
    across = {int(size): float(place) for place, size in labels}
    share = (across[25] - across[10]) / (across[100] - across[10])
    assert share == pytest.approx(math.log(2.5) / math.log(10), abs=1e-3)
    assert render([made(), made()]).count("<svg") == 2


def test_the_levels_of_the_skin_lesion_report_fit_into_its_own_set(tmp_path):
    # 1,800 benign and 1,497 malignant images: the set itself is not at hand, its sizes are
    labels, classes = np.repeat([0, 1], [1800, 1497]), ["benign", "malignant"]
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "lesions.npz", images=images, labels=labels, classes=classes)
    told = study.load_study(STUDIES / "skin-infogan.toml")
    data = told.data.replace(source=str(tmp_path / "lesions.npz"), size="native")
    laid = lay_levels(told.replace(data=data), (10, 50, 100, 250, 500), MemoryStore(), force=True)
    assert laid[0].images.take(shared_images(laid)).counts() == (360, 997)
