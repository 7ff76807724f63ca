"""An exported model, read back: its own tokenizer and graph, and nothing of PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64
from pydantic import ValidationError

from gistembed.errors import UserError
from gistembed.terms import Role
from gistembed.weights.records import ExportRecord

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RECORD_NAME = "export.json"
TOKENIZER_NAME = "tokenizer.json"
_TEXTS_AT_ONCE = 32


class ExportedModel:
    """A graph of ONNX or OpenVINO with its tokenizer.

    Attributes:
        record: What it is.
    """

    def __init__(self, folder: Path, record: ExportRecord) -> None:
        """Open tokenizer and graph.

        Args:
            folder: Where both are.
            record: What the folder holds.

        Raises:
            UserError: If what runs it isn't there, or the graph can't be read.
        """
        self.record = record
        self._tokenizer = _tokenizer(folder / TOKENIZER_NAME, record)
        self._run = _opener(record)(folder / (record.graph or ""))

    def embed(self, texts: Sequence[str], role: Role) -> Float32[np.ndarray, "texts dim"]:
        """Embeddings of raw texts, as the model's ``encode`` gives them: normalised if the model does so.

        Args:
            texts: Raw texts.
            role: Whose prompt to put before them.
        """
        prompt = self.record.prompts[role]
        blocks = [
            self._run(self.inputs([prompt + text for text in texts[start : start + _TEXTS_AT_ONCE]]))
            for start in range(0, len(texts), _TEXTS_AT_ONCE)
        ]
        return np.concatenate(blocks) if blocks else np.empty((0, self.record.dimensions), np.float32)

    def inputs(self, texts: Sequence[str]) -> Mapping[str, Int64[np.ndarray, "texts tokens"]]:
        """What the graph takes for texts that have their prompts already.

        Args:
            texts: The texts.
        """
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=self.record.special_tokens)
        every = {
            "input_ids": [one.ids for one in found],
            "attention_mask": [one.attention_mask for one in found],
            "token_type_ids": [one.type_ids for one in found],
        }
        return {name: np.array(every[name], np.int64).reshape(len(texts), -1) for name in self.record.inputs}


def load_exported(folder: Path) -> ExportedModel:
    """Open what `gistembed export` wrote for ONNX or OpenVINO.

    Args:
        folder: The folder.

    Raises:
        UserError: If it isn't one, or what runs it isn't there.
    """
    path = folder / RECORD_NAME
    try:
        record = ExportRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{folder}: holds no model that `gistembed export` of this version wrote") from error
    if record.graph is None:
        raise UserError(f"{folder}: a model for PyTorch; load it with `SentenceTransformer`")
    return ExportedModel(folder, record)


def _opener(record: ExportRecord) -> "Callable[[Path], Callable[[Mapping[str, np.ndarray]], np.ndarray]]":
    if record.format == "onnx":
        from gistembed.weights.exporting.onnx_files import open_onnx

        return open_onnx
    from gistembed.weights.exporting.openvino_files import open_openvino

    return open_openvino


def _tokenizer(path: Path, record: ExportRecord) -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    if record.max_length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(record.max_length)
    tokenizer.enable_padding(pad_id=record.pad_id)
    return tokenizer
