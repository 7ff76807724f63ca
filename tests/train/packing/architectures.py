"""Random models of the architectures that students have, small enough to build in a test."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import BertTokenizer, PreTrainedModel

WIDTH, MAX_LENGTH = 32, 32
_SIGNS = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_SIGNS, *(f"##{sign}" for sign in _SIGNS)]
_SMALL = {
    "vocab_size": len(_VOCABULARY),
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 2 * WIDTH,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
_DISTILBERT = {"vocab_size": len(_VOCABULARY), "dim": WIDTH, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
_GPT2 = {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": 64}
_WINDOWS = {"local_attention": 6, "global_attn_every_n_layers": 2, "cls_token_id": 2, "sep_token_id": 3}
_CAUSAL = {"num_key_value_heads": 2, "head_dim": 8}


def _made(name: str, settings: dict[str, object]) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        config = getattr(transformers, f"{name}Config")(**settings)
        model: PreTrainedModel = getattr(transformers, f"{name}Model")(config)
        return model

    return make


PACKABLE = {
    "BERT": _made("Bert", _SMALL),
    "RoBERTa, whose positions begin later": _made("Roberta", _SMALL | {"max_position_embeddings": 70}),
    "DistilBERT": _made("DistilBert", _DISTILBERT),
    "ELECTRA": _made("Electra", _SMALL | {"embedding_size": WIDTH}),
    "Nomic, with rotary positions": _made("NomicBert", _SMALL),
    "ModernBERT, with windows": _made("ModernBert", _SMALL | _WINDOWS),
    "Qwen3, causal, with grouped heads": _made("Qwen3", _SMALL | _CAUSAL),
    "Qwen3, causal, with windows": _made(
        "Qwen3", _SMALL | _CAUSAL | {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}
    ),
    "Gemma3, with windows": _made(
        "Gemma3Text", _SMALL | _CAUSAL | {"sliding_window": 6, "use_bidirectional_attention": True}
    ),
    "GPT-2": _made("GPT2", _SMALL | _GPT2),
}
PADDED = {
    "MPNet": _made("MPNet", _SMALL | {"max_position_embeddings": 70}),
    "DeBERTa": _made("DebertaV2", _SMALL),
}


def save_model(
    folder: Path,
    make: Callable[[], PreTrainedModel],
    *,
    pooling: str = "mean",
    include_prompt: bool = True,
    padding_side: str | None = None,
    dropout: bool = True,
) -> Path:
    """A model of this architecture with random weights, and a tokenizer of single signs."""
    with TemporaryDirectory() as bare, torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
        if not dropout:
            model.config.update(
                {name: 0.0 for name in model.config.to_dict() if name.endswith("dropout_prob")}
            )
        model.save_pretrained(bare)
        side = {"padding_side": padding_side} if padding_side else {}
        BertTokenizer(vocab={token: i for i, token in enumerate(_VOCABULARY)}, **side).save_pretrained(bare)
        modules = [
            Transformer(bare, max_seq_length=MAX_LENGTH),
            Pooling(WIDTH, pooling_mode=pooling, include_prompt=include_prompt),
        ]
    prompts = {"query": "query: ", "document": ""}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(folder))
    return folder
