"""``gistembed data mtebcls`` from files to a file."""

import gzip
import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from tests.build.reference import draw_by_loops
from tests.real_text import documentation_pairs

from gistembed.models import load_model

ROWS = [
    ("my card is late", "card"),
    ("no card yet", "card"),
    ("top up failed", "top up"),
    ("top up", "top up"),
]


def write_csv(path, rows=ROWS):
    path.write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in rows)]))
    return path


@pytest.fixture
def build(run, tmp_path, static_folder):
    """Run the command on sources, with everything that it needs."""

    def call(*arguments, guide=static_folder):
        return run("data", "mtebcls", *arguments, "--guide", guide, "--store", tmp_path / "store")

    return call


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_rows_are_those_that_the_guide_s_vectors_give(build, tmp_path, static_folder):
    rows = [(first, len(second) % 5) for first, second in documentation_pairs()[:120]]
    data, out = tmp_path / "stdlib.jsonl", tmp_path / "out.jsonl"
    data.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in rows))
    code, said, err = build(data, out, "--topk", 5, "--seed", 3, "--temperature", 0.1, "--quiet")
    assert (code, err) == (0, "")
    texts = [text for text, _ in rows]
    vectors = load_model(static_folder, option="--guide").embed(texts, "document").astype(np.float16)
    classes = {}
    labels = [classes.setdefault(label, len(classes)) for _, label in rows]
    expected = [
        {"anchor": texts[row], "positive": texts[positive], "negative": texts[negative], "task": "stdlib"}
        for row, (positive, negative) in enumerate(draw_by_loops(vectors, labels, 3, 5, 0.1))
        if texts[row] not in (texts[positive], texts[negative])
    ]
    assert read(out) == expected
    assert said == (
        f"stdlib: {len(expected)} triplets from 120 texts of 5 classes; left out: "
        f"0 malformed, 0 alone in their class, "
        f"{120 - len(expected)} that would meet their own text\n{len(expected)} triplets in {out}\n"
    )


def test_several_sources_are_tasks_of_their_own(build, tmp_path, static_folder):
    first = write_csv(tmp_path / "bank.csv", [*ROWS, ("alone", "other")])
    second = write_csv(tmp_path / "mood.csv", [("joy", 1), ("fun", 1), ("fun", 1), ("rage", 0)])
    out = tmp_path / "out.jsonl"
    code, said, err = build(first, second, out, "--topk", 1, "--json")
    assert (code, err) == (0, "")
    written = read(out)
    # Of the two equal texts, each is the other's likest.
    assert json.loads(said) == {
        "file": str(out),
        "rows": 5,
        "guide": str(static_folder),
        "tasks": [
            {
                "task": "bank",
                "source": str(first),
                "texts": 5,
                "classes": 3,
                "rows": 4,
                "malformed": [],
                "alone_in_class": 1,
                "same_text": 0,
            },
            {
                "task": "mood",
                "source": str(second),
                "texts": 4,
                "classes": 2,
                "rows": 1,
                "malformed": [],
                "alone_in_class": 1,
                "same_text": 2,
            },
        ],
    }
    assert [row["task"] for row in written] == ["bank"] * 4 + ["mood"]
    assert written[4] == {"anchor": "joy", "positive": "fun", "negative": "rage", "task": "mood"}


def test_names_of_tasks_and_columns(build, tmp_path):
    paths = [tmp_path / "a" / "train.csv", tmp_path / "b" / "train.csv"]
    for path in paths:
        path.parent.mkdir()
        path.write_text("x,y,label\n" + "\n".join(f"{text},{label},0" for text, label in ROWS))
    out, columns = tmp_path / "out.jsonl", ("--columns", "text=x,label=y")
    code, said, err = build(*paths, out, *columns, "--quiet")
    assert (code, said) == (2, "")
    assert err == "gistembed: --task: 2 sources are named 'train'; name each with --task\n"
    assert build(*paths, out, *columns, "--quiet", "--task", "one", "--task", "two")[0] == 0
    assert [row["task"] for row in read(out)] == ["one"] * 4 + ["two"] * 4


def test_a_packed_file_is_called_without_its_endings(build, tmp_path):
    """Its task was bank.csv."""
    data, out = tmp_path / "bank.csv.gz", tmp_path / "out.jsonl"
    data.write_bytes(gzip.compress(write_csv(tmp_path / "plain.csv").read_bytes()))
    assert build(data, out, "--quiet")[0] == 0
    assert {row["task"] for row in read(out)} == {"bank"}


def test_a_task_of_mteb(build, tmp_path, monkeypatch):
    data = Dataset.from_dict({"text": [text for text, _ in ROWS], "label": [0, 0, 1, 1]})
    task = SimpleNamespace(
        metadata=SimpleNamespace(name="Tiny", type="Classification", modalities=["text"]),
        dataset=DatasetDict({"train": data}),
        load_data=lambda: None,
    )
    mteb = ModuleType("mteb")
    mteb.get_task = lambda name, languages: task
    monkeypatch.setitem(sys.modules, "mteb", mteb)
    code, _, err = build("mteb:Tiny", tmp_path / "out.jsonl", "--quiet")
    assert (code, err) == (0, "")
    assert [row["task"] for row in read(tmp_path / "out.jsonl")] == ["Tiny"] * 4


def test_the_same_file_again(build, tmp_path):
    """Nothing is drawn anew: not from other blocks, not from vectors that are in the store by now."""
    data = write_csv(tmp_path / "bank.csv", [(f"text {number}", number % 3) for number in range(60)])
    for name in ("one", "two"):
        assert build(data, tmp_path / f"{name}.jsonl", "--quiet")[0] == 0
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["{there}"], "{there}: is there already; choose another name, or remove it"),
        (
            ["{folder}/out.txt"],
            "{folder}/out.txt: the ending '.txt' tells no format; choose one of .jsonl, .ndjson, .parquet, "
            ".arrow, .csv, .tsv",
        ),
        (
            ["{folder}/no/out.jsonl"],
            "{folder}/no/out.jsonl: there is no folder {folder}/no; make it first",
        ),
        (["{out}", "--topk", "0"], "--topk 0: choose 1 or more"),
        (
            ["{out}", "--task", "a", "--task", "b"],
            "--task: 2 names for 1 source; give one for each, in order",
        ),
        (
            ["{out}", "--columns", "text=text,anchor=label"],
            "--columns: 'anchor' is not a role; write --columns text=NAME,label=NAME.",
        ),
        (["{folder}/none.csv", "{out}"], "{folder}/none.csv: there is no such file or folder."),
    ],
)
def test_what_is_refused_before_any_work(build, tmp_path, arguments, problem):
    data = write_csv(tmp_path / "bank.csv")
    names = {"there": tmp_path / "there.jsonl", "folder": tmp_path, "out": tmp_path / "out.jsonl"}
    names["there"].write_text("kept")
    before = sorted(tmp_path.iterdir())
    code, said, err = build(data, *(one.format(**names) for one in arguments), "--quiet")
    assert (code, said, err) == (2, "", f"gistembed: {problem.format(**names)}\n")
    assert sorted(tmp_path.iterdir()) == before
    assert names["there"].read_text() == "kept"


def test_the_last_name_is_the_file_to_write(build, tmp_path):
    """Who forgets OUT loses nothing: a source is there already."""
    first, second = write_csv(tmp_path / "a.csv"), write_csv(tmp_path / "b.csv")
    assert build(first) == (2, "", "gistembed: Missing argument 'SOURCE'.\n")
    code, _, err = build(first, second)
    assert (code, err) == (2, f"gistembed: {second}: is there already; choose another name, or remove it\n")


def test_rows_without_a_text_can_be_passed_over_and_each_is_named(build, tmp_path):
    data, out = write_csv(tmp_path / "bank.csv", [*ROWS[:2], ("", "card"), *ROWS[2:]]), tmp_path / "out.jsonl"
    problem = f"{data}:4: column 'text' is empty. Every row needs a text and its class; drop or fill the row."
    assert build(data, out, "--quiet") == (2, "", f"gistembed: {problem}\n")
    assert not out.exists()
    code, said, err = build(data, out, "--skip-malformed")
    assert (code, f"warning: {problem}\n" in err) == (0, True)
    assert "from 4 texts of 2 classes; left out: 1 malformed, 0 alone" in said
    assert [row["anchor"] for row in read(out)] == [text for text, _ in ROWS]
    out.unlink()
    code, said, err = build(data, out, "--skip-malformed", "--json")
    assert (code, err, json.loads(said)["tasks"][0]["malformed"]) == (0, "", [problem])


def test_where_every_triplet_would_meet_its_own_text(build, tmp_path):
    data = write_csv(tmp_path / "bank.csv", [("a", 1), ("a", 1), ("b", 2)])
    code, said, err = build(data, tmp_path / "out.jsonl", "--quiet")
    assert (code, said) == (2, "")
    assert err == (
        "gistembed: bank: 0 triplets from 3 texts of 2 classes; left out: 0 malformed, 1 alone in their "
        "class, 2 that would meet their own text. No triplet is left; give texts that differ "
        "within a class.\n"
    )
    assert not (tmp_path / "out.jsonl").exists()


def test_a_text_without_a_vector_is_named_and_nothing_is_written(build, tmp_path, monkeypatch):
    from gistembed.models import EmbeddingModel

    plain = EmbeddingModel.embed_batches

    def zeros(self, texts, role, lengths):
        for batch, vectors in plain(self, texts, role, lengths):
            vectors[[texts[place] == "top up" for place in batch]] = 0
            yield batch, vectors

    monkeypatch.setattr(EmbeddingModel, "embed_batches", zeros)
    data, out = write_csv(tmp_path / "bank.csv"), tmp_path / "out.jsonl"
    code, said, err = build(data, out, "--quiet")
    assert (code, said) == (2, "")
    assert err.startswith(f"gistembed: {data}:5: the guide ")
    assert err.endswith(
        "gives no usable vector for the text 'top up'; drop that row or choose another guide\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank.csv"]
