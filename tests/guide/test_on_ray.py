"""Encoding on a Ray cluster that runs here: the same store, whatever becomes of the workers."""

import dataclasses
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tests.guide.endpoint_runs import PIECE_TEXTS, TEXTS, held, run_of, settings_of
from tests.guide.endpoint_server import DIMENSIONS, drop, embeddings, vector
from tests.guide.pid_as_key import begin
from tests.guide.same_store import check_same_store

from gistembed.errors import StorageError, Terminated, UserError
from gistembed.guide.encoding.encode import UnusableVectorError
from gistembed.guide.encoding.on_ray import _RayWorker, _run, _table, encode_on_ray

# Ray Data warns of its own settings, which nobody has set.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:`{name}` is deprecated:DeprecationWarning")
    for name in ("use_push_based_shuffle", "use_polars", "use_arrow_tensor_v2")
]


TOO_MANY_DEATHS = (
    "3 workers of the Ray cluster died with the same texts in hand, perhaps for lack of memory; "
    "what is committed is kept: start again with fewer workers"
)


@pytest.fixture(scope="module")
def cluster():
    """Two cores, and workers that tell the endpoint who they are."""
    import ray

    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "NO_PROXY": "*"}
    # The paths of sockets in a test's own folder would be too long.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=100 * 2**20,
            runtime_env={"worker_process_setup_hook": begin, "env_vars": environment},
            _temp_dir=folder,
        )
        yield
        ray.shutdown()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr("gistembed.guide.encoding.on_ray.PIECE_TEXTS", PIECE_TEXTS)


def kill(handler, request):
    """Instead of an answer, the death of the worker that asks."""
    os.kill(int(request.headers["authorization"].removeprefix("Bearer ")), signal.SIGKILL)
    drop(handler, request)


def test_a_worker_that_is_killed_is_replaced(cluster, server, tmp_path):
    server.script = [embeddings(), kill]
    settings = settings_of(server.url, tmp_path)
    done = []
    encode_on_ray(settings, [run_of(TEXTS[:3]), run_of(TEXTS[3:])], 2, done.append)
    assert sorted(done) == [1, 3, *[PIECE_TEXTS] * 9]
    assert held(settings) == TEXTS
    assert len({request.headers["authorization"] for request in server.requests}) == 3


def test_sigterm_ends_it_as_it_ends_all_else(cluster, server, tmp_path):
    """Ray takes the signal for itself, and would abort with its own stack."""
    answer = embeddings()

    def terminate(handler, request):
        os.kill(os.getpid(), signal.SIGTERM)
        answer(handler, request)

    server.script = [terminate]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated):
        encode_on_ray(settings_of(server.url, tmp_path), [run_of(TEXTS)], 1)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_texts_that_kill_each_worker_end_it(cluster, server, tmp_path):
    """Ray by itself would start one worker after another for ever."""
    answer = embeddings()
    server.script = [
        lambda handler, request: (kill if "text 0" in request.texts else answer)(handler, request)
    ] * 100
    settings = settings_of(server.url, tmp_path)
    with pytest.raises(UserError) as caught:
        encode_on_ray(settings, [run_of(TEXTS)], 1)
    assert str(caught.value) == TOO_MANY_DEATHS
    assert [request.texts[0] for request in server.requests].count("text 0") == 3


@pytest.mark.slow
def test_an_unusable_vector_is_named(cluster, server, tmp_path):
    server.script = [vector(1, [0.0] * DIMENSIONS)]
    settings = settings_of(server.url, tmp_path)
    with pytest.raises(UnusableVectorError) as caught:
        encode_on_ray(settings, [run_of(TEXTS)], 1)
    assert caught.value.text in TEXTS[1::PIECE_TEXTS]
    assert str(caught.value).startswith(
        f"the guide tiny at {server.url} gives no usable vector for the text {caught.value.text!r}; "
    )


@pytest.mark.slow
def test_a_model_gives_the_same_store_as_in_one_process(cluster, bert_folder, tmp_path):
    check_same_store(bert_folder, tmp_path, lambda settings, runs: encode_on_ray(settings, runs, 2))


# What needs no cluster


def test_without_ray(server, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError) as caught:
        encode_on_ray(settings_of(server.url, tmp_path), [run_of(TEXTS)], 2)
    assert str(caught.value) == "--ray needs the package ray; run `pip install 'gistembed[ray]'`"


@pytest.mark.parametrize("lengths", [None, np.array([9, 8, 7, 0], np.int32)], ids=["none", "lengths"])
def test_a_run_travels_as_a_table(lengths):
    run = dataclasses.replace(
        run_of(["", "ſ👩‍👩‍👧‍👦", "שלום", "x" * 100_000]), lengths=lengths, role="anchor"
    )
    back = _run(_table(run))
    assert (back.role, back.texts) == ("anchor", run.texts)
    assert back.keys.to_bytes() == run.keys.to_bytes()
    np.testing.assert_equal(back.lengths, lengths)


def answered(settings, deaths=2):
    [row] = _RayWorker(settings, lambda piece: deaths)(_table(run_of(TEXTS[:2]))).to_pylist()
    return row


def test_a_worker_gives_its_errors_back(server, tmp_path):
    """Each kind with what it was made of; a worker without an error gives the number of texts."""
    settings = settings_of(server.url, tmp_path / "store")
    assert answered(settings) == {"encoded": 2, "error": None, "arguments": None}
    other = dataclasses.replace(settings, identity=dataclasses.replace(settings.identity, files="f" * 32))
    assert answered(other) == {
        "encoded": 0,
        "error": UserError.__name__,
        "arguments": [
            f"--guide {server.url}#tiny: a worker finds another model under this name; "
            "give a folder that all of them share"
        ],
    }
    assert answered(settings, deaths=3) == {
        "encoded": 0,
        "error": UserError.__name__,
        "arguments": [TOO_MANY_DEATHS],
    }
    server.script = [vector(0, [float("nan")] * DIMENSIONS)]
    assert answered(settings) == {
        "encoded": 0,
        "error": UnusableVectorError.__name__,
        "arguments": [f"tiny at {server.url}", "text 0"],
    }
    (tmp_path / "file").touch()
    refused = answered(dataclasses.replace(settings, root=tmp_path / "file"))
    assert refused["error"] == StorageError.__name__
    assert "(Not a directory); choose another folder with --store" in refused["arguments"][0]
