"""Cuts, kills, full disks and SIGTERM: how many of so many runs go on; writes docs/reliability.md.

    python -m benchmarks.reliability [--kills 200] [--disks 50] [--terminations 100]

A two-layer transformer with dropout is trained for 41 steps on 44 pairs, in processes that are copies of this
one. What a run is, is compared by SHA-256: weights, state of the optimizer and the learning rate's schedule,
random states, and all that was logged. The full disks need the right to mount (`unshare --mount`).

Not covered: accelerators, several ranks, a crash of the machine itself.
"""

import argparse
import itertools
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests.tiny_models import save_bert
from tests.train.trials import PAIRS, WAYS, Child, Note, Setting, cut_and_resumed, train, whole

import gistembed.cli.tables  # noqa: F401 — loaded once, not in each copy
from gistembed import pipeline
from gistembed.cli import main as command
from gistembed.describe import machine, versions
from gistembed.train.checkpoints import checkpoint_path, damage_of, newest_checkpoint

_HERE = Path(__file__).parents[1]
_ROWS = _HERE / "benchmarks" / "results" / "reliability.json"
_DOC = _HERE / "docs" / "reliability.md"
_STEPS = 41
_SAVE_EVERY = 3
_DISKS = (0.1, 3.5)
_CANNOT_MOUNT = 77
_WRONG = "not as it should be"

Row = dict[str, str]
"""A row of the table, by column; ``wrong`` counts what should be 0."""


def main() -> None:
    """Run all trials and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--disks", type=int, default=50)
    parser.add_argument("--terminations", type=int, default=100)
    parser.add_argument("--reruns", type=int, default=10)
    parser.add_argument("--every", type=int, default=1, help="cut at every so many steps")
    parser.add_argument("--part", choices=_PARTS, help="one part only; the page keeps the others' rows")
    parser.add_argument("--no-page", action="store_true", help="only see whether all is as it should be")
    options = parser.parse_args()
    # Copies of a process have none of its threads, and would wait for them for ever.
    torch.set_num_threads(1)
    wrong = False
    for part in [options.part] if options.part else [part for part in _PARTS if part != "_disks"]:
        with tempfile.TemporaryDirectory() as folder:
            row = _PARTS[part](Path(folder), options)
        print(json.dumps(row, ensure_ascii=False), flush=True)
        wrong |= row["wrong"] != "0"
        if part != "_disks" and not options.no_page:
            _keep(part, row)
    sys.exit(wrong)


def _keep(part: str, row: Row) -> None:
    """Write the page anew, with the new row of a part and those that the others had last."""
    rows = json.loads(_ROWS.read_text(encoding="utf-8")) if _ROWS.exists() else {}
    rows[part] = row
    _ROWS.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _DOC.write_text(_page([rows[part] for part in _PARTS if part in rows]), encoding="utf-8")


def cuts(folder: Path, options: argparse.Namespace) -> Row:
    """Stopped after a step and resumed, for every step, with and without accumulation."""
    model, equal, tried = save_bert(folder / "model"), 0, 0
    for way, accumulation in itertools.product(WAYS, (1, 3)):
        setting = replace(WAYS[way], steps=_STEPS, accumulation=accumulation)
        reference = _in_child(
            lambda _, at=setting, name=way: whole(model, folder / f"{name}-{at.accumulation}", at)
        )
        for step in range(1, _STEPS, options.every):
            cut = _in_child(
                lambda _, at=step, way=setting: cut_and_resumed(model, folder / f"cut-{at}", way, at)
            )
            shutil.rmtree(folder / f"cut-{step}")
            tried += 1
            equal += cut == reference
            _complain(
                cut == reference,
                f"graphs {way}, accumulation {accumulation}, step {step}: {_differing(cut, reference)}",
            )
    return {
        "what": f"cut after a step, of {_STEPS}; graphs {' or '.join(WAYS)}; accumulation 1 or 3",
        "trials": str(tried),
        "result": f"{equal} resumed to the same hash of everything",
        "wrong": str(tried - equal),
    }


def reruns(folder: Path, options: argparse.Namespace) -> Row:
    """The same run in processes of their own, with other hash seeds, and with workers."""
    model, hashes = save_bert(folder / "model"), Counter[str]()
    for number in range(options.reruns):
        code = (
            "import sys; from pathlib import Path; from tests.train.trials import Setting, whole\n"
            f"found = whole(Path({str(model)!r}), Path({str(folder / str(number))!r}), "
            f"Setting(workers={2 * (number % 2)}))\n"
            "sys.stdout.write(str(sorted(found.items())))"
        )
        environment = os.environ | {"PYTHONHASHSEED": str(random.randrange(1 << 32))}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=_HERE,
            capture_output=True,
            text=True,
            check=True,
        )
        hashes[done.stdout] += 1
    return {
        "what": "run again with a random PYTHONHASHSEED, and 0 or 2 workers of the data loader",
        "trials": str(options.reruns),
        "result": f"{len(hashes)} hash of everything",
        "wrong": str(len(hashes) - 1),
    }


def kills(folder: Path, options: argparse.Namespace) -> Row:
    """SIGKILL at a random moment of training and saving."""
    model, setting = save_bert(folder / "model"), Setting(_STEPS, save_every=_SAVE_EVERY)
    reference, seconds = _reference(model, folder, setting)
    killed = saving = stuck = other = 0
    most_lost = 0
    while killed < options.kills:
        place = folder / f"kill-{killed}"
        child = Child(lambda note, at=place: _train(model, at, setting, note))
        if child.signalled(signal.SIGKILL, random.uniform(0.2, 1) * seconds) != -signal.SIGKILL:
            seconds *= 0.8
            shutil.rmtree(place, ignore_errors=True)
            continue
        killed += 1
        saving += any(place.glob("*.partial"))
        newest = newest_checkpoint(place)
        most_lost = max(most_lost, child.step - (int(newest.name.split("-")[1]) if newest else 0))
        try:
            resumed = _in_child(lambda _, at=place: whole(model, at, setting, resume=True))
        except RuntimeError:
            stuck += 1
        else:
            other += resumed != reference
            _complain(resumed == reference, f"kill: {_differing(resumed, reference)}")
        shutil.rmtree(place, ignore_errors=True)
    return {
        "what": f"kill −9 at a random moment; a checkpoint every {_SAVE_EVERY} steps",
        "trials": f"{killed}, {saving} of them while a checkpoint was written or removed",
        "result": f"{stuck} did not resume; at most {most_lost} steps lost; {other} ended with other weights",
        "wrong": str(stuck + other + (most_lost > _SAVE_EVERY)),
    }


def disks(folder: Path, options: argparse.Namespace) -> Row:
    """Disks of many sizes, in a mount namespace of their own."""
    words = [
        sys.executable,
        "-m",
        "benchmarks.reliability",
        "--part",
        "_disks",
        "--disks",
        str(options.disks),
    ]
    done = subprocess.run(
        ["unshare", "--mount", *words], cwd=_HERE, capture_output=True, text=True, check=False
    )
    if done.returncode == _CANNOT_MOUNT:
        return {"what": "full disk", "trials": "0", "result": "not tried: no right to mount", "wrong": "0"}
    if not done.stdout:
        raise RuntimeError(done.stderr)
    row: Row = json.loads(done.stdout.splitlines()[0])
    sys.stderr.write("".join(line for line in done.stderr.splitlines(True) if line.startswith(_WRONG)))
    return row


def _disks(folder: Path, options: argparse.Namespace) -> Row:
    """See `disks`; runs where it may mount."""
    model, setting = save_bert(folder / "model"), Setting(_STEPS, save_every=_SAVE_EVERY)
    reference, _ = _reference(model, folder, setting)
    size = sum(file.stat().st_size for file in checkpoint_path(folder / "whole", _STEPS - 1).iterdir())
    disk = folder / "disk"
    disk.mkdir()
    full = damaged = stuck = other = 0
    for share in np.linspace(*_DISKS, options.disks).tolist():
        room = int(size * share)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(disk)]
        if subprocess.run(mount, check=False).returncode:
            sys.exit(_CANNOT_MOUNT)
        try:
            code = Child(lambda note: _train(model, disk / "run", setting, note)).wait()
            full += code == 4
            _complain(code in (0, 4), f"disk of {room:,} bytes: exit code {code}")
            damaged += any(
                damage_of(one) or one.suffix == ".partial" for one in (disk / "run").glob("check*")
            )
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            resumed = _in_child(lambda _: whole(model, disk / "run", setting, resume=True))
            other += resumed != reference
        except RuntimeError:
            stuck += 1
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    row = {
        "what": f"disks with room for {_DISKS[0]} to {_DISKS[1]} checkpoints, three of which meet while one "
        "is written",
        "trials": f"{options.disks}, {full} of them too small",
        "result": f"{damaged} left anything but whole checkpoints; with space freed {stuck} did not resume, "
        f"{other} ended with other weights",
        "wrong": str(damaged + stuck + other),
    }
    return row


def terminations(folder: Path, options: argparse.Namespace) -> Row:
    """SIGTERM at a random moment of `gistembed fit`, from the beginning of its training on."""
    model = save_bert(folder / "model")
    data = folder / "pairs.jsonl"
    ids = zip(PAIRS.anchors, PAIRS.positives, strict=True)
    rows = [{"anchor": PAIRS.texts[a], "positive": PAIRS.texts[p]} for a, p in ids]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ["fit", data, "--student", model, "--loss", "infonce", "--batch-size", 4, "--steps", _STEPS]

    def fit(note: Note, out: Path, *more: str) -> int:
        _noting_steps(note)
        with (folder / "said").open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv = ["gistembed", *map(str, [*words, "--out", out, "--quiet", *more])]
            command()
        return 0

    started = time.monotonic()
    assert Child(lambda note: fit(note, folder / "whole")).wait() == 0
    seconds = time.monotonic() - started
    reference = (folder / "whole" / "model" / "model.safetensors").read_bytes()
    told = right = in_training = late = stuck = other = 0
    while told < options.terminations:
        out = folder / f"out-{told}"
        child = Child(lambda note, at=out: fit(note, at))
        code = child.signalled(signal.SIGTERM, random.uniform(0.3, 1) * seconds)
        if code == 0 or not out.exists():
            # On a machine that others use too, a run takes now more and now less time.
            seconds *= 0.8 if code == 0 else 1.25
            shutil.rmtree(out, ignore_errors=True)
            continue
        told += 1
        lines = (folder / "said").read_text(encoding="utf-8").splitlines()
        hint = shlex.join(["gistembed", *map(str, [*words, "--out", out, "--quiet", "--resume"])])
        right += code == 143 and lines == [f"gistembed: terminated; go on with: {hint}"]
        # After the last step there is none in hand: what is lost then is no more than since a checkpoint.
        if 0 < child.step < _STEPS and json.loads((out / "run.json").read_text())["trainings"] == []:
            in_training += 1
            newest = newest_checkpoint(out / "checkpoints" / "unguided")
            in_hand = newest is not None and newest.name == f"checkpoint-{child.step}"
            late += not in_hand
            _complain(in_hand, f"stopped after step {child.step}: the newest checkpoint is {newest}")
        if Child(lambda note, at=out: fit(note, at, "--resume")).wait():
            stuck += 1
        else:
            other += (out / "model" / "model.safetensors").read_bytes() != reference
        shutil.rmtree(out, ignore_errors=True)
    return {
        "what": "SIGTERM at a random moment of `gistembed fit`",
        "trials": f"{told}, {in_training} of them while the student was trained",
        "result": f"{right} exited with 143 and one line that says how to go on; {late} without a "
        f"checkpoint of the step in hand; {stuck} did not resume; {other} ended with other weights",
        "wrong": str(told - right + late + stuck + other),
    }


def _train(model: Path, folder: Path, setting: Setting, note: Note) -> int:
    train(model, folder, setting, on_step=note)
    return 0


def _reference(model: Path, folder: Path, setting: Setting) -> tuple[dict[str, str], float]:
    """The run that nothing befalls, and how long it takes in a process that has loaded all it needs."""
    started = time.monotonic()
    assert Child(lambda note: _train(model, folder / "timed", setting, note)).wait() == 0
    seconds = time.monotonic() - started
    return _in_child(lambda _: whole(model, folder / "whole", setting)), seconds


def _in_child(action: Callable[[Note], dict[str, str]]) -> dict[str, str]:
    """What an action gives, done in a copy of this process, which stays as it is.

    Raises:
        RuntimeError: If it fails.
    """
    with tempfile.NamedTemporaryFile() as file:

        def write(note: Note) -> int:
            Path(file.name).write_text(json.dumps(action(note)))
            return 0

        code = Child(write).wait()
        if code:
            raise RuntimeError(f"exit code {code}")
        given: dict[str, str] = json.loads(Path(file.name).read_text())
        return given


def _noting_steps(note: Note) -> None:
    """Have every step of a training noted."""
    train_student = pipeline.train_student

    def noting(*arguments: object, on_step: Note, **options: object) -> object:
        def both(step: int) -> None:
            on_step(step)
            note(step)

        return train_student(*arguments, on_step=both, **options)  # type: ignore[arg-type]

    pipeline.train_student = noting  # type: ignore[assignment]


def _differing(some: dict[str, str], others: dict[str, str]) -> str:
    return ", ".join(name for name in others if some.get(name) != others[name])


def _complain(is_right: bool, what: str) -> None:
    if not is_right:
        print(f"{_WRONG}: {what}", file=sys.stderr, flush=True)


def _page(rows: list[Row]) -> str:
    """The page, in Markdown."""
    here = " · ".join([*machine().values(), *(f"{name} {version}" for name, version in versions().items())])
    table = "\n".join(
        ["| What befell it | Trials | Result |", "| --- | --- | --- |"]
        + [f"| {row['what']} | {row['trials']} | {row['result']} |" for row in rows]
    )
    return _TEXT.format(table=table, here=here)


_TEXT = """# Reliability

What a training run survives, measured by `python -m benchmarks.reliability`, which wrote this page.

{table}

A two-layer transformer with dropout, 41 steps of 4 pairs (12 with accumulation 3), on the CPU. “Everything”
is the SHA-256 of the weights, the states of optimizer, schedule and random generators, and all that was
logged. {here}

Not covered: accelerators, several ranks, a crash of the machine itself.

## How

- A checkpoint is written beside its place, each file flushed to disk, then a manifest with the size and the
  hash (xxh3-128) of each; then the folder gets its name. Only then are older ones removed; two stay, and the
  best.
- `--resume` takes the newest checkpoint whose files are what the manifest says. A line tells of each newer
  one that is not used, and why.
- One run at a time writes to a folder: another process that is to run there is refused. The lock is the
  operating system's, so that of a process that died holds nobody up.
- Checkpoints are safetensors and JSON. Reading them runs no code, and they hold no settings, so no secret.
- `save_every` says how often: `"300s"`, or a number of steps. Ctrl-C (exit code 130) and SIGTERM (143) write
  one after the step in hand; a second one stops at once. A full disk (exit code 4) leaves the checkpoints
  before it as they were.
- Going on takes no longer late in a run than early: batches are a function of the seed, the epoch and the
  step.
- The saved model is read back before a run ends, and must give the embeddings of the one in memory.
"""

_PARTS: dict[str, Callable[[Path, argparse.Namespace], Row]] = {
    "cuts": cuts,
    "reruns": reruns,
    "kills": kills,
    "disks": disks,
    "terminations": terminations,
    "_disks": _disks,
}

if __name__ == "__main__":
    main()
