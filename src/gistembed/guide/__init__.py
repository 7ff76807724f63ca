"""The guide: each distinct text encoded once, kept on disk, looked up by text id."""

from gistembed.guide.store import GuideIdentity, GuideStore, StoreSummary
from gistembed.guide.vectors import GuideVectors, encode_texts, missing_texts

__all__ = ["GuideIdentity", "GuideStore", "GuideVectors", "StoreSummary", "encode_texts", "missing_texts"]
