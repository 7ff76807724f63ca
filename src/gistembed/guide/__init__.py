"""The guide: each distinct text encoded once, kept on disk, looked up by text id."""

from gistembed.guide.endpoint import EndpointGuide, Estimate
from gistembed.guide.given import given_identity, given_vectors, is_given
from gistembed.guide.given_columns import column_identity, column_vectors, is_columns
from gistembed.guide.identity import GuideIdentity
from gistembed.guide.keys import Keys
from gistembed.guide.manifest import GuideFacts
from gistembed.guide.model import ModelGuide
from gistembed.guide.opening import Guide, GuideSettings, is_endpoint, open_guide
from gistembed.guide.store import GuideStore, StoreSummary, default_store, stores_in
from gistembed.guide.upkeep import Compaction, StoreCheck, compact, export, verify
from gistembed.guide.vectors import (
    Asked,
    EncodingPlan,
    GuideVectors,
    StoredVectors,
    TextsByRole,
    embed_now,
    encode_texts,
    plan_encoding,
    text_ids_by_role,
)
from gistembed.guide.work import GuideWork, do_work, prepare_work

__all__ = [
    "Asked",
    "Compaction",
    "EncodingPlan",
    "EndpointGuide",
    "Estimate",
    "Guide",
    "GuideFacts",
    "GuideIdentity",
    "GuideSettings",
    "GuideStore",
    "GuideVectors",
    "GuideWork",
    "Keys",
    "ModelGuide",
    "StoreCheck",
    "StoreSummary",
    "StoredVectors",
    "TextsByRole",
    "column_identity",
    "column_vectors",
    "compact",
    "default_store",
    "do_work",
    "embed_now",
    "encode_texts",
    "export",
    "given_identity",
    "given_vectors",
    "is_columns",
    "is_endpoint",
    "is_given",
    "open_guide",
    "plan_encoding",
    "prepare_work",
    "stores_in",
    "text_ids_by_role",
    "verify",
]
