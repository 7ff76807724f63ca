"""A model written for another program, and let stand only if that gives the same embeddings."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from gistembed.errors import UserError
from gistembed.files import library_writes, whole_folder
from gistembed.models import ROLES, EmbeddingModel, load_model
from gistembed.terms import Role
from gistembed.weights.adapters import has_adapter, merge_adapter
from gistembed.weights.card import export_card
from gistembed.weights.exporting.compare import ALLOWED, differences, refuse_difference
from gistembed.weights.exporting.exported import RECORD_NAME, TOKENIZER_NAME, ExportedModel, load_exported
from gistembed.weights.exporting.graph import embedding_graph
from gistembed.weights.exporting.probes import probe_texts
from gistembed.weights.folder import save_plain, write_texts
from gistembed.weights.records import ExportFormat, ExportRecord, Precision

_LIBRARIES: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": ("torch", "transformers", "onnx", "onnxruntime"),
    "openvino": ("torch", "transformers", "openvino"),
    "torch": ("torch", "transformers", "sentence-transformers"),
}


def export_model(
    name: str,
    out: Path,
    to: ExportFormat,
    *,
    merge: bool = False,
    int8: bool = False,
    texts: Path | None = None,
) -> ExportRecord:
    """Export a model, and compare the embeddings of what was written with its own.

    For ONNX and OpenVINO the folder holds one graph from tokens to embeddings, pooling and normalisation
    included, with the tokenizer beside it; an adapter is merged. For PyTorch it holds what
    sentence-transformers saves: of a model with an adapter the adapter alone, or with ``merge`` a plain
    model.

    Args:
        name: Folder or hub name of the model.
        out: The new folder.
        to: What is to run it.
        merge: Whether an adapter is merged into the weights.
        int8: Whether the weights are kept in int8.
        texts: A file of texts to compare on besides the built-in ones, one a line.

    Raises:
        UserError: If the model can't be exported so, or what was exported gives other embeddings; nothing is
            left then.
        OSError: If the disk refuses; nothing is left then.
    """
    if int8 and to == "torch":
        raise UserError("--int8: for onnx and openvino; sentence-transformers has no weights in int8")
    probes = probe_texts(texts)
    model = load_model(name, option="MODEL", device="cpu")
    adapted = has_adapter(model)
    if merge and not adapted:
        raise UserError(f"--merge: {name} has no adapter; leave it out")
    expected = {role: raw_embeddings(model, probes, role) for role in ROLES}
    merged = adapted and (merge or to != "torch")
    if merged:
        merge_adapter(model)
    record = _record(model, to, merged=merged, precision="int8" if int8 else "float32", probes=len(probes))
    with whole_folder(out) as partial, library_writes(partial):
        if to == "torch":
            save_plain(model, partial)
            again: EmbeddingModel | ExportedModel = load_model(partial, option="--out", device="cpu")
        else:
            record = _write_graph(model, partial, record)
            again = load_exported(partial)
        found = {role: raw_embeddings(again, probes, role) for role in ROLES}
        shares = _worst(expected, found)
        refuse_difference(probes, shares, record.precision, f"--out {out}")
        record = record.model_copy(update={"largest_difference": float(shares.max())})
        beside = {"README.md": export_card(record, _example(record))}
        # What sentence-transformers saves needs no word of ours to be loaded.
        if to != "torch":
            beside[RECORD_NAME] = record.model_dump_json(indent=2)
        write_texts(partial, beside)
    return record


def raw_embeddings(
    model: EmbeddingModel | ExportedModel, texts: Sequence[str], role: Role
) -> Float32[np.ndarray, "texts dim"]:
    """Embeddings as a model's modules give them; normalised only if one of them does so.

    Args:
        model: The model, or its export.
        texts: Raw texts.
        role: Whose prompt to put before them.
    """
    if isinstance(model, ExportedModel):
        return model.embed(texts, role)
    encode = model.model.encode_query if role == "anchor" else model.model.encode_document
    found = encode(list(texts), prompt=model.prompts[role], show_progress_bar=False, batch_size=32)
    return np.asarray(found, dtype=np.float32)


def _worst(expected: dict[Role, np.ndarray], found: dict[Role, np.ndarray]) -> Float64[np.ndarray, " texts"]:
    """The larger of each text's differences in the two roles."""
    anchors, documents = (differences(expected[role], found[role]) for role in ROLES)
    worst: Float64[np.ndarray, " texts"] = np.maximum(anchors, documents)
    return worst


def _write_graph(model: EmbeddingModel, folder: Path, record: ExportRecord) -> ExportRecord:
    """Write the tokenizer, the graph and the record, complete now but for the check."""
    graph, example = embedding_graph(model)
    tokenizer = model.model.tokenizer
    if model.kind == "static":
        tokenizer.save(str(folder / TOKENIZER_NAME))
    else:
        tokenizer.save_pretrained(str(folder))
    if not (folder / TOKENIZER_NAME).is_file():
        raise UserError(
            f"MODEL {model.name}: its tokenizer can't be written as {TOKENIZER_NAME}; "
            "only those of the tokenizers library can"
        )
    if record.format == "onnx":
        from gistembed.weights.exporting.onnx_files import write_onnx as write
    else:
        from gistembed.weights.exporting.openvino_files import write_openvino as write
    assert record.graph is not None, "these formats have one"
    write(graph, example, folder / record.graph, int8=record.precision == "int8")
    complete = record.model_copy(update={"inputs": graph.inputs})
    write_texts(folder, {RECORD_NAME: complete.model_dump_json(indent=2)})
    return complete


def _record(
    model: EmbeddingModel, to: ExportFormat, *, merged: bool, precision: Precision, probes: int
) -> ExportRecord:
    pad_id = getattr(model.model.tokenizer, "pad_token_id", None)
    return ExportRecord(
        model=model.name,
        identity=model.identity,
        kind=model.kind,
        format=to,
        precision=precision,
        merged=merged,
        graph={"onnx": "model.onnx", "openvino": "openvino_model.xml", "torch": None}[to],
        inputs=[],
        dimensions=model.dimensions,
        max_length=model.max_length,
        pad_id=pad_id or 0,
        special_tokens=model.kind != "static",
        prompts=dict(model.prompts),
        probes=probes,
        largest_difference=0.0,
        allowed_difference=ALLOWED[precision],
        versions={library: version(library) for library in _LIBRARIES[to]},
    )


def _example(record: ExportRecord) -> str:
    """Code that embeds a text."""
    if record.graph is None:
        return (
            "from sentence_transformers import SentenceTransformer\n\n"
            'SentenceTransformer("this/folder").encode(["a text"])'
        )
    return (
        "from pathlib import Path\n\nfrom gistembed.weights import load_exported\n\n"
        'load_exported(Path("this/folder")).embed(["a text"], "document")'
    )
