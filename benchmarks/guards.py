"""Which trainings the guards warn of: healthy ones, and ones with a trouble that was put in on purpose.

    python -m benchmarks.guards [--out benchmarks/results/guards.csv] [--only NAME]

Texts and models are those of the demo (`demo/prepare.py` fetches them) and the tests' tiny models. Each line
of the table is a run: what was noticed, and the numbers that the limits in `gistembed.train.guards.findings`
are held against. ``separation``, ``guide_separation`` and ``agreement`` were measured before the first step,
``turn`` (degrees) over the whole training; losses are means of the first and last quarter.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Pooling
from tests.tiny_models import save_bert, save_static
from transformers.utils import logging as transformers_logging

from benchmarks.tables import write_table
from gistembed import MaskPolicy, UserError
from gistembed.batches import BatchPlan, TokenCache
from gistembed.guide import GuideVectors, embed_now
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import Pairs, read_pairs
from gistembed.record import StepRecord, TrainingFinding
from gistembed.train import TrainingPlan, train_student
from gistembed.train.guards.findings import END
from gistembed.train.guards.measures import ends, mean_turn
from gistembed.train.guards.start import Probe

_CACHE = Path("demo/cache")
_PAIRS = 768
_GUIDE_TOKENS = 48
_STUDENT_TOKENS = 24


@dataclass(frozen=True)
class Run:
    """One training, and what is wrong with it."""

    name: str
    trouble: bool
    student: str
    data: str
    seed: int = 0
    guided: bool = True
    rate: float = 2e-3
    temperature: float = 0.05
    batch_size: int = 128
    steps: int = 40
    policy: MaskPolicy = field(default_factory=MaskPolicy)
    warmup: float = 0.1
    pairs: Callable[[Pairs], Pairs] = lambda pairs: pairs
    guide: Callable[[GuideVectors], GuideVectors] = lambda guide: guide
    model: Callable[[EmbeddingModel], None] = lambda model: None


def main() -> None:
    """Run all of them, print each and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/guards.csv"))
    parser.add_argument(
        "--cache", type=Path, default=_CACHE, help="where demo/prepare.py put texts and models"
    )
    parser.add_argument("--only", help="runs whose name holds this")
    options = parser.parse_args()
    transformers_logging.disable_progress_bar()
    table = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.cache, Path(folder))
        for run in [*healthy(), *troubled()]:
            if options.only is None or options.only in run.name:
                table.append(bench.line(run))
                print({name: value for name, value in table[-1].items() if value != ""}, flush=True)
    for trouble in (False, True):
        own = [row for row in table if row["trouble"] == trouble]
        flagged = sum(bool(row["noticed"]) for row in own)
        print(f"{'troubled' if trouble else 'healthy'}: {flagged} of {len(own)} flagged")
    write_table(options.out, table)


def healthy() -> Iterator[Run]:
    """Trainings as they should be."""
    for seed, guided in itertools.product(range(3), (True, False)):
        yield Run("demo", False, "wordllama", "topics", seed, guided, rate=5e-3)
        if guided or not seed:
            yield Run("default settings", False, "wordllama", "topics", seed, guided, temperature=0.01)
            yield Run("easy pairs", False, "wordllama", "abstracts", seed, guided, temperature=0.01)
    small = {"rate": 5e-5, "batch_size": 16, "steps": 16}
    for seed in range(5):
        yield Run("fine-tuned", False, "MiniLM, 2 layers", "topics", seed, **small)
    for seed in range(3):
        yield Run("tiny", False, "tiny static", "shortened", seed, guided=False)
        yield Run("tiny", False, "tiny BERT", "shortened", seed, guided=False, rate=1e-3)
    yield Run("fine-tuned", False, "MiniLM, 2 layers", "topics", guided=False, **small)
    yield Run("easy pairs", False, "MiniLM, 2 layers", "abstracts", **small, temperature=0.01)


def troubled() -> Iterator[Run]:
    """Trainings with a trouble each."""
    small = {"batch_size": 16, "steps": 16}
    static = ("wordllama", "topics")
    layers = ("MiniLM, 2 layers", "topics")
    yield Run("learning rate 1", True, *static, rate=1.0)
    yield Run("learning rate 1e38", True, *static, rate=1e38)
    yield Run("learning rate 0", True, *static, rate=0.0)
    yield Run("learning rate 1e-9", True, *layers, rate=1e-9, **small)
    yield Run("rows in another order", True, *static, pairs=_misaligned)
    yield Run("rows in another order", True, *layers, pairs=_misaligned, rate=5e-5, **small)
    yield Run("columns reversed", True, "wordllama", "abstracts", pairs=_reversed, guide=_roles_reversed)
    yield Run("one anchor", True, *static, pairs=lambda pairs: _constant(pairs, "anchors"))
    yield Run("one positive", True, *static, pairs=lambda pairs: _constant(pairs, "positives"))
    yield Run("margin masks everything", True, *static, policy=MaskPolicy(margin=3.0))
    yield Run("guide of random vectors", True, *static, guide=_random)
    yield Run("guide of other texts' vectors", True, *static, guide=_mixed_up)
    yield Run("guide with one vector for all", True, *static, guide=_same)
    yield Run("all weights frozen", True, *layers, model=_frozen, rate=5e-5, **small)
    yield Run("warm-up too long", True, *static, warmup=0.999)
    yield Run("one step", True, *static, steps=1)
    yield Run("student never trained", True, "tiny BERT", "topics", rate=1e-3)
    yield Run("student never trained", True, "tiny static", "topics")
    yield Run(
        "pooling by the first token", True, *layers, model=lambda m: _pooled(m, "cls"), rate=5e-5, **small
    )
    yield Run("pooling by the maximum", True, *layers, model=lambda m: _pooled(m, "max"), rate=5e-5, **small)
    yield Run("weights in bfloat16", True, *layers, model=_halved, rate=1e-7, **small)
    yield Run("temperature 100", True, *static, temperature=100.0)
    yield from _collapsing()


def _collapsing() -> Iterator[Run]:
    """Twelve students that come to give one embedding to all texts, or begin with it."""
    layers = ("MiniLM, 2 layers", "topics")
    small = {"batch_size": 16, "steps": 16}
    for rate, seed in itertools.product((5e-3, 1e-2, 3e-2), range(3)):
        yield Run(f"collapse by a learning rate of {rate:g}", True, *layers, seed, rate=rate, **small)
    for left in (1e-2, 1e-3, 1e-4):
        yield Run(
            f"collapse by a layer that leaves {left:g}",
            True,
            *layers,
            model=partial(_forget, left=left),
            rate=5e-5,
            **small,
        )


class Bench:
    """What the runs share: texts, models, the guide's vectors."""

    def __init__(self, cache: Path, folder: Path) -> None:
        """Read and encode everything once."""
        self._cache = cache
        self._folder = folder
        self._number = 0
        abstracts = read_pairs(
            cache / "pubmed-abstracts" / "pairs.csv",
            columns={"anchor": ("title",), "positive": ("abstract",)},
        )
        topics = read_pairs(cache / "pubmed-topics" / "train.jsonl")
        self._data = {
            "topics": _some(topics),
            "abstracts": _some(abstracts),
            "shortened": read_pairs(_shortened(_some(topics), folder / "shortened.jsonl")),
        }
        guide = self._load(cache / "models" / "all-MiniLM-L6-v2", _GUIDE_TOKENS)
        self._guides = {name: embed_now(guide, self._data[name]) for name in ("topics", "abstracts")}
        transformer = guide.model[0].auto_model
        transformer.encoder.layer = transformer.encoder.layer[:2]
        transformer.config.num_hidden_layers = 2
        guide.model.save_pretrained(str(folder / "layers"), create_model_card=False)
        self._models = {
            "wordllama": cache / "models" / "wordllama-256",
            "MiniLM, 2 layers": folder / "layers",
            "tiny static": save_static(folder / "static"),
            "tiny BERT": save_bert(folder / "bert"),
        }

    def line(self, run: Run) -> dict[str, object]:
        """Train, and say what was noticed."""
        started = time.perf_counter()
        torch.manual_seed(run.seed)
        pairs = run.pairs(self._data[run.data])
        student = self._load(self._models[run.student], _STUDENT_TOKENS)
        run.model(student)
        guides = [run.guide(self._guides[run.data])] if run.guided and run.data in self._guides else []
        plan = TrainingPlan(
            BatchPlan(len(pairs), run.batch_size, run.seed),
            run.steps,
            run.rate,
            run.warmup,
            run.temperature,
            run.policy,
        )
        probe = Probe.first_rows(student, pairs, plan.batches)
        start = probe.start(guides, run.temperature)
        found: list[TrainingFinding] = []
        history: list[StepRecord] = []
        stopped = ""
        self._number += 1
        try:
            history = train_student(
                student,
                pairs,
                guides,
                plan,
                tokens=TokenCache.read(student, pairs),
                checkpoints=self._folder / f"checkpoints-{self._number}",
                logs=self._folder / "logs",
                resume=False,
                on_finding=found.append,
            ).history
        except UserError as error:
            stopped = str(error)
        after = probe.again(student).embeddings() if history else None
        first, last, _ = ends([point.loss for point in history], END) if len(history) > 1 else ("", "", "")
        cosines = [point.metrics["mean_cosine"] for point in history] or [""]
        metrics = history[-1].metrics if history else {}
        numbers = {
            "separation": start.separation,
            "guide_separation": start.guide_separations[0] if guides else "",
            "agreement": start.agreements[0] if guides else "",
            "cosine_first": cosines[0],
            "cosine_last": cosines[-1],
            "loss_first": first,
            "loss_last": last,
            "rows_without_negatives": metrics.get("rows_without_negatives", ""),
            "mask_rate": metrics.get("mask_rate/ap", ""),
            "turn": "" if after is None else mean_turn(probe.embeddings(), after),
        }
        return {
            "run": run.name,
            "trouble": run.trouble,
            "student": run.student,
            "data": run.data,
            "guided": bool(guides),
            "seed": run.seed,
            "rate": run.rate,
            "steps": run.steps,
            "noticed": " ".join(one.code for one in found) or ("refused" if stopped else ""),
            **{
                name: f"{value:.4g}" if isinstance(value, float) else value for name, value in numbers.items()
            },
            "seconds": round(time.perf_counter() - started, 1),
        }

    @staticmethod
    def _load(folder: Path, limit: int) -> EmbeddingModel:
        model = load_model(str(folder), option="--student")
        if model.kind == "transformer":
            model = model.with_settings(option="--student", max_length=min(limit, model.max_length or limit))
        return model


def _some(pairs: Pairs) -> Pairs:
    return pairs.take(np.random.default_rng(0).permutation(len(pairs))[:_PAIRS]).apart()


def _shortened(pairs: Pairs, path: Path) -> Path:
    """Titles, each with the same title without its last words: what any student can tell."""
    titles = dict.fromkeys(pairs.texts.of(pairs.positives))
    with path.open("w", encoding="utf-8") as file:
        for title in titles:
            words = title.split()
            if len(words) > 5:
                file.write(json.dumps({"anchor": title, "positive": " ".join(words[:-2])}) + "\n")
    return path


def _misaligned(pairs: Pairs) -> Pairs:
    return replace(pairs, positives=np.roll(pairs.positives, 7))


def _reversed(pairs: Pairs) -> Pairs:
    return replace(pairs, anchors=pairs.positives, positives=pairs.anchors)


def _roles_reversed(guide: GuideVectors) -> GuideVectors:
    return replace(guide, rows={"anchor": guide.rows["document"], "document": guide.rows["anchor"]})


def _constant(pairs: Pairs, column: str) -> Pairs:
    ids = getattr(pairs, column)
    return replace(pairs, **{column: np.full_like(ids, ids[0])})


def _with_vectors(guide: GuideVectors, vectors: np.ndarray) -> GuideVectors:
    return replace(guide, source=vectors.astype(np.float32))


def _random(guide: GuideVectors) -> GuideVectors:
    assert isinstance(guide.source, np.ndarray)
    return _with_vectors(guide, np.random.default_rng(0).standard_normal(guide.source.shape))


def _mixed_up(guide: GuideVectors) -> GuideVectors:
    assert isinstance(guide.source, np.ndarray)
    return _with_vectors(guide, np.random.default_rng(0).permutation(guide.source))


def _same(guide: GuideVectors) -> GuideVectors:
    assert isinstance(guide.source, np.ndarray)
    return _with_vectors(guide, np.broadcast_to(guide.source[0], guide.source.shape))


def _frozen(student: EmbeddingModel) -> None:
    student.model.requires_grad_(False)


def _pooled(student: EmbeddingModel, mode: str) -> None:
    student.model[1] = Pooling(student.dimensions, pooling_mode=mode)


def _halved(student: EmbeddingModel) -> None:
    student.model.to(torch.bfloat16)


def _forget(student: EmbeddingModel, left: float) -> None:
    """The last normalisation gives nearly its bias alone: one embedding for all texts."""
    norm = student.model[0].auto_model.encoder.layer[-1].output.LayerNorm
    with torch.no_grad():
        norm.weight.mul_(left)


if __name__ == "__main__":
    main()
