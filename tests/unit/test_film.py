"""What is kept of a training: losses, pictures of the same seeds, snapshots."""

import gc

import numpy as np
import torch

from augury.generators import CVAE, DCGAN, load_sampler
from augury.generators.film import POINTS, Film
from augury.training import Run
from toy import stop_at_half, toy_images

RECIPE = DCGAN(conditional=True, steps=20, batch=8, width=4, latent=4, snapshots=1, average=0.5)


def test_pictures_are_of_the_same_seeds_and_the_last_ones_are_those_of_the_sampler():
    sampler = RECIPE.fit(toy_images(), Run(seed=0))
    frames = sampler.film.frames()
    assert sorted(frames) == [0, 1, 2, 4, 7, 12, 20]
    assert {frame.shape for frame in frames.values()} == {(8, 1, 8, 8)}
    assert np.array_equal(frames[20], sampler.strip().numpy())
    assert not np.array_equal(frames[0], frames[20])
    assert sampler.strip_labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_losses_are_means_over_equal_stretches():
    film = Film.temporary()
    film.keep_losses({"a": list(range(4 * POINTS)), "b": [1.0, 3.0]})
    kept = film.losses()
    assert len(kept["a"]) == POINTS
    assert kept["a"][:2] == [1.5, 5.5]
    assert kept["b"] == [1.0, 3.0]


def test_a_stopped_training_leaves_the_film_of_one_that_never_stopped(tmp_path):
    whole = RECIPE.fit(toy_images(), Run(seed=0))
    try:
        RECIPE.fit(toy_images(), Run(0, folder=tmp_path, on_step=stop_at_half, checkpoint_seconds=0))
    except KeyboardInterrupt:
        again = RECIPE.fit(toy_images(), Run(0, folder=tmp_path, checkpoint_seconds=0))
    assert again.film.losses() == whole.film.losses()
    assert list(again.film.frames()) == list(whole.film.frames())
    assert all(np.array_equal(frame, whole.film.frames()[step]) for step, frame in again.film.frames().items())


def test_a_snapshot_is_the_network_of_its_step(tmp_path):
    sampler = RECIPE.fit(toy_images(), Run(seed=0))
    sampler.save(tmp_path)
    shorter = load_sampler(tmp_path).at(10)
    labels, seeds = torch.tensor([0, 1]), [5, 6]
    assert torch.equal(
        shorter.sample(labels, seeds), RECIPE.replace(steps=10).fit(toy_images(), Run(0)).sample(labels, seeds)
    )


def test_a_temporary_film_goes_with_its_sampler():
    sampler = CVAE(steps=1).fit(toy_images(), Run(seed=0))
    folder = sampler.film.folder
    assert folder.exists()
    del sampler
    gc.collect()
    assert not folder.exists()
