"""The main job on real text: a small static student, with and without the guide.

The demo's pairs are titles of PubMed articles that share a topic. Many other titles of a batch share it too:
they are false negatives, and finding them is what the guide is for. The control's pairs are titles with their
abstracts, where false negatives are rare and the guide should change nothing. `demo/prepare.py` fetches texts
and models.

    python demo/run.py [--control] [--out FOLDER] [--student MODEL] [--guide MODEL]
"""

import argparse
import os
import shlex
import sys
from itertools import count
from pathlib import Path

from gistembed.errors import UserError
from prepare import DEFAULT_FOLDER, prepare

CACHE = Path(os.path.relpath(DEFAULT_FOLDER))
TOPICS = CACHE / "pubmed-topics"
DEMO = [str(TOPICS / "train.jsonl"), "--eval", str(TOPICS / "eval.jsonl")]
CONTROL = [str(CACHE / "pubmed-abstracts" / "pairs.csv"), "--columns", "anchor=title,positive=abstract"]
SETTINGS = "--batch-size 256 --epochs 10 --temperature 0.05 --compare-unguided"
# For the packaged static student; another student has the default rate of its kind.
LEARNING_RATE = "5e-3"


def main() -> int:
    """Fetch what is missing, then become `gistembed fit`, as anyone would run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--control", action="store_true", help="titles with abstracts, where the guide is not needed"
    )
    parser.add_argument("--out", help="folder for the model and the report")
    parser.add_argument("--student", help="your own model to train, a folder or a hub name")
    parser.add_argument("--guide", help="your own guide, a folder or a hub name")
    options = parser.parse_args()
    try:
        prepare(DEFAULT_FOLDER)
    except (UserError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    command = [
        "gistembed",
        "fit",
        *(CONTROL if options.control else DEMO),
        *("--student", options.student or str(CACHE / "models" / "wordllama-256")),
        *("--guide", options.guide or str(CACHE / "models" / "all-MiniLM-L6-v2")),
        *("--out", options.out or str(free_folder("control" if options.control else "demo"))),
        *("--store", str(CACHE / "guide-store")),
        *SETTINGS.split(),
        *(() if options.student else ("--learning-rate", LEARNING_RATE)),
    ]
    print(f"$ {shlex.join(command)}\n", flush=True)
    # In place of this process, so that Ctrl-C and the exit code are those of the command.
    os.execv(sys.executable, [sys.executable, "-m", *command])


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, runs/NAME-3, … that is free."""
    candidates = (Path("runs") / (f"{name}-{number}" if number > 1 else name) for number in count(1))
    return next(folder for folder in candidates if not folder.exists())


if __name__ == "__main__":
    sys.exit(main())
