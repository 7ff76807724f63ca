"""Writers that are killed, for the tests of the store.

    python -m tests.guide.crash FOLDER KILLS SEED

A writer commits, merges three of its files at a time and compacts in turn, and is killed with SIGKILL: at a
random moment, or just before its n-th write, flush, rename or removal. After each kill the store must hold
all that the writer had been told is committed, with the right vectors and lengths, and nothing damaged. The
last line on standard output counts the kills.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from gistembed import files
from gistembed.guide import GuideIdentity, GuideStore, Keys, compact, verify
from gistembed.guide.store import shard, writer

IDENTITY = GuideIdentity(files="c" * 32, max_length=None, dimensions=3)
FAILPOINTS = ("moment", "write", "flush", "rename", "remove")
_MOST_ROWS = 2500
_LATEST = 12


def keys_of(numbers):
    """Keys of the texts ``str(number)``."""
    return Keys.of(map(str, numbers), prompt="")


def vectors_of(numbers):
    """Vectors that tell their texts."""
    numbers = np.asarray(numbers)
    return np.stack([numbers % 2048, numbers // 2048, np.ones(len(numbers))], axis=1).astype(np.float16)


def lengths_of(numbers):
    """Lengths that tell their texts."""
    return np.asarray(numbers, np.int32) + 1


def main(root: Path, kills: int, seed: int) -> None:
    """Kill and check."""
    generator = random.Random(seed)
    committed = 0
    for number in range(kills):
        point = FAILPOINTS[number % len(FAILPOINTS)]
        committed = max(committed, _killed(root, committed, point, generator))
        store = GuideStore(root, IDENTITY)
        numbers = np.arange(committed)
        rows = store.find(keys_of(numbers))
        assert (rows >= 0).all(), f"kill {number} ({point}): {(rows < 0).sum()} committed vectors are gone"
        np.testing.assert_array_equal(store.read(rows), vectors_of(numbers))
        np.testing.assert_array_equal(store.lengths(rows), lengths_of(numbers))
        found = verify(store)
        assert found.damaged == {}, f"kill {number} ({point}): {found.damaged}"
        if committed > 40_000:
            root, committed = root.with_name(f"{root.name}-"), 0
    sys.stdout.write(f"{kills}\n")


def _killed(root: Path, first: int, point: str, generator: random.Random) -> int:
    """Let a writer run until it is killed; how many texts it had been told are committed."""
    count, pause = generator.randrange(_LATEST), generator.uniform(0, 0.05)
    reader, told_by = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _arm(point, count)
        _write(root, first, told_by, random.Random(generator.random()))
    os.close(told_by)
    told = first
    with os.fdopen(reader) as lines:
        line = lines.readline()
        if point == "moment":
            time.sleep(pause)
            os.kill(child, signal.SIGKILL)
        for one in [line, *lines]:
            if one.endswith("\n"):
                told = int(one)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the writer was not killed at {point}, it ended"
    assert os.WTERMSIG(status) == signal.SIGKILL
    return told


def _write(root: Path, first: int, pipe: int, generator: random.Random) -> None:
    writer._MERGED_FILES = 3
    while True:
        store = GuideStore(root, IDENTITY)
        commits = writer.StoreWriter(store)
        for _ in range(generator.choice([1, 3, 4, 9])):
            numbers = range(first, first + generator.randint(1, _MOST_ROWS))
            commits.append(keys_of(numbers), vectors_of(numbers), lengths_of(numbers))
            first = numbers.stop
            os.write(pipe, f"{first}\n".encode())
        compact(store)


def _arm(point: str, count: int) -> None:
    places = {
        "write": (shard, "_checksum"),
        "flush": (files.os, "fsync"),
        "rename": (Path, "replace"),
        "remove": (Path, "unlink"),
    }
    if point not in places:
        return
    owner, name = places[point]
    original = getattr(owner, name)
    calls = 0

    def die_at_last(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls > count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, die_at_last)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
