"""Every bad input gets one sentence: `docs/bad-input.md` is what the command line says, written by this test.

`WRITE=1 pytest tests/end_to_end/test_bad_input.py` writes the page anew.
"""

import csv
import io
import os
import pickle
import re
import resource
import shlex
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from augury.cli import main
from augury.study.store import FolderStore
from pictures import colour, grey, one_each, pack, png, save

PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
HEAD = """# What bad input gets

One sentence on stderr, exit code 2, nothing on stdout, nothing half written: at most the images that could be read are
kept for the next time. This page is written by
`tests/end_to_end/test_bad_input.py`, which runs every command below and compares; names of folders are shortened.

What is odd but can be used is used as it is: class names such as `../x`, `<script>`, `=cmd()`, line breaks and emoji
never become paths, HTML, formulas or commands to a terminal.
"""
STUDY = """
data = { source = "fine" }
split = { folds = 2, repeats = 1 }
generators = [{ kind = "GENERATOR" }]
classifiers = [{ kind = "small_cnn" }]
arms = [{ name = "real" }, { name = "x", generator = "NAME", amounts = ["ratio 1"] }]
"""
FIT = "fit fine -o model --generator"


@dataclass(frozen=True)
class Case:
    """A bad input, and a command that meets it."""

    title: str
    words: str
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    file_bytes: int | None = None  # the longest file that may be written, as on a disk that is full


SECTIONS = {
    "Folders": [
        Case("a path that is not there", "try nowhere"),
        Case("a kind of file that nothing reads", "try notes.docx"),
        Case("an empty folder", "try empty"),
        Case("the same, only to be looked at", "look empty"),
        Case("one class", "try single"),
        Case("a class too small for the split", "try few"),
        Case("a class folder without images", "try hollow"),
        Case("images outside the class folders", "try loose"),
        Case("parts beside classes", "try muddled"),
        Case("given parts asked for, and none there", "try fine --split given"),
    ],
    "Files": [
        Case("a truncated image", "try cut"),
        Case("a text that calls itself an image", "try text"),
        Case("an empty file", "try nothing"),
        Case("another kind of file among the images", "try mixed"),
        Case("many bad files", "try many"),
        Case("a class that is lost with its bad files", "try lost --skip-unreadable"),
        Case("sizes that differ, and none is given", "try sizes --size native"),
        Case("images that are too small as they are", "try tiny"),
    ],
    "Tables": [
        Case("no column of that name", "try other.csv"),
        Case("no such column", "try table.csv --columns path=file"),
        Case("a column that has no role", "try table.csv --columns pth=path"),
        Case("a class to be renamed that is not there", "try fine --classes c=benign"),
        Case("a class without a new name", "try fine --classes benign"),
        Case("unknown paths", "try unknown.csv"),
        Case("a row that stands twice", "try twice.csv"),
        Case("one image under two labels", "try conflict.csv"),
        Case("a row without a label", "try blank.csv"),
        Case("an unknown part", "try parts.csv"),
        Case("another encoding", "try latin.csv"),
        Case("a path that leads out of the folder", "try outside.csv"),
        Case("a group by an unknown column", "try table.csv --group patint"),
        Case("a group by a pattern that is none", "try table.csv --group '(?P<group>['"),
        Case("a group by a pattern that finds nothing", "try table.csv --group '(?P<group>patient)'"),
    ],
    "Arrays": [
        Case("a wrong shape", "try shape.npz"),
        Case("numbers that are no pixels", "try float.npz"),
        Case("arrays of objects", "try objects.npz"),
        Case("labels with a gap", "try gap.npz"),
        Case("fewer labels than images", "try short.npz"),
        Case("several labels per image", "try several.npz"),
        Case("no labels", "try unlabelled.npz"),
        Case("a file that is none", "try hello.npz"),
    ],
    "Settings": [
        Case("size 0", "try fine --size 0"),
        Case("an absurd size", "try fine --size 100000"),
        Case("a size that is no number", "try fine --size large"),
        Case("levels that cannot be meant", "try fine --levels 'window 40'"),
        Case("an augmentation that is none", "try fine --safe flop"),
        Case("a class that is not there", "try fine --positive c"),
        Case("an unknown classifier", "try fine --classifier resnet5"),
        Case("a time that is none", "try fine --budget soon"),
        Case("an unknown generator", f"{FIT} cvea"),
        Case("an unknown setting", f"{FIT} cvae --set step=3"),
        Case("a setting of the wrong type", f"{FIT} cvae --set steps=many"),
        Case("a setting out of range", f"{FIT} blend --set parents=1"),
        Case("a setting without a value", f"{FIT} cvae --set steps"),
        Case("a set of MedMNIST that there is not", "try medmnist:brestmnist"),
    ],
    "Images made elsewhere": [
        Case("no source", f"{FIT} external"),
        Case("a source that is not there", f"{FIT} external --set source=nowhere"),
        Case("a truncated image among them", f"{FIT} external --set source=cut"),
        Case("classes that the images do not have", f"{FIT} external --set source=hostile.npz"),
    ],
    "Study files": [
        Case("no such file", "run nothing.toml"),
        Case("a file that is no TOML", "run broken.toml"),
        Case("an unknown setting", "run unknown.toml"),
        Case("a wrong type", "run type.toml"),
        Case("an unknown kind", "run kind.toml"),
        Case("an arm of an unknown generator", "run arm.toml"),
        Case("an unknown loss", "run loss.toml"),
        Case("an augmentation that is not declared safe", "run unsafe.toml"),
        Case("another budget for one arm", "run longer.toml"),
        Case("training as published, undeclared", "run published.toml"),
        Case("trials without a grid", "run trials.toml"),
        Case("a file of weights that is not there", "run weights.toml"),
        Case("code from outside", "run plugin.toml"),
        Case("code from outside that is not there", "run plugin.toml --allow-plugins"),
        Case("the state of a study that is not there", "status nothing.toml"),
        Case("the report of a study that has not run", "report good.toml"),
        Case("the store of a study that has not run", "clean studies --yes"),
        Case("results to be removed, and nobody to ask", "clean studies"),
    ],
    "Hostile input": [
        Case("a zip whose names lead out", "try slip.zip"),
        Case("a zip with a link", "try link.zip"),
        Case("a zip that is encrypted", "try locked.zip"),
        Case("a zip bomb", "try bomb.zip"),
        Case("a zip that holds more than it declares", "try liar.zip"),
        Case("a pixel bomb", "try pixels"),
        Case("a link that leaves the folder", "try escape"),
        Case("a pipe where an image should be", "try pipe"),
        Case("a pickle that calls itself an array", "try pickle.npz"),
        Case("names of classes that are no names", "try hostile.npz --positive nobody"),
        Case("a name of a file that moves the cursor", "try cursor"),
    ],
    "Trouble": [
        Case("a store that another run uses", "run good.toml", lambda: FolderStore(Path("good/store")).lock()),
        Case("a store that is something else", "run good.toml --store fine"),
        Case("a folder that is taken", "fit fine -o few --generator repeat"),
        Case("a file where a folder should be", "fit fine -o table.csv/model --generator repeat"),
        Case("a file where the results should be", "try fine -o table.csv"),
        Case("a disk that is full, while a model is written", f"{FIT} repeat", file_bytes=500),
        Case("a disk that is full, while results are written", "try fine", file_bytes=500),
        Case("a model that is none", "sample fine --per-class 1 -o drawn"),
        Case("a training that diverges", f"{FIT} cvae --set rate=1.0 --set likelihood=gaussian --set steps=200"),
    ],
}


# ---- the bad inputs


def folders(root):
    """Make the folders of images."""
    for label in "ab":
        one_each(root / "fine", *(f"{label}/{i}.png" for i in range(6)), seed=100 * ord(label))
    one_each(root / "single", "a/1.png", "a/2.png")
    one_each(root / "few", "a/1.png", "a/2.png", "a/3.png", "a/4.png", "b/1.png", "b/2.png")
    one_each(root / "loose", "a/1.png", "b/1.png", "1.png")
    one_each(root / "muddled", "train/1.png", "test/1.png", "cats/1.png")
    for name in ("hollow", "cut", "text", "nothing", "mixed", "many", "lost", "escape", "pipe", "pixels", "cursor"):
        one_each(root / name, "a/1.png", "b/1.png")
    (root / "empty").mkdir()
    (root / "hollow/c").mkdir()
    one_each(root / "secret", "1.png")
    (root / "escape/a/2.png").symlink_to(root / "secret/1.png")
    os.mkfifo(root / "pipe/a/2.png")
    for name, pixels in (("a/1.png", grey(1)), ("b/1.png", grey(2, 30, 20))):
        save(root / "sizes" / name, pixels)
        save(root / "tiny" / name, pixels[:5, :5])


def files(root):
    """Make the files that are no images."""
    (root / "notes.docx").write_text("hello")
    (root / "cut/a/2.png").write_bytes(png(colour(1))[:200])
    (root / "text/a/2.png").write_text("hello")
    (root / "nothing/a/2.png").write_bytes(b"")
    (root / "mixed/a/2.pdf").write_text("hello")
    for i in range(2, 8):
        (root / f"many/a/{i}.png").write_text("hello")
    (root / "lost/b/1.png").write_text("hello")
    (root / "cursor/a/\x1b[2J\u202egnp.png").write_text("hello")
    (root / "pixels/a/2.png").write_bytes(vast_png())


def vast_png():
    """Return a PNG of a few bytes that says it has 60,000 x 60,000 pixels."""
    size = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    parts = (b"IHDR", size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")
    chunks = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tables(root):
    """Write the tables, each of two images of `fine` and something wrong."""
    sound = "path,label,patient\nfine/a/0.png,a,p1\nfine/b/0.png,b,p2\n"
    (root / "table.csv").write_text(sound)
    (root / "other.csv").write_text(sound.replace("path", "image").replace("label", "dx"))
    (root / "unknown.csv").write_text(sound + "fine/a/99.png,a,p3\n")
    (root / "twice.csv").write_text(sound + "fine/a/0.png,a,p1\n")
    (root / "conflict.csv").write_text(sound + "fine/a/0.png,b,p1\n")
    (root / "blank.csv").write_text(sound + "fine/a/1.png,,p3\n")
    (root / "parts.csv").write_text("path,label,split\nfine/a/0.png,a,learn\n")
    (root / "latin.csv").write_bytes("path,label\nfine/a/0.png,Nävus\n".encode("latin-1"))
    (root / "outside.csv").write_text(sound + "../secret.png,a,p3\n")


def arrays(root):
    """Write the arrays."""
    images, labels = np.stack([grey(i) for i in range(4)]), np.array([0, 1, 0, 1])
    odd = ["../x", "<script>", "=cmd()", "two\nlines 😀"]
    wrong = {
        "shape": {"images": images.reshape(4, -1), "labels": labels},
        "float": {"images": images / 255, "labels": labels},
        "objects": {"images": np.array([{}, [], 1, "x"], dtype=object), "labels": labels},
        "gap": {"images": images, "labels": labels * 2},
        "short": {"images": images, "labels": labels[:3]},
        "several": {"images": images, "labels": np.zeros((4, 14), int)},
        "unlabelled": {"images": images},
        "hostile": {"images": images, "labels": np.arange(4), "classes": odd},
    }
    for name, found in wrong.items():
        np.savez(root / f"{name}.npz", allow_pickle=True, **found)
    (root / "hello.npz").write_text("hello")
    (root / "pickle.npz").write_bytes(pickle.dumps({"images": images}))


def studies(root):
    """Write the study files."""
    (root / "studies").mkdir()
    sound = STUDY.replace("GENERATOR", "blend").replace("NAME", "blend")
    changes = {
        "good": ("", ""),
        "broken": ("split = {", "split = "),
        "unknown": ("repeats", "repeat"),
        "type": ("folds = 2", 'folds = "two"'),
        "kind": ('kind = "small_cnn"', 'kind = "small_cn"'),
        "arm": ('generator = "blend"', 'generator = "blnd"'),
        "loss": ('kind = "small_cnn"', 'kind = "small_cnn", loss = "focl"'),
        "unsafe": ('name = "real" }', 'name = "real" }, { name = "y", classifier = { augment = { flip = true } } }'),
        "longer": ('name = "real" }', 'name = "real" }, { name = "longer", classifier = { steps = 600 } }'),
        "published": ('kind = "small_cnn"', 'kind = "lesion_cnn", published = true'),
        "trials": ("split = {", "tune = { trials = 3 }\nsplit = {"),
        "weights": ('kind = "small_cnn"', 'kind = "vgg11", weights = "file:nothing.pth"'),
        "plugin": ('kind = "blend"', 'kind = "my_package:Mine", name = "blend"'),
    }
    for name, (old, new) in changes.items():
        (root / f"{name}.toml").write_text(sound.replace(old, new))


def archives(root):
    """Pack the archives."""
    sound = [("a/1.png", png(grey(1))), ("b/1.png", png(grey(2)))]
    pack(root / "slip.zip", [*sound, ("../../evil.png", png(grey(3)))])
    pack(root / "link.zip", [*sound, (link("a/2.png"), b"/etc/passwd")])
    patched(pack(root / "locked.zip", sound), 6, 1, "<H")
    patched(pack(root / "bomb.zip", sound), 22, 2**31, "<I")
    patched(pack(root / "liar.zip", [("a/1.png", bytes(2**22)), sound[1]]), 22, 100, "<I")


def link(name):
    from stat import S_IFLNK
    from zipfile import ZipInfo

    member = ZipInfo(name)
    member.create_system, member.external_attr = 3, (S_IFLNK | 0o777) << 16
    return member


def patched(path, at, value, form):
    """Change a number of the first member of an archive, where it stands and in the directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, at, value)
    struct.pack_into(form, data, data.index(b"PK\x01\x02") + at + 2, value)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("bad")
    for make in (folders, files, tables, arrays, studies, archives):
        make(root)
    return root


# ---- what comes out


def run(case):
    """Run a command in the present folder; return its exit code, stdout and stderr."""
    if case.file_bytes is not None:
        return run_apart(case)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["augury", *shlex.split(case.words)])
        patch.setattr(sys, "stdin", io.StringIO())  # nobody to ask
        with case.around(), pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code or 0, out.getvalue(), err.getvalue()


def run_apart(case):
    """Run a command in a process of its own that can write no long files."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (case.file_bytes, case.file_bytes))

    command = [sys.executable, "-m", "augury", *shlex.split(case.words)]
    found = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    return found.returncode, found.stdout, found.stderr


def tree():
    return {path: path.lstat().st_mtime_ns for path in Path().rglob("*") if not path.is_dir() and path.name != "lock"}


def check_written(before):
    """Check that nothing changed, but that images which were read whole may be kept, and clean up."""
    after = tree()
    assert {path: after.get(path) for path in before} == before
    new = set(after) - set(before)
    kept = {path.parent for path in new if path.parent.parent.name == "ReadImages"}
    assert all({path.name for path in home.iterdir()} == {"images.npy", "set.json", "prepared.json"} for home in kept)
    assert all(path.parent in kept or path.name == "FORMAT" for path in new), new
    for name in {path.parts[0] for path in new}:
        shutil.rmtree(name)


def answer(case, place):
    """Return the sentence that a command gets, after checking what goes for all of them."""
    before = tree()
    code, out, err = run(case)
    assert (code, out) == (2, ""), err
    (sentence,) = filter(str.strip, err.splitlines())  # a bar that ends leaves an empty line
    assert sentence.startswith("augury: ")
    assert sentence[-1] in ".?"
    assert sentence.isprintable()
    check_written(before)
    short = sentence.removeprefix("augury: ").replace(f"{place}/", "").replace(str(place), "the folder")
    return re.sub(r"became \w+ at step \d+", "became nan at step 2", short)  # which is the processor's affair


@pytest.fixture(scope="module")
def said(place):
    """Return the sentence for each case."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return {case: answer(case, place) for cases in SECTIONS.values() for case in cases}


def code(text):
    """Return text as it stands in a cell of a table."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text.replace('|', chr(92) + '|')}{fence}"


def page(said):
    lines = [HEAD]
    for title, cases in SECTIONS.items():
        lines += [f"## {title}\n", "| bad input | command | sentence |", "|---|---|---|"]
        lines += [f"| {case.title} | {code('augury ' + case.words)} | {code(said[case])} |" for case in cases]
        lines.append("")
    return "\n".join(lines)


def test_the_page_says_what_the_command_line_says(said):
    if os.environ.get("WRITE"):
        PAGE.write_text(page(said), encoding="utf-8")
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert page(said).splitlines() == written.splitlines(), "write it anew: WRITE=1 pytest " + __file__


def test_every_sentence_is_more_than_a_few_words(said):
    assert [(case.words, sentence) for case, sentence in said.items() if sentence.count(" ") < 4] == []


def test_names_of_classes_become_no_paths_no_formulas_and_no_commands(place, monkeypatch):
    monkeypatch.chdir(place)
    looked = run(Case("", "look hostile.npz"))
    assert looked[0] == 0
    assert all(line.isprintable() for line in looked[1].splitlines())
    assert run(Case("", "fit hostile.npz -o kept --generator repeat"))[0] == 0
    before = tree()
    assert run(Case("", "sample kept --per-class 1 -o drawn"))[0] == 0
    assert all(path.parts[0] == "drawn" for path in set(tree()) - set(before))
    with (place / "drawn/manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["../x", "<script>", "'=cmd()", "two\nlines 😀"]
    assert all(re.fullmatch(r"\d\d-[\w-]+/000000.png", row["path"]) for row in rows)
