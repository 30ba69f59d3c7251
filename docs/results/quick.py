"""The quick variants of the five reports' studies: `python docs/results/quick.py DATA [-o FOLDER]`.

DATA is a folder with the sets that they name; a study without its set is left out. What is in FOLDER is not done again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from generators import STUDIES, setting, study_on

from augury.files import write_whole
from augury.processes import cores
from augury.study import run

COMMAND = "python docs/results/quick.py DATA -o quick > docs/results/quick.md"
HEAD = f"""<!-- written by: {COMMAND} -->

# The reports' studies, quick

Each report's study as a laptop can run it: one round of three folds, short trainings. They are exploratory: an
estimate, no finding. Minutes are those of the whole run on {{cores}} cores.

| study | images | minutes | ends in |
|---|---|---|---|"""


def row(path: Path, data: Path, out: Path) -> str:
    """Run one study and return its row; how long it took is kept beside its store."""
    study, folder = study_on(path.stem, data), out / path.stem
    start = time.perf_counter()
    finished = run(study, folder, jobs=cores(), force=True)
    note = folder / "minutes.json"
    if not note.exists():
        write_whole(note, json.dumps((time.perf_counter() - start) / 60))
    minutes = json.loads(note.read_text(encoding="utf-8"))
    finished.save(folder)
    used, sentence = finished.outcome.data.used, finished.outcome.verdict.sentence
    return f"| `studies/{path.name}` | {used} | {minutes:.1f} | {sentence} |"


def main() -> None:
    """Run what has its data, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("quick"))
    asked = parser.parse_args()
    paths = [
        path
        for path in sorted(STUDIES.glob("*-quick.toml"))
        if Path(study_on(path.stem, asked.data).data.source).exists()
    ]
    rows = [row(path, asked.data.resolve(), asked.out) for path in paths]
    print("\n".join([HEAD.format(cores=cores()), *rows, "", setting()]))


if __name__ == "__main__":
    main()
