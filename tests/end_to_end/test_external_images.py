"""Images made elsewhere, from a folder to a report: what is wrong with them is said, then their arm runs."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from PIL import Image

from augury.cli import main
from law import draw_images, write

STUDY = """
title = "Toy"
data = { source = "images.npz" }
split = { folds = 2, repeats = 1 }
generators = [
    { name = "oracle", kind = "law:Oracle" },
    { name = "vendor", kind = "external", source = "synthetic"ALSO },
]
classifiers = [{ kind = "law:Discriminant", name = "lda" }]
arms = [
    { name = "real" },
    { name = "oracle", generator = "oracle", amounts = ["ratio 1"] },
    { name = "vendor", generator = "vendor", amounts = ["ratio 1"] },
]
"""
MAPPED = ', classes = { Healthy = "a" }'
SIZES, MODES = ((8, 8), (16, 12), (40, 40)), ("L", "RGBA", "P", "I;16")


def png(pixels, path, i):
    """Write an image in the i-th of some sizes and modes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels).resize(SIZES[i % len(SIZES)])
    mode = MODES[i % len(MODES)]
    (image.point(lambda value: value * 256, "I").convert("I;16") if mode == "I;16" else image.convert(mode)).save(path)


@pytest.fixture(scope="module")
def augury(tmp_path_factory):
    """Return what types commands in a folder that holds images, and a folder of synthetic ones made elsewhere."""
    folder = tmp_path_factory.mktemp("external")
    write(draw_images(40, seed=0), folder / "images.npz")
    made = draw_images(40, seed=5)
    for i, (image, label) in enumerate(zip(made.images, made.labels.tolist(), strict=True)):
        png(image[0].numpy(), folder / "synthetic" / ("Healthy", "b")[label] / f"{i}.png", i)

    def typed(*words):
        patch.setattr(sys, "argv", ["augury", *map(str, words)])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, out.getvalue(), " ".join(err.getvalue().split())

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        typed.folder = folder
        yield typed


def run(augury, also, name, *, source="synthetic"):
    """Run the study with some more settings of the images made elsewhere; return code, outcome and stderr."""
    (augury.folder / f"{name}.toml").write_text(STUDY.replace("synthetic", source).replace("ALSO", also))
    code, out, err = augury("run", f"{name}.toml", "--allow-plugins", "--jobs", 1, "--device", "cpu", "--json")
    assert "Traceback" not in out + err
    assert out, err
    return code, json.loads(out), err


def test_what_is_wrong_is_said_and_then_the_arm_runs(augury):
    code, outcome, err = run(augury, "", "unknown")
    assert code == 1
    assert "fit external (2 cells): the images made elsewhere have a class 'Healthy'" in err
    assert 'Expected one of: a, b. Say what it is: classes = { "Healthy" = ... }' in err
    broken = augury.folder / "synthetic" / "b" / "broken.png"
    broken.write_bytes(b"hello")
    code, outcome, err = run(augury, MAPPED, "unreadable")
    assert code == 1
    assert "b/broken.png is not an image" in err
    assert "To go on without: skip_unreadable = true." in err
    code, outcome, err = run(augury, f"{MAPPED}, skip_unreadable = true", "good")
    broken.unlink()
    assert (code, outcome["cells_failed"]) == (0, 0)
    vendor = next(row for row in outcome["generators"] if row["name"] == "vendor")
    assert (vendor["kind"], vendor["control"], vendor["contains_training_images"]) == ("external", False, False)
    assert "vendor · ratio 1" in [row["arm"] for row in outcome["arms"]]
    assert (augury.folder / "good" / "report.html").exists()


def test_results_belong_to_the_images_and_not_to_their_place(augury):
    assert run(augury, MAPPED, "first")[0] == 0
    steps = {path: path.stat().st_mtime_ns for path in (augury.folder / "first" / "store").glob("[A-Z]*/*")}
    (augury.folder / "synthetic").rename(augury.folder / "moved")
    code, _, _ = run(augury, MAPPED, "first", source="moved")
    (augury.folder / "moved").rename(augury.folder / "synthetic")
    assert code == 0
    after = {path: path.stat().st_mtime_ns for path in (augury.folder / "first" / "store").glob("[A-Z]*/*")}
    assert after == steps


def test_images_drawn_by_a_model_that_saw_the_test_part_are_a_leak(augury):
    assert augury("fit", "images.npz", "--generator", "blend", "-o", "model")[0] == 0
    assert augury("sample", "model", "--per-class", 40, "-o", "drawn")[0] == 0
    code, outcome, err = run(augury, "", "leak", source="drawn")
    assert code == 1
    assert "not new: the generator behind the synthetic images saw them" in err
    assert outcome["cells_failed"] == 2
    assert [f["reason"] for f in outcome["failures"] if "generator behind" not in f["reason"]] == []


def test_real_images_passed_off_as_synthetic_ones_are_a_leak(augury):
    images = draw_images(40, seed=0)
    for i, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        png(image[0].numpy(), augury.folder / "copies" / "ab"[label] / f"{i}.png", 0)
    code, _, err = run(augury, "", "passed_off", source="copies")
    assert code == 1
    assert "are not new" in err
