"""Students that train without padding: whose attention allows it, with the same results."""

import copy
import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Transformer
from tests.tiny_models import save_bert
from tests.train.packing.architectures import PACKABLE, PADDED, save_model
from tests.train.together import PAIRS

from gistembed import MaskPolicy
from gistembed.batches import BatchPlan, PairCollator, TokenCache, packed_parts, texts_by_role
from gistembed.errors import UserError
from gistembed.models import load_model
from gistembed.train import TrainingPlan, train_student
from gistembed.train.packing import check_padding_free, choice, switch, texts_of_training
from gistembed.train.packing.attention import attend_within

LEFT = "Qwen3, causal, with grouped heads"


def arguments(folder, **given):
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder), use_cpu=True, report_to="none", **given
    )


def packed(student, folder, wanted=True, say=lambda line: None, **given):
    """What `texts_of_training` gives for all pairs."""
    tokens = TokenCache.read(student, PAIRS)
    return texts_of_training(
        student, student.model, PAIRS, tokens, arguments(folder, **given), wanted=wanted, say=say
    )


def all_texts(student):
    return texts_by_role(student, PAIRS.anchors, np.concatenate([PAIRS.positives, PAIRS.negative_ids]))


def embeddings_and_gradients(model, features):
    model.zero_grad()
    embeddings = model(dict(features))["sentence_embedding"]
    (embeddings * torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)).sum().backward()
    return embeddings.detach(), {
        name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None
    }


@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [
        *((name, "mean") for name in PACKABLE),
        *((next(iter(PACKABLE)), pooling) for pooling in ("cls", "lasttoken", "weightedmean", "max")),
        (LEFT, "lasttoken"),
    ],
)
def test_embeddings_and_gradients_are_those_of_padded_texts(architecture, pooling, tmp_path):
    """In float64, whatever the attention of the model is; the trial says the same in float32 and bf16."""
    pads_left = architecture == LEFT
    folder = save_model(
        tmp_path / "model",
        PACKABLE[architecture],
        pooling=pooling,
        padding_side="left" if pads_left else None,
    )
    student = load_model(str(folder), option="--student")
    tokens = TokenCache.read(student, PAIRS)
    check_padding_free(student, PAIRS, tokens, arguments(tmp_path, bf16=True))
    with packed(student, tmp_path) as texts:
        assert texts.packs
        student.model.eval().double()
        for role, ids in all_texts(student).items():
            features = texts.features(ids, role)
            assert features["input_ids"].shape == (1, int(tokens.features(ids, role)["attention_mask"].sum()))
            found, gradients = embeddings_and_gradients(student.model, features)
            wanted, right = embeddings_and_gradients(student.model, tokens.features(ids, role))
            # Norms of these two compute in float32, whatever they are given.
            tolerance = 2e-5 if architecture.startswith(("Gemma3", "Qwen3")) else 1e-9
            torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)
            assert gradients.keys() == right.keys()
            largest = max(float(gradient.norm()) for gradient in right.values())
            for name, gradient in right.items():
                assert float((gradients[name] - gradient).norm()) <= tolerance * largest, name


def test_prompts_are_left_out_where_the_model_leaves_them_out(tmp_path):
    folder = save_model(tmp_path / "model", PACKABLE["BERT"], include_prompt=False)
    student = load_model(str(folder), option="--student")
    tokens = TokenCache.read(student, PAIRS)
    with packed(student, tmp_path) as texts:
        student.model.eval()
        found = student.model(texts.features(PAIRS.anchors, "anchor"))["sentence_embedding"]
        wanted = student.model(tokens.features(PAIRS.anchors, "anchor"))["sentence_embedding"]
        torch.testing.assert_close(found, wanted)


def test_padded_texts_are_read_as_ever_meanwhile_and_afterwards(bert_folder, tmp_path):
    """Evaluation pads; what is saved knows nothing of it."""
    student = load_model(str(bert_folder), option="--student")
    before = student.embed(["so", "so long ago that nobody knows"], "anchor")
    with packed(student, tmp_path / "run"):
        assert switch.attentions(student.model[0].model) == {switch.PACKED}
        meanwhile = student.embed(["so", "so long ago that nobody knows"], "anchor")
        student.model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    assert np.array_equal(before, meanwhile)
    assert np.array_equal(before, student.embed(["so", "so long ago that nobody knows"], "anchor"))
    assert switch.attentions(student.model[0].model) == {switch.PADDED}
    assert "gistembed" not in json.dumps(json.loads((tmp_path / "saved" / "config.json").read_text()))


@pytest.mark.parametrize("architecture", PADDED)
def test_other_attentions_are_refused(architecture, tmp_path):
    student = load_model(str(save_model(tmp_path / "model", PADDED[architecture])), option="--student")
    tokens = TokenCache.read(student, PAIRS)
    message = r"^padding_free: the student has an attention of its own \((eager|sdpa)\); leave it out$"
    with pytest.raises(UserError, match=message):
        check_padding_free(student, PAIRS, tokens, arguments(tmp_path))
    with pytest.raises(UserError, match=message), packed(student, tmp_path):
        pass


def test_static_students_are_refused(static_folder, tmp_path):
    student = load_model(str(static_folder), option="--student")
    with pytest.raises(UserError, match=r"^padding_free: the student is no plain transformer; leave it out$"):
        check_padding_free(student, PAIRS, TokenCache.read(student, PAIRS), arguments(tmp_path))


def test_compiled_students_are_refused(bert_folder, tmp_path):
    student = load_model(str(bert_folder), option="--student")
    given = arguments(tmp_path)
    given.torch_compile = True
    with pytest.raises(UserError, match=r"^padding_free: the student is compiled; leave it out$"):
        check_padding_free(student, PAIRS, TokenCache.read(student, PAIRS), given)


def test_students_that_pad_in_no_known_way_are_refused(bert_folder, tmp_path):
    student = load_model(str(bert_folder), option="--student")
    cached = TokenCache(TokenCache.read(student, PAIRS).lengths, "reads `pixels`", {})
    with pytest.raises(UserError, match=r"^padding_free: the student reads `pixels`; leave it out$"):
        check_padding_free(student, PAIRS, cached, arguments(tmp_path))


class Biased(Transformer):
    """Its attention adds something to the scores."""

    def forward(self, features, **options):
        if "cu_seq_lens_q" in features:
            count = features["input_ids"].shape[1]
            features = features | {"attention_mask": torch.zeros(1, 1, count, count)}
        return super().forward(features, **options)


class Failing(Transformer):
    """Needs a mask."""

    def forward(self, features, **options):
        features["attention_mask"].sum()
        return super().forward(features, **options)


class Late(Transformer):
    """Counts positions from 1."""

    def forward(self, features, **options):
        if "cu_seq_lens_q" in features:
            features = features | {"position_ids": features["position_ids"] + 1}
        return super().forward(features, **options)


class Blind(Transformer):
    """Learns nothing where texts are not padded."""

    def forward(self, features, **options):
        with torch.set_grad_enabled("cu_seq_lens_q" not in features):
            found = super().forward(features, **options)
        if "cu_seq_lens_q" in features:
            found["token_embeddings"] = found["token_embeddings"] + 0 * self.model.embeddings.LayerNorm.bias
        return found


class Unknown(Transformer):
    """Hands its attention something that is not known."""

    def forward(self, features, **options):
        if "cu_seq_lens_q" in features:
            features = features | {"softcap": 30.0}
        return super().forward(features, **options)


class Endless(Transformer):
    """Gives no numbers where texts are not padded and it trains."""

    def forward(self, features, **options):
        found = super().forward(features, **options)
        if "cu_seq_lens_q" in features and self.training:
            found["token_embeddings"] = found["token_embeddings"] * torch.inf
        return found


class Unlike(Transformer):
    """Gives no numbers where texts are not padded."""

    def forward(self, features, **options):
        found = super().forward(features, **options)
        if "cu_seq_lens_q" in features:
            found["token_embeddings"] = found["token_embeddings"] * torch.nan
        return found


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Biased, r"adds something of its own to its attention"),
        (Failing, r"fails without padding: 'attention_mask'"),
        (Unknown, r"has an attention of its own, with `softcap`"),
        (Late, r"has other embeddings without padding in float32 \([0-9.e+-]+ of their length apart\)"),
        (Blind, r"has other gradients without padding in float32 \(1 of their length apart\)"),
        (Unlike, r"has other embeddings without padding in float32 \(nan of their length apart\)"),
        (Endless, r"has no finite embeddings without padding in training"),
    ],
)
def test_what_differs_without_padding_is_refused(kind, reason, bf16, bert_folder, tmp_path):
    student = load_model(str(bert_folder), option="--student")
    student.model[0].__class__ = kind
    tokens = TokenCache.read(student, PAIRS)
    student.model.train()
    with pytest.raises(UserError, match=rf"^padding_free: the student {reason}; leave it out$"):
        check_padding_free(student, PAIRS, tokens, arguments(tmp_path, bf16=bf16))
    assert student.model.training
    assert switch.attentions(student.model[0].model) == {switch.PADDED}


@pytest.mark.parametrize("share", [0.0, 0.9])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("bits", [16, 32])
def test_a_kernel_that_is_wrong_for_one_text_is_found(
    share, backward, bits, bert_folder, tmp_path, monkeypatch
):
    """The longest text's attention, or its gradient, counts less than it should; in 16 bits or in 32."""

    class Less(torch.autograd.Function):
        @staticmethod
        def forward(_, values: torch.Tensor) -> torch.Tensor:
            return values if backward else values * share

        @staticmethod
        def backward(_, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * share if backward else gradient

    def wrong(query, key, value, starts, longest, sight):
        right = attend_within(query, key, value, starts, longest, sight)
        if query.dtype.itemsize * 8 != bits:
            return right
        last = int(starts[-2])
        return torch.cat([right[:last], Less.apply(right[last:])])

    monkeypatch.setattr(switch, "attend_within", wrong)
    student = load_model(str(bert_folder), option="--student")
    what = "gradients" if backward else "embeddings"
    dtype = "float32" if bits == 32 else "bfloat16"
    with pytest.raises(UserError, match=rf"the student has other {what} without padding in {dtype} "):
        check_padding_free(student, PAIRS, TokenCache.read(student, PAIRS), arguments(tmp_path, bf16=True))


def test_what_the_trial_draws_is_no_draw_of_the_training(bert_folder, tmp_path):
    student = load_model(str(bert_folder), option="--student")
    before = torch.get_rng_state()
    check_padding_free(student, PAIRS, TokenCache.read(student, PAIRS), arguments(tmp_path))
    assert torch.equal(before, torch.get_rng_state())


def test_an_accelerator_that_fails_says_what_to_do(bert_folder, tmp_path, monkeypatch):
    def fails(*_):
        raise torch.AcceleratorError("CUDA error: an illegal memory access\nmore lines")

    monkeypatch.setattr(switch, "attend_within", fails)
    student = load_model(str(bert_folder), option="--student")
    with pytest.raises(UserError) as raised:
        check_padding_free(student, PAIRS, TokenCache.read(student, PAIRS), arguments(tmp_path))
    assert str(raised.value) == (
        "the accelerator failed without padding: CUDA error: an illegal memory access; "
        "set padding_free = false"
    )


def test_the_trial_allows_for_products_of_fewer_bits(bert_folder, tmp_path, monkeypatch):
    """Set as transformers sets it for `tf32`, after which torch refuses to name the precision as before."""
    student = load_model(str(bert_folder), option="--student")
    monkeypatch.setattr(torch.backends, "fp32_precision", "tf32")
    check_padding_free(student, PAIRS, TokenCache.read(student, PAIRS), arguments(tmp_path))


def test_lack_of_memory_in_the_trial_is_said(bert_folder, tmp_path, monkeypatch):
    def fails(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(switch, "attend_within", fails)
    student = load_model(str(bert_folder), option="--student")
    with pytest.raises(UserError, match=r"^out of memory; choose shorter texts by student_max_length$"):
        check_padding_free(student, PAIRS, TokenCache.read(student, PAIRS), arguments(tmp_path))


def test_it_is_a_default_on_cuda_only(bert_folder, tmp_path, monkeypatch):
    student = load_model(str(bert_folder), option="--student")
    for wanted in (None, False):
        with packed(student, tmp_path, wanted=wanted) as texts:
            assert not texts.packs
    monkeypatch.setattr(SentenceTransformer, "device", torch.device("cuda"))
    monkeypatch.setattr(choice, "reason_to_pad", lambda *_: None)
    with packed(student, tmp_path, wanted=None) as texts:
        assert texts.packs
    with packed(student, tmp_path, wanted=False) as texts:
        assert not texts.packs


def test_where_it_is_the_default_it_says_why_it_pads(bert_folder, tmp_path, monkeypatch):
    student, lines = load_model(str(bert_folder), option="--student"), []
    monkeypatch.setattr(SentenceTransformer, "device", torch.device("cuda"))
    monkeypatch.setattr(choice, "reason_to_pad", lambda *_: "fails")
    with packed(student, tmp_path, wanted=None, say=lines.append) as texts:
        assert not texts.packs
    assert lines == ["texts are padded: the student fails; padding_free = false leaves it at that"]


@pytest.mark.parametrize(
    ("architecture", "bf16", "packs"),
    [
        ("ModernBERT, with windows", False, False),
        ("ModernBERT, with windows", True, True),
        ("BERT", False, True),
        ("BERT", True, True),
        ("MPNet", True, False),
    ],
)
def test_by_default_it_pads_without_a_word_where_no_kernel_is(
    architecture, bf16, packs, tmp_path, monkeypatch
):
    make = (PACKABLE | PADDED)[architecture]
    student, lines = load_model(str(save_model(tmp_path / "model", make)), option="--student"), []
    monkeypatch.setattr(SentenceTransformer, "device", torch.device("cuda"))
    monkeypatch.setattr(choice, "difference", lambda *_: None)
    with packed(student, tmp_path, wanted=None, say=lines.append, bf16=bf16) as texts:
        assert texts.packs == packs
    assert not lines


def test_all_processes_do_the_same(bert_folder, tmp_path, monkeypatch):
    student = load_model(str(bert_folder), option="--student")
    monkeypatch.setattr(choice, "all_say", lambda mine: [mine, "fails there", "is other"])
    with pytest.raises(UserError, match=r"^padding_free: the student fails there; leave it out$"):
        packed(student, tmp_path).__enter__()


def trained(folder, at, *, padding_free, device="cpu", steps=6, say=lambda line: None, **options):
    """Weights, losses and outcome of a training."""
    student = load_model(str(folder), option="--student", device=device)
    trainer = options.pop("trainer", {})
    outcome = train_student(
        student,
        PAIRS,
        [],
        TrainingPlan(
            BatchPlan(len(PAIRS), 10, seed=0),
            steps,
            0.02,
            0.0,
            0.05,
            MaskPolicy(),
            {"optim": "sgd", "logging_steps": 1, "use_cpu": device == "cpu", **trainer},
            padding_free=padding_free,
            micro_batch_tokens=80,
            **options,
        ),
        tokens=TokenCache.read(student, PAIRS),
        checkpoints=at / "checkpoints",
        logs=at / "logs",
        resume=False,
        warn=say,
    )
    return student.model.state_dict(), [point.loss for point in outcome.history], outcome


@pytest.mark.parametrize(("graph_bytes", "checkpointing"), [(None, False), (0, True)])
def test_a_training_is_the_same_to_rounding(graph_bytes, checkpointing, tmp_path):
    """Kept and replayed, with the layers' activations or without them."""
    folder = save_bert(tmp_path / "model", dropout=0.0, prompts={"query": "query: ", "document": ""})
    options = {"graph_bytes": graph_bytes, "trainer": {"gradient_checkpointing": checkpointing}}
    wanted, losses, padded = trained(folder, tmp_path / "padded", padding_free=False, **options)
    found, others, outcome = trained(folder, tmp_path / "packed", padding_free=True, **options)
    assert (padded.padding_free, outcome.padding_free) == (False, True)
    assert outcome.micro_batches <= padded.micro_batches
    assert bool(outcome.replayed) == (graph_bytes == 0)
    assert others == pytest.approx(losses, rel=1e-4)
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=1e-4, msg=name)
    assert trained(folder, tmp_path / "again", padding_free=True, **options)[1] == others


def test_dropout_is_replayed_to_the_bit(bert_folder, tmp_path):
    kept = trained(bert_folder, tmp_path / "kept", padding_free=True)
    replayed = trained(bert_folder, tmp_path / "replayed", padding_free=True, graph_bytes=0)
    assert (kept[2].replayed, replayed[2].replayed > 0) == (0, True)
    assert kept[1] == replayed[1]
    assert all(torch.equal(weight, replayed[0][name]) for name, weight in kept[0].items())


@pytest.mark.gpu
@pytest.mark.parametrize("architecture", ["BERT", "ModernBERT, with windows", LEFT])
@pytest.mark.parametrize("precision", [{}, {"bf16": True}, {"fp16": True}])
def test_on_cuda_trainings_are_the_same_to_rounding(architecture, precision, tmp_path):
    """Without dropout; by default nothing is padded."""
    folder = save_model(tmp_path / "model", PACKABLE[architecture], dropout=False)
    options = {"device": "cuda", "trainer": precision}
    _, losses, padded = trained(folder, tmp_path / "padded", padding_free=False, **options)
    lines = []
    _, others, outcome = trained(folder, tmp_path / "packed", padding_free=None, say=lines.append, **options)
    windows_in_float32 = "windows" in architecture and not precision
    assert (padded.padding_free, outcome.padding_free) == (False, not windows_in_float32)
    assert not lines
    assert others == pytest.approx(losses, rel=0.02 if precision else 1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [{}, {"bf16": True}])
def test_on_cuda_dropout_is_replayed(precision, bert_folder, tmp_path):
    options = {"device": "cuda", "padding_free": True, "trainer": precision}
    _, kept, _ = trained(bert_folder, tmp_path / "kept", **options)
    _, replayed, outcome = trained(bert_folder, tmp_path / "replayed", graph_bytes=0, **options)
    assert outcome.replayed
    assert replayed == pytest.approx(kept, rel=0.01 if precision else 1e-4)


def test_micro_batches_are_as_full_as_the_budget_allows(bert_folder):
    student = load_model(str(bert_folder), option="--student")
    tokens = TokenCache.read(student, PAIRS)
    batch = PairCollator(student, PAIRS, tokens.packed(0), micro_batch_tokens=80)(range(len(PAIRS)))
    sizes = [value.numel() for name, value in batch.items() if name.endswith("_input_ids")]
    real = sum(
        int(tokens.features(ids, role)["attention_mask"].sum()) for role, ids in all_texts(student).items()
    )
    assert sum(sizes) == real
    assert max(sizes) <= 80
    assert len(sizes) <= len(all_texts(student)) + real // (80 - student.max_length)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_parts_of_packed_texts_are_packed_texts(size, bert_folder):
    student = load_model(str(bert_folder), option="--student")
    texts = TokenCache.read(student, PAIRS).packed(3)
    parts = list(packed_parts(texts.features(PAIRS.positives, "document"), size))
    assert len(parts) == -(-len(PAIRS) // size)
    for number, part in enumerate(parts):
        wanted = texts.features(PAIRS.positives[number * size : (number + 1) * size], "document")
        assert part.keys() == wanted.keys()
        for name, value in wanted.items():
            assert torch.equal(part[name], value) if isinstance(value, torch.Tensor) else part[name] == value


def test_a_copy_that_is_trained_leaves_the_student_alone(bert_folder, tmp_path):
    """As with sharded weights."""
    student = load_model(str(bert_folder), option="--student")
    model = copy.deepcopy(student.model)
    tokens = TokenCache.read(student, PAIRS)
    with texts_of_training(
        student, model, PAIRS, tokens, arguments(tmp_path), wanted=True, say=print
    ) as texts:
        assert texts.packs
        assert switch.attentions(student.model[0].model) == {switch.PADDED}
        assert switch.attentions(model[0].model) == {switch.PACKED}
