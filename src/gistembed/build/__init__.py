"""The paper's training data from its sources: triplets of classification tasks, and the MEDI archive."""

from gistembed.build.agreed import agreed_rows
from gistembed.build.draw import Draws, choose_by_softmax, draw_triplets
from gistembed.build.labelled import LabelledTexts, parse_label_columns, read_labelled
from gistembed.build.medi import read_medi, size_of
from gistembed.build.mteb_tasks import is_mteb, read_mteb
from gistembed.build.mtebcls import ClassTriplets, DrawSettings, class_triplets, texts_to_encode

__all__ = [
    "ClassTriplets",
    "DrawSettings",
    "Draws",
    "LabelledTexts",
    "agreed_rows",
    "choose_by_softmax",
    "class_triplets",
    "draw_triplets",
    "is_mteb",
    "parse_label_columns",
    "read_labelled",
    "read_medi",
    "read_mteb",
    "size_of",
    "texts_to_encode",
]
