"""A sentence-transformers model as a guide, loaded only when a text has to be encoded."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Int32

from gistembed.errors import UserError
from gistembed.guide.store.manifest import GuideFacts
from gistembed.models import EmbeddingModel, load_model, release_memory
from gistembed.terms import Backend, Role


class ModelGuide:
    """A model that need not be in memory to be known.

    Attributes:
        name: Folder or hub name, as the user gave it.
        identity: xxh3-128 over the model's files.
        facts: What the model is by itself.
        prompts: What is put before each text, by role.
    """

    def __init__(
        self,
        name: str,
        identity: str,
        facts: GuideFacts | None,
        *,
        prompts: Mapping[Role, str] | None = None,
        max_length: int | None = None,
        dimensions: int | None = None,
        backend: Backend = "torch",
        device: str | None = None,
    ) -> None:
        """Take what is known about the model; it is loaded now only if nothing is.

        Args:
            name: Folder or hub name.
            identity: xxh3-128 over the model's files.
            facts: What the model is by itself, as it was found before; None to ask it.
            prompts: Prompts by role that replace the model's own.
            max_length: Longest input in tokens, in place of the model's own.
            dimensions: How many of the first numbers of a vector to keep; all by default.
            backend: What runs it; all but torch run it on the CPU.
            device: Where it runs, as torch names it; an accelerator if there is one, by default.

        Raises:
            UserError: If nothing is known and the model can't be loaded.
        """
        self.name = name
        self.identity = identity
        self._given_prompts = dict(prompts or {})
        self._max_length = max_length
        self._dimensions = dimensions
        self._backend = backend
        self._device = device if backend == "torch" else "cpu"
        self._model: EmbeddingModel | None = None
        self.facts = facts or self._asked()
        self.prompts: Mapping[Role, str] = dict(self.facts.prompts) | self._given_prompts

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    @property
    def kind(self) -> str:
        """See `EmbeddingModel.kind`."""
        return self.facts.kind

    @property
    def parameters(self) -> int | None:
        """Number of parameters."""
        return self.facts.parameters

    @property
    def roles_share_vectors(self) -> bool:
        """Whether a text has the same vector in every role."""
        return not self.facts.branches and self.prompts["anchor"] == self.prompts["document"]

    @property
    def max_length(self) -> int | None:
        """Longest input in tokens; None if there is no limit."""
        return self.facts.max_length if self._max_length is None else self._max_length

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self.facts.dimensions if self._dimensions is None else self._dimensions

    def load(self) -> EmbeddingModel:
        """The model, in memory from now on.

        Raises:
            UserError: If it can't be loaded, or isn't what was known about it.
        """
        if self._model is None:
            facts = self._asked()
            if facts != self.facts:
                raise UserError(
                    f"--guide {self.name}: is not what the store knows about it, perhaps because a library "
                    "changed; choose another --store"
                )
        assert self._model is not None
        return self._model

    def unload(self) -> None:
        """Give its memory back; it is loaded again if it has to encode once more."""
        if self._model is not None:
            device = self._model.model.device
            self._model = None
            release_memory(device)

    def input_lengths(
        self, texts: Sequence[str], role: Role, on_progress: Callable[[int], None] = lambda count: None
    ) -> Int32[np.ndarray, " texts"] | None:
        """See `EmbeddingModel.input_lengths`."""
        return self.load().input_lengths(texts, role, on_progress)

    def embed_batches(
        self, texts: Sequence[str], role: Role, lengths: Int32[np.ndarray, " texts"] | None
    ) -> Iterator[tuple[list[int], Float32[np.ndarray, "batch dim"]]]:
        """See `EmbeddingModel.embed_batches`."""
        return self.load().embed_batches(texts, role, lengths)

    def _asked(self) -> GuideFacts:
        """What the model says of itself; it is in memory afterwards, with the settings of this guide."""
        own = load_model(self.name, option="--guide", device=self._device)
        facts = GuideFacts(
            own.kind, own.parameters, own.dimensions, own.max_length, dict(own.prompts), own.has_branches
        )
        self._model = own.with_settings(
            option="--guide",
            prompts=self._given_prompts,
            max_length=self._max_length,
            dimensions=self._dimensions,
        )
        if self._backend != "torch":
            from gistembed.guide.scorers.compiled import compile_transformer

            compile_transformer(self._model, self._backend)
        return facts
