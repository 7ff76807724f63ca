"""Whether a student trains without padding: where it is wanted, can be had and gives the same."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn

from gistembed.batches import TokenCache, texts_by_role
from gistembed.errors import UserError
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.ranks import any_of_all
from gistembed.train.packing.switch import PADDED, PackingError, attentions, reads_packed

# Texts that are read with and without padding, out of so many rows: from the shortest to the longest.
_TRIED_TEXTS, _TRIED_ROWS = 8, 1000
# How far embeddings and gradients may be apart, relative to their length: in 16 bits two roundings of deep
# models. A position or a text that is mistaken shows in float32, where GPUs may multiply in fewer bits.
_ROUNDING = {torch.float32: 1e-2, torch.bfloat16: 0.1, torch.float16: 0.1}


@contextmanager
def texts_of_training(
    student: EmbeddingModel,
    model: SentenceTransformer,
    pairs: Pairs,
    tokens: TokenCache,
    arguments: SentenceTransformerTrainingArguments,
    *,
    wanted: bool | None,
    say: Callable[[str], None],
) -> Iterator[TokenCache]:
    """The texts as the model is to read them: without padding or, where that can't be had, with it.

    Args:
        student: The student.
        model: Its model, or the copy of it that is trained; within the context it reads the texts given, and
            texts with padding as ever.
        pairs: The training pairs.
        tokens: What the student reads for them, with padding.
        arguments: The trainer's arguments.
        wanted: Whether to do without padding; by default on CUDA, if it gives the same there.
        say: Told why not, where it is the default.

    Raises:
        UserError: If it is wanted outright and can't be had.
    """
    if not (model.device.type == "cuda" if wanted is None else wanted):
        yield tokens
        return
    reason = reason_to_pad(student, model, pairs, tokens, arguments)
    # All processes must do the same, whatever each of them has found.
    if any_of_all(reason is not None):
        reason = reason or "fails without padding in another process"
        if wanted:
            raise _refusal(reason)
        say(f"texts are padded: the student {reason}")
        yield tokens
        return
    with reads_packed(model):
        yield tokens.packed(_first_position(model))


def check_padding_free(
    student: EmbeddingModel,
    pairs: Pairs,
    tokens: TokenCache,
    arguments: SentenceTransformerTrainingArguments,
) -> None:
    """Refuse a student that can't do without padding, before anything takes long.

    Args:
        student: The student.
        pairs: The training pairs.
        tokens: What it reads for them, with padding.
        arguments: The trainer's arguments.

    Raises:
        UserError: If it can't.
    """
    reason = reason_to_pad(student, student.model, pairs, tokens, arguments)
    if reason is not None:
        raise _refusal(reason)


def reason_to_pad(
    student: EmbeddingModel,
    model: SentenceTransformer,
    pairs: Pairs,
    tokens: TokenCache,
    arguments: SentenceTransformerTrainingArguments,
) -> str | None:
    """Why a student can't do without padding, as what it is or does; None if it can.

    It is tried on some of the texts where it stands, in float32 and as precisely as it will compute:
    embeddings and gradients have to be those of padded texts.

    Args:
        student: The student.
        model: Its model, or the copy of it that is trained.
        pairs: The training pairs.
        tokens: What the student reads for them, with padding.
        arguments: The trainer's arguments.
    """
    module = model[0]
    if not isinstance(module, Transformer):
        return "is no plain transformer"
    if not tokens.pads:
        return tokens.uncached_because or "pads nothing"
    if not module.model.is_backend_compatible() or attentions(module.model) != {PADDED}:
        return "has an attention of its own"
    if arguments.torch_compile:
        return "is compiled"
    with reads_packed(model):
        packed = tokens.packed(_first_position(model))
        for dtype in dict.fromkeys([torch.float32, _computes_in(arguments)]):
            reason = _difference(student, model, pairs, tokens, packed, dtype)
            if reason is not None:
                return reason
    return None


def _refusal(reason: str) -> UserError:
    return UserError(f"padding_free: the student {reason}; leave it out")


def _first_position(model: nn.Module) -> int:
    """The position of a text's first token: of RoBERTa's kind, the first ones are kept for padding."""
    for part in model.modules():
        padding = getattr(part, "padding_idx", None)
        if isinstance(padding, int) and isinstance(getattr(part, "position_embeddings", None), nn.Embedding):
            return padding + 1
    return 0


def _computes_in(arguments: SentenceTransformerTrainingArguments) -> torch.dtype:
    if arguments.bf16:
        return torch.bfloat16
    return torch.float16 if arguments.fp16 else torch.float32


def _difference(
    student: EmbeddingModel,
    model: SentenceTransformer,
    pairs: Pairs,
    tokens: TokenCache,
    packed: TokenCache,
    dtype: torch.dtype,
) -> str | None:
    """What goes wrong without padding; None if embeddings and gradients are the same to rounding."""
    some = pairs.take(np.arange(min(len(pairs), _TRIED_ROWS)))
    texts = texts_by_role(student, some.anchors, np.concatenate([some.positives, some.negative_ids]))
    training = model.training
    model.eval()
    try:
        for role, ids in texts.items():
            by_length = ids[np.argsort(tokens.lengths[ids], kind="stable")]
            tried = by_length[np.unique(np.linspace(0, len(ids) - 1, _TRIED_TEXTS).astype(int))]
            wanted, found = (
                _embeddings_and_gradient(model, of.features(tried, role), dtype) for of in (tokens, packed)
            )
            for what, right, other in zip(("embeddings", "gradients"), wanted, found, strict=True):
                apart = float((right - other).norm() / right.norm())
                # Written so that what is no number is too much.
                if not apart <= _ROUNDING[dtype]:
                    return f"has other {what} without padding ({apart:.1g} of their length apart)"
    # Models fail in many ways where inputs look unlike those that they were written for.
    except Exception as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        return line if isinstance(error, PackingError) else f"fails without padding: {line}"
    finally:
        model.train(training)
    return None


def _embeddings_and_gradient(
    model: SentenceTransformer, features: Mapping[str, Any], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Embeddings of texts, and the gradient of some function of them by all weights that are trained."""
    device = model.device
    features = {
        name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()
    }
    with torch.enable_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        embeddings: Tensor = model(features)["sentence_embedding"].float()
    directions = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0))
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(
        (embeddings * directions.to(device)).sum(), weights, allow_unused=True, materialize_grads=True
    )
    return embeddings.detach(), torch.cat([one.flatten() for one in gradients])
