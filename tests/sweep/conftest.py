"""A sweep over 240 real pairs with a tiny static student, whose cells take part of a second."""

import json

import pytest
from tests.real_text import documentation_pairs

BASE = """
steps = 2
batch_size = 20
retention = "{folder}/retention.jsonl"
data = "{folder}/pairs.jsonl"
student = "{student}"
guide = "{guide}"
store = "{folder}/store"
"""


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with pairs, and a few more for retention."""
    folder = tmp_path_factory.mktemp("sweep")
    rows = [json.dumps({"query": query, "answer": answer}) for query, answer in documentation_pairs()[:270]]
    (folder / "pairs.jsonl").write_text("\n".join(rows[:240]), encoding="utf-8")
    (folder / "retention.jsonl").write_text("\n".join(rows[240:]), encoding="utf-8")
    return folder


@pytest.fixture
def base(place, static_folder, bert_folder):
    """The settings that all cells share, as lines of TOML."""
    return BASE.format(folder=place, student=static_folder, guide=bert_folder)


@pytest.fixture
def sweep_file(tmp_path, base):
    """Write a sweep; gives its path."""

    def call(grid="[grid]\nlearning_rate = [0.002, 0.05]\n", seeds="[1, 2]", more=""):
        path = tmp_path / "sweep.toml"
        path.write_text(f"seeds = {seeds}\n{grid}\n[base]\n{base}\n{more}", encoding="utf-8")
        return path

    return call
