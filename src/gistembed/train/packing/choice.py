"""Whether a student trains without padding: where it is wanted, can be had and gives the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Transformer
from torch import nn

from gistembed.batches import TokenCache
from gistembed.errors import UserError
from gistembed.models import EmbeddingModel, memory_errors
from gistembed.pairs import Pairs
from gistembed.ranks import all_say
from gistembed.train.packing.attention import SIXTEEN_BITS
from gistembed.train.packing.switch import PADDED, attentions, reads_packed
from gistembed.train.packing.trial import computes_in, difference


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
    promising = model.device.type == "cuda" and _has_a_kernel(model, tokens, arguments)
    if not (promising if wanted is None else wanted):
        yield tokens
        return
    # All processes must do the same, whatever each of them has found.
    reasons = all_say(reason_to_pad(student, model, pairs, tokens, arguments))
    reason = next((one for one in reasons if one is not None), None)
    if reason is not None:
        if wanted:
            raise _refusal(reason)
        say(f"texts are padded: the student {reason}; padding_free = false leaves it at that")
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
    embeddings and gradients of each text have to be those with padding.

    Args:
        student: The student.
        model: Its model, or the copy of it that is trained.
        pairs: The training pairs.
        tokens: What the student reads for them, with padding.
        arguments: The trainer's arguments.

    Raises:
        UserError: If memory runs out, or the accelerator fails.
    """
    reason = _kind_that_pads(model, tokens, arguments)
    if reason is not None:
        return reason
    packed = tokens.packed(_first_position(model))
    with memory_errors("choose shorter texts by student_max_length"), reads_packed(model):
        return difference(student, model, pairs, tokens, packed, computes_in(arguments))


def _refusal(reason: str) -> UserError:
    return UserError(f"padding_free: the student {reason}; leave it out")


def _kind_that_pads(
    model: SentenceTransformer, tokens: TokenCache, arguments: SentenceTransformerTrainingArguments
) -> str | None:
    """Why a student of this kind can't do without padding; None if nothing is known against it."""
    module = model[0]
    if not isinstance(module, Transformer):
        return "is no plain transformer"
    if not tokens.pads:
        return tokens.uncached_because or "pads nothing"
    found = attentions(module.model)
    if not module.model.is_backend_compatible() or found != {PADDED}:
        return f"has an attention of its own ({', '.join(sorted(map(str, found)))})"
    if arguments.torch_compile:
        return "is compiled"
    return None


def _has_a_kernel(
    model: SentenceTransformer, tokens: TokenCache, arguments: SentenceTransformerTrainingArguments
) -> bool:
    """Whether CUDA has one for its attention: else it is no faster without padding."""
    if _kind_that_pads(model, tokens, arguments) is not None:
        return False
    has_windows = any(getattr(part, "sliding_window", None) for part in model.modules())
    return computes_in(arguments) in SIXTEEN_BITS or not has_windows


def _first_position(model: nn.Module) -> int:
    """The position of a text's first token: of RoBERTa's kind, the first ones are kept for padding."""
    for part in model.modules():
        padding = getattr(part, "padding_idx", None)
        if isinstance(padding, int) and isinstance(getattr(part, "position_embeddings", None), nn.Embedding):
            return padding + 1
    return 0
