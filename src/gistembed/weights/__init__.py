"""Finished models: blended with what they were trained from, exported, and their embeddings quantised."""

from gistembed.weights.blending.blend import Blend, blended_weights
from gistembed.weights.blending.choose import GRID, LEAST_RETENTION, choose_alpha, scored_on
from gistembed.weights.exporting.export import export_model
from gistembed.weights.exporting.exported import ExportedModel, load_exported
from gistembed.weights.quantise import quantisation
from gistembed.weights.records import (
    BlendChoice,
    BlendRecord,
    ExportFormat,
    ExportRecord,
    KeptForm,
    QuantisationRecord,
    Trial,
)

__all__ = [
    "GRID",
    "LEAST_RETENTION",
    "Blend",
    "BlendChoice",
    "BlendRecord",
    "ExportFormat",
    "ExportRecord",
    "ExportedModel",
    "KeptForm",
    "QuantisationRecord",
    "Trial",
    "blended_weights",
    "choose_alpha",
    "export_model",
    "load_exported",
    "quantisation",
    "scored_on",
]
