"""The guide: each distinct text encoded once, kept on disk, looked up by text id."""

from gistembed.guide.encoding.vectors import (
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
from gistembed.guide.encoding.work import GuideWork, do_work, prepare_work, stored_vectors
from gistembed.guide.given.columns import column_identity, column_vectors, is_columns
from gistembed.guide.given.join import given_identity, given_vectors, is_given
from gistembed.guide.scorers.endpoint import EndpointGuide, Estimate
from gistembed.guide.scorers.model import ModelGuide
from gistembed.guide.scorers.opening import Guide, GuideSettings, is_endpoint, open_guide
from gistembed.guide.store.identity import GuideIdentity, stored_as
from gistembed.guide.store.keys import Keys
from gistembed.guide.store.manifest import GuideFacts
from gistembed.guide.store.store import GuideStore, StoreSummary, default_store, nameless_in, stores_in
from gistembed.guide.store.upkeep import Compaction, StoreCheck, compact, export, verify

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
    "nameless_in",
    "open_guide",
    "plan_encoding",
    "prepare_work",
    "stored_as",
    "stored_vectors",
    "stores_in",
    "text_ids_by_role",
    "verify",
]
