"""The command line, as a user types it: what it prints, what it writes, and how it ends."""

import csv
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from PIL import Image
from rich.console import Console

from augury.catalogue import catalogue
from augury.cli import main
from augury.progress import Bar
from augury.study import layout
from augury.study.estimate import Stopwatch
from augury.study.store import FolderStore
from law import draw_images, write

STUDY = """
title = "Toy"
data = { source = "images.npz" }
split = { folds = 2, repeats = 1 }
generators = [{ kind = "law:Oracle", name = "oracle" }, { kind = "law:Broken", name = "broken" }]
classifiers = [{ kind = "law:Discriminant", name = "lda" }]
arms = [{ name = "real" }, { name = "oracle", generator = "oracle", amounts = ["ratio 1", "ratio 2"] }ALSO]
"""
BROKEN_ARM = ', { name = "broken", generator = "broken", amounts = ["ratio 1"] }'


class Shell:
    """Types commands in a folder of its own."""

    def __init__(self, folder, patch):
        self.folder, self.patch = folder, patch
        patch.chdir(folder)

    def __call__(self, *words):
        """Run `augury ...`; return exit code, stdout, and stderr on one line."""
        self.patch.setattr(sys, "argv", ["augury", *map(str, words)])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, out.getvalue(), " ".join(err.getvalue().split())

    def steps(self, store):
        """Return the finished steps of a store and when each was finished."""
        return {p.name: p.stat().st_mtime_ns for p in (self.folder / store).glob("[A-Z]*/*")}


@pytest.fixture
def augury(tmp_path, monkeypatch):
    return Shell(tmp_path, monkeypatch)


def pngs(folder, **n_per_class):
    """Write 8 x 8 PNGs of the toy law, a folder per class."""
    images = draw_images(max(n_per_class.values()), seed=0)
    for label, (name, n) in enumerate(n_per_class.items()):
        (folder / name).mkdir(parents=True)
        for i, pixels in enumerate(images.of_class(label).images[:n, 0].numpy()):
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def decoded(path):
    with Image.open(path) as image:
        return image.tobytes()


# ---- list, fit, sample


def test_list_names_every_kind_with_its_settings(augury):
    code, out, err = augury("list")
    assert (code, err) == (0, "")
    assert all(row["kind"] in out for rows in catalogue().values() for row in rows)
    assert "latent=32" in out


def test_list_as_json_is_json_and_nothing_else(augury):
    code, out, err = augury("list", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(catalogue()))


def test_fit_and_sample_give_labelled_images_and_one_seed_the_same_ones(augury, tmp_path):
    data = pngs(tmp_path / "data", cat=6, dog=5)
    code, out, _ = augury("fit", data, "--generator", "cvae", "--set", "steps=3", "--set", "hidden=[8]", "-o", "model")
    assert (code, out) == (0, "cvae fitted on 11 images: model\n")
    for name in ("one", "two"):
        assert augury("sample", "model", "--count", "dog=4", "--seed", 1, "-o", name)[:2] == (0, f"4 images: {name}\n")
    rows = list(csv.DictReader((tmp_path / "one" / "manifest.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == ["dog"] * 4
    one, two = ([decoded(tmp_path / name / row["path"]) for row in rows] for name in ("one", "two"))
    assert one == two
    assert len(set(one)) == 4
    assert len(one[0]) == 8 * 8


def test_fit_says_when_a_model_holds_the_images_it_was_fitted_on(augury, tmp_path):
    data = pngs(tmp_path / "data", a=3, b=3)
    _, out, err = augury("fit", data, "--generator", "repeat", "-o", "model")
    assert out == "repeat fitted on 6 images: model\n"
    assert err.endswith("this model contains training images: treat it as you treat them")


# ---- try


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Try a small folder, every fit being said to take a second, within a budget that holds one dose less."""
    with pytest.MonkeyPatch.context() as patch:
        shell = Shell(tmp_path_factory.mktemp("tried"), patch)
        patch.setattr(Stopwatch, "seconds", lambda self, recipe: 1.0)
        pngs(shell.folder / "data", cat=12, dog=12)
        words = ("data", "--preset", "quick", "--steps", "4", "--jobs", "1", "--budget", "41s", "--json", "-o", "out")
        yield shell, shell("try", *words)


def test_try_hashes_the_images_once_whatever_the_budget_leaves_out(augury, monkeypatch):
    hashed, digest = [], layout.content_digest
    monkeypatch.setattr(layout, "content_digest", lambda *given: hashed.append(given) or digest(*given))
    pngs(augury.folder / "data", cat=12, dog=12)
    code, _, err = augury("try", "data", "--budget", "0.001s", "--jobs", "1")
    assert (code, len(hashed)) == (2, 1)
    assert "the smallest form of this study needs about" in err


def test_where_there_is_no_terminal_lines_are_all_that_is_printed():
    stream = io.StringIO()
    with Bar(Console(file=stream)) as bar:
        bar.on_image(1, 2)
    assert stream.getvalue() == ""


def test_try_prints_the_outcome_as_json_and_nothing_else(tried):
    code, out, _ = tried[1]
    assert code == 0
    outcome = json.loads(out)
    assert outcome["verdict"] == "EXPLORATORY"  # quick gives no verdict
    assert outcome["sentence"].startswith(f"{outcome['verdict']}: ")
    assert outcome["cells_failed"] == 0
    assert [row["steps"] for row in outcome["arms"]] == [4] * len(outcome["arms"])


def test_try_says_beforehand_what_it_runs_and_what_the_budget_left_out(tried):
    *_, err = tried[1]
    assert "data: 24 images, 8 x 8, grey; cat: 12, dog: 12" in err
    assert "2 folds x 1; arms: real; classical; repeat · ratio 1; blend · ratio 1; cvae · ratio 0.5; cvae, " in err
    assert "shift, rotate, crop" in err
    assert "left out to stay within 41 s: dose 'ratio 1'" in err
    assert "100 % done" in err


def test_try_keeps_report_tables_and_a_study_that_runs_again_without_a_step(tried):
    shell, (_, out, _) = tried
    names = {path.name for path in (shell.folder / "out").iterdir()}
    assert names == {"report.html", "results.csv", "scores.csv", "study.toml", "store"}
    before, table = shell.steps("out/store"), (shell.folder / "out" / "results.csv").read_bytes()
    code, again, _ = shell("run", "out/study.toml", "--store", "out/store", "-o", "again")
    assert code == 0
    assert again.splitlines()[0] == json.loads(out)["sentence"]
    assert shell.steps("out/store") == before
    assert (shell.folder / "again" / "results.csv").read_bytes() == table


def test_report_is_written_from_the_store_alone(tried):
    shell, (_, out, _) = tried
    code, printed, _ = shell("report", "out/study.toml", "-o", "only.html", "--no-real-images")
    told = json.loads(out)
    assert code == 0
    assert printed.splitlines()[:-1] == [
        told["sentence"],
        *(f"  {line}" for line in told["contrasts"][0]["verdict"]["details"]),
    ]
    assert (shell.folder / "only.html").stat().st_size > 10_000


# ---- run


@pytest.fixture
def studied(augury, tmp_path):
    """Write images and two study files: one that works, one with a generator that fails."""
    write(draw_images(16, seed=0), tmp_path / "images.npz")
    for name, also in (("good", ""), ("bad", BROKEN_ARM)):
        (tmp_path / f"{name}.toml").write_text(STUDY.replace("ALSO", also))
    return augury


def test_dry_run_lists_arms_steps_and_time_and_makes_nothing(studied):
    code, out, err = studied("run", "good.toml", "--dry-run", "--allow-plugins")
    assert code == 0
    assert out.startswith("6 cells, 38 steps to do, about ")
    assert "2 folds x 1; arms: real; oracle · ratio 1; oracle · ratio 2" in err
    assert {path.name for path in studied.folder.iterdir()} == {"images.npz", "good.toml", "bad.toml"}


def test_run_ends_in_its_sentence_and_the_place_of_the_report(studied):
    code, out, err = studied("run", "good.toml", "--allow-plugins", "--jobs", 1)
    assert code == 0
    assert out.splitlines()[0].split(":")[0] in {"HELPS", "INCONCLUSIVE", "SUGGESTIVE", "HARMS"}
    assert out.splitlines()[-1] == f"report: {os.path.join('good', 'report.html')}"  # noqa: PTH118
    assert "failed" not in err


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_cell_that_fails_ends_in_1_with_its_reason_and_a_report(studied, flags):
    code, out, err = studied("run", "bad.toml", "--allow-plugins", "--jobs", 1, *flags)
    assert code == 1
    assert "failed: fit broken (2 cells): this generator is broken." in err
    assert "Traceback" not in out + err
    assert (studied.folder / "bad" / "report.html").exists()
    if flags:
        assert json.loads(out)["failures"][0]["cells"] == 2


# ---- bad requests


FOLDERS = {"fine": {"a": 6, "b": 6}, "single": {"a": 6}, "few": {"a": 6, "b": 2}}
BAD_REQUESTS = {
    "missing path": ("try nowhere", "no images at 'nowhere': found nothing there: check the path."),
    "empty folder": ("try empty", "empty holds no folders: one folder of images per class was expected."),
    "one class": ("try single", "at least 2 classes are needed to train a classifier. Got only 'a'"),
    "class too small": ("try few", "class 'b' has 2 images: a split needs at least 3. Remove the class or add images."),
    "bad budget": ("try fine --budget soon", "a time is written like 90s, 30m, 2h or 1h30m. Got 'soon'."),
    "small budget": ("try fine --budget 1s", "the smallest form of this study needs about"),
    "unsafe": ("try fine --safe flop", "did you mean 'flip'?"),
    "no such class": ("try fine --positive c", "[data] positive must be one of a, b. Got 'c'."),
    "given parts": ("try fine --split given", "the images have no given parts"),
    "generator": ("fit fine --generator cvea -o m", "there is no generator 'cvea': did you mean 'cvae'?"),
    "setting": ("fit fine --generator cvae --set step=3 -o m", "cvae has no setting 'step': did you mean 'steps'?"),
    "no value": ("fit fine --generator cvae --set steps -o m", "--set expects name=value. Got 'steps'."),
    "wrong type": ("fit fine --generator cvae --set steps=many -o m", "steps of cvae: expected a valid integer"),
    "part": ("fit fine --generator repeat --part train -o m", "Use --part all."),
    "no model": (
        "sample fine --per-class 1 -o d",
        "a fitted generator (a folder with card.json) was expected",
    ),
    "how many": ("sample fine -o d", "say how many: either --per-class N or --count CLASS=N."),
    "no study": ("run nothing.toml", "a study file was expected at nothing.toml."),
    "plug-in": ("run good.toml", "'law:Oracle' is code from outside, which runs only with --allow-plugins."),
}


@pytest.mark.parametrize(("words", "sentence"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_a_bad_request_ends_in_2_with_a_sentence(studied, words, sentence):
    (studied.folder / "empty").mkdir()
    for name, counts in FOLDERS.items():
        pngs(studied.folder / name, **counts)
    code, out, err = studied(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("augury: ")
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", ["tri digits", "try fine --preset slow", "try fine --jobs 0", "list --jsn"])
def test_a_command_that_cannot_be_parsed_ends_in_2_without_a_traceback(augury, words):
    code, out, err = augury(*words.split())
    assert (code, out) == (2, "")
    assert "Error" in err
    assert "Traceback" not in err


def test_a_store_in_use_ends_in_2_with_a_remedy(studied):
    with FolderStore(studied.folder / "good" / "store").lock():
        code, _, err = studied("run", "good.toml", "--allow-plugins", "--jobs", 1)
    assert code == 2
    assert "another run is using the store" in err


def test_version_is_printed(augury):
    assert augury("--version")[:2] == (0, "augury 0.1.0\n")
