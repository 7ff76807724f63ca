"""A model as mteb sees one."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from gistembed.console import Console
from gistembed.evaluate.runs.encoder import embed_for
from gistembed.evaluate.runs.settings import ModelToScore
from gistembed.evaluate.tasks.kinds import Use
from gistembed.models import EmbeddingModel

_USES: Mapping[str | None, Use] = {"query": "query", "document": "document", None: "text"}


class StandardEncoder:
    """Follows mteb's encoder protocol: the same embeddings, with the same prompts, as own data has.

    Similarities are cosines, as everywhere here.
    """

    def __init__(self, found: ModelToScore, model: EmbeddingModel, console: Console) -> None:
        """Wrap a model.

        Args:
            found: The model's place and settings.
            model: The model.
            console: Where progress is shown.
        """
        from mteb.models import ModelMeta

        self.found = found
        self.model = model
        self._console = console
        self.mteb_model_meta: Any = ModelMeta.create_empty(
            {
                "name": found.name,
                "revision": found.revision,
                "n_parameters": model.parameters,
                "max_tokens": model.max_length,
                "embed_dim": model.dimensions,
            }
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,  # noqa: ANN401 — mteb's
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,  # noqa: ANN401 — mteb's
        **kwargs: Any,  # noqa: ANN401 — mteb's
    ) -> np.ndarray:
        """Embeddings of texts.

        Args:
            inputs: Batches that hold texts.
            task_metadata: The task.
            hf_split: Split of the task.
            hf_subset: Subset of the split.
            prompt_type: Whether these are queries or documents; None for neither.
            kwargs: What else mteb passes on; the model has its own sizes of batches.
        """
        texts = [text for batch in inputs for text in batch["text"]]
        use = _USES[None if prompt_type is None else prompt_type.value]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        names = [task_metadata.name, task_metadata.type]
        with self._console.stage(task_metadata.name, len(places), passing=True) as progress:
            vectors = embed_for(self.model, self.found.settings.prompts, names, list(places), use, progress)
        return vectors[[places[text] for text in texts]]

    def similarity(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:  # noqa: ANN401 — any array
        """The cosine of each of some embeddings with each of others.

        Args:
            embeddings1: Embeddings.
            embeddings2: The others.
        """
        return _unit(embeddings1) @ _unit(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:  # noqa: ANN401
        """The cosine of each of some embeddings with its partner.

        Args:
            embeddings1: Embeddings.
            embeddings2: Their partners.
        """
        return (_unit(embeddings1) * _unit(embeddings2)).sum(dim=1)


def _unit(vectors: Any) -> torch.Tensor:  # noqa: ANN401
    rows = torch.as_tensor(vectors).float()
    return torch.nn.functional.normalize(rows.reshape(-1, rows.shape[-1]), dim=1)
