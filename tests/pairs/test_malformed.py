"""Every kind of bad input is one line that says where, what, and what to do."""

# ruff: noqa: E501  (each case is one line: the input and the whole message)

import os
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs_samples import write_jsonl, write_separated

from gistembed.errors import UserError
from gistembed.pairs import read_pairs
from gistembed.pairs.sources.arrow_tables import open_dataset

NEEDED = "Every row needs an anchor and a positive; drop or fill the row."
TEXT = "Write it as text or drop the row."
OBJECT = "Each line must be one whole JSON object."
QUOTES = 'End lines with a line feed, and write a quote inside a quoted field as "".'
USAGE = "--columns anchor=NAME,positive=NAME[,negative=NAME]"
READABLE = (
    "a .jsonl, .ndjson, .json, .csv or .tsv file (also .gz or .zst), a .parquet, .arrow or .feather file, "
    "or a folder of BEIR, Tevatron, MS MARCO or `datasets`"
)
GOOD = b'{"q": "a", "pos": "b"}\n'
HEAD = b"q,pos,neg\n"

JSONL = {
    b"\n \n": ": there are no rows.",
    b"{}\n": ": there are no rows.",
    GOOD + b'{"q": "a", "pos": \n': f":2: the line is not valid JSON at column 18 (Expecting value). {OBJECT}",
    GOOD + b"not json": f":2: the line is not valid JSON at column 1 (Expecting value). {OBJECT}",
    GOOD + b'{"q": "a", "pos": "b"} x': f":2: the line is not valid JSON at column 24 (Extra data). {OBJECT}",
    GOOD + b'{"q": "a\tb", "pos": "b"}': f":2: the line is not valid JSON at column 9 (Invalid control character at). {OBJECT}",
    GOOD + b'{"q": "\0", "pos": "b"}': f":2: the line is not valid JSON at column 8 (Invalid control character at). {OBJECT}",
    b'[\n{"q": "a", "pos": "b"}\n]\n': f":1: the line is not valid JSON at column 2 (Expecting value). {OBJECT}",
    b'{\n"q": "a", "pos": "b"\n}\n': f":1: the line is not valid JSON at column 2 (Expecting property name enclosed in double quotes). {OBJECT}",
    GOOD + b'["a", "b"]': f":2: the line is not an object but ['a', 'b']. {OBJECT}",
    GOOD + b'"a"': f":2: the line is not an object but 'a'. {OBJECT}",
    GOOD + b"null": f":2: the line is not an object but None. {OBJECT}",
    GOOD + b'{"q": "a", "q": "c", "pos": "b"}': f":2: the line is not readable (a key stands twice in one object). {OBJECT}",
    GOOD + b"[" * 100_000: f":2: the line is nested too deeply. {OBJECT}",
    GOOD + b"1" * 5000: f":2: the line is not readable (Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits). {OBJECT}",
    GOOD + b'\n{"q": "\xff", "pos": "b"}': ":3: byte 0xff at column 8 is not valid UTF-8. Save the file as UTF-8 or drop the line.",
    b'\xef\xbb\xbf{"q": "\xe9", "pos": "b"}': ":1: byte 0xe9 at column 8 is not valid UTF-8. Save the file as UTF-8 or drop the line.",
    '{"q": "a"}'.encode("utf-16"): ":1: the file is UTF-16 or UTF-32. Save it as UTF-8.",
    b"\xfe\xff" + '{"q": "a"}'.encode("utf-16-be"): ":1: the file is UTF-16 or UTF-32. Save it as UTF-8.",
    GOOD + b'{"pos": "b"}': f":2: column 'q' is missing. {NEEDED}",
    GOOD + b'{"q": "a"}': f":2: column 'pos' is missing. {NEEDED}",
    GOOD + b'{"q": "a", "pos": null}': f":2: column 'pos' is null. {NEEDED}",
    GOOD + b'{"q": "", "pos": "b"}': f":2: column 'q' is empty. {NEEDED}",
    GOOD + b'{"q": " \\n\\t\\u3000", "pos": "b"}': f":2: column 'q' holds only white space. {NEEDED}",
    GOOD + b'{"q": 42, "pos": "b"}': f":2: column 'q' holds a number (42), not text. {TEXT}",
    GOOD + b'{"q": "a", "pos": 1.5}': f":2: column 'pos' holds a number (1.5), not text. {TEXT}",
    GOOD + b'{"q": "a", "pos": NaN}': f":2: column 'pos' holds a number (nan), not text. {TEXT}",
    GOOD + b'{"q": "a", "pos": true}': f":2: column 'pos' holds a boolean (True), not text. {TEXT}",
    GOOD + b'{"q": "a", "pos": {"words": "x\\ny"}}': f":2: column 'pos' holds an object ({{'words': 'x\\ny'}}), not text. {TEXT}",
    GOOD + b'{"q": ["a"], "pos": "b"}': ":2: column 'q' holds a list. An anchor is one text; write a row for each.",
    GOOD + b'{"q": "a", "pos": []}': f":2: column 'pos' is an empty list. {NEEDED}",
    GOOD + b'{"q": "a", "pos": ["b", null]}': f":2: column 'pos', item 2 is null. {NEEDED}",
    GOOD + b'{"q": "a", "pos": ["b", " "]}': f":2: column 'pos', item 2 holds only white space. {NEEDED}",
    GOOD + b'{"q": "a", "pos": ["b", ["c"]]}': f":2: column 'pos', item 2 holds a list (['c']), not text. {TEXT}",
    GOOD + b'{"q": "a", "pos": "b", "neg": 0}': f":2: column 'neg' holds a number (0), not text. {TEXT}",
    GOOD + b'{"q": "a", "pos": "b", "neg": ["c", false]}': f":2: column 'neg', item 2 holds a boolean (False), not text. {TEXT}",
    GOOD + b'{"q": "a\\ud800", "pos": "b"}': ":2: column 'q' holds half a surrogate pair ('\\ud800') at position 2. Mend or drop the row.",
    GOOD + b'{"q": "a", "pos": "b", "neg": ["\\udfff"]}': ":2: column 'neg', item 1 holds half a surrogate pair ('\\udfff') at position 1. Mend or drop the row.",
    GOOD + b'{"q": "a", "pos": "bc\\u0000"}': ":2: column 'pos' holds a NUL character at position 3. Mend or drop the row.",
    b'{"q": "a", "pos": "a"}\n': ": no pairs are left; left out were pairs whose positive is the same text as the anchor (1).",
    b'{"q": "a", "pos": "b", "score": 0.2}': ": column 'score' suggests that not every row is a positive pair. Say from which value on it is with --min-score, or use all rows with --columns anchor=q,positive=pos",
    GOOD + b'{"q": "a", "pos": "b", "question": "c"}': f": columns 'q', 'question' could each be the anchor. The columns are 'q', 'pos', 'question'; rename all but one, or say which to use with {USAGE}.",
    GOOD + b'{"q": "a", "pos": ' + b"[" * 300 + b"]" * 300 + b"}": f":2: column 'pos', item 1 holds a list ([[[[[[[...]]]]]]]), not text. {TEXT}",
}  # fmt: skip

CSV = {
    b"": ": the file is empty.",
    b"\n\n": ": there are no rows.",
    b"q,pos\n": ": there are no rows.",
    b"a,b\nq,pos\n": f": no column is known as the anchor. The columns are 'a', 'b'; name one 'anchor', or say which to use with {USAGE}.",
    b"q;pos\na;b\n": ":1: the one column is named 'q;pos'. If semicolons part the columns, part them by commas.",
    b"q\tpos\na\tb\n": ":1: the one column is named 'q\\tpos'. If tabs part the columns, name the file .tsv.",
    b"q,pos,q\na,b,c\n": ":1: two columns are named 'q'. Give each its own name.",
    b"\n, \na,b\n": ":2: no column has a name. Name them in this line.",
    b",q,pos\n0,a\n": ":2: the row has 2 fields, but the header has 3 ('', 'q', 'pos'). Put quotes around fields that hold the delimiter.",
    HEAD + b"a,b,c\na,b\n": ":3: the row has 2 fields, but the header has 3 ('q', 'pos', 'neg'). Put quotes around fields that hold the delimiter.",
    HEAD + b"a,b,c,d\n": ":2: the row has 4 fields, but the header has 3 ('q', 'pos', 'neg'). Put quotes around fields that hold the delimiter.",
    HEAD + b"a,b,\n\"a,b,c\nd,e,f\n": f":3: a quoted field begins here and is never closed. {QUOTES}",
    HEAD + b'a,"b" x,c\n': f":2: the quotes don't match (',' expected after '\"'). {QUOTES}",
    HEAD + b"a,b,c\rd,e,f\r": f":2: a carriage return stands outside quotes. {QUOTES}",
    HEAD + b",b,c\n": f":2: column 'q' is empty. {NEEDED}",
    HEAD + b'"a\nb",c,\nd,"",\n': f":4: column 'pos' is empty. {NEEDED}",
    HEAD + b"a,   ,c\n": f":2: column 'pos' holds only white space. {NEEDED}",
    HEAD + b"a,b\xff,c\n": ":2: byte 0xff at column 4 is not valid UTF-8. Save the file as UTF-8 or drop the line.",
    HEAD + b"a,\xc3": ":2: byte 0xc3 at column 3 is not valid UTF-8. Save the file as UTF-8 or drop the line.",
    "q,pos\na,b\n".encode("utf-16"): ":1: the file is UTF-16 or UTF-32. Save it as UTF-8.",
    HEAD + b"a\0,b,c\n": ":2: column 'q' holds a NUL character at position 2. Mend or drop the row.",
    HEAD + b"a,a,b\n": ": no pairs are left; left out were pairs whose positive is the same text as the anchor (1).",
    b"sentence1,sentence2,label\na,b,0\n": ": column 'label' suggests that not every row is a positive pair. Say from which value on it is with --min-score, or use all rows with --columns anchor=sentence1,positive=sentence2",
}  # fmt: skip

TSV = {
    b'q\tpos\n"a"b\tc\n': f":2: the quotes don't match ('\\t' expected after '\"'). {QUOTES}",
    b"q\tpos\na\tb\tc\n": ":2: the row has 3 fields, but the header has 2 ('q', 'pos'). Put quotes around fields that hold the delimiter.",
    b'q\tpos\na\tb\n"a\tb\n': f":3: a quoted field begins here and is never closed. {QUOTES}",
    b"q\tpos\n \tb\n": f":2: column 'q' holds only white space. {NEEDED}",
    b"q,pos\na,b\n": ":1: the one column is named 'q,pos'. If commas part the columns, part them by tabs, or name the file .csv.",
    b"q;pos\na;b\n": ":1: the one column is named 'q;pos'. If semicolons part the columns, part them by tabs.",
}  # fmt: skip

ARROW = [
    ([], [], ": there are no rows."),
    (["a", None], ["b", "b"], f": row 2: column 'q' is null. {NEEDED}"),
    (["a", "c"], ["b", ""], f": row 2: column 'pos' is empty. {NEEDED}"),
    (["a", "\u2003"], ["b", "b"], f": row 2: column 'q' holds only white space. {NEEDED}"),
    ([1, 2], ["b", "b"], f": row 1: column 'q' holds a number (1), not text. {TEXT}"),
    ([True], ["b"], f": row 1: column 'q' holds a boolean (True), not text. {TEXT}"),
    (["a"], [float("nan")], f": row 1: column 'pos' holds a number (nan), not text. {TEXT}"),
    (["a"], [b"b\n"], f": row 1: column 'pos' holds bytes (b'b\\n'), not text. {TEXT}"),
    (["a"], [{"words": "b"}], f": row 1: column 'pos' holds an object ({{'words': 'b'}}), not text. {TEXT}"),
    ([["a"]], ["b"], ": row 1: column 'q' holds a list. An anchor is one text; write a row for each."),
    (["a", "c"], [["b"], []], f": row 2: column 'pos' is an empty list. {NEEDED}"),
    (["a", "c"], [["b"], ["b", None]], f": row 2: column 'pos', item 2 is null. {NEEDED}"),
    (["a"], ["b\0"], ": row 1: column 'pos' holds a NUL character at position 2. Mend or drop the row."),
    (
        ["a"],
        ["a"],
        ": no pairs are left; left out were pairs whose positive is the same text as the anchor (1).",
    ),
]


def assert_refused(source: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_pairs(source)
    assert str(error.value) == message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (name, content, message)
        for name, cases in {"p.jsonl": JSONL, "p.csv": CSV, "p.tsv": TSV}.items()
        for content, message in cases.items()
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
def test_text_file(name, content, message):
    Path(name).write_bytes(content)
    assert_refused(name, f"{name}{message}")


@pytest.mark.parametrize(("anchors", "positives", "message"), ARROW)
def test_parquet(anchors, positives, message):
    pq.write_table(pa.table({"q": anchors, "pos": positives}), "p.parquet")
    assert_refused("p.parquet", f"p.parquet{message}")


@pytest.mark.parametrize(("anchors", "positives", "message"), ARROW)
def test_dataset(anchors, positives, message):
    assert_refused(datasets.Dataset.from_dict({"q": anchors, "pos": positives}), f"dataset{message}")


def test_parquet_that_is_none():
    Path("p.parquet").write_bytes(b"q,pos\na,b\n")
    with pytest.raises(UserError) as error:
        read_pairs("p.parquet")
    assert str(error.value).startswith(
        "p.parquet: the file is not readable Parquet ('Parquet magic bytes not found"
    )
    assert str(error.value).endswith("…). Write it anew.")
    assert str(error.value).isprintable()


def test_parquet_with_damaged_pages():
    pq.write_table(
        pa.table({"q": [f"a{i}" for i in range(9)], "pos": [f"b{i}" for i in range(9)]}), "p.parquet"
    )
    content = bytearray(Path("p.parquet").read_bytes())
    content[4:60] = b"\xff" * 56
    Path("p.parquet").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_pairs("p.parquet")
    assert str(error.value).startswith("p.parquet: the rows after row 0 are not readable (")
    assert str(error.value).isprintable()


def test_parquet_with_two_columns_of_one_name():
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 3, names=["q", "pos", "q"]), "p.parquet")
    assert_refused("p.parquet", "p.parquet: two columns are named 'q'. Give each its own name.")


def test_parquet_text_that_is_not_utf8():
    damaged = pa.array([b"b", b"b\xff"]).view(pa.string())
    pq.write_table(pa.table({"q": ["a", "c"], "pos": damaged}), "p.parquet")
    assert_refused(
        "p.parquet",
        "p.parquet: row 2: column 'pos' holds a value that is not text "
        "(\"'utf-8' codec can't decode byte 0xff in position 1: invali…). Mend or drop the row.",
    )


def test_missing_file():
    assert_refused("", f"the name of the source is empty. Give {READABLE}.")
    assert_refused("no\nsuch.csv", "no\\nsuch.csv: there is no such file or folder.")


def test_a_pipe_is_not_an_empty_file():
    os.mkfifo("pipe.csv")
    assert_refused(
        "pipe.csv", "pipe.csv: a pipe or a device, not a file. Write what it gives to a file first."
    )


def test_file_that_the_system_refuses():
    Path("loop.csv").symlink_to("loop.csv")
    assert_refused("loop.csv", "loop.csv: the file can't be read (Too many levels of symbolic links).")


def test_folder_that_is_no_dataset():
    Path("folder").mkdir()
    message = (
        f"folder: the folder is not one that `datasets` saved to disk, or it is damaged. Give {READABLE}."
    )
    assert_refused("folder", message)
    Path("folder/state.json").write_text("{")
    for damaged in ["{", "{}", "[]", "null"]:
        Path("folder/dataset_info.json").write_text(damaged)
        assert_refused("folder", message)


@pytest.mark.parametrize(("name", "ending"), [("pairs.txt", "'.txt'"), ("pairs", "''"), ("pairs.gz", "''")])
def test_unknown_ending(name, ending):
    Path(name).write_text("x")
    assert_refused(
        name,
        f"{name}: the ending {ending} doesn't tell the format. Give {READABLE}.",
    )


def test_dataset_dict_without_a_clear_split():
    data = datasets.Dataset.from_dict({"q": ["a"], "pos": ["b"]})
    message = ": no split is named 'train'; the splits are 'dev', 'test'. Give one split as the data."
    splits = datasets.DatasetDict({"dev": data, "test": data})
    assert_refused(splits, f"dataset{message}")
    splits.save_to_disk("saved")
    assert_refused("saved", f"saved{message}")
    assert_refused(
        datasets.DatasetDict(),
        "dataset: no split is named 'train'; there is no split. Give one split as the data.",
    )


def test_object_that_holds_no_rows():
    with pytest.raises(UserError) as error:
        open_dataset([("a", "b")])
    assert str(error.value) == (
        "dataset: pairs are read from a path, a datasets.Dataset or a datasets.DatasetDict, not from a list."
    )


WHICH_ID = "rename all but one, or say which to use with --columns …,anchor_id=NAME."


def test_ids_that_come_under_another_name_later(monkeypatch):
    """The ids of later rows were dropped without a word, with those of their whole blocks."""
    monkeypatch.setattr("gistembed.pairs.sources.text_files.BLOCK_ROWS", 2)
    lines = [
        *('{"qid": "1", "q": "a", "pos": "b"}', '{"qid": "2", "q": "c", "pos": "d"}'),
        *('{"query_id": "3", "q": "e", "pos": "f"}', '{"url": "u", "q": "g", "pos": "h"}'),
    ]
    Path("p.jsonl").write_text("\n".join(lines), "utf-8")
    assert_refused(
        "p.jsonl",
        f"p.jsonl: columns 'qid', 'query_id' could each be the anchor_id. The columns are 'qid', 'q', 'pos', "
        f"'query_id', 'url'; {WHICH_ID}",
    )


def test_two_columns_of_ids():
    """Neither was used, and nothing was said of it."""
    write_separated(Path("p.csv"), {"qid": ["1"], "query_id": ["1"], "q": ["a"], "pos": ["b"]})
    assert_refused(
        "p.csv",
        "p.csv: columns 'qid', 'query_id' could each be the anchor_id. The columns are 'qid', 'query_id', 'q', "
        f"'pos'; {WHICH_ID}",
    )
    named = {"anchor": ["q"], "positive": ["pos"], "anchor_id": ["qid"]}
    assert len(read_pairs("p.csv", columns=named)) == 1


@pytest.mark.parametrize("column", ["x" * 10_000, "line\nbreak" * 100])
def test_long_names_and_values_are_cut(column):
    write_separated(Path("p.csv"), {column: ["a"], "pos": ["b"]})
    with pytest.raises(UserError) as error:
        read_pairs("p.csv")
    assert len(str(error.value)) < 300
    assert str(error.value).isprintable()


def test_a_long_value_is_cut():
    write_jsonl(Path("p.jsonl"), {"q": ["a"], "pos": [{"x" * 1000: ["y" * 10_000] * 100}]})
    with pytest.raises(UserError) as error:
        read_pairs("p.jsonl")
    message = str(error.value)
    assert message.endswith(f"…), not text. {TEXT}")
    assert message.index("…") - message.index("{") == 59


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.sampled_from(["p.jsonl", "p.csv", "p.tsv"]),
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_any_damage_is_read_or_refused_in_one_line(name, damages):
    """Whatever bytes are changed, nothing but a UserError comes out."""
    content = {
        "p.jsonl": b'{"q": "a\\n", "pos": ["b", "\\u00e9"], "neg": null}\n{"q": "c", "pos": ["d"]}\n',
        "p.csv": b'q,pos,neg\n"a\nb","c ""d""",\ne,f,g\n',
        "p.tsv": b"q\tpos\tneg_1\r\na\tb\tc\r\nd\te\t\r\n",
    }[name]
    for position, damage in damages:
        content = content[:position] + damage + content[position + len(damage) // 2 :]
    Path(name).write_bytes(content)
    try:
        message = read_pairs(name).place(0)
    except UserError as error:
        message = str(error)
    assert message.startswith(name)
    assert message.isprintable()
