"""Further columns and further keys: whatever they are called, a copy reads back the same."""

import csv
import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gistembed.errors import UserError
from gistembed.pairs import Grades, Passage, Row, read_pairs, read_rows, write_rows
from gistembed.pairs.rows.columns import ALIASES, GRADES, MORE, tells_role
from gistembed.pairs.writing import layouts
from gistembed.pairs.writing.formats import layout_of
from gistembed.pairs.writing.further import copied_names
from gistembed.pairs.writing.shape import Shape

ROWS = [
    Row(
        Passage("what", id="1", instruction="Find: "),
        (Passage("Title a", id="2", title="Title", score=2.0), Passage("b", id="3", score=1.0)),
        (Passage("c", id="4", trusted=True), Passage("d", score=0.5)),
        task="t",
        weight=0.5,
    ),
    Row(Passage("where"), (Passage("e"),)),
]
PLACES = [
    ("pairs", "o.jsonl"),
    ("pairs", "o.parquet"),
    ("pairs", "o.csv"),
    ("pairs", "o.tsv"),
    ("flagembedding", "o.jsonl"),
    ("tevatron", "o.jsonl"),
    ("labelled", "o.jsonl"),
    ("labelled", "o.csv"),
]

KNOWN = st.sampled_from(
    sorted({alias for known in (ALIASES, MORE) for role in known.values() for alias in role}.union(GRADES))
)
SPELT = st.tuples(
    st.sampled_from(["", "source_", "source_source_", " "]),
    KNOWN,
    st.sampled_from(["", "1", "_2", " 1", "_", "x"]),
).map("".join)
NAMES = SPELT | SPELT.map(str.upper) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def there_and_back(rows, place):
    format, name = place
    path, renamed = Path(name), {}
    path.unlink(missing_ok=True)
    write_rows(rows, path, format=format, lossy=True, on_renamed=renamed.__setitem__)
    grades = Grades(1.0, 0.0) if format == "labelled" else None
    return [row for _, row in read_rows(path, grades=grades)], renamed


@cache
def without_further_columns(place):
    return there_and_back(ROWS, place)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), st.lists(NAMES, unique=True, max_size=4))
def test_whatever_further_columns_are_called(place, names):
    """Were they written as they are, `label` would refuse the copy, `weight` weigh, `positive` overwrite."""
    extra = {name: f"value {number}" for number, name in enumerate(names)}
    read, renamed = there_and_back([row._replace(extra=extra) for row in ROWS], place)
    assert ([row._replace(extra={}) for row in read], {}) == without_further_columns(place)
    assert all(row.extra == {renamed.get(name, name): extra[name] for name in names} for row in read)
    assert there_and_back(read, place) == (read, {})


def test_names_in_a_copy():
    assert copied_names(["url", "label", "Weight", "source_label", "", "negative_7", "weight2"]) == {
        "url": "url",
        "label": "source_source_label",
        "Weight": "source_Weight",
        "source_label": "source_label",
        "": "source_",
        "negative_7": "source_negative_7",
        "weight2": "source_weight2",
    }


@pytest.mark.parametrize(("format", "name"), PLACES)
def test_every_name_that_a_format_writes_tells_its_role(format, name):
    """So no further column that keeps its name can take the place of one."""
    layout, shape = layout_of(Path(name), format), Shape()
    document = Passage("T p", "1", "T", "i", 1.0, True)
    full = Row(Passage("q", "1", "T", "i", 1.0, True), (document,), (document,) * 2, task="t", weight=2.0)
    shape.see(full)
    names = {name for record in layout.records(full, shape) for name in record}
    assert len(names) >= 3
    assert [name for name in names if not tells_role(name)] == []


def test_a_column_called_as_the_format_calls_its_own(run):
    Path("in.csv").write_text("question,answer,positive\nq1,the answer,yes\n", "utf-8")
    command = ("data", "convert", "in.csv", "out.jsonl", "--columns", "anchor=question,positive=answer")
    assert run(*command) == (
        0,
        "1 row in out.jsonl; columns renamed, so that the file reads the same: "
        "'positive' is 'source_positive'\n",
        "",
    )
    assert json.loads(Path("out.jsonl").read_text("utf-8")) == {
        "anchor": "q1", "positive": "the answer", "source_positive": "yes",
    }  # fmt: skip
    Path("out.jsonl").unlink()
    code, out, _ = run(*command, "--json")
    assert (code, json.loads(out)["renamed"]) == (0, {"positive": "source_positive"})


def test_a_label_that_was_no_label_of_ours(run):
    Path("in.csv").write_text("question,answer,label\nq1,a1,0.3\n", "utf-8")
    code, out, _ = run(
        *("data", "convert", "in.csv", "o.jsonl", "--to", "labelled"),
        *("--columns", "anchor=question,positive=answer"),
    )
    assert (code, out) == (
        0,
        "1 row in o.jsonl; columns renamed, so that the file reads the same: 'label' is 'source_label'\n",
    )
    assert json.loads(Path("o.jsonl").read_text("utf-8")) == {
        "sentence1": "q1", "sentence2": "a1", "label": 1, "source_label": "0.3",
    }  # fmt: skip


def test_many_columns_with_another_name(run):
    """Names are cut and counted: a line stays a line."""
    names = [f"weight{number}" for number in range(22)]
    Path("in.jsonl").write_text(json.dumps({"q": "a", "pos": "b"} | dict.fromkeys(names, 1)), "utf-8")
    _, out, _ = run("data", "convert", "in.jsonl", "out.jsonl")
    assert out.endswith(" 'weight19' is 'source_weight19' and 2 more\n")


def test_lists_and_objects_in_further_columns_of_csv():
    """Python's own way of writing them is read by nothing else."""
    extra = {"tags": ["x", "ü"], "more": {"a": None}, "yes": True, "none": None, "text": "['x']"}
    write_rows([Row(Passage("q"), (Passage("p"),), extra=extra)], Path("o.csv"))
    with Path("o.csv").open(encoding="utf-8", newline="") as file:
        (record,) = csv.DictReader(file)
    assert record == {
        "anchor": "q", "positive": "p", "tags": '["x", "ü"]', "more": '{"a": null}', "yes": "True",
        "none": "", "text": "['x']",
    }  # fmt: skip


OBJECTS = {
    "query": "q",
    "pos": [
        {"text": "y", "score": 3, "url": "u", "docid": "1", "id": 7},
        {"text": "z", "title": "T", "at": None},
    ],
    "neg": {"text": "n", "score": "0.5", "place": {"page": 2}},
}


def test_objects_keep_what_stands_in_them():
    Path("in.jsonl").write_text(json.dumps(OBJECTS), "utf-8")
    ((_, row),) = read_rows("in.jsonl")
    assert row.positives == (
        Passage("y", id="1", score=3.0, extra={"url": "u", "id": 7}),
        Passage("T z", title="T"),
    )
    assert row.negatives == (Passage("n", score=0.5, extra={"place": {"page": 2}}),)
    for name in ("o.jsonl", "o.parquet"):
        write_rows(iter([row]), Path(name))
        assert [read for _, read in read_rows(name)] == [row]
    assert json.loads(Path("o.jsonl").read_text("utf-8")) == {
        "anchor": "q",
        "positive": [
            {"docid": "1", "text": "y", "score": 3.0, "url": "u", "id": 7},
            {"title": "T", "text": "z"},
        ],
        "negative": {"text": "n", "score": 0.5, "place": {"page": 2}},
    }


def test_tevatron_keeps_what_stands_in_objects():
    Path("in.jsonl").write_text(json.dumps(OBJECTS), "utf-8")
    rows = [row for _, row in read_rows("in.jsonl")]
    write_rows(rows, Path("o.jsonl"), format="tevatron")
    record = json.loads(Path("o.jsonl").read_text("utf-8"))
    assert record["positive_passages"][0] == {
        "docid": "1", "title": "", "text": "y", "score": 3.0, "url": "u", "id": 7,
    }  # fmt: skip
    assert record["negative_passages"][0]["place"] == {"page": 2}


def test_keys_that_a_format_has_no_place_for(run):
    Path("in.jsonl").write_text(json.dumps(OBJECTS), "utf-8")
    code, out, err = run("data", "convert", "in.jsonl", "o.csv")
    assert (code, out) == (2, "")
    assert err == (
        "gistembed: o.csv: pairs has no place for negative key place (1 row), positive key id (1 row), "
        "positive key url (1 row); choose another format, or leave it out with --lossy\n"
    )
    assert run("data", "convert", "in.jsonl", "o.csv", "--lossy") == (0, "1 row in o.csv\n", "")
    assert Path("o.csv").read_text("utf-8").splitlines()[0] == (
        "anchor,positive,negative,positive_id,positive_title,positive_score,negative_score"
    )


def test_a_key_that_cannot_be_written():
    row = Row(Passage("q"), (Passage("p", extra={"at": b"1"}),))
    with pytest.raises(UserError) as error:
        write_rows([row], Path("o.jsonl"))
    assert str(error.value) == (
        "o.jsonl: row 1 of those to write: key 'at' holds bytes (b'1'), which can't be converted. "
        "Write it as text, or take the key out."
    )
    assert write_rows(iter([row]), Path("o.jsonl"), format="sentence-transformers", lossy=True) == 1


def test_a_score_in_an_object_is_a_number():
    Path("in.jsonl").write_text('{"q": "a", "pos": {"text": "b", "score": "high"}}', "utf-8")
    with pytest.raises(UserError) as error:
        list(read_rows("in.jsonl"))
    assert str(error.value) == (
        "in.jsonl:1: column 'pos' holds 'high', not a finite number. Mend or drop the row."
    )


TITLED = Row(
    Passage("q"),
    (Passage("Only a title", title="Only a title"), Passage("T p", title="T")),
    (Passage("N", title="N"), Passage("n")),
)


@pytest.mark.parametrize("name", ["o.jsonl", "o.parquet", "o.csv", "o.tsv"])
def test_a_text_that_is_only_its_title(name):
    """Without this, the copy is refused: column 'positive' is empty."""
    write_rows([TITLED], Path(name))
    read = [row for _, row in read_rows(name)]
    assert [one for row in read for one in row.positives] == list(TITLED.positives)
    assert read[0].negatives == TITLED.negatives


def test_a_blank_text_without_a_title_is_still_refused():
    Path("in.csv").write_text("q,pos,pos_title\na,,T\nb,, \n", "utf-8")
    with pytest.raises(UserError) as error:
        list(read_rows("in.csv"))
    assert str(error.value) == (
        "in.csv:3: column 'pos' is empty. Every row needs an anchor and a positive; drop or fill the row."
    )


def test_a_title_in_a_column_takes_the_place_of_the_object_s():
    """Both before the text would be a text that nobody wrote: "U T x"."""
    row = {"q": "a", "pos": {"text": "x", "title": "T"}, "pos_title": "U"}
    Path("in.jsonl").write_text(json.dumps(row), "utf-8")
    pairs = read_pairs("in.jsonl")
    assert pairs.texts[int(pairs.positives[0])] == "U x"


def test_triples_keep_their_spaces():
    """Only what parts fields and lines is lost in a text; spaces are as they were."""
    row = Row(Passage("a  b "), (Passage("p\u00a0q"),), (Passage(" n\u2028m"),))
    write_rows([row], Path("triples.tsv"), format="triples")
    assert [read for _, read in read_rows("triples.tsv")] == [row]
    parted = row._replace(anchor=Passage("a\t\r\n b"))
    write_rows([parted], Path("triples-2.tsv"), format="triples", lossy=True)
    assert [read.anchor.text for _, read in read_rows("triples-2.tsv")] == ["a  b"]


def test_every_layout_is_tried():
    open_to_columns = {
        name
        for name in vars(layouts)
        if isinstance(kind := getattr(layouts, name), type)
        and issubclass(kind, layouts.Layout)
        and "column" in kind.holds
    }
    assert open_to_columns == {"Lists", "Columns", "FlagEmbedding", "Tevatron", "Labelled"}
