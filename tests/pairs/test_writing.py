"""Every format and kind of file gives back what was written, or refuses."""

# ruff: noqa: E501  (each case is one line: the input and the whole message)

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gistembed.errors import UserError
from gistembed.pairs import FORMATS, Grades, Passage, Row, check_out, read_pairs, read_rows, write_rows
from gistembed.pairs.rows.cells import titled

LISTS = [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".arrow"]
FLAT = [".csv", ".tsv", ".csv.gz"]

SIGNS = st.sampled_from([*"aB é中🙂\"',;\t\n\r|\\{[", "null", "1"])
TEXTS = st.lists(SIGNS, min_size=1, max_size=5).map("".join).filter(lambda text: bool(text.strip()))
NAMES = st.sampled_from(["a", "7", "x y", "ü"])


@st.composite
def passages(draw, role):
    title = draw(st.none() | TEXTS) if role != "anchor" else None
    score = draw(st.none() | st.sampled_from([0.5, 2.0])) if role != "anchor" else None
    return Passage(
        titled(draw(TEXTS), title),
        id=draw(st.none() | NAMES),
        title=title,
        instruction=draw(st.none() | st.sampled_from(["Find: ", "Say it"])),
        score=score,
        trusted=role == "negative" and draw(st.booleans()),
    )


@st.composite
def rows(draw, plain=False):
    row = Row(
        draw(passages("anchor")),
        tuple(draw(st.lists(passages("positive"), min_size=1, max_size=3))),
        tuple(draw(st.lists(passages("negative"), max_size=3))),
        task=draw(st.none() | NAMES),
        weight=draw(st.none() | st.sampled_from([0.0, 0.5, 1.0])),
        extra=draw(st.just({}) | st.fixed_dictionaries({"url": NAMES})),
    )
    return strip(row) if plain else row


def strip(row, keep=()):
    def bare(passage):
        return Passage(passage.text, **{name: getattr(passage, name) for name in keep})

    return Row(bare(row.anchor), tuple(map(bare, row.positives)), tuple(map(bare, row.negatives)))


def as_pairs(rows_read):
    """What a model would be trained on: a pair for each positive, with all that stands beside it."""
    return [
        (row.anchor, positive, row.negatives, row.task, row.weight, {k: v for k, v in row.extra.items() if v})
        for row in rows_read
        for positive in row.positives
    ]


def there_and_back(written, ending, format, **read):
    path = Path(f"out{ending}")
    if path.exists():
        path.unlink() if path.is_file() else shutil.rmtree(path)
    assert write_rows(iter(written), path, format=format) == len(written)
    return [row for _, row in read_rows(path, **read)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*LISTS, *FLAT]), st.lists(rows(), min_size=1, max_size=4))
def test_our_own_format_holds_everything(ending, written):
    if ending in FLAT:
        # A cell of CSV doesn't tell an empty text from none, and a table with one column has no blank rows.
        written = [row._replace(extra={}) for row in written]
    read = there_and_back(written, ending, "pairs")
    assert as_pairs(read) == as_pairs(written)
    if ending in LISTS:
        assert [row._replace(extra={}) for row in read] == [row._replace(extra={}) for row in written]


KEEPS = {
    "sentence-transformers": (),
    "flagembedding": ("id", "instruction"),
    "medi": ("instruction",),
    "medi-flat": ("instruction",),
    "tevatron": (),
    "labelled": (),
}


CASES = [
    (format, ending)
    for format in KEEPS
    for ending in (LISTS + (FLAT if format in ("sentence-transformers", "medi-flat", "labelled") else []))
]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(CASES), st.lists(rows(), min_size=1, max_size=4))
def test_another_format_holds_what_it_says(case, written):
    format, ending = case
    written = [strip(row, KEEPS[format] if format != "flagembedding" else ("id",)) for row in written]
    if format.startswith("medi"):
        written = [row._replace(negatives=row.negatives[:1]) for row in written]
    if format == "labelled":
        # Rows of one anchor have all its negatives, each once.
        first = {}
        for row in written:
            first.setdefault(row.anchor.text, row)
        written = list(first.values())
        read = there_and_back(written, ending, format, grades=Grades(1.0, 0.0))
        texts = [
            (row.anchor.text, positive.text, [*dict.fromkeys(one.text for one in row.negatives)])
            for row in written
            for positive in row.positives
        ]
        assert texts == [
            (row.anchor.text, row.positives[0].text, [one.text for one in row.negatives]) for row in read
        ]
        return
    read = there_and_back(written, ending, format)
    if format == "tevatron":
        read = [strip(row) for row in read]
        written = [strip(row) for row in written]
    assert as_pairs(read) == as_pairs(written)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows(plain=True), min_size=1, max_size=4))
def test_beir_holds_judged_texts(written):
    """The rows of one query are one, and its documents are a set."""
    written = [
        row._replace(negatives=tuple(one._replace(trusted=True) for one in row.negatives)) for row in written
    ]
    read = there_and_back(written, "", "beir")

    def judged(every, role):
        return {(row.anchor.text, one.text) for row in every for one in getattr(row, role)}

    assert judged(read, "positives") == judged(written, "positives")
    assert judged(read, "negatives") == judged(written, "negatives")
    assert all(one.trusted for row in read for one in row.negatives)


def test_beir_keeps_ids_titles_and_grades():
    row = Row(
        Passage("what", id="q1"),
        (Passage("Title one", id="d1", title="Title", score=2.0), Passage("two", id="d2", score=1.0)),
        (Passage("three", id="d 3", trusted=True),),
    )
    assert there_and_back([row], "", "beir") == [row]
    assert Path("out/qrels/train.tsv").read_text("utf-8") == (
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t1\nq1\td 3\t0\n"
    )


@pytest.mark.parametrize("score", [0.0, -1.0, 4.2, 0.5, 1_000_001.0])
def test_scores_that_beir_cannot_hold(score):
    """0 came back as a trusted negative, 4.2 and 1234567 were refused when read."""
    row = Row(Passage("q"), (Passage("p", id="1", score=score), Passage("o", id="2", score=1_000_000.0)))
    with pytest.raises(UserError) as error:
        write_rows([row], Path("o"), format="beir")
    assert str(error.value) == (
        "o: beir has no place for scores of positives that aren't whole numbers from 1 to 1,000,000 (1 row); "
        "choose another format, or leave it out with --lossy"
    )
    write_rows([row], Path("o"), format="beir", lossy=True)
    ((_, read),) = read_rows("o")
    assert [(one.text, one.score) for one in read.positives] == [("p", 1.0), ("o", 1_000_000.0)]


def test_beir_leaves_alone_what_lies_beside():
    """A folder of that name was removed unasked."""
    Path(".o.partial").mkdir()
    Path(".o.partial/kept").touch()
    write_rows([Row(Passage("q"), (Passage("p"),))], Path("o"), format="beir")
    assert sorted(path.name for path in Path().iterdir()) == [".o.partial", "o"]
    assert Path(".o.partial/kept").exists()


def test_triples():
    row = Row(Passage("what"), (Passage('one "x'),), (Passage("two"),))
    write_rows([row], Path("triples.tsv"), format="triples")
    assert Path("triples.tsv").read_text("utf-8") == 'what\tone "x\ttwo\n'
    assert [read for _, read in read_rows("triples.tsv")] == [row]


def test_records_are_what_other_tools_read():
    row = Row(
        Passage("q", instruction="Find: "),
        (Passage("p1", score=0.9), Passage("p2", score=0.5)),
        (Passage("n1", score=0.1), Passage("n2", score=0.2)),
    )
    write_rows([row], Path("fe.jsonl"), format="flagembedding")
    assert json.loads(Path("fe.jsonl").read_text("utf-8")) == {
        "query": "q",
        "pos": ["p1", "p2"],
        "neg": ["n1", "n2"],
        "pos_scores": [0.9, 0.5],
        "neg_scores": [0.1, 0.2],
        "prompt": "Find: ",
    }
    write_rows([strip(row)], Path("st.csv"), format="sentence-transformers")
    assert (
        Path("st.csv").read_text("utf-8") == "anchor,positive,negative_1,negative_2\nq,p1,n1,n2\nq,p2,n1,n2\n"
    )
    one = strip(row, ["instruction"])._replace(negatives=(Passage("n"),), task="nq")
    write_rows([one], Path("medi.jsonl"), format="medi")
    assert json.loads(Path("medi.jsonl").read_text("utf-8").splitlines()[0]) == {
        "query": ["Find: ", "q"],
        "pos": ["", "p1"],
        "neg": ["", "n"],
        "task_name": "nq",
    }
    write_rows([one._replace(task=None, anchor=Passage("q", id="7"))], Path("tev.jsonl"), format="tevatron")
    record = json.loads(Path("tev.jsonl").read_text("utf-8"))
    assert (record["query_id"], record["query"]) == ("7", "q")
    assert record["negative_passages"] == [{"docid": "cbaa0f6724ae8b0a", "title": "", "text": "n"}]


FULL = Row(
    Passage("q", id="1", instruction="I"),
    (Passage("p", id="2", title=None, score=1.0),),
    (Passage("n", trusted=True), Passage("m")),
    task="t",
    weight=0.5,
    extra={"url": "u"},
)


@pytest.mark.parametrize(
    ("path", "format", "message"),
    [
        ("o.csv", "sentence-transformers", "sentence-transformers has no place for anchor id (1 row), anchor instruction (1 row), column url (1 row), negative trusted (1 row), positive id (1 row), positive score (1 row), task (1 row), weight (1 row)"),
        ("o.jsonl", "medi", "medi has no place for anchor id (1 row), column url (1 row), negative trusted (1 row), negatives after the first (1 row), positive id (1 row), positive score (1 row), weight (1 row)"),
        ("o.jsonl", "tevatron", "tevatron has no place for anchor instruction (1 row), negative trusted (1 row)"),
        ("triples.tsv", "triples", "triples has no place for anchor id (1 row), anchor instruction (1 row), column url (1 row), negative trusted (1 row), positive id (1 row), positive score (1 row), task (1 row), weight (1 row), which negatives belong to one pair (1 row)"),
        ("o", "beir", "beir has no place for anchor instruction (1 row), column url (1 row), negatives that nobody judged (1 row), task (1 row), weight (1 row)"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused(path, format, message):
    with pytest.raises(UserError) as error:
        write_rows([FULL], Path(path), format=format)
    assert str(error.value) == f"{path}: {message}; choose another format, or leave it out with --lossy"
    assert not list(Path().iterdir())
    assert write_rows([FULL], Path(path), format=format, lossy=True) == 1
    assert as_pairs([strip(row) for _, row in read_rows(path)])[0][:2] == (Passage("q"), Passage("p"))


def test_refusals():
    for path, format, message in [
        ("o.txt", "pairs", "o.txt: the ending '.txt' tells no format; choose one of .jsonl, .ndjson, .parquet, .arrow, .csv, .tsv"),
        ("o.csv", "flagembedding", "o.csv: flagembedding holds lists, which a .csv file can't; choose one of .jsonl, .ndjson, .parquet, .arrow"),
        ("o.jsonl", "beir", "o.jsonl: beir is a folder; give a name without an ending"),
        ("o.parquet.gz", "pairs", "o.parquet.gz: a .parquet file is packed by itself; leave '.gz' out"),
        ("no/o.jsonl", "pairs", "no/o.jsonl: there is no folder no; make it first"),
        ("o.csv", "triples", "o.csv: triples are a .tsv file, whose name begins with 'triples' to be read again"),
    ]:  # fmt: skip
        with pytest.raises(UserError) as error:
            write_rows([strip(FULL)], Path(path), format=format)
        assert str(error.value) == message
    with pytest.raises(UserError, match=r"^o\.jsonl: there are no rows to write$"):
        write_rows([], Path("o.jsonl"))
    Path("there.jsonl").touch()
    with pytest.raises(
        UserError, match=r"^there\.jsonl: is there already; choose another name, or remove it$"
    ):
        write_rows([FULL], Path("there.jsonl"))
    with pytest.raises(UserError, match=r"^document id '2' names two different texts; give each its own id$"):
        write_rows(
            [Row(Passage("q"), (Passage("a", id="2"), Passage("b", id="2")))], Path("o"), format="beir"
        )
    assert [path.name for path in Path().iterdir()] == ["there.jsonl"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written():
    Path("locked").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"^locked/o\.csv: the folder can't be written; choose another$"):
        check_out(Path("locked/o.csv"))


def test_a_place_is_named_with_its_option():
    Path("there").symlink_to("nowhere")
    for path, format, message in [
        ("o.txt", "pairs", "the ending '.txt' tells no format; choose one of .jsonl, .ndjson, .parquet, .arrow, .csv, .tsv"),
        ("there", "beir", "is there already; choose another name, or remove it"),
    ]:  # fmt: skip
        with pytest.raises(UserError) as error:
            check_out(Path(path), format, option="--fix")
        assert str(error.value) == f"--fix {path}: {message}"


def test_an_ending_in_capitals():
    """`.PARQUET` is read as Parquet, so it has to be written as that."""
    write_rows([strip(FULL)], Path("O.PARQUET"))
    assert [row for _, row in read_rows("O.PARQUET")] == [strip(FULL)]


def test_grades_can_be_used_again():
    """What one reading found must not be counted in the next."""
    Path("in.csv").write_text("sentence1,sentence2,score\nq,p,1\nq,n,0\nq,m,0.5\n")
    grades = Grades(1.0, 0.0)
    once, again = (read_pairs("in.csv", grades=grades) for _ in range(2))
    assert (once.rows_read, once.dropped) == (again.rows_read, again.dropped)
    assert len(once.negative_ids) == len(again.negative_ids) == 1


def test_every_format_is_tried():
    assert set(FORMATS) == {*KEEPS, "pairs", "beir", "triples"}


def test_a_row_that_cannot_be_read_leaves_nothing(run):
    Path("in.jsonl").write_text('{"q": "a", "pos": "b"}\n{"q": "a"}\n', "utf-8")
    code, out, err = run("data", "convert", "in.jsonl", "out.csv")
    assert (code, out) == (2, "")
    assert err == (
        "gistembed: in.jsonl:2: column 'pos' is missing. "
        "Every row needs an anchor and a positive; drop or fill the row.\n"
    )
    assert [path.name for path in Path().iterdir()] == ["in.jsonl"]


def test_convert(run):
    Path("in.csv").write_text("sentence1,sentence2,label\na,b,1\na,c,0\nd,e,0\nf,g,0.5\n", "utf-8")
    code, out, err = run(
        "data",
        "convert",
        "in.csv",
        "out.jsonl",
        "--to",
        "flagembedding",
        "--min-score",
        "1",
        "--max-score",
        "0",
    )
    assert (code, out, err) == (
        0,
        "1 row in out.jsonl\nleft out: rows whose score is neither high enough for a positive nor low enough for a "
        "negative (1), negatives whose anchor has no positive (1)\n",
        "",
    )
    assert json.loads(Path("out.jsonl").read_text("utf-8")) == {
        "query": "a", "pos": ["b"], "neg": ["c"], "pos_scores": [1.0], "neg_scores": [0.0],
    }  # fmt: skip
    pairs = read_pairs("in.csv", grades=Grades(1.0, 0.0))
    assert [pairs.texts[text] for text in pairs.negative_ids] == ["c"]
    assert pairs.dropped == {
        "rows whose score is neither high enough for a positive nor low enough for a negative": 1,
        "negatives whose anchor has no positive": 1,
    }
    assert pairs.rows_read == 4
    code, out, err = run("data", "convert", "in.csv", "o.jsonl", "--max-score", "0")
    assert (code, err) == (
        2,
        "gistembed: --max-score: tells negatives from positives only with --min-score; give both\n",
    )
    code, out, err = run("data", "convert", "in.csv", "o.jsonl", "--min-score", "0", "--max-score", "1")
    assert err == (
        "gistembed: --max-score 1: not below --min-score 0; a row can't be both a positive pair and a negative\n"
    )
    code, out, err = run("data", "convert", "in.csv", "o.jsonl", "--to", "xml")
    assert err == f"gistembed: --to xml: unknown; choose one of {', '.join(FORMATS)}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="a full device is needed")
def test_a_full_folder_of_temporary_files_is_named(monkeypatch):
    """Rows that can be gone through once wait there; the line didn't say which disk was full."""
    monkeypatch.setattr("tempfile.TemporaryFile", lambda *_, **__: open("/dev/full", "w"))  # noqa: SIM115, PTH123
    with pytest.raises(OSError, match="No space left on device") as error:
        write_rows(iter([FULL]), Path("o.jsonl"))
    assert error.value.filename == tempfile.gettempdir()
    assert not list(Path().iterdir())
