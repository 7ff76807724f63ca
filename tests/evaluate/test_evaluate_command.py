"""``gistembed evaluate``: results side by side, kept, found again, and one line for every mistake."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.tiny_models import save_bert, save_static

from gistembed.evaluate.runs.encoder import prompt_for
from gistembed.evaluate.runs.settings import ModelSettings, ModelToScore
from gistembed.models import load_model

STS = "sentence1,sentence2,score\na dog,the dog,4\na cat,a car,2\nrain,it rains,3\nsun,moon,1\n"
PAIRS = "question,answer\nwhat is red,a rose\nwhat is blue,the sky\nwhat is green,grass\n"


@pytest.fixture
def here(tmp_path, monkeypatch, static_folder, bert_folder):
    """A folder with two models and two sources of data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base").symlink_to(static_folder)
    (tmp_path / "models" / "tuned").symlink_to(bert_folder)
    (tmp_path / "sts.csv").write_text(STS)
    (tmp_path / "pairs.csv").write_text(PAIRS)
    return tmp_path


def evaluated(run, *arguments):
    code, out, err = run("evaluate", *arguments, "--out", "scores", "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_models_side_by_side(run, here):
    found = evaluated(run, "models/base", "models/tuned", "--data", "sts.csv", "--data", "pairs.csv")
    assert [(one["model"], one["task"], one["metric"], one["kept"]) for one in found] == [
        ("models/base", "sts-sts", "cosine_spearman", False),
        ("models/base", "pairs-retrieval", "ndcg_at_10", False),
        ("models/tuned", "sts-sts", "cosine_spearman", False),
        ("models/tuned", "pairs-retrieval", "ndcg_at_10", False),
    ]
    code, out, err = run(
        "evaluate",
        "models/base",
        "models/tuned",
        *("--data", "sts.csv", "--data", "pairs.csv", "--out", "scores", "--quiet"),
    )
    assert (code, out) == (0, "")
    base, tuned = found[1]["score"], found[3]["score"]
    assert f"{base:.3f} │ {tuned:.3f} ({tuned - base:+.3f})" in err
    means = [(found[row]["score"] + found[row + 1]["score"]) / 2 for row in (0, 2)]
    assert f"{means[0]:.3f} │ {means[1]:.3f} ({means[1] - means[0]:+.3f})" in err


def test_a_result_is_in_mteb_s_form_with_its_items_beside(run, here):
    (one,) = evaluated(run, "models/base", "--data", "sts.csv")
    content = json.loads((here / one["result"]).read_text())
    identity = ModelToScore.find("models/base", ModelSettings()).identity
    assert one["result"] == f"scores/results/models__base/{identity}/sts-sts.json"
    (subset,) = content["scores"]["test"]
    assert subset["main_score"] == subset["cosine_spearman"] == one["score"]
    assert (subset["hf_subset"], subset["languages"]) == ("default", ["und-Zzzz"])
    assert (content["task_name"], content["mteb_version"]) == ("sts-sts", None)
    assert content["evaluation_time"] > 0
    items = pq.read_table((here / one["result"]).with_suffix(".items.parquet")).to_pydict()
    assert items["text1"] == ["a dog", "a cat", "rain", "sun"]
    assert items["score"] == [4, 2, 3, 1]
    model = load_model("models/base", option="MODEL")
    first, second = (model.embed(items[name], "document") for name in ("text1", "text2"))
    np.testing.assert_allclose(items["cosine"], (first * second).sum(axis=1), atol=1e-6)


def test_what_is_scored_is_kept(run, here, monkeypatch):
    """The model isn't even loaded; other data, another prompt or lost items are scored anew."""
    before = evaluated(run, "models/base", "--data", "sts.csv")
    loaded = []

    def load(self):
        loaded.append(self.given)
        return real(self)

    real = ModelToScore.load
    monkeypatch.setattr(ModelToScore, "load", load)
    after = evaluated(run, "models/base", "--data", "sts.csv")
    assert after == [{**before[0], "kept": True}]
    assert loaded == []
    (again,) = evaluated(run, "models/base", "--data", "sts.csv", "--prompt", "text=x: ")
    assert (again["kept"], again["result"] != before[0]["result"]) == (False, True)
    (here / "sts.csv").write_text(STS.replace(",4", ",0"))
    assert [one["kept"] for one in evaluated(run, "models/base", "--data", "sts.csv")] == [False]
    (here / before[0]["result"]).with_suffix(".items.parquet").unlink()
    assert [one["kept"] for one in evaluated(run, "models/base", "--data", "sts.csv")] == [False]
    (here / before[0]["result"]).write_text("{")
    assert [one["kept"] for one in evaluated(run, "models/base", "--data", "sts.csv")] == [False]
    assert loaded == ["models/base"] * 4


def test_weights_that_changed_are_scored_anew(run, here, tmp_path):
    save_static(tmp_path / "mine", seed=1)
    (before,) = evaluated(run, "mine", "--data", "sts.csv")
    save_static(tmp_path / "mine", seed=2)
    (after,) = evaluated(run, "mine", "--data", "sts.csv")
    assert not after["kept"]
    cosines = [
        pq.read_table((here / one["result"]).with_suffix(".items.parquet"))["cosine"].to_pylist()
        for one in (before, after)
    ]
    assert cosines[0] != cosines[1]


def test_prompts_by_use(tmp_path):
    """A task's own prompt, then its type's, then the role's; a text that searches nothing has no query's."""
    prompts = {"query": "q: ", "document": "d: ", "STS": "s: ", "Retrieval-query": "rq: "}
    model = load_model(save_bert(tmp_path / "m", prompts=prompts), option="MODEL")
    assert prompt_for(model, {}, ["STS"], "text") == "s: "
    assert prompt_for(model, {}, ["Classification"], "text") == ""
    assert prompt_for(model, {}, ["Retrieval"], "query") == "rq: "
    assert prompt_for(model, {}, ["Reranking"], "query") == "q: "
    assert prompt_for(model, {}, ["Retrieval"], "document") == "d: "
    assert prompt_for(model, {"text": "mine: "}, ["STS"], "text") == "mine: "
    assert prompt_for(model, {"anchor": ""}, ["Retrieval"], "query") == ""
    plain = load_model(
        save_bert(tmp_path / "n", prompts={"all": "a: "}, default_prompt="all"), option="MODEL"
    )
    assert prompt_for(plain, {}, ["STS"], "text") == "a: "


def test_prompts_reach_the_model(run, here):
    (plain,) = evaluated(
        run, "models/tuned", "--data", "pairs.csv", "--prompt", "anchor=", "--max-length", "8"
    )
    items = pq.read_table((here / plain["result"]).with_suffix(".items.parquet")).to_pydict()
    model = load_model("models/tuned", option="MODEL", prompts={"anchor": ""}, max_length=8)
    queries = model.embed(items["query"], "anchor")
    documents = model.embed(["a rose", "the sky", "grass"], "document")
    found = [["a rose", "the sky", "grass"][row] for row in (queries @ documents.T).argmax(axis=1)]
    assert items["found_first"] == found
    meta = json.loads((here / plain["result"]).with_name("model_meta.json").read_text())
    assert meta["gistembed"]["prompts"] == {"anchor": "", "document": ""}
    assert meta["gistembed"]["settings"] == {"prompts": {"anchor": ""}, "max_length": 8, "dimensions": None}
    assert (meta["name"], meta["max_tokens"]) == ("models/tuned", 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models/base"], "evaluate: there is nothing to score on; give --data or --mteb"),
        (["nowhere/at/all", "--data", "sts.csv"], "MODEL nowhere/at/all: no such folder"),
        (
            ["models/base", "models/base", "--data", "sts.csv"],
            "MODEL models/base: given twice; give each model once",
        ),
        (
            ["models/base", "--data", "sts.csv", "--data", "sts.csv"],
            "--data sts.csv: given twice as sts; give each once",
        ),
        (["models/base", "--data", "no.csv"], "no.csv: there is no such file or folder."),
        (
            ["models/base", "--data", "sts.csv", "--data", "pairs.csv", "--columns", "text1=a"],
            "--columns: names the columns of one --data; score the others in a run of their own",
        ),
        (
            ["models/base", "--data", "sts.csv", "--prompt", "query=x"],
            "--prompt 'query=x': write ROLE=TEXT, ROLE being one of anchor, document, text.",
        ),
        (
            ["models/base", "--data", "sts.csv", "--dimensions", "99"],
            "MODEL models/base: its vectors have 32 numbers; choose from 1 to so many dimensions",
        ),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(run, here, arguments, message):
    assert run("evaluate", *arguments, "--out", "scores") == (2, "", f"gistembed: {message}\n")
    assert not (here / "scores").exists()


def test_a_folder_of_something_else(run, here):
    message = "--out models: holds files of something else; choose an empty or a new folder"
    assert run("evaluate", "models/base", "--data", "sts.csv", "--out", "models") == (
        2,
        "",
        f"gistembed: {message}\n",
    )
    message = "--out sts.csv: a file; choose a folder"
    assert run("evaluate", "models/base", "--data", "sts.csv", "--out", "sts.csv") == (
        2,
        "",
        f"gistembed: {message}\n",
    )


def test_weights_that_are_not_finite(run, here, tmp_path):
    """Scored all the same, the correlation would be a null in the result."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(save_static(tmp_path / "good")), device="cpu")
    with torch.no_grad():
        model[0].embedding.weight[:] = float("nan")
    model.save_pretrained(str(tmp_path / "broken"))
    code, out, err = run("evaluate", "broken", "--data", "sts.csv", "--out", "scores", "--quiet")
    assert (code, out, err) == (
        2,
        "",
        "gistembed: MODEL broken: the embedding of 'a dog' holds a number that is not finite; score a model "
        "whose weights are sound\n",
    )
    assert not (here / "scores").exists()


def test_interrupted_between_two_tasks(run, here, monkeypatch):
    """What is scored before stays, and is found when the same command runs again."""
    import gistembed.evaluate.runs.run as module

    real, scored = module.score_task, []

    def score_task(task, embed):
        if scored:
            raise KeyboardInterrupt
        scored.append(task.name)
        return real(task, embed)

    words = ["models/base", "--data", "sts.csv", "--data", "pairs.csv"]
    with monkeypatch.context() as patched:
        patched.setattr(module, "score_task", score_task)
        code, out, err = run("evaluate", *words, "--out", "scores", "--quiet")
    assert (code, out) == (130, "")
    assert err == (
        "gistembed: interrupted; what is scored stays; go on with: gistembed evaluate models/base --data "
        "sts.csv --data pairs.csv --out scores --quiet\n"
    )
    assert [one["kept"] for one in evaluated(run, *words)] == [True, False]
