"""Models: which one it is, what it reads in each role, and every way in which it can't be loaded."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from gistembed.errors import UserError
from gistembed.models import folder_identity, load_model, ran_out_of_memory, resolve_folder
from tests.tiny_models import DIMENSIONS, MAX_LENGTH, save_bert, save_static, static_module

RAW_TEXTS = [
    "Straße ÉCOLE école",
    "caf\u00e9",
    "cafe\u0301",
    "日本語のテキスト",
    "🧑‍💻🔥",
    "مرحبا\u202e بالعالم",
    "  two  spaces\tand a tab\n",
    "long " * 500,
    "",
]


@pytest.fixture(scope="module")
def bert(bert_folder):
    return load_model(str(bert_folder), option="--student")


@pytest.fixture(scope="module")
def static(static_folder):
    return load_model(str(static_folder), option="--guide")


@pytest.fixture
def static_copy(static_folder, tmp_path):
    """A model folder to damage, under a name that can be compared."""
    return Path(shutil.copytree(static_folder, tmp_path / "copy"))


def refusal(name, **arguments):
    with pytest.raises(UserError) as caught:
        load_model(str(name), option="--guide", **arguments)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_embeddings_may_keep_their_length(static_folder):
    """Normalised all the same, a classifier would see other vectors than the model gives."""
    model = load_model(static_folder, option="--student")
    raw = model.embed(["a rose", "sky"], "document", normalised=False)
    np.testing.assert_allclose(raw, model.model.encode(["a rose", "sky"]), atol=1e-6)
    assert abs(np.linalg.norm(raw, axis=1) - 1).min() > 0.1
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(model.embed(["a rose", "sky"], "document"), unit, atol=1e-6)


def test_facts_of_a_transformer(bert, bert_folder):
    assert (bert.name, bert.kind, bert.dimensions, bert.max_length) == (
        str(bert_folder),
        "transformer",
        DIMENSIONS,
        MAX_LENGTH,
    )
    assert bert.parameters == sum(p.numel() for p in SentenceTransformer(str(bert_folder)).parameters())
    assert bert.model.dtype == torch.float32


def test_facts_of_a_static_model(static):
    assert (static.kind, static.dimensions, static.max_length) == ("static", DIMENSIONS, None)
    assert static.parameters == 256 * DIMENSIONS
    assert static.token_lengths(["any"]) is None


def test_a_path_is_as_good_as_a_name(static_folder):
    model = load_model(static_folder, option="--guide")
    assert model.name == str(static_folder)


@pytest.mark.parametrize(
    ("limit", "expected"), [(24, 24), (999_999, 999_999), (1_000_000, None), (int(1e30), None)]
)
def test_a_limit_that_no_text_reaches_is_none(bert_folder, limit, expected):
    """Such a model pads all the same, so its texts still have lengths."""
    model = load_model(bert_folder, option="--student")
    model.model.tokenizer.model_max_length = limit
    assert model.max_length == expected
    assert model.token_lengths(["a " * 100, ""]).tolist() == [102, 2]


@pytest.mark.parametrize(
    ("own", "default", "overrides", "expected"),
    [
        ({}, None, None, {"anchor": "", "document": ""}),
        ({"query": "q: ", "document": "d: "}, None, None, {"anchor": "q: ", "document": "d: "}),
        ({"query": "q: "}, None, None, {"anchor": "q: ", "document": ""}),
        ({"query": "q: "}, None, {"document": "D "}, {"anchor": "q: ", "document": "D "}),
        ({"query": "q: ", "document": "d: "}, None, {"anchor": ""}, {"anchor": "", "document": "d: "}),
        # sentence-transformers gives every model an empty "query" and "document", which must not hide these.
        ({"passage": "p: "}, None, None, {"anchor": "", "document": "p: "}),
        ({"passage": "p: ", "corpus": "c: "}, None, None, {"anchor": "", "document": "p: "}),
        ({"corpus": "c: "}, None, None, {"anchor": "", "document": "c: "}),
        ({"all": "a: "}, "all", None, {"anchor": "a: ", "document": "a: "}),
        # Who tells the roles apart means the empty one.
        ({"query": "q: "}, "query", None, {"anchor": "q: ", "document": ""}),
    ],
)
def test_prompts(tmp_path, own, default, overrides, expected):
    """A prompt given for a role replaces the model's own, and the model keeps it for its later users."""
    folder = save_static(tmp_path / "model", prompts=own, default_prompt=default)
    model = load_model(str(folder), option="--student", prompts=overrides)
    assert model.prompts == expected
    assert model.roles_share_vectors == (expected["anchor"] == expected["document"])
    for role, encode in (("anchor", model.model.encode_query), ("document", model.model.encode_document)):
        wanted = model.model.encode([expected[role] + "text"], prompt="", normalize_embeddings=True)
        np.testing.assert_allclose(model.embed(["text"], role), wanted, rtol=1e-6)
        np.testing.assert_allclose(encode(["text"], normalize_embeddings=True), wanted, rtol=1e-6)


def test_max_length_is_the_users(bert_folder):
    model = load_model(str(bert_folder), option="--student", max_length=7)
    assert model.max_length == 7
    np.testing.assert_array_equal(
        model.embed(["a b c d e f g h"], "document"), model.embed(["a b c d e zzz"], "document")
    )


def test_a_model_without_limit_has_none_to_set(static_folder):
    assert (
        refusal(static_folder, max_length=5)
        == f"--guide {static_folder}: reads texts of any length; leave its maximum length out"
    )


def test_a_router_has_vectors_by_role(tmp_path):
    query, document = static_module(seed=1), static_module(seed=2)
    router = SentenceTransformer(
        modules=[Router.for_query_document([query], [document])], device="cpu", prompts={}
    )
    router.save_pretrained(str(tmp_path / "router"))
    model = load_model(str(tmp_path / "router"), option="--guide")
    assert (model.kind, model.roles_share_vectors) == ("router", False)
    for role, module in (("anchor", query), ("document", document)):
        alone = SentenceTransformer(modules=[module], device="cpu")
        np.testing.assert_allclose(
            model.embed(["text"], role), alone.encode(["text"], normalize_embeddings=True), rtol=1e-5
        )


def test_embed_keeps_the_order_of_the_texts(bert, monkeypatch):
    """Texts are encoded longest first, as many as a number of tokens allows; the result must not show it."""
    monkeypatch.setattr("gistembed.models.embedding._TOKENS_AT_ONCE", 50)
    texts = ["b", "a long text of some words", "", "cc", "a long text", "b b b b b b", "z"]
    lengths = np.minimum(bert.token_lengths(["query: " + text for text in texts]), bert.max_length)
    expected, left = [], sorted(lengths.tolist(), reverse=True)
    while left:
        expected.append(max(50 // left[0], 1))
        left = left[expected[-1] :]
    expected[-1] -= sum(expected) - len(texts)
    done = []
    vectors = bert.embed(texts, "anchor", done.append)
    assert done == expected
    assert len(done) > 2
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    for role, encode in (("anchor", bert.model.encode_query), ("document", bert.model.encode_document)):
        wanted = np.stack([encode(text, normalize_embeddings=True) for text in texts])
        np.testing.assert_allclose(bert.embed(texts, role), wanted, atol=2e-6)
    assert np.abs(bert.embed(texts, "document") - vectors).max() > 1e-3, "the query prompt made no difference"


def test_embed_nothing(static):
    assert static.embed([], "anchor").shape == (0, DIMENSIONS)


def test_raw_text_reaches_the_tokenizer(static, monkeypatch):
    """Nothing is stripped, folded or normalised on the way: that is the model's own business."""
    seen = []
    module = static.model[0]
    preprocess = type(module).preprocess

    def spy(self, inputs, prompt=None, **arguments):
        seen.extend(inputs)
        return preprocess(self, inputs, prompt=prompt, **arguments)

    monkeypatch.setattr(type(module), "preprocess", spy)
    monkeypatch.setattr("gistembed.models.embedding._EMBED_BLOCK", 1)
    static.embed(RAW_TEXTS, "document")
    assert seen == sorted(RAW_TEXTS, key=len, reverse=True), "the longest first, each as it is"


def test_texts_of_different_bytes_have_different_vectors(static):
    vectors = static.embed(["caf\u00e9", "cafe\u0301", "CAF\u00c9", "caf\u00e9 "], "anchor")
    assert len({vector.tobytes() for vector in vectors}) == 4


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from(RAW_TEXTS)), max_size=6))
def test_token_lengths_are_those_of_each_text_alone(bert, texts):
    lengths = bert.token_lengths(texts)
    assert lengths.dtype == np.int32
    assert lengths.tolist() == [
        len(bert.model.tokenizer(text, truncation=False)["input_ids"]) for text in texts
    ]


def test_token_lengths_count_beyond_the_limit(bert):
    assert bert.token_lengths(["a " * 100, "", "abc"]).tolist() == [102, 2, 5]


@pytest.mark.parametrize(
    "file",
    ["model.safetensors", "tokenizer.json", "1_Pooling/config.json", "config_sentence_transformers.json"],
)
def test_identity_changes_with_every_file_that_matters(bert_folder, tmp_path, file):
    copy = Path(shutil.copytree(bert_folder, tmp_path / "copy"))
    before = folder_identity(copy)
    assert before == folder_identity(bert_folder), "the identity depends on where the folder stands"
    content = bytearray((copy / file).read_bytes())
    content[-1] ^= 1
    (copy / file).write_bytes(content)
    assert folder_identity(copy) != before
    content[-1] ^= 1
    (copy / file).write_bytes(content)
    assert folder_identity(copy) == before


def test_identity_changes_with_a_name(static_copy):
    before = folder_identity(static_copy)
    (static_copy / "tokenizer.json").rename(static_copy / "other.json")
    assert folder_identity(static_copy) != before


@pytest.mark.parametrize("file", ["README.md", "onnx.bin", ".gitattributes"])
def test_identity_leaves_out_what_does_not_matter(static_copy, file):
    before = folder_identity(static_copy)
    (static_copy / file).write_text("anything")
    assert folder_identity(static_copy) == before


def test_other_weights_are_another_model(tmp_path, bert_folder):
    other = save_bert(tmp_path / "other", prompts={"query": "query: ", "document": ""}, seed=1)
    same = save_bert(tmp_path / "same", prompts={"query": "query: ", "document": ""})
    assert folder_identity(other) != folder_identity(bert_folder) == folder_identity(same)


def save_adapter(folder, base):
    """A model that is another one with an adapter, as sentence-transformers saves it."""
    from peft import LoraConfig

    model = SentenceTransformer(str(base), device="cpu")
    model.add_adapter(LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False))
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def test_an_adapter_is_another_model_when_what_lies_below_it_changes(tmp_path):
    """With the adapter's own files alone, vectors of the old model would be taken for those of the new."""
    base = save_bert(tmp_path / "base")
    adapter = save_adapter(tmp_path / "adapter", base)
    before, vectors = folder_identity(adapter), load_model(adapter, option="--guide").embed(["a"], "anchor")
    assert before == folder_identity(adapter)
    save_bert(base, seed=7)
    after = load_model(adapter, option="--guide")
    assert float(np.vdot(after.embed(["a"], "anchor"), vectors)) < 0.99
    assert after.identity == folder_identity(adapter) != before


def test_an_adapter_of_a_hub_model_is_looked_up_as_a_model_is(tmp_path, bert_folder, monkeypatch):
    adapter = save_adapter(tmp_path / "adapter", bert_folder)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "somebody/model"
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(bert_folder))
    before = folder_identity(adapter)
    other = save_bert(tmp_path / "other", seed=1)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(other))
    assert folder_identity(adapter) != before


def test_an_adapter_of_a_model_that_is_not_there(tmp_path):
    base = save_bert(tmp_path / "base")
    adapter = save_adapter(tmp_path / "adapter", base)
    shutil.rmtree(base)
    with pytest.raises(UserError) as caught:
        folder_identity(adapter)
    assert str(caught.value) == f"{adapter}: is an adapter of {base}: no such folder"


def test_an_adapter_of_itself_has_an_end(tmp_path, bert_folder):
    copy = Path(shutil.copytree(bert_folder, tmp_path / "copy"))
    (copy / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(copy)}))
    assert folder_identity(copy) == folder_identity(copy)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"base_model_name_or_path": null}'])
def test_an_adapter_that_does_not_say_of_what(static_copy, content):
    """Loading it says what is wrong."""
    (static_copy / "adapter_config.json").write_text(content)
    assert len(folder_identity(static_copy)) == 32


def test_identity_reaches_through_links(bert_folder, tmp_path):
    """Folders that are links aren't entered by themselves; one that leads back up is not entered at all."""
    copy = Path(shutil.copytree(bert_folder, tmp_path / "copy"))
    (copy / "1_Pooling").rename(tmp_path / "elsewhere")
    (copy / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    (copy / "again").symlink_to(copy)
    assert folder_identity(copy) == folder_identity(bert_folder)
    (tmp_path / "elsewhere" / "config.json").write_text("{}")
    assert folder_identity(copy) != folder_identity(bert_folder)


def test_identities_stay_what_they_are(tmp_path):
    """Vectors in stores are found by them."""
    (tmp_path / "1_Pooling").mkdir()
    for name in ("config.json", "1_Pooling/config.json", "README.md", "model.safetensors"):
        (tmp_path / name).write_text(name)
    names = ("1_Pooling/config.json", "config.json", "model.safetensors")
    expected = xxhash.xxh3_128_hexdigest("".join(2 * name for name in names).encode())
    assert folder_identity(tmp_path) == expected


def test_no_such_folder(tmp_path):
    missing = tmp_path / "missing"
    assert refusal(missing) == f"--guide {missing}: no such folder"
    assert refusal("../missing") == "--guide ../missing: no such folder"
    assert refusal("a/b/c") == "--guide a/b/c: no such folder"


def test_a_hub_name_offline():
    start = "--guide nobody/no-model: no such folder, and not to be had from the hub: "
    assert refusal("nobody/no-model").startswith(start)


def test_a_hub_name_is_fetched_without_pickles(static_folder, monkeypatch):
    asked = []

    def download(name, **patterns):
        asked.append((name, patterns))
        return str(static_folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert resolve_folder("somebody/model", option="--guide") == static_folder
    patterns = {
        "allow_patterns": ["*.safetensors", "*.json", "*.txt", "*.model", "*.py"],
        "ignore_patterns": ["onnx/*", "openvino/*"],
    }
    assert asked == [("somebody/model", patterns)]


def test_a_folder_that_is_no_model(tmp_path):
    assert refusal(tmp_path) == (
        f"--guide {tmp_path}: not a model folder: it holds neither modules.json nor config.json"
    )


def test_a_file(static_folder):
    file = static_folder / "model.safetensors"
    assert refusal(file) == f"--guide {file}: a file; give the model's folder or its hub name"


def test_home_is_expanded(static_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(static_folder.parent))
    assert resolve_folder(f"~/{static_folder.name}", option="--guide") == static_folder


def test_pickled_weights(static_copy):
    (static_copy / "model.safetensors").rename(static_copy / "pytorch_model.bin")
    assert refusal(static_copy) == (
        f"--guide {static_copy}: its weights are a pickle (pytorch_model.bin), which can run code; "
        "convert them to safetensors first"
    )


def test_a_pickled_adapter(tmp_path, bert_folder):
    adapter = save_adapter(tmp_path / "adapter", bert_folder)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert "its weights are a pickle (adapter_model.bin)" in refusal(adapter)


def test_pickled_weights_behind_a_link(static_copy, tmp_path):
    (tmp_path / "dense").mkdir()
    (tmp_path / "dense" / "pytorch_model.bin").write_bytes(b"")
    (static_copy / "2_Dense").symlink_to(tmp_path / "dense")
    assert "its weights are a pickle (2_Dense/pytorch_model.bin)" in refusal(static_copy)


def test_pickled_weights_in_parts(bert_folder, tmp_path):
    copy = Path(shutil.copytree(bert_folder, tmp_path / "copy"))
    (copy / "model.safetensors").unlink()
    for part in (1, 2):
        (copy / f"pytorch_model-0000{part}-of-00002.bin").write_bytes(b"")
    assert "its weights are a pickle (pytorch_model-00001-of-00002.bin)" in refusal(copy)


def test_a_transformer_is_never_read_from_a_pickle(bert_folder, tmp_path):
    """Any safetensors file beside the pickle, but none that is the model's."""
    copy = Path(shutil.copytree(bert_folder, tmp_path / "copy"))
    (copy / "model.safetensors").rename(copy / "other.safetensors")
    torch.save(
        load_model(bert_folder, option="--guide").model[0].auto_model.state_dict(), copy / "pytorch_model.bin"
    )
    assert refusal(copy).startswith(f"--guide {copy}: can't be loaded: Error no file named model.safetensors")


def test_safe_weights_in_parts(bert_folder, tmp_path):
    whole = load_model(bert_folder, option="--guide")
    copy = Path(shutil.copytree(bert_folder, tmp_path / "copy"))
    (copy / "model.safetensors").unlink()
    whole.model[0].auto_model.save_pretrained(copy, max_shard_size="20KB")
    assert len(list(copy.glob("model-*.safetensors"))) > 1
    parts = load_model(copy, option="--guide")
    np.testing.assert_array_equal(parts.embed(["a text"], "anchor"), whole.embed(["a text"], "anchor"))


def test_pickled_weights_of_a_later_module(static_copy):
    (static_copy / "2_Dense").mkdir()
    (static_copy / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    assert "its weights are a pickle (2_Dense/pytorch_model.bin)" in refusal(static_copy)


def test_pickled_weights_beside_safe_ones_are_not_read(static_copy):
    (static_copy / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert load_model(str(static_copy), option="--guide").kind == "static"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:1000], "incomplete metadata, file not fully covered"),
        (lambda content: b"", "header too small"),
        (lambda content: b"\xff" * 8 + content[8:], "header too large"),
    ],
)
def test_damaged_weights(static_copy, damage, reason):
    weights = static_copy / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    assert refusal(static_copy) == (
        f"--guide {static_copy}: can't be loaded: Error while deserializing header: {reason}"
    )


def test_damaged_settings(static_copy):
    (static_copy / "modules.json").write_text("{")
    assert refusal(static_copy).startswith(f"--guide {static_copy}: can't be loaded: Expecting property name")


def test_code_of_the_model_is_never_run(static_copy, tmp_path):
    """A module type that only the folder itself defines would run the folder's code."""
    marker = tmp_path / "ran"
    (static_copy / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    modules = '[{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}]'
    (static_copy / "modules.json").write_text(modules)
    assert refusal(static_copy).startswith(f"--guide {static_copy}: can't be loaded: ")
    assert not marker.exists()
    assert "evil" not in sys.modules


def test_memory_that_runs_out_while_embedding(static, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")

    monkeypatch.setattr(static.model, "encode_query", full)
    with pytest.raises(UserError) as raised:
        static.embed(["text"], "anchor")
    assert str(raised.value) == f"out of memory; choose a smaller maximum length for {static.name}"


@pytest.mark.parametrize(
    "message",
    [
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "CUDA error: out of memory\nCUDA kernel errors might be …",
        "MPS backend out of memory (MPS allocated: 9 GB)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_lack_of_memory_is_known_by_its_words(message):
    assert ran_out_of_memory(RuntimeError(message))
    assert not ran_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
