"""A whole model as one function of tensors: tokens in, embeddings out, pooling and normalisation included."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from sentence_transformers import SentenceTransformer
from torch import Tensor

from gistembed.errors import UserError
from gistembed.models import EmbeddingModel

OUTPUT = "sentence_embedding"
# Texts of unequal lengths, and more of them than one: what is traced on them serves every shape.
_EXAMPLE = ["a text", "another text, which is longer", "a third"]


class EmbeddingGraph(torch.nn.Module):
    """All modules of a model, one after another.

    Attributes:
        inputs: What the tensors are called, in order.
    """

    def __init__(self, modules: list[torch.nn.Module], inputs: list[str]) -> None:
        """Take the modules of a model.

        Args:
            modules: Each takes features by name and gives them on.
            inputs: What the tensors are called, in order.
        """
        super().__init__()
        self.steps = torch.nn.ModuleList(modules)
        self.inputs = inputs

    def forward(self, *tensors: Int64[Tensor, "texts tokens"]) -> Float[Tensor, "texts dim"]:
        """Embeddings of texts.

        Args:
            tensors: The inputs in order.
        """
        features: dict[str, Any] = dict(zip(self.inputs, tensors, strict=True))
        for step in self.steps:
            features = step(features)
        embeddings: Tensor = features[OUTPUT]
        return embeddings


class MeanOfTokens(torch.nn.Module):
    """What a static model does, with texts filled up to one length and a mask in the place of offsets."""

    def __init__(self, weight: Float[Tensor, "vocabulary dim"]) -> None:
        """Take the vectors of the vocabulary."""
        super().__init__()
        self.weight = weight

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mean over the tokens of each text; zeros for a text without any."""
        mask = features["attention_mask"].unsqueeze(-1).to(self.weight.dtype)
        vectors = torch.nn.functional.embedding(features["input_ids"], self.weight)
        return features | {OUTPUT: (vectors * mask).sum(1) / mask.sum(1).clamp(min=1)}


def embedding_graph(
    model: EmbeddingModel,
) -> tuple[EmbeddingGraph, tuple[Int64[Tensor, "texts tokens"], ...]]:
    """A model as one function of tensors, and an example of what it takes.

    Args:
        model: The model, on the CPU, without adapter.

    Raises:
        UserError: If it is of a kind that can't be one function.
    """
    library_model: SentenceTransformer = model.model
    modules: list[Any] = list(library_model)
    first, others = modules[0], modules[1:]
    if model.has_branches:
        raise UserError(
            f"MODEL {model.name}: each role has a branch of its own, which is no single graph; "
            "export with --to torch"
        )
    if model.kind not in ("transformer", "static"):
        raise UserError(
            f"MODEL {model.name}: a {model.kind} model; only transformers and static models can be "
            "exported to onnx and openvino"
        )
    if any(getattr(module, "include_prompt", True) is False for module in others) and any(
        model.prompts.values()
    ):
        raise UserError(
            f"MODEL {model.name}: its pooling leaves the prompt out, which the graph can't tell from the text"
        )
    if model.kind == "static":
        ids = torch.tensor([[0, 1, 2], [1, 0, 0]])
        graph = EmbeddingGraph(
            [MeanOfTokens(first.embedding.weight), *others], ["input_ids", "attention_mask"]
        )
        return graph.eval(), (ids, torch.tensor([[1, 1, 1], [1, 0, 0]]))
    features = library_model.preprocess(_EXAMPLE)
    tensors = {name: value for name, value in features.items() if isinstance(value, Tensor)}
    return EmbeddingGraph([first, *others], list(tensors)).eval(), tuple(tensors.values())
