"""`gistembed compare`, end to end: real runs of `fit`, models scored by `evaluate`, the page."""

import json
import re

import pytest
from tests.compare.compare_samples import write_run
from tests.real_text import documentation_pairs
from tests.report.example import CLOSING, MARKDOWN, SCRIPT
from tests.tiny_models import save_static

from gistembed import fit
from gistembed.compare import ComparisonRecord

STS = "sentence1,sentence2,score\n" + "".join(f"a {i},b {i * i % 7},{i % 5}\n" for i in range(25))
LABELS = "sentence1,sentence2,label\n" + "".join(f"a {i},b {i * i % 7},{i % 2}\n" for i in range(25))
MOODS = "text,label\n" + "".join(f"{'good' if i % 2 else 'bad'} {i * i},{i % 2}\n" for i in range(60))
PAIRS = "question,answer\n" + "".join(f"what is {i * i},the answer {i}\n" for i in range(25))
TWO = "en,de\n" + "".join(f"house {i},Haus {i}\n" for i in range(25))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, static_folder):
    """Two settings with two seeds each, on the same split."""
    place = tmp_path_factory.mktemp("compare")
    rows = [json.dumps({"query": query, "answer": answer}) for query, answer in documentation_pairs()[:250]]
    (place / "pairs.jsonl").write_text("\n".join(rows[:220]), encoding="utf-8")
    (place / "retention.jsonl").write_text("\n".join(rows[220:]), encoding="utf-8")
    settings = {
        "loss": "infonce",
        "steps": 2,
        "batch_size": 20,
        "split_seed": 0,
        "retention": place / "retention.jsonl",
    }
    for name, rate in (("slow", 0.002), ("fast", 0.05)):
        for seed in (1, 2):
            fit(
                place / "pairs.jsonl",
                static_folder,
                out=place / f"{name}-{seed}",
                seed=seed,
                learning_rate=rate,
                quiet=True,
                **settings,
            )
    return place


def test_a_run_against_its_beginning_is_what_its_own_report_says(run, runs):
    code, out, err = run("compare", f"{runs}/fast-1#base", runs / "fast-1", "--json")
    assert (code, err) == (0, "")
    (challenger,) = json.loads(out)["challengers"]
    own = json.loads((runs / "fast-1" / "run.json").read_text(encoding="utf-8"))
    # So that there is something to compare.
    assert min(effect["wins"] + effect["losses"] for effect in challenger["effects"]) > 0
    for effect, evaluation in zip(challenger["effects"], own["evaluations"], strict=True):
        comparison = evaluation["comparisons"][0]
        assert effect["task"] == evaluation["data"]
        assert effect["difference"] == pytest.approx(comparison["difference"], abs=1e-12)
        assert [effect[name] for name in ("wins", "losses", "ties")] == [
            comparison[name] for name in ("wins", "losses", "ties")
        ]


def test_settings_with_seeds(run, runs, tmp_path):
    out = tmp_path / "out"
    code, printed, err = run(
        "compare", f"slow={runs}/slow-*", f"fast={runs}/fast-1,{runs}/fast-2", "--out", out
    )
    assert code == 0, err
    record = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    assert ComparisonRecord.model_validate(record).version == 1
    assert [(side["name"], side["seeds"]) for side in record["sides"]] == [("slow", [1, 2]), ("fast", [1, 2])]
    (challenger,) = record["challengers"]
    assert [effect["task"] for effect in challenger["effects"]] == ["held-out", "retention"]
    assert printed == f"{challenger['line']}\n"
    assert printed.startswith(f"fast against slow: {challenger['verdict']}: held-out nDCG@10 ")
    assert "warning: 2 seeds tell little of what another would change" in err
    assert f"report {out}/report.html" in err
    markdown = (out / "table.md").read_text(encoding="utf-8")
    assert markdown.startswith("- fast against slow: ")
    assert "| fast | retention | nDCG@10 | 30 queries | " in markdown
    # Quiet, it is the verdict alone.
    assert run("compare", f"slow={runs}/slow-*", f"fast={runs}/fast-*", "--quiet") == (0, printed, "")


def test_the_table_fits_a_terminal(run, runs):
    _, _, err = run("compare", f"slow={runs}/slow-*", f"fast={runs}/fast-*", f"before={runs}/fast-1#base")
    lines = [line for line in err.splitlines() if line[:1] in {"┃", "│"}]
    assert len([line for line in lines if line.startswith("┃")]) == 2
    assert all(len(line) <= 80 and line[-1] in {"┃", "│"} for line in lines)
    assert not any("…" in line for line in lines)


def test_scored_models_of_every_kind(run, tmp_path, monkeypatch, static_folder, bert_folder):
    monkeypatch.chdir(tmp_path)
    for name, content in (("sts", STS), ("dup", LABELS), ("moods", MOODS), ("faq", PAIRS), ("two", TWO)):
        (tmp_path / f"{name}.csv").write_text(content)
    sources = ["sts.csv", "dup.csv", "moods.csv=classification", "moods.csv=clustering", "faq.csv", "two.csv"]
    models = (str(static_folder), str(bert_folder))
    data = [part for source in sources for part in ("--data", source)]
    code, out, err = run("evaluate", *models, *data, "--out", "scores", "--json")
    assert code == 0, err
    scored = {(one["model"], one["task"]): one["score"] for one in json.loads(out)}
    code, out, err = run("compare", *models, "--scores", "scores", "--retention", "faq-retrieval", "--json")
    assert code == 0, err
    record = json.loads(out)
    (challenger,) = record["challengers"]
    found = {effect["task"]: effect for effect in challenger["effects"]}
    assert list(found)[-1] == "faq-retrieval"
    assert set(found) == {task for _, task in scored}
    # The scores are those of `evaluate`, each within its interval.
    for task, effect in found.items():
        for side, model in zip(("baseline", "challenger"), models, strict=True):
            assert effect[side]["mean"] == pytest.approx(scored[model, task], abs=1e-12)
        assert effect["difference"]["low"] <= effect["difference"]["mean"] <= effect["difference"]["high"]
    assert sorted(challenger["overall"]["tasks"]) == sorted(set(found) - {"faq-retrieval"})
    assert found["moods-clustering"]["decides"]
    assert found["sts-sts"]["gains"][0]["note"].startswith("score ")
    assert found["moods-classification"]["unit"] == "texts"

    # With other weights, the model is not the one that was scored.
    def refusal(*arguments):
        code, out, err = run("compare", *arguments)
        assert (code, out) == (2, "")
        return err.removeprefix("gistembed: ").rstrip("\n")

    save_static(tmp_path / "new", seed=3)
    assert refusal("new", models[1], "--scores", "scores") == (
        "compare new: not scored in scores, or its files changed since; run: gistembed evaluate new --data "
        "PATH --out scores"
    )
    assert refusal(*models, "--scores", "new") == "--scores new: holds no results of `gistembed evaluate`"
    for prompt in ("x: ", "y: "):
        options = ("--data", "sts.csv", "--prompt", f"text={prompt}", "--out", "scores")
        assert run("evaluate", "new", *options)[0] == 0
    places = sorted(
        str(place.relative_to(tmp_path)) for place in (tmp_path / "scores/results").glob("*__new/*")
    )
    assert refusal("new", models[1], "--scores", "scores") == (
        f"compare new: scored in scores with several settings; name one of {', '.join(places)} in its place"
    )
    assert run("compare", *places, "--quiet")[0] == 0


def test_models_of_runs_have_the_seeds_of_their_runs(run, runs, tmp_path, monkeypatch, static_folder):
    """A run stands for its model, its base for the student, and a model knows the run that it is in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faq.csv").write_text(PAIRS)
    models = [str(runs / name / "model") for name in ("slow-1", "slow-2", "fast-1", "fast-2")]
    code, _, err = run("evaluate", static_folder, *models, "--data", "faq.csv", "--out", "scores")
    assert code == 0, err
    sides = (f"base={runs}/slow-1#base", f"slow={runs}/slow-*", f"fast={models[2]},{models[3]}")
    code, out, err = run("compare", *sides, "--scores", "scores", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert [side["seeds"] for side in record["sides"]] == [[], [1, 2], [1, 2]]
    assert [effect["task"] for effect in record["challengers"][1]["effects"]] == ["faq-retrieval"]


def test_nothing_of_a_user_is_markup(run, tmp_path):
    """Queries, task and sides that try to be HTML and Markdown."""
    for name, high in (("plain", 0.2), ("<i>tuned", 0.9)):
        values = [high] * 30
        write_run(tmp_path / name, {("held-out", "guided"): values, ("retention", "guided"): values})
    hostile = {"query 000": SCRIPT, "query 001": CLOSING, "query 002": MARKDOWN}
    for name in ("plain", "<i>tuned"):
        _rename(tmp_path / name / "scores.parquet", hostile)
    out = tmp_path / "out"
    code, _, err = run("compare", tmp_path / "plain", tmp_path / "<i>tuned", "--out", out)
    assert code == 0, err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert SCRIPT not in page
    assert CLOSING not in page
    assert "<i>tuned" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    markdown = (out / "table.md").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in markdown
    assert "a\\|b \\`c\\` &lt;b&gt; \\# d" in markdown
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)[1])
    assert [trace["y"] for trace in charts["effects-0"]["data"]] == [["held-out"], ["retention"]]


def test_a_loss_in_retention_is_in_the_heading(run, tmp_path):
    for name, high in (("plain", 0.5), ("tuned", 0.9)):
        scores = {("held-out", "guided"): [high] * 30, ("retention", "guided"): [1 - high] * 30}
        write_run(tmp_path / name, scores)
    code, printed, err = run("compare", tmp_path / "plain", tmp_path / "tuned", "--out", tmp_path / "out")
    assert code == 0, err
    assert printed == (
        "tuned against plain: better: held-out nDCG@10 0.500 → 0.900 (+0.400, 95 % interval +0.400 to "
        "+0.400, corrected p 0.0004) on 30 queries, 1 seed; retention worse: -0.400, 95 % interval -0.400 to "
        "-0.400, corrected p 0.0004\n"
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Better, but retention is worse</h1>" in page


def _rename(path, names):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    queries = [names.get(query, query) for query in table["query"].to_pylist()]
    pq.write_table(table.set_column(2, "query", pa.array(queries)), path)
