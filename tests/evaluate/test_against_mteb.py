"""Our scores of a task against those of mteb's own evaluators on the same task: equal to 1e-6."""

from hashlib import md5

import numpy as np
import pytest
from tests.real_text import documentation_pairs
from tests.tiny_models import save_bert, save_static

from gistembed.console import Console
from gistembed.evaluate.runs.encoder import embed_for
from gistembed.evaluate.runs.settings import ModelSettings, ModelToScore
from gistembed.evaluate.scorers import score_task
from gistembed.evaluate.standard import as_mteb_task
from gistembed.evaluate.standard.encoder import StandardEncoder
from gistembed.evaluate.tasks import Bitext, Classification, Clustering, GradedPairs, Reranking, Retrieval
from gistembed.evaluate.tasks.kinds import MTEB_TYPES
from gistembed.pairs import Texts

mteb = pytest.importorskip("mteb")

# What mteb rounds to five decimals.
_ROUNDED = ("ndcg", "map", "recall", "precision", "hit_rate")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """A static model without prompts whose vectors have any length, and a transformer with prompts."""
    folder = tmp_path_factory.mktemp("models")
    prompts = {"query": "query: ", "document": "", "STS": "same? ", "Classification": "class of "}
    paths = save_static(folder / "static"), save_bert(folder / "bert", prompts=prompts)
    return [
        StandardEncoder(found, found.load(), Console(quiet=True))
        for found in (ModelToScore.find(str(path), ModelSettings()) for path in paths)
    ]


def text_task(kind):
    """A task of each kind from real text, with labels and scores that a model can half guess."""
    # The small transformer reads the first letters alone: they have to differ, or texts would tie. Some texts
    # are there twice.
    rows = [
        [f"{md5(f'{number} {text}'.encode()).hexdigest()[:8]} {text}" for text in row]
        for number, row in enumerate(documentation_pairs()[:120])
    ]
    texts = Texts()
    first, second = (texts.add_all([row[side] for row in rows]) for side in (0, 1))
    rng = np.random.default_rng(1)
    match kind:
        case "retrieval":
            names = Texts()
            names.add_all([f"doc {number}" for number in range(120)])
            own = np.repeat(np.arange(40), 3)
            others = np.stack([np.arange(40), (np.arange(40) * 7 + 1) % 120, np.arange(40) + 60], axis=1)
            grades = np.tile([2, 1, 0], 40)
            ids = tuple(f"q{number}" for number in range(40))
            return Retrieval("t", texts, ids, first[:40], names, second, own, others.ravel(), grades)
        case "reranking":
            relevant = np.tile([True, False, True, False, False], 24)
            return Reranking("t", texts, first[:24], np.arange(0, 121, 5), second, relevant)
        case "sts":
            return GradedPairs("t", texts, first, second, rng.uniform(0, 5, 120), False)
        case "pair-classification":
            return GradedPairs("t", texts, first, second, rng.integers(0, 2, 120).astype(float), True)
        case "bitext":
            return Bitext("t", texts, first, second)
    labels = np.array([len(row[0]) % 3 for row in rows], np.int64)
    if kind == "clustering":
        return Clustering("t", texts, ("0", "1", "2"), second, labels)
    return Classification("t", texts, ("0", "1", "2"), second[:80], labels[:80], second[80:], labels[80:])


def theirs(encoder, task):
    """Mteb's scores by name, and the measures of each query where there are queries."""
    made = as_mteb_task(task)
    by_query = {}
    if isinstance(task, Retrieval | Reranking):
        made.task_specific_scores = lambda scores, *arguments, **named: by_query.update(scores) or {}
    result = mteb.evaluate(encoder, made, cache=None, co2_tracker=False, show_progress_bar=False)
    (scores,) = result.task_results[0].scores["test"]
    return scores, by_query


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("kind", MTEB_TYPES)
@pytest.mark.parametrize("which", [0, 1])
def test_our_scores_are_mteb_s(encoders, kind, which):
    encoder, task = encoders[which], text_task(kind)

    def embed(texts, use):
        return embed_for(encoder.model, {}, [MTEB_TYPES[kind]], texts, use)

    ours = score_task(task, embed)
    scores, by_query = theirs(encoder, task)
    compared = {name: value for name, value in ours.metrics.items() if name in scores}
    assert len(compared) == len(ours.metrics)
    for name, value in compared.items():
        tolerance = 5.1e-6 if name.startswith(_ROUNDED) and by_query else 1e-6
        assert value == pytest.approx(scores[name], abs=tolerance), name
    assert scores["main_score"] == pytest.approx(
        ours.metrics[as_mteb_task(task).metadata.main_score], abs=5.1e-6
    )
    # Each query by itself, before mteb rounds.
    for name, key in (
        ("ndcg_at_10", "ndcg_cut_10"),
        ("map_at_100", "map_cut_100"),
        ("recall_at_5", "recall_5"),
    ):
        if by_query:
            names = getattr(task, "query_names", None) or [str(row) for row in range(len(task.queries))]
            wanted = [by_query[query][key] for query in names]
            np.testing.assert_allclose(ours.items[name], wanted, atol=1e-6, err_msg=name)


@pytest.mark.filterwarnings("ignore::Warning")
def test_our_encoder_gives_what_mteb_s_own_gives(encoders):
    """Mteb's wrapper of the same model, prompts and all: the same main score on each kind."""
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

    encoder = encoders[1]
    own = SentenceTransformerEncoderWrapper(encoder.model.model)
    for kind in ("sts", "classification", "retrieval", "clustering"):
        task = text_task(kind)
        assert theirs(encoder, task)[0]["main_score"] == pytest.approx(
            theirs(own, task)[0]["main_score"], abs=1e-6
        ), kind
