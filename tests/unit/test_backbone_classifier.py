"""Transfer learning: what is trained, what is kept on disk, and whole studies from a file."""

import csv

import numpy as np
import pytest
import torch

from augury import study
from augury.augment import Augment
from augury.classifiers import BackboneClassifier
from augury.errors import DataError, SettingsError
from augury.networks.backbones import open_backbone
from augury.study.classifier_steps import Features, FitClassifier
from augury.training import Run
from law import draw_images, write
from toy import toy_images

TRAIN, FRESH = toy_images(per_class=8), toy_images(per_class=8, seed=1)
TINY = BackboneClassifier(network="resnet18", weights="none", steps=3, batch=8, rate=1e-2, average=0.0)
STUDY = """
seed = 1
[data]
source = "images.npz"
safe = ["shift", "flip"]
size = 32
[split]
folds = 2
repeats = 1
[[classifiers]]
{classifier}
steps = 2
batch = 4
average = 0.0
[[arms]]
name = "real"
[[arms]]
name = "focal, shifted"
classifier = {{ loss = "focal", augment = {{ shift = 0.1 }} }}
"""


def before_and_after(recipe):
    """Return the weights and buffers before and after a training."""
    before = recipe.untrained(TRAIN.shape, 2, seed=0).state_dict()
    after = recipe.fit(TRAIN, None, Run(seed=0)).network.state_dict()
    assert before.keys() == after.keys()
    return before, after


def changed(recipe):
    """Return the parts of the network in which something changed, by the first names of weights."""
    before, after = before_and_after(recipe)
    names = [name for name in before if not torch.equal(before[name], after[name])]
    return {name.split(".")[2] if name.startswith("backbone.body.") else name.split(".")[0] for name in names}


ALL = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}


@pytest.mark.parametrize(
    ("settings", "trained"),
    [
        ({"train": "head"}, set()),
        ({"train": "head", "augment": Augment(shift=0.1), "views": 2}, set()),
        ({"train": "last", "blocks": 1}, {"layer4"}),
        ({"train": "last", "blocks": 2}, {"layer3", "layer4"}),
        ({"train": "last", "blocks": 50}, ALL),
        ({"train": "all"}, ALL),
    ],
    ids=["head", "head, copies", "last 1", "last 2", "last 50", "all"],
)
def test_what_is_to_be_trained_changes_and_nothing_else(settings, trained):
    assert changed(TINY.replace(**settings)) == trained | {"head"}


def test_batch_norm_of_frozen_blocks_keeps_its_means():
    before, after = before_and_after(TINY.replace(train="last", blocks=1, average=0.5))
    means = [name for name in before if name.endswith(("running_mean", "running_var"))]
    moved = {name.split(".")[2] for name in means if not torch.equal(before[name], after[name])}
    assert moved == {"layer4"}


def test_a_frozen_network_is_one_for_all_seeds_and_its_head_is_not():
    one, other = (TINY.untrained(TRAIN.shape, 2, seed).state_dict() for seed in (0, 1))
    differing = {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert differing == {"head"}
    trained = [TINY.replace(train="all").untrained(TRAIN.shape, 2, seed).state_dict() for seed in (0, 1)]
    assert not torch.equal(trained[0]["backbone.body.conv1.weight"], trained[1]["backbone.body.conv1.weight"])


@pytest.mark.parametrize(
    ("settings", "share"), [({"train": "head"}, 0.01), ({"train": "last", "blocks": 1}, 0.8), ({"train": "all"}, 1.01)]
)
def test_only_what_was_trained_is_written_and_it_predicts_the_same(settings, share, tmp_path):
    predictor = TINY.replace(**settings).fit(TRAIN, None, Run(seed=3))
    predictor.save(tmp_path)
    loaded = BackboneClassifier.load(tmp_path)
    assert np.array_equal(loaded.predict(FRESH), predictor.predict(FRESH))
    torch.save(predictor.network.state_dict(), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").stat().st_size
    assert (tmp_path / "weights.pt").stat().st_size < share * whole


def test_a_file_of_another_training_is_refused(tmp_path):
    TINY.fit(TRAIN, None, Run(seed=0)).save(tmp_path)
    torch.save({"head.9.weight": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(DataError, match=r"(?s)cannot be used: .*Unexpected key"):
        BackboneClassifier.load(tmp_path)


def test_a_dense_head_has_its_layers():
    head = TINY.replace(dense=(32, 8), dropout=0.4).untrained(TRAIN.shape, 3, seed=0).head
    linear = [(part.in_features, part.out_features) for part in head if isinstance(part, torch.nn.Linear)]
    assert linear == [(512, 32), (32, 8), (8, 3)]
    assert [part.p for part in head if isinstance(part, torch.nn.Dropout)] == [0.4] * 3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mixup": 0.2}, r"mixup and cutmix blend pixels, and a frozen network is given none. Set train = 'last'"),
        ({"cutmix": 1.0}, "mixup and cutmix blend pixels"),
        ({"weights": "imagenet1k"}, "'weights' is imagenet, file:PATH or none. Got 'imagenet1k'"),
        ({"network": "resnet19"}, "there is no network 'resnet19': did you mean 'resnet18'"),
        ({"dense": (8, 0)}, "widths of 'dense' must be 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, sentence):
    with pytest.raises(SettingsError, match=sentence):
        TINY.replace(**settings)
    assert TINY.replace(train="last", mixup=0.2, cutmix=0.2).mixup == 0.2


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(open_backbone("resnet18", "none", seed=0).body.state_dict(), tmp_path / "w.pth")
    with pytest.raises(DataError, match="belong to another network"):
        TINY.replace(network="resnet34", weights=f"file:{tmp_path / 'w.pth'}").fit(TRAIN, None, Run(seed=0))


# ---- whole studies from a file


def run_file(folder, classifier):
    write(draw_images(8, seed=0), folder / "images.npz")
    (folder / "study.toml").write_text(STUDY.format(classifier=classifier))
    plan = study.load_study(folder / "study.toml")
    finished = study.run(plan, folder / "store")
    finished.save(folder / "out")
    return finished


def check(finished, folder, name):
    assert (finished.ran.failures, finished.outcome.cells_failed) == ((), 0)
    rows = list(csv.DictReader((folder / "out" / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["classifier"], row["arm"], row["steps"]) for row in rows] == [
        (name, "real", "2"),
        (name, "focal, shifted", "2"),
    ]
    assert all(0 <= float(row["auroc"]) <= 1 for row in rows)
    assert study.run(finished.laid.study, folder / "store").ran.made == ()


def test_features_are_computed_once_for_all_splits_and_arms_with_the_same_views(tmp_path):
    finished = run_file(tmp_path, 'name = "frozen"\nkind = "squeezenet1_1"\nweights = "none"\nviews = 2')
    check(finished, tmp_path, "frozen")
    made = [step for step in finished.ran.made if isinstance(step, Features)]
    assert sorted(step.maker.views for step in made) == [0, 2]  # plain images, and copies for the arm that shifts
    assert sum(isinstance(step, FitClassifier) for step in finished.ran.made) == 4


@pytest.mark.slow  # networks of 25 and 138 million weights
def test_resnet50_runs_end_to_end_from_a_file_of_weights(tmp_path):
    torch.save(open_backbone("resnet50", "none", seed=5).body.state_dict(), tmp_path / "weights.pth")
    finished = run_file(tmp_path, 'kind = "resnet50"\nweights = "file:weights.pth"\ntrain = "last"\nblocks = 1')
    check(finished, tmp_path, "resnet50")
    fit = finished.laid.store.get(finished.laid.cells[0].fit)
    own = open_backbone("resnet50", "none", seed=5).body.state_dict()
    assert torch.equal(fit.network.backbone.body.state_dict()["layer3.0.conv1.weight"], own["layer3.0.conv1.weight"])
    assert fit.network.backbone.size == 224  # as the weights want it


@pytest.mark.slow
def test_vgg16_runs_end_to_end_with_random_weights(tmp_path):
    finished = run_file(tmp_path, 'kind = "vgg16"\nweights = "none"\ntrain = "head"\nviews = 1\ndense = [16]')
    check(finished, tmp_path, "vgg16")
    assert finished.laid.store.get(finished.laid.cells[0].fit).network.width == 4096
