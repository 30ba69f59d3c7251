import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import augury
from augury.errors import DataError, SettingsError
from augury.generators import CVAE, SuperResolution, load_sampler
from augury.generators.superres import CROP, crops
from augury.networks.superres import Bicubic, PublishedEnlarger, ResidualEnlarger, reduced
from augury.policies import Ratio
from augury.seeds import guarded
from augury.study import Arm, NamedGenerator, dump_study, load_study, toy
from augury.study.identity import digest
from augury.study.study_file import shared_text
from augury.training import Run, to_float, to_uint8
from toy import toy_images

INNER = CVAE(hidden=(16,), latent=2, steps=30, batch=8)
SMALL = SuperResolution(generator=INNER, steps=12, batch=4, width=4, blocks=1)
LABELS, SEEDS = torch.tensor([0, 1, 1]), [3, 1, 4]


def rrdb(scale=2, channels=3, seed=0, unshuffle=None):
    """Return a tiny network of ESRGAN's make with random weights."""
    from spandrel.architectures.ESRGAN import ESRGAN

    with guarded(seed):
        incoming = channels * (unshuffle or 1) ** 2
        return ESRGAN(
            in_nc=incoming, out_nc=channels, num_filters=8, num_blocks=1, scale=scale, shuffle_factor=unshuffle
        ).eval()


@pytest.fixture
def published(tmp_path):
    """Write a network's weights, and return the recipe that takes them."""

    def recipe(network, name="rrdb.pth", wrap=lambda state: state, **settings):
        path = tmp_path / name
        save = save_file if path.suffix == ".safetensors" else torch.save
        save(wrap(network.state_dict()), path)
        return SuperResolution(generator=INNER, method="esrgan", weights=f"file:{path}", **settings)

    return recipe


# ---- the recipe


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"generator": {"kind": "cvea"}}, "generator of superres: there is no kind 'cvea': did you mean 'cvae'"),
        ({"generator": {"latent": 3}}, "a table needs a 'kind'"),
        ({"generator": {"kind": "cvae", "latnt": 3}}, "generator of superres: cvae has no setting 'latnt'.*'latent'"),
        ({"generator": 3}, "generator of superres"),
        ({"generator": "repeat"}, "'repeat' is a control"),
        ({"generator": "blend"}, "'blend' is a control"),
        ({"generator": "superres"}, "not enlarged again. Set factor = 4"),
        ({"factor": 3}, "factor of superres: expected one of: 2, 4. Got 3"),
        ({"method": "bicubc"}, "expected one of: 'bicubic', 'trained', 'esrgan'"),
        ({"method": "esrgan"}, "needs weights = 'file:PATH'. Got 'none'"),
        ({"weights": "file:a.pth"}, "method = 'esrgan', and no other"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, sentence):
    with pytest.raises(SettingsError, match=sentence):
        SuperResolution(**settings)


@pytest.mark.parametrize("given", ["cvae", {"kind": "cvae"}, CVAE()])
def test_a_generator_can_be_given_by_name_as_a_table_or_itself(given):
    assert SuperResolution(generator=given).generator == CVAE()


def test_a_study_file_keeps_every_setting_and_shows_no_folder(tmp_path, published):
    recipe = published(rrdb(), factor=2)
    arm = Arm(name="it", generator="mine", amounts=(Ratio(r=1.0),))
    study = toy().replace(generators=(NamedGenerator(name="mine", recipe=recipe),), arms=(Arm(name="real"), arm))
    (tmp_path / "study.toml").write_text(dump_study(study).replace(f"file:{tmp_path}/", "file:"))
    assert load_study(tmp_path / "study.toml").generators[0].recipe == recipe
    assert str(tmp_path) not in shared_text(study)
    assert tomllib.loads(dump_study(study))["generators"][0]["generator"]["kind"] == "cvae"


def test_weights_count_by_their_content_and_the_generator_inside_by_all_it_has(published):
    one = published(rrdb())
    copy = Path(one.weights.removeprefix("file:")).with_name("copy.pth")
    copy.write_bytes(copy.with_name("rrdb.pth").read_bytes())
    copied, other = one.replace(weights=f"file:{copy}"), published(rrdb(seed=1), name="other.pth")
    assert digest(one) == digest(copied) != digest(other)
    assert digest(SMALL) != digest(SMALL.replace(generator=INNER.replace(latent=3)))


# ---- reducing and enlarging


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (12, 7)])
def test_a_reduced_image_holds_means_of_squares_and_is_enlarged_to_at_least_its_old_size(factor, size):
    image = torch.rand(1, 3, *size)
    small = reduced(image, factor)
    H, W = size
    assert small.shape == (1, 3, -(-H // factor), -(-W // factor))
    whole = small[:, :, : H // factor, : W // factor]
    columns = image.unfold(2, factor, factor).unfold(3, factor, factor).mean((4, 5))
    torch.testing.assert_close(whole, columns)
    assert all(grown >= side for grown, side in zip(Bicubic(factor)(small).shape[2:], size, strict=True))


@pytest.mark.parametrize("factor", [2, 4])
def test_a_ramp_comes_back_from_bicubic_interpolation_in_its_place(factor):
    ramp = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32)
    middle = (..., slice(8, 24), slice(8, 24))  # a ramp shifted by half a pixel is off by 0.03
    torch.testing.assert_close(Bicubic(factor)(reduced(ramp, factor))[middle], ramp[middle], atol=0.015, rtol=0)


@pytest.mark.parametrize(("channels", "factor"), [(1, 2), (3, 4)])
def test_an_untrained_network_is_bicubic_interpolation_and_all_its_weights_can_learn(channels, factor):
    network, images = ResidualEnlarger(channels, factor, width=8, blocks=2), torch.randn(2, channels, 5, 7)
    assert torch.equal(network(images), Bicubic(factor)(images))
    torch.nn.init.normal_(network.last.weight)
    F.l1_loss(network(images), torch.zeros(2, channels, 5 * factor, 7 * factor)).backward()
    assert all((weight.grad != 0).any() for weight in network.parameters())


def test_crops_are_parts_of_their_images_at_places_of_their_own():
    images = torch.arange(4 * 60 * 50.0).view(4, 1, 60, 50)
    with guarded(0):
        parts = crops(images, CROP)
    assert parts.shape == (4, 1, CROP, CROP)
    corners = parts[:, 0, 0, 0].long() % (60 * 50)
    for image, part, corner in zip(images, parts, corners.tolist(), strict=True):
        assert torch.equal(part, image[:, corner // 50 :, corner % 50 :][:, :CROP, :CROP])
    assert len(corners.unique()) > 1


# ---- fitting


def decibels(images, others):
    """Return the mean peak signal-to-noise ratio of uint8 images."""
    squared = (images.float() - others.float()).square().flatten(1).mean(1)
    return float((10 * torch.log10(255**2 / squared.clamp(min=1e-3))).mean())


@pytest.mark.parametrize("factor", [2, 4])
def test_a_trained_network_enlarges_images_it_has_not_seen_better_than_interpolation(factor):
    digits = augury.read("digits")
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    train, test = digits.take(order[:1200]), digits.take(order[1200:])
    recipe = SuperResolution(generator=INNER, factor=factor, steps=150, width=16, blocks=2, rate=5e-3)
    network = recipe.fit(train, Run(seed=0)).network
    small = reduced(to_float(test.images), factor)
    with torch.no_grad():
        trained, plain = (to_uint8(each(small)) for each in (network, Bicubic(factor)))
    assert decibels(trained, test.images) > decibels(plain, test.images) + 2


def test_the_generator_inside_sees_the_reduced_images_under_the_names_and_digests_of_the_real_ones(monkeypatch):
    seen, fit = [], CVAE.fit
    monkeypatch.setattr(
        CVAE, "fit", lambda self, train, run: (seen.append((train, run.seed)), fit(self, train, run))[1]
    )
    train = toy_images(size=(9, 13))
    sampler = SMALL.fit(train, Run(seed=5))
    ((small, seed),) = seen
    assert small.shape == sampler.inner.card.shape == (1, 5, 7)
    assert (small.names, small.digests, seed != 5) == (train.names, train.digests, True)
    assert torch.equal(small.images, to_uint8(reduced(to_float(train.images), 2)))
    assert sampler.card.seen == sampler.inner.card.seen == frozenset(train.digests)


def test_large_images_are_learnt_from_in_parts_and_drawn_whole():
    train = toy_images(channels=3, size=(70, 50), per_class=3)
    pool = SMALL.replace(factor=4).fit(train, Run(seed=0)).draw(1, seed=0)
    assert pool.shape == (3, 70, 50)


def test_what_is_drawn_is_what_the_generator_inside_draws_enlarged():
    sampler = SMALL.replace(method="bicubic").fit(toy_images(size=(9, 12)), Run(seed=0))
    small = to_float(sampler.inner.sample(LABELS, SEEDS))
    assert torch.equal(sampler.sample(LABELS, SEEDS), to_uint8(Bicubic(2)(small)[:, :, :9, :12]))
    assert sampler.card.parameters == sampler.inner.card.parameters


@pytest.mark.parametrize("stop", [10, 29, 30, 31, 36, 41])
def test_stopped_in_either_training_it_goes_on_as_if_never_stopped(stop, tmp_path):
    steps = []

    def until(done, in_all):
        steps.append((done, in_all))
        if len(steps) == stop:
            raise KeyboardInterrupt

    run = Run(seed=0, folder=tmp_path, on_step=until, checkpoint_seconds=0)
    with suppress(KeyboardInterrupt):
        SMALL.fit(toy_images(), run)
    again = SMALL.fit(toy_images(), run)
    assert torch.equal(again.sample(LABELS, SEEDS), SMALL.fit(toy_images(), Run(seed=0)).sample(LABELS, SEEDS))
    assert {in_all for _, in_all in steps} == {42}
    assert len(steps) == 42 + (stop == 30)  # a training's last step alone is not kept before its network is
    assert steps[-1] == (42, 42)


def test_damaged_weights_are_a_sentence(tmp_path):
    SMALL.fit(toy_images(), Run(seed=0)).save(tmp_path)
    (tmp_path / "enlarger.pt").write_bytes(b"not weights")
    with pytest.raises(DataError, match="missing or damaged"):
        load_sampler(tmp_path)


# ---- published weights


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("rrdb.pth", lambda state: state),
        ("rrdb.safetensors", lambda state: state),
        ("rrdb.pth", lambda state: {"params_ema": state}),
    ],
)
@pytest.mark.parametrize("size", [(8, 8), (9, 13)])
def test_a_colour_network_enlarges_colour_images_as_it_does_outside(published, name, wrap, size):
    network, train = rrdb(), toy_images(channels=3, size=size)
    sampler = published(network, name, wrap).fit(train, Run(seed=0))
    small = to_float(sampler.inner.sample(LABELS, SEEDS))
    with torch.no_grad():
        expected = 2 * network((small + 1) / 2).clamp(0, 1) - 1
    images = sampler.sample(LABELS, SEEDS)
    difference = images.int() - to_uint8(expected[:, :, : size[0], : size[1]]).int()
    assert difference.abs().max() <= 1
    assert images.float().std() > 1
    assert sampler.card.parameters == sampler.inner.card.parameters


@pytest.mark.parametrize(("scale", "unshuffle"), [(4, None), (4, 2)])
def test_networks_of_both_factors_are_taken_and_kept_with_the_model(published, scale, unshuffle, tmp_path):
    factor = scale // (unshuffle or 1)
    recipe = published(rrdb(scale, unshuffle=unshuffle), factor=factor)
    sampler = recipe.fit(toy_images(channels=3, size=(9, 13)), Run(seed=0))
    (tmp_path / "model").mkdir()
    sampler.save(tmp_path / "model")
    (tmp_path / "rrdb.pth").unlink()
    loaded = load_sampler(tmp_path / "model")
    assert loaded.card == sampler.card
    assert torch.equal(loaded.sample(LABELS, SEEDS), sampler.sample(LABELS, SEEDS))


def test_grey_images_are_the_mean_of_what_a_colour_network_makes_of_three_equal_channels():
    network, images = rrdb(), 2 * torch.rand(2, 1, 6, 5) - 1
    with torch.no_grad():
        expected = network((images.expand(-1, 3, -1, -1) + 1) / 2).clamp(0, 1).mean(1, keepdim=True)
        found = PublishedEnlarger(network.state_dict(), "it", 2, 1)(images)
    torch.testing.assert_close(found, 2 * expected - 1)


def test_a_network_of_another_factor_or_for_grey_images_only_is_refused_before_any_training(published):
    with pytest.raises(SettingsError, match=r"rrdb.pth enlarges by a factor of 2\. Got factor = 4"):
        published(rrdb(), factor=4).fit(toy_images(), Run(seed=0, on_step=pytest.fail))
    with pytest.raises(SettingsError, match=r"takes grey images\. Got 3 channels"):
        published(rrdb(channels=1)).fit(toy_images(channels=3), Run(seed=0, on_step=pytest.fail))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not weights", "without unpickling code"),
        ({"layer.weight": torch.zeros(3)}, "no super-resolution network that spandrel knows"),
        ({"code": print}, "without unpickling code"),
        (None, "a file of weights was expected"),
    ],
)
def test_a_file_that_holds_no_such_network_is_refused(tmp_path, content, sentence):
    path = tmp_path / "rrdb.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    recipe = SuperResolution(generator=INNER, method="esrgan", weights=f"file:{path}")
    with pytest.raises(DataError, match=sentence):
        recipe.fit(toy_images(), Run(seed=0, on_step=pytest.fail))


def test_without_spandrel_it_says_what_to_install(published, monkeypatch):
    recipe = published(rrdb())
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(SettingsError, match=r"pip install 'augury\[superres\]'"):
        recipe.fit(toy_images(), Run(seed=0))
