"""Ctrl-C and SIGTERM: the first one ends a training after the step in hand, the second one at once."""

import os
import signal
import threading

import pytest

from gistembed.errors import Terminated
from gistembed.signals import ends_when_terminated, stops_after_step
from gistembed.train.checkpoints import newest_checkpoint
from tests.train.trials import Setting, stop_at, train

NUMBERS = [signal.SIGINT, signal.SIGTERM]


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers():
    """Whatever a test does, the handlers are those of before."""
    before = [signal.getsignal(number) for number in NUMBERS]
    yield
    assert [signal.getsignal(number) for number in NUMBERS] == before


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_is_noted(number):
    told = []
    with stops_after_step(lambda: told.append("once")) as stop:
        assert not stop
        send(number)
        assert stop
        assert (stop.signal, stop.terminated, told) == (number, number == signal.SIGTERM, ["once"])


@pytest.mark.parametrize("first", NUMBERS)
@pytest.mark.parametrize(("second", "raised"), [(NUMBERS[0], KeyboardInterrupt), (NUMBERS[1], Terminated)])
def test_the_second_is_raised(first, second, raised):
    with stops_after_step(lambda: None):
        send(first)
        with pytest.raises(raised):
            send(second)


def test_the_echo_of_a_launcher_is_not_a_second_one(monkeypatch):
    """Who tells all processes to stop tells their launcher too, which passes it on."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with stops_after_step(lambda: None) as stop:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert stop.terminated
        monkeypatch.setattr("gistembed.signals._ECHO_SECONDS", 0)
        with pytest.raises(Terminated):
            send(signal.SIGTERM)


def test_sigterm_between_trainings_is_raised():
    with ends_when_terminated():
        with pytest.raises(Terminated) as raised:
            send(signal.SIGTERM)
        assert raised.value.code == 143
        with stops_after_step(lambda: None) as stop:
            send(signal.SIGTERM)
            assert stop.terminated


def test_other_threads_set_no_handlers():
    """Python refuses to; a training in a thread of a notebook would end before it began."""
    found = []

    def inside():
        with stops_after_step(lambda: None) as stop, ends_when_terminated():
            found.append((bool(stop), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [(False, signal.getsignal(signal.SIGTERM))]


def test_workers_that_inherit_the_handler_let_it_pass(monkeypatch):
    """Ctrl-C goes to all processes of a terminal; each worker would say that it stops after this step."""
    told = []
    with stops_after_step(lambda: told.append("once")) as stop:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        signal.raise_signal(signal.SIGINT)
        assert (bool(stop), told) == (False, [])


@pytest.mark.parametrize("number", NUMBERS)
def test_a_training_is_saved_within_a_step(static_folder, tmp_path, number):
    _, outcome = train(static_folder, tmp_path, Setting(), on_step=stop_at(5, number))
    assert (outcome.finished, outcome.interrupted, outcome.steps) == (False, True, 5)
    assert outcome.terminated == (number == signal.SIGTERM)
    assert newest_checkpoint(tmp_path).name == "checkpoint-5"


def test_a_signal_within_a_step_waits_for_its_end(static_folder, tmp_path, monkeypatch):
    """In the middle of step 3: it is done, and saved."""
    from gistembed.train.module import BatchLoss

    forward = BatchLoss.forward

    def interrupted(self, *arguments):
        if self.step == 2:
            send(signal.SIGTERM)
        return forward(self, *arguments)

    monkeypatch.setattr(BatchLoss, "forward", interrupted)
    _, outcome = train(static_folder, tmp_path, Setting())
    assert outcome.steps == 3
    assert newest_checkpoint(tmp_path).name == "checkpoint-3"
