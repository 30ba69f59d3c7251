"""Commands on any source, with any settings: 250 cases. What they write is whole, or not there."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.classifiers import SmallCNNClassifier
from augury.generators import load_sampler
from augury.images import ImageSet
from augury.models import fit_model, sample_model
from augury.readers import ReadSettings
from augury.study import DataSettings, for_images
from augury.study.layout import lay_out, read_images
from augury.study.store import open_store
from fuzzing import attempt, cases, fresh, payloads, readings, zip_bytes
from pictures import grey, one_each, png

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a file that fails

SOURCES = ("fine", "few", "one", "empty", "odd", "fine.npz", "gap.npz", "fine.zip", "bad.zip", "table.csv", "none")
WANTED = ({"per_class": 2}, {"counts": ["a=3"]}, {"counts": ["a=x"]}, {}, {"per_class": 1, "counts": ["a=1"]})

TINY = SmallCNNClassifier(steps=3)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Sources of every kind, good and bad."""
    root = tmp_path_factory.mktemp("sources")
    for name, paths in {"fine": ("a", "b"), "few": ("a", "c"), "one": ("a",)}.items():
        one_each(root / name, *(f"{label}/{i}.png" for label in paths for i in range(6 if label != "c" else 1)))
    (root / "empty").mkdir()
    images = np.stack([grey(i) for i in range(12)])
    np.savez(root / "fine.npz", images=images, labels=np.arange(12) % 2)
    np.savez(root / "gap.npz", images=images, labels=np.arange(12) % 2 * 2)
    (root / "fine.zip").write_bytes(zip_bytes([(f"{i % 2}/{i}.png", png(grey(i))) for i in range(12)]))
    (root / "bad.zip").write_bytes(b"PK\x03\x04")
    rows = [f"fine/{label}/{i}.png,{label},{'train' if i else 'test'}\n" for label in "ab" for i in range(6)]
    (root / "table.csv").write_text("path,label,split\n" + "".join(rows))
    one_each(root / "odd", "a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png", "b/3.png")
    return root


def source_at(place, name, odd):
    """Return a source, after putting an odd file into one of them."""
    if name == "odd":
        (place / "odd/a/odd.png").write_bytes(odd)
    return str(place / name)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@cases(125)
@given(
    name=st.sampled_from(SOURCES),
    odd=payloads(),
    how=readings(),
    generator=st.sampled_from(["repeat", "repeat", "blend", "reapet"]),
    settings=st.lists(st.sampled_from(["parents=3", "parents=0", "x=1", "=", "parents=[]"]), max_size=2),
    part=st.sampled_from(["all", "all", "train"]),
    out=st.sampled_from(["model", "deep/er/model", "taken", "file", "file/model"]),
    wanted=st.sampled_from(WANTED),
)
def test_a_model_and_its_images_are_written_whole_or_not_at_all(
    place, name, odd, how, generator, settings, part, out, wanted
):
    source = source_at(place, name, odd)
    with fresh() as folder:
        (folder / "taken").mkdir()
        (folder / "taken/x").write_text("mine")
        (folder / "file").write_text("mine")
        before = files(folder)

        def fit():
            return fit_model(
                source, generator, settings, folder / out, how=ReadSettings(**how), part=part, device="cpu"
            )

        card = attempt(fit, place)
        if isinstance(card, str):
            assert files(folder) == before
            return
        assert load_sampler(folder / out, "cpu").card == card
        after = files(folder)
        drawn = attempt(lambda: sample_model(folder / out, folder / "drawn", device="cpu", **wanted), place)
        if isinstance(drawn, str):
            assert files(folder) == after
        else:
            assert len(list((folder / "drawn").rglob("*.png"))) == drawn
            assert len((folder / "drawn/manifest.csv").read_text().splitlines()) == drawn + 1
        assert not [path for path in folder.rglob("*") if "partial" in path.name]


@cases(125)
@given(
    name=st.sampled_from(SOURCES),
    odd=payloads(),
    how=readings(),
    given_split=st.booleans(),
    preset=st.sampled_from(["quick", "standard"]),
    positive=st.sampled_from(["", "a", "z"]),
)
def test_what_try_reads_is_kept_whole_or_not_at_all(place, name, odd, how, given_split, preset, positive):
    source = source_at(place, name, odd)
    with fresh() as folder:

        def tried():
            data = DataSettings(source=source, positive=positive, **how)
            with open_store(folder / "out/store", "cpu") as store:
                _, prepared = read_images(data, store, given_split=given_split)
                split = "given" if given_split else "folds"
                study = for_images(data, prepared.cleaned.images, TINY, preset=preset, split=split, seed=0)
                return lay_out(study, store)

        result = attempt(tried, place)
        kept = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "FORMAT")]
        if not kept:
            assert isinstance(result, str)
            assert list(folder.iterdir()) == []
            return
        steps = list((folder / "out/store/ReadImages").iterdir())
        assert len(steps) == 1
        assert len(ImageSet.load(steps[0])) > 1
        assert set(json.loads((steps[0] / "prepared.json").read_text())) == {
            "cleaned",
            "skipped",
            "levels",
            "shortcuts",
        }
        assert not list((folder / "out/store/partial").glob("*"))
