"""`gistembed data mine`, from files to a file."""

import json
import os

import numpy as np
import pytest
from tests.mine.mining_reference import mine_by_definition
from tests.pairs.pairs_samples import write_jsonl, write_parquet
from tests.real_text import documentation_pairs

from gistembed.guide import embed_now, stores_in
from gistembed.mine import Documents, MiningSettings, read_corpus
from gistembed.models import load_model
from gistembed.pairs import read_pairs, read_rows

PAIRS = "query,positive\nred,a rose\nblue,the sky\nred,blood\n"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(PAIRS)
    return path


@pytest.fixture
def real(tmp_path):
    """40 pairs of real text, with a negative each, and a corpus of 30 more texts."""
    every = documentation_pairs()[::13]
    columns = {
        "anchor": [pair[0] for pair in every[:40]],
        "positive": [pair[1] for pair in every[:40]],
        "negative": [pair[1] for pair in every[40:80]],
    }
    corpus = {"text": [pair[1] for pair in every[70:100]]}
    return write_jsonl(tmp_path / "real.jsonl", columns), write_parquet(tmp_path / "c.parquet", corpus)


@pytest.fixture
def mine(run, tmp_path, static_folder):
    """Run the command; gives its exit code, output and errors."""

    def call(data, *arguments, guide=static_folder, out=tmp_path / "out.jsonl"):
        has_vectors = str(guide).endswith(".parquet") or str(guide).startswith("columns:")
        store = () if has_vectors else ("--store", tmp_path / "store")
        return run("data", "mine", data, out, "--guide", guide, *store, *arguments)

    return call


def written(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_real_text_is_mined_as_the_definition_says(mine, real, tmp_path, bert_folder):
    """Vectors through the store in float32, the guide's own prompt for anchors, and a corpus."""
    data, corpus = real
    code, out, err = mine(
        data,
        *("--corpus", corpus, "--dtype", "float32", "--num-negatives", 2, "--json"),
        *("--relative-margin", 0.002, "--range-min", 1),
        guide=bert_folder,
    )
    assert (code, err) == (0, "")
    pairs = read_pairs(data)
    others = read_corpus(corpus, pairs).documents
    guide = load_model(str(bert_folder), option="--guide")
    vectors = embed_now(guide, pairs)
    documents = [Documents.of(pairs, vectors), Documents.of(others, embed_now(guide, others))]
    ids = np.concatenate([part.ids for part in documents])
    scores = {}
    for anchor in np.unique(pairs.anchors):
        found = np.concatenate([part.vectors.of(part.ids, "document") for part in documents])
        scores[anchor] = dict(zip(ids, found @ vectors.of(np.array([anchor]), "anchor")[0], strict=True))
    expected = mine_by_definition(
        pairs,
        lambda anchor, text: float(scores[anchor][text]),
        MiningSettings(num_negatives=2, relative_margin=0.002, range_min=1),
        others.positives.tolist(),
    )
    rows = written(tmp_path / "out.jsonl")
    assert len(rows) == 40
    for number, ((_, source), row) in enumerate(zip(read_rows(data), rows, strict=True)):
        mined = [pairs.texts[text] for text, _ in expected[int(pairs.anchors[number])]]
        assert row["negative"] == [*(passage.text for passage in source.negatives), *mined]
    assert sum(len(negatives) for negatives in expected.values()) > 20
    found = json.loads(out)
    counts = [len(negatives) for negatives in expected.values()]
    positive = np.mean([scores[a][p] for a, p in zip(pairs.anchors, pairs.positives, strict=True)])
    negative = np.mean([score for negatives in expected.values() for _, score in negatives])
    assert found == {
        "file": str(tmp_path / "out.jsonl"),
        "rows": 40,
        "negatives": sum(counts),
        "with_fewer": counts.count(1),
        "with_none": counts.count(0),
        "dropped": 0,
        "own_positive": 0,
        "weightless": 0,
        "mean_positive": pytest.approx(positive, abs=1e-5),
        "mean_negative": pytest.approx(negative, abs=1e-5),
        "renamed": {},
    }


def test_a_further_column_with_another_name(mine, tmp_path):
    """Under its own name the label would keep the rows from being read."""
    source = tmp_path / "labelled.csv"
    source.write_text("q,pos,label\nwhy,because,0\nwho,a sheep,0\nwhere,here,0\n", "utf-8")
    code, out, err = mine(source, "--columns", "anchor=q,positive=pos", "--no-margin", "--quiet")
    assert (code, err) == (0, "")
    assert out.endswith("; columns renamed, so that the file reads the same: 'label' is 'source_label'\n")
    assert [row.extra for _, row in read_rows(tmp_path / "out.jsonl")] == [{"source_label": "0"}] * 3


def test_lines_for_a_person(mine, data, tmp_path):
    code, out, err = mine(data, "--no-margin", "--num-negatives", 2)
    assert code == 0
    assert "3 rows got" not in out
    start, middle, end = out.split("; ")
    assert start == f"3 rows with 4 mined negatives in {tmp_path / 'out.jsonl'}"
    assert middle.startswith("mean cosine ")
    assert end == "2 rows got fewer than 2 and 0 got none: kept\n"
    assert "2 anchors, 3 documents that may be negatives\n" in err
    rows = written(tmp_path / "out.jsonl")
    assert [row["anchor"] for row in rows] == ["red", "blue", "red"]
    assert [row["positive"] for row in rows] == ["a rose", "the sky", "blood"]
    assert rows[0]["negative"] == rows[2]["negative"] == ["the sky"]
    assert sorted(rows[1]["negative"]) == ["a rose", "blood"]


def test_quiet_shows_the_result_only(mine, data):
    code, out, err = mine(data, "--no-margin", "--quiet", "--too-few", "drop", "--num-negatives", 2)
    assert (code, err) == (0, "")
    assert out.startswith("1 row with 2 mined negatives in ")
    assert out.endswith("2 rows got fewer than 2 and 0 got none: left out\n")


def test_vectors_are_found_again(mine, data, tmp_path):
    mine(data, "--no-margin", "--quiet")
    (store,) = stores_in(tmp_path / "store")
    code, out, _ = mine(data, "--dry-run", "--json", out=tmp_path / "again.jsonl")
    assert (code, json.loads(out)) == (0, {"anchors": 2, "documents": 3, "missing": 0})
    assert len(store) == 5


def test_a_dry_run_writes_nothing(mine, data, tmp_path):
    (tmp_path / "corpus.csv").write_text("text\ngrass\na rose\nred\n")
    code, out, err = mine(data, "--dry-run", "--corpus", tmp_path / "corpus.csv")
    assert (code, err) == (0, "")
    assert out == (
        "2 anchors, 5 documents that may be negatives; 6 texts to be encoded; nothing was written\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.csv", "pairs.csv"]


def test_random_negatives_are_drawn_again_by_their_seed(mine, real, tmp_path):
    data, _ = real
    options = ("--no-margin", "--quiet", "--replace", "--sampling", "random", "--range-max", 30)
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert mine(data, *options, "--seed", seed, out=tmp_path / f"{name}.jsonl")[0] == 0
        drawn.append((tmp_path / f"{name}.jsonl").read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_file_of_vectors_guides(mine, data, tmp_path):
    """Of "blue", "blood" is nearer than "a rose"; "the sky" is its positive, "red" in the corpus too."""
    texts = ["red", "a rose", "blue", "the sky", "blood", "grass"]
    vectors = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.28, 0.96], [0.6, 0.8], [0.0, 1.0]]
    guide = write_parquet(tmp_path / "vectors.parquet", {"text": texts, "vector": vectors})
    (tmp_path / "corpus.csv").write_text("text\ngrass\nred\n")
    options = ("--corpus", tmp_path / "corpus.csv", "--absolute-margin", 0.0, "--quiet")
    assert mine(data, *options, guide=guide)[0] == 0
    rows = written(tmp_path / "out.jsonl")
    assert rows[0]["negative"] == ["the sky", "grass"], "below 0.6, and not its own text"
    assert rows[1]["negative"] == ["blood", "a rose", "red"], "grass, at 1, is above 0.96"


def test_columns_of_vectors_guide(mine, tmp_path):
    columns = {
        "anchor": ["red", "blue"],
        "positive": ["a rose", "the sky"],
        "av": [[1.0, 0.0], [0.0, 1.0]],
        "pv": [[0.8, 0.6], [0.28, 0.96]],
    }
    data = write_jsonl(tmp_path / "pairs.jsonl", columns)
    guide = "columns:anchor=av,positive=pv"
    assert mine(data, "--quiet", "--num-negatives", 1, guide=guide)[0] == 0
    assert [row["negative"] for row in written(tmp_path / "out.jsonl")] == ["the sky", "a rose"]
    code, _, err = mine(data, "--corpus", data, guide=guide, out=tmp_path / "other.jsonl")
    assert (code, err) == (
        2,
        f"gistembed: --guide {guide}: has no vectors of the corpus; give a model or a file of vectors\n",
    )


@pytest.mark.parametrize("name", ["out.csv", "out.tsv.gz", "out.parquet", "out.arrow"])
def test_every_kind_of_file(mine, data, tmp_path, name):
    """Rows are read again as they are written as JSON Lines; a table has a row for each positive anyway."""
    for out in (tmp_path / "out.jsonl", tmp_path / name):
        assert mine(data, "--no-margin", "--quiet", out=out)[0] == 0
    expected = [row for _, row in read_rows(tmp_path / "out.jsonl")]
    assert [row for _, row in read_rows(tmp_path / name)] == expected


def test_pairs_with_scores(mine, tmp_path):
    """What scores low is a negative of each row of its anchor, and the guide's cosine is the score."""
    data = tmp_path / "graded.csv"
    data.write_text(
        "sentence1,sentence2,score\nred,a rose,1\nred,grass,0\n"
        "blue,the sky,0.9\nred,blood,0.8\nblue,ink,0.5\n"
    )
    assert mine(data, "--min-score", 0.8, "--max-score", 0.1, "--no-margin", "--quiet")[0] == 0
    red, blue, again = written(tmp_path / "out.jsonl")
    for row, positive in ((red, "a rose"), (again, "blood")):
        assert (row["anchor"], row["positive"], row["negative"]) == ("red", positive, ["grass", "the sky"])
    assert (blue["anchor"], blue["positive"]) == ("blue", "the sky")
    assert sorted(blue["negative"]) == ["a rose", "blood", "grass"]
    code, _, err = mine(data, "--max-score", 0.1, out=tmp_path / "other.jsonl")
    assert (code, err) == (
        2,
        "gistembed: --max-score: tells negatives from positives only with --min-score; give both\n",
    )


def test_columns_of_vectors_guide_pairs_with_scores(mine, tmp_path):
    """The row that is neither a positive nor a negative has a vector too, which nobody needs."""
    columns = {
        "sentence1": ["red", "blue", "blue"],
        "sentence2": ["a rose", "the sky", "ink"],
        "score": [1.0, 1.0, 0.5],
        "av": [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]],
        "pv": [[0.8, 0.6], [0.28, 0.96], [0.6, 0.8]],
    }
    data = write_jsonl(tmp_path / "pairs.jsonl", columns)
    options = ("--min-score", 1, "--no-margin", "--quiet")
    assert mine(data, *options, guide="columns:anchor=av,positive=pv")[0] == 0
    assert [row["negative"] for row in written(tmp_path / "out.jsonl")] == ["the sky", "a rose"]


def test_documents_keep_their_ids(mine, tmp_path):
    data, corpus = tmp_path / "pairs.jsonl", tmp_path / "corpus.jsonl"
    data.write_text(
        '{"anchor": "red", "positive": "a rose", "positive_id": "d1"}\n'
        '{"anchor": "blue", "positive": "the sky"}\n'
    )
    corpus.write_text('{"anchor": "green", "positive": "grass", "positive_id": "d3"}\n')
    assert mine(data, "--corpus", corpus, "--no-margin", "--quiet")[0] == 0
    mined = [
        dict(zip(row["negative"], row["negative_id"], strict=True)) for row in written(tmp_path / "out.jsonl")
    ]
    assert mined == [{"the sky": None, "grass": "d3"}, {"a rose": "d1", "grass": "d3"}]
    assert [one.id for _, row in read_rows(tmp_path / "out.jsonl") for one in row.positives] == ["d1", None]


def test_positives_that_other_pairs_know_are_no_negatives(mine, tmp_path):
    """The corpus calls grass an answer to red: it was offered as red's hardest negative."""
    data, corpus = tmp_path / "pairs.jsonl", tmp_path / "corpus.jsonl"
    data.write_text('{"anchor": "red", "positive": "a rose"}\n{"anchor": "blue", "positive": "the sky"}\n')
    corpus.write_text('{"anchor": "red", "positive": "grass"}\n')
    assert mine(data, "--corpus", corpus, "--no-margin", "--quiet")[0] == 0
    rows = written(tmp_path / "out.jsonl")
    assert [row["negative"] for row in rows] == [["the sky"], ["a rose", "grass"]]


def test_a_corpus_of_beir_has_the_texts_of_its_pairs(mine, tmp_path):
    """A positive came back as another text, its body alone, and could be a negative of its own query."""
    (tmp_path / "qrels").mkdir()
    documents = [("d1", "Flowers", "a rose"), ("d2", "", "the sky"), ("d3", "Meadows", "grass")]
    (tmp_path / "corpus.jsonl").write_text(
        "".join(
            json.dumps({"_id": name, "title": title, "text": text}) + "\n" for name, title, text in documents
        )
    )
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "red"}\n{"_id": "q2", "text": "blue"}\n')
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
    options = ("--corpus", tmp_path / "corpus.jsonl", "--corpus-column", "text", "--no-margin", "--quiet")
    assert mine(tmp_path, *options)[0] == 0
    mined = [
        dict(zip(row["negative"], row["negative_id"], strict=True)) for row in written(tmp_path / "out.jsonl")
    ]
    assert mined == [
        {"the sky": "d2", "Meadows grass": "d3"},
        {"Flowers a rose": "d1", "Meadows grass": "d3"},
    ]


def test_a_corpus_without_anything_new(mine, data, tmp_path):
    (tmp_path / "corpus.csv").write_text("text\nblood\n")
    assert mine(data, "--corpus", tmp_path / "corpus.csv", "--no-margin", "--quiet")[0] == 0
    assert len(written(tmp_path / "out.jsonl")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--no-margin", "--relative-margin", "0.1"],
            "--no-margin: a margin is set too; keep one of the two",
        ),
        (
            ["--corpus-column", "text"],
            "--corpus-column: there is no corpus; give one with --corpus, or leave it out",
        ),
        (["--sampling", "best"], "--sampling best: unknown; choose one of top, random"),
        (["--search", "hnsw"], "--search hnsw: unknown; choose one of torch, faiss"),
        (["--too-few", "pad"], "--too-few pad: unknown; choose one of keep, drop"),
        (["--dtype", "bfloat16"], "--dtype bfloat16: unknown; choose one of float16, float32, int8"),
        (["--backend", "onnx"], "--backend onnx: unknown; choose one of torch, openvino, openvino-int8"),
        (["--num-negatives", "0"], "--num-negatives 0: choose at least 1"),
        (
            ["--max-cosine", "-1"],
            "{data}: no row got a negative. Take fewer with --num-negatives, loosen the margins, or give "
            "more documents with --corpus.",
        ),
        (["--corpus", "nowhere.csv"], "nowhere.csv: there is no such file or folder."),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_refused(mine, data, tmp_path, arguments, message):
    code, out, err = mine(data, "--quiet", *arguments)
    assert (code, out, err) == (2, "", f"gistembed: {message.format(data=data)}\n")
    assert {path.name for path in tmp_path.iterdir()} <= {"pairs.csv", "store"}, "nothing half-written"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("there.jsonl", "is there already; choose another name, or remove it"),
        (
            "out.txt",
            "the ending '.txt' tells no format; choose one of .jsonl, .ndjson, .parquet, .arrow, .csv, .tsv",
        ),
        ("no/out.jsonl", "there is no folder {folder}/no; make it first"),
    ],
)
def test_places_that_are_refused_before_anything_is_read(mine, tmp_path, name, message):
    (tmp_path / "there.jsonl").write_text("mine")
    code, out, err = mine("no-such-pairs.csv", out=tmp_path / name)
    assert (code, out) == (2, "")
    assert err == f"gistembed: {tmp_path / name}: {message.format(folder=tmp_path)}\n"
    assert (tmp_path / "there.jsonl").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(mine, data, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    out = tmp_path / "locked" / "out.jsonl"
    assert mine(data, out=out) == (
        2,
        "",
        f"gistembed: {out}: the folder can't be written; choose another\n",
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("prompt", "anchor=q: "),
        ("max-length", 1),
        ("dimensions", 1),
        ("requests-per-minute", 1),
        ("dtype", "int8"),
        ("backend", "openvino"),
        ("store", "store"),
    ],
)
def test_settings_of_models_are_refused_for_vectors(mine, data, tmp_path, option, value):
    guide = write_parquet(tmp_path / "vectors.parquet", {"text": ["red"], "vector": [[1.0]]})
    assert mine(data, f"--{option}", value, guide=guide) == (
        2,
        "",
        f"gistembed: --{option}: the guide's vectors are there already; leave it out\n",
    )
