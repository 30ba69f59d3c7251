"""Turn the JSON of a study (`--json`) into a Markdown page: `python docs/results/table.py FILE > PAGE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def page(outcome: dict[str, Any]) -> str:
    """Return the page: the sentence, its details, the arms."""
    head = [f"# {outcome['title']}", "", outcome["sentence"], ""]
    details = [f"- {line}" for line in outcome["contrasts"][0]["verdict"]["details"]]
    return "\n".join([*head, *details, "", *arms(outcome), "", *setting(outcome)]) + "\n"


def arms(outcome: dict[str, Any]) -> list[str]:
    """Return the table of arms."""
    metric = outcome["metric"]
    rows = [
        f"| arm | {outcome['metric_label']} | minus real only (95 % interval) | log-loss | images added | chosen |",
        "|---|---|---|---|---|---|",
    ]
    for arm in outcome["arms"]:
        change = arm["difference"]
        span = f"{change['mean']:+.3f} ({change['low']:+.3f} to {change['high']:+.3f})" if change else "–"
        scores = f"{arm['scores'][metric]:.3f} | {span} | {arm['scores']['log_loss']:.3f}"
        rows.append(f"| {arm['arm']} | {scores} | {arm['added']:.0f} | {arm['chosen']:.0%} |")
    return rows


def setting(outcome: dict[str, Any]) -> list[str]:
    """Return data, budget and environment."""
    data, plan = outcome["data"], outcome["plan"]
    counts = ", ".join(f"{name} {n}" for name, n in zip(data["classes"], data["used_counts"], strict=True))
    return [
        f"Data: {data['source']}, {data['used']} images ({counts}), {data['groups']} groups.",
        f"Splits: {plan['plan']}, {plan['folds']} folds x {plan['repeats']}. Budget: {outcome['budget']}.",
        "Environment: " + ", ".join(f"{name} {value}" for name, value in outcome["environment"].items()) + ".",
    ]


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
