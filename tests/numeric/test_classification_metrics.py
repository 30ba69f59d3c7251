import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, matthews_corrcoef, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from augury.errors import DataError, SettingsError
from augury.metrics import (
    METRICS,
    averages,
    choice_losses,
    confusion,
    per_class,
    per_image_log_loss,
    primary_metric,
    scores_from_confusion,
    sensitivity_specificity,
)

PRINTED = {
    "real": {
        "matrix": [[288, 12], [122, 238]],
        "accuracy": 0.80,
        "classes": [(0.70, 0.96, 0.81), (0.95, 0.66, 0.78)],
        "macro": (0.83, 0.81, 0.80),
        "weighted": (0.84, 0.80, 0.79),
        "specificity and sensitivity": (0.96, 0.66),
    },
    "120 per class": {
        "matrix": [[283, 17], [98, 262]],
        "accuracy": 0.83,
        "classes": [(0.74, 0.94, 0.83), (0.94, 0.73, 0.82)],
        "macro": (0.84, 0.84, 0.83),
        "weighted": (0.85, 0.83, 0.83),
        "specificity and sensitivity": (0.94, 0.73),  # printed: .72; the matrix gives 262 / 360
    },
    "480 per class": {
        "matrix": [[258, 42], [66, 294]],
        "accuracy": 0.84,
        "classes": [(0.80, 0.86, 0.83), (0.88, 0.82, 0.84)],
        "macro": (0.84, 0.84, 0.84),
        "weighted": (0.84, 0.84, 0.84),
        "specificity and sensitivity": (0.86, 0.82),
    },
}


def triple(scores):
    return tuple(round(value, 2) for value in (scores.precision, scores.recall, scores.f1))


def unfold(matrix):
    """Make the labels and predictions that a confusion matrix counts."""
    actual, called = np.indices(np.shape(matrix))
    return np.repeat(actual.ravel(), np.ravel(matrix)), np.repeat(called.ravel(), np.ravel(matrix))


def softmax(images, classes, seed=0):
    odds = np.exp(np.random.default_rng(seed).normal(0, 1, (images, classes)))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("table", PRINTED.values(), ids=PRINTED.keys())
def test_published_tables_follow_from_their_confusion_matrices(table):
    scores = scores_from_confusion(np.array(table["matrix"]))
    assert round(scores.accuracy, 2) == table["accuracy"]
    assert [triple(one) for one in scores.classes] == table["classes"]
    assert triple(scores.macro) == table["macro"]
    assert triple(scores.weighted) == table["weighted"]
    assert [one.support for one in scores.classes] == [300, 360]
    assert scores.macro.support == scores.weighted.support == 660


@pytest.mark.parametrize("table", PRINTED.values(), ids=PRINTED.keys())
def test_scores_of_labels_agree_with_scores_of_the_matrix(table):
    labels, predicted = unfold(table["matrix"])
    expected = scores_from_confusion(np.array(table["matrix"]))
    assert confusion(labels, predicted, 2).tolist() == table["matrix"]
    for ours, theirs in zip(per_class(labels, predicted, 2), expected.classes, strict=True):
        assert vars(ours) == pytest.approx(vars(theirs))
    assert averages(expected.classes) == (expected.macro, expected.weighted)


@pytest.mark.parametrize("table", PRINTED.values(), ids=PRINTED.keys())
def test_sensitivity_names_its_positive_class(table):
    labels, predicted = unfold(table["matrix"])
    specificity, sensitivity = table["specificity and sensitivity"]
    assert sensitivity_specificity(labels, predicted, positive=1) == pytest.approx((sensitivity, specificity), abs=5e-3)
    assert sensitivity_specificity(labels, predicted, positive=0) == pytest.approx((specificity, sensitivity), abs=5e-3)


def test_sensitivity_of_one_class_against_the_rest():
    labels, predicted = unfold([[3, 1, 0], [1, 4, 1], [0, 2, 8]])
    assert sensitivity_specificity(labels, predicted, positive=2) == pytest.approx((8 / 10, 9 / 10))


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_sensitivity_needs_images_on_both_sides(labels):
    with pytest.raises(DataError, match="class index 1 and of another"):
        sensitivity_specificity(np.array(labels), np.array([0, 1]), positive=1)


def test_binary_auroc_is_the_share_of_ordered_pairs():
    labels = np.array([0, 1, 0, 1, 1, 0, 0])
    positive = np.array([0.2, 0.6, 0.6, 0.9, 0.1, 0.3, 0.1])
    ones, zeros = positive[labels == 1][:, None], positive[labels == 0]
    pairs = (ones > zeros).mean() + (ones == zeros).mean() / 2
    value = METRICS["auroc"].function(labels, np.stack([1 - positive, positive], axis=1))
    assert value == pytest.approx(pairs)
    assert value == pytest.approx(roc_auc_score(labels, positive))


def test_binary_auroc_needs_no_positive_class_even_in_saturated_float32():
    labels = np.array([0, 1, 0, 1])
    rare = np.array([1e-9, 2e-9, 1e-10, 1e-8], dtype=np.float32)
    p = np.stack([1 - rare, rare], axis=1)
    auroc = METRICS["auroc"].function
    assert auroc(labels, p) == auroc(1 - labels, p[:, ::-1]) == 1.0


def test_multi_class_auroc_is_hand_and_tills():
    labels, p = np.repeat(np.arange(4), (30, 15, 10, 5)), softmax(60, 4)  # of equal sizes, one-vs-rest agrees
    means = []
    for i in range(4):
        for j in range(i + 1, 4):
            pair = np.isin(labels, (i, j))
            means += [roc_auc_score(labels[pair] == c, p[pair, c]) for c in (i, j)]
    assert METRICS["auroc"].function(labels, p) == pytest.approx(np.mean(means))


def test_multi_class_auroc_takes_rows_in_half_precision():
    labels, p = np.arange(300) % 7, softmax(300, 7)
    rounded = METRICS["auroc"].function(labels, p.astype(np.float16))
    assert rounded == pytest.approx(METRICS["auroc"].function(labels, p), abs=1e-3)


@pytest.mark.parametrize(("labels", "classes", "absent"), [([0, 0], 2, 1), ([0, 2, 0], 3, 1), ([1, 1], 2, 0)])
def test_auroc_names_an_absent_class(labels, classes, absent):
    with pytest.raises(DataError, match=f"no image of class index {absent}"):
        METRICS["auroc"].function(np.array(labels), softmax(len(labels), classes))


def test_balanced_accuracy_matches_the_published_example():
    labels, predicted = np.array([0, 1, 0, 0, 1, 0]), np.array([0, 1, 0, 0, 0, 1])
    assert METRICS["balanced_accuracy"].function(labels, np.eye(2)[predicted]) == pytest.approx(0.625)


@pytest.mark.parametrize("classes", [2, 5])
def test_scores_equal_scikit_learns(classes):
    labels, p = np.arange(50) % classes, softmax(50, classes, seed=3)
    predicted = p.argmax(axis=1)
    expected = {
        "balanced_accuracy": balanced_accuracy_score(labels, predicted),
        "accuracy": (labels == predicted).mean(),
        "macro_f1": f1_score(labels, predicted, average="macro"),
        "mcc": matthews_corrcoef(labels, predicted),
        "log_loss": sklearn_log_loss(labels, p),
        "brier": brier_score_loss(labels, p, labels=list(range(classes)), scale_by_half=False),
    }
    assert {key: METRICS[key].function(labels, p) for key in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("key", "value"), [("balanced_accuracy", 0.5), ("accuracy", 2 / 3), ("macro_f1", 0.4), ("mcc", 0.0)]
)
def test_a_class_that_is_never_predicted_scores_without_a_warning(key, value):
    assert METRICS[key].function(np.array([0, 0, 1]), np.tile([0.9, 0.1], (3, 1))) == pytest.approx(value)


@pytest.mark.parametrize(("key", "value"), [("balanced_accuracy", 0.5), ("accuracy", 0.5), ("macro_f1", 1 / 3)])
def test_a_class_without_images_scores_without_a_warning(key, value):
    assert METRICS[key].function(np.array([0, 0]), np.eye(3)[[0, 2]]) == pytest.approx(value)


def test_per_class_scores_of_an_empty_class_are_zero():
    empty = per_class(np.array([0, 1]), np.array([0, 1]), classes=3)[2]
    from_matrix = scores_from_confusion(np.diag([1, 1, 0])).classes[2]
    assert vars(empty) == vars(from_matrix) == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_log_loss_of_each_image_is_clipped():
    losses = per_image_log_loss(np.array([0, 1, 1]), np.array([[1, 0], [1, 0], [0.75, 0.25]], dtype=np.float32))
    assert losses.dtype == np.float64
    assert losses == pytest.approx([0, -np.log(1e-7), np.log(4)])


def test_table_of_metrics_is_keyed_by_its_own_keys_and_knows_directions():
    assert all(key == metric.key for key, metric in METRICS.items())
    assert [key for key, metric in METRICS.items() if not metric.higher_is_better] == ["log_loss", "brier", "ece"]
    needing = {key for key, metric in METRICS.items() if metric.needs == "probabilities"}
    assert needing == {"auroc", "log_loss", "brier", "ece"}


def test_primary_metric_follows_the_number_of_classes():
    assert (primary_metric(2), primary_metric(3)) == ("auroc", "balanced_accuracy")
    with pytest.raises(SettingsError, match="2 or more classes"):
        primary_metric(1)


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([0, 1], [[1.0, 0.0]], "probabilities \\(images"),
        ([0], [[1.0]], "2 or more classes"),
        ([2], [[1.0, 0.0]], "class indices below 2"),
        ([-1], [[1.0, 0.0]], "class indices below 2"),
        ([0], [[np.nan, 1.0]], "softmax"),
        ([0], [[3.0, -2.0]], "softmax"),
        ([0], [[0.9, 0.9]], "softmax"),
    ],
)
@pytest.mark.parametrize("key", METRICS)
def test_arrays_that_cannot_be_scored_are_refused(key, labels, p, message):
    with pytest.raises(DataError, match=message):
        METRICS[key].function(np.array(labels), np.array(p))


@pytest.mark.parametrize("function", [confusion, per_class])
@pytest.mark.parametrize(("labels", "predicted"), [([0, 2], [0, 1]), ([0, 1], [-1, 1]), ([0], [0, 1]), ([], [])])
def test_class_indices_that_do_not_fit_are_refused(function, labels, predicted):
    with pytest.raises(DataError, match=r"class indices|pair up"):
        function(np.array(labels, dtype=int), np.array(predicted, dtype=int), 2)


@pytest.mark.parametrize("matrix", [np.zeros((2, 2)), np.ones((2, 3)), np.array([[3, -1], [0, 1]]), np.ones(3)])
def test_a_matrix_that_counts_nothing_is_refused(matrix):
    with pytest.raises(DataError, match="confusion matrix must be square"):
        scores_from_confusion(matrix)


def test_averages_need_an_image():
    with pytest.raises(DataError, match="at least one image"):
        averages([])


def test_the_losses_that_choose_weigh_classes_alike_where_the_score_does():
    probabilities = softmax(300, 4)
    labels = np.random.default_rng(1).choice(4, 300, p=(0.7, 0.2, 0.05, 0.05))
    plain = per_image_log_loss(labels, probabilities)
    by_class = [sklearn_log_loss(labels[labels == k], probabilities[labels == k], labels=range(4)) for k in range(4)]
    assert np.array_equal(choice_losses(labels, probabilities, even=False), plain)
    assert choice_losses(labels, probabilities, even=True).mean() == pytest.approx(np.mean(by_class))


def test_a_class_without_images_does_not_weigh_in_the_losses_that_choose():
    labels, probabilities = np.array([0, 0, 2]), np.array([[0.5, 0.3, 0.2]] * 3)
    expected = (-np.log(0.5) - np.log(0.2)) / 2
    assert choice_losses(labels, probabilities, even=True).mean() == pytest.approx(expected)
