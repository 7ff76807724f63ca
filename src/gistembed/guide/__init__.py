"""The guide: each distinct text encoded once, kept on disk, looked up by text id."""

from gistembed.guide.store import GuideIdentity, GuideStore, StoreSummary
from gistembed.guide.vectors import EncodingPlan, GuideVectors, encode_texts, plan_encoding

__all__ = [
    "EncodingPlan",
    "GuideIdentity",
    "GuideStore",
    "GuideVectors",
    "StoreSummary",
    "encode_texts",
    "plan_encoding",
]
