"""A graph as an ONNX file, by PyTorch's own exporter, and run by ONNX Runtime."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from gistembed.errors import UserError
from gistembed.weights.exporting.graph import OUTPUT, EmbeddingGraph

GRAPH_NAME = "model.onnx"
_ADVICE = "--to onnx needs ONNX; run `pip install 'gistembed[onnx]'`"


def write_onnx(graph: EmbeddingGraph, example: tuple[Any, ...], path: Path, *, int8: bool) -> None:
    """Write a graph that takes any number of texts of any length.

    Args:
        graph: The model.
        example: Tensors that it takes.
        path: The file.
        int8: Whether weights are kept in int8, and products made in it.

    Raises:
        UserError: If ONNX isn't there, or can't say what the model does.
        OSError: If the disk refuses.
    """
    import torch

    try:
        import onnx  # noqa: F401 — asked for here, so that the line below is the one that a user sees
        import onnxscript  # noqa: F401
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise UserError(_ADVICE) from error
    free = torch.export.Dim.DYNAMIC
    target = path.with_suffix(".float32.onnx") if int8 else path
    with _silence(), torch.no_grad():
        torch.onnx.export(
            graph,
            example,
            target,
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=graph.inputs,
            output_names=[OUTPUT],
            dynamic_shapes={"tensors": tuple({0: free, 1: free} for _ in example)},
        )
        if int8:
            quantize_dynamic(target, path, weight_type=QuantType.QInt8, per_channel=True)
            target.unlink()


def open_onnx(
    path: Path,
) -> "Callable[[Mapping[str, Int64[np.ndarray, 'texts tokens']]], Float32[np.ndarray, 'texts dim']]":
    """A function that embeds what a tokenizer gives.

    Args:
        path: The file.

    Raises:
        UserError: If ONNX Runtime isn't there, or can't read the file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(_ADVICE) from error
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    # It has an exception for each of its own codes.
    except Exception as error:
        raise UserError(f"{path}: ONNX Runtime can't read it: {str(error).splitlines()[0]}") from error

    def embed(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        (embeddings,) = session.run([OUTPUT], dict(inputs))
        return np.asarray(embeddings, np.float32)

    return embed


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without what the exporter says on the way: of packages that it doesn't need, and of its own code."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
