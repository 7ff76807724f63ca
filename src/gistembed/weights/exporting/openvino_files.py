"""A graph as OpenVINO's own files, and run by it on the CPU."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from gistembed.errors import UserError
from gistembed.guide.scorers.compiled import compiled_for_cpu, openvino_model, silence
from gistembed.weights.exporting.graph import EmbeddingGraph

GRAPH_NAME = "openvino_model.xml"
_ADVICE = "--to openvino needs OpenVINO; run `pip install 'gistembed[openvino]'`"


def write_openvino(graph: EmbeddingGraph, example: tuple[Any, ...], path: Path, *, int8: bool) -> None:
    """Write a graph that takes any number of texts of any length, and its weights beside it.

    Args:
        graph: The model.
        example: Tensors that it takes.
        path: The file, ending in ``.xml``.
        int8: Whether weights are kept in int8.

    Raises:
        UserError: If OpenVINO isn't there.
    """
    try:
        with silence():
            import openvino

            converted = openvino_model(graph, example, int8=int8)
            for port, name in zip(converted.inputs, graph.inputs, strict=True):
                port.get_tensor().set_names({name})
            openvino.save_model(converted, path, compress_to_fp16=False)
    except ImportError as error:
        raise UserError(_ADVICE) from error


def open_openvino(
    path: Path,
) -> "Callable[[Mapping[str, Int64[np.ndarray, 'texts tokens']]], Float32[np.ndarray, 'texts dim']]":
    """A function that embeds what a tokenizer gives.

    Args:
        path: The file, ending in ``.xml``.

    Raises:
        UserError: If OpenVINO isn't there, or can't read the file.
    """
    try:
        with silence():
            compiled = compiled_for_cpu(path)
    except ImportError as error:
        raise UserError(_ADVICE) from error
    except RuntimeError as error:
        raise UserError(f"{path}: OpenVINO can't read it: {str(error).strip().splitlines()[0]}") from error

    def embed(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.array(compiled(dict(inputs))[0], np.float32)

    return embed
