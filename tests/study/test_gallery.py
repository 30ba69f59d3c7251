from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from augury import study
from augury.curation import vectors_of
from augury.filters import PIXELS, NearCopy
from augury.generators import CVAE, DCGAN, InfoGAN, Repeat
from augury.generators.autoencoder import DeepAutoencoder
from augury.generators.bagan import BAGAN
from augury.generators.dagan import DAGAN
from augury.generators.neural import NetworkSampler
from augury.generators.superres import SuperResolution
from augury.report.page import render
from augury.seeds import seed_for
from augury.splits import SplitPlan
from augury.study.gallery import EXAMPLES, LONGEST, SHOWN, closest_pairs, galleries, training
from augury.study.steps import join_chunks
from augury.study.study import NO_NETWORK, Audit
from augury.study.watching import DISTANCE
from augury.training import Run
from law import Broken, Oracle, arm, draw_images, toy_study, write
from toy import toy_images

TINY = {"steps": 12, "batch": 8, "width": 4, "latent": 4}
RECIPES = (
    Repeat(),
    Oracle(),
    Broken(),
    CVAE(steps=60, batch=16, hidden=(32,), latent=4, snapshots=2),
    DCGAN(conditional=True, **TINY),
    InfoGAN(per_class=False, discrete=3, **TINY),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    source = write(draw_images(30, seed=0), tmp_path_factory.mktemp("law") / "images.npz")
    arms = [arm(recipe.kind, 1) for recipe in RECIPES]
    plan = toy_study(source, RECIPES, arms, split=SplitPlan(folds=2, repeats=1))
    return study.run(plan, force=True, device="cpu")


@pytest.fixture(scope="module")
def made(finished):
    return {gallery.generator: gallery for gallery in galleries(finished)}


def first_pool(finished, kind):
    """Return the chunks of the first split that an arm is made of."""
    return next(cell for cell in finished.laid.cells if cell.arm.name.startswith(f"{kind} ·")).fit.pool


def test_generators_without_a_network_or_a_result_have_no_training(finished, made):
    assert list(made) == ["oracle", "cvae", "dcgan", "infogan", "repeat"]
    assert [name for name, gallery in made.items() if gallery.training is None] == ["oracle", "repeat"]
    page = render(finished.outcome, tuple(made.values()))
    assert "How <bdi>cvae</bdi> was trained" in page
    assert "this generator is broken" in page
    assert "How <bdi>broken</bdi>" not in page
    assert "How <bdi>repeat</bdi>" not in page


@pytest.mark.parametrize("kind", ["cvae", "dcgan", "oracle", "repeat"])
def test_the_images_shown_are_those_that_the_study_used(finished, made, kind):
    for label, shown in enumerate(made[kind].classes):
        chunk = next(chunk for chunk in first_pool(finished, kind) if chunk.label == label)
        used = finished.laid.store.get(chunk).images[:SHOWN]
        np.testing.assert_array_equal(shown.drawn, used.numpy())


def test_curves_frames_and_snapshots_are_those_of_the_film(finished, made):
    chunk = first_pool(finished, "cvae")[0]
    sampler, choice = (finished.laid.store.get(step) for step in (chunk.fit, chunk.choice))
    seen = made["cvae"].training
    assert (seen.steps, min(seen.frames), max(seen.frames)) == (60, 0, 60)
    assert {name: list(curve.values) for name, curve in seen.losses.items()} == sampler.film.losses()
    assert {(curve.first, curve.last, len(curve.values)) for curve in seen.losses.values()} == {(0, 60, 60)}
    np.testing.assert_array_equal(seen.frames[60], sampler.strip().numpy())
    assert (seen.chosen, seen.measured) == (choice.steps, choice.measured)
    assert list(seen.measured[DISTANCE]) == [20, 40, 60]
    assert seen.measured[DISTANCE][seen.chosen] == min(seen.measured[DISTANCE].values())
    assert made["dcgan"].training.measured == {}
    assert made["dcgan"].training.chosen == 12


def test_another_snapshot_gives_other_images(finished):
    laid = finished.laid
    chunk = first_pool(finished, "cvae")[0]
    choice = laid.store.get(chunk.choice)
    other = next(steps for steps in (20, 40) if steps != choice.steps)
    laid.store.put(chunk.choice, replace(choice, steps=other))
    try:
        shown = next(each for each in galleries(finished) if each.generator == "cvae")
    finally:
        laid.store.put(chunk.choice, choice)
    assert shown.training.chosen == other
    sampler = laid.store.get(chunk.fit).at(other)
    drawn = sampler.draw_rows([0] * SHOWN, range(SHOWN), seed=chunk.fit.seed).images
    np.testing.assert_array_equal(shown.classes[0].drawn, drawn.numpy())
    assert not np.array_equal(drawn.numpy(), laid.store.get(chunk).images[:SHOWN].numpy())


STRIP_OF = [
    (CVAE(steps=2, batch=8, hidden=(8,), latent=2), (6, 6, 6), "00011122"),
    (CVAE(steps=2, batch=8, hidden=(8,), latent=2), (4,) * 10, "01234567"),
    (DeepAutoencoder(steps=2, batch=8, hidden=(8,), latent=2), (6, 0, 6), "00002222"),
    (DAGAN(steps=1, batch=4, width=4), (6, 0, 6), "00002222"),
]


@pytest.mark.parametrize(("recipe", "counts", "expected"), STRIP_OF)
def test_every_row_of_a_strip_bears_the_class_it_was_drawn_as(recipe, counts, expected, monkeypatch):
    sampler = recipe.fit(toy_images(len(counts), per_class=counts), Run(0))
    seen = training(sampler)
    assert seen.rows == tuple(f"class {digit}" for digit in expected)
    assert all(len(images) == len(seen.rows) for images in seen.frames.values())
    asked, draw = [], NetworkSampler.decode
    monkeypatch.setattr(NetworkSampler, "decode", lambda self, *what: asked.append(what[1]) or draw(self, *what))
    np.testing.assert_array_equal(sampler.strip().numpy(), seen.frames[recipe.steps])  # it still draws
    assert "".join(map(str, asked[0].tolist())) == expected


def test_each_phase_of_a_training_has_its_own_steps():
    sampler = BAGAN(pretrain=3, steps=5, batch=8, width=4, latent=4).fit(toy_images(), Run(0))
    seen = training(sampler)
    assert seen.steps == 8
    spans = {name: (curve.first, curve.last, len(curve.values)) for name, curve in seen.losses.items()}
    assert spans.pop("reconstruction") == (0, 3, 3)
    assert set(spans.values()) == {(3, 8, 5)}


def test_traversals_are_what_the_sampler_draws(finished, made):
    chunk = first_pool(finished, "infogan")[0]
    sampler, seen = finished.laid.store.get(chunk.fit), made["infogan"].training.traversals
    names = ("discrete", "continuous 1", "continuous 2")
    assert [(each.name, each.code) for each in seen] == [(label, code) for label in ("a", "b") for code in names]
    seed = seed_for(chunk.fit.seed, "image", 1, 0)
    expected = sampler.traverse(1, seed, code="continuous 1").numpy()
    np.testing.assert_array_equal(seen[4].images, expected)
    assert (expected[:, 0] != expected[:, -1]).any()
    assert made["dcgan"].training.traversals == ()


def test_a_long_traversal_is_cut():
    recipe = InfoGAN(per_class=False, discrete=20, continuous=1, **TINY)
    sampler = recipe.fit(toy_images(1), Run(0))
    shapes = [each.images.shape[:2] for each in training(sampler).traversals]
    assert shapes == [(6, LONGEST), (LONGEST, 9)]


def test_what_the_detector_says_reaches_outcome_and_page(finished, made):
    results = {result.name: result for result in finished.outcome.generators}
    found = [finished.laid.store.get(look) for look in finished.laid.looks if look.fit.generator.kind == "dcgan"]
    assert len(found) == results["dcgan"].looked == 2
    assert results["dcgan"].collapsed == sum(each.fired for each in found)
    for row, *classes in zip(results["dcgan"].diversity, *(each.classes for each in found), strict=True):
        assert row.spread == pytest.approx(np.mean([one.spread for one in classes]))
        assert row.least_spread == min(one.spread for one in classes)
    assert (results["repeat"].looked, results["broken"].looked, results["oracle"].looked) == (0, 0, 2)
    assert results["oracle"].collapsed == 0
    fired = [result for result in results.values() if result.collapsed]
    named = [note.partition(":")[0] for note in finished.outcome.notes if "collapse in" in note]
    assert named == [result.name for result in fired]
    assert "dcgan" in named  # twelve steps do not suffice
    page = render(finished.outcome, tuple(made.values()))
    assert all(page.count(result.findings[0].replace("'", "&#39;")) >= 2 for result in fired)


def test_a_film_without_pictures_or_curves_is_no_error():
    sampler = CVAE(steps=2, batch=8, hidden=(8,), latent=2).fit(toy_images(), Run(0))
    for path in sampler.film.folder.iterdir():
        path.unlink()
    seen = training(sampler)
    assert (seen.losses, seen.frames, seen.measured, seen.traversals) == ({}, {}, {}, ())
    assert torch.equal(sampler.strip(), sampler.strip())


def test_of_enlarged_images_the_training_of_the_small_ones_is_shown():
    recipe = SuperResolution(generator=CVAE(steps=2, batch=8, hidden=(8,), latent=2), method="bicubic")
    sampler = recipe.fit(toy_images(), Run(0))
    seen = training(sampler)
    assert (seen.steps, seen.frames[2].shape[2:]) == (2, (4, 4))
    np.testing.assert_array_equal(seen.frames[2], sampler.inner.strip().numpy())


FILTERED = "oracle, near_copy (drops 0.3)"


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    source = write(draw_images(30, seed=0), tmp_path_factory.mktemp("curated") / "images.npz")
    filters = (NearCopy(drops=0.3),)
    arms = [arm("oracle", 1), *(arm("oracle", 1, 2, name="sifted").replace(filters=filters, factor=1.0),)]
    audit = Audit(fidelity=False, network=NO_NETWORK)
    return study.run(toy_study(source, [Oracle()], arms, split=SplitPlan(folds=2, repeats=1), audit=audit))


def test_the_closest_pairs_are_those_of_the_audited_pool(curated):
    (gallery,) = galleries(curated)
    assert [each.maker for each in gallery.closest] == ["oracle", FILTERED]
    laid, planned = curated.laid, curated.laid.audits.makers[0]
    drawn = join_chunks([laid.store.get(chunk) for chunk in planned.copying.pool])
    train, held_out = (laid.images.take(part) for part in (planned.split.train, planned.split.val + planned.split.test))
    ours, theirs, new = (vectors_of(images, PIXELS) for images in (drawn, train, held_out))
    every = cdist(ours, theirs)
    for label, shown in enumerate(gallery.closest[0].classes):
        rows = np.flatnonzero(drawn.labels.numpy() == label)
        best = rows[np.argsort(every[rows].min(1))][:SHOWN]
        np.testing.assert_allclose(shown.distances, every[best].min(1), atol=1e-9)
        np.testing.assert_array_equal(shown.drawn, drawn.images[best].numpy())
        np.testing.assert_array_equal(shown.nearest, train.images[every[best].argmin(1)].numpy())
    assert gallery.closest[0].threshold == pytest.approx(cdist(new, theirs).min(1).min())


def test_kept_and_dropped_examples_are_those_of_the_filters(curated):
    (gallery,) = galleries(curated)
    (found,) = gallery.sifted
    assert found.arms == ("sifted · ratio 1", "sifted · ratio 2")
    pool = next(cell for cell in curated.laid.cells if cell.arm.name == found.arms[0]).fit.pool
    for label, shown in enumerate(found.classes):
        first = next(curated.laid.store.get(step) for step in pool if step.chunk.label == label)
        pixels = first.pool.images[:].numpy()
        np.testing.assert_array_equal(shown.kept, pixels[first.keep][:EXAMPLES])
        np.testing.assert_array_equal(shown.dropped, pixels[~first.keep][:EXAMPLES])
        assert shown.reasons == ("near_copy (drops 0.3)",) * len(shown.dropped)
    assert sum(len(shown.dropped) for shown in found.classes) > 0
    page = render(curated.outcome, (gallery,))
    assert "dropped by near_copy (drops 0.3)" in page


def test_what_was_not_audited_or_filtered_has_no_such_pictures(made):
    assert all(not each.closest and not each.sifted for each in made.values())


def test_a_pool_that_filters_have_emptied_has_no_pairs(curated, monkeypatch):
    monkeypatch.setattr("augury.study.gallery.images_of", lambda value: getattr(value, "pool", value).take([]))
    assert closest_pairs(curated, "oracle") == ()
