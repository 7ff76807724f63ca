"""Some texts through a student with and without padding: embeddings and gradients have to be the same."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from gistembed.batches import TokenCache, texts_by_role
from gistembed.errors import UserError
from gistembed.loss.kernel import tf32_allowed
from gistembed.models import EmbeddingModel, ran_out_of_memory
from gistembed.pairs import Pairs
from gistembed.terms import Role
from gistembed.train.encoder import Features
from gistembed.train.packing.switch import PackingError

# Texts that are read with and without padding, out of so many rows: from the shortest to the longest.
_TRIED_TEXTS, _TRIED_ROWS = 8, 1000
# How far apart the embedding of a text, and its gradient, may be with and without padding, relative to their
# length: in float32, where matrices may be multiplied in fewer bits or not …
_ROUNDING, _ROUNDING_OF_FEWER_BITS = 1e-3, 1e-2
# … and in 16 bits, from those in float32, as a multiple of how far they are with padding.
_AS_FAR = 3


def computes_in(arguments: SentenceTransformerTrainingArguments) -> torch.dtype:
    """What the layers of a student compute in.

    Args:
        arguments: The trainer's arguments.
    """
    if arguments.bf16:
        return torch.bfloat16
    return torch.float16 if arguments.fp16 else torch.float32


def difference(
    student: EmbeddingModel,
    model: SentenceTransformer,
    pairs: Pairs,
    padded: TokenCache,
    packed: TokenCache,
    dtype: torch.dtype,
) -> str | None:
    """What goes wrong without padding; None if each text's embedding and gradient are those with padding.

    Args:
        student: The student.
        model: Its model, or the copy of it that is trained, which reads both kinds.
        pairs: The training pairs.
        padded: What the student reads for them, with padding.
        packed: The same without.
        dtype: What its layers compute in; they are tried in float32, too.

    Raises:
        UserError: If the accelerator fails.
    """
    training = model.training
    try:
        for role, texts in _tried(student, pairs, padded).items():
            found = _compared(model, padded.features(texts, role), packed.features(texts, role), dtype)
            if found is not None:
                return found
    finally:
        model.train(training)
    return None


def _tried(
    student: EmbeddingModel, pairs: Pairs, tokens: TokenCache
) -> dict[Role, Int64[np.ndarray, " texts"]]:
    """Some texts of each role, from the shortest to the longest of rows from all over the pairs."""
    some = pairs.take(np.unique(np.linspace(0, len(pairs) - 1, _TRIED_ROWS).astype(int)))
    texts = texts_by_role(student, some.anchors, np.concatenate([some.positives, some.negative_ids]))
    tried = {}
    for role, ids in texts.items():
        by_length = ids[np.argsort(tokens.lengths[ids], kind="stable")]
        tried[role] = by_length[np.unique(np.linspace(0, len(ids) - 1, _TRIED_TEXTS).astype(int))]
    return tried


def _compared(
    model: SentenceTransformer, padded: Features, packed: Features, dtype: torch.dtype
) -> str | None:
    """What goes wrong with some texts; None if nothing does."""
    dtypes = [*dict.fromkeys([torch.float32, dtype])]
    right = {one: _read(model, padded, one) for one in dtypes}
    try:
        found = {one: _read(model, packed, one) for one in dtypes}
        # Dropout, and layers that are computed again, may ask for other kernels.
        in_training = _read(model, packed, dtype, training=True)
    # Models fail in many ways where inputs look unlike those that they were written for.
    except Exception as error:
        if isinstance(error, RuntimeError) and ran_out_of_memory(error):
            raise
        line = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, torch.AcceleratorError):
            # It computes nothing more in this process.
            raise UserError(
                f"the accelerator failed without padding: {line}; set padding_free = false"
            ) from error
        return line if isinstance(error, PackingError) else f"fails without padding: {line}"
    rounding = _ROUNDING_OF_FEWER_BITS if tf32_allowed() else _ROUNDING
    for one in dtypes:
        for what, exact in right[torch.float32].items():
            size, apart = exact.norm(dim=1), (found[one][what] - exact).norm(dim=1)
            limit = rounding * size + _AS_FAR * (right[one][what] - exact).norm(dim=1)
            # Written so that what is no number is too much.
            if not bool((apart <= limit).all()):
                bits, share = str(one).removeprefix("torch."), float((apart / size).max())
                return f"has other {what} without padding in {bits} ({share:.1g} of their length apart)"
    for what, numbers in in_training.items():
        if not bool(numbers.isfinite().all()):
            return f"has no finite {what} without padding in training"
    return None


def _read(
    model: SentenceTransformer, features: Features, dtype: torch.dtype, *, training: bool = False
) -> dict[str, Float[Tensor, "texts numbers"]]:
    """The embeddings of texts, and for each text the gradient of a function of them by its tokens' vectors.

    Tokens that a text has less than others have the gradient 0.
    """
    device = model.device
    features = {
        name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()
    }
    vectors: list[Tensor] = []

    def as_inputs(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        vectors.append(output.detach().requires_grad_())
        return vectors[-1]

    transformer = model.transformers_model
    assert transformer is not None, "others have a reason to pad"
    hook = transformer.get_input_embeddings().register_forward_hook(as_inputs)
    model.train(training)
    try:
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.enable_grad(),
            torch.autocast(device.type, dtype, enabled=dtype != torch.float32),
        ):
            embeddings: Tensor = model(dict(features))["sentence_embedding"].float()
            directions = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0))
            of_function = (embeddings * directions.to(device)).sum()
            gradient = torch.autograd.grad(of_function, vectors, allow_unused=True, materialize_grads=True)[0]
    finally:
        hook.remove()
    mask = features.get("attention_mask")
    of_tokens = gradient.flatten(0, 1) if mask is None else gradient[mask.bool()]
    counts = features["cu_seq_lens_q"].diff() if mask is None else mask.sum(1)
    of_texts = pad_sequence([*torch.split(of_tokens, counts.tolist())], batch_first=True)
    return {"embeddings": embeddings.detach(), "gradients": of_texts.flatten(1)}
