"""What is looked at about generators in a study: snapshots, diversity, classes that are too small."""

import pytest

from augury.errors import DataError, SettingsError
from augury.generators import CVAE, DCGAN, Repeat, SuperResolution
from augury.policies import Ratio
from augury.splits import SplitPlan
from augury.study import Arm, NamedGenerator, run, toy
from augury.study.steps import chosen
from augury.study.watching import ChooseSnapshot
from augury.training import Run
from toy import toy_images

GAN = DCGAN(conditional=True, steps=12, batch=8, width=4, snapshots=3)
ARMS = (Arm(name="real"), Arm(name="it", generator="it", amounts=(Ratio(r=0.5),)))


def study_of(recipe, per_class=30):
    split = SplitPlan(folds=2, repeats=1, per_class=per_class)
    return toy().replace(generators=(NamedGenerator(name="it", recipe=recipe),), arms=ARMS, split=split)


@pytest.fixture(scope="module")
def finished():
    return run(study_of(GAN), force=True)


def test_the_snapshot_with_the_least_distance_to_the_inner_part_is_drawn_from(finished):
    store = finished.laid.store
    for cell in finished.laid.cells:
        for chunk in cell.fit.pool:
            choice = store.get(chunk.choice)
            assert choice.steps == min(choice.distances, key=choice.distances.get)
            assert sorted(choice.distances) == [3, 6, 9, 12]
            sampler = store.get(chunk.fit)
            expected = sampler if choice.steps == 12 else sampler.at(choice.steps)
            drawn = expected.draw_rows([chunk.label] * 50, range(50), seed=chunk.fit.seed)
            assert drawn.digests == store.get(chunk).digests
            assert chosen(chunk, store.get).draw(1, seed=0).digests == expected.draw(1, seed=0).digests


def test_the_choice_sees_the_inner_part_and_never_the_test_part(finished):
    steps = {step for cell in finished.laid.cells for chunk in cell.fit.pool for step in (chunk.choice,)}
    assert all(isinstance(step, ChooseSnapshot) for step in steps)
    for step in steps:
        judge = finished.laid.store.get(step.judge)
        split = finished.laid.store.get(step.fit.split)
        images = finished.laid.images
        scored = {images.digests[i] for part in ("val", "test") for i in getattr(split, part)}
        assert not scored & judge.trained.trained_on
        assert not scored & judge.trained.generators_saw
        assert not scored & finished.laid.store.get(step.fit).card.seen


def test_diversity_is_looked_at_in_every_split_for_generators_and_not_for_controls(finished):
    assert len(finished.laid.looks) == 2
    assert all(len(finished.laid.store.get(look).classes) == 10 for look in finished.laid.looks)
    assert run(study_of(Repeat())).laid.looks == ()


def test_a_class_too_small_for_a_gan_stops_the_run_with_the_reason_and_the_ways_out():
    with pytest.raises(DataError, match=r"class '0' has 1[0-9] training images, and dcgan.* needs about 50.*--force"):
        run(study_of(GAN))
    assert run(study_of(CVAE(steps=2))).laid.too_small() == ()


def test_a_forced_run_says_so(finished):
    assert any("Forced: class '0' has 1" in note for note in finished.outcome.notes)


def test_a_snapshot_that_was_not_kept_is_refused():
    sampler = CVAE(steps=4, snapshots=1).fit(toy_images(), Run(seed=0))
    with pytest.raises(SettingsError, match=r"snapshots were kept after 2 steps\. Got 3"):
        sampler.at(3)
    with pytest.raises(SettingsError, match="repeat keeps no snapshots"):
        Repeat().fit(toy_images(), Run(seed=0)).at(3)


def test_an_enlarged_generator_has_the_snapshots_of_the_one_behind_it():
    recipe = SuperResolution(generator=CVAE(steps=4, snapshots=1), method="bicubic")
    sampler = recipe.fit(toy_images(size=(16, 16)), Run(seed=0))
    assert recipe.snapshots == 1
    before, after = sampler.at(2).draw(1, seed=0), sampler.draw(1, seed=0)
    assert before.shape == after.shape == (1, 16, 16)
    assert before.digests != after.digests
