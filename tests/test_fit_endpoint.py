"""A guide behind an endpoint, over real HTTP, from the command line to the report."""

import json

import pytest

from gistembed import fit
from tests.guide.endpoint_server import DIMENSIONS, running

KEY = "sk-never-to-be-seen-4711"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with running() as server:
        yield server


@pytest.fixture
def pairs(tmp_path):
    rows = [{"query": f"q{i} word{i}", "pos": f"p{i} word{i}"} for i in range(30)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_run_guided_by_an_endpoint(server, pairs, tmp_path, static_folder):
    def run(out):
        return fit(
            pairs,
            str(static_folder),
            f"{server.url}#a/model",
            out=tmp_path / out,
            store=tmp_path / "store",
            batch_size=9,
            steps=2,
            quiet=True,
            guide_dimensions=DIMENSIONS,
        )

    result = run("first")
    record = result.record.guides[0]
    assert (record.model.kind, record.model.parameters) == ("endpoint", None)
    assert record.model.name == f"a/model at {server.url}"
    assert record.encoded == record.texts == len({text for texts in server.texts for text in texts}) > 0
    page, card = result.report.read_text(encoding="utf-8"), (result.model / "README.md").read_text("utf-8")
    assert "a/model at" in page
    assert "a/model at" in card
    sent = len(server.texts)
    assert run("second").record.guides[0].encoded == 0
    assert len(server.texts) == sent
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_encode_and_its_estimate(run, server, pairs, tmp_path):
    arguments = ("guide", "encode", pairs, "--guide", f"{server.url}#m", "--store", tmp_path / "store")
    price = ("--dimensions", DIMENSIONS, "--price", 1000)
    code, out, err = run(*arguments, *price, "--dry-run")
    assert code == 0, err
    assert "to be sent: 60 texts in 2 requests of about " in err
    assert ", which cost about 0." in err
    assert out == "60 texts, 60 of them to be encoded; nothing was written\n"
    assert server.texts == []
    assert not (tmp_path / "store").exists()
    code, out, err = run(*arguments, *price)
    assert code == 0, err
    assert out.startswith("60 texts, 60 of them encoded now; vectors in ")
    assert sum(map(len, server.texts)) == 60
    code, out, err = run(*arguments, *price)
    assert "to be sent: 0 texts in 0 requests" in err
    assert sum(map(len, server.texts)) == 60
    assert KEY not in out + err
