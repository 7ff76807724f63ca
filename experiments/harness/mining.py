"""Data sets with mined hard negatives, and how many of these are false."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from experiments.harness.lab import Lab
from experiments.harness.training import DataFolder, encode_for, guide_vectors, prepared
from experiments.harness.variants import variant
from gistembed.console import Console
from gistembed.guide import embed_now
from gistembed.mine import MinedNegatives, MiningSettings, mine_negatives
from gistembed.pairs import Pairs


def mined_data(
    lab: Lab, data: DataFolder, name: str, settings: MiningSettings, *, guided: bool
) -> DataFolder:
    """A data set with hard negatives, which are mined among the positives of its training pairs.

    Args:
        lab: Where it is written.
        data: The data set.
        name: What to call the new one.
        settings: How they are chosen.
        guided: Whether the scale's guide decides what is near, or the student before training.
    """
    training = lab.training(data, guide=lab.guide if guided else None)
    encode_for(training, lab.store, Console(quiet=True))
    with tempfile.TemporaryDirectory(prefix="experiment-") as folder:
        run = prepared(training, 0, Path(folder), lab.store)
    vectors = guide_vectors(run)[0] if guided else embed_now(run.student, run.train)
    mined = mine_negatives(run.train, vectors, settings)
    return variant(data, lab.work / "data" / f"{data.folder.name}-{name}", mined_rows(run.train, mined))


def mined_rows(pairs: Pairs, mined: MinedNegatives) -> list[dict[str, object]]:
    """The pairs as rows with the negatives that were mined for their anchors.

    Args:
        pairs: The pairs.
        mined: The negatives.
    """
    rows: list[dict[str, object]] = []
    for anchor, positive in zip(pairs.anchors.tolist(), pairs.positives.tolist(), strict=True):
        negatives = [pairs.texts[number] for number, _ in mined.of(anchor)]
        row: dict[str, object] = {"anchor": pairs.texts[anchor], "positive": pairs.texts[positive]}
        rows.append(row | ({"negative": negatives} if negatives else {}))
    return rows


def false_share(rows: Iterable[Mapping[str, object]], labels: Mapping[str, Sequence[str]]) -> float:
    """Share of the rows' own negatives that have a label of their anchor's.

    Args:
        rows: Rows with a list of negatives, or none.
        labels: Labels by text.
    """
    own = [
        not set(labels[str(row["anchor"])]).isdisjoint(labels[negative])
        for row in rows
        for negative in _negatives(row)
    ]
    return sum(own) / len(own)


def _negatives(row: Mapping[str, object]) -> list[str]:
    found = row.get("negative", [])
    assert isinstance(found, list)
    return found
