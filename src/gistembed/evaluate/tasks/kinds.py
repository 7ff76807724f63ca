"""The kinds of tasks, and what each is called elsewhere; nothing heavy is imported here."""

from typing import Literal, get_args

Kind = Literal[
    "retrieval", "reranking", "sts", "pair-classification", "classification", "clustering", "bitext"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Use = Literal["query", "document", "text"]
"""What a text is in a task: something to search for, something to be found, or neither."""

MAIN_METRICS: dict[Kind, str] = {
    "retrieval": "ndcg_at_10",
    "reranking": "map_at_100",
    "sts": "cosine_spearman",
    "pair-classification": "cosine_ap",
    "classification": "accuracy",
    "clustering": "v_measure",
    "bitext": "f1",
}
"""The metric that a task is judged by, as mteb names it."""

MTEB_TYPES: dict[Kind, str] = {
    "retrieval": "Retrieval",
    "reranking": "Reranking",
    "sts": "STS",
    "pair-classification": "PairClassification",
    "classification": "Classification",
    "clustering": "Clustering",
    "bitext": "BitextMining",
}
"""What mteb calls each kind, and models the prompts for it."""
