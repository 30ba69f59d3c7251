"""What is fitted on pixels that stay on disk is, to the bit, what is fitted on the same pixels in memory."""

import numpy as np
import pytest
import torch

from augury import stored, study
from augury.generators import GENERATORS
from augury.images import ImageSet, StoredPixels
from augury.mixing import Mixture, mix
from augury.policies import Ratio
from augury.study import Arm, NamedGenerator
from augury.study.gallery import galleries
from augury.study.table import scores_csv
from augury.training import Run
from tiny import TINY_CLASSIFIERS, TINY_GENERATORS, fitting, shortened
from toy import contents, toy_images, toy_pool

TRAIN = toy_images(classes=3, per_class=(9, 4, 6), channels=3, groups=True)


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """The training images, from a file; what is opened, taken or joined from here on stays in its files, too."""
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    (tmp_path / "train").mkdir()
    TRAIN.save(tmp_path / "train")
    return ImageSet.load(tmp_path / "train")


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_draws_the_same_images(kind, on_disk, tmp_path):
    recipe = fitting(shortened(TINY_GENERATORS[kind]), TRAIN)
    in_memory, sampler = recipe.fit(TRAIN, Run(seed=0)), recipe.fit(on_disk, Run(seed=0))
    sampler.save(tmp_path)
    loaded = GENERATORS[kind].load(tmp_path, sampler.card)
    assert sampler.card == in_memory.card
    for each in (sampler, loaded):
        assert contents(each.draw(4, seed=1)) == contents(in_memory.draw(4, seed=1))
        assert each.sample(torch.empty(0, dtype=torch.int64), []).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("name", TINY_CLASSIFIERS)
def test_a_classifier_learns_and_predicts_the_same(name, on_disk):
    recipe, pool, counts = TINY_CLASSIFIERS[name].replace(steps=4), toy_pool(TRAIN), (0, 5, 3)
    joined = mix(on_disk, pool, counts)
    assert isinstance(joined.images, StoredPixels)
    predictors = [recipe.fit(each, None, Run(seed=0)) for each in (mix(TRAIN, pool, counts), joined)]
    fresh = toy_images(classes=3, channels=3, seed=1)
    first, second = (predictor.probabilities(fresh.images) for predictor in predictors)
    assert np.array_equal(first, second)
    for function in (predictors[0].probabilities, predictors[0].features):
        assert np.array_equal(function(TRAIN.images), function(on_disk.images))


def test_a_batch_and_a_joined_set_are_the_same(on_disk):
    pool = toy_pool(TRAIN)
    joined, in_memory = mix(on_disk, pool, (6, 0, 2)), mix(TRAIN, pool, (6, 0, 2))
    assert contents(joined) == contents(in_memory)
    batches = [Mixture(each, seed=0).at(2)(16) for each in (joined, in_memory)]
    assert torch.equal(batches[0].images, batches[1].images)
    assert torch.equal(batches[0].labels, batches[1].labels)


def test_a_study_comes_to_the_same_scores(tmp_path, monkeypatch):
    names = ("repeat", "blend")
    named = tuple(NamedGenerator(name=name, recipe=TINY_GENERATORS[name]) for name in names)
    arms = tuple(Arm(name=name, generator=name, amounts=(Ratio(r=1.0),)) for name in names)
    plain = study.toy()
    plan = plain.replace(generators=(*plain.generators, *named), arms=(*plain.arms, *arms))
    finished = []
    for limit in (stored.IN_MEMORY_BYTES, 0):
        monkeypatch.setattr(stored, "IN_MEMORY_BYTES", limit)
        finished.append(study.run(plan, tmp_path / str(limit), device="cpu"))
    in_memory, on_disk = finished
    assert isinstance(on_disk.laid.images.images, StoredPixels)
    assert scores_csv(on_disk.scored) == scores_csv(in_memory.scored)
    for one, other in zip(galleries(on_disk), galleries(in_memory), strict=True):
        for k, mine in enumerate(one.classes):
            assert all(np.array_equal(getattr(mine, name), getattr(other.classes[k], name)) for name in vars(mine))
