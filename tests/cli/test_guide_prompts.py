"""Prompts of the guide on the command line: a run with the same prompts finds the vectors."""

import pytest

from gistembed import fit

PROMPTS = {"anchor": "find, if you can: ", "document": ""}
OPTIONS = [word for role, text in PROMPTS.items() for word in ("--prompt", f"{role}={text}")]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("query,positive\n" + "".join(f"q{i} word{i},p{i} word{i}\n" for i in range(30)))
    return path


@pytest.mark.parametrize("command", ["guide encode", "data mine"])
def test_fit_finds_what_another_command_encoded(run, pairs, command, bert_folder, static_folder, tmp_path):
    """Without the prompts the run would encode all anchors again."""
    guided = ("--guide", bert_folder, "--store", tmp_path / "store", "--quiet")
    out = (tmp_path / "mined.jsonl",) if command == "data mine" else ()
    code, _, err = run(*command.split(), pairs, *out, *guided, *OPTIONS)
    assert code == 0, err
    settings = {"store": tmp_path / "store", "guide_prompts": PROMPTS, "batch_size": 9, "steps": 1}
    result = fit(pairs, str(static_folder), str(bert_folder), out=tmp_path / "out", quiet=True, **settings)
    (guide,) = result.record.guides
    assert guide.encoded == 0


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (["query=q: "], "'query=q: ' is neither anchor=TEXT nor document=TEXT"),
        (["anchor"], "'anchor' is neither anchor=TEXT nor document=TEXT"),
        (["anchor=a", "anchor=b"], "anchor has two prompts; give it one"),
    ],
)
def test_refused(run, pairs, bert_folder, prompts, message):
    words = [word for prompt in prompts for word in ("--prompt", prompt)]
    assert run("guide", "encode", pairs, "--guide", bert_folder, "--quiet", *words) == (
        2,
        "",
        f"gistembed: --prompt: {message}\n",
    )
