"""A loaded model: what its embeddings depend on, and texts embedded by role."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Float32, Int32

from gistembed.errors import UserError
from gistembed.models.memory import memory_errors
from gistembed.terms import Role

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ROLES: tuple[Role, ...] = get_args(Role)
TASKS: dict[Role, Literal["query", "document"]] = {"anchor": "query", "document": "document"}
_EMBED_BLOCK = 1024
# Tokens, padding included, that are embedded at a time: enough to keep the cores busy, and little memory.
_TOKENS_AT_ONCE = 4096
_TOKENS_AT_ONCE_ON_ACCELERATOR = 65_536
_MOST_TEXTS_AT_ONCE = 1024
# Tokenizers without a limit say so by a number that no text reaches: infinity, 1e30 or the like.
_NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class EmbeddingModel:
    """A loaded model, with all that its embeddings depend on.

    Attributes:
        name: Folder or hub name, as the user gave it.
        identity: xxh3-128 over the model's files.
        model: The sentence-transformers model.
        prompts: What is put before each text, by role.
    """

    name: str
    identity: str
    model: "SentenceTransformer"
    prompts: Mapping[Role, str]

    @property
    def kind(self) -> str:
        """``transformer``, ``static`` or the class name of the first module in lower case."""
        name = type(self.model[0]).__name__
        return {"Transformer": "transformer", "StaticEmbedding": "static"}.get(name, name.lower())

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        size = self.model.get_embedding_dimension()
        assert size is not None, "a sentence-transformers model knows the size of its embeddings"
        return size

    @property
    def max_length(self) -> int | None:
        """Longest input in tokens; None if there is no limit."""
        limit = self.model.max_seq_length
        return None if limit is None or limit >= _NO_LIMIT else int(limit)

    @property
    def has_branches(self) -> bool:
        """Whether each role has a branch of its own."""
        return has_branches(self.model)

    @property
    def roles_share_vectors(self) -> bool:
        """Whether a text has the same embedding in every role."""
        return roles_share_vectors(self.model, self.prompts)

    def with_settings(
        self,
        *,
        option: str,
        prompts: Mapping[Role, str] | None = None,
        max_length: int | None = None,
        dimensions: int | None = None,
    ) -> "EmbeddingModel":
        """The same weights, set to other prompts, another limit or fewer dimensions.

        Args:
            option: What the user calls this model on the command line, for messages: ``--student``.
            prompts: Prompts by role that replace the model's own.
            max_length: Longest input in tokens, in place of the model's own.
            dimensions: How many of the first numbers of an embedding to keep; all by default.

        Raises:
            UserError: If the model can't be set so.
        """
        if max_length is not None:
            if max_length < 1:
                raise UserError(f"{option} {self.name}: a maximum length of {max_length} leaves no token")
            positions = getattr(getattr(self.model[0], "config", None), "max_position_embeddings", None)
            if positions is not None and max_length > positions:
                raise UserError(
                    f"{option} {self.name}: reads at most {positions} tokens; "
                    "choose a maximum length up to that"
                )
            try:
                self.model.max_seq_length = max_length
            except AttributeError as error:
                raise UserError(
                    f"{option} {self.name}: reads texts of any length; leave its maximum length out"
                ) from error
        if dimensions is not None:
            if not 1 <= dimensions <= self.dimensions:
                raise UserError(
                    f"{option} {self.name}: its vectors have {self.dimensions} numbers; "
                    "choose from 1 to so many dimensions"
                )
            self.model.truncate_dim = dimensions
        resolved = dict(self.prompts) | dict(prompts or {})
        # In the model itself under the names that its users' code asks for, so that they are saved with it.
        self.model.prompts |= {TASKS[role]: prompt for role, prompt in resolved.items()}
        return replace(self, prompts=resolved)

    def embed(
        self,
        texts: Sequence[str],
        role: Role,
        on_progress: Callable[[int], None] = lambda count: None,
        *,
        normalised: bool = True,
    ) -> Float32[np.ndarray, "texts dim"]:
        """Embeddings of raw texts; inference only.

        Args:
            texts: Raw texts.
            role: Which prompt (and which branch of an asymmetric model) to use.
            on_progress: Called with the number of texts done since the call before.
            normalised: Whether they have length 1, and not the length that the model gives them.

        Raises:
            UserError: If memory runs out.
        """
        result = np.empty((len(texts), self.dimensions), dtype=np.float32)
        lengths = self.input_lengths(texts, role)
        for batch, vectors in self.embed_batches(texts, role, lengths, normalised=normalised):
            result[batch] = vectors
            on_progress(len(batch))
        return result

    def embed_batches(
        self,
        texts: Sequence[str],
        role: Role,
        lengths: Int32[np.ndarray, " texts"] | None,
        *,
        normalised: bool = True,
    ) -> Iterator[tuple[list[int], Float32[np.ndarray, "batch dim"]]]:
        """Embeddings of raw texts, batch by batch; inference only.

        Texts of like length meet, as many as make up a number of tokens. The longest come first, so that an
        estimate errs on the safe side and lack of memory shows at once. Which texts meet is a function of the
        texts alone; and if the first batches are left out, the others stay what they are.

        Args:
            texts: Raw texts.
            role: Which prompt (and which branch of an asymmetric model) to use.
            lengths: What `input_lengths` says of these texts.
            normalised: Whether they have length 1, and not the length that the model gives them.

        Yields:
            Which texts, by their place, and their embeddings.

        Raises:
            UserError: If memory runs out.
        """
        encode = self.model.encode_query if role == "anchor" else self.model.encode_document
        for batch in self._batches(texts, lengths):
            with memory_errors(f"choose a smaller maximum length for {self.name}"):
                vectors = encode(
                    [texts[i] for i in batch],
                    prompt=self.prompts[role],
                    batch_size=len(batch),
                    show_progress_bar=False,
                    normalize_embeddings=normalised,
                )
            yield batch, np.asarray(vectors, dtype=np.float32)

    def _batches(
        self, texts: Sequence[str], lengths: Int32[np.ndarray, " texts"] | None
    ) -> Iterator[list[int]]:
        if lengths is None:
            longest_first = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
            for start in range(0, len(texts), _EMBED_BLOCK):
                yield longest_first[start : start + _EMBED_BLOCK]
            return
        order = np.argsort(-lengths, kind="stable").tolist()
        lengths = np.minimum(lengths, self.max_length or _NO_LIMIT)
        on_cpu = self.model.device.type == "cpu"
        tokens = _TOKENS_AT_ONCE if on_cpu else _TOKENS_AT_ONCE_ON_ACCELERATOR
        start = 0
        while start < len(order):
            size = min(max(tokens // max(int(lengths[order[start]]), 1), 1), _MOST_TEXTS_AT_ONCE)
            yield order[start : start + size]
            start += size

    def inputs(self, texts: Sequence[str], role: Role) -> Mapping[str, Any]:
        """What the model's forward pass takes for raw texts in a role, as its own preprocessing gives it.

        Args:
            texts: Raw texts.
            role: Which prompt (and which branch of an asymmetric model) to use.
        """
        features: Mapping[str, Any] = self.model.preprocess(
            list(texts), prompt=self.prompts[role], task=TASKS[role]
        )
        return features

    def input_lengths(
        self, texts: Sequence[str], role: Role, on_progress: Callable[[int], None] = lambda count: None
    ) -> Int32[np.ndarray, " texts"] | None:
        """Tokens that the model reads for each text in a role, nothing cut off.

        The prompt and the special tokens count; None for a model that pads no texts.

        Args:
            texts: Raw texts.
            role: Which prompt to count with each text.
            on_progress: Called with the number of texts counted since the call before.
        """
        prompt = self.prompts[role]
        return self.token_lengths([prompt + text for text in texts] if prompt else texts, on_progress)

    def token_lengths(
        self, texts: Sequence[str], on_progress: Callable[[int], None] = lambda count: None
    ) -> Int32[np.ndarray, " texts"] | None:
        """Tokens of each text with special tokens, nothing cut off; None for a model that pads no texts.

        The prompts are left out.

        Args:
            texts: Raw texts.
            on_progress: Called with the number of texts counted since the call before.
        """
        from transformers import PreTrainedTokenizerBase

        tokenizer = self.model.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            return None
        lengths: list[int] = []
        for start in range(0, len(texts), _EMBED_BLOCK):
            block = list(texts[start : start + _EMBED_BLOCK])
            lengths += tokenizer(block, truncation=False, padding=False, return_length=True, verbose=False)[
                "length"
            ]
            on_progress(len(block))
        return np.array(lengths, dtype=np.int32)


def roles_share_vectors(model: "SentenceTransformer", prompts: Mapping[Role, str]) -> bool:
    """Whether a text has the same embedding in every role.

    Args:
        model: The model.
        prompts: What it reads before a text, by role.
    """
    return prompts["anchor"] == prompts["document"] and not has_branches(model)


def has_branches(model: "SentenceTransformer") -> bool:
    """Whether each role has a branch of its own.

    Args:
        model: The model.
    """
    return type(model[0]).__name__ == "Router"
