"""The paper's first experiments: InfoNCE and guided training on the same pairs, with and without MTEBcls.

The pairs are like MEDI's in form: rows of several tasks, each with a negative, batches of one task. The
triplets are made as the paper made MTEBcls: of labelled texts, with positives that the guide finds similar.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.harness import DataFolder, Experiment, Lab, Row, compared, scored
from experiments.harness.identity import file_digest, key_of, model_identity
from experiments.harness.variants import lines_of
from gistembed.build import draw_triplets
from gistembed.files import write_whole
from gistembed.models import load_model

_PAIRS = ("pubmed-topics", "pubmed-abstracts")
_LABELLED = "newsgroups"
# Three tasks share the steps that one has elsewhere.
_TIMES_STEPS = 2
_SEED = 1029


def run(lab: Lab) -> Sequence[Row]:
    """Train four ways, and score each on all three kinds of text.

    Learning rate and temperature are those that dev scores chose on the first data set.
    """
    sets = {name: lab.data(name) for name in (*_PAIRS, _LABELLED)}
    made = lab.work / "medi-like"
    pairs = [with_negatives(sets[name], made / name) for name in _PAIRS]
    triplets = triplets_of(sets[_LABELLED], lab.guide, made / f"{_LABELLED}-triplets")
    sources = {"MEDI-like": pairs, "MEDI-like + triplets": [*pairs, triplets]}
    first = sets[_PAIRS[0]]
    trainings = {
        (source, guide): lab.training(
            first,
            guide=guide,
            tests={name: data.test for name, data in sets.items()},
            data=[str(path) for path in paths],
            batches="one_task",
            steps=_TIMES_STEPS * lab.scale.steps,
        )
        for source, paths in sources.items()
        for guide in (None, lab.guide)
    }
    trained = lab.train(trainings)
    untrained = lab.untrained(trainings["MEDI-like", None])
    without = trained["MEDI-like", lab.guide]
    return [
        {"test": test, "trained on": source}
        | scored(untrained, test, column="before")
        | scored(trained[source, None], test, column="InfoNCE")
        | scored(trained[source, lab.guide], test, column="guided")
        | compared(trained[source, lab.guide], trained[source, None], test, column="gain by guide")
        | (
            {}
            if source == "MEDI-like"
            else compared(trained[source, lab.guide], without, test, column="gain by triplets")
        )
        for test in sets
        for source in sources
    ]


def with_negatives(data: DataFolder, place: Path) -> Path:
    """Give each row a negative: another row's positive, drawn at random, where MEDI's are mined.

    Args:
        data: The data set.
        place: File of the rows, before a digest of what they are made of; made if it isn't there.
    """
    path = _named(place, train=file_digest(data.train))
    if not path.exists():
        rows = [json.loads(line) for line in data.train.read_text(encoding="utf-8").splitlines()]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lines_of(_rows_with_negatives(rows, np.random.default_rng(_SEED))))
    return path


def _rows_with_negatives(rows: Sequence[Row], random: np.random.Generator) -> list[Row]:
    """Rows with the positive of another row each: of those drawn at random, none is its own."""
    shift = int(random.integers(1, len(rows)))
    order = random.permutation(len(rows))
    other = dict(zip(order.tolist(), np.roll(order, shift).tolist(), strict=True))
    return [row | {"negative": rows[other[i]]["positive"]} for i, row in enumerate(rows)]


def triplets_of(data: DataFolder, guide: str, place: Path) -> Path:
    """Triplets of the labelled training texts, as the paper drew those of MTEBcls.

    Args:
        data: The data set.
        guide: The model that finds positives similar.
        place: File of the triplets, before a digest of what they are made of; made if it isn't there.
    """
    path = _named(place, labels=file_digest(data.labels), guide=model_identity(guide))
    if not path.exists():
        labels = json.loads(data.labels.read_text(encoding="utf-8"))
        texts = list(labels)
        _, classes = np.unique([labels[text][0] for text in texts], return_inverse=True)
        vectors = load_model(guide, option="guide").embed(texts, "document")
        drawn = draw_triplets(vectors, classes.astype(np.int64), seed=_SEED)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(
            path,
            lines_of(
                {"anchor": text, "positive": texts[positive], "negative": texts[negative]}
                for text, positive, negative in zip(texts, *map(np.ndarray.tolist, drawn), strict=True)
                if positive >= 0
            ),
        )
    return path


def _named(place: Path, **inputs: str) -> Path:
    return place.with_name(f"{place.name}-{key_of(seed=_SEED, **inputs)}.jsonl")


EXPERIMENT = Experiment(
    "first_results", "does the guide help on mixed pairs, and do classification triplets?", run
)
