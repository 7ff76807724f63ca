"""Hard negatives: for each anchor, documents that the guide finds close to it but not too close."""

from gistembed.mine.choose import choose_negatives, highest_scores
from gistembed.mine.corpus import Corpus, read_corpus
from gistembed.mine.job import MiningJob, MiningPlan, plan_mining, run_mining
from gistembed.mine.mining import Documents, MinedNegatives, comparisons, mine_negatives
from gistembed.mine.nearest import Nearest, OwnTexts, nearest_documents
from gistembed.mine.rows import MiningTally, mined_rows
from gistembed.mine.settings import MiningSettings, Sampling, Search, TooFew

__all__ = [
    "Corpus",
    "Documents",
    "MinedNegatives",
    "MiningJob",
    "MiningPlan",
    "MiningSettings",
    "MiningTally",
    "Nearest",
    "OwnTexts",
    "Sampling",
    "Search",
    "TooFew",
    "choose_negatives",
    "comparisons",
    "highest_scores",
    "mine_negatives",
    "mined_rows",
    "nearest_documents",
    "plan_mining",
    "read_corpus",
    "run_mining",
]
