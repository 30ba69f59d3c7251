"""How a classifier takes its steps, against the same steps written out by hand."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from augury.augment import Augment
from augury.classifiers import CovidCNNClassifier, LesionCNNClassifier, ResNet18Classifier, SmallCNNClassifier
from augury.classifiers.learner import NeuralLearner, PublishedLearner
from augury.classifiers.neural import Published
from augury.errors import DataError, SettingsError
from augury.losses import Loss
from augury.mixing import Mixture, Synthetic, mix
from augury.mixup import cutmix, mixup
from augury.seeds import guarded, seed_for
from augury.training import Batch, Run, to_float
from toy import stopped_and_continued, toy_images, toy_pool

TRAIN, VAL, SHOWN = toy_images(), toy_images(seed=1), toy_images(seed=2)
MIXED = mix(TRAIN, toy_pool(SHOWN), (6, 2))
PLAIN = SmallCNNClassifier(steps=10, batch=8, width=4, dropout=0.0, schedule="constant", average=0.0, rate=1e-3)
EVERY = torch.arange(len(MIXED))


def batch(rows=EVERY):
    return Batch(to_float(MIXED.images[rows]), MIXED.labels[rows], MIXED.synthetic[rows])


def learner(recipe=PLAIN, *, loss=None, **options):
    objective = (loss or Loss()).objective(torch.tensor([18, 14]), torch.tensor([0.6, 0.4]))
    network = recipe.untrained(MIXED.shape, 2, seed=0)
    return NeuralLearner(recipe, network, objective, **{"classes": 2, "steps": 10, "device": "cpu", **options})


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


def gradients(network, loss):
    return torch.autograd.grad(loss, [weight for weight in network.parameters() if weight.requires_grad])


# ---- weights and labels of images


def test_a_synthetic_image_counts_as_little_as_its_weight_says():
    made, copy = (learner(PLAIN.replace(synthetic=Synthetic(weight=0.25))) for _ in range(2))
    made.update(0, lambda n: batch())
    found = [weight.grad for weight in made.network.parameters()]
    each = F.cross_entropy(copy.network(batch().images), MIXED.labels, reduction="none")
    weights = torch.where(MIXED.synthetic, 0.25, 1.0)
    expected = gradients(copy.network, (weights * each).sum() / (24 + 0.25 * 8))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    plain = gradients(copy.network, F.cross_entropy(copy.network(batch().images), MIXED.labels))
    assert max(float((one - other).abs().max()) for one, other in zip(found, plain, strict=True)) > 1e-3


def test_smoothing_touches_synthetic_images_only():
    _, targets, weights = learner(PLAIN.replace(synthetic=Synthetic(smoothing=0.2)))._prepare(batch())
    hard = F.one_hot(MIXED.labels, 2).float()
    assert torch.equal(targets[~MIXED.synthetic], hard[~MIXED.synthetic])
    assert torch.allclose(targets[MIXED.synthetic], 0.8 * hard[MIXED.synthetic] + 0.1)
    assert torch.equal(weights, torch.ones(len(MIXED)))


@pytest.mark.parametrize(("blend", "setting"), [(mixup, "mixup"), (cutmix, "cutmix")])
def test_a_blend_has_the_blend_of_weights_and_of_labels_in_proportion(blend, setting):
    recipe = PLAIN.replace(synthetic=Synthetic(weight=0.25), **{setting: 1.0})
    with guarded(3):
        images, targets, weights = learner(recipe)._prepare(batch())
    hard, own = F.one_hot(MIXED.labels, 2).float(), torch.where(MIXED.synthetic, 0.25, 1.0)
    with guarded(3):  # the same partners and shares, for pixels, weights, and labels times weights
        expected, mixed = blend(batch().images, torch.cat([own[:, None], hard * own[:, None]], 1), 1.0)
    assert torch.allclose(images, expected, atol=1e-6)
    assert torch.allclose(weights, mixed[:, 0], atol=1e-6)
    assert torch.allclose(targets * weights[:, None], mixed[:, 1:], atol=1e-6)
    assert torch.allclose(targets.sum(1), torch.ones(len(MIXED)), atol=1e-6)
    assert weights.min() >= 0.25
    assert ((weights > 0.3) & (weights < 0.95)).any()  # a real and a synthetic image met


def test_rows_of_features_are_neither_augmented_nor_blended():
    rows = Batch(torch.randn(5, 7), torch.tensor([0, 1, 0, 1, 1]), torch.tensor([False, True, False, True, False]))
    recipe = PLAIN.replace(augment=Augment(flip=True), synthetic=Synthetic(weight=0.5, smoothing=0.5))
    images, targets, weights = learner(recipe, pixels=False)._prepare(rows)
    assert torch.equal(images, rows.images)
    assert weights.tolist() == [1.0, 0.5, 1.0, 0.5, 1.0]
    assert targets[1].tolist() == [0.25, 0.75]


def test_the_loss_knows_how_far_the_training_is():
    told = []
    made = learner()
    made.objective = lambda logits, targets, weights, progress: told.append(progress) or logits.sum()
    for step in range(3):
        made.update(step, lambda n: batch(EVERY[:n]))
    assert told == [0.0, 0.1, 0.2]


# ---- optimiser and schedule

OPTIMISERS = {
    "sgd": lambda weights: torch.optim.SGD(weights, lr=1e-3, momentum=0.9, weight_decay=0.1),
    "adam": lambda weights: torch.optim.Adam(weights, lr=1e-3, weight_decay=0.1),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_is_what_its_name_says(name):
    made = learner(PLAIN.replace(optimiser=name, weight_decay=0.1))
    copy = learner().network
    optimiser = OPTIMISERS[name](copy.parameters())
    for step in range(4):
        made.update(step, lambda n: batch())
        optimiser.zero_grad()
        F.cross_entropy(copy(batch().images), MIXED.labels).backward()
        optimiser.step()
    for one, other in zip(made.network.parameters(), copy.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-4)


def rates(recipe):
    made, found = learner(recipe), []
    for step in range(10):
        made.update(step, lambda n: batch(EVERY[:n]))
        found.append(made.optimiser.param_groups[0]["lr"])
    return found


def test_a_constant_rate_stays_and_the_other_rises_and_falls():
    assert rates(PLAIN) == [1e-3] * 10
    cosine = rates(PLAIN.replace(schedule="cosine"))
    assert cosine[0] == pytest.approx(0.5e-3)
    assert max(cosine) == cosine[1] == pytest.approx(1e-3)
    assert cosine[1:] == sorted(cosine[1:], reverse=True)
    assert cosine[-1] < 1e-4


@pytest.mark.slow  # a compiler runs
def test_a_compiled_network_predicts_the_same():
    plain, compiled = (
        PLAIN.replace(compile=compile, average=0.5).fit(MIXED, None, Run(seed=0)).predict(VAL)
        for compile in (False, True)
    )
    assert abs(plain - compiled).max() < 1e-3
    assert plain.std() > 0


# ---- as published


class Short(LesionCNNClassifier):
    paper = Published(epochs=6)


class Patient(Short):
    paper = Published(epochs=30, patience=2)


class Learned(Short):
    paper = Published(epochs=60, train_accuracy=0.9)


def published(kind, **settings):
    return kind(**{"batch": 8, "rate": 3e-3, "dropout": 0.0, "published": True, **settings})


def test_how_long_resnet18_waits_for_a_better_epoch_is_a_setting():
    assert [ResNet18Classifier(patience=n).printed() for n in (0, 3)] == [
        Published(epochs=100, patience=0),
        Published(epochs=100, patience=3),
    ]


def every_epoch(recipe, train, val, seed):
    """Train by a loop of our own; return the network, the validation loss and training accuracy of every epoch."""
    network = recipe.untrained(train.shape, 2, seed).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    source = Mixture(train, seed=seed, use=Synthetic(max_share=1.0))
    per_epoch, epochs = math.ceil(len(train) / recipe.batch), []
    for step in range(recipe.paper.epochs * per_epoch):
        with guarded(seed_for(seed, "step", step)):
            rows = source.at(step)(recipe.batch)
            optimiser.zero_grad()
            F.cross_entropy(network(rows.images.contiguous(memory_format=torch.channels_last)), rows.labels).backward()
            optimiser.step()
        if (step + 1) % per_epoch == 0:
            with torch.no_grad():
                network.eval()
                loss = float(F.cross_entropy(network(to_float(val.images)), val.labels))
                hits = float((network(to_float(train.images)).argmax(1) == train.labels).float().mean())
                epochs.append((network(to_float(val.images)).softmax(1).numpy(), loss, hits))
                network.train()
    return epochs


def noisy(images):
    """Return images some of whose labels are wrong, so that the best epoch is not the last."""
    labels = images.labels.clone()
    labels[::4] = 1 - labels[::4]
    return dataclasses.replace(images, labels=labels)


@pytest.mark.parametrize("rate", [3e-3, 3e-2])
def test_the_epoch_with_the_least_validation_loss_is_kept(rate):
    recipe, val = published(Short, rate=rate), noisy(VAL)
    epochs = every_epoch(recipe, TRAIN, val, seed=0)
    losses = [loss for _, loss, _ in epochs]
    best = epochs[losses.index(min(losses))][0]
    kept = recipe.fit(TRAIN, val, Run(seed=0))
    assert abs(kept.predict(val) - best).max() < 1e-3
    assert kept.trained.exposure.steps == 6 * 3
    assert 0 < losses.index(min(losses)) < 5


def test_the_epoch_with_the_best_accuracy_is_kept_where_that_is_asked_for():
    recipe, val = published(Short, rate=3e-3), noisy(VAL)
    epochs = every_epoch(recipe, TRAIN, val, seed=0)
    accuracies = [float((predicted.argmax(1) == val.labels.numpy()).mean()) for predicted, _, _ in epochs]
    losses = [loss for _, loss, _ in epochs]
    best = accuracies.index(max(accuracies))  # the first of equal ones
    kept = recipe.replace(best="accuracy").fit(TRAIN, val, Run(seed=0))
    assert abs(kept.predict(val) - epochs[best][0]).max() < 1e-3
    assert best != losses.index(min(losses))
    with pytest.raises(SettingsError, match=r"best = 'accuracy' chooses among epochs: it needs published = true"):
        LesionCNNClassifier(best="accuracy")


def test_it_stops_once_the_training_images_are_learned():
    recipe = published(Learned, rate=1e-4)
    exposure = recipe.fit(TRAIN, VAL, Run(seed=0)).trained.exposure
    first = next(i for i, (_, _, hits) in enumerate(every_epoch(recipe, TRAIN, VAL, seed=0), start=1) if hits > 0.9)
    assert 3 < exposure.steps == 3 * first < 60 * 3
    assert exposure.real_exposures == exposure.steps * 8


def test_it_stops_when_it_has_waited_long_enough_for_a_better_epoch():
    recipe, val = published(Patient), noisy(VAL)
    losses = [loss for _, loss, _ in every_epoch(recipe, TRAIN, val, seed=0)]
    stop = next(i for i in range(2, 30) if min(losses[: i - 1]) <= min(losses[i - 1 : i + 1]))
    assert 9 < recipe.fit(TRAIN, val, Run(seed=0)).trained.exposure.steps == 3 * (stop + 1) < 30 * 3


@pytest.mark.parametrize("kind", [Short, Patient, Learned])
def test_stopped_and_continued_it_keeps_the_same_epoch(kind, tmp_path):
    fit = lambda run: published(kind, rate=1e-2).fit(TRAIN, noisy(VAL), run)  # noqa: E731
    whole, continued = fit(Run(seed=0)), stopped_and_continued(fit, tmp_path / "kept", seed=0)
    assert (continued.predict(VAL) == whole.predict(VAL)).all()
    assert continued.trained.exposure == whole.trained.exposure


@pytest.mark.parametrize("val", [None, VAL.take([])], ids=["none", "empty"])
def test_without_validation_images_it_is_refused(val):
    with pytest.raises(DataError, match="'published' keeps the best epoch on validation images"):
        published(Short).fit(TRAIN, val, Run(seed=0))


def test_more_images_get_more_steps_and_their_whole_share():
    recipe = published(CovidCNNClassifier, dropout=0.25, rate=1e-3).replace(published=True)
    assert recipe._steps(TRAIN) == 150 * 3
    assert recipe._steps(MIXED) == 150 * 4
    few = published(Short).fit(mix(TRAIN, toy_pool(SHOWN, per_class=40), (36, 36)), VAL, Run(seed=0)).trained.exposure
    assert few.share == pytest.approx(0.75)
    assert few.steps == 6 * 12


def test_the_search_for_the_best_epoch_is_part_of_the_state():
    recipe = published(Short)
    made = PublishedLearner(
        recipe,
        recipe.untrained(TRAIN.shape, 2, seed=0),
        Loss().objective(torch.tensor([12, 12]), torch.tensor([0.5, 0.5])),
        paper=recipe.paper,
        train=TRAIN,
        val=VAL,
        classes=2,
        steps=18,
        device="cpu",
    )
    assert made.state()["search"] == {"best": math.inf, "worse": 0, "stopped_at": 0}
    made.restore({**made.state(), "search": {"best": 0.5, "worse": 3, "stopped_at": 7}})
    assert (made.best, made.worse, made.taken(18)) == (0.5, 3, 7)
    assert made.update(8, None) == {}
