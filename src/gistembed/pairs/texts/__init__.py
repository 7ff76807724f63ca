"""Distinct texts: each has one integer id, which travels everywhere in the text's place."""

from gistembed.pairs.texts.table import Texts

__all__ = ["Texts"]
