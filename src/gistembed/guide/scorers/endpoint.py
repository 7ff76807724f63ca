"""A guide behind an OpenAI-compatible HTTP endpoint: its settings, its batches, and what they would cost."""

import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import numpy as np
import xxhash
from jaxtyping import Float32, Float64, Int32

from gistembed.errors import UserError
from gistembed.guide.scorers.endpoint_client import EXAMPLE_URL, EndpointClient, Pace
from gistembed.guide.store.manifest import GuideFacts
from gistembed.models import ROLES
from gistembed.pairs.wording import counted
from gistembed.terms import Role

# Even where each character is a token, as in some scripts, this stays below the 300,000 tokens that OpenAI
# takes in one request.
_MOST_CHARACTERS = 250_000
_CHARACTERS_PER_TOKEN = 4
# Asked only to learn the length of a vector.
_PROBE = "text"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Estimate:
    """What it would take to embed some texts, known before anything is sent.

    Attributes:
        texts: How many texts.
        requests: How many requests, retries left out.
        tokens: About how many tokens: a quarter of the characters. Scripts other than Latin need more.
        cost: What the tokens cost, in the currency of the price; None if no price was given.
    """

    texts: int
    requests: int
    tokens: int
    cost: float | None

    def __str__(self) -> str:
        """One line for a person."""
        cost = "" if self.cost is None else f", which cost about {self.cost:,.2f}"
        texts, requests = counted(self.texts, "text"), counted(self.requests, "request")
        return f"{texts} in {requests} of about {counted(self.tokens, 'token')}{cost}"


class EndpointGuide:
    """A model behind an OpenAI-compatible endpoint, used as a guide like an `EmbeddingModel`.

    The key is read from an environment variable for each request and kept nowhere. It goes to the base URL
    alone: redirects are not followed. Without a key none is sent, as local servers want it.

    Attributes:
        base_url: What stands before ``/embeddings``, in its plainest form.
        model: What the endpoint calls the model.
        prompts: What is put before each text, by role.
        batch_size: Most texts in a request.
        most_characters: Most characters in a request, prompts included; a longer text goes alone.
        timeout_seconds: How long the endpoint may stay silent.
        max_retries: How often a request is sent again when the network or the endpoint fails.
        requests_at_once: How many requests may wait for an answer at a time.
        requests_per_minute: How many requests are sent in a minute, retries included; None for no limit.
        key_variable: The environment variable that holds the key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        prompts: Mapping[Role, str],
        *,
        dimensions: int | None = None,
        batch_size: int = 64,
        most_characters: int = _MOST_CHARACTERS,
        timeout_seconds: float = 60.0,
        max_retries: int = 5,
        requests_at_once: int = 4,
        requests_per_minute: float | None = None,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            base_url: What stands before ``/embeddings``: ``https://api.openai.com/v1``.
            model: What the endpoint calls the model.
            prompts: What is put before each text, by role.
            dimensions: Length of a vector that the endpoint is asked for; None for the model's own.
            batch_size: Most texts in a request.
            most_characters: Most characters in a request, prompts included; a longer text goes alone.
            timeout_seconds: How long the endpoint may stay silent.
            max_retries: How often a request is sent again when the network or the endpoint fails.
            requests_at_once: How many requests may wait for an answer at a time.
            requests_per_minute: How many requests may be sent in a minute, retries included.
            key_variable: The environment variable that holds the key.

        Raises:
            UserError: If a setting can't be used.
        """
        self.base_url = _plain_url(base_url, key_variable)
        if not model.strip() or not model.isprintable():
            raise UserError(f"{self.base_url}: no model is named; write its name behind a #, URL#MODEL")
        if missing := [role for role in ROLES if role not in prompts]:
            raise UserError(f"prompts: none is given for the role {missing[0]}; an empty one is allowed")
        for name, number, usable in (
            ("dimensions", dimensions, dimensions is None or dimensions >= 1),
            ("batch_size", batch_size, batch_size >= 1),
            ("most_characters", most_characters, most_characters >= 1),
            ("timeout_seconds", timeout_seconds, 0 < timeout_seconds < math.inf),
            ("max_retries", max_retries, max_retries >= 0),
            ("requests_at_once", requests_at_once, requests_at_once >= 1),
            (
                "requests_per_minute",
                requests_per_minute,
                requests_per_minute is None or 0 < requests_per_minute < math.inf,
            ),
        ):
            if not usable:
                raise UserError(f"{name}: {number} can't be used; give a positive number")
        self.model = model
        self.prompts: Mapping[Role, str] = dict(prompts)
        self.batch_size = batch_size
        self.most_characters = most_characters
        self.timeout_seconds = timeout_seconds
        self.max_retries = max_retries
        self.requests_at_once = requests_at_once
        self.requests_per_minute = requests_per_minute
        self.key_variable = key_variable
        self._requested = dimensions
        self._dimensions = dimensions
        self._pace = Pace()

    def __repr__(self) -> str:
        """The settings that tell one guide from another."""
        return f"EndpointGuide({self.base_url!r}, {self.model!r}, dimensions={self._requested})"

    @property
    def name(self) -> str:
        """The model and where it is, for people."""
        return f"{self.model} at {self.base_url}"

    @property
    def identity(self) -> str:
        """xxh3-128 over all that is known of what vectors depend on: URL, model and requested dimensions.

        An endpoint that changes its model and keeps its name can't be told from the one it was before.
        """
        content = ["endpoint", self.base_url, self.model, self._requested]
        return xxhash.xxh3_128_hexdigest(json.dumps(content).encode())

    @property
    def facts(self) -> GuideFacts:
        """What later runs need not ask it."""
        return GuideFacts(self.kind, None, self.dimensions, None, dict.fromkeys(ROLES, ""), branches=False)

    def know(self, facts: GuideFacts | None) -> None:
        """Take the length of a vector from what an earlier run found.

        Args:
            facts: What it found; None if there was none.
        """
        if facts is not None and self._dimensions is None:
            self._dimensions = facts.dimensions

    @property
    def kind(self) -> str:
        """What sort of guide it is."""
        return "endpoint"

    @property
    def parameters(self) -> None:
        """Number of parameters: None, because it is not known."""
        return None

    @property
    def roles_share_vectors(self) -> bool:
        """Whether a text has the same embedding in every role."""
        return self.prompts["anchor"] == self.prompts["document"]

    @property
    def max_length(self) -> None:
        """Longest input in tokens: None, because it is for the endpoint to know."""
        return None

    @property
    def dimensions(self) -> int:
        """Length of an embedding; the endpoint is asked once, by a tiny request, if it is not known yet.

        Raises:
            UserError: If the endpoint gives no vector.
        """
        if self._dimensions is None:
            client = self._client()
            with client.open() as connection:
                self._dimensions = client.ask(connection, [_PROBE], "", None).shape[1]
        return self._dimensions

    def estimate(
        self,
        texts: Sequence[str],
        price_per_million_tokens: float | None = None,
        role: Role = "document",
    ) -> Estimate:
        """What it would take to embed texts; nothing is sent.

        Args:
            texts: Raw texts.
            price_per_million_tokens: What the endpoint takes for a million tokens.
            role: Which prompt to count with each text.
        """
        prompt = self.prompts[role]
        characters = sum(map(len, texts)) + len(prompt) * len(texts)
        tokens = -(-characters // _CHARACTERS_PER_TOKEN)
        requests = sum(1 for _ in self._batches(texts, prompt))
        cost = None if price_per_million_tokens is None else tokens * price_per_million_tokens / 1_000_000
        return Estimate(len(texts), requests, tokens, cost)

    def embed(
        self,
        texts: Sequence[str],
        role: Role,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> Float32[np.ndarray, "texts dim"]:
        """Normalised embeddings of raw texts, in their order.

        A vector of zeros stays one, and one that holds a number that is not finite holds NaN.

        Args:
            texts: Raw texts.
            role: Which prompt to use.
            on_progress: Called with the number of texts done since the call before.

        Raises:
            UserError: If the endpoint can't be reached, refuses, or answers with something else than one
                vector of the right length for each text.
        """
        result = np.empty((len(texts), self.dimensions if not texts else 0), dtype=np.float32)
        for batch, vectors in self.embed_batches(texts, role, None):
            if not result.shape[1]:
                result = np.empty((len(texts), vectors.shape[1]), dtype=np.float32)
            result[batch] = vectors
            on_progress(len(batch))
        return result

    def embed_batches(
        self, texts: Sequence[str], role: Role, lengths: Int32[np.ndarray, " texts"] | None
    ) -> Iterator[tuple[list[int], Float32[np.ndarray, "batch dim"]]]:
        """Normalised embeddings of raw texts, request by request, in the order in which they are answered.

        When a request fails, no other is sent, and those that are under way are waited for.

        Args:
            texts: Raw texts.
            role: Which prompt to use.
            lengths: Not used: how texts are split into tokens is for the endpoint to know.

        Yields:
            Which texts, by their place, and their embeddings.

        Raises:
            UserError: See `embed`.
        """
        prompt, batches = self.prompts[role], self._batches(texts, self.prompts[role])
        under_way: dict[Future[Float64[np.ndarray, "batch dim"]], slice] = {}
        failure: UserError | None = None
        client = self._client()
        with client.open() as connection:
            while True:
                # The first answer tells how long a vector is, and so it is waited for.
                most = 1 if self._dimensions is None else self.requests_at_once
                while failure is None and len(under_way) < most and (batch := next(batches, None)):
                    asked = partial(client.ask, connection, texts[batch], prompt, self._dimensions)
                    under_way[_in_background(asked)] = batch
                if not under_way:
                    break
                for answered in wait(under_way, return_when=FIRST_COMPLETED).done:
                    batch = under_way.pop(answered)
                    try:
                        vectors = answered.result()
                    except UserError as error:
                        failure = failure or error
                        continue
                    self._dimensions = vectors.shape[1]
                    yield list(range(batch.start, batch.stop)), _normalised(vectors)
        if failure is not None:
            raise failure

    def input_lengths(
        self, texts: Sequence[str], role: Role, on_progress: Callable[[int], None] = lambda count: None
    ) -> None:
        """Tokens of each text: None, because how texts are split into tokens is for the endpoint to know.

        Args:
            texts: Raw texts.
            role: Which prompt to count with each text.
            on_progress: Called with the number of texts, at once.
        """
        on_progress(len(texts))

    def _batches(self, texts: Sequence[str], prompt: str) -> Iterator[slice]:
        """The texts of each request, one after another."""
        start, characters = 0, 0
        for place, text in enumerate(texts):
            length = len(prompt) + len(text)
            full = place - start == self.batch_size or characters + length > self.most_characters
            if full and place > start:
                yield slice(start, place)
                start, characters = place, 0
            characters += length
        if start < len(texts):
            yield slice(start, len(texts))

    def _client(self) -> EndpointClient:
        return EndpointClient(
            base_url=self.base_url,
            model=self.model,
            dimensions=self._requested,
            timeout_seconds=self.timeout_seconds,
            max_retries=self.max_retries,
            requests_per_minute=self.requests_per_minute,
            key_variable=self.key_variable,
            pace=self._pace,
        )


def _in_background(
    ask: Callable[[], Float64[np.ndarray, "batch dim"]],
) -> Future[Float64[np.ndarray, "batch dim"]]:
    """A request in a thread of its own, for which the program doesn't wait when it ends."""
    future: Future[Float64[np.ndarray, "batch dim"]] = Future()

    def run() -> None:
        try:
            future.set_result(ask())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _plain_url(url: str, key_variable: str) -> str:
    """A base URL in its plainest form; it is not quoted before it is known to hold no secret.

    Raises:
        UserError: If it is none, or holds more than an address.
    """
    wrong = UserError(f"the endpoint's base URL is not one; give one such as {EXAMPLE_URL}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if "@" in parts.netloc:
        raise UserError(
            "the endpoint's base URL holds a user name or password; take it out and put the key into the "
            f"environment variable {key_variable}"
        )
    if parts.scheme not in _DEFAULT_PORTS or not host or re.search(r"[\s\\]", url) or not url.isprintable():
        raise wrong
    if "?" in url or "#" in url:
        raise UserError(
            "the endpoint's base URL has a part that begins with ? or #; take it out and put the key into "
            f"the environment variable {key_variable}"
        )
    host = f"[{host}]" if ":" in host else host
    place = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}"


def _normalised(vectors: Float64[np.ndarray, "texts dim"]) -> Float32[np.ndarray, "texts dim"]:
    """Vectors of length 1; zeros stay zeros."""
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths != 0)
    result: Float32[np.ndarray, "texts dim"] = unit.astype(np.float32)
    return result
