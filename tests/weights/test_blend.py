"""Blends of two models: the weights by value, how a share is chosen, and what is refused."""

import errno
import json

import numpy as np
import pytest
import torch
from tests.tiny_models import save_bert, save_static

from gistembed.errors import UserError
from gistembed.models import load_model
from gistembed.weights import Blend, blended_weights
from gistembed.weights.blending.choose import best, relative_changes

PAIRS = "query,positive\n" + "".join(f"what is {i}{i}?,{i} and {i * 7} are the answer\n" for i in range(30))


@pytest.fixture(scope="module")
def statics(tmp_path_factory):
    """Two static models of one architecture; the second has a prompt."""
    folder = tmp_path_factory.mktemp("statics")
    return save_static(folder / "a"), save_static(folder / "b", prompts={"query": "q: "}, seed=1)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "dev.csv"
    path.write_text(PAIRS)
    return path


def weights_of(folder):
    return load_model(str(folder), option="M", device="cpu").model.state_dict()


def test_the_weights_by_value():
    base, tuned = {"w": torch.tensor([1.0, -2.0, 0.0])}, {"w": torch.tensor([5.0, 2.0, 1.0])}
    assert blended_weights(base, tuned, 0.25)["w"].tolist() == [2.0, -1.0, 0.25]


def test_the_ends_and_equal_weights_are_exact():
    """0.7 x + 0.3 x is not x for one float32 in three: a frozen layer would not stay what it was."""
    generator = torch.Generator().manual_seed(0)
    base, tuned = (torch.randn(1000, generator=generator) for _ in range(2))
    assert not torch.equal(0.7 * base + 0.3 * base, base)
    for alpha in (0.1, 0.3, 0.5, 0.7):
        assert torch.equal(blended_weights({"w": base}, {"w": base}, alpha)["w"], base)
    assert torch.equal(blended_weights({"w": base}, {"w": tuned}, 0.0)["w"], base)
    assert torch.equal(blended_weights({"w": base}, {"w": tuned}, 1.0)["w"], tuned)


def test_half_precision_is_blended_in_float32():
    """In float16, 2048 + 1 is 2048."""
    base, tuned = (torch.tensor([value], dtype=torch.float16) for value in (2048.0, 2050.0))
    assert blended_weights({"w": base}, {"w": tuned}, 0.5)["w"].item() == 2049.0


def test_blends_don_t_build_on_each_other(statics):
    blend = Blend(*map(str, statics), device="cpu")
    blend.at(1.0)
    blend.at(0.0)
    weight = blend.at(0.5).model.state_dict()["0.embedding.weight"]
    a, b = (weights_of(folder)["0.embedding.weight"] for folder in statics)
    np.testing.assert_allclose(weight, 0.5 * (a + b), rtol=0, atol=1e-6)


def test_changes_and_the_choice_by_hand():
    scores = [(0.4, 0.5), (0.5, 0.49), (0.6, 0.4), (0.5, 0.49)]
    trials = relative_changes((0.0, 0.3, 0.7, 1.0), scores, 0.95)
    assert [trial.dev_change for trial in trials] == pytest.approx([0, 0.25, 0.5, 0.25])
    assert [trial.retention_change for trial in trials] == pytest.approx([0, -0.02, -0.2, -0.02])
    assert [trial.gain for trial in trials] == pytest.approx([0, 0.115, 0.15, 0.115])
    assert [trial.allowed for trial in trials] == [True, True, False, True]
    # The third gains most and has lost too much; of the two others that are equal, the one nearer to BASE.
    assert best(trials).alpha == 0.3
    assert best(relative_changes((0.0, 0.3, 0.7, 1.0), scores, 0.0)).alpha == 0.7
    assert best(relative_changes((0.0, 1.0), [(0.4, 0.5), (0.3, 0.5)], 0.95)).alpha == 0.0


def test_the_command(run, statics, tmp_path):
    out = tmp_path / "blend"
    code, printed, err = run("blend", *statics, "--out", out, "--alpha", "0.25")
    assert (code, printed) == (0, f"0.75 BASE + 0.25 TUNED in {out}\n")
    assert err == "warning: the prompts of BASE and TUNED differ; the blend has those of TUNED\n"
    a, b = (weights_of(folder)["0.embedding.weight"] for folder in statics)
    model = load_model(str(out), option="M", device="cpu")
    np.testing.assert_allclose(
        model.model.state_dict()["0.embedding.weight"], 0.75 * a + 0.25 * b, rtol=0, atol=1e-6
    )
    assert model.prompts == {"anchor": "q: ", "document": ""}
    record = json.loads((out / "blend.json").read_text())
    assert (record["base"], record["tuned"], record["alpha"], record["choice"]) == (
        str(statics[0]),
        str(statics[1]),
        0.25,
        None,
    )
    assert "Weights: 0.75 × " in (out / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["blend"]


def test_a_share_is_chosen_on_data(run, statics, tmp_path, data):
    """Retention of the same pairs: both changes are one, and the best blend on the pairs is chosen."""
    out = tmp_path / "blend"
    words = ("blend", *statics, "--out", out, "--data", data, "--retention", data)
    code, printed, err = run(*words, "--json")
    assert (code, err) == (0, "")
    record = json.loads(printed)
    assert record == json.loads((out / "blend.json").read_text())
    trials = record["choice"]["trials"]
    assert [trial["alpha"] for trial in trials] == [step / 10 for step in range(11)]
    scores = [trial["dev"] for trial in trials]
    assert scores == [trial["retention"] for trial in trials]
    assert record["alpha"] == trials[int(np.argmax(scores))]["alpha"]
    assert record["choice"]["dev"] == {"source": str(data), "queries": 30, "documents": 30}
    assert f"| {record['alpha']:g} (chosen) |" in (out / "README.md").read_text(encoding="utf-8")
    code, printed, err = run(*words[:4], tmp_path / "again", *words[5:])
    assert (code, printed.splitlines()[-1].split(" in ")[1]) == (0, str(tmp_path / "again"))
    assert f"chosen: {record['alpha']:g}; the highest mean of the two relative changes" in err
    assert "mean change" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "1.5"], "--alpha 1.5: choose from 0, which is BASE, to 1, which is TUNED"),
        (["--alpha", "0.5", "--data", "x"], "--alpha: would be chosen on --data; give one of the two"),
        (["--retention", "x"], "--retention: has no effect without --data; give both"),
        (["--least-retention", "0.9"], "--least-retention: has no effect without --data; give both"),
        (["--data", "x", "--least-retention", "95"], "--least-retention 95: choose from 0 to 1"),
    ],
    ids=["alpha", "both", "retention", "least", "percent"],
)
def test_settings_that_are_refused(run, statics, tmp_path, arguments, message):
    code, out, err = run("blend", *statics, "--out", tmp_path / "out", "--quiet", *arguments)
    assert (code, out, err) == (2, "", f"gistembed: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken(run, statics, tmp_path):
    (tmp_path / "out").mkdir()
    assert run("blend", *statics, "--out", tmp_path / "out") == (
        2,
        "",
        f"gistembed: --out {tmp_path / 'out'}: is there already; choose another name, or remove it\n",
    )


def test_a_base_that_finds_nothing(run, statics, tmp_path, data, monkeypatch):
    monkeypatch.setattr("gistembed.weights.blending.choose._mean", lambda *_: 0.0)
    code, _, err = run("blend", *statics, "--out", tmp_path / "out", "--data", data, "--quiet")
    assert (code, err) == (
        2,
        f"gistembed: {data}: BASE finds nothing there, so that nothing can be compared with it; "
        "give other pairs, or --alpha\n",
    )
    assert not (tmp_path / "out").exists()


def refused(base, tuned):
    with pytest.raises(UserError) as caught:
        Blend(str(base), str(tuned), device="cpu")
    return str(caught.value)


def changed(folder, copy, change):
    """A copy of a model in which something is changed before it is saved."""
    model = load_model(str(folder), option="M", device="cpu").model
    change(model)
    model.save_pretrained(str(copy))
    return copy


def other_tokens(model):
    """The same words by other numbers."""
    content = json.loads(model[0].tokenizer.to_str())
    words = list(content["model"]["vocab"])
    content["model"]["vocab"] = {word: len(words) - 1 - i for i, word in enumerate(words)}
    model[0].tokenizer = type(model[0].tokenizer).from_str(json.dumps(content))


def test_models_that_are_unlike(statics, bert_folder, tmp_path):
    a = statics[0]

    def said(what, other, base=a):
        advice = "give a model and one that was trained from it"
        assert refused(base, other) == f"{base} and {other} can't be blended: {what}; {advice}"

    said("their modules are StaticEmbedding and Transformer → Pooling", bert_folder)
    said(
        "the shape of 0.embedding.weight is (256, 32) and (256, 16)",
        save_static(tmp_path / "small", dimensions=16),
    )
    said("their tokenizers differ (model)", changed(a, tmp_path / "tokens", other_tokens))
    pooled = changed(bert_folder, tmp_path / "cls", lambda model: setattr(model[1], "pooling_mode", "cls"))
    said("pooling_mode of module 1 is 'mean' and 'cls'", pooled, bert_folder)
    heads = changed(
        bert_folder,
        tmp_path / "heads",
        lambda model: setattr(model[0].model.config, "num_attention_heads", 4),
    )
    said("num_attention_heads of module 0 is 2 and 4", heads, bert_folder)


def test_a_longer_limit_is_no_other_architecture(bert_folder, tmp_path):
    other = save_bert(tmp_path / "long", max_length=40, seed=1)
    assert Blend(str(bert_folder), str(other), device="cpu").at(0.5).max_length == 40


def test_a_weight_that_is_not_finite(statics, tmp_path):
    def spoil(model):
        model[0].embedding.weight.data[3, 4] = float("nan")

    broken = changed(statics[0], tmp_path / "nan", spoil)
    assert refused(statics[0], broken) == (
        f"{broken}: the weight 0.embedding.weight is not finite; this model is broken"
    )


def test_a_full_disk_leaves_nothing(run, statics, tmp_path, monkeypatch):
    def full(folder, contents):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr("gistembed.weights.folder.write_texts", full)
    code, out, err = run("blend", *statics, "--out", tmp_path / "out", "--quiet")
    assert (code, out) == (4, "")
    assert "No space left on device; free space" in err
    assert list(tmp_path.iterdir()) == []
