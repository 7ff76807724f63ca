"""What is in the source arrives, character by character, from every format."""

import csv
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs_samples import WRITERS, as_rows, rows_of_texts, write_jsonl, write_parquet, write_separated

from gistembed.errors import UserError
from gistembed.pairs import Pairs, Texts, read_pairs, read_rows
from gistembed.pairs.clean import OWN_NEGATIVE, REPEATED, SAME_TEXT

RAW_TEXTS = [
    " Straße\t",
    "e\u0301 ≠ é",
    'a "quoted", text',
    "two\nlines\r\nand more",
    "中文 \U0001f600",
    "NA",
    "\ufeffBOM",
]


def columns_of(rows):
    return dict(zip(["anchor", "positive", "negative"], map(list, zip(*rows, strict=True)), strict=True))


def places(pairs: Pairs) -> list[str]:
    return [pairs.place(row) for row in range(len(pairs))]


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_keeps_texts_raw(name):
    columns = {
        "id": [str(number) for number in range(len(RAW_TEXTS))],
        "answer": [f"{text}|" for text in RAW_TEXTS],
        "question": RAW_TEXTS,
    }
    source = WRITERS[name](Path(name), columns)
    pairs = read_pairs(source)
    assert as_rows(pairs) == [(text, f"{text}|", []) for text in RAW_TEXTS]
    assert pairs.source == name
    assert pairs.rows_read == len(RAW_TEXTS)
    assert pairs.dropped == {}
    assert pairs.columns.anchor == "question"
    assert pairs.columns.ignored == ("id",)
    assert pairs.anchors.tolist() == [2 * number for number in range(len(RAW_TEXTS))]


def test_every_format_has_the_same_digest():
    columns = {"question": RAW_TEXTS, "answer": RAW_TEXTS[1:] + RAW_TEXTS[:1]}
    digests = {read_pairs(writer(Path(name), columns)).digest() for name, writer in WRITERS.items()}
    assert len(digests) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)] * 2
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["pairs.csv", "pairs.tsv", "pairs.jsonl", "pairs.parquet"]),
)
def test_any_text_arrives_unchanged(rows, name):
    rows = [(f"a{anchor}", f"p{positive}") for anchor, positive in dict.fromkeys(rows)]
    anchors, positives = (list(column) for column in zip(*rows, strict=True))
    source = WRITERS[name](Path(name), {"anchor": anchors, "positive": positives})
    assert as_rows(read_pairs(source)) == [(*row, []) for row in rows]


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet", "pairs"])
def test_lists_give_a_pair_for_each_positive(name):
    columns = {
        "query": ["q1", "q2"],
        "pos": [["p1", "p2"], ["p3"]],
        "neg": [["n1", "n2"], []],
        "neg_2": [None, ["", None, " ", "n3"]],
    }
    pairs = read_pairs(WRITERS[name](Path(name), columns))
    assert as_rows(pairs) == [("q1", "p1", ["n1", "n2"]), ("q1", "p2", ["n1", "n2"]), ("q2", "p3", ["n3"])]
    assert pairs.rows_read == 2
    assert (
        places(pairs)
        == {
            "pairs.jsonl": ["pairs.jsonl:1", "pairs.jsonl:1", "pairs.jsonl:2"],
            "pairs.parquet": ["pairs.parquet: row 1", "pairs.parquet: row 1", "pairs.parquet: row 2"],
            "pairs": ["pairs: row 1", "pairs: row 1", "pairs: row 2"],
        }[name]
    )


def test_jsonl_keys_may_come_late_or_not_at_all():
    """A negative that first occurs in line 3 is not lost, and blank lines are no rows."""
    Path("pairs.jsonl").write_text(
        '{"q":"a","a":1,"pos":"b"}\n\n{"pos":"d","q":"c","neg_1":"n"}\n  \n', "utf-8"
    )
    pairs = read_pairs("pairs.jsonl")
    assert as_rows(pairs) == [("a", "b", []), ("c", "d", ["n"])]
    assert places(pairs) == ["pairs.jsonl:1", "pairs.jsonl:3"]
    assert pairs.columns.ignored == ("a",)


def test_csv_places_are_the_lines_on_which_rows_begin():
    Path("pairs.csv").write_bytes(b'\n"anchor","positive"\r\n"two\r\nlines",b\r\n\r\nc,"d\n\n"\ne,f')
    pairs = read_pairs("pairs.csv")
    assert as_rows(pairs) == [("two\r\nlines", "b", []), ("c", "d\n\n", []), ("e", "f", [])]
    assert places(pairs) == ["pairs.csv:3", "pairs.csv:6", "pairs.csv:9"]


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl"])
def test_byte_order_mark_is_no_part_of_the_first_column(name):
    source = WRITERS[name](Path(name), {"anchor": ["a"], "positive": ["b"]})
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
    assert as_rows(read_pairs(source)) == [("a", "b", [])]


def test_long_fields_are_read_and_the_limit_is_restored():
    """The csv module's own limit is 131,072 characters."""
    long = "x" * 1_000_000
    limit = csv.field_size_limit()
    assert as_rows(read_pairs(write_separated(Path("pairs.csv"), {"q": ["a"], "pos": [long]}))) == [
        ("a", long, [])
    ]
    assert csv.field_size_limit() == limit
    with pytest.raises(UserError):
        read_pairs(write_separated(Path("pairs.csv"), {"q": ["a", "b", "c"], "pos": [long, "", "d"]}))
    assert csv.field_size_limit() == limit


def test_parquet_places_count_across_batches(monkeypatch):
    monkeypatch.setattr("gistembed.pairs.sources.arrow_tables.BLOCK_ROWS", 2)
    columns = {"q": [f"q{number}" for number in range(5)], "pos": [f"p{number}" for number in range(5)]}
    pairs = read_pairs(write_parquet(Path("pairs.parquet"), columns))
    assert places(pairs) == [f"pairs.parquet: row {number}" for number in range(1, 6)]


def test_parquet_text_types():
    columns = {
        "anchor": pa.array(["a", "b"], pa.large_string()),
        "positive": pa.array(["c", "d"]).dictionary_encode(),
        "neg": pa.array([["e"], None], pa.large_list(pa.string())),
        "neg_2": pa.array([None, None], pa.null()),
        "vector": pa.array([[1.0], [2.0]]),
    }
    pq.write_table(pa.table(columns), "pairs.parquet")
    assert as_rows(read_pairs("pairs.parquet")) == [("a", "c", ["e"]), ("b", "d", [])]


def test_dataset_in_memory_with_rows_selected():
    data = datasets.Dataset.from_dict({"anchor": ["a", "b", "c"], "positive": ["d", "e", "f"]})
    pairs = read_pairs(data.select([2, 0]).with_format("numpy"))
    assert as_rows(pairs) == [("c", "f", []), ("a", "d", [])]
    assert places(pairs) == ["dataset: row 1", "dataset: row 2"]


@pytest.mark.parametrize(("splits", "read"), [(["test", "train"], "train"), (["only"], "only")])
def test_split_of_a_dataset_dict(splits, read):
    data = datasets.DatasetDict(
        {split: datasets.Dataset.from_dict({"anchor": [split], "positive": ["p"]}) for split in splits}
    )
    assert as_rows(read_pairs(data)) == [(read, "p", [])]
    assert read_pairs(data).source == f"dataset/{read}"
    data.save_to_disk("saved")
    assert as_rows(read_pairs("saved")) == [(read, "p", [])]
    assert read_pairs("saved").place(0) == f"saved/{read}: row 1"


def test_columns_that_the_user_names():
    source = write_jsonl(
        Path("pairs.jsonl"), {"x": ["a"], "y": ["b"], "z": ["c"], "neg": ["d"], "label": ["e"]}
    )
    roles = {"anchor": ["z"], "positive": ["x", "y"], "negative": ["label"]}
    assert as_rows(read_pairs(source, columns=roles)) == [("c", "a", ["e"]), ("c", "b", ["e"])]


def test_a_shared_table_gives_a_text_the_same_id_in_both_sources():
    texts = Texts()
    train = read_pairs(write_jsonl(Path("train.jsonl"), {"q": ["a", "b"], "pos": ["c", "d"]}), texts=texts)
    evaluation = read_pairs(
        write_jsonl(Path("eval.jsonl"), {"q": ["x", "b"], "pos": ["d", "y"]}), texts=texts
    )
    assert train.texts is evaluation.texts
    assert evaluation.anchors.tolist() == [4, 2]
    assert evaluation.positives.tolist() == [3, 5]


def test_what_says_nothing_or_the_contrary_is_left_out_and_counted():
    """Rows 2 and 7 repeat, row 3 is its own answer; b belongs to a, though another row says so."""
    rows = [
        ("a", "b", ["x"]),
        ("a", "b", ["x"]),
        ("c", "c", ["x"]),
        ("a", "d", ["b", "x", "a"]),
        ("a", "b", ["y"]),
        ("b", "a", ["d"]),
        ("a", "b", ["d", "x"]),
    ]
    source = write_jsonl(Path("pairs.jsonl"), columns_of(rows))
    pairs = read_pairs(source)
    assert as_rows(pairs) == [("a", "b", ["x"]), ("a", "d", ["x"]), ("a", "b", ["y"]), ("b", "a", ["d"])]
    assert pairs.dropped == {SAME_TEXT: 1, OWN_NEGATIVE: 3, REPEATED: 2}
    assert pairs.rows_read == 7
    assert [pairs.place(row) for row in range(4)] == [f"pairs.jsonl:{line}" for line in (1, 4, 5, 6)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(rows_of_texts(texts=4, max_size=12))
def test_cleaning_equals_its_definition(rows):
    known = {(anchor, positive) for anchor, positive, _ in rows if anchor != positive}
    cleaned = []
    for anchor, positive, negatives in rows:
        left = [text for text in negatives if text != anchor and (anchor, text) not in known]
        pair = (anchor, positive, list(dict.fromkeys(left)))
        if anchor != positive and all(
            (*pair[:2], sorted(pair[2])) != (*one[:2], sorted(one[2])) for one in cleaned
        ):
            cleaned.append(pair)
    source = write_jsonl(Path("pairs.jsonl"), columns_of(rows))
    if cleaned:
        assert as_rows(read_pairs(source)) == cleaned
    else:
        with pytest.raises(UserError, match=r"^pairs\.jsonl: no pairs are left; left out were pairs whose"):
            read_pairs(source)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"q": st.sampled_from(["a", "b", "c"]), "pos": st.sampled_from(["x", ["y"], ["z", "x"]])},
            optional={"neg": st.sampled_from([None, "", "n", ["n", "m"], []]), "neg_2": st.just("k")},
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whole_columns_give_what_single_rows_give(monkeypatch, rows):
    """Blocks in which every cell is text are not read row by row."""
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    fast = read_pairs("pairs.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr("gistembed.pairs.read.plain_texts", lambda read: None)
        slow = read_pairs("pairs.jsonl")
    assert fast.digest() == slow.digest()
    assert [fast.texts[text_id] for text_id in range(len(fast.texts))] == [
        slow.texts[text_id] for text_id in range(len(slow.texts))
    ]
    for name in ("anchors", "positives", "negative_offsets", "negative_ids", "places"):
        assert getattr(fast, name).tolist() == getattr(slow, name).tolist()
    assert (fast.rows_read, fast.dropped) == (slow.rows_read, slow.dropped)


def test_keys_that_come_late_are_read_from_there_on(monkeypatch):
    """The columns of a file are those of the rows read so far; a new one is looked at anew."""
    monkeypatch.setattr("gistembed.pairs.sources.text_files.BLOCK_ROWS", 2)
    lines = [{"q": f"q{i}", "pos": f"p{i}"} for i in range(5)] + [{"q": "q5", "pos": "p5", "neg": "n"}]
    Path("pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    pairs = read_pairs("pairs.jsonl")
    assert [row[2] for row in as_rows(pairs)] == [[]] * 5 + [["n"]]
    assert pairs.columns.negatives == ("neg",)
    lines.append({"q": "q6", "pos": "p6", "question": "?"})
    Path("pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(UserError, match=r"^pairs\.jsonl: columns 'q', 'question' could each be the anchor\."):
        read_pairs("pairs.jsonl")


def test_lines_of_csv_that_are_passed_over_move_no_place():
    """The bad line 2 made line 3 the second; and a field that lost its middle line was read without it."""
    Path("pairs.csv").write_bytes(b'q,pos\n\xff,b\nc,d\n"e\n\xff\nf",g\nh,i\n')
    problems = []
    rows = list(read_rows("pairs.csv", on_problem=problems.append))
    assert [(place, row.anchor.text) for place, row in rows] == [(3, "c"), (7, "h")]
    assert [problem.place for problem in problems] == [2, 5]


@pytest.mark.parametrize(
    ("record", "bad"),
    [(b'"caf\xe9 first\nsecond line",an answer\n', 2), (b'"first\nsecond caf\xe9",an answer\n', 3)],
)
def test_a_record_that_is_passed_over_ends_where_it_ends(record, bad):
    """Without its bad line, the first gave a row `second line"`, the second a quote that is never closed."""
    Path("pairs.csv").write_bytes(b"q,pos\n" + record + b"c,d\n")
    problems = []
    rows = list(read_rows("pairs.csv", on_problem=problems.append))
    assert [(place, row.anchor.text) for place, row in rows] == [(4, "c")]
    assert [problem.place for problem in problems] == [bad]


def test_two_files_with_long_fields_are_read_at_once(monkeypatch):
    """The csv module has one limit for all: the file that ended first took it from the other."""
    monkeypatch.setattr("gistembed.pairs.sources.text_files.BLOCK_ROWS", 1)
    limit = csv.field_size_limit()
    long = "x" * 200_000
    write_separated(Path("a.csv"), {"q": ["a"], "pos": ["b"]})
    write_separated(Path("b.csv"), {"q": [f"c{row}" for row in range(3)], "pos": ["d", "e", long]})
    readers = [read_rows(name) for name in ("a.csv", "b.csv")]
    first = [next(reader) for reader in readers]
    assert csv.field_size_limit() == limit
    rest = [list(reader) for reader in readers]
    assert [len(rows) for rows in rest] == [0, 2]
    assert [row.positives[0].text for _, row in (first[1], *rest[1])] == ["d", "e", long]


def test_a_column_of_csv_without_a_name_is_not_used():
    """`to_csv` of pandas writes an index without one, and was refused."""
    Path("pairs.csv").write_bytes(b",q,pos, \r\n0,a,b,\r\n1,c,d,\r\n")
    pairs = read_pairs("pairs.csv")
    assert as_rows(pairs) == [("a", "b", []), ("c", "d", [])]
    assert pairs.columns.ignored == ()


MSMARCO = {
    "collection.tsv": "1\tone\n2\ttwo\n",
    "queries.train.tsv": "7\ttrain\n",
    "queries.dev.tsv": "8\tdev\n9\tsmall\n",
    "queries.dev.small.tsv": "9\tsmall\n",
    "qrels.train.tsv": "7\t0\t1\t1\n",
    "qrels.dev.small.tsv": "9\t0\t2\t1\n",
}


@pytest.mark.parametrize(
    ("without", "more", "rows"),
    [
        ((), {}, [("train", "one", [])]),
        ((), {"qidpidtriples.train.full.2.tsv": "7\t2\t1\n"}, [("train", "two", ["one"])]),
        (("qrels.train.tsv",), {}, [("small", "two", [])]),
        (("qrels.train.tsv", "queries.dev.small.tsv"), {}, [("small", "two", [])]),
        (("queries.train.tsv",), {"queries.tsv": "7\tall\n"}, [("all", "one", [])]),
        (
            ("qrels.train.tsv", "qrels.dev.small.tsv"),
            {"qrels.tsv": "7\t0\t2\t1\n", "queries.tsv": "7\tall\n"},
            [("all", "two", [])],
        ),
    ],
)
def test_msmarco_is_read_with_queries_of_its_split(without, more, rows):
    """The first names in the alphabet were taken: those of dev, beside the triples of train."""
    Path("f").mkdir()
    for name, content in (MSMARCO | more).items():
        if name not in without:
            (Path("f") / name).write_text(content, "utf-8")
    assert as_rows(read_pairs("f")) == rows


def test_collections_that_fill_their_blocks(monkeypatch):
    """Exactly as many queries and documents as are read at once, or twice as many."""
    for module in ("sources.text_files", "collections.folders"):
        monkeypatch.setattr(f"gistembed.pairs.{module}.BLOCK_ROWS", 2)
    Path("f/qrels").mkdir(parents=True)
    documents = {"_id": ["1", "2", "3", "4"], "title": ["", "T", "", ""], "text": ["a", "b", "c", "d"]}
    write_jsonl(Path("f/corpus.jsonl"), documents)
    write_jsonl(Path("f/queries.jsonl"), {"_id": ["8", "9"], "text": ["ask", "seek"]})
    Path("f/qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\n8\t1\t1\n9\t2\t1\n9\t4\t0\n")
    assert as_rows(read_pairs("f")) == [("ask", "a", []), ("seek", "T b", ["d"])]


def test_beir_is_not_read_from_a_file_beside_its_judgements():
    """`train.tsv.bak` and `train.v2.tsv` took the place of `train.tsv`."""
    Path("f/qrels").mkdir(parents=True)
    Path("f/corpus.json").write_text('[{"_id": "1", "text": "one"}, {"_id": "2", "text": "two"}]', "utf-8")
    Path("f/queries.json").write_text('[{"_id": "q", "text": "ask"}]', "utf-8")
    for name, document in {"train.tsv": 1, "train.tsv.bak": 2, "train.v2.tsv": 2}.items():
        Path("f/qrels", name).write_text(f"query-id\tcorpus-id\tscore\nq\t{document}\t1\n", "utf-8")
    pairs = read_pairs("f")
    assert as_rows(pairs) == [("ask", "one", [])]
    assert places(pairs) == ["f/queries.json: row 1"]
    Path("f/qrels/train.tsv").unlink()
    assert as_rows(read_pairs("f")) == [("ask", "two", [])]
