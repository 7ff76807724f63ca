"""What a cheaper guide does to the student that it guides: the held-out score after training.

    python -m benchmarks.guide_quality [--distilled FOLDER] [--seeds 6] [--epochs 10] [--work FOLDER]

The job is the demo's: its pairs, its held-out pairs, its student and its settings (`make demo` fetches the
files). The student is trained anew without a guide, and with the vectors of each of two guides kept in
several ways: all-MiniLM-L6-v2, a transformer, and wordllama-256, which is static and the student itself
before training. Each way goes into training as a file of given vectors, rounded or cut. A seed decides which
pairs meet in which batch; all ways see the same batches, so that differences are taken seed by seed.

For each way: the bytes that a text's vector takes; the share of the possible negatives that it masks, known
positives left out; the mean score; and the difference to the same guide's float32 and to training without a
guide, each with two 95 % intervals. ``seeds`` (t) says what other batches would change, with these held-out
queries; ``queries`` (bootstrap, as in a run's report) what other queries would change, with the mean over
these seeds.

``--distilled`` adds a static model that model2vec made of the transformer. It needs an environment of its own
(`pip install torch==2.13.0`, then `pip install 'model2vec[distill,quantization]==0.10.0'`), and there:

    from model2vec.distill import distill
    model = distill("demo/cache/models/all-MiniLM-L6-v2")
    model.save_pretrained("minilm-distilled")

Finished trainings are kept in ``--work``, and a second call goes on from there; remove the folder to measure
anew. With one thread, six seeds take about half an hour on a busy machine.
"""

import argparse
import json
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from transformers.utils import logging as transformers_logging

from benchmarks.kept import ways_to_keep
from benchmarks.tables import write_table
from gistembed.config import run_config
from gistembed.console import Console
from gistembed.evaluate import METRICS, mean_interval, rank, score
from gistembed.files import write_whole
from gistembed.models import load_model
from gistembed.pairs import read_pairs
from gistembed.prepare.guides import PreparedVectors
from gistembed.prepare.run import prepare_run
from gistembed.train import train_student

_PAIRS = Path("demo/cache/pubmed-topics")
_MODELS = Path("demo/cache/models")
_TRANSFORMER, _STATIC = "all-MiniLM-L6-v2", "wordllama-256"
# As in demo/run.py.
_SETTINGS = {
    "data": str(_PAIRS / "train.jsonl"),
    "eval": str(_PAIRS / "eval.jsonl"),
    "student": str(_MODELS / _STATIC),
    "batch_size": 256,
    "temperature": 0.05,
    "learning_rate": 5e-3,
}
_METRIC = METRICS[0]
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Way:
    """A guide's vectors, as they are kept.

    Attributes:
        guide: Whose vectors.
        name: How they are kept.
        size: Bytes that a vector takes.
        file: Where they are; None for training without a guide.
    """

    guide: str
    name: str
    size: int
    file: Path | None


_UNGUIDED = Way("", "no guide", 0, None)


@dataclass(frozen=True)
class Trained:
    """What a student became.

    Attributes:
        scores: Of each held-out query.
        masked: Share of the possible negatives that the guide took out, over all steps and blocks.
    """

    scores: list[float]
    masked: float


def main() -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--distilled", type=Path, help="folder of the static model made of the transformer")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--work", type=Path, default=Path("runs/guide_quality"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/guide_quality.csv"))
    options = parser.parse_args()
    transformers_logging.disable_progress_bar()
    options.work.mkdir(parents=True, exist_ok=True)
    ways = [_UNGUIDED, *_ways(options.work, options.distilled)]
    trained: dict[Way, list[Trained]] = {way: [] for way in ways}
    for seed in range(options.seeds):
        started = time.perf_counter()
        for way in ways:
            trained[way].append(_trained(way, seed, options.epochs, options.work))
        print(f"seed {seed}: {len(ways)} ways in {time.perf_counter() - started:.0f} s", flush=True)
    scores = {way: np.array([run.scores for run in runs]) for way, runs in trained.items()}
    masked = {way: float(np.mean([run.masked for run in runs])) for way, runs in trained.items()}
    table = [_row(way, scores, masked[way]) for way in ways]
    _show(table)
    write_table(options.out, table)


def _ways(work: Path, distilled: Path | None) -> list[Way]:
    """All guides in all ways, with their files written."""
    pairs = read_pairs(_SETTINGS["data"])
    texts = [pairs.texts[text_id] for text_id in pairs.text_ids()]
    ways = []
    for guide in (_TRANSFORMER, _STATIC):
        vectors = _vectors(_MODELS / guide, texts)
        for name, (size, kept) in ways_to_keep(vectors.shape[1]).items():
            ways.append(Way(guide, name, size, _written(work, f"{guide} {name}", texts, kept(vectors))))
        if guide == _TRANSFORMER and distilled is not None:
            vectors, name = _vectors(distilled, texts), "distilled to a static model, float32"
            file = _written(work, f"{guide} {name}", texts, vectors)
            ways.append(Way(guide, name, 4 * vectors.shape[1], file))
    return ways


def _vectors(folder: Path, texts: list[str]) -> Tensor:
    guide = load_model(folder, option="guide")
    assert guide.roles_share_vectors, "a text has one vector in the files"
    started = time.perf_counter()
    vectors = torch.from_numpy(guide.embed(texts, "document"))
    print(f"{folder.name}: {len(texts):,} texts encoded in {time.perf_counter() - started:.1f} s", flush=True)
    return vectors


def _written(work: Path, name: str, texts: list[str], vectors: Tensor) -> Path:
    file = work / f"{_plain(name)}.npy"
    np.save(file, np.ascontiguousarray(vectors.numpy()))
    write_whole(file.with_suffix(".texts.json"), json.dumps(texts).encode())
    return file


def _plain(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def _trained(way: Way, seed: int, epochs: int, work: Path) -> Trained:
    """One training, or what an earlier call has of it."""
    file = work / f"{_plain(f'{way.guide} {way.name}')}-{epochs}-epochs-seed-{seed}.json"
    if not file.exists():
        trained = _train(way, seed, epochs)
        write_whole(file, json.dumps(vars(trained)).encode())
    return Trained(**json.loads(file.read_text()))


def _train(way: Way, seed: int, epochs: int) -> Trained:
    """What `gistembed.fit` does, without the scores before training, the saved model and the report."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _SETTINGS | {"seed": seed, "epochs": epochs, "out": folder}
        guide = {"loss": "infonce"} if way.file is None else {"guide": str(way.file)}
        run = prepare_run(run_config(settings | guide, source="guide_quality"), Console(quiet=True))
        outcome = train_student(
            run.student,
            run.train,
            [guide.vectors for guide in run.guides if isinstance(guide, PreparedVectors)],
            run.plan,
            tokens=run.tokens,
            checkpoints=Path(folder) / "checkpoints",
            logs=Path(folder) / "logs",
            resume=False,
        )
    assert outcome.finished
    task = run.tasks["held-out"]
    rates = [
        rate
        for step in outcome.history
        for name, rate in step.metrics.items()
        if name.startswith("mask_rate/")
    ]
    scores = score(task, rank(run.student, task))[_METRIC]
    return Trained(scores.tolist(), float(np.mean(rates)) if rates else 0.0)


def _row(way: Way, scores: dict[Way, np.ndarray], masked: float) -> dict[str, object]:
    float32 = next((other for other in scores if (other.guide, other.name) == (way.guide, "float32")), None)
    row: dict[str, object] = {
        "guide": way.guide,
        "kept as": way.name,
        "bytes": way.size,
        "seeds": len(scores[way]),
        "masked": "" if way.file is None else f"{masked:.4f}",
        _METRIC: f"{scores[way].mean():.4f}",
    }
    for name, baseline in (("to_float32", float32), ("to_no_guide", _UNGUIDED)):
        numbers = [""] * 5
        if baseline is not None and baseline != way:
            numbers = [f"{number:+.5f}" for number in _difference(scores[way] - scores[baseline])]
        columns = ("", "_seeds_low", "_seeds_high", "_queries_low", "_queries_high")
        row |= {f"{name}{column}": number for column, number in zip(columns, numbers, strict=True)}
    return row


def _difference(differences: np.ndarray) -> list[float]:
    """The mean of differences by seed and query, its interval over seeds, and that over queries."""
    by_seed = differences.mean(axis=1)
    half = stats.t.ppf((1 + _CONFIDENCE) / 2, len(by_seed) - 1) * stats.sem(by_seed)
    queries = mean_interval(differences.mean(axis=0))
    mean = float(by_seed.mean())
    return [mean, mean - half, mean + half, queries.low, queries.high]


def _show(table: list[dict[str, object]]) -> None:
    def difference(row: dict[str, object], name: str) -> str:
        mean, *ends = [
            f"{float(str(row[f'{name}{end}'])):+.4f}" if row[name] else ""
            for end in ("", "_seeds_low", "_seeds_high", "_queries_low", "_queries_high")
        ]
        low, high, queries_low, queries_high = ends
        return f"{mean} [{low} {high}] ({queries_low} {queries_high})" if mean else ""

    print(
        f"\n{'':<44} bytes  masked  {_METRIC}  {'to float32, [seeds], (queries)':<43}  to no guide, the same"
    )
    guide: object = ""
    for row in table:
        if row["guide"] != guide:
            guide = row["guide"]
            print(guide)
        print(
            f"  {row['kept as']:<42} {row['bytes']:5}  {row['masked']:>6}  {row[_METRIC]:>7}  "
            f"{difference(row, 'to_float32'):<43}  {difference(row, 'to_no_guide')}"
        )


if __name__ == "__main__":
    main()
