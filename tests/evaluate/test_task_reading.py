"""Files as tasks: what kind they are, what is read, and one line for every mistake."""

import json

import numpy as np
import pytest

from gistembed.errors import UserError
from gistembed.evaluate.tasks import detect_kind, parse_source, read_task


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Write some files, and read the first of them, or the folder of them all."""
    monkeypatch.chdir(tmp_path)

    def call(files, source=None, kind=None, columns=None):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return read_task(source or next(iter(files)), kind=kind, name="task", columns=columns)

    return call


def refusal(read, *arguments, **options):
    with pytest.raises(UserError) as refused:
        read(*arguments, **options)
    return str(refused.value)


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


BEIR = {
    "beir/queries.jsonl": jsonl(*({"_id": name, "text": f"query {name}"} for name in ("q1", "q2", "q3"))),
    "beir/corpus.jsonl": jsonl(
        {"_id": "d1", "title": "Title", "text": "text"},
        {"_id": "d2", "title": "", "text": "text"},
        {"_id": "d3", "text": "text"},
    ),
    "beir/qrels/train.tsv": "query-id\tcorpus-id\tscore\nq3\td1\t1\n",
    "beir/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq2\td1\t2\nq1\td2\t1\nq1\td1\t0\nq3\td3\t0\n",
}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("question", "answer"), "retrieval"),
        (("query", "positive", "negative_1"), "retrieval"),
        (("sentence1", "sentence2", "score"), "sts"),
        (("Sentence_1", "Sentence_2", "Similarity Score"), "sts"),
        (("sentence1", "sentence2", "labels"), "pair-classification"),
        (("question1", "question2", "is_duplicate"), "pair-classification"),
        (("en", "de-AT"), "bitext"),
    ],
)
def test_columns_tell_the_kind(names, kind):
    assert detect_kind(names, "x.csv") == kind


def test_columns_that_leave_a_doubt():
    with pytest.raises(UserError) as refused:
        detect_kind(("text", "label"), "x.csv")
    assert str(refused.value) == (
        "x.csv: labelled texts are scored in two ways. Say which: --data x.csv=classification or "
        "--data x.csv=clustering."
    )
    with pytest.raises(UserError) as refused:
        detect_kind(("a", "b", "en"), "x.csv")
    assert str(refused.value) == (
        "x.csv: the columns are 'a', 'b', 'en', which fit no kind of task. Say the kind with "
        "--data x.csv=KIND (retrieval, reranking, sts, pair-classification, classification, clustering, "
        "bitext), and the columns with --columns."
    )


def test_a_path_with_its_kind(tmp_path):
    assert parse_source("a.csv") == ("a.csv", None)
    assert parse_source("a.csv=sts") == ("a.csv", "sts")
    assert parse_source("a=b.csv=bitext") == ("a=b.csv", "bitext")
    assert parse_source("a=b.csv") == ("a=b.csv", None)
    there = tmp_path / "a.csv"
    there.touch()
    with pytest.raises(UserError) as refused:
        parse_source(f"{there}=stss")
    assert str(refused.value) == (
        f"--data {there}=stss: 'stss' is no kind of task; choose one of retrieval, reranking, sts, "
        "pair-classification, classification, clustering, bitext."
    )


def test_a_folder_of_beir(read):
    """The test split, every document, graded; q3 has no answer there. Equal texts stay two documents."""
    task = read(BEIR, "beir")
    assert task.query_names == ("q1", "q2")
    assert task.texts.of(task.queries) == ["query q1", "query q2"]
    assert task.document_names.of(np.arange(3)) == ["d1", "d2", "d3"]
    assert task.texts.of(task.documents) == ["Title text", "text", "text"]
    judged = np.stack([task.judged_queries, task.judged_documents, task.grades], axis=1)
    assert judged.tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 2]]
    assert task.size == "2 queries, 3 documents"


def test_another_split_of_it(read):
    task = read(BEIR, "beir/qrels/train.tsv")
    assert task.query_names == ("q3",)
    assert len(task.documents) == 3


def test_queries_corpus_and_qrels_in_other_formats(read):
    files = {
        "flat/queries.csv": "id,query\n1,what\n",
        "flat/corpus.tsv": "doc_id\tcontents\n1\tthat\n2\tthis\n",
        "flat/qrels.csv": "qid,docid,relevance\n1,2,3\n",
    }
    task = read(files, "flat")
    assert (task.query_names, task.grades.tolist(), task.judged_documents.tolist()) == (("1",), [3], [1])
    assert task.texts.of(task.documents) == ["that", "this"]


def test_mistakes_in_a_folder(read):
    wrong = {**BEIR, "beir/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\tnowhere\t1\n"}
    assert refusal(read, wrong, "beir") == (
        "beir/qrels/test.tsv:2: there is no document 'nowhere' in beir/corpus.jsonl. Add it or drop the line."
    )
    wrong["beir/qrels/test.tsv"] = "query-id\tcorpus-id\tscore\nq1\td1\t0\n"
    assert refusal(read, wrong, "beir") == (
        "beir/qrels/test.tsv: no document is judged to answer a query, with a score above 0. Give judgements "
        "of which some are."
    )
    wrong["beir/qrels/test.tsv"] = "query-id\tcorpus-id\tscore\nq1\td1\tgood\n"
    assert refusal(read, wrong, "beir") == (
        "beir/qrels/test.tsv:2: column 'score' holds 'good', not a whole number. Mend or drop the line."
    )
    wrong["beir/qrels/test.tsv"] = "query\tmark\tscore\nq1\td1\t1\n"
    assert refusal(read, wrong, "beir") == (
        "beir/qrels/test.tsv: the columns are 'query', 'mark', 'score'. Name them query-id, corpus-id and "
        "score."
    )


def test_folders_without_all_they_need(read):
    alone = {"alone/corpus.jsonl": BEIR["beir/corpus.jsonl"]}
    assert refusal(read, alone, "alone") == (
        "alone: there are no judgements. Add qrels/test.tsv with the columns query-id, corpus-id, score."
    )
    splits = {name.replace("beir", "two"): text for name, text in BEIR.items() if "test" not in name}
    splits["two/qrels/other.tsv"] = splits["two/qrels/train.tsv"]
    assert refusal(read, splits, "two") == (
        "two/qrels: there are 'other', 'train', and none is named 'test'. Give the file that is meant, such "
        "as two/qrels/other.tsv."
    )
    del splits["two/queries.jsonl"]
    assert (
        refusal(
            read, {"less/corpus.jsonl": alone["alone/corpus.jsonl"], "less/qrels.tsv": "q\tp\ts\n"}, "less"
        )
        == "less: there is no queries.jsonl. Add it to the folder."
    )


def test_a_folder_of_which_only_the_judged_passages_would_be_searched(read):
    files = {"ms/collection.tsv": "1\tp\n", "ms/queries.tsv": "1\tq\n", "ms/qrels.tsv": "1\t0\t1\t1\n"}
    assert refusal(read, files, "ms") == (
        "ms: a folder of MS MARCO, whose collection is not searched here. Write it as corpus.jsonl, "
        "queries.jsonl and qrels/test.tsv."
    )


def test_pairs_are_a_search(read):
    task = read({"p.csv": "question,answer\none,1\ntwo,2\none,3\n"})
    assert task.texts.of(task.queries) == ["one", "two"]
    assert task.texts.of(task.documents) == ["1", "2", "3"]
    judged = np.stack([task.judged_queries, task.judged_documents, task.grades], axis=1)
    assert judged.tolist() == [[0, 0, 1], [0, 2, 1], [1, 1, 1]]


def test_reranking_has_candidates_by_query(read):
    """Two rows of one query are one; what is a positive in one row is no negative of another."""
    rows = jsonl(
        {"query": "q", "positive": ["a"], "negative": ["b", "c"]},
        {"query": "q", "positive": ["b"], "negative": []},
        {"query": "alone", "positive": ["a"], "negative": []},
    )
    task = read({"r.jsonl": rows}, kind="reranking")
    assert task.texts.of(task.queries) == ["q"]
    assert task.texts.of(task.candidates) == ["a", "b", "c"]
    assert task.relevant.tolist() == [True, True, False]
    assert task.offsets.tolist() == [0, 3]
    assert refusal(read, {"r.csv": "query,positive\na,b\n"}, kind="reranking") == (
        "r.csv: no row has a negative. Candidates are positives and negatives."
    )


def test_pairs_with_scores(read):
    task = read({"s.csv": "sentence1,sentence2,score\na,b,0.5\nb,a,4\n"})
    assert (task.kind, task.grades.tolist()) == ("sts", [0.5, 4.0])
    assert task.texts.of(task.first) == ["a", "b"]
    assert task.texts.of(task.second) == ["b", "a"]
    other = read({"s.csv": "x,y,z\na,b,1\nc,d,0\n"}, kind="sts", columns="text1=y,text2=x,score=z")
    assert other.texts.of(other.first) == ["b", "d"]


def test_pairs_with_labels(read):
    task = read(
        {"s.jsonl": jsonl(*({"text1": "a", "text2": "b", "label": x} for x in (1, 0, True, "0", 1.0)))}
    )
    assert (task.kind, task.grades.tolist()) == ("pair-classification", [1, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("content", "kind", "columns", "message"),
    [
        (
            "sentence1,sentence2,score\na,b,high\n",
            None,
            None,
            "x.csv:2: column 'score' holds 'high', not a finite number. Mend or drop the row.",
        ),
        (
            "sentence1,sentence2,score\na,b,\n",
            None,
            None,
            "x.csv:2: column 'score' is empty. Every pair needs a score; drop or fill the row.",
        ),
        (
            "sentence1,sentence2,score\na,,1\n",
            None,
            None,
            "x.csv:2: column 'sentence2' is empty. Every row needs two texts; drop or fill the row.",
        ),
        (
            "sentence1,sentence2,score\na,b,1\nc,d,1\n",
            None,
            None,
            "x.csv: every row has the same score (1) in column 'score', which orders nothing. Give rows of "
            "which some differ.",
        ),
        (
            "sentence1,sentence2,label\na,b,1\nc,d,2\n",
            None,
            None,
            "x.csv:3: column 'label' holds '2', neither 0 nor 1. Mend or drop the row; if all rows hold such "
            "scores, the kind is sts.",
        ),
        ("", None, None, "x.csv: the file is empty."),
        ("sentence1,sentence2,score\n", None, None, "x.csv: there are no rows."),
        (
            "left,right,score\na,b,1\n",
            "sts",
            None,
            "x.csv: no column is known as the text1. The columns are 'left', 'right', 'score'; name one "
            "'text1', or say which to use with --columns text1=NAME,text2=NAME,score=NAME.",
        ),
        (
            "left,right,score\na,b,1\n",
            "sts",
            "text1=lft",
            "x.csv: there is no column 'lft'. The columns are 'left', 'right', 'score'.",
        ),
        (
            "left,right,score\na,b,1\n",
            "sts",
            "anchor=left",
            "--columns: 'anchor' is not a role; write --columns text1=NAME,text2=NAME,score=NAME.",
        ),
        (
            "left,right,score\na,b,1\n",
            "sts",
            "text1=left,text2=left",
            "--columns: 'text2=left' is given twice; write --columns text1=NAME,text2=NAME,score=NAME.",
        ),
        (
            "left,right,score\na,b,1\n",
            None,
            "text1=left",
            "--columns: the roles depend on the kind of task; say it with --data x.csv=KIND.",
        ),
        (
            "text,label\na,x\nb,x\n",
            "clustering",
            None,
            "x.csv: every row is of the class 'x' in column 'label'. Give rows of two classes or more.",
        ),
        (
            "text,label\na,x\nb,y\n",
            "classification",
            None,
            "x.csv: no class has two texts, one to learn from and one to tell the class of. Say which column "
            "holds the classes with --columns text=NAME,label=NAME.",
        ),
        (
            "text,label\na,x\n,y\n",
            "classification",
            None,
            "x.csv:3: column 'text' is empty. Every row needs a text and its class; drop or fill the row.",
        ),
    ],
)
def test_mistakes_in_tables(read, content, kind, columns, message):
    assert refusal(read, {"x.csv": content}, kind=kind, columns=columns) == message


def test_a_file_that_is_not_there(read):
    assert refusal(read, {}, "nowhere.csv") == "nowhere.csv: there is no such file or folder."


def test_translations(read):
    task = read({"t.tsv": "de\ten\neins\tone\nzwei\ttwo\n"})
    assert task.kind == "bitext"
    assert task.texts.of(task.first) == ["eins", "zwei"]
    named = read({"t.csv": "sentence1,sentence2\neins,one\n"}, kind="bitext")
    assert named.texts.of(named.second) == ["one"]


def test_one_file_of_labelled_texts_is_parted(read):
    """Half of each class, and no text on both sides, though 'same' is there twice."""
    rows = [(f"text {number}", number % 3) for number in range(30)] + [("same", 0), ("same", 1)]
    content = "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)
    task = read({"c.csv": content}, kind="classification")
    assert task.classes == ("0", "1", "2")
    assert len(task.train) + len(task.test) == 31
    assert not set(task.train.tolist()).intersection(task.test.tolist())
    assert np.bincount(task.train_labels).tolist() == [6, 5, 5]
    labels = dict(reversed(rows))
    found = zip(task.texts.of(task.test), task.test_labels.tolist(), strict=True)
    assert all(labels[text] == label for text, label in found if text != "same")
    again = read({"c.csv": content}, kind="classification")
    assert again.train.tolist() == task.train.tolist()
    assert again.digest() == task.digest()


def test_two_files_of_labelled_texts(read):
    """A text to test on that is also learned from is left out."""
    files = {
        "c/train.jsonl": jsonl({"text": "a", "label": 1}, {"text": "b", "label": 0}),
        "c/test.csv": "text,label\nb,0\nc,1\nd,0\n",
    }
    task = read(files, "c")
    assert task.kind == "classification"
    assert task.texts.of(task.train) == ["a", "b"]
    assert task.texts.of(task.test) == ["c", "d"]
    assert (task.train_labels.tolist(), task.test_labels.tolist()) == ([1, 0], [1, 0])
    files["c/test.csv"] = "text,label\nc,2\n"
    assert refusal(read, files, "c") == (
        "c/test.csv: every row is of the class '2' in column 'label'. Give rows of two classes or more."
    )
    files["c/test.csv"] = "text,label\nc,2\nd,1\n"
    assert refusal(read, files, "c") == (
        "c/test.csv: there is no text to learn the class '2' from. Add one to c/train.jsonl."
    )
    files["c/test.csv"] = "text,label\nb,0\na,1\n"
    assert refusal(read, files, "c") == (
        "c/test.csv: every text stands in c/train.jsonl too. Give others to test on."
    )


def test_clusters(read):
    task = read({"c.csv": "text,label\na,x\nb,y\na,y\n"}, kind="clustering")
    assert (task.texts.of(task.members), task.labels.tolist(), task.classes) == (
        ["a", "b"],
        [0, 1],
        ("x", "y"),
    )


def test_a_digest_tells_tasks_apart(read):
    """Another label, another kind, another order of two texts: each is another task; another name is not."""
    content = "text1,text2,score\na,b,1\nc,d,0\n"
    digest = read({"s.csv": content}).digest()
    assert read({"other.csv": content}).digest() == digest
    for other in (content.replace("b,1", "b,2"), content.replace("a,b", "b,a")):
        assert read({"s.csv": other}).digest() != digest
    assert read({"s.csv": content}, kind="pair-classification").digest() != digest
