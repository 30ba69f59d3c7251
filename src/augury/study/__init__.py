"""Studies: from one's images to an honest sentence.

import augury

finished = augury.study.run(augury.study.demo(), store="demo/store")
print(finished.outcome.verdict.sentence)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from augury.study.curve import curve
from augury.study.layout import lay_out
from augury.study.presets import PRESETS, demo, for_images, toy
from augury.study.run import Finished, collect, run
from augury.study.study import Arm, Audit, DataSettings, NamedClassifier, NamedGenerator, Study
from augury.study.study_file import dump_study, load_study

if TYPE_CHECKING:
    from augury.study.conclude import outcome_json as outcome_json

__all__ = [
    "PRESETS",
    "Arm",
    "Audit",
    "DataSettings",
    "Finished",
    "NamedClassifier",
    "NamedGenerator",
    "Study",
    "collect",
    "curve",
    "demo",
    "dump_study",
    "for_images",
    "lay_out",
    "load_study",
    "outcome_json",
    "run",
    "toy",
]


def __getattr__(name: str) -> Any:
    if name != "outcome_json":
        raise AttributeError(f"module 'augury.study' has no attribute {name!r}")
    from augury.study.conclude import outcome_json  # loads statistics, which worker processes do without

    return outcome_json
