"""Do two models improve each other? Rounds of co-training against the same rounds under a guide that stays.

    python -m benchmarks.cotrain [--rounds 3] [--epochs 3] [--seeds 42] [--out FILE]

On the demo's titles that share a topic (`python demo/prepare.py`), where many texts of a batch are false
negatives. A is the demo's static student, B the token vectors of the demo's guide: a static model with other
tokens and other vectors, about as good. Ways:

- ``mutual``, ``ema``: each is guided by the other, as it was before the round or as the average over rounds.
- ``self``: each is guided by itself.
- ``fixed``: each is guided by the other as it was before the first round, in all rounds (an average of which
  everything stays). What the others gain over this is what new guides are worth.
- ``share``: as ``mutual``, but rounds are chosen on a tenth of the training pairs.
- ``unguided``, ``MiniLM``: A trained in one go, for as many epochs as all rounds have, without a guide and
  under the transformer whose token vectors B is.

Scores are nDCG@10. Rounds are chosen on the demo's evaluation pairs of every second topic (`dev`), and scored
on those of the others: of a share of the training pairs only one title of a topic would count as found.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from benchmarks.tables import write_table
from gistembed import cotrain, fit
from gistembed.record import RunRecord

_WAYS = ("mutual", "fixed", "self", "ema", "share", "unguided", "MiniLM")
_CACHE = Path("demo/cache")
_TOPICS = _CACHE / "pubmed-topics"
_STATIC = _CACHE / "models" / "wordllama-256"
_TRANSFORMER = _CACHE / "models" / "all-MiniLM-L6-v2"


def main() -> None:
    """Train every way with every seed, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--ways", nargs="+", default=list(_WAYS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/cotrain.csv"))
    options = parser.parse_args()
    table: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        second = token_vectors(_TRANSFORMER, Path(folder, "tokens"))
        dev, held_out = topics_apart(_TOPICS / "eval.jsonl", Path(folder))
        for seed in options.seeds:
            for way in options.ways:
                out = Path(folder, f"{way}-{seed}")
                settings = {
                    "data": _TOPICS / "train.jsonl",
                    "eval": held_out,
                    "store": Path(folder, "store"),
                    "batch_size": 256,
                    "temperature": 0.05,
                    "learning_rate": 5e-3,
                    "seed": seed,
                    "quiet": True,
                }
                for row in _rows(way, second, dev, out, options.rounds, options.epochs, settings):
                    table.append({"way": way, "seed": seed} | row)
                    print(table[-1], flush=True)
                    write_table(options.out, table)


def token_vectors(transformer: Path, folder: Path) -> Path:
    """Save the token vectors of a transformer as a static model."""
    model = SentenceTransformer(str(transformer), device="cpu")
    weights = model[0].auto_model.get_input_embeddings().weight.detach().clone()
    embedding = StaticEmbedding(model.tokenizer.backend_tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[embedding], device="cpu").save_pretrained(
        str(folder), create_model_card=False
    )
    return folder


def topics_apart(path: Path, folder: Path) -> list[Path]:
    """Write the rows of every second topic to one file, and those of the others to another."""
    topics: dict[frozenset[str], list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        topics.setdefault(frozenset([row["anchor"], *row["positive"]]), []).append(line + "\n")
    files = [folder / "dev.jsonl", folder / "held-out.jsonl"]
    for number, file in enumerate(files):
        rows = [row for topic in list(topics.values())[number::2] for row in topic]
        file.write_text("".join(rows), encoding="utf-8")
    return files


def _rows(
    way: str, second: Path, dev: Path, out: Path, rounds: int, epochs: float, settings: dict[str, Any]
) -> Iterator[dict[str, object]]:
    """One row for each model that a way trains."""
    started = time.perf_counter()
    if way in ("unguided", "MiniLM"):
        guided = {"guide": _TRANSFORMER} if way == "MiniLM" else {"loss": "infonce"}
        result = fit(student=_STATIC, out=out, epochs=epochs * rounds, **guided, **settings)
        yield {"model": "a", "rounds": "", "best": "", "dev": "", **_scores(result.record)} | _seconds(
            started
        )
        return
    pairs = [(_STATIC, None), (second, None)] if way == "self" else [(_STATIC, second)]
    variants: dict[str, dict[str, Any]] = {
        "fixed": {"dev": dev, "variant": "ema", "decay": 1.0},
        "share": {"variant": "mutual"},
    }
    variant = variants.get(way, {"dev": dev, "variant": way})
    for number, (a, b) in enumerate(pairs):
        place = out.with_name(f"{out.name}-{number}")
        result = cotrain(a, b, out=place, rounds=rounds, epochs=epochs, **variant, **settings)
        record = result.record
        for key, run in record.runs.items():
            rounds_of = record.of(key)
            yield {
                "model": "b" if number else key,
                "rounds": len(rounds_of) - 1,
                "best": record.best[key],
                "dev": " ".join(f"{one.dev.mean:.4f}" for one in rounds_of),
                **_scores(run),
            } | _seconds(started)


def _scores(run: RunRecord) -> dict[str, object]:
    """Scores before, after the first round and at best, and what the rounds after the first were worth."""
    held_out = run.evaluations[0]
    means = {name: scores[held_out.metric].mean for name, scores in held_out.scores.items()}
    *_, last = means
    after_first = next((one for one in held_out.comparisons if one.baseline == "round 1"), None)
    gain = after_first and after_first.difference
    return {
        "base": f"{means['base']:.4f}",
        "round_1": f"{means['round 1']:.4f}" if "round 1" in means else "",
        "kept": f"{means[last]:.4f}",
        "kept_over_round_1": f"{gain.mean:+.4f}" if gain else "",
        "low": f"{gain.low:+.4f}" if gain else "",
        "high": f"{gain.high:+.4f}" if gain else "",
        "retention_base": f"{run.evaluations[1].scores['base'][held_out.metric].mean:.4f}",
        "retention_kept": f"{run.evaluations[1].scores[last][held_out.metric].mean:.4f}",
    }


def _seconds(started: float) -> dict[str, object]:
    return {"seconds": round(time.perf_counter() - started)}


if __name__ == "__main__":
    main()
