"""``gistembed data doctor``."""

import json

import pytest
from tests.doctor.doctor_samples import real_rows, write

from gistembed.pairs import read_pairs


def plain_rows(count):
    """Rows whose texts need no quoting in a CSV file."""
    signs = str.maketrans({",": " ", '"': " ", "\n": " "})
    return [
        (anchor.translate(signs), [own[0].translate(signs)], negatives)
        for anchor, own, negatives in real_rows(count)
    ]


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "good.jsonl", real_rows(120))


@pytest.fixture
def bad(tmp_path):
    """Each third negative is the row's positive."""
    rows = real_rows(120)
    for _, positives, negatives in rows[::3]:
        negatives[:] = positives
    return write(tmp_path / "bad.jsonl", rows)


def test_good_pairs(run, good):
    code, out, err = run("data", "doctor", good)
    assert code == 0, err
    assert out.startswith(f"{good}: training is advisable; ")
    assert run("data", "doctor", good, "--no-near", "--quiet") == (
        0,
        f"{good}: training is advisable; nothing was found\n",
        "",
    )


def test_bad_pairs(run, bad):
    code, out, err = run("data", "doctor", bad, "--no-near")
    assert (code, out) == (1, f"{bad}: training is not advisable; 1 error\n")
    assert "negative-is-positive" in err
    assert "33.3%" in err
    assert "120 rows, 120 pairs, 120 negatives" in err


def test_json(run, bad):
    code, out, err = run("data", "doctor", bad, "--json", "--no-near")
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert found["fixed"] is None
    assert found["diagnosis"]["advisable"] is False
    (finding,) = found["diagnosis"]["findings"]
    assert (finding["code"], finding["count"], finding["of"]) == ("negative-is-positive", 40, 120)
    assert [one["place"] for one in finding["examples"]] == [f"{bad}:{line}" for line in (1, 4, 7)]


def test_fix(run, bad, tmp_path):
    out_file = tmp_path / "mended.jsonl"
    code, out, err = run("data", "doctor", bad, "--fix", out_file, "--no-near", "--quiet")
    assert (code, err) == (0, "")
    assert out == (
        f"{bad}: training is not advisable; 1 error\n"
        f"{out_file}: 120 of 120 rows, 40 changes, listed in {out_file}.changes.jsonl\n"
        f"{out_file}: training is advisable; nothing was found\n"
    )
    assert len(read_pairs(out_file).negative_ids) == 80
    code, out, err = run("data", "doctor", bad, "--fix", out_file)
    assert (code, out) == (2, "")
    assert err == f"gistembed: --fix {out_file}: is there already; choose another name, or remove it\n"


def test_fix_as_json(run, bad, tmp_path):
    out_file = tmp_path / "mended.jsonl"
    code, out, _ = run("data", "doctor", bad, "--fix", out_file, "--no-near", "--json")
    assert code == 0
    fixed = json.loads(out)["fixed"]
    assert fixed.pop("diagnosis")["findings"] == []
    assert fixed == {
        "file": str(out_file),
        "changes_file": f"{out_file}.changes.jsonl",
        "rows": 120,
        "rows_read": 120,
        "changes": {"negative-is-positive": 40},
        "renamed": {},
    }


def test_other_columns_and_models(run, tmp_path, static_folder, bert_folder):
    rows = real_rows(120)
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps({"x": anchor, "y": own[0]}) + "\n" for anchor, own, _ in rows))
    arguments = ["--columns", "anchor=x,positive=y", "--student", bert_folder, "--guide", static_folder]
    code, out, err = run("data", "doctor", data, *arguments, "--eval", data, "--json", "--no-near")
    assert code == 1, err
    codes = [one["code"] for one in json.loads(out)["diagnosis"]["findings"]]
    assert codes == ["evaluation-anchor-in-training", "cut-by-student", "evaluation-positive-in-training"]
    out_file = tmp_path / "mended.jsonl"
    code, out, err = run(
        "data", "doctor", data, *arguments[:2], "--eval", data, "--fix", out_file, "--no-near", "--quiet"
    )
    assert (code, err) == (1, "")


def test_pairs_with_scores(run, tmp_path):
    """The rows that score low are negatives, and one of them is a positive of its anchor as well."""
    lines = [f"{anchor},{own[0]},1" for anchor, own, _ in plain_rows(120)]
    low = [line.replace(",1", ",0") for line in lines[:40]]
    data, copy = tmp_path / "graded.csv", tmp_path / "copy.csv"
    data.write_text("\n".join(["sentence1,sentence2,score", *lines, *low]))
    options = ("--min-score", 1, "--max-score", 0, "--no-near", "--json")
    code, out, err = run("data", "doctor", data, *options, "--fix", copy)
    assert (code, err) == (0, "")
    found = json.loads(out)
    (finding,) = found["diagnosis"]["findings"]
    assert (finding["code"], finding["count"], finding["of"]) == ("negative-is-positive", 40, 40)
    assert (found["fixed"]["rows"], found["fixed"]["changes"]) == (120, {"negative-is-positive": 40})
    pairs = read_pairs(copy)
    assert (len(pairs), len(pairs.negative_ids)) == (120, 0)


def test_a_copy_of_rows_with_a_label(run, tmp_path):
    """Under its own name the label would keep the copy from being read, and weights of 0 would drop rows."""
    lines = [f"{anchor},{own[0]},0,0" for anchor, own, _ in plain_rows(120)]
    data, copy = tmp_path / "pairs.csv", tmp_path / "copy.jsonl"
    data.write_text("\n".join(["sentence1,sentence2,label,weight", *lines]))
    command = ("data", "doctor", data, "--columns", "anchor=sentence1,positive=sentence2", "--no-near")
    code, out, err = run(*command, "--quiet", "--fix", copy)
    assert (code, err) == (0, "")
    assert out == (
        f"{data}: training is advisable; nothing was found\n"
        f"{copy}: 120 of 120 rows, 0 changes, listed in {copy}.changes.jsonl; columns renamed, so that the "
        "file reads the same: 'label' is 'source_label', 'weight' is 'source_weight'\n"
        f"{copy}: training is advisable; nothing was found\n"
    )
    assert len(read_pairs(copy)) == 120
    code, out, _ = run(*command, "--json", "--fix", tmp_path / "other.jsonl")
    fixed = json.loads(out)["fixed"]
    assert (code, fixed["renamed"]) == (0, {"label": "source_label", "weight": "source_weight"})


@pytest.mark.parametrize("guide", ["http://localhost:1/v1#m", "vectors.npy", "columns:anchor=a,positive=b"])
def test_a_guide_that_says_nothing_of_lengths(run, good, guide):
    assert run("data", "doctor", good, "--guide", guide) == (
        2,
        "",
        f"gistembed: --guide {guide}: only a model that is loaded here says how long a text may be; give its "
        "folder or hub name, or leave the option out\n",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "{data}: there is no such file or folder."),
        ("", "{data}: the file is empty."),
        (
            '{"a": "a", "b": "b"}\n',
            "{data}: no column is known as the anchor. The columns are 'a', 'b'; name one "
            "'anchor', or say which to use with --columns anchor=NAME,positive=NAME[,negative=NAME].",
        ),
    ],
    ids=["missing", "empty", "no roles"],
)
def test_an_unreadable_file(run, tmp_path, content, message):
    data = tmp_path / "pairs.jsonl"
    if content is not None:
        data.write_text(content)
    code, out, err = run("data", "doctor", data)
    assert (code, out) == (2, "")
    assert err == f"gistembed: {message.format(data=data)}\n"


def test_a_file_in_which_no_row_can_be_read(run, tmp_path):
    data = tmp_path / "pairs.jsonl"
    data.write_text('{"anchor": "a", "positive": "b"\n', "utf-8")
    code, out, _ = run("data", "doctor", data, "--json")
    found = json.loads(out)["diagnosis"]
    assert (code, found["rows"], found["unreadable_rows"]) == (1, 0, 1)
    assert found["findings"][0]["examples"][0]["place"] == f"{data}:1"
