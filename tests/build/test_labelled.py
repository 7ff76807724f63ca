"""Labelled texts from every format, and every way in which they can be wrong."""

import json

import numpy as np
import pytest
from datasets import Dataset

from gistembed.build import parse_label_columns, read_labelled
from gistembed.errors import UserError

ROWS = [("where is my card", "card"), ("how do I top up", "top up"), ("my card is late", "card")]


def write(path, names=("text", "label"), rows=ROWS):
    """The rows in the format that the path's ending tells."""
    columns = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    match path.suffix:
        case ".jsonl":
            lines = (json.dumps(dict(zip(names, row, strict=True))) for row in rows)
            path.write_text("\n".join(lines))
        case ".csv" | ".tsv":
            sign = "," if path.suffix == ".csv" else "\t"
            path.write_text("\n".join(sign.join(map(str, row)) for row in [names, *rows]))
        case ".parquet":
            Dataset.from_dict(columns).to_parquet(path)
        case _:
            Dataset.from_dict(columns).save_to_disk(path)
    return path


def as_rows(read):
    return [
        (read.texts[text_id], read.classes[label])
        for text_id, label in zip(read.ids, read.labels, strict=True)
    ]


@pytest.mark.parametrize("file", ["bank.jsonl", "bank.csv", "bank.tsv", "bank.parquet", "bank"])
def test_every_format_gives_the_same_rows(tmp_path, file):
    read = read_labelled(write(tmp_path / file), task="banking")
    assert (as_rows(read), read.task, read.labels.tolist()) == (ROWS, "banking", [0, 1, 0])
    first = 2 if file[-4:] in (".csv", ".tsv") else 1
    assert read.places.tolist() == [first, first + 1, first + 2]
    word = ":" if file[-4:] in (".csv", ".tsv") or file.endswith(".jsonl") else ": row "
    assert read.place(2) == f"{tmp_path / file}{word}{first + 2}"


@pytest.mark.parametrize(
    ("names", "used"),
    [
        (("Sentence", "intent"), (0, 1)),
        (("class", "content"), (1, 0)),
        (("text", "label", "label_text"), (0, 1)),
        (("text", "id", "label_text"), (0, 2)),
    ],
)
def test_columns_are_found_by_name(tmp_path, names, used):
    rows = [[f"{name} {row}" for name in names] for row in range(2)] * 2
    read = read_labelled(write(tmp_path / "data.jsonl", names, rows), task="t")
    assert as_rows(read) == [(row[used[0]], row[used[1]]) for row in rows]


def test_columns_by_name_of_the_user(tmp_path):
    path = write(tmp_path / "data.csv", ("text", "a", "b"), [("x", 1, 2), ("y", 1, 3), ("z", 1, 2)])
    read = read_labelled(path, task="t", columns={"label": "b"})
    assert as_rows(read) == [("x", "2"), ("y", "3"), ("z", "2")]
    read = read_labelled(path, task="t", columns={"label": "b", "text": "a"})
    assert as_rows(read) == [("1", "2"), ("1", "3"), ("1", "2")]


def test_one_class_is_one_class_however_its_number_is_written(tmp_path):
    path = tmp_path / "data.jsonl"
    labels = ["1", "1.0", '"1"', "true", "0", '"one"', "10000000000000000"]
    path.write_text("\n".join(f'{{"text": "a{n}", "label": {label}}}' for n, label in enumerate(labels)))
    read = read_labelled(path, task="t")
    assert read.classes == ("1", "0", "one", "10000000000000000")
    np.testing.assert_array_equal(read.labels, [0, 0, 0, 0, 1, 2, 3])


ADVICE = "Every row needs a text and its class; drop or fill the row."
NUMBERS = "Classes have names or whole numbers; name another column with --columns text=NAME,label=NAME."


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"label": 1}', f"column 'text' is missing. {ADVICE}"),
        ('{"text": null, "label": 1}', f"column 'text' is null. {ADVICE}"),
        ('{"text": "", "label": 1}', f"column 'text' is empty. {ADVICE}"),
        ('{"text": " \\n", "label": 1}', f"column 'text' holds only white space. {ADVICE}"),
        ('{"text": 7, "label": 1}', f"column 'text' holds a number (7), not text. {ADVICE}"),
        ('{"text": ["a"], "label": 1}', f"column 'text' holds a list (['a']), not text. {ADVICE}"),
        ('{"text": "a\\u0000b", "label": 1}', f"column 'text' holds a NUL character at position 2. {ADVICE}"),
        (
            '{"text": "a\\ud800", "label": 1}',
            "column 'text' holds half a surrogate pair ('\\ud800') at position 2. " + ADVICE,
        ),
        ('{"text": "a"}', f"column 'label' is missing. {ADVICE}"),
        ('{"text": "a", "label": null}', f"column 'label' is null. {ADVICE}"),
        ('{"text": "a", "label": " "}', f"column 'label' holds only white space. {ADVICE}"),
        ('{"text": "a", "label": 0.37}', f"column 'label' holds 0.37. {NUMBERS}"),
        ('{"text": "a", "label": NaN}', f"column 'label' holds nan. {NUMBERS}"),
        (
            '{"text": "a", "label": {"x": 1}}',
            f"column 'label' holds an object ({{'x': 1}}), not text. {NUMBERS}",
        ),
        (
            '{"text": "a", "label": [1]}',
            "column 'label' holds a list. A text has one class here; write a row for each, or drop the row.",
        ),
    ],
)
def test_a_cell_that_is_refused_is_named(tmp_path, line, problem):
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"text": "a", "label": 1}}\n{line}\n')
    with pytest.raises(UserError) as error:
        read_labelled(path, task="t")
    assert str(error.value) == f"{path}:2: {problem}"


@pytest.mark.parametrize(
    ("names", "rows", "problem"),
    [
        (
            ("text", "kind"),
            ROWS,
            "no column is known as the label. The columns are 'text', 'kind'; name one 'label', or say which "
            "to use with --columns text=NAME,label=NAME.",
        ),
        (
            ("a", "label"),
            ROWS,
            "no column is known as the text. The columns are 'a', 'label'; name one 'text', or say which to "
            "use with --columns text=NAME,label=NAME.",
        ),
        (
            ("text", "label"),
            [("a", 1), ("b", 1)],
            "every row is of the class '1'. A negative is of another class; give the rows of all classes in "
            "one source.",
        ),
        (
            ("text", "label"),
            [("a", 1), ("b", 2)],
            "no two rows share a class in column 'label'. A positive is of the same class; say which column "
            "holds the classes with --columns text=NAME,label=NAME.",
        ),
    ],
)
def test_a_table_that_gives_no_triplets(tmp_path, names, rows, problem):
    path = write(tmp_path / "data.csv", names, rows)
    with pytest.raises(UserError) as error:
        read_labelled(path, task="t")
    assert str(error.value) == f"{path}: {problem}"


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"text": "b"}, "{path}: there is no column 'b'. The columns are 'text', 'label'."),
        ({"text": "label"}, "--columns: column 'label' can't be both text and label."),
    ],
)
def test_columns_that_don_t_fit(tmp_path, columns, problem):
    path = write(tmp_path / "data.csv")
    with pytest.raises(UserError) as error:
        read_labelled(path, task="t", columns=columns)
    assert str(error.value) == problem.format(path=path)


def test_a_table_without_rows(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("text,label\n")
    with pytest.raises(UserError) as error:
        read_labelled(path, task="t")
    assert str(error.value) == f"{path}: there are no rows."


def test_columns_on_the_command_line():
    assert parse_label_columns("text=a, label = b") == {"text": "a", "label": "b"}
    assert parse_label_columns("label=b") == {"label": "b"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a", "--columns: 'a' is not of the form ROLE=NAME; write --columns text=NAME,label=NAME."),
        ("anchor=a", "--columns: 'anchor' is not a role; write --columns text=NAME,label=NAME."),
        ("text=", "--columns: 'text=' is not of the form ROLE=NAME; write --columns text=NAME,label=NAME."),
        ("text=a,text=b", "--columns: text is given twice; write --columns text=NAME,label=NAME."),
    ],
)
def test_columns_that_can_t_be_read(text, problem):
    with pytest.raises(UserError) as error:
        parse_label_columns(text)
    assert str(error.value) == problem
