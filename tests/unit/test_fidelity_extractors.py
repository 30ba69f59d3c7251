import importlib.util
from urllib.error import URLError

import pytest
import torch
from torch import nn

import augury
from augury.classifiers.features import FeatureMaker
from augury.errors import DataError, SettingsError
from augury.images import real_set
from augury.networks.backbones import open_backbone
from augury.networks.fidelity_extractors import check_network, open_network
from augury.study.study import Audit
from augury.study.study_file import dump_study, load_study, shared_text

timm = pytest.importorskip("timm", reason="the extra fidelity is not installed")
inceptions = pytest.importorskip(
    "torch_fidelity.feature_extractor_inceptionv3", reason="the extra fidelity is not installed"
)
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x as stretched  # noqa: E402

INCEPTION, DINO = "fidelity:inception-v3-compat", "fidelity:dinov2-vit-s-14"
MEAN, STD = (torch.tensor(value).view(3, 1, 1) for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def pixels(*shape):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """Return torch-fidelity's Inception with random weights, and a file of these."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inceptions, "load_state_dict_from_url", lambda *args, **options: {})
        patched.setattr(inceptions.FeatureExtractorInceptionV3, "load_state_dict", lambda *args: None)
        network = inceptions.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # by default features vanish
            nn.init.kaiming_normal_(module.weight)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    return network, path


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    """Return DINOv2 as timm builds it for 224 pixels, and a file of the same weights as they are published: for 518.

    All positions have the same embedding, so that no interpolation changes it.
    """
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224).eval()
    state = network.state_dict()
    positions = torch.randn(1, 2, 384) * 0.1
    state["pos_embed"].copy_(torch.cat([positions[:, :1], positions[:, 1:].expand(-1, 256, -1)], 1))
    published = {**state, "mask_token": torch.zeros(1, 384)}
    published["pos_embed"] = torch.cat([positions[:, :1], positions[:, 1:].expand(-1, 37 * 37, -1)], 1)
    path = tmp_path_factory.mktemp("dino") / "weights.pth"
    torch.save(published, path)
    return network, path


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (1, 1, 40, 300)])
def test_inception_s_features_are_torch_fidelity_s_of_the_8_bit_images(shape, inception):
    network, path = inception
    images = real_set(pixels(*shape), torch.zeros(shape[0], dtype=torch.int64), ["a", "b"])
    maker = FeatureMaker(network=INCEPTION, weights=f"file:{path}")
    before = torch.random.get_rng_state()
    rows = torch.from_numpy(maker.compute(images).rows)
    assert torch.equal(torch.random.get_rng_state(), before)
    (expected,) = network(images.images.expand(-1, 3, -1, -1).contiguous())
    assert rows.shape == (shape[0], 1, 2048)
    assert expected.std() > 1e-3
    torch.testing.assert_close(rows[:, 0], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@torch.no_grad()
def test_dino_s_features_are_those_of_its_own_224_pixels(dino):
    network, path = dino
    opened = open_network(DINO, f"file:{path}", seed=0).eval()
    eight_bit = pixels(2, 3, 28, 36)
    found = opened.features(opened.prepare(eight_bit.float() / 127.5 - 1))
    expected = network((stretched(eight_bit.float(), (224, 224), align_corners=False) / 255 - MEAN) / STD)
    assert (opened.width, found.shape, found.dtype) == (384, (2, 384), torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def cubic(x):
    """Return the kernel of Keys 1981 with torch's -0.75."""
    x = x.abs()
    near, far = (1.25 * x - 2.25) * x**2 + 1, -0.75 * (((x - 5) * x + 8) * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


def test_positions_are_interpolated_with_dino_s_offset(dino):
    state = torch.load(dino[1], weights_only=True)
    line = torch.arange(37.0).view(1, 1, 37, 1).expand(1, 37, 37, 384).reshape(1, -1, 384)
    state["pos_embed"] = torch.cat([torch.full((1, 1, 384), -7.0), line], 1)
    path = dino[1].with_name("line.pth")
    torch.save(state, path)
    positions = open_network(DINO, f"file:{path}", seed=0).body.extractor.network.pos_embed[0, :, 5]
    assert positions[0] == -7
    taken_at = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    columns = torch.arange(-3.0, 40.0)
    expected = (cubic(taken_at[:, None] - columns) * columns.clamp(0, 36)).sum(1)
    torch.testing.assert_close(positions[1:].view(16, 16), expected.expand(16, -1), rtol=0, atol=1e-3)


def test_every_grey_level_arrives_as_it_was_and_in_full_precision(inception):
    opened, seen = open_network(INCEPTION, f"file:{inception[1]}", seed=0).eval(), []

    class Spy(nn.Module):
        def forward(self, images):
            seen.append((images, torch.is_autocast_enabled("cpu")))
            return (images.float().mean((2, 3)),)

    opened.body.extractor = Spy()
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        opened.features(opened.prepare(levels.float() / 127.5 - 1))
    ((images, lowered),) = seen
    assert not lowered
    assert torch.equal(images, levels.expand(1, 3, 16, 16))


def test_published_weights_are_fetched_without_unpickling(dino, monkeypatch):
    asked = []

    def fetch(url, **options):
        asked.append((url, options["weights_only"], options["check_hash"]))
        return torch.load(dino[1], weights_only=True)

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    assert open_network(DINO, "imagenet", seed=0).width == 384
    url = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"
    assert asked == [(url, True, True)]


@pytest.mark.parametrize(
    ("network", "url"), [(INCEPTION, inceptions.URL_INCEPTION_V3), (DINO, "dinov2_vits14_pretrain.pth")]
)
def test_without_network_the_message_says_what_to_fetch(network, url, monkeypatch):
    def fail(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(DataError, match=r"cannot be fetched: .*no route to host") as caught:
        open_network(network, "imagenet", seed=0)
    assert url in str(caught.value)
    assert "set weights = 'file:PATH'" in str(caught.value)


@pytest.mark.parametrize("network", [INCEPTION, DINO])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": print}, "holds no weights that can be read without unpickling"),
        ({"weight": torch.zeros(1)}, "belong to another network"),
        ({"pos_embed": torch.zeros(3), "weight": torch.zeros(1)}, "belong to another network"),
    ],
)
def test_other_files_are_refused_and_never_unpickled(network, content, message, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(DataError, match=message):
        open_network(network, f"file:{tmp_path / 'w.pth'}", seed=0)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("fidelity:inception-v3", "there is no extractor 'inception-v3': did you mean 'inception-v3-compat'"),
        ("fidelity:", "there is no extractor ''"),
        ("fidelity:vgg16", "it is torchvision's: network = 'vgg16'"),
        ("fidelity:clip-vit-b-32", "a program that would have to run: network = 'timm:vit_base_patch32_clip_224'"),
        ("vgg61", "there is no network 'vgg61'"),
    ],
)
def test_unknown_names_are_refused_with_a_way_out(network, message):
    for refuse in (check_network, lambda name: Audit(network=name), lambda name: open_network(name, "none", seed=0)):
        with pytest.raises(SettingsError, match=message):
            refuse(network)


def test_what_is_refused_names_something_that_opens():
    check_network("vgg16")
    check_network("timm:vit_base_patch32_clip_224")


def test_an_extractor_has_no_random_weights():
    with pytest.raises(SettingsError, match=r"expects 'imagenet' or 'file:PATH'. Got 'none'"):
        open_network(INCEPTION, "none", seed=0)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(SettingsError, match=r"torch_fidelity: pip install 'augury\[fidelity\]'"):
        check_network(INCEPTION)


def test_radimagenet_s_files_number_the_parts_and_want_pixels_in_minus_1_to_1(tmp_path):
    source = open_backbone("resnet18", "none", seed=1).eval()
    torch.save(nn.Sequential(*source.body.children()).state_dict(prefix="backbone."), tmp_path / "RadImageNet.pt")
    opened = open_network("resnet18", f"file:{tmp_path / 'RadImageNet.pt'}", seed=2).eval()
    images = torch.rand(2, 3, 224, 224) * 2 - 1
    torch.testing.assert_close(opened.prepare(images), images)
    assert torch.equal(opened.features(images), source.features(images))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "file:w.pt"}, "none is named"),
        ({"network": "resnet18", "weights": "none"}, r"'weights' is imagenet or file:PATH. Got 'none'"),
    ],
)
def test_weights_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        Audit(**settings)


def test_a_study_file_finds_the_weights_beside_it(tmp_path):
    study = augury.study.demo()
    study = study.replace(audit=study.audit.replace(network="resnet50", weights="file:RadImageNet.pt"))
    (tmp_path / "study.toml").write_text(dump_study(study), encoding="utf-8")
    found = load_study(tmp_path / "study.toml")
    assert found.audit.weights == f"file:{tmp_path / 'RadImageNet.pt'}"
    assert 'weights = "file:RadImageNet.pt"' in shared_text(found)
