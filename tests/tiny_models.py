"""Real sentence-transformers models small enough to build in a test, without network."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertModel, BertTokenizer

DIMENSIONS = 32
MAX_LENGTH = 24

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_static(
    folder: Path,
    *,
    prompts: Mapping[str, str] | None = None,
    default_prompt: str | None = None,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
) -> Path:
    """A static model with random vectors, one for each byte of a text."""
    return _save(folder, [static_module(dimensions, seed)], prompts, default_prompt)


def static_module(dimensions: int = DIMENSIONS, seed: int = 0) -> StaticEmbedding:
    """A bag of bytes: no text is unknown, and texts of different bytes have different embeddings."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={sign: i for i, sign in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    weights = np.random.default_rng(seed).standard_normal((len(alphabet), dimensions), dtype=np.float32)
    return StaticEmbedding(tokenizer, embedding_weights=weights)


def save_bert(
    folder: Path,
    *,
    prompts: Mapping[str, str] | None = None,
    default_prompt: str | None = None,
    max_length: int = MAX_LENGTH,
    positions: int = 64,
    seed: int = 0,
    dropout: float = 0.1,
) -> Path:
    """A two-layer BERT with random weights, mean pooling and a WordPiece vocabulary of single letters."""
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    vocabulary = _SPECIAL + letters + [f"##{letter}" for letter in letters]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=DIMENSIONS,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * DIMENSIONS,
        max_position_embeddings=positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    with TemporaryDirectory() as bare, torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(bare)
        BertTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}).save_pretrained(bare)
        transformer = Transformer(bare, max_seq_length=max_length)
    return _save(folder, [transformer, Pooling(DIMENSIONS)], prompts, default_prompt)


def _save(
    folder: Path,
    modules: list[torch.nn.Module],
    prompts: Mapping[str, str] | None,
    default_prompt: str | None,
) -> Path:
    model = SentenceTransformer(
        modules=modules, prompts=dict(prompts or {}), default_prompt_name=default_prompt, device="cpu"
    )
    model.save_pretrained(str(folder))
    return folder
