"""A guide that OpenVINO runs: the same vectors, under an identity of its own."""

import ctypes
import sys

import numpy as np
import pytest
from tests.pairs.pairs_samples import pairs_of

from gistembed import UserError
from gistembed.guide import GuideIdentity, GuideSettings, open_guide, prepare_work
from gistembed.guide.scorers.compiled import compile_transformer
from gistembed.models import load_model

TEXTS = ["", "a", "a longer text of more words", *(f"text {number} " * number for number in range(1, 9))]


def embedded(folder, backend):
    guide = load_model(str(folder), option="--guide", device="cpu")
    if backend != "torch":
        compile_transformer(guide, backend)
    return guide.embed(TEXTS, "document")


def test_the_same_vectors(bert_folder):
    """Batches of every shape go through what was traced on one."""
    np.testing.assert_allclose(
        embedded(bert_folder, "openvino"), embedded(bert_folder, "torch"), rtol=0, atol=1e-5
    )


def test_weights_in_int8(bert_folder):
    exact, small = embedded(bert_folder, "torch"), embedded(bert_folder, "openvino-int8")
    cosines = (exact * small).sum(1)
    assert cosines.min() > 0.99
    assert not np.array_equal(exact, small)


def signal_stack():
    """Where this thread's signals are handled: place, flags and size."""
    stack = (ctypes.c_size_t * 3)()
    assert ctypes.CDLL(None).sigaltstack(None, stack) == 0
    return list(stack)


@pytest.mark.skipif(sys.platform == "win32", reason="signals have no stack there")
def test_signals_are_handled_where_they_were(bert_folder):
    """On the small stack that the library leaves behind, Ctrl-C would end the process by SIGSEGV."""
    before = signal_stack()
    for _ in range(2):
        embedded(bert_folder, "openvino")
        assert signal_stack() == before


def test_nothing_is_told_to_its_makers(bert_folder, tmp_path, monkeypatch):
    """They would keep an identity in the user's home, and send it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    embedded(bert_folder, "openvino")
    assert sys.modules["openvino_telemetry"] is None
    assert list(tmp_path.iterdir()) == []


def test_another_backend_is_another_guide(bert_folder, tmp_path):
    """Its vectors may differ in the last bits, and with small weights by more."""
    pairs = pairs_of([("a", "b", []), ("c", "d", [])])
    works = [
        prepare_work(GuideSettings(str(bert_folder), backend=backend), tmp_path, pairs)
        for backend in ("torch", "openvino")
    ]
    assert works[0].store.folder != works[1].store.folder
    assert works[1].store.identity == GuideIdentity(
        works[0].guide.identity, works[0].guide.max_length, works[0].guide.dimensions, backend="openvino"
    )
    assert works[1].guide.load().model.device.type == "cpu"


def test_a_static_guide_has_nothing_to_compile(static_folder):
    with pytest.raises(UserError) as caught:
        open_guide(GuideSettings(str(static_folder), backend="openvino"))
    assert str(caught.value) == (
        f"--guide {static_folder}: backend openvino is for transformers, not for a static model; leave it out"
    )


def test_without_the_library(bert_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError) as caught:
        embedded(bert_folder, "openvino")
    assert str(caught.value) == ("backend openvino needs OpenVINO; run `pip install 'gistembed[openvino]'`")


def test_what_it_cannot_run_is_one_line(bert_folder, monkeypatch):
    import openvino

    def refuse(*_arguments, **_options):
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(openvino, "convert_model", refuse)
    with pytest.raises(UserError) as caught:
        embedded(bert_folder, "openvino")
    assert str(caught.value) == (
        f"--guide {bert_folder}: OpenVINO can't run it (no such operation); leave the backend out"
    )


def test_an_endpoint_runs_elsewhere():
    with pytest.raises(UserError) as caught:
        open_guide(GuideSettings("http://localhost/v1#m", backend="openvino"))
    assert (
        str(caught.value)
        == "--guide m at http://localhost/v1: an endpoint runs elsewhere; leave the backend out"
    )
