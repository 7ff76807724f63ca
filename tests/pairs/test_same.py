"""Texts that count as one text, and pairs of several sources."""

from pathlib import Path

import numpy as np
import pytest
from pairs_samples import as_rows, pairs_of, write_jsonl

from gistembed.batches import batch_ids
from gistembed.pairs import Texts, hold_out, join_pairs, normalised, read_pairs, same_texts, without_texts
from gistembed.pairs.clean import OWN_NEGATIVE, REPEATED, REPEATED_NEGATIVE, SAME_TEXT, WEIGHTLESS
from gistembed.pairs.join import source_names
from gistembed.pairs.same import normal_form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  A\u00a0b\t C\n", "a b c"),
        ("Cafe\u0301", "caf\u00e9"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬁ", "fi"),
        ("①", "①"),
    ],
)
def test_normal_form(text, form):
    assert normal_form(text) == form


def test_the_first_text_stands_for_all_of_its_form(monkeypatch):
    monkeypatch.setattr("gistembed.pairs.same._AT_ONCE", 3)
    texts = Texts()
    texts.add_all(["a", "b ", "B", "A", "c", "b", "a  "])
    assert same_texts(texts).tolist() == [0, 1, 1, 0, 4, 1, 0]


def test_what_counts_as_the_same_is_no_negative_and_no_pair():
    pairs = pairs_of([("Q", "q ", []), ("q", "a", ["A", "x"]), ("Q", "A", ["X"]), ("r", "a", [])])
    cleaned = normalised(pairs, same_texts(pairs.texts))
    assert as_rows(cleaned) == [("q", "a", ["x"]), ("r", "a", [])]
    assert cleaned.dropped[SAME_TEXT] == 1
    assert cleaned.dropped[REPEATED] == 1
    exact = as_rows(pairs)
    assert len(exact) == 4


def test_the_mask_sees_what_texts_count_as_and_the_model_the_texts():
    pairs = pairs_of([("q", "a", ["n"]), ("Q", "b", ["N"]), ("r", "A", [])])
    pairs = normalised(pairs, same_texts(pairs.texts))
    ids = batch_ids(pairs, pairs.known_positives(), np.arange(3))
    at = pairs.texts.id_of
    assert ids.anchors.tolist() == [at("q"), at("Q"), at("r")]
    assert ids.same_anchors.tolist() == [at("q"), at("q"), at("r")]
    assert ids.positives.tolist() == [at("a"), at("b"), at("A")]
    assert ids.same_positives.tolist() == [at("a"), at("b"), at("a")]
    assert ids.same_negatives.tolist() == [[at("n")], [at("n")], [-1]]
    # Both q and Q have a and b; r has a.
    known = [sorted(own.tolist()) for own in np.split(ids.known, ids.known_offsets[1:-1])]
    both = sorted([at("a"), at("b")])
    assert known == [both, both, [at("a")]]


def test_no_text_stands_on_both_sides_in_another_case():
    pairs = pairs_of(
        [(f"q{i}", f"a{i}", []) for i in range(20)] + [(f"Q{i}", f"b{i}", []) for i in range(20)]
    )
    pairs = normalised(pairs, same_texts(pairs.texts))
    split = hold_out(pairs, share=0.3, seed=0)
    held = {pairs.texts[text].casefold() for text in pairs.take(split.held_out).anchors}
    assert len(split.held_out)
    assert not held & {pairs.texts[text].casefold() for text in pairs.take(split.train).anchors}
    left = without_texts(pairs, np.array([pairs.texts.id_of("q3")]))
    assert {3, 23}.isdisjoint(left.tolist())
    assert len(left) == 38


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["nq.jsonl", "faq.csv.gz"], ["nq", "faq"]),
        (["a/train.jsonl", "b/train.jsonl", "b/dev.jsonl"], ["a/train", "b/train", "dev"]),
        (["data/queries.csv", "faq.csv"], ["queries", "faq"]),
        (["nq-v1.0.jsonl", "nq-v1.5.jsonl"], ["nq-v1.0", "nq-v1.5"]),
        (["dataset", "dataset"], ["dataset 1", "dataset 2"]),
        (["train.jsonl", "x/train.jsonl"], ["train 1", "x/train"]),
        (["x.csv", "x.csv", "x 2.csv"], ["x 1", "x 3", "x 2"]),
        (["x 2.csv", "x.csv", "x.csv"], ["x 2", "x 3", "x 4"]),
    ],
)
def test_sources_have_names_of_their_own(sources, names):
    """Two files called train.jsonl in two folders were one task, without a word."""
    assert source_names(sources) == names


def test_folders_of_beir_are_called_like_the_folder():
    """Also where they lie here; a file of pairs that happens to be called like theirs is not."""
    texts, parts = Texts(), []
    for name in ("nfcorpus", "scifact"):
        folder = Path(name)
        (folder / "qrels").mkdir(parents=True)
        (folder / "corpus.jsonl").write_text(f'{{"_id": "d", "title": "", "text": "{name} answers"}}\n')
        (folder / "queries.jsonl").write_text(f'{{"_id": "q", "text": "what does {name} hold"}}\n')
        (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
        parts.append(read_pairs(folder, texts=texts))
    Path("data").mkdir()
    rows = {"query": ["a", "b"], "positive": ["c", "d"]}
    parts.append(read_pairs(write_jsonl(Path("data/queries.jsonl"), rows), texts=texts))
    assert join_pairs(parts).task_names == ("nfcorpus", "scifact", "queries")


def test_several_sources_are_one():
    texts = Texts()
    first = read_pairs(write_jsonl(Path("nq.jsonl"), {"q": ["a", "b"], "pos": ["c", "d"]}), texts=texts)
    rows = {"q": ["x", "a", "y"], "pos": ["d", "c", "z"], "weight": [2, 1, 0.5], "task": ["t", None, "t"]}
    second = read_pairs(write_jsonl(Path("more.rows.jsonl"), rows), texts=texts)
    joined = join_pairs([first, second])
    assert as_rows(joined) == [("a", "c", []), ("b", "d", []), ("x", "d", []), ("y", "z", [])]
    assert [joined.place(row) for row in range(4)] == [
        "nq.jsonl:1",
        "nq.jsonl:2",
        "more.rows.jsonl:1",
        "more.rows.jsonl:3",
    ]
    assert joined.source == "nq.jsonl + more.rows.jsonl"
    assert [joined.task_names[task] for task in joined.tasks] == ["nq", "nq", "t", "t"]
    assert joined.weights.tolist() == [1, 1, 2, 0.5]
    assert joined.dropped == {REPEATED: 1}
    assert joined.rows_read == 5
    assert joined.take(np.array([2])).place(0) == "more.rows.jsonl:1"


def test_a_weight_of_nothing_is_no_pair():
    rows = {"q": ["a", "b"], "pos": ["c", "d"], "weight": [0, 2]}
    pairs = read_pairs(write_jsonl(Path("pairs.jsonl"), rows))
    assert as_rows(pairs) == [("b", "d", [])]
    assert pairs.dropped == {WEIGHTLESS: 1}
    assert pairs.weights.tolist() == [2]


def test_what_a_weight_of_nothing_says_is_known():
    """Dropped before anybody looked, p was a negative of its own anchor, and the mask let it in again."""
    rows = {
        "q": ["a", "a", "b"],
        "pos": ["p", "z", "p"],
        "neg": [None, ["p", "n"], None],
        "weight": [0, 1, 1],
    }
    texts = Texts()
    pairs = read_pairs(write_jsonl(Path("pairs.jsonl"), rows), texts=texts)
    assert as_rows(pairs) == [("a", "z", ["n"]), ("b", "p", [])]
    assert pairs.dropped == {WEIGHTLESS: 1, OWN_NEGATIVE: 1}
    more = read_pairs(write_jsonl(Path("more.jsonl"), {"q": ["a"], "pos": ["y"], "neg": ["p"]}), texts=texts)
    for known in (pairs, pairs.take(np.array([0])), join_pairs([more, pairs])):
        positives = {texts[text] for text in known.known_positives().of(texts.id_of("a"))}
        assert positives >= {"p", "z"}
        ids = batch_ids(known, known.known_positives(), np.arange(len(known)))
        assert len(known) == 1 or texts.id_of("p") in ids.known[: ids.known_offsets[1]].tolist()
    assert as_rows(join_pairs([more, pairs]))[0] == ("a", "y", [])
    alone = write_jsonl(Path("alone.jsonl"), {key: values[1:] for key, values in rows.items()})
    assert read_pairs(alone).digest() != pairs.digest()
    assert pairs.apart().also_known is None


def test_a_pair_with_another_weight_or_trust_is_no_repeat():
    """The first was kept, whatever the second said: its weight of 9 and its trust were lost."""
    rows = [
        {"q": "a", "pos": "p", "neg": ["n", "m"]},
        {"q": "a", "pos": "p", "neg": ["m", "n"]},
        {"q": "a", "pos": "p", "neg": ["n", "m"], "weight": 9},
        {"q": "a", "pos": "p", "neg": ["n", "m"], "trusted": [False, True]},
        {"q": "a", "pos": "p", "neg": ["m", "n", "m"], "trusted": [False, False, True]},
    ]
    columns = {name: [row.get(name) for row in rows] for name in ("q", "pos", "neg", "weight", "trusted")}
    pairs = read_pairs(write_jsonl(Path("pairs.jsonl"), columns))
    assert pairs.places.tolist() == [1, 3, 4]
    assert pairs.weights.tolist() == [1, 9, 1]
    assert pairs.trusted.tolist() == [False, False, False, False, False, True]
    assert pairs.dropped == {REPEATED_NEGATIVE: 1, REPEATED: 2}


def test_a_negative_that_stands_twice_counts_once():
    """As the doctor says, it counted twice in the loss."""
    rows = {"q": ["a"], "pos": ["p"], "neg": [["n", "m", "n"]], "trusted": [[False, False, True]]}
    pairs = read_pairs(write_jsonl(Path("pairs.jsonl"), rows))
    assert as_rows(pairs) == [("a", "p", ["m", "n"])]
    assert pairs.trusted.tolist() == [False, True]
    assert pairs.dropped == {REPEATED_NEGATIVE: 1}
