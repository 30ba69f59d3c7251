"""Metrics: pure functions of arrays."""

from augury.metrics.classification import (
    METRICS,
    ClassScores,
    ConfusionScores,
    Metric,
    averages,
    confusion,
    per_class,
    per_image_log_loss,
    primary_metric,
    scores_from_confusion,
    sensitivity_specificity,
)

__all__ = [
    "METRICS",
    "ClassScores",
    "ConfusionScores",
    "Metric",
    "averages",
    "confusion",
    "per_class",
    "per_image_log_loss",
    "primary_metric",
    "scores_from_confusion",
    "sensitivity_specificity",
]
