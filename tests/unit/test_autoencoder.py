import pytest
import torch

from augury.errors import DataError
from augury.generators import DeepAutoencoder, load_sampler
from augury.training import Run, to_float
from toy import class_means, nearest_class, toy_images

RECIPE = DeepAutoencoder(hidden=(64,), latent=8, steps=120, batch=16, rate=3e-3)
FORMS = [RECIPE, RECIPE.replace(form="conv", width=8, steps=60)]
TRAIN = toy_images(per_class=(12, 5))
CLASS_1 = torch.ones(40, dtype=torch.int64)


@pytest.fixture(scope="module")
def sampler():
    return RECIPE.fit(TRAIN, Run(seed=0))


def reconstructions(sampler, images):
    with torch.no_grad():
        autoencoder = sampler.network.autoencoder
        return autoencoder(autoencoder.encode(to_float(images))).add(1).mul(127.5)


@pytest.mark.parametrize("recipe", FORMS, ids=["dense", "conv"])
def test_what_is_drawn_are_reconstructions_of_the_members_of_the_class_and_all_of_them_come(recipe):
    sampler = recipe.fit(TRAIN, Run(seed=0))
    drawn = sampler.sample(CLASS_1, range(40)).float()
    distances = torch.cdist(
        drawn.flatten(1), reconstructions(sampler, TRAIN.of_class(1).images).flatten(1), p=torch.inf
    )
    assert distances.amin(1).max() < 1
    assert len(distances.argmin(1).unique()) == 5


def test_a_reconstruction_is_nearer_to_its_image_than_to_another_of_the_class():
    images = toy_images(per_class=4)
    rebuilt = reconstructions(RECIPE.replace(latent=16, steps=400).fit(images, Run(seed=0)), images.images).flatten(1)
    assert torch.cdist(rebuilt, images.images.float().flatten(1)).argmin(1).tolist() == list(range(8))


def test_noise_moves_the_code_by_that_many_standard_deviations_of_the_class(sampler):
    seeds = range(4000)
    labels = torch.ones(4000, dtype=torch.int64)
    noisy = type(sampler)(RECIPE.replace(noise=0.5), sampler.card, sampler.network, "cpu", sampler.film)
    moved = noisy.codes(labels, seeds) - sampler.codes(labels, seeds)
    spread = sampler.network.codes()[1].std(0, correction=0)
    assert torch.allclose(moved.std(0), 0.5 * spread, rtol=0.06)
    assert moved.mean(0).abs().max() < 0.05 * spread.max()


def test_noise_gives_images_that_are_new_and_still_of_their_class():
    pool = RECIPE.replace(noise=0.5).fit(TRAIN, Run(seed=0)).draw(30, seed=0)
    assert len(set(pool.digests)) == 60
    assert (nearest_class(pool, class_means(TRAIN)) == pool.labels).all()


def test_a_class_with_one_image_has_no_spread_to_move_in():
    sampler = RECIPE.replace(noise=1.0, steps=2).fit(toy_images(per_class=(1, 6)), Run(seed=0))
    assert len(set(sampler.draw({"class 0": 5}, seed=0).digests)) == 1


def test_the_model_keeps_codes_and_no_images(sampler, tmp_path):
    assert [codes.shape for codes in sampler.network.codes()] == [(12, 8), (5, 8)]
    assert sampler.network.train_images is None
    sampler.save(tmp_path)
    loaded = load_sampler(tmp_path)
    assert all(map(torch.equal, loaded.network.codes(), sampler.network.codes()))
    assert sampler.card.contains_training_images


def test_a_snapshot_has_the_codes_of_its_own_time(tmp_path):
    short = RECIPE.replace(steps=20).fit(TRAIN, Run(seed=0))
    RECIPE.replace(steps=40, snapshots=1).fit(TRAIN, Run(seed=0)).save(tmp_path)
    early = load_sampler(tmp_path).at(20)
    assert all(map(torch.equal, early.network.codes(), short.network.codes()))
    assert torch.equal(early.sample(CLASS_1, range(40)), short.sample(CLASS_1, range(40)))


def test_the_last_picture_of_the_training_shows_what_is_drawn_afterwards(sampler):
    assert torch.equal(torch.from_numpy(sampler.film.frames()[RECIPE.steps]), sampler.strip())


def test_a_class_without_training_images_is_refused_when_it_is_asked_for():
    sampler = RECIPE.replace(steps=2).fit(toy_images(per_class=(4, 0)), Run(seed=0))
    assert sampler.draw({"class 0": 2}, seed=0).counts() == (2, 0)
    with pytest.raises(DataError, match="class without training images"):
        sampler.draw({"class 1": 1}, seed=0)


def test_a_noisy_one_takes_a_class_without_training_images_as_well():
    sampler = RECIPE.replace(steps=2, noise=1.0).fit(toy_images(per_class=(4, 0)), Run(seed=0))
    assert len(set(sampler.draw({"class 0": 4}, seed=0).digests)) == 4
