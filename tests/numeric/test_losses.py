import math
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import norm
from torchvision.ops import sigmoid_focal_loss

from augury.errors import DataError, SettingsError
from augury.losses import Loss, LossName, LossSetting
from augury.settings import Recipe
from fuzzing import cases

NAMES = get_args(LossName)
COUNTS = torch.tensor([700, 40, 200, 9])
SHARES = COUNTS.double() / COUNTS.sum()
K = len(COUNTS)


class Model(Recipe):
    kind = "model"
    loss: LossSetting = Loss()


def batch(seed=0, images=12, classes=K, dtype=torch.float64):
    """Make logits, labels and one-hot targets in which every class occurs."""
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(np.concatenate([np.arange(classes), rng.integers(0, classes, images - classes)]))
    return torch.tensor(rng.normal(0, 2, (images, classes)), dtype=dtype), labels, F.one_hot(labels, classes).double()


def soft(seed=0, images=12, classes=K):
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(classes), images))


def loss_of(loss, logits, targets, weights=None, progress=1.0, counts=COUNTS, shares=SHARES):
    weights = torch.ones(len(logits)) if weights is None else weights
    return loss.objective(counts, shares)(logits, targets, weights, progress)


def effective(n, beta):
    return sum(beta**j for j in range(n))


def published(loss, logits, label, counts):
    """Return (class weight, loss) of one image and its label, in NumPy, as the papers write it."""
    z, n = np.array(logits), np.array(counts, dtype=float)
    p = np.exp(z) / np.exp(z).sum()
    match loss.name:
        case "cross_entropy":
            return 1.0, -math.log(p[label])
        case "weighted":
            return 1 / n[label], -math.log(p[label])
        case "focal":
            return 1.0, -((1 - p[label]) ** loss.gamma) * math.log(p[label])
        case "class_balanced":
            return 1 / effective(counts[label], loss.beta), -math.log(p[label])
        case "ldam_drw":
            constant = loss.margin / (1 / min(n) ** 0.25)
            moved = math.exp(loss.scale * (z[label] - constant / n[label] ** 0.25))
            others = sum(math.exp(loss.scale * z[j]) for j in range(len(z)) if j != label)
            return 1 / effective(counts[label], loss.beta), -math.log(moved / (moved + others))
        case "balanced_softmax":
            return 1.0, -math.log(n[label] * np.exp(z[label]) / (n * np.exp(z)).sum())
        case "logit_adjusted":
            pairs = [(n[j] / n[label]) ** loss.tau * math.exp(z[j] - z[label]) for j in range(len(z)) if j != label]
            return 1.0, math.log(1 + sum(pairs))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_every_loss_is_its_paper_s_formula(name, seed):
    loss = Loss(name=name, gamma=1.5 + seed, beta=0.99, tau=0.3 + seed, margin=0.2 + seed, scale=1.0 + seed)
    logits, labels, targets = batch(seed)
    weights = torch.from_numpy(np.random.default_rng(seed).uniform(0, 2, len(logits)))
    rows = [published(loss, z, y, COUNTS.tolist()) for z, y in zip(logits.tolist(), labels.tolist(), strict=True)]
    total = sum(w * c for w, (c, _) in zip(weights.tolist(), rows, strict=True))
    expected = sum(w * c * one for w, (c, one) in zip(weights.tolist(), rows, strict=True)) / total
    assert loss_of(loss, logits, targets, weights).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("cross_entropy", torch.ones(K)),
        ("weighted", 1 / SHARES),
        ("class_balanced", torch.tensor([1 / effective(int(n), 0.999) for n in COUNTS])),
    ],
)
def test_one_hot_targets_give_torch_s_weighted_cross_entropy(name, weight):
    logits, labels, targets = batch(1)
    expected = F.cross_entropy(logits, labels, weight=weight.double())
    assert loss_of(Loss(name=name), logits, targets).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_smoothing_and_soft_labels_are_those_of_torch(smoothing):
    logits, labels, targets = batch(2)
    loss = Loss(smoothing=smoothing)
    for given_, theirs in ((targets, labels), (soft(2), soft(2))):
        expected = F.cross_entropy(logits, theirs, label_smoothing=smoothing)
        assert loss_of(loss, logits, given_).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_of_two_classes_is_torchvision_s_sigmoid_focal_loss(gamma):
    z, labels = torch.linspace(-6, 6, 13, dtype=torch.float64), torch.tensor([0, 1] * 6 + [0])
    expected = sigmoid_focal_loss(z, labels.double(), alpha=-1, gamma=gamma, reduction="mean")
    logits, loss = torch.stack([torch.zeros_like(z), z], 1), Loss(name="focal", gamma=gamma)
    got = loss_of(loss, logits, F.one_hot(labels, 2), counts=COUNTS[:2], shares=SHARES[:2])
    assert got.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_soft_labels_weigh_classes_image_by_image(name):
    loss, logits, targets = Loss(name=name, smoothing=0.1), batch(3)[0], soft(3)
    objective = loss.objective(COUNTS, SHARES)
    z, t, c = logits.numpy(), 0.9 * targets.numpy() + 0.1 / K, objective.class_weights.numpy()
    log_p = log_softmax(objective.scale * (z - t * objective.margins.numpy()) + objective.offsets.numpy(), axis=1)
    weights = np.linspace(0, 1, len(z))
    each = -(t * c * (1 - np.exp(log_p)) ** objective.gamma * log_p).sum(1)
    expected = (weights * each).sum() / (weights * (t * c).sum(1)).sum()
    assert loss_of(loss, logits, targets, torch.from_numpy(weights)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        Loss(name="focal", gamma=0.0),
        Loss(name="class_balanced", beta=0.0),
        Loss(name="ldam_drw", margin=0.0, beta=0.0),
        Loss(name="logit_adjusted", tau=0.0),
    ],
    ids=lambda loss: loss.name,
)
def test_limits_are_the_cross_entropy(loss):
    logits, targets = batch(4)[0], soft(4)
    expected = F.cross_entropy(logits, targets)
    assert loss_of(loss, logits, targets).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("focal", "ldam_drw")])
def test_equal_classes_are_the_cross_entropy(name):
    logits, targets, even = batch(5)[0], soft(5), torch.full((K,), 25)
    expected = F.cross_entropy(logits, targets)
    got = loss_of(Loss(name=name), logits, targets, counts=even, shares=even / 100)
    assert got.item() == pytest.approx(expected.item(), rel=1e-12)


def test_shares_in_which_classes_are_shown_rule_over_counts():
    logits, _, targets = batch(6)
    even = torch.full((K,), 1 / K)
    for name in ("weighted", "balanced_softmax"):
        got = loss_of(Loss(name=name), logits, targets, shares=even)
        assert got.item() == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-12)


def test_tau_1_is_the_balanced_softmax_and_other_tau_leave_it_alone():
    logits, targets = batch(7)[0], soft(7)
    one, adjusted = Loss(name="balanced_softmax", tau=3.0), Loss(name="logit_adjusted", tau=1.0)
    assert loss_of(one, logits, targets) == loss_of(adjusted, logits, targets)
    assert loss_of(adjusted.replace(tau=3.0), logits, targets) != loss_of(adjusted, logits, targets)


@pytest.mark.parametrize(("progress", "weighs"), [(0.0, False), (0.599, False), (0.6, True), (1.0, True)])
def test_class_weights_of_ldam_drw_set_in_late(progress, weighs):
    logits, labels, targets = batch(8)
    loss = Loss(name="ldam_drw", margin=0.0, scale=3.0, deferred=0.6, beta=0.99)
    weight = torch.tensor([1 / effective(int(n), 0.99) for n in COUNTS], dtype=torch.float64)
    expected = F.cross_entropy(3 * logits, labels, weight=weight if weighs else None)
    assert loss_of(loss, logits, targets, progress=progress).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.9999999])
def test_effective_numbers_are_sums_of_powers_and_the_weights_add_up_to_the_classes(beta):
    weights = Loss(name="class_balanced", beta=beta).objective(COUNTS, SHARES).class_weights.tolist()
    assert sum(weights) == pytest.approx(K, rel=1e-12)
    expected = [effective(700, beta) / effective(int(n), beta) for n in COUNTS]
    assert [one / weights[0] for one in weights] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name):
    loss = Loss(name=name, smoothing=0.05, gamma=0.7)
    logits, targets = batch(9)[0].requires_grad_(), soft(9)
    weights = torch.linspace(0, 1, len(logits), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: loss_of(loss, z, targets, weights), (logits,))


@cases(100)
@given(
    name=st.sampled_from(NAMES),
    order=st.permutations(range(K)),
    factor=st.floats(1e-3, 1e3),
    shift=st.floats(-50, 50),
    seed=st.integers(0, 99),
)
def test_order_of_classes_unit_of_weights_and_level_of_logits_do_not_matter(name, order, factor, shift, seed):
    logits, targets, loss = batch(seed)[0], soft(seed), Loss(name=name)
    weights = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, len(logits)))
    plain = loss_of(loss, logits, targets, weights).item()
    logits, targets, counts = logits[:, order] + shift, targets[:, order], COUNTS[list(order)]
    moved = loss_of(loss, logits, targets, factor * weights, counts=counts, shares=counts)
    assert plain > 0
    assert moved.item() == pytest.approx(plain, rel=1e-9)


@cases(100)
@given(st.sampled_from(NAMES), st.integers(0, 11), st.integers(0, 99))
def test_weight_0_leaves_an_image_out_and_weight_2_counts_it_twice(name, image, seed):
    logits, targets, loss = batch(seed)[0], soft(seed), Loss(name=name)
    rest = [i for i in range(len(logits)) if i != image]
    without = loss_of(loss, logits, targets, torch.tensor([float(i != image) for i in range(len(logits))]))
    assert without.item() == pytest.approx(loss_of(loss, logits[rest], targets[rest]).item(), rel=1e-9)
    twice = loss_of(loss, logits, targets, torch.tensor([1 + float(i == image) for i in range(len(logits))]))
    repeated = [*range(len(logits)), image]
    assert twice.item() == pytest.approx(loss_of(loss, logits[repeated], targets[repeated]).item(), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_weight_0_has_loss_0_and_gradient_0(name):
    logits, _, targets = batch(0, dtype=torch.float32)
    logits.requires_grad_()
    loss = loss_of(Loss(name=name), logits, targets, torch.zeros(len(logits)))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", ["weighted", "class_balanced", "ldam_drw"])
def test_a_batch_of_classes_that_have_no_images_has_loss_0(name):
    targets = F.one_hot(torch.tensor([2, 2]), 3)
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    counts = torch.tensor([90, 10, 0])
    loss = loss_of(Loss(name=name), logits, targets, counts=counts, shares=counts / 100)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_class_without_images_stays_finite_and_is_pushed_down(name):
    counts = torch.tensor([90, 10, 0])
    logits, labels = torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 1])
    loss = Loss(name=name, smoothing=0.01)
    objective = loss.objective(counts, counts / 100)
    got = objective(logits, F.one_hot(labels, 3), torch.ones(2), 1.0)
    got.backward()
    assert math.isfinite(got.item())
    assert (logits.grad[:, 2] > 0.01).all()
    assert objective.margins[2] == objective.margins[1]
    assert objective.offsets[2] == objective.offsets[1]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("size", [1e-30, 20.0, 200.0, 1e4])
def test_sure_images_right_or_wrong_keep_finite_gradients(gamma, size):
    logits = torch.tensor([[size, -size], [-size, size]], requires_grad=True)
    targets, loss = torch.tensor([[1.0, 0.0]] * 2), Loss(name="focal", gamma=gamma)
    loss_of(loss, logits, targets, counts=COUNTS[:2], shares=SHARES[:2]).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_bf16_logits_are_computed_in_float32(name):
    logits, _, targets = batch(10, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = loss_of(Loss(name=name), logits, targets.bfloat16())
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(loss_of(Loss(name=name), logits.double(), targets).item(), rel=1e-5)


def boundary(loss, prior):
    """Train a logistic model of two unit Gaussians at -1 and 1 to the end; return where it changes its mind.

    The images are a fine grid, weighted by how often they occur, so that nothing is left to chance.
    """
    x = torch.linspace(-9, 9, 1801, dtype=torch.float64)
    density = torch.from_numpy(np.concatenate([prior * norm.pdf(x, -1), (1 - prior) * norm.pdf(x, 1)]))
    targets = F.one_hot(torch.arange(2).repeat_interleave(len(x)), 2)
    counts = torch.tensor([prior, 1 - prior], dtype=torch.float64) * 1000
    objective = loss.objective(counts, counts / 1000)

    def value_and_slope(parameters):
        slope, intercept = theta = torch.tensor(parameters, requires_grad=True).unbind()
        z = (slope * x + intercept).repeat(2)
        value = objective(torch.stack([torch.zeros_like(z), z], 1), targets, density, 1.0)
        return value.item(), np.array([g.item() for g in torch.autograd.grad(value, theta)])

    slope, intercept = minimize(value_and_slope, np.zeros(2), jac=True, tol=1e-12).x
    return -intercept / slope


ODDS = math.log(95 / 5)
EFFECTIVE = math.log(effective(950, 0.99) / effective(50, 0.99))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss(), ODDS / 2),  # where the posterior odds are even: 2 x = log(.95 / .05)
        (Loss(name="class_balanced", beta=0.99), (ODDS - EFFECTIVE) / 2),
        (Loss(name="logit_adjusted", tau=0.5), ODDS / 4),
        (Loss(name="logit_adjusted", tau=2.0), -ODDS / 2),
        (Loss(name="balanced_softmax"), 0.0),  # where the densities are equal
        (Loss(name="weighted"), 0.0),
    ],
    ids=lambda value: value.name if isinstance(value, Loss) else "",
)
def test_decision_boundary_lies_where_theory_puts_it(loss, expected):
    assert boundary(loss, 0.95) == pytest.approx(expected, abs=1e-4)


def gaussians(sizes, seed):
    rng = np.random.default_rng(seed)
    centres = 1.5 * np.array([[0.0, 1.0], [0.87, -0.5], [-0.87, -0.5]])
    labels = np.repeat(np.arange(3), sizes)
    return torch.tensor(rng.normal(centres[labels], 1), dtype=torch.float32), torch.from_numpy(labels)


def balanced_accuracy(loss, sizes=(600, 60, 15), steps=300):
    x, y = gaussians(sizes, seed=0)
    counts = torch.tensor(sizes)
    objective, targets, weights = loss.objective(counts, counts / counts.sum()), F.one_hot(y, 3), torch.ones(len(y))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 3)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(steps):
        optimiser.zero_grad()
        objective(model(x), targets, weights, step / steps).backward()
        optimiser.step()
    images, labels = gaussians((2000, 2000, 2000), seed=1)
    return (model(images).argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("cross_entropy", "focal")])
def test_a_linear_model_of_rare_classes_learns_better_than_with_cross_entropy(name):
    # best possible: .837, the share of a centre's images in its own third of the plane; cross-entropy reaches .679
    assert balanced_accuracy(Loss(name=name)) > max(0.8, balanced_accuracy(Loss()) + 0.1)


def test_a_setting_takes_a_name_a_table_or_a_loss():
    focal = Loss(name="focal", gamma=1.0)
    assert Model(loss="focal").loss == Loss(name="focal")
    assert Model(loss={"name": "focal", "gamma": 1}) == Model(loss=focal)
    assert Model(**Model(loss=focal).model_dump()).loss == focal
    assert hash(Model(loss=focal)) != hash(Model())
    assert Model().replace(loss="ldam_drw").loss.scale == 1


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("focl", "name of loss: there is no loss 'focl': did you mean 'focal'?"),
        ({"name": "LDAM"}, "there is no loss 'LDAM'. Expected one of: cross_entropy, weighted"),
        ({"gama": 1.0}, "loss has no setting 'gama': did you mean 'gamma'?"),
        ({"beta": 1.0}, "beta of loss: expected less than 1. Got 1.0."),
        ({"gamma": math.nan}, "gamma of loss: expected less than or equal to 10. Got nan."),
        (3, "loss of model: expected a valid dictionary or instance of Loss. Got 3."),
    ],
)
def test_losses_that_cannot_be_meant_are_refused_in_one_sentence(loss, message):
    with pytest.raises(SettingsError) as error:
        Model(loss=loss)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("counts", "shares", "message"),
    [
        ([0.0, 0.0], [0.5, 0.5], "counts expects a number of 0 or more for each class, not all of them 0"),
        ([1.0, 2.0], [1.5, -0.5], r"shares expects a number of 0 or more .* Got \[1.5, -0.5\]"),
        ([1.0, math.inf], [0.5, 0.5], "counts expects"),
        ([[1.0, 2.0]], [0.5, 0.5], "counts expects a number"),
        ([1.0, 2.0, 3.0], [0.5, 0.5], "one number per class. Got 3 and 2"),
    ],
)
def test_counts_that_cannot_be_are_refused(counts, shares, message):
    with pytest.raises(DataError, match=message):
        Loss().objective(torch.tensor(counts), torch.tensor(shares))


@pytest.mark.parametrize(
    ("targets", "weights"), [((5,), (5,)), ((5, K), (5, 1)), ((5, 3), (5,)), ((4, K), (5,)), ((5, K), (1,))]
)
def test_shapes_that_would_broadcast_are_refused(targets, weights):
    with pytest.raises(DataError, match=r"logits \(B, 4\).*one_hot"):
        loss_of(Loss(), torch.zeros(5, K), torch.zeros(targets), torch.zeros(weights))
