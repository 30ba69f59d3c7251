"""`augury augment`, as a user types it, and the examples of its page."""

import csv
import functools
import io
import json
import re
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augury import handover
from augury.cli import main
from augury.handover import plan
from augury.study import load_study
from augury.training import Run
from augury.verdict import Kind
from law import draw_images, write
from pictures import save
from toy import toy_images

COLLECT = functools.cache(plan.collect)
PAGE = Path(__file__).parents[2] / "docs" / "handing-over.md"
STUDY = """
title = "Toy"
data = { source = "images.npz" }
split = { folds = 3, repeats = 1 }
generators = [{ kind = "law:Oracle", name = "oracle" }]
classifiers = [{ kind = "law:Discriminant", name = "lda" }]
arms = [
  { name = "real" },
  { name = "drawn", generator = "oracle", amounts = ["ratio 0.5"], filters = ["near_copy"], factor = 3.0 },
]
"""


def shell(folder, patch):
    """Return what types a command in a folder: exit code, stdout, and stderr on one line."""
    patch.chdir(folder)

    def run(*words):
        patch.setattr(sys, "argv", ["augury", *map(str, words)])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, out.getvalue(), " ".join(err.getvalue().split())

    return run


@pytest.fixture
def augury(tmp_path, monkeypatch):
    return shell(tmp_path, monkeypatch)


@pytest.fixture
def scans(tmp_path):
    """Write colour images of two classes, 12 and 6, of 28 x 28 pixels, and a table of their patients."""
    images = toy_images(channels=3, size=(28, 28), per_class=(12, 6))
    rows = ["image,dx,patient"]
    for name, label, image in zip(images.names, images.labels.tolist(), images.images, strict=True):
        path = save(tmp_path / "scans" / "ab"[label] / name.replace("/", "-"), image.permute(1, 2, 0).numpy())
        rows.append(f"{path.relative_to(tmp_path).as_posix()},{'ab'[label]},p{len(rows) // 2}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    return tmp_path / "scans"


CVAE = ("--generator", "cvae", "--set", "steps=3", "--set", "hidden=[8]")


def test_a_set_is_written_and_look_finds_nothing_wrong_with_it(augury, scans):
    code, out, err = augury("augment", "scans", *CVAE, "--to", "balance", "-o", "ready")
    assert (code, out, err) == (0, "18 real and 6 synthetic images: ready\n", "")
    code, out, _ = augury("look", "ready/images")
    assert code == 0
    assert "no exact duplicates" in out
    assert "no near duplicates" in out


def test_groups_of_a_table_are_in_the_manifest_which_is_a_table_itself(augury, scans, tmp_path):
    how = ("--columns", "path=image,label=dx", "--group", "patient", "--size", "24")
    code, *_ = augury("augment", "table.csv", *CVAE, "--to", "20", *how, "--real", "link", "-o", "ready")
    assert code == 0
    rows = list(csv.DictReader((tmp_path / "ready" / "manifest.csv").read_text().splitlines()))
    assert {row["group"] for row in rows if row["synthetic"] == "0"} == {f"p{i}" for i in range(10)}
    assert sum(row["synthetic"] == "1" for row in rows) == 8 + 14
    assert "10 groups" in (tmp_path / "ready" / "card.md").read_text()
    code, out, _ = augury("look", "ready/manifest.csv", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 40


def test_a_model_and_filters_give_what_passes_and_say_what_is_missing(augury, scans):
    augury("fit", "scans", "--generator", "repeat", "-o", "model")
    code, out, err = augury("augment", "scans", "--model", "model", "--to", "balance", "-o", "ready")
    assert (code, out) == (2, "")
    assert "repeat drew nothing to hand over: class 'b' gets 0 of 6 synthetic images: 12 were drawn, dropped: 12" in err
    code, out, err = augury(
        "augment", "scans", "--generator", "blend", "--set", "parents=6", "--to", "40", "--form", "npz", "-o", "ready"
    )
    assert code == 0
    assert re.search(r"class 'b' gets \d+ of 34 synthetic images: 68 were drawn, dropped: .* looks like another", err)
    assert err.endswith("the synthetic images are made of training images: treat them as you treat those")


BAD_REQUESTS = {
    "no data": ("--generator cvae --to 20", "images were expected: augury augment DATA. Only --study knows its own."),
    "nothing to draw from": ("scans --to 20", "say what the images are drawn from: --generator KIND"),
    "two to draw from": ("scans --to 20 --generator cvae --model m", "say what the images are drawn from"),
    "how many": ("scans --generator cvae", "say how many: --to balance, N (of each class) or ratio:R."),
    "no amount": ("scans --generator cvae --to lots", "--to expects balance, N (of each class) or ratio:R. Got 'lots'"),
    "no generator": ("scans --generator cvea --to 20", "there is no generator 'cvea': did you mean 'cvae'?"),
    "no filter": ("scans --generator cvae --to 20 --filter near", "there is no filter 'near'"),
    "link": ("scans --generator cvae --to 20 --form npz --real link", "links are made in folders."),
    "part": ("scans --generator cvae --to 20 --part train", "Use --part all."),
    "study and more": ("--study s --to 20 --size 8", "Got --study with --to, the reading options: leave them out."),
    "no study": ("--study nowhere", "a study file was expected at nowhere"),
}


@pytest.mark.parametrize(("words", "sentence"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_a_bad_request_ends_in_2_with_a_sentence_and_nothing_written(augury, scans, tmp_path, words, sentence):
    code, out, err = augury("augment", *words.split(), "-o", "ready")
    assert (code, out) == (2, "")
    assert sentence in err
    assert {path.name for path in tmp_path.iterdir()} == {"scans", "table.csv"}


def test_a_folder_in_use_is_left_alone(augury, scans):
    code, _, err = augury("augment", "scans", *CVAE, "--to", "20", "-o", "scans")
    assert code == 2
    assert "exists already. Name another folder, or remove it." in err


# ---- from a study


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """Run a study whose images are written beside it."""
    folder = tmp_path_factory.mktemp("studied")
    write(draw_images((40, 30), seed=0), folder / "images.npz", groups=[f"p{i // 2}" for i in range(70)])
    (folder / "moles.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        assert shell(folder, patch)("run", "moles.toml", "--allow-plugins", "--jobs", 1)[0] == 0
    return folder / "moles"


def ends_in(kind, patch, reasons=()):
    """Let every study end in a verdict."""

    def collected(*given):
        finished = COLLECT(*given)
        first, *others = finished.outcome.contrasts
        first = replace(
            first, verdict=replace(first.verdict, kind=kind, sentence=f"{kind}: so it is.", reasons=reasons)
        )
        return replace(finished, outcome=replace(finished.outcome, contrasts=(first, *others)))

    patch.setattr(plan, "collect", collected)


def test_a_study_that_helps_hands_over_the_arm_it_chose_on_all_images(augury, studied, monkeypatch, tmp_path):
    ends_in(Kind.HELPS, monkeypatch)
    code, out, _ = augury("augment", "--study", studied, "--allow-plugins", "-o", "ready")
    assert code == 0
    assert out.startswith("70 real and ")
    card = (tmp_path / "ready" / "card.md").read_text()
    assert "chose the arm 'drawn · ratio 0.5' in 3 of 3 splits. Its verdict: HELPS: so it is." in card
    assert "Wanted: ratio 0.5; filters and selection: near\\_copy" in card
    assert "Fitted on 70 images" in card
    assert "Drawn: 105" in card
    images = handover.load(tmp_path / "ready")
    assert len(set(images.groups[:70])) == 35


WATCHED = """
data = { source = "digits", size = 8, safe = [] }
split = { folds = 3, repeats = 1, per_class = 12 }
generators = [{ kind = "cgan", hidden = [16], latent = 4, steps = 12, batch = 16, snapshots = 4 }]
classifiers = [{ kind = "small_cnn", steps = 10, batch = 16, width = 4 }]
arms = [{ name = "real" }, { name = "cgan", generator = "cgan", amounts = ["ratio 1"] }]
"""


def test_images_come_from_the_network_that_the_study_chose_most_often(augury, monkeypatch, tmp_path):
    (tmp_path / "watched.toml").write_text(WATCHED)
    assert augury("run", "watched.toml", "--jobs", 1, "--force")[0] == 0
    choices = sorted((tmp_path / "watched" / "store" / "ChooseSnapshot").glob("*/choice.json"))
    made = [json.loads(path.read_text())["steps"] for path in choices]
    usual = max(made, key=lambda steps: (made.count(steps), steps))
    ends_in(Kind.HELPS, monkeypatch)
    assert augury("augment", "--study", "watched", "--force", "-o", "ready")[0] == 0
    card = (tmp_path / "ready" / "card.md").read_text()
    times = f"{made.count(usual)} of {len(made)} trainings"
    assert f"It is drawn from the network of {usual} steps, as in {times} of the study." in card
    study = load_study(tmp_path / "watched.toml")
    images = plan.from_study(tmp_path / "watched", None, store=None, plugins=False, force=True).images
    last = study.generators[0].recipe.fit(images, Run(seed=0, device="cpu"))
    assert usual in last.film.snapshots(), "were it the last network, nothing would be shown here"
    drawn = set(last.at(usual).draw(dict(zip(images.classes, images.counts(), strict=True)), seed=0).digests)
    handed = handover.load(tmp_path / "ready")
    new = [digest for digest, made_up in zip(handed.digests, handed.synthetic.tolist(), strict=True) if made_up]
    assert new
    assert set(new) <= drawn


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.HELPS])
def test_any_other_verdict_is_refused_with_its_sentence(augury, studied, monkeypatch, tmp_path, kind):
    ends_in(kind, monkeypatch)
    code, out, err = augury("augment", "--study", studied, "--allow-plugins", "-o", "ready")
    assert (code, out) == (2, "")
    assert f"a study that ends in HELPS was expected. Got {kind}: so it is. Train on the real images" in err
    assert not (tmp_path / "ready").exists()


def test_a_refusal_says_why_there_is_no_verdict(augury, studied, monkeypatch):
    ends_in(Kind.WITHHELD, monkeypatch, reasons=("Withheld because: cvae copies.", "Withheld because: a flaw."))
    _, _, err = augury("augment", "--study", studied, "--allow-plugins", "-o", "ready")
    assert (
        "WITHHELD: so it is. Withheld because: cvae copies. Withheld because: a flaw. Train on the real images" in err
    )


def test_force_goes_on_and_the_card_says_so_wherever_the_images_lie_now(augury, studied, monkeypatch, tmp_path):
    ends_in(Kind.HARMS, monkeypatch)
    shutil.copyfile(studied.parent / "images.npz", tmp_path / "moved.npz")
    words = ("augment", "moved.npz", "--study", studied, "--allow-plugins", "--force", "-o", "ready")
    assert augury(*words)[0] == 0
    card = (tmp_path / "ready" / "card.md").read_text()
    assert "they were asked for all the same (--force)" in card


def test_a_study_of_other_images_is_refused(augury, studied, tmp_path):
    write(draw_images((40, 30), seed=1), tmp_path / "others.npz")
    code, _, err = augury("augment", "others.npz", "--study", studied, "--allow-plugins", "--force", "-o", "ready")
    assert code != 0
    assert "Traceback" not in err


# ---- the page


def test_the_scripts_of_the_page_run_one_after_the_other(augury, scans, tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    plain, *ours = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert "augury" not in plain
    assert 10 <= len(plain.strip().splitlines()) <= 14
    command = next(line for line in text.splitlines() if line.startswith("    augury augment scans/ --generator"))
    assert augury(*command.split()[1:], "--set", "steps=3")[0] == 0
    script = {}
    exec(plain, script)  # the page is ours
    assert np.isfinite(script["loss"].item())
    assert script["loader"].dataset.classes == ["a", "b"]
    for example in ours:
        exec(example, script)
    assert len(script["scores"]) == 3
    assert len(script["pictures"]) == len(script["X"]) == 24
