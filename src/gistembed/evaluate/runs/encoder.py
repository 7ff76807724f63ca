"""Embeds texts for a kind of task: with the prompt of their use, in the length that the model gives them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gistembed.errors import UserError
from gistembed.evaluate.runs.settings import PromptRole
from gistembed.evaluate.tasks.kinds import Use
from gistembed.models import EmbeddingModel
from gistembed.pairs.wording import quoted
from gistembed.terms import Role

_ROLES: Mapping[Use, Role] = {"query": "anchor", "document": "document", "text": "document"}
_PROMPT_ROLES: Mapping[Use, PromptRole] = {"query": "anchor", "document": "document", "text": "text"}


def prompt_for(model: EmbeddingModel, given: Mapping[PromptRole, str], names: Sequence[str], use: Use) -> str:
    """What a model reads before a text.

    The user's prompt; or the model's own for the task or its type, by the names that mteb gives them; or its
    prompt for queries or documents. A text that is neither has the model's default prompt, which most models
    lack.

    Args:
        model: The model.
        given: The user's prompts.
        names: What the task is called, and its type, as prompts are named: ``STS``.
        use: What the text is in the task.
    """
    if (own := given.get(_PROMPT_ROLES[use])) is not None:
        return own
    prompts = model.model.prompts
    for name in names:
        for key in (*([] if use == "text" else [f"{name}-{use}"]), name):
            if prompts.get(key) is not None:
                return str(prompts[key])
    if use == "text":
        return prompts.get(model.model.default_prompt_name or "") or ""
    return model.prompts[_ROLES[use]]


def embed_for(
    model: EmbeddingModel,
    given: Mapping[PromptRole, str],
    names: Sequence[str],
    texts: Sequence[str],
    use: Use,
    on_progress: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """Embeddings of texts, of the length that the model gives them.

    Args:
        model: The model.
        given: The user's prompts.
        names: What the task is called, and its type; see `prompt_for`.
        texts: Raw texts.
        use: What they are in the task.
        on_progress: Called with the number of texts done since the call before.

    Raises:
        UserError: If memory runs out, or an embedding is not finite.
    """
    role = _ROLES[use]
    prompted = replace(model, prompts={**model.prompts, role: prompt_for(model, given, names, use)})
    vectors = prompted.embed(texts, role, on_progress, normalised=False)
    check_finite(model, texts, vectors)
    return vectors


def check_finite(model: EmbeddingModel, texts: Sequence[str], vectors: np.ndarray) -> None:
    """Refuse a model whose embeddings can't be compared.

    Args:
        model: The model.
        texts: Raw texts.
        vectors: Their embeddings.

    Raises:
        UserError: If an embedding is not finite.
    """
    if len(broken := np.flatnonzero(~np.isfinite(vectors).all(axis=1))):
        raise UserError(
            f"MODEL {model.name}: the embedding of {quoted(texts[broken[0]])} holds a number that is not "
            "finite; score a model whose weights are sound"
        )
