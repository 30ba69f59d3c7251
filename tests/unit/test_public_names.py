import subprocess
import sys

import pytest

import augury
from augury.classifiers import CLASSIFIERS
from augury.filters import FILTERS
from augury.generators import GENERATORS
from augury.selections import SELECTIONS

HEAVY = {"torch", "torchvision", "scipy", "sklearn", "statsmodels", "plotly", "jinja2", "numpy"}


def imported(*command):
    """Return the top-level modules that a Python command imports."""
    run = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines()}


@pytest.mark.parametrize("name", augury.__all__)
def test_every_public_name_is_there(name):
    assert getattr(augury, name) is getattr(augury, name)
    assert name in dir(augury)


def test_public_names_are_listed_once_in_order():
    assert list(augury.__all__) == sorted(set(augury.__all__))


def test_every_kind_is_a_public_name():
    kinds = {**GENERATORS, **CLASSIFIERS, **FILTERS, **SELECTIONS}.values()
    assert [kind for kind in kinds if getattr(augury, kind.__name__, None) is not kind] == []


def test_modules_and_classes_are_what_their_names_say():
    assert augury.images.ImageSet is augury.ImageSet
    assert augury.study.Study is augury.Study
    assert augury.read.__module__ == "augury.readers"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'augury' has no attribute 'imags'"):
        augury.imags  # noqa: B018  the access is what is tested


@pytest.mark.parametrize(
    "command", [["-c", "import augury"], ["-m", "augury", "--help"], ["-m", "augury", "--version"]]
)
def test_nothing_heavy_is_imported_before_it_is_needed(command):
    modules = imported(*command)
    assert "augury" in modules
    assert not HEAVY & modules


def test_a_worker_process_loads_no_statistics_before_it_needs_them():
    loaded = "import sys, augury.study.executors; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    modules = set(run.stdout.split())
    assert "augury.study.classifier_steps" in modules
    assert not {"statsmodels", "scipy.stats", "scipy.optimize", "sklearn", "augury.statistics", "torchvision"} & modules
