import sys

import numpy as np
import pytest

from augury.errors import DataError
from augury.readers import content_digest, read

medmnist = pytest.importorskip("medmnist")


def arrays(side=28):
    rng = np.random.default_rng(0)
    found = {}
    for part, n in (("train", 6), ("val", 4), ("test", 4)):
        found[f"{part}_images"] = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
        found[f"{part}_labels"] = np.arange(n)[:, None] % 2
    return found


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Let the package keep its files in an empty folder."""
    monkeypatch.setattr(medmnist.info, "DEFAULT_ROOT", str(tmp_path / "medmnist"))
    (tmp_path / "medmnist").mkdir()
    return tmp_path / "medmnist"


@pytest.mark.parametrize(
    ("source", "file", "side"),
    [
        ("medmnist:breastmnist", "breastmnist.npz", 28),
        ("MedMNIST:BreastMNIST+28", "breastmnist.npz", 28),
        ("medmnist:breastmnist+64", "breastmnist_64.npz", 64),
    ],
)
def test_a_file_that_is_there_is_read_without_a_network(root, source, file, side):
    np.savez(root / file, **arrays(side))
    images = read(source)
    assert images.shape == (1, side, side)
    assert images.classes == ("malignant", "normal, benign")
    assert images.parts.count("train") == 6
    assert content_digest(source) == content_digest(root / file)


def downloading(monkeypatch, fetch):
    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)


def test_a_file_that_is_not_there_is_fetched_once(root, monkeypatch, capsys):
    asked = []

    def fetch(url, root, filename, md5):
        asked.append(url)
        np.savez(f"{root}/{filename}", **arrays())

    downloading(monkeypatch, fetch)
    assert len(read("medmnist:breastmnist")) == len(read("medmnist:breastmnist")) == 14
    assert asked == [medmnist.INFO["breastmnist"]["url"]]
    assert [path.name for path in root.iterdir()] == ["breastmnist.npz"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [OSError("no network"), RuntimeError("broken off"), TimeoutError("slow")])
def test_without_a_network_it_says_what_to_fetch_and_leaves_nothing(root, monkeypatch, error):
    def fetch(url, root, filename, md5):
        with open(f"{root}/{filename}", "wb") as file:  # noqa: PTH123
            file.write(b"half of it")
        raise error

    downloading(monkeypatch, fetch)
    url = medmnist.INFO["bloodmnist"]["url_128"].replace("?", r"\?")
    expected = (
        rf"bloodmnist_128.npz is not in {root}, and it cannot be fetched. Fetch {url} on a machine with a network"
    )
    with pytest.raises(DataError, match=expected):
        read("medmnist:bloodmnist+128")
    assert list(root.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(root, monkeypatch):
    root.rmdir()
    root.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"breastmnist.npz is not in .*, and it cannot be fetched"):
        read("medmnist:breastmnist")


def test_a_home_without_a_folder_is_a_sentence(root, monkeypatch):
    monkeypatch.setattr(medmnist.info, "DEFAULT_ROOT", None)  # as it is where the home cannot be written
    with pytest.raises(DataError, match=r"a folder ~/.medmnist to keep the sets in was expected, and cannot be"):
        read("medmnist:breastmnist")


@pytest.mark.parametrize(
    "source",
    ["medmnist:", "medmnist:brestmnist", "medmnist:../x", "medmnist:breastmnist+", "medmnist:a b", "medmnist:1\n"],
)
def test_unknown_names_list_the_known_ones(source):
    with pytest.raises(DataError, match=r"a set was expected: medmnist:NAME with NAME one of pathmnist, .* Got "):
        read(source)


@pytest.mark.parametrize("name", ["organmnist3d", "chestmnist"])
def test_volumes_and_sets_of_several_labels_are_refused(name):
    with pytest.raises(DataError, match=r"Sets of volumes and of several labels per image are not supported"):
        read(f"medmnist:{name}")


@pytest.mark.parametrize("size", [0, 32, 99999999999])
def test_unknown_sizes_list_the_known_ones(size):
    with pytest.raises(DataError, match=r"MedMNIST has the sizes 28, 64, 128, 224. Got 'medmnist:breastmnist"):
        read(f"medmnist:breastmnist+{size}")


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "medmnist", None)
    with pytest.raises(DataError, match=r"the package is needed: pip install 'augury\[medmnist\]'"):
        read("medmnist:breastmnist")
