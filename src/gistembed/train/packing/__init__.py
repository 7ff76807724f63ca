"""Texts one after the other through a transformer, without padding: the attention, and whom it suits."""

from gistembed.train.packing.choice import check_padding_free, texts_of_training

__all__ = ["check_padding_free", "texts_of_training"]
