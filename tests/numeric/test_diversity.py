import importlib.util
import itertools
from dataclasses import replace

import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim
from torchmetrics.functional.image.lpips import learned_perceptual_image_patch_similarity as lpips
from torchvision import models

from augury.audit import Fidelity, PairDiversity, diversity
from augury.errors import DataError
from augury.images import real_set
from augury.metrics.diversity import MS_SSIM_SIDE, pair_measures, pairwise
from augury.study.audit_results import _means
from augury.study.audit_steps import MeasureFidelity

SQUEEZE = "squeezenet1_1-b8a52dc0.pth"


def noise(n, shape=(1, 176, 180), seed=0):
    """Return smooth images: of white noise MS-SSIM is 0."""
    rough = torch.rand(n, shape[0], 12, 12, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(rough, shape[1:], mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Let torchvision look for weights in an empty folder, and never fetch any."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def gap(a, b):
    return (a - b).abs().mean((1, 2, 3))


def test_all_pairs_are_taken_once_where_there_are_few():
    images = (torch.arange(7) ** 2).to(torch.uint8).view(7, 1, 1, 1).expand(7, 1, 4, 4)
    expected = [abs(a * a - b * b) / 255 for a, b in itertools.combinations(range(7), 2)]
    assert pairwise(images, gap, pairs=100) == pytest.approx(sum(expected) / 21)


def test_pairs_are_as_many_as_asked_differ_and_follow_the_seed():
    images = torch.arange(60, dtype=torch.uint8).view(60, 1, 1, 1)
    seen = []

    def spy(a, b):
        seen.extend(zip((a * 255).round().flatten().tolist(), (b * 255).round().flatten().tolist(), strict=True))
        return gap(a, b)

    first = pairwise(images, spy, pairs=40, seed=1)
    assert len(set(seen)) == 40
    assert all(a < b for a, b in seen)
    assert first == pairwise(images, gap, pairs=40, seed=1) != pairwise(images, gap, pairs=40, seed=2)


def test_one_image_has_no_pair():
    with pytest.raises(DataError, match=r"two images or more. Got 1"):
        pairwise(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), gap)


def test_ms_ssim_is_torchmetrics_and_1_for_equal_images():
    images = noise(3, (3, 176, 180))
    measure, _ = pair_measures((3, 176, 180))
    a, b = (images[list(side)].float() / 255 for side in ((0, 0, 1), (1, 2, 2)))
    assert pairwise(images, measure.distance) == pytest.approx(float(ms_ssim(a, b, data_range=1.0)), abs=1e-6)
    assert 0 < pairwise(images, measure.distance) < 0.9
    assert pairwise(images[:1].expand(3, -1, -1, -1), measure.distance) == pytest.approx(1.0, abs=1e-5)


def test_ms_ssim_is_left_out_exactly_where_torchmetrics_refuses():
    small, tall = (torch.rand(1, 1, MS_SSIM_SIDE - 1, 200), torch.rand(1, 1, MS_SSIM_SIDE, 200))
    with pytest.raises(ValueError, match="must be larger than 160"):
        ms_ssim(small, small, data_range=1.0)
    assert ms_ssim(tall, tall, data_range=1.0) == pytest.approx(1.0, abs=1e-5)
    measure, _ = pair_measures((1, 175, 200))
    assert (measure.distance, measure.reason) == (
        None,
        "MS-SSIM needs images of 176 pixels or more a side. These have 175 x 200.",
    )


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, 28, 28), "LPIPS needs images of 64 pixels or more a side. These have 28 x 28."),
        ((4, 64, 64), "LPIPS takes grey or RGB images. These have 4 channels."),
        ((3, 64, 64), "LPIPS needs the weights of a network, which are not here: torchvision"),
    ],
)
def test_lpips_says_why_it_is_left_out(shape, reason, hub):
    _, measure = pair_measures(shape)
    assert measure.distance is None
    assert measure.reason.startswith(reason)


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_is_torchmetrics_with_the_weights_that_are_there(channels, hub):
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1().state_dict(), hub / SQUEEZE)
    before = torch.random.get_rng_state()
    _, measure = pair_measures((channels, 64, 64))
    assert measure.name == "LPIPS (squeeze)"
    assert torch.equal(torch.random.get_rng_state(), before)
    images = noise(3, (channels, 64, 64))
    a, b = (images[list(side)].expand(-1, 3, -1, -1).float() / 255 for side in ((0, 0, 1), (1, 2, 2)))
    expected = float(lpips(a, b, net_type="squeeze", normalize=True))
    assert pairwise(images, measure.distance) == pytest.approx(expected, rel=1e-5)
    assert expected > 0
    assert pairwise(images[:1].expand(2, -1, -1, -1), measure.distance) == 0


@pytest.mark.parametrize("content", [{"weight": print}, {"weight": torch.zeros(1)}])
def test_a_file_of_another_kind_is_never_unpickled(content, hub):
    torch.save(content, hub / SQUEEZE)
    _, measure = pair_measures((3, 64, 64))
    assert (measure.distance, measure.reason) == (
        None,
        f"LPIPS cannot read {SQUEEZE} in torchvision's cache: delete it.",
    )


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    for measure in pair_measures((3, 224, 224)):
        assert measure.distance is None
        assert "pip install 'augury[fidelity]'" in measure.reason


def test_classes_with_enough_groups_have_a_row_and_repeats_of_a_patient_count_once(hub):
    labels = torch.tensor([0] * 10 + [1] * 10)
    same = noise(1, (1, 176, 176)).expand(20, -1, -1, -1)
    drawn = real_set(same, labels, ["a", "b"])
    real = real_set(noise(20, (1, 176, 176)), labels, ["a", "b"], groups=[f"p{i}" for i in range(11)] + ["p11"] * 9)
    row, missing = diversity(drawn, real)
    assert (row.measure, row.name, row.reason) == ("MS-SSIM", "a", "")
    assert row.drawn == pytest.approx(1.0, abs=1e-5)
    assert row.real < 0.9
    assert missing == PairDiversity("LPIPS", "", None, None, missing.reason)
    assert missing.reason


def test_what_a_study_keeps_of_it_is_read_back_and_averaged_over_splits(tmp_path):
    step = MeasureFidelity(split=None, pool=(), judge=None, seed=0)
    rows = (PairDiversity("MS-SSIM", "a", 0.25, 0.5), PairDiversity("LPIPS", "", None, None, "too small"))
    step.save((Fidelity((), rows), 0.75), tmp_path)
    found, trts = step.load(tmp_path, "cpu")
    assert (found, trts) == (Fidelity((), rows), 0.75)
    other = (replace(rows[0], drawn=0.75, real=0.7), rows[1])
    assert _means([rows, other], ("measure", "name")) == (PairDiversity("MS-SSIM", "a", 0.5, 0.6), rows[1])
