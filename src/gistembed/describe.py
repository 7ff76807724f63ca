"""The parts of a run as records: what was read, which models, on which machine."""

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from jaxtyping import Int32

from gistembed.guide import Guide
from gistembed.pairs import Pairs
from gistembed.record import DataRecord, ModelRecord, PairSample

_SAMPLES = 5
_LIBRARIES = (
    "gistembed",
    "torch",
    "sentence-transformers",
    "transformers",
    "accelerate",
    "datasets",
    "numpy",
    "ir-measures",
)
# These matter to a result only where they are there.
_EXTRAS = ("peft",)


def data_record(pairs: Pairs) -> DataRecord:
    """What was read from one source of pairs."""
    texts = pairs.texts
    return DataRecord(
        source=pairs.source,
        digest=pairs.digest(),
        columns={
            "anchor": [pairs.columns.anchor],
            "positive": list(pairs.columns.positive),
            "negative": list(pairs.columns.negatives),
            **{
                role.replace("_", " "): [name for name in names if name]
                for role, names in pairs.columns.more.items()
            },
        },
        ignored_columns=list(pairs.columns.ignored),
        rows_read=pairs.rows_read,
        pairs=len(pairs),
        negatives=len(pairs.negative_ids),
        distinct_texts=len(pairs.text_ids()),
        dropped=dict(pairs.dropped),
        tasks=pairs.task_sizes(),
        samples=[
            PairSample(
                place=pairs.place(row),
                anchor=texts[int(pairs.anchors[row])],
                positive=texts[int(pairs.positives[row])],
                negatives=texts.of(pairs.negatives(row)),
            )
            for row in range(min(_SAMPLES, len(pairs)))
        ],
    )


def model_record(model: Guide, lengths: Int32[np.ndarray, " texts"]) -> ModelRecord:
    """A model as it was used.

    Args:
        model: The model.
        lengths: Tokens of each text as it reads them, nothing cut off; 0 where they are not known.
    """
    limit = model.max_length
    used = lengths[lengths > 0]
    return ModelRecord(
        name=model.name,
        identity=model.identity,
        kind=model.kind,
        parameters=model.parameters,
        dimensions=model.dimensions,
        max_length=limit,
        prompts=dict(model.prompts),
        truncated_share=None if limit is None or not len(used) else float((used > limit).mean()),
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}
    for name in _EXTRAS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def machine() -> dict[str, str]:
    """What the timings were measured on."""
    facts = {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts
