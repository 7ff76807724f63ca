"""The loader: what tokenising costs in each epoch and what the cache of tokens leaves of it.

    python -m benchmarks.loader [--cache demo/cache] [--repeats 7] [--rows 1000000]

Texts and models are those of the demo (`demo/prepare.py` fetches them into its cache), and the documentation
of Python's standard library. Everything takes turns; the table gives medians.

- ``epoch``: all batches of an epoch, by sentence-transformers' collator, which tokenises them, and by ours:
  the first epoch fills the cache, later ones read it. Both get their rows ready made.
- ``count tokens``: what a run did before its first epoch when there was no cache, beside tokenising in it.
- ``ids``: rows planned and their ids looked up, without any text; alone, and through torch's data loader.
- ``step``: a static student's training steps without a guide (the cheapest there are), and the share of the
  loader in them, with the cache and with preprocessing batch by batch.

Not covered: several processes, accelerators, workers of the data loader.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from tests.real_text import documentation_pairs
from torch.utils.data import DataLoader

from benchmarks.tables import write_table
from gistembed import MaskPolicy, Pairs
from gistembed.batches import (
    BatchPlan,
    PairCollator,
    PlanSampler,
    RowNumbers,
    TokenCache,
    batch_ids,
    text_lengths,
)
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import read_pairs
from gistembed.train.module import BatchLoss

_BATCH = 256
_STEPS = 8
_STUDENTS = {"MiniLM": "all-MiniLM-L6-v2", "static 256": "wordllama-256"}

Row = dict[str, object]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("demo/cache"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/loader.csv"))
    options = parser.parse_args()
    anchors, positives = zip(*documentation_pairs(), strict=True)
    texts = {
        "demo": read_pairs(str(options.cache / "pubmed-topics" / "train.jsonl")),
        "documentation": read_pairs(Dataset.from_dict({"anchor": anchors, "positive": positives})),
    }
    table: list[Row] = []
    for name, folder in _STUDENTS.items():
        student = load_model(options.cache / "models" / folder, option="student")
        for source, pairs in texts.items():
            table += _epochs(f"{name}, {source}", student, pairs, options.repeats)
    table += _ids(options.rows, options.repeats)
    folder = options.cache / "models" / _STUDENTS["static 256"]
    for size in (_BATCH, 4 * _BATCH):
        table += _steps(load_model(folder, option="student"), texts["demo"], size, options.repeats)
    for row in table:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    write_table(options.out, table)


def _rows(what: str, rows: int, variants: dict[str, Callable[[], float]], repeats: int) -> list[Row]:
    """The variants in turn, after one round to warm up; the first is what the others are compared with."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(repeats + 1):
        for name, variant in variants.items():
            taken = variant()
            if turn:
                seconds[name].append(taken)
    first = statistics.median(next(iter(seconds.values())))
    return [
        {
            "what": what,
            "variant": name,
            "rows": rows,
            "repeats": repeats,
            "median_seconds": f"{(median := statistics.median(values)):.4g}",
            "fastest": f"{min(values):.4g}",
            "slowest": f"{max(values):.4g}",
            "rows_per_second": f"{rows / median:.4g}",
            "share_of_first": f"{median / first:.3g}",
        }
        for name, values in seconds.items()
    ]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _epochs(name: str, student: EmbeddingModel, pairs: Pairs, repeats: int) -> list[Row]:
    batches = BatchPlan(len(pairs), _BATCH, seed=0).epoch(0)
    peer = SentenceTransformerDataCollator(preprocess_fn=student.model.preprocess)
    texts = [
        [
            {
                "anchor": pairs.texts[int(pairs.anchors[row])],
                "positive": pairs.texts[int(pairs.positives[row])],
            }
            for row in batch
        ]
        for batch in batches
    ]
    numbers = batches.tolist()
    kept = PairCollator(student, pairs, TokenCache.read(student, pairs))

    def epoch(collator: Callable[[list[dict[str, int]]], object]) -> None:
        for rows in numbers:
            collator(rows)

    return _rows(
        f"epoch: {name}",
        batches.size,
        {
            "sentence-transformers": lambda: _timed(lambda: [peer(rows) for rows in texts]),
            "ours, first": lambda: _timed(
                lambda: epoch(PairCollator(student, pairs, TokenCache.read(student, pairs)))
            ),
            "ours, later": lambda: _timed(lambda: epoch(kept)),
            "count tokens": lambda: _timed(lambda: text_lengths(student, pairs)),
        },
        repeats,
    )


def _ids(count: int, repeats: int) -> list[Row]:
    """Each anchor has four positives, and each positive two anchors."""
    pairs = read_pairs(
        Dataset.from_dict(
            {
                "anchor": [f"anchor {row // 4}" for row in range(count)],
                "positive": [f"positive {row // 8 * 4 + row % 4}" for row in range(count)],
            }
        )
    )
    relations = pairs.known_positives()
    plan = BatchPlan(len(pairs), _BATCH, seed=0)
    loader = DataLoader(
        RowNumbers.up_to(len(pairs)),
        batch_sampler=PlanSampler(plan),
        collate_fn=lambda rows: batch_ids(pairs, relations, np.array(rows)),
    )
    return _rows(
        f"ids: {len(pairs):,} pairs",
        plan.steps_per_epoch * _BATCH,
        {
            "alone": lambda: _timed(lambda: [batch_ids(pairs, relations, rows) for rows in plan.epoch(0)]),
            "through torch's data loader": lambda: _timed(lambda: [None for _ in loader]),
        },
        repeats,
    )


def _steps(student: EmbeddingModel, pairs: Pairs, size: int, repeats: int) -> list[Row]:
    loss = BatchLoss(student.model, [], MaskPolicy(), temperature=0.05)
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=2e-3, fused=True)
    tokens = TokenCache.read(student, pairs)
    collators = {
        "cached": PairCollator(student, pairs, tokens),
        "preprocessed": PairCollator(student, pairs, TokenCache(tokens.lengths, "is told to", {})),
    }
    plan = BatchPlan(len(pairs), size, seed=0)
    batches = [plan.epoch(epoch)[0].tolist() for epoch in range(_STEPS)]
    fetch = RowNumbers.up_to(len(pairs)).__getitems__
    spent: dict[str, float] = {}

    def steps(name: str) -> float:
        spent[name] = 0.0
        started = time.perf_counter()
        for step in range(_STEPS):
            loading = time.perf_counter()
            batch = collators[name](fetch(batches[step]))
            spent[name] += time.perf_counter() - loading
            loss(*SentenceTransformerTrainer.collect_features(None, batch)).backward()
            optimizer.step()
            optimizer.zero_grad()
        return time.perf_counter() - started

    student.model.train()
    return _rows(
        f"step: static 256, {_STEPS} batches of {size}",
        _STEPS * size,
        {
            "whole, cached": lambda: steps("cached"),
            "loader, cached": lambda: spent["cached"],
            "whole, preprocessed": lambda: steps("preprocessed"),
            "loader, preprocessed": lambda: spent["preprocessed"],
        },
        repeats,
    )


if __name__ == "__main__":
    main()
