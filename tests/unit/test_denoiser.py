"""`diffusion`, `flow` and `latent`: what they share, and what each adds."""

import shutil

import pytest
import torch

from augury.classifiers import SmallCNNClassifier
from augury.errors import DataError, SettingsError
from augury.generators import Diffusion, Flow, Latent, load_sampler
from augury.generators.denoiser import model_digest, strata
from augury.generators.latent import LatentLearner
from augury.networks.published_codes import PublishedCodes
from augury.seeds import guarded
from augury.study.identity import digest
from augury.training import Run, learn, to_float
from toy import class_means, nearest_class, toy_images

SMALL = {
    "batch": 16,
    "size": "tiny",
    "rate": 4e-3,
    "average": 0.9,
    "dropout": 0.0,
    "augment": (),
    "snapshots": 0,
    "guidance": 1.0,
}
TRAIN = toy_images()
FRESH = toy_images(seed=1)


@pytest.fixture(scope="module")
def flow():
    return Flow(steps=200, **SMALL).fit(TRAIN, Run(seed=0))


@pytest.fixture(scope="module")
def model(flow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    flow.save(folder)
    return folder


# ---- the loss on images that were not seen


def test_the_loss_on_new_images_falls_with_training_and_is_the_same_again(flow):
    untrained = Flow(steps=1, **SMALL).fit(TRAIN, Run(seed=0))
    loss = flow.held_out_loss(FRESH, seed=0)
    assert loss < 0.5 * untrained.held_out_loss(FRESH, seed=0)
    assert flow.held_out_loss(FRESH, seed=0) == loss
    assert flow.held_out_loss(FRESH, seed=1) != loss


def test_the_loss_on_new_images_is_that_of_the_network_without_dropout(tmp_path):
    recipe = Flow(steps=40, **{**SMALL, "dropout": 0.5, "snapshots": 1})
    fitted = recipe.fit(TRAIN, Run(seed=0))
    fitted.save(tmp_path)
    opened = load_sampler(tmp_path)
    assert opened.held_out_loss(FRESH, seed=0) == fitted.held_out_loss(FRESH, seed=0)
    assert opened.at(20).held_out_loss(FRESH, seed=0) == fitted.at(20).held_out_loss(FRESH, seed=0)
    opened.network.train()
    assert opened.held_out_loss(FRESH, seed=0) == fitted.held_out_loss(FRESH, seed=0)
    assert opened.network.training


def test_learned_by_heart_it_is_greater_on_new_images_than_on_its_own():
    few = TRAIN.take(range(0, len(TRAIN), len(TRAIN) // 4))
    sampler = Flow(steps=400, **SMALL).fit(few, Run(seed=0))
    assert sampler.held_out_loss(FRESH, seed=0) > 1.3 * sampler.held_out_loss(few, seed=0)


def test_strata_cover_the_law_evenly():
    torch.manual_seed(0)
    shares = torch.special.ndtr(strata(100)).sort().values
    assert ((shares * 100).floor() == torch.arange(100)).all()


# ---- guidance and sampling


def test_guidance_leads_from_the_other_class_toward_the_asked_one(flow):
    def progress(guidance):
        recipe = flow.recipe.replace(guidance=guidance)
        pool = recipe.sampler(flow.card, flow.network, "cpu", flow.film).draw(40, seed=0)
        means = class_means(TRAIN).flatten(1)
        way = means[1] - means[0]
        along = (pool.images.float().flatten(1) - means.mean(0)) @ way / way.norm() ** 2
        return float((along * (2 * pool.labels - 1)).mean())

    found = [progress(guidance) for guidance in (0.0, 0.5, 1.0, 2.0, 3.0)]
    assert found == sorted(found)
    assert found[2] == pytest.approx(0.5, abs=0.05)  # without guidance, at the class's mean


def test_a_rare_class_is_shown_more_often_by_the_root_and_alike():
    train = toy_images(per_class=(2, 50))
    counts = {
        how: int((Flow(sampling=how).source(train, Run(0)).at(0)(2000).labels == 0).sum())
        for how in ("root", "balanced")
    }
    assert 250 < counts["root"] < 420 < 900 < counts["balanced"] < 1100


@pytest.fixture(scope="module")
def advised():
    return Flow(steps=200, feedback=1.0, **SMALL).fit(TRAIN, Run(seed=0))


def test_feedback_leads_toward_or_away_from_what_a_classifier_finds_hard(advised):
    def doubts(feedback):
        recipe = advised.recipe.replace(feedback=feedback)
        sampler = recipe.sampler(advised.card, advised.network, "cpu", advised.film)
        images = to_float(sampler.draw(40, seed=0).images)
        logs = [network(images).log_softmax(1) for network in (advised.network.adviser, judge.network)]
        return [float(-(each.exp() * each).sum(1).mean()) for each in logs]

    judge = SmallCNNClassifier(steps=60, width=8).fit(TRAIN, None, Run(seed=3))  # another one than gives feedback
    with torch.no_grad():
        easy, plain, hard = (doubts(feedback) for feedback in (-40.0, 0.0, 40.0))
    assert easy[0] < 0.9 * plain[0] < plain[0] < 0.9 * hard[0]
    assert easy[1] < 0.95 * plain[1] < plain[1] < 0.97 * hard[1]


def test_without_feedback_there_is_no_classifier_and_nothing_else_changes(flow, advised):
    assert flow.network.adviser is None
    assert list(advised.film.losses()) == ["denoising", "advice"]
    assert len(advised.network.state_dict()) > len(flow.network.state_dict())
    with pytest.raises(SettingsError, match="feedback"):
        Flow(feedback=float("nan"))


def test_a_model_with_a_classifier_hands_on_the_rest(advised, flow, model, tmp_path):
    advised.save(tmp_path)
    for init, feedback, origin in ((tmp_path, 0.0, advised), (tmp_path, 2.0, advised), (model, 2.0, flow)):
        network = Flow(init=str(init), feedback=feedback, **SMALL).started(TRAIN)
        assert torch.equal(network.first.weight, origin.network.first.weight)
        assert (network.adviser is None) == (feedback == 0)


# ---- starting from a model


def test_it_starts_from_the_weights_of_a_model_and_has_seen_what_that_saw(model, flow):
    other = toy_images(seed=2)
    recipe = Flow(steps=1, init=str(model), **{**SMALL, "rate": 1e-9})
    sampler = recipe.fit(other, Run(seed=5))
    assert sampler.card.seen == frozenset(TRAIN.digests) | frozenset(other.digests)
    scratch = recipe.replace(init="none").fit(other, Run(seed=5))
    assert sampler.held_out_loss(FRESH, seed=0) == pytest.approx(flow.held_out_loss(FRESH, seed=0), rel=0.05)
    assert scratch.held_out_loss(FRESH, seed=0) > 1.5 * sampler.held_out_loss(FRESH, seed=0)


def test_classes_are_matched_by_name_and_new_ones_begin_as_no_class(model, flow):
    train = toy_images(classes=3)
    renamed = type(train)(**{**vars(train), "classes": ("class 1", "other", "class 0")})
    network = Flow(init=str(model), **SMALL).started(renamed)
    ours, theirs = network.conditions.classes.weight, flow.network.conditions.classes.weight
    assert torch.equal(ours, theirs[[1, 2, 0, 2]])


@pytest.mark.parametrize(
    ("recipe", "train", "error", "sentence"),
    [
        (Diffusion, {}, DataError, r"a diffusion of images \(1, 8, 8\).*was expected\. Got a flow"),
        (Flow, {"channels": 3}, DataError, r"of images \(3, 8, 8\).*Got a flow of images \(1, 8, 8\)"),
        (Flow, {"size": (8, 12)}, DataError, r"fit one of this kind, at this --size"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model, recipe, train, error, sentence):
    with pytest.raises(error, match=sentence):
        recipe(steps=1, init=str(model), **SMALL).fit(toy_images(**train), Run(seed=0))


def test_a_model_of_another_network_is_refused(model):
    with pytest.raises(SettingsError, match="was fitted with size = 'tiny', and here it is 'small'"):
        Flow(steps=1, init=str(model), **{**SMALL, "size": "small"}).fit(TRAIN, Run(seed=0))


def test_a_model_to_start_from_counts_by_its_content(model, tmp_path, flow):
    flow.save(tmp_path)
    assert digest(Flow(init=str(model))) == digest(Flow(init=str(tmp_path))) != digest(Flow())
    with pytest.raises(DataError, match=r"a fitted generator .* was expected"):
        model_digest(str(tmp_path / "nothing"))


# ---- reflow


def test_after_reflow_one_step_comes_nearer_to_where_many_lead():
    def gap(reflow):
        recipe = Flow(steps=150, reflow=reflow, pairs=256, **SMALL)
        sampler = recipe.fit(TRAIN, Run(seed=0))
        drawn = [
            recipe.replace(drawing_steps=steps).sampler(sampler.card, sampler.network, "cpu", sampler.film)
            for steps in (1, 30)
        ]
        one, many = (to_float(each.draw(30, seed=0).images) for each in drawn)
        return float((one - many).square().mean())

    assert gap(150) < 0.6 * gap(0)


def test_each_phase_has_its_own_loss():
    recipe = Flow(steps=3, reflow=2, pairs=8, **SMALL)
    losses = recipe.fit(TRAIN, Run(seed=0)).film.losses()
    assert {name: len(of) for name, of in losses.items()} == {"denoising": 3, "straightening": 2}
    assert [recipe.stretch(name, 2) for name in losses] == [(0, 3), (3, 5)]


# ---- codes


def test_codes_are_standardised_and_hold_the_image():
    recipe = Latent(pretrain=150, steps=2, width=16, **SMALL)
    sampler = recipe.fit(TRAIN, Run(seed=0))
    images = to_float(TRAIN.images)
    with torch.no_grad():
        codes = sampler.network.encode(images)
        seen = sampler.network.decode(codes)
    assert codes.mean((0, 2, 3)).abs().max() < 0.1
    assert torch.allclose(codes.std((0, 2, 3)), torch.full((4,), 0.5), atol=0.05)
    assert (seen - images).abs().mean() < 0.5 * images.sub(images.mean((2, 3), keepdim=True)).abs().mean()
    assert {name: recipe.stretch(name, 2) for name in sampler.film.losses()} == {
        "reconstruction": (0, 150),
        "divergence": (0, 150),
        "denoising": (150, 152),
    }


def test_the_autoencoder_is_left_alone_in_the_second_phase():
    recipe = Latent(pretrain=5, steps=20, width=16, **SMALL)
    learner = recipe.learner(TRAIN, Run(seed=0))
    assert isinstance(learner, LatentLearner)
    source = recipe.source(TRAIN, Run(seed=0))
    learn(learner, source, steps=6, run=Run(seed=0))
    before = {name: value.clone() for name, value in learner.codes.autoencoder.state_dict().items()}
    for step in range(6, 25):
        learner.update(step, source.at(step))
    after, kept = learner.codes.autoencoder.state_dict(), learner.kept.autoencoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(before[name], kept[name]) for name in before)


@pytest.mark.parametrize("way", ["flow", "diffusion"])
def test_both_ways_lead_from_codes_to_images_of_their_class(way):
    train = toy_images(size=(12, 16))
    recipe = Latent(pretrain=150, steps=300, width=16, way=way, drawing_steps=6, **{**SMALL, "guidance": 1.5})
    pool = recipe.fit(train, Run(seed=1)).draw(10, seed=0)
    assert pool.shape == (1, 12, 16)
    assert (nearest_class(pool, class_means(train)) == pool.labels).float().mean() > 0.8


# ---- a published autoencoder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A small AutoencoderKL with random weights, as diffusers publishes them."""
    diffusers = pytest.importorskip("diffusers")
    folder = tmp_path_factory.mktemp("published")
    ends = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
    with guarded(0):
        diffusers.AutoencoderKL(block_out_channels=(8, 16), norm_num_groups=4, **ends).save_pretrained(folder)
    return folder


def of_published(folder, **settings):
    weights = f"file:{folder / 'diffusion_pytorch_model.safetensors'}"
    return Latent(steps=3, weights=weights, drawing_steps=2, **{**SMALL, **settings})


def test_a_published_autoencoder_takes_the_place_of_ones_own(published, tmp_path):
    train = toy_images(size=(9, 10))  # no multiple of two
    recipe = of_published(shutil.copytree(published, tmp_path / "published"), snapshots=1, feedback=1.0)
    sampler = recipe.fit(train, Run(seed=0))
    assert recipe.total_steps(2) == 3
    assert list(sampler.film.losses()) == ["denoising", "advice"]
    assert not any(name.startswith("autoencoder.") for name in sampler.network.state_dict())
    codes = sampler.network.encode(to_float(train.images))
    assert codes.shape == (len(train), 4, 5, 5)
    assert torch.allclose(codes.std((0, 2, 3)), torch.full((4,), 0.5), atol=5e-3)
    drawn = sampler.draw(2, seed=0)
    assert drawn.images.shape == (4, 1, 9, 10)
    (tmp_path / "model").mkdir()
    sampler.save(tmp_path / "model")
    shutil.rmtree(tmp_path / "published")  # the folder of the model is enough
    opened = load_sampler(tmp_path / "model")
    assert torch.equal(opened.draw(2, seed=0).images, drawn.images)
    assert opened.at(2).draw(1, seed=0).images.shape == (2, 1, 9, 10)


def test_a_published_autoencoder_counts_by_its_content(published, tmp_path):
    shutil.copytree(published, tmp_path / "copy")
    assert (
        digest(of_published(published)) == digest(of_published(tmp_path / "copy")) != digest(Latent(steps=3, **SMALL))
    )


def test_colour_is_coded_as_it_is_and_other_channels_are_refused(published):
    codes = PublishedCodes(of_published(published).weights, (3, 8, 8))
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        assert torch.equal(codes.encode(images)[0], codes.network.encode(images).latent_dist.mean)
        assert codes.decode(codes.encode(images)[0]).shape == images.shape
    with pytest.raises(DataError, match=r"takes images of 3 channels\. Got 4"):
        PublishedCodes(of_published(published).weights, (4, 8, 8))


def test_what_is_no_published_autoencoder_is_refused(published, tmp_path):
    with pytest.raises(DataError, match="a file of weights was expected"):
        of_published(tmp_path).fit(TRAIN, Run(seed=0))
    other = tmp_path / "other.safetensors"
    shutil.copyfile(published / "diffusion_pytorch_model.safetensors", other)
    with pytest.raises(DataError, match=r"config\.json beside it was expected"):
        Latent(weights=f"file:{other}", **SMALL).fit(TRAIN, Run(seed=0))
    shutil.copytree(published, tmp_path / "broken")
    (tmp_path / "broken" / "diffusion_pytorch_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="of a diffusers AutoencoderKL were expected"):
        of_published(tmp_path / "broken").fit(TRAIN, Run(seed=0))
