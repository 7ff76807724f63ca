"""``gistembed data medi`` from the archive to a file."""

import json
import zipfile

import numpy as np
import pytest

from gistembed.models import load_model

FORM = 'A record is {"query": [INSTRUCTION, TEXT], "pos": …, "neg": …, "task_name": NAME}.'


def record(query, positive, negative, task="nq"):
    return {"query": ["ask: ", query], "pos": ["", positive], "neg": ["", negative], "task_name": task}


RECORDS = [
    record("why", "because", "a sheep"),
    record("who", "a sheep", "the king", "fever"),
    record("where", "here and there", "by whom"),
    record("what", "the king", "whatever"),
]


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "medi-data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("medi-data.json", json.dumps(RECORDS))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def texts_of(records):
    return [(one["query"][1], one["pos"][1], one["neg"][1], one["task_name"]) for one in records]


def written(path):
    return [(row["anchor"], row["positive"], row["negative"], row.get("task")) for row in read(path)]


def test_all_records_in_their_order(run, archive, tmp_path):
    out = tmp_path / "out.jsonl"
    code, said, err = run("data", "medi", archive, out)
    assert code == 0
    assert said == (f"4 records; left out: 0 malformed, 0 that the guide disagrees with\n4 rows in {out}\n")
    assert "read MEDI, MB" in err
    assert written(out) == texts_of(RECORDS)


def test_the_bar_of_a_small_archive_comes_to_its_end(run, archive, tmp_path):
    """Whole megabytes alone would make it 0/0."""
    _, _, err = run("data", "medi", archive, tmp_path / "out.jsonl")
    assert "1/1" in err
    assert "0/0" not in err


def test_columns_of_what_follows_with_another_name(run, archive, tmp_path):
    """Numbers say nothing of a weight: such columns are none, and stay none."""
    others, out = tmp_path / "a.csv", tmp_path / "out.jsonl"
    others.write_text("anchor,positive,weight_2,weight_3\na,b,0,0\n")
    code, said, err = run("data", "medi", archive, out, "--concat", others, "--quiet")
    assert (code, err) == (0, "")
    assert said.endswith(
        f"5 rows in {out}; columns renamed, so that the file reads the same: 'weight_2' is "
        "'source_weight_2', 'weight_3' is 'source_weight_3'\n"
    )
    assert read(out)[4] == {
        "anchor": "a",
        "positive": "b",
        "negative": None,
        "anchor_instruction": None,
        "task": None,
        "source_weight_2": "0",
        "source_weight_3": "0",
    }


def test_mtebcls_comes_after_medi(run, archive, tmp_path):
    others = [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    others[0].write_text(
        '{"anchor": "a", "positive": "b"}\n{"anchor": "c", "positive": ["d"], "negative": ["e"]}\n'
    )
    others[1].write_text("anchor,positive\nf,g\n")
    out = tmp_path / "out.jsonl"
    code, said, err = run(
        "data", "medi", archive, out, "--concat", others[0], "--concat", others[1], "--quiet"
    )
    assert (code, err) == (0, "")
    assert said == (
        f"4 records; left out: 0 malformed, 0 that the guide disagrees with; 2 rows of {others[0]} follow; "
        f"1 row of {others[1]} follows\n7 rows in {out}\n"
    )
    assert [row["anchor"] for row in read(out)] == ["why", "who", "where", "what", "a", "c", "f"]


def agrees(model, one):
    vectors = [
        model.embed([one[name][1]], role)[0].astype(np.float16).astype(float)
        for name, role in (("query", "anchor"), ("pos", "document"), ("neg", "document"))
    ]
    query, positive, negative = (vector / np.linalg.norm(vector) for vector in vectors)
    return round(float(query @ positive), 4) >= round(float(query @ negative), 4)


def test_what_the_guide_disagrees_with_leaves(run, archive, tmp_path, bert_folder):
    """The guide reads queries with its prompt: as in training, where it finds their vectors in the store."""
    model = load_model(bert_folder, option="--guide")
    kept = [one for one in RECORDS if agrees(model, one)]
    assert 0 < len(kept) < len(RECORDS), "records of both kinds"
    out, store = tmp_path / "out.jsonl", tmp_path / "store"
    arguments = ("data", "medi", archive, out, "--guide", bert_folder, "--store", store, "--json")
    code, said, err = run(*arguments)
    assert (code, err) == (0, "")
    assert json.loads(said) == {
        "file": str(out),
        "rows": len(kept),
        "records": 4,
        "malformed": [],
        "filtered": 4 - len(kept),
        "concatenated": {},
        "renamed": {},
    }
    assert written(out) == texts_of(kept)
    code, said, _ = run("guide", "encode", out, "--guide", bert_folder, "--store", store, "--json")
    assert (code, json.loads(said)["encoded"]) == (0, 0)


@pytest.fixture
def malformed(tmp_path):
    path = tmp_path / "medi-data.json"
    path.write_text(
        json.dumps([RECORDS[0], record("what", "", "x"), RECORDS[1], {"query": 1, "task_name": "a"}])
    )
    return path


def test_a_malformed_record_ends_the_work(run, malformed, tmp_path):
    code, said, err = run("data", "medi", malformed, tmp_path / "out.jsonl", "--quiet")
    assert (code, said) == (2, "")
    assert err == f"gistembed: {malformed}: record 2: the text of 'pos' is empty. {FORM}\n"
    assert list(tmp_path.iterdir()) == [malformed]


def test_malformed_records_can_be_passed_over_and_each_is_named(run, malformed, tmp_path):
    out = tmp_path / "out.jsonl"
    code, said, err = run("data", "medi", malformed, out, "--skip-malformed")
    assert code == 0
    assert f"warning: {malformed}: record 2: the text of 'pos' is empty. {FORM}\n" in err
    assert f"warning: {malformed}: record 4: 'query' is 1, not an instruction and a text. {FORM}\n" in err
    assert said == f"4 records; left out: 2 malformed, 0 that the guide disagrees with\n2 rows in {out}\n"
    assert written(out) == texts_of(RECORDS[:2])
    out.unlink()
    code, said, err = run("data", "medi", malformed, out, "--skip-malformed", "--json")
    assert (code, err) == (0, "")
    assert json.loads(said)["malformed"] == [
        {"record": 2, "problem": f"the text of 'pos' is empty. {FORM}"},
        {"record": 4, "problem": f"'query' is 1, not an instruction and a text. {FORM}"},
    ]


@pytest.mark.parametrize(
    ("content", "arguments", "problem"),
    [
        ("[]", [], "no row is left of 0 records; left out: 0 malformed, 0 that the guide disagrees with."),
        (
            "[1]",
            ["--skip-malformed"],
            "no row is left of 1 record; left out: 1 malformed, 0 that the guide disagrees with.",
        ),
        ("[1", [], "record 1: is 1, not an object. " + FORM),
        ("[{", [], "record 1: the file ends within it. The file is damaged or was cut off; get it anew."),
    ],
)
def test_an_archive_that_gives_nothing(run, tmp_path, content, arguments, problem):
    path = tmp_path / "medi-data.json"
    path.write_text(content)
    code, said, err = run("data", "medi", path, tmp_path / "out.jsonl", "--quiet", *arguments)
    assert (code, said, err) == (2, "", f"gistembed: {path}: {problem}\n")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["{there}"], "{there}: is there already; choose another name, or remove it"),
        (
            ["{out}", "--concat", "{folder}/no.jsonl"],
            "{folder}/no.jsonl: there is no such file or folder.",
        ),
        (["{out}", "--guide", "{folder}/no"], "--guide {folder}/no: no such folder"),
    ],
)
def test_what_is_refused(run, archive, tmp_path, arguments, problem):
    names = {"there": tmp_path / "there.jsonl", "folder": tmp_path, "out": tmp_path / "out.jsonl"}
    names["there"].write_text("kept")
    code, said, err = run("data", "medi", archive, *(one.format(**names) for one in arguments), "--quiet")
    assert (code, said, err) == (2, "", f"gistembed: {problem.format(**names)}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["medi-data.zip", "there.jsonl"]
