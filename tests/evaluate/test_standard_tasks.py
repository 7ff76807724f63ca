"""``gistembed evaluate --mteb``: mteb's evaluators, our models, one form of result."""

import importlib
import json

import pyarrow.parquet as pq
import pytest

from gistembed.errors import UserError
from gistembed.evaluate.standard import as_mteb_task, find_standard
from gistembed.evaluate.tasks import read_task

mteb = pytest.importorskip("mteb")

# What mteb and the libraries below it warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore::Warning")

STS = "sentence1,sentence2,score\na dog,the dog,4\na cat,a car,2\nrain,it rains,3\nsun,moon,1\n"
PAIRS = "question,answer\nwhat is red,a rose\nwhat is blue,the sky\nwhat is green,grass\n"


@pytest.fixture
def standard(run, tmp_path, monkeypatch, static_folder):
    """Run the command on own data as if it were mteb's; gives its JSON and the tasks."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sts.csv").write_text(STS)
    (tmp_path / "pairs.csv").write_text(PAIRS)
    tasks = [as_mteb_task(read_task(f"{name}.csv", name=name)) for name in ("sts", "pairs")]
    monkeypatch.setattr("gistembed.evaluate.standard.find_standard", lambda names, languages: tasks)

    def call(*arguments, code=0):
        done, out, err = run("evaluate", static_folder, *arguments, "--out", "scores", "--json")
        assert done == code, err
        return json.loads(out), err

    return call, tasks


def test_the_same_form_and_the_same_scores_as_own_data(standard, tmp_path):
    call, _ = standard
    found, _ = call("--mteb", "any")
    own, _ = call("--data", "sts.csv", "--data", "pairs.csv")
    assert [one["kept"] for one in own] == [False, False]
    for one, other in zip(found, own, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert one["result"] == other["result"]


def test_results_are_kept_and_mteb_finds_them(standard, tmp_path):
    call, _ = standard
    found, _ = call("--mteb", "any")
    again, _ = call("--mteb", "any")
    assert [one["kept"] for one in found + again] == [False, False, True, True]
    content = json.loads((tmp_path / found[0]["result"]).read_text())
    assert content["mteb_version"] == mteb.__version__
    predictions = (tmp_path / found[0]["result"]).parent / "predictions" / "sts-sts.json"
    assert len(json.loads(predictions.read_text())["default"]["test"]["cosine_scores"]) == 4
    results = mteb.ResultCache(tmp_path / "scores").load_results(include_remote=False)
    (model,) = results.model_results
    scores = {result.task_name: result.main_score for result in model.task_results}
    assert scores == pytest.approx({one["task"]: one["score"] for one in found})
    assert model.model_name.count("/") == 1


def test_scores_of_each_query_are_beside_a_search(standard, tmp_path):
    """In place of mteb's predictions, which are a thousand documents for each query."""
    call, tasks = standard
    found, _ = call("--mteb", "any")
    path = (tmp_path / found[1]["result"]).with_suffix(".items.parquet")
    items = pq.read_table(path).to_pydict()
    assert (set(items["split"]), set(items["subset"])) == ({"test"}, {"default"})
    assert items["query_id"] == ["q0", "q1", "q2"]
    assert sum(items["ndcg_at_10"]) / 3 == pytest.approx(found[1]["score"], abs=1e-5)
    assert {"map_at_100", "recall_at_1", "precision_at_3", "hit_rate_at_5"} <= items.keys()
    assert not (path.parent / "predictions" / "pairs-retrieval.json").exists()
    assert "task_specific_scores" not in vars(tasks[1])


def test_mteb_reads_results_of_own_data(standard, tmp_path):
    call, _ = standard
    own, _ = call("--data", "sts.csv")
    (model,) = mteb.ResultCache(tmp_path / "scores").load_results(include_remote=False).model_results
    assert [result.main_score for result in model.task_results] == [own[0]["score"]]
    assert model.model_revision == own[0]["result"].split("/")[3]


def test_a_task_without_data_is_passed_over(standard, tmp_path):
    """The other tasks are scored all the same, and the exit code says that something is missing."""
    call, tasks = standard

    def load_data(**_):
        raise ConnectionError("no way to the hub\nat all")

    tasks[0].data_loaded = False
    tasks[0].load_data = load_data
    found, err = call("--mteb", "any", code=2)
    assert [one["task"] for one in found] == ["pairs-retrieval"]
    assert err == (
        "gistembed: --mteb: not scored, because their data can't be had: sts-sts (no way to the hub); run "
        "the same command again where the hub can be reached\n"
    )


def test_a_task_that_loads_its_data_lets_go_of_it(standard):
    call, tasks = standard
    data = tasks[0].dataset

    def load_data(**_):
        tasks[0].dataset, tasks[0].data_loaded = data, True

    tasks[0].data_loaded, tasks[0].dataset, tasks[0].load_data = False, None, load_data
    found, _ = call("--mteb", "any")
    assert len(found) == 2
    assert not tasks[0].data_loaded


def test_names_of_benchmarks_tasks_and_types():
    assert [task.metadata.name for task in find_standard(["STS12", "STS12"])] == ["STS12"]
    names = {task.metadata.name for task in find_standard(["MTEB(eng, v2)"])}
    assert {"STS12", "ArguAna", "TwitterSemEval2015"} <= names
    types = find_standard(["STS"], ["deu"])
    assert {task.metadata.type for task in types} == {"STS"}
    assert all("deu" in " ".join(task.languages) for task in types)


def test_a_name_that_mteb_does_not_know():
    with pytest.raises(UserError) as refused:
        find_standard(["SST12"])
    assert str(refused.value) == (
        "--mteb 'SST12': no benchmark, task or type of tasks is called so; near to it are 'STS12', 'STS22', "
        "'STS17'"
    )
    with pytest.raises(UserError) as refused:
        find_standard(["STS12"], ["deu"])
    assert str(refused.value) == "--mteb 'STS12': none of its tasks is in 'deu'"


def test_without_mteb(run, tmp_path, monkeypatch, static_folder):
    real = importlib.import_module

    def import_module(name, *arguments):
        if name == "mteb":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert run("evaluate", static_folder, "--mteb", "STS12", "--out", tmp_path / "scores") == (
        2,
        "",
        "gistembed: --mteb: mteb is not installed; run `pip install 'gistembed[mteb]'`, or leave the option "
        "out\n",
    )
    assert not (tmp_path / "scores").exists()
