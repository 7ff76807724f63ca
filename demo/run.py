"""The main job on real text: a small static student, with and without the guide, on noisy pairs.

The pairs are titles of PubMed articles that share a major topic. Many other titles of a batch share it too:
they are false negatives, and the guide's task is to find them. `demo/prepare.py` fetches texts and models.

    python demo/run.py [--out runs/demo] [--student FOLDER] [--guide FOLDER]
"""

import argparse
import os
import shlex
import sys
from itertools import count
from pathlib import Path

from gistembed.errors import UserError
from prepare import DEFAULT_FOLDER, prepare

SETTINGS = ["--batch-size", "256", "--epochs", "10", "--temperature", "0.05", "--learning-rate", "5e-3"]


def main() -> int:
    """Fetch what is missing, then run `gistembed fit` as anyone would."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="folder for the model and the report")
    parser.add_argument("--student", help="your own model to train, a folder or a hub name")
    parser.add_argument("--guide", help="your own guide, a folder or a hub name")
    options = parser.parse_args()
    try:
        prepare(DEFAULT_FOLDER)
    except UserError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    cache = Path(os.path.relpath(DEFAULT_FOLDER))
    texts, models = cache / "pubmed-topics", cache / "models"
    command = [
        "gistembed",
        "fit",
        str(texts / "train.jsonl"),
        *("--eval", str(texts / "eval.jsonl")),
        *("--student", options.student or str(models / "wordllama-256")),
        *("--guide", options.guide or str(models / "all-MiniLM-L6-v2")),
        *("--out", options.out or str(_free_folder())),
        *("--store", str(cache / "guide-store")),
        *SETTINGS,
        "--compare-unguided",
    ]
    print(f"$ {shlex.join(command)}\n", flush=True)
    # In place of this process, so that Ctrl-C and the exit code are those of the command.
    os.execv(sys.executable, [sys.executable, "-m", *command])


def _free_folder() -> Path:
    """runs/demo, or the first of runs/demo-2, runs/demo-3, … that is free."""
    candidates = (Path("runs") / (f"demo-{number}" if number > 1 else "demo") for number in count(1))
    return next(folder for folder in candidates if not folder.exists())


if __name__ == "__main__":
    sys.exit(main())
