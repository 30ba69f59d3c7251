import math

import pytest
import torch
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from augury.cli import app
from augury.errors import SettingsError
from augury.generators import InfoGAN, load_sampler
from augury.generators.infogan import information_losses
from augury.models import sample_model, traverse_model
from augury.training import Run
from tiny import TINY_GENERATORS
from toy import class_means, nearest_class, toy_images

TINY = TINY_GENERATORS["infogan"]  # a noise of 8, a discrete code of 3 values, two continuous codes


@pytest.fixture(scope="module")
def sampler():
    return TINY.replace(steps=10).fit(toy_images(), Run(seed=0))


@pytest.fixture
def model(sampler, tmp_path):
    (tmp_path / "model").mkdir()
    sampler.save(tmp_path / "model")
    return tmp_path / "model"


# ---- the codes


def test_the_codes_have_the_laws_of_the_paper():
    codes = InfoGAN().code_law(torch.randn(20_000, 74, generator=torch.Generator().manual_seed(0)))
    noise, choice, place = codes.split([62, 10, 2], dim=1)
    assert stats.kstest(noise.flatten()[:20_000].numpy(), "norm").pvalue > 0.001
    assert stats.chisquare(choice.sum(0).numpy()).pvalue > 0.001
    assert stats.kstest(place[:, 0].numpy(), "uniform", args=(-1, 2)).pvalue > 0.001
    assert set(choice.unique().tolist()) == {0.0, 1.0}
    assert (choice.sum(1) == 1).all()


def test_training_draws_codes_of_the_same_law(sampler):
    learner = TINY.learner_class(TINY, TINY.players((1, 8, 8), 0), "cpu")
    torch.manual_seed(3)
    drawn = learner.draw_codes(torch.zeros(5, dtype=torch.int64))
    torch.manual_seed(3)
    assert torch.equal(drawn, TINY.code_law(torch.randn(5, 13)))
    assert sampler.codes(torch.zeros(5, dtype=torch.int64), range(5)).shape == drawn.shape


# ---- the bound


def outputs(logits, means, log_variances):
    rows = [torch.tensor(part, dtype=torch.float32) for part in (logits, means, log_variances)]
    return torch.cat([torch.zeros(len(rows[0]), 1), *rows], dim=1)


CODES = torch.tensor([[0.0] * 8 + [0, 1, 0, 0.5, -0.5], [0.0] * 8 + [1, 0, 0, -1.0, 1.0]])


def test_reading_nothing_is_no_information():
    losses = information_losses(TINY, outputs([[0] * 3] * 2, [[0] * 2] * 2, [[0] * 2] * 2), CODES)
    assert losses["discrete code"] == pytest.approx(0.0, abs=1e-6)


def test_reading_the_discrete_code_surely_is_its_whole_entropy():
    losses = information_losses(TINY, outputs([[-99, 99, -99], [99, -99, -99]], [[0] * 2] * 2, [[0] * 2] * 2), CODES)
    assert losses["discrete code"] == pytest.approx(-math.log(3), abs=1e-6)


def test_the_continuous_codes_are_read_with_a_normal_law():
    means, log_variances = [[0.1, 0.2], [-0.3, 0.4]], [[0.0, -1.0], [0.5, -50.0]]  # the last below the floor of -4
    losses = information_losses(TINY, outputs([[0] * 3] * 2, means, log_variances), CODES)
    deviations = [[1.0, math.exp(-0.5)], [math.exp(0.25), math.exp(-2)]]
    log_likelihood = stats.norm(means, deviations).logpdf(CODES[:, -2:].numpy()).sum(1).mean()
    assert losses["continuous codes"] == pytest.approx(-0.1 * (log_likelihood + 2 * math.log(2)), rel=1e-5)


def test_the_lambdas_weigh_the_codes():
    heavy = TINY.replace(discrete_weight=3.0, continuous_weight=0.5)
    read = outputs([[1, 2, 3]] * 2, [[0.3] * 2] * 2, [[-1] * 2] * 2)
    one, other = information_losses(TINY, read, CODES), information_losses(heavy, read, CODES)
    assert other["discrete code"] == pytest.approx(3 * float(one["discrete code"]))
    assert other["continuous codes"] == pytest.approx(5 * float(one["continuous codes"]))


def test_both_players_learn_to_tell_the_codes():
    losses = TINY.replace(steps=150).fit(toy_images(), Run(seed=0)).film.losses()
    for name in ("discrete code", "generator: discrete code"):
        assert sum(losses[name][:20]) / 20 > -0.5
        assert sum(losses[name][-20:]) / 20 < -0.8  # of ln 3 = 1.1 nats


def test_one_pair_for_all_classes_draws_what_it_is_told():
    recipe, train = TINY.replace(per_class=False, steps=160, average=0.9), toy_images()
    pool = recipe.fit(train, Run(seed=1)).draw(10, seed=0)
    assert (nearest_class(pool, class_means(train)) == pool.labels).float().mean() > 0.7


# ---- traversals


def test_a_traversal_holds_the_image_of_its_seed(sampler):
    label, seed = 1, 5
    value = int(sampler.codes(torch.tensor([label]), [seed])[0, 8:11].argmax())
    grid = sampler.traverse(label, seed, code="discrete")
    assert grid.shape == (6, 3, 1, 8, 8)
    assert torch.equal(grid[0, value], sampler.sample(torch.tensor([label]), [seed])[0])
    following = sampler.codes(torch.tensor([label]), [seed + 2])[0, 8:11].argmax()
    assert torch.equal(grid[2, following], sampler.sample(torch.tensor([label]), [seed + 2])[0])


@pytest.mark.parametrize(("code", "place"), [("continuous 1", 11), ("continuous 2", 12)])
def test_a_continuous_code_goes_from_end_to_end(sampler, code, place):
    grid = sampler.traverse(0, 7, code=code, columns=5)
    assert grid.shape == (3, 5, 1, 8, 8)
    codes = sampler.codes(torch.tensor([0]), [7]).repeat(3, 1)
    codes[:, 8:11] = torch.eye(3)
    for column, value in ((0, -1.0), (2, 0.0), (4, 1.0)):
        codes[:, place] = value
        assert torch.equal(grid[:, column], sampler.decode(codes, torch.zeros(3, dtype=torch.int64)))


def test_a_loaded_model_traverses_alike_even_beyond_one_batch(sampler, model):
    wide = load_sampler(model).traverse(0, 0, columns=45)
    assert torch.equal(wide[:, ::11], sampler.traverse(0, 0, columns=5))


def test_an_unknown_code_names_the_nearest(sampler):
    with pytest.raises(SettingsError, match="no code 'continous 1': did you mean 'continuous 1'"):
        sampler.traverse(0, 0, code="continous 1")


def test_traversals_are_written_as_one_picture_per_class_and_code(sampler, model, tmp_path):
    assert traverse_model(model, tmp_path / "out", seed=4, device="cpu") == 6
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names[:3] == ["00-class-0-continuous-1.png", "00-class-0-continuous-2.png", "00-class-0-discrete.png"]
    with Image.open(tmp_path / "out" / "01-class-1-continuous-1.png") as image:
        assert image.size == (9 * 9 + 1, 3 * 9 + 1)
        pixels = torch.tensor(list(image.tobytes()), dtype=torch.uint8).view(image.height, image.width)
    assert torch.equal(pixels[1:9, 10:18], sampler.traverse(1, 4)[0, 1, 0])
    assert (pixels[::9] == 255).all()
    assert (pixels[:, ::9] == 255).all()


def test_a_model_without_codes_is_a_sentence_that_names_infogan(tmp_path):
    (tmp_path / "model").mkdir()
    TINY_GENERATORS["repeat"].fit(toy_images(), Run(seed=0)).save(tmp_path / "model")
    with pytest.raises(SettingsError, match=r"Got repeat, which has none: fit one with --generator infogan\."):
        traverse_model(tmp_path / "model", tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()
    assert sample_model(tmp_path / "model", tmp_path / "out", per_class=1, device="cpu") == 2


def test_the_command_traverses(model, tmp_path):
    done = CliRunner().invoke(app, ["sample", str(model), "--traverse", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.exception
    assert len(list((tmp_path / "out").glob("*.png"))) == 6


def test_a_traversal_is_of_no_number_of_images(model, tmp_path):
    asked = ["sample", str(model), "--traverse", "--per-class", "3", "-o", str(tmp_path / "out")]
    error = CliRunner().invoke(app, asked).exception
    assert isinstance(error, SettingsError)
    assert "leave out --per-class and --count" in str(error)
