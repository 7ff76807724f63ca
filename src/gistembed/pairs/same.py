"""Texts that differ only in case, white space or the form of Unicode, taken as one text."""

import unicodedata
from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from gistembed.pairs.clean import clean
from gistembed.pairs.pairs import Pairs
from gistembed.pairs.texts import Texts

_AT_ONCE = 10_000


def normal_form(text: str) -> str:
    """The text in NFC, without case, and with one space wherever it has white space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def same_texts(texts: Texts) -> Int64[np.ndarray, " texts"]:
    """For each text, the first one of the table that has the same normal form.

    Args:
        texts: The table.
    """
    forms = Texts()
    first = np.empty(len(texts), np.int64)
    result = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), _AT_ONCE):
        ids = np.arange(start, min(start + _AT_ONCE, len(texts)))
        known = len(forms)
        form = forms.add_all([normal_form(text) for text in texts.of(ids)])
        # From the back, so that the first text of a new form is written last.
        new = form[::-1] >= known
        first[form[::-1][new]] = ids[::-1][new]
        result[ids] = first[form]
    return result


def normalised(pairs: Pairs, same: Int64[np.ndarray, " texts"]) -> Pairs:
    """The pairs with texts of one normal form taken as one text; what then says nothing is left out.

    Args:
        pairs: The pairs.
        same: What `same_texts` says of their table.
    """
    return clean(replace(pairs, same=same))
