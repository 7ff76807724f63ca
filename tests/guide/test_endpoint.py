"""A guide behind an endpoint, over real HTTP: right vectors, one-line errors, and a key that stays put."""

import functools
import logging
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from itertools import chain

import numpy as np
import pytest
from tests.guide.endpoint_runs import run_of
from tests.guide.endpoint_server import (
    DIMENSIONS,
    drop,
    embeddings,
    failure,
    running,
    silence,
    status,
    stop_halfway,
    unit_vector_of,
    vector,
    vector_of,
)
from tests.pairs.pairs_samples import pairs_of

from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.guide import (
    GuideIdentity,
    GuideSettings,
    GuideStore,
    Keys,
    do_work,
    encode_texts,
    plan_encoding,
    prepare_work,
)
from gistembed.guide.encoding.encode import encode_run
from gistembed.guide.scorers.endpoint import EndpointGuide, Estimate
from gistembed.guide.store.writer import StoreWriter

KEY = "sk-never-to-be-seen-4711"
# Each client reads the machine's certificates, which takes longer than a test.
READ_CERTIFICATES_ONCE = functools.cache(ssl.create_default_context)
NO_PROMPTS = {"anchor": "", "document": ""}
PROMPTS = {"anchor": "query: ", "document": "passage: "}
HARD_TEXTS = {
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "emoji": "👩‍👩‍👧‍👦 🔥🇪🇺",
    "right to left": "\u202bשלום עולם\u202c مرحبا",
    "ideographs": "埋め込みモデル 𠮷野家",
    "white space": " \t\n\r\u00a0\u2028\u3000 ",
    "quotes": "\"\\'`{}[]</script>\x00\x1b[31m",
    "empty": "",
    "100,000 characters": "ſ" * 100_000,
}


@pytest.fixture(autouse=True)
def naps(monkeypatch):
    """How long the library would have slept between attempts."""
    naps = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A key of ours, and nothing of the developer's."""
    for name in ("OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(ssl, "create_default_context", READ_CERTIFICATES_ONCE)


def guide_of(server, prompts=NO_PROMPTS, **settings):
    return EndpointGuide(server.url, "tiny", prompts, **settings)


def unit_vectors(texts, dimensions=DIMENSIONS):
    return np.stack([unit_vector_of(text, dimensions) for text in texts])


def error_of(guide, texts=("red", "green")):
    """The one line that is left of an error; the key is in none of the errors behind it."""
    with pytest.raises(UserError) as caught:
        guide.embed(list(texts), "document")
    error = caught.value
    message = str(error)
    assert message.isprintable()
    while error is not None:
        assert KEY not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    return message


# Vectors


def test_vectors_by_value_and_in_order(server):
    texts = ["red", "green", "a longer text", "red"]
    done = []
    vectors = guide_of(server).embed(texts, "document", done.append)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, unit_vectors(texts), atol=1e-6)
    assert np.linalg.norm(vector_of("red")) > 1.5, "nothing to normalise"
    assert done == [4]
    [request] = server.requests
    assert request.path == "/v1/embeddings"
    assert request.body == {"input": texts, "model": "tiny", "encoding_format": "float"}


def test_the_answer_is_sorted_by_its_index(server):
    server.script = [embeddings(lambda items: items[::-1])]
    np.testing.assert_allclose(
        guide_of(server).embed(["red", "green", "blue"], "anchor"),
        unit_vectors(["red", "green", "blue"]),
        atol=1e-6,
    )


def test_batches_of_so_many_texts(server):
    texts = [f"text {number}" for number in range(7)]
    done = []
    vectors = guide_of(server, batch_size=3, requests_at_once=1).embed(texts, "document", done.append)
    assert server.texts == [texts[:3], texts[3:6], texts[6:]]
    assert done == [3, 3, 1]
    np.testing.assert_allclose(vectors, unit_vectors(texts), atol=1e-6)


def test_batches_of_so_many_characters(server):
    """Ten characters, two of them a prompt's for each text; a text that is longer goes alone."""
    guide = guide_of(server, {"anchor": "", "document": "d "}, most_characters=10, requests_at_once=1)
    texts = ["abc", "abc", "a", "a" * 50, "abcd", "abcd", "", "", "", ""]
    guide.embed(texts, "document")
    assert [[text[2:] for text in request] for request in server.texts] == [
        ["abc", "abc"],
        ["a"],
        ["a" * 50],
        ["abcd"],
        ["abcd", "", ""],
        ["", ""],
    ]
    assert guide.estimate(texts).requests == 6


def test_prompts_by_role(server):
    guide = guide_of(server, PROMPTS)
    as_anchor = guide.embed(["red"], "anchor")
    as_document = guide.embed(["red"], "document")
    assert server.texts == [["query: red"], ["passage: red"]]
    np.testing.assert_allclose(as_anchor, unit_vectors(["query: red"]), atol=1e-6)
    np.testing.assert_allclose(as_document, unit_vectors(["passage: red"]), atol=1e-6)
    assert not guide.roles_share_vectors
    assert guide_of(server, {"anchor": "text: ", "document": "text: "}).roles_share_vectors


def test_texts_arrive_to_the_byte(server):
    texts = list(HARD_TEXTS.values())
    vectors = guide_of(server).embed(texts, "anchor")
    [arrived] = server.texts
    assert [text.encode() for text in arrived] == [text.encode() for text in texts]
    np.testing.assert_allclose(vectors, unit_vectors(texts), atol=1e-6)


def test_dimensions_are_asked_once(server):
    guide = guide_of(server)
    assert guide.dimensions == guide.dimensions == DIMENSIONS
    assert server.texts == [["text"]]
    guide = guide_of(server)
    guide.embed(["red"], "anchor")
    assert guide.dimensions == DIMENSIONS
    assert server.texts == [["text"], ["red"]]


def test_dimensions_that_are_given_are_asked_for(server):
    guide = guide_of(server, dimensions=5)
    assert guide.dimensions == 5
    assert server.requests == []
    np.testing.assert_allclose(guide.embed(["red"], "anchor"), unit_vectors(["red"], 5), atol=1e-6)
    assert server.requests[0].body["dimensions"] == 5


def test_no_texts(server):
    assert guide_of(server, dimensions=5).embed([], "anchor").shape == (0, 5)
    assert server.requests == []


def test_what_is_no_direction_is_left_to_the_caller(server):
    """Zeros stay zeros, what is not finite is NaN somewhere, and the text beside them is not touched."""
    for value in ([0.0] * DIMENSIONS, [float("nan")] * DIMENSIONS, [float("inf"), *[1.0] * (DIMENSIONS - 1)]):
        server.script.append(vector(0, value))
    zeros, nans, infinite = (guide_of(server).embed(["red", "green"], "anchor") for _ in range(3))
    assert not zeros[0].any()
    assert np.isnan(nans[0]).all()
    assert not np.isfinite(infinite[0]).all()
    for vectors in (zeros, nans, infinite):
        np.testing.assert_allclose(vectors[1], unit_vector_of("green"), atol=1e-6)


# What it is


def test_the_identity_is_url_model_and_requested_dimensions():
    def identity(url="https://host/v1", model="tiny", prompts=NO_PROMPTS, **settings):
        return EndpointGuide(url, model, prompts, **settings).identity

    assert identity() == "95c0e9045c7522219010e6c0be84101c"
    same = [
        identity("https://HOST:443/v1/"),
        identity("HTTPS://host/v1//"),
        identity(prompts=PROMPTS),
        identity(batch_size=1, key_variable="OTHER", timeout_seconds=1.0),
    ]
    assert set(same) == {identity()}
    others = [
        identity("http://host/v1"),
        identity("https://host:8443/v1"),
        identity("https://host/V1"),
        identity("https://other/v1"),
        identity(model="Tiny"),
        identity(dimensions=8),
    ]
    assert len({identity(), *others}) == 7


def test_name_repr_and_limit():
    guide = EndpointGuide("http://[::1]:80/v1/", "tiny", NO_PROMPTS, dimensions=3)
    assert guide.base_url == "http://[::1]/v1"
    assert guide.name == "tiny at http://[::1]/v1"
    assert repr(guide) == "EndpointGuide('http://[::1]/v1', 'tiny', dimensions=3)"
    assert guide.max_length is None


@pytest.mark.parametrize(
    ("texts", "price", "role", "wanted"),
    [
        ([], 0.5, "document", Estimate(0, 0, 0, 0.0)),
        (["abcd"], None, "document", Estimate(1, 1, 1, None)),
        (["abcde"], None, "document", Estimate(1, 1, 2, None)),
        (["ab", "ab", "a"], None, "document", Estimate(3, 2, 2, None)),
        (["ab", "ab", "a"], 2.0, "anchor", Estimate(3, 2, 3, 6e-6)),
    ],
)
def test_an_estimate_by_value(texts, price, role, wanted):
    """Two texts in a request; an anchor has a prompt of two characters."""
    guide = EndpointGuide("http://host/v1", "tiny", {"anchor": "q ", "document": ""}, batch_size=2)
    assert guide.estimate(texts, price, role) == wanted


# Attempts


@pytest.mark.parametrize(
    "trouble",
    [
        failure(429, "slow down", {"Retry-After": "0"}),
        failure(500, "oops"),
        failure(503, "loading"),
        status(502, b"<html>Bad gateway</html>"),
        drop,
        stop_halfway,
    ],
    ids=["429", "500", "503", "502", "drop", "halfway"],
)
def test_attempts_until_it_works(server, naps, trouble):
    server.script = [trouble, trouble]
    vectors = guide_of(server).embed(["red", "green"], "anchor")
    np.testing.assert_allclose(vectors, unit_vectors(["red", "green"]), atol=1e-6)
    assert server.texts == [["red", "green"]] * 3
    assert len(naps) == 2
    assert 0.3 < naps[0] < naps[1] <= 1


def test_it_waits_as_long_as_the_endpoint_says(server, naps):
    server.script = [failure(429, "slow down", {"Retry-After": "7"})]
    guide_of(server).embed(["red"], "anchor")
    assert naps == [7]


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        (
            failure(429, "Quota exceeded", {"Retry-After": "0"}),
            "takes no more requests in up to 3 attempts (HTTP 429: Quota exceeded); wait, or allow fewer "
            "requests per minute",
        ),
        (
            failure(500, "oops"),
            "fails in up to 3 attempts (HTTP 500: oops); start again later",
        ),
        (
            status(502, b"<html>\n<b>Bad</b>\tgateway\x1b[31m</html>"),
            "fails in up to 3 attempts (HTTP 502: <html> <b>Bad</b> gateway\\x1b[31m</html>); "
            "start again later",
        ),
        (status(503, b""), "fails in up to 3 attempts (HTTP 503); start again later"),
        (
            drop,
            "can't be reached in up to 3 attempts (Server disconnected without sending a response.); "
            "check the address and the network, then start again",
        ),
    ],
    ids=["429", "500", "502", "503", "drop"],
)
def test_giving_up(server, trouble, text):
    server.script = [trouble] * 3
    assert error_of(guide_of(server, max_retries=2)) == f"{server.url}: {text}"
    assert len(server.requests) == 3


def test_no_second_attempt_if_there_shall_be_none(server, naps):
    server.script = [failure(500, "oops")]
    assert error_of(guide_of(server, max_retries=0)) == (
        f"{server.url}: fails in one attempt (HTTP 500: oops); start again later"
    )
    assert naps == []


def test_silence(server):
    server.script = [silence, silence]
    assert error_of(guide_of(server, timeout_seconds=0.2, max_retries=1)) == (
        f"{server.url}: no answer within 0.2 seconds in up to 2 attempts; "
        "allow more time or ask for fewer texts in a request"
    )
    assert len(server.requests) == 2


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    message = error_of(EndpointGuide(url, "tiny", NO_PROMPTS))
    start, end = message.split(" (")[0], message.split("); ")[1]
    assert start == f"{url}: can't be reached in up to 6 attempts"
    assert "refused" in message
    assert end == "check the address and the network, then start again"


def test_requests_per_minute(server, monkeypatch):
    """Thirty a minute are one each two seconds, attempts included; a pause is not saved up."""

    class Clock:
        now, naps = 100.0, []

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.naps.append(seconds)
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr("gistembed.guide.scorers.endpoint_client.time", clock)
    guide = guide_of(server, batch_size=1, requests_per_minute=30.0)
    server.script = [embeddings(), failure(500, "oops")]
    guide.embed(["red", "green"], "anchor")
    assert len(server.requests) == 3
    assert clock.naps == [2, 2]
    clock.now += 1.5
    guide.embed(["blue"], "anchor")
    assert clock.naps == [2, 2, 0.5]
    clock.now += 60
    guide.embed(["red", "green"], "anchor")
    assert clock.naps == [2, 2, 0.5, 2]


def test_threads_share_the_pace(server, naps, monkeypatch):
    """Thirty a minute, and the clock stands still: four requests at once, two seconds apart."""
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    guide = guide_of(server, dimensions=5, batch_size=1, requests_at_once=4, requests_per_minute=30.0)
    guide.embed(["red", "green", "blue", "black"], "anchor")
    assert sorted(naps) == [2, 4, 6]


# Several requests at once


def test_so_many_requests_wait_at_once(server):
    """Each is answered only when three are there; and never are there more."""
    there, most = [], []
    meeting = threading.Barrier(3, timeout=10)

    def meet(handler, request):
        there.append(request)
        meeting.wait()
        most.append(len(there))
        meeting.wait()
        there.remove(request)
        embeddings()(handler, request)

    server.script = [meet] * 6
    texts = [f"text {number}" for number in range(6)]
    guide = guide_of(server, dimensions=DIMENSIONS, batch_size=1, requests_at_once=3)
    np.testing.assert_allclose(guide.embed(texts, "anchor"), unit_vectors(texts), atol=1e-6)
    assert most == [3] * 6


def test_the_first_answer_is_waited_for(server):
    """It tells how long a vector is, which all others must have."""
    server.script = [lambda *answer: (waited.wait(0.2), embeddings()(*answer))]
    waited = threading.Event()
    guide = guide_of(server, batch_size=1)
    batches = guide.embed_batches(["red", "green", "blue"], "anchor", None)
    assert next(batches)[0] == [0]
    assert server.texts == [["red"]]
    assert sorted(place for batch, _ in batches for place in batch) == [1, 2]


def test_an_error_keeps_what_the_others_brought(server, tmp_path):
    """What was answered is in the store; what was not yet sent is not sent any more."""
    meeting = threading.Barrier(4, timeout=10)

    def meet(handler, request):
        meeting.wait()
        (failure(400, "no") if "text 2" in request.texts else embeddings())(handler, request)

    server.script = [meet] * 4
    guide = guide_of(server, dimensions=DIMENSIONS, batch_size=1)
    store = GuideStore(tmp_path, GuideIdentity(guide.identity, None, DIMENSIONS))
    texts = [f"text {number}" for number in range(100)]
    with pytest.raises(UserError) as caught:
        encode_run(guide, StoreWriter(store), run_of(texts))
    assert str(caught.value).startswith(f"{server.url}: refuses the text 'text 2' (HTTP 400: no); ")
    answered = set(chain(*server.texts)) - {"text 2"}
    assert 3 <= len(answered) < 99
    rows = store.reopened().find(Keys.of(texts, prompt=""))
    assert {text for text, row in zip(texts, rows, strict=True) if row >= 0} == answered


_WAITING = """
import sys
from gistembed.guide.scorers.endpoint import EndpointGuide
guide = EndpointGuide(sys.argv[1], "tiny", {"anchor": "", "document": ""}, dimensions=8)
guide.embed(["red"], "anchor")
"""


def test_ctrl_c_does_not_wait_for_an_answer(server):
    asked = threading.Event()

    def never(handler, request):
        asked.set()
        silence(handler, request)

    server.script = [never]
    command = [sys.executable, "-c", _WAITING, server.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        asked.wait(30)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=8)
    assert errors.endswith("KeyboardInterrupt\n")


# Refusals


@pytest.mark.parametrize(
    ("answer", "texts", "text"),
    [
        (
            failure(401, "Incorrect API key provided: sk-ne****4711"),
            ["red"],
            "refuses the key in OPENAI_API_KEY; set that environment variable to a valid one",
        ),
        (
            failure(403, "Country not supported"),
            ["red"],
            "refuses access (HTTP 403: Country not supported); check what the key in OPENAI_API_KEY may do",
        ),
        (
            status(404, {"detail": "Not Found"}),
            ["red"],
            "has no embeddings of tiny (HTTP 404: Not Found); check the model's name, and that the base URL "
            "is one such as https://api.openai.com/v1",
        ),
        (
            failure(400, "input cannot be an empty string"),
            ["red", "", "green"],
            "refuses 3 texts, one of them '' (HTTP 400: input cannot be an empty string); "
            "mend what it names, or ask for fewer texts in a request",
        ),
        (
            failure(400, "maximum context length is 8192 tokens"),
            ["red", "x" * 100],
            f"refuses 2 texts, the longest of them '{'x' * 58}… (HTTP 400: maximum context length is 8192 "
            "tokens); mend what it names, or ask for fewer texts in a request",
        ),
        (
            status(422, {"detail": [{"loc": ["body", "dimensions"], "msg": "extra fields"}]}),
            ["two\nlines"],
            "refuses the text 'two\\nlines' "
            '(HTTP 422: [{"loc": ["body", "dimensions"], "msg": "extra fields"}]); '
            "mend what it names, or ask for fewer texts in a request",
        ),
        (
            status(413, b""),
            ["red"],
            "refuses the text 'red' (HTTP 413); mend what it names, or ask for fewer texts in a request",
        ),
        (
            status(307, b"", {"Location": "https://host/v2/embeddings?token=1"}),
            ["red"],
            "sends to another address (https://host/v2/embeddings), which is not followed; "
            "give the right base URL",
        ),
        (
            failure(400, "y" * 1000),
            ["red"],
            f"refuses the text 'red' (HTTP 400: {'y' * 199}…); mend what it names, or ask for fewer texts "
            "in a request",
        ),
    ],
    ids=["401", "403", "404", "empty text", "long text", "422", "413", "redirect", "long answer"],
)
def test_refusals_are_one_line_and_final(server, naps, answer, texts, text):
    server.script = [answer]
    assert error_of(guide_of(server), texts) == f"{server.url}: {text}"
    assert len(server.requests) == 1
    assert naps == []


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            embeddings(lambda items: items[:2]),
            "answers with 2 vectors for 3 texts; try fewer texts in a request or another endpoint",
        ),
        (
            embeddings(lambda items: items * 2),
            "answers with 6 vectors for 3 texts; try fewer texts in a request or another endpoint",
        ),
        (
            embeddings(lambda items: [items[0], items[1], items[1]]),
            "does not say which vector belongs to which text (index: [0, 1, 1]); "
            "ask for one text in a request or choose another endpoint",
        ),
        (
            embeddings(lambda items: [{"embedding": item["embedding"]} for item in items]),
            "does not say which vector belongs to which text (index: [null, null, null]); "
            "ask for one text in a request or choose another endpoint",
        ),
        (
            embeddings(lambda items: [[1.0], [2.0], [3.0]]),
            'answers with something else than embeddings ({"object": "list", "data": [[1.0], [2.0], [3.0]], '
            '"model": "tiny", "usage": {"prompt_tokens": 1, "total_tokens": 1}}); '
            "give the base URL of an OpenAI-compatible endpoint, such as https://api.openai.com/v1",
        ),
        (
            status(200, b"<html>Welcome\n</html>"),
            "answers with something else than embeddings (<html>Welcome </html>); "
            "give the base URL of an OpenAI-compatible endpoint, such as https://api.openai.com/v1",
        ),
        (
            status(200, {"error": "model is loading"}),
            "answers with something else than embeddings (model is loading); "
            "give the base URL of an OpenAI-compatible endpoint, such as https://api.openai.com/v1",
        ),
        (
            status(200, b"[" * 100_000),
            f"answers with something else than embeddings ({'[' * 199}…); "
            "give the base URL of an OpenAI-compatible endpoint, such as https://api.openai.com/v1",
        ),
        (
            vector(1, [1.0] * 5),
            "gives a vector of 5 numbers instead of 8 for the text 'green'; ask for dimensions that tiny has",
        ),
    ],
    ids=["few", "many", "twice", "no index", "lists", "html", "error", "deep", "length"],
)
def test_answers_that_are_none(server, answer, text):
    server.script = [answer]
    assert error_of(guide_of(server), ["red", "green", "blue"]) == f"{server.url}: {text}"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "value",
    [
        ["1.0"] * 8,
        [1.0, "a"],
        [None] * 8,
        [True] * 8,
        [[1.0] * 8],
        [1.0, [2.0]],
        [],
        {},
        None,
        3.5,
        "AACAPwAAAEA=",
        [{"a": 1}],
    ],
    ids=str,
)
def test_vectors_that_are_no_numbers(server, value):
    server.script = [vector(1, value)]
    assert error_of(guide_of(server), ["red", "gre\nen"]) == (
        f"{server.url}: gives something else than a list of numbers for the text 'gre\\nen'; "
        "drop that text or choose another endpoint"
    )


def test_other_dimensions_than_were_asked_for(server):
    server.script = [embeddings(dimensions=8), embeddings(dimensions=8), embeddings(dimensions=9)]
    text = "for the text 'red'; ask for dimensions that tiny has"
    assert error_of(guide_of(server, dimensions=5)) == (
        f"{server.url}: gives a vector of 8 numbers instead of 5 {text}"
    )
    guide = guide_of(server)
    assert guide.dimensions == 8
    assert error_of(guide) == f"{server.url}: gives a vector of 9 numbers instead of 8 {text}"


def test_half_a_surrogate_pair_is_not_sent(server):
    assert error_of(guide_of(server), ["a longer text", "a\ud83d"]) == (
        f"{server.url}: the text 'a\\ud83d' can't be sent: half a surrogate pair is no text; mend or drop it"
    )
    assert server.requests == []


def test_without_the_library(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    assert error_of(guide_of(server)) == (
        "an endpoint as guide needs the package openai; run `pip install 'gistembed[endpoint]'`"
    )


def test_a_proxy_that_is_none(server, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALL_PROXY", f"carrier-pigeon://me:{KEY}@host")
    assert error_of(guide_of(server)) == (
        f"{server.url}: can't be asked (ValueError); check the address, and the proxies and certificates "
        "that the environment names"
    )


# Settings

NO_URL = "the endpoint's base URL is not one; give one such as https://api.openai.com/v1"
CREDENTIALS = (
    "the endpoint's base URL holds a user name or password; take it out and put the key into the "
    "environment variable MY_KEY"
)
MORE = (
    "the endpoint's base URL has a part that begins with ? or #; take it out and put the key into the "
    "environment variable MY_KEY"
)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (f"https://me:{KEY}@host/v1", CREDENTIALS),
        (f"https://{KEY}@host/v1", CREDENTIALS),
        (f"https://:{KEY}@host/v1", CREDENTIALS),
        (f"ftp://me:{KEY}@host/v1", CREDENTIALS),
        (f"https://host/v1?key={KEY}", MORE),
        (f"https://host/v1#{KEY}", MORE),
        ("https://host/v1?", MORE),
        (f"me:{KEY}@host/v1", NO_URL),
        (f"https:me:{KEY}@host", NO_URL),
        (f"https://host\\{KEY}", NO_URL),
        (f"https://host:{KEY}", NO_URL),
        ("https://[::1/v1", NO_URL),
        ("https://host:99999", NO_URL),
        ("https://ho st/v1", NO_URL),
        ("https://host/v1\n", NO_URL),
        ("https://host/\u202ev1", NO_URL),
        ("https:///v1", NO_URL),
        ("ftp://host/v1", NO_URL),
        ("file:///etc/passwd", NO_URL),
        ("host:8000/v1", NO_URL),
        ("", NO_URL),
    ],
)
def test_urls_that_are_refused(url, text):
    """None of these messages repeats the URL, which may hold a secret."""
    with pytest.raises(UserError) as caught:
        EndpointGuide(url, "tiny", NO_PROMPTS, key_variable="MY_KEY")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"model": ""}, "http://host: no model is named; write its name behind a #, URL#MODEL"),
        ({"model": "a\nb"}, "http://host: no model is named; write its name behind a #, URL#MODEL"),
        (
            {"prompts": {"anchor": ""}},
            "prompts: none is given for the role document; an empty one is allowed",
        ),
        ({"dimensions": 0}, "dimensions: 0 can't be used; give a positive number"),
        ({"batch_size": 0}, "batch_size: 0 can't be used; give a positive number"),
        ({"most_characters": -1}, "most_characters: -1 can't be used; give a positive number"),
        ({"timeout_seconds": 0.0}, "timeout_seconds: 0.0 can't be used; give a positive number"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds: nan can't be used; give a positive number"),
        ({"requests_per_minute": 0.0}, "requests_per_minute: 0.0 can't be used; give a positive number"),
        ({"requests_at_once": 0}, "requests_at_once: 0 can't be used; give a positive number"),
        ({"max_retries": -1}, "max_retries: -1 can't be used; give a positive number"),
    ],
    ids=str,
)
def test_settings_that_are_refused(settings, text):
    with pytest.raises(UserError) as caught:
        EndpointGuide(**({"base_url": "http://host", "model": "tiny", "prompts": NO_PROMPTS} | settings))
    assert str(caught.value) == text


# The key


def test_the_key_is_in_one_header_and_nowhere_else(server, caplog):
    caplog.set_level(logging.DEBUG)
    server.script = [
        failure(500, f"failed for {KEY}"),
        embeddings(),
        failure(400, f"{'z' * 190} {KEY} bad day"),
    ]
    guide = guide_of(server)
    guide.embed(["red"], "anchor")
    assert error_of(guide, ["red"]) == (
        f"{server.url}: refuses the text 'red' (HTTP 400: {'z' * 190} [key] ba…); "
        "mend what it names, or ask for fewer texts in a request"
    )
    for request in server.requests:
        assert [name for name, value in request.headers.items() if KEY in value] == ["authorization"]
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in request.path
        assert KEY.encode() not in request.raw
    assert len(caplog.records) > 5, "nothing was logged, so nothing was looked at"
    assert KEY not in caplog.text
    assert not any(KEY in f"{record.__dict__}" for record in caplog.records)
    assert KEY not in f"{guide!r} {guide} {vars(guide)} {guide.identity} {guide.name}"


@pytest.mark.parametrize("value", [None, "", " \n"], ids=repr)
def test_without_a_key_none_is_sent(server, monkeypatch, value):
    """As local servers want it; and no other key of the environment takes its place."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"Authorization: Bearer {KEY}")
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    guide = guide_of(server, key_variable="MY_KEY")
    guide.embed(["red"], "anchor")
    [request] = server.requests
    assert "authorization" not in request.headers
    assert KEY not in f"{request.headers}"
    server.script = [failure(401, "You didn't provide an API key")]
    assert error_of(guide) == (f"{server.url}: wants a key; put it into the environment variable MY_KEY")


def test_an_environment_without_any_key(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    guide_of(server).embed(["red"], "anchor")
    assert "authorization" not in server.requests[0].headers


def test_the_named_variable_is_read_for_each_request(server, monkeypatch):
    guide = guide_of(server, key_variable="MY_KEY")
    for key in ("first", " second\n"):
        monkeypatch.setenv("MY_KEY", key)
        guide.embed(["red"], "anchor")
    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer first",
        "Bearer second",
    ]


@pytest.mark.parametrize(
    "key", [f"{KEY}\nX-Other: 1", f"{KEY} {KEY}", f"{KEY}ü"], ids=["break", "space", "ü"]
)
def test_a_key_that_is_none(server, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert error_of(guide_of(server)) == (
        "OPENAI_API_KEY: holds a space or another sign that no key has; set it to the key alone"
    )
    assert server.requests == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server, code):
    """Neither the key nor the texts reach another host, or another place on this one."""
    with running() as other:
        for target in (other.url, f"{server.url}/elsewhere"):
            server.script = [status(code, b"", {"Location": target})]
            server.requests.clear()
            assert error_of(guide_of(server)) == (
                f"{server.url}: sends to another address ({target}), which is not followed; "
                "give the right base URL"
            )
            assert len(server.requests) == 1
        assert other.requests == []


# With the store

ROWS = [
    ("red", "a longer text", ["green"]),
    ("green", "a still longer text 🔥", []),
    ("Red", "a longer text", []),
]


def encode(root, guide, rows=ROWS):
    """What a run does with a guide."""
    pairs = pairs_of(rows)
    identity = GuideIdentity(guide.identity, guide.max_length, guide.dimensions)
    plan = plan_encoding(guide, pairs)
    return pairs, encode_texts(guide, GuideStore(root, identity), plan, pairs)


@pytest.mark.parametrize("prompts", [NO_PROMPTS, PROMPTS], ids=["shared", "by role"])
def test_from_pairs_to_the_store_and_back(server, tmp_path, prompts):
    pairs, vectors = encode(tmp_path, guide_of(server, prompts))
    for role, ids in (("anchor", pairs.anchors), ("document", pairs.positives)):
        wanted = unit_vectors([prompts[role] + pairs.texts[text_id] for text_id in ids])
        np.testing.assert_allclose(vectors.of(ids, role), wanted, atol=1e-3)
    sent = list(chain(*server.texts[1:]))
    assert len(sent) == len(set(sent)) == (5 if prompts is NO_PROMPTS else 6)
    server.requests.clear()
    pairs, again = encode(tmp_path, guide_of(server, prompts))
    assert server.texts == [["text"]], "only the length of a vector is asked for"
    for role, ids in (("anchor", pairs.anchors), ("document", pairs.positives)):
        np.testing.assert_array_equal(again.of(ids, role), vectors.of(ids, role))


def test_a_second_run_sends_nothing_at_all(server, tmp_path):
    encode(tmp_path, guide_of(server, dimensions=6))
    assert len(server.requests) == 2
    server.requests.clear()
    encode(tmp_path, guide_of(server, dimensions=6))
    assert server.requests == []


def test_an_endpoint_is_not_asked_for_what_is_in_the_store(server, tmp_path):
    """Not even how long its vectors are: the store knows."""
    settings = GuideSettings(f"{server.url}#tiny")
    quiet = Console(quiet=True)
    first = do_work(prepare_work(settings, tmp_path, pairs_of(ROWS)), quiet)
    assert [len(texts) for texts in server.texts] == [1, 3, 2]
    server.requests.clear()
    work = prepare_work(settings, tmp_path, pairs_of(ROWS))
    assert (len(work.missing), work.guide.dimensions) == (0, DIMENSIONS)
    again = do_work(work, quiet)
    assert server.requests == []
    for role, ids in (("anchor", work.pairs.anchors), ("document", work.pairs.positives)):
        np.testing.assert_array_equal(again.of(ids, role), first.of(ids, role))


def test_a_text_without_a_usable_vector_is_named_by_its_row(server, tmp_path):
    server.script = [embeddings(), vector(0, [float("nan")] * DIMENSIONS)]
    guide = guide_of(server)
    with pytest.raises(UserError) as caught:
        encode(tmp_path, guide)
    assert str(caught.value) == (
        f"test:1: the guide tiny at {server.url} gives no usable vector for the text 'green'; "
        "drop that row or choose another guide"
    )
