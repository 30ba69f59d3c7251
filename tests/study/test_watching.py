"""What is looked at about generators in a study: snapshots, diversity, classes that are too small."""

from dataclasses import replace

import pytest
import torch

from augury import read
from augury.classifiers import LesionCNNClassifier
from augury.errors import DataError, SettingsError
from augury.generators import CVAE, DCGAN, Flow, Repeat, SuperResolution
from augury.policies import Ratio
from augury.splits import SplitPlan
from augury.study import Arm, NamedClassifier, NamedGenerator, run, toy
from augury.study.steps import FitGenerator, chosen
from augury.study.watching import DISTANCE, ChooseSnapshot, by_loss
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
            assert choice.steps == min(choice.measured[DISTANCE], key=choice.measured[DISTANCE].get)
            assert sorted(choice.measured[DISTANCE]) == [3, 6, 9, 12]
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


def drawn_like(images, noise):
    """Return images with noise added, as if they were drawn."""
    moved = images.images + noise * torch.randn(images.images.shape, generator=torch.Generator().manual_seed(0))
    return replace(images, images=moved.clamp(0, 255).to(torch.uint8))


def test_of_networks_that_do_not_copy_the_one_with_the_least_loss_is_chosen():
    digits = read("digits")
    train, val, new = (digits.take(range(start, start + 300)) for start in (0, 300, 600))
    copies = drawn_like(train, 2.0)
    choice = by_loss({10: 0.5, 20: 0.4, 30: 0.3}, {10: new, 20: new, 30: copies}, train, val)
    assert choice.steps == 20
    assert choice.measured["loss on held-out images"] == {10: 0.5, 20: 0.4, 30: 0.3}
    assert choice.measured["share of copies"][30] > 0.9
    assert choice.measured["share of copies"][20] < 0.05


def test_where_all_networks_copy_the_one_that_does_least_is_chosen():
    digits = read("digits")
    train, val, new = (digits.take(range(start, start + 300)) for start in (0, 300, 600))
    half = replace(new, images=torch.cat([new.images[:150], drawn_like(train, 2.0).images[:150]]))
    assert by_loss({10: 0.5, 20: 0.4}, {10: half, 20: drawn_like(train, 2.0)}, train, val).steps == 10


def test_a_study_chooses_a_denoiser_by_its_loss_and_its_copies():
    recipe = Flow(steps=20, batch=8, size="tiny", drawing_steps=2, snapshots=1)
    finished = run(study_of(recipe))
    choices = {chunk.choice for cell in finished.laid.cells for chunk in cell.fit.pool}
    assert choices
    for choice in map(finished.laid.store.get, choices):
        assert list(choice.measured) == ["loss on held-out images", "share of copies"]
        assert all(list(of) == [10, 20] for of in choice.measured.values())


def test_a_study_chooses_the_guidance_that_a_classifier_learns_from_best():
    recipe = Flow(steps=20, batch=8, size="tiny", drawing_steps=2, snapshots=0, guidances=(1.0, 3.0))
    finished = run(study_of(recipe))
    get = finished.laid.store.get
    for chunk in (chunk for cell in finished.laid.cells for chunk in cell.fit.pool):
        choice = get(chunk.choice)
        assert choice.steps == 20
        assert sorted(choice.learned) == [1.0, 3.0]
        assert choice.guidance == min(choice.learned, key=choice.learned.get)
        sampler = get(chunk.fit).drawn_with(guidance=choice.guidance, drawing_steps=2)
        drawn = sampler.draw_rows([chunk.label] * 50, range(50), seed=chunk.fit.seed)
        assert drawn.digests == get(chunk).digests
    with pytest.raises(SettingsError, match=r"cvae has no settings of drawing\. Got guidance"):
        CVAE(steps=1).fit(toy_images(), Run(seed=0)).drawn_with(guidance=2.0)


def test_a_classifier_that_is_trained_by_epochs_chooses_the_guidance_after_its_steps(tmp_path):
    recipe = Flow(steps=20, batch=8, size="tiny", drawing_steps=2, snapshots=0, guidances=(1.0, 3.0))
    judge = LesionCNNClassifier(steps=20, batch=32)

    def learned(published):
        named = NamedClassifier(name="it", recipe=judge.replace(published=published))
        flaws = ("more_steps_with_synthetic",) if published else ()
        study = study_of(recipe, per_class=12).replace(classifiers=(named,), flaws=flaws)
        finished = run(study, tmp_path / "store", force=True)
        get = finished.laid.store.get
        return [get(chunk.choice).learned for cell in finished.laid.cells for chunk in cell.fit.pool]

    assert learned(published=True) == learned(published=False)


def test_settings_of_drawing_train_nothing_again(tmp_path):
    recipes = [
        Flow(steps=20, batch=8, size="tiny", snapshots=0, drawing_steps=steps, guidance=weight, solver=solver)
        for steps, weight, solver in ((2, 1.0, "heun"), (3, 2.0, "euler"))
    ]
    first, second = (run(study_of(recipe), tmp_path / "store") for recipe in recipes)
    fits = [{chunk.fit.key for cell in each.laid.cells for chunk in cell.fit.pool} for each in (first, second)]
    drawn = [{chunk.key for cell in each.laid.cells for chunk in cell.fit.pool} for each in (first, second)]
    assert fits[0] == fits[1]
    assert not drawn[0] & drawn[1]
    assert not [step for step in second.ran.made if isinstance(step, FitGenerator)]
    chunk = second.laid.cells[-1].fit.pool[0]
    train = second.laid.images.take(second.laid.cells[-1].split.train)
    alone = recipes[1].fit(train, Run(seed=chunk.fit.seed))
    assert second.laid.store.get(chunk).digests == alone.draw_rows([0] * 50, range(50), seed=chunk.fit.seed).digests
    assert second.outcome.generators[0].settings["guidance"] == 2.0


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
