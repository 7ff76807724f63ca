"""The guide: each distinct text encoded once, kept on disk, looked up by text id."""

from gistembed.guide.endpoint import EndpointGuide, Estimate
from gistembed.guide.given import given_identity, given_vectors, is_given
from gistembed.guide.identity import GuideIdentity, VectorDtype
from gistembed.guide.keys import Keys
from gistembed.guide.opening import Guide, is_endpoint, open_guide
from gistembed.guide.store import GuideStore, StoreSummary, default_store, stores_in
from gistembed.guide.upkeep import Compaction, StoreCheck, compact, export, verify
from gistembed.guide.vectors import EncodingPlan, GuideVectors, StoredVectors, encode_texts, plan_encoding

__all__ = [
    "Compaction",
    "EncodingPlan",
    "EndpointGuide",
    "Estimate",
    "Guide",
    "GuideIdentity",
    "GuideStore",
    "GuideVectors",
    "Keys",
    "StoreCheck",
    "StoreSummary",
    "StoredVectors",
    "VectorDtype",
    "compact",
    "default_store",
    "encode_texts",
    "export",
    "given_identity",
    "given_vectors",
    "is_endpoint",
    "is_given",
    "open_guide",
    "plan_encoding",
    "stores_in",
    "verify",
]
