"""Studies: from one's images to an honest sentence.

import augury

finished = augury.study.run(augury.study.demo(), store="demo/store")
print(finished.outcome.verdict.sentence)
"""

from __future__ import annotations

from augury.study.conclude import outcome_json
from augury.study.layout import lay_out
from augury.study.presets import PRESETS, demo, for_images, toy
from augury.study.run import Finished, collect, run
from augury.study.study import Arm, DataSettings, NamedClassifier, NamedGenerator, Study
from augury.study.study_file import dump_study, load_study

__all__ = [
    "PRESETS",
    "Arm",
    "DataSettings",
    "Finished",
    "NamedClassifier",
    "NamedGenerator",
    "Study",
    "collect",
    "demo",
    "dump_study",
    "for_images",
    "lay_out",
    "load_study",
    "outcome_json",
    "run",
    "toy",
]
