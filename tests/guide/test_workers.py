"""Several processes that encode: the same store as one, whatever becomes of them."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.guide.endpoint_runs import PIECE_TEXTS, TEXTS, held, run_of, settings_of
from tests.guide.endpoint_server import DIMENSIONS, embeddings, vector
from tests.guide.same_store import check_same_store

from gistembed.errors import UserError
from gistembed.guide import GuideStore, open_guide
from gistembed.guide.encoding.encode import UnusableVectorError, encode_run
from gistembed.guide.encoding.workers import encode_in_processes
from gistembed.guide.store.writer import StoreWriter

ANSWER = embeddings()


def slow(handler, request):
    """The right answer, late."""
    time.sleep(0.3)
    ANSWER(handler, request)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr("gistembed.guide.encoding.workers.PIECE_TEXTS", PIECE_TEXTS)
    monkeypatch.setenv("NO_PROXY", "*")


def test_a_model_gives_the_same_store_as_in_one_process(bert_folder, tmp_path):
    done = []
    check_same_store(
        bert_folder, tmp_path, lambda settings, runs: encode_in_processes(settings, runs, 2, done.append)
    )
    assert done == [PIECE_TEXTS] * 10


def test_a_worker_that_is_killed_ends_it_and_what_is_committed_stays(server, tmp_path):
    def kill(handler, request):
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        ANSWER(handler, request)

    server.script = [ANSWER] * 4 + [kill]
    settings = settings_of(server.url, tmp_path)
    with pytest.raises(UserError) as caught:
        encode_in_processes(settings, [run_of(TEXTS)], 2)
    assert str(caught.value) == (
        "one of 2 processes that encode has died, perhaps for lack of memory; what is committed is kept: "
        "start again with fewer of them"
    )
    # Of four requests that were answered, both workers may still have had one in hand.
    there = held(settings)
    assert len(there) >= 2 * PIECE_TEXTS
    writer = StoreWriter(GuideStore(tmp_path, settings.identity))
    encode_run(open_guide(settings.guide), writer, run_of([text for text in TEXTS if text not in there]))
    assert held(settings) == TEXTS


def test_an_unusable_vector_is_named_and_the_others_stop(server, tmp_path):
    server.script = [ANSWER, ANSWER, vector(2, [0.0] * DIMENSIONS), *[slow] * 7]
    settings = settings_of(server.url, tmp_path)
    with pytest.raises(UnusableVectorError) as caught:
        encode_in_processes(settings, [run_of(TEXTS)], 2)
    assert str(caught.value) == (
        f"the guide tiny at {server.url} gives no usable vector for the text {caught.value.text!r}; "
        "drop that row or choose another guide"
    )
    assert caught.value.text in TEXTS[2::PIECE_TEXTS]
    assert len(held(settings)) >= 2 * PIECE_TEXTS
    assert len(server.requests) < len(TEXTS) / PIECE_TEXTS


def test_another_model_under_the_same_name_is_refused(server, tmp_path):
    settings = settings_of(server.url, tmp_path)
    identity = dataclasses.replace(settings.identity, files="f" * 32)
    with pytest.raises(UserError) as caught:
        encode_in_processes(dataclasses.replace(settings, identity=identity), [run_of(TEXTS)], 2)
    assert str(caught.value) == (
        f"--guide {server.url}#tiny: a worker finds another model under this name; "
        "give a folder that all of them share"
    )
    assert server.requests == []


# The process that leads


@contextmanager
def leading(server, root):
    """A process group of its own that encodes with two workers."""
    command = [sys.executable, "-m", "tests.guide.endpoint_runs", server.url, str(root)]
    here = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=here, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def processes_of(group):
    """How many processes a group has."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid="], capture_output=True, text=True, check=True)
    return listed.stdout.split().count(str(group))


def group_is_gone(group):
    """Whether no process of a group is left, after at most twenty seconds."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_ctrl_c_ends_it_soon_and_what_is_committed_stays(server, tmp_path):
    """Without pieces that were handed out already, and without a word of the workers."""

    def interrupt(handler, request):
        os.killpg(leader.pid, signal.SIGINT)
        ANSWER(handler, request)

    server.script = [ANSWER] * 3 + [interrupt]
    with leading(server, tmp_path) as leader:
        _, errors = leader.communicate(timeout=60)
        assert leader.returncode == -signal.SIGINT
        assert errors.count("Traceback") == 1
        assert errors.endswith("KeyboardInterrupt\n")
        assert group_is_gone(leader.pid)
    # One more may have been sent before the signal arrived.
    assert len(server.requests) <= 5
    assert len(held(settings_of(server.url, tmp_path))) >= 2 * PIECE_TEXTS


@pytest.mark.slow
def test_ctrl_c_while_workers_begin_is_not_heard_by_them(server, tmp_path):
    """They would each say so at length."""
    with leading(server, tmp_path) as leader:
        # The leader, Python's tracker of shared memory, and at least one worker.
        while processes_of(leader.pid) < 3:
            time.sleep(0.05)
        os.killpg(leader.pid, signal.SIGINT)
        _, errors = leader.communicate(timeout=60)
        assert errors.count("Traceback") == 1
        assert errors.endswith("KeyboardInterrupt\n")
        assert group_is_gone(leader.pid)
    # On a busy machine a worker may have begun before the signal came.
    assert len(server.requests) <= 2


@pytest.mark.slow
def test_workers_end_with_a_leader_that_is_killed(server, tmp_path):
    def kill(handler, request):
        leader.kill()
        ANSWER(handler, request)

    server.script = [ANSWER, kill]
    with leading(server, tmp_path) as leader:
        leader.wait(timeout=60)
        assert group_is_gone(leader.pid)
