"""A client of an OpenAI-compatible endpoint: texts go out, vectors come back, the key stays here."""

import json
import math
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from gistembed.errors import UserError
from gistembed.pairs.wording import one_line, quoted

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI, OpenAIError

EXAMPLE_URL = "https://api.openai.com/v1"
_SAID_LENGTH = 200


class Pace:
    """When the next request may be sent, whichever client sends it."""

    def __init__(self) -> None:
        """The first may be sent at once."""
        self._next_start = -math.inf
        self._lock = threading.Lock()

    def wait(self, requests_per_minute: float) -> None:
        """Wait until one more request may be sent."""
        with self._lock:
            now = time.monotonic()
            start = max(self._next_start, now)
            self._next_start = start + 60 / requests_per_minute
        if start > now:
            time.sleep(start - now)


@dataclass(frozen=True)
class EndpointClient:
    """How an endpoint is asked for vectors; the key is read for each request and kept nowhere.

    Attributes:
        base_url: What stands before ``/embeddings``; it holds no secret.
        model: What the endpoint calls the model.
        dimensions: Length of a vector that the endpoint is asked for; None for the model's own.
        timeout_seconds: How long the endpoint may stay silent.
        max_retries: How often a request is sent again when the network or the endpoint fails.
        requests_per_minute: How many requests are sent in a minute, retries included; None for no limit.
        key_variable: The environment variable that holds the key.
        pace: When the next request may be sent.
    """

    base_url: str
    model: str
    dimensions: int | None
    timeout_seconds: float
    max_retries: int
    requests_per_minute: float | None
    key_variable: str
    pace: Pace

    def open(self) -> "OpenAI":
        """A connection for some requests, to be closed after them; nothing is sent.

        Raises:
            UserError: If the library is not there, or the environment keeps it from working.
        """
        try:
            import openai
        except ImportError as error:
            raise UserError(
                "an endpoint as guide needs the package openai; run `pip install 'gistembed[endpoint]'`"
            ) from error
        try:
            return openai.OpenAI(
                base_url=self.base_url,
                # Each request brings its own; a client without one would look for others in the environment.
                api_key="none",
                timeout=self.timeout_seconds,
                max_retries=self.max_retries,
                http_client=openai.DefaultHttpxClient(
                    follow_redirects=False, event_hooks={"request": [self._wait]}
                ),
            )
        # Addresses, proxies and certificates are read here, and may hold passwords of their own.
        except Exception as error:
            raise UserError(
                f"{self.base_url}: can't be asked ({type(error).__name__}); check the address, and the "
                "proxies and certificates that the environment names"
            ) from None

    def ask(
        self, connection: "OpenAI", texts: Sequence[str], prompt: str, length: int | None
    ) -> Float64[np.ndarray, "texts dim"]:
        """The vectors of one request, in the order of its texts.

        Args:
            connection: What `open` gave.
            texts: At least one raw text.
            prompt: What is put before each text.
            length: Length that each vector must have; None if it isn't known yet.

        Raises:
            UserError: If the endpoint can't be reached, refuses, or answers with something else than one
                vector of the right length for each text.
        """
        from openai import Omit, OpenAIError

        key = self._key()
        headers = {
            "Authorization": f"Bearer {key}" if key else Omit(),
            # Read from the environment by the library; they are nobody else's business.
            "OpenAI-Organization": Omit(),
            "OpenAI-Project": Omit(),
        }
        try:
            answer = connection.embeddings.with_raw_response.create(
                input=[prompt + text for text in texts],
                model=self.model,
                dimensions=Omit() if self.dimensions is None else self.dimensions,
                encoding_format="float",
                extra_headers=headers,
            )
        except OpenAIError as error:
            problem = self._problem(error, texts, key)
        except UnicodeEncodeError:
            broken = next((text for text in texts if re.search("[\ud800-\udfff]", text)), texts[0])
            problem = f"{_among([broken])} can't be sent: half a surrogate pair is no text; mend or drop it"
        else:
            return self._vectors(answer.content, texts, key, length)
        # Not where it was caught: nothing of this error leads back to the request and its key.
        raise UserError(f"{self.base_url}: {problem}")

    def _wait(self, _request: object) -> None:
        if self.requests_per_minute is not None:
            self.pace.wait(self.requests_per_minute)

    def _key(self) -> str:
        key = os.environ.get(self.key_variable, "").strip()
        if not re.fullmatch(r"[!-~]*", key):
            raise UserError(
                f"{self.key_variable}: holds a space or another sign that no key has; set it to the key alone"
            )
        return key

    def _vectors(
        self, content: bytes, texts: Sequence[str], key: str, length: int | None
    ) -> Float64[np.ndarray, "texts dim"]:
        """What an answer holds, in the order of the texts."""
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = content.decode(errors="replace")
        items = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError(
                f"{self.base_url}: answers with something else than embeddings ({_said(answer, key)}); "
                f"give the base URL of an OpenAI-compatible endpoint, such as {EXAMPLE_URL}"
            )
        if len(items) != len(texts):
            raise UserError(
                f"{self.base_url}: answers with {len(items)} vectors for {len(texts)} texts; "
                "try fewer texts in a request or another endpoint"
            )
        places = [item.get("index") for item in items]
        if any(type(place) is not int for place in places) or sorted(places) != list(range(len(texts))):
            raise UserError(
                f"{self.base_url}: does not say which vector belongs to which text (index: "
                f"{_said(places, key)}); ask for one text in a request or choose another endpoint"
            )
        vectors = dict(zip(places, (item.get("embedding") for item in items), strict=True))
        rows = [self._row(vectors[place], text) for place, text in enumerate(texts)]
        wanted = length or len(rows[0])
        for row, text in zip(rows, texts, strict=True):
            if len(row) != wanted:
                raise UserError(
                    f"{self.base_url}: gives a vector of {len(row)} numbers instead of {wanted} for the text "
                    f"{quoted(text)}; ask for dimensions that {self.model} has"
                )
        return np.stack(rows)

    def _row(self, values: object, text: str) -> Float64[np.ndarray, " dim"]:
        try:
            row = np.asarray(values if isinstance(values, list) else None)
        except ValueError:
            row = np.empty(0)
        if row.ndim != 1 or not len(row) or row.dtype.kind not in "iuf":
            raise UserError(
                f"{self.base_url}: gives something else than a list of numbers for the text {quoted(text)}; "
                "drop that text or choose another endpoint"
            )
        return row.astype(np.float64)

    def _problem(self, error: "OpenAIError", texts: Sequence[str], key: str) -> str:
        """What went wrong and what to do, in the middle of a line."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        times = f"in up to {self.max_retries + 1} attempts" if self.max_retries else "in one attempt"
        if isinstance(error, APITimeoutError):
            return (
                f"no answer within {self.timeout_seconds:g} seconds {times}; "
                "allow more time or ask for fewer texts in a request"
            )
        if isinstance(error, APIConnectionError):
            reason = _said(str(error.__cause__ or error), key)
            return f"can't be reached {times} ({reason}); check the address and the network, then start again"
        if isinstance(error, APIStatusError):
            return self._refusal(error, texts, key, times)
        return f"fails ({_said(str(error), key)}); start again later"

    def _refusal(self, error: "APIStatusError", texts: Sequence[str], key: str, times: str) -> str:
        status = error.status_code
        # What is said about a wrong key often holds a part of it.
        if status == 401:
            if key:
                return f"refuses the key in {self.key_variable}; set that environment variable to a valid one"
            return f"wants a key; put it into the environment variable {self.key_variable}"
        said = _said(error.body or "", key)
        reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if 300 <= status < 400:
            target = _said(error.response.headers.get("location", "").partition("?")[0], key)
            return f"sends to another address ({target}), which is not followed; give the right base URL"
        if status == 403:
            return f"refuses access ({reason}); check what the key in {self.key_variable} may do"
        if status in (404, 405):
            return (
                f"has no embeddings of {self.model} ({reason}); check the model's name, and that the base "
                f"URL is one such as {EXAMPLE_URL}"
            )
        if status == 429:
            return f"takes no more requests {times} ({reason}); wait, or allow fewer requests per minute"
        if status >= 500 or status in (408, 409):
            return f"fails {times} ({reason}); start again later"
        return f"refuses {_among(texts)} ({reason}); mend what it names, or ask for fewer texts in a request"


def _among(texts: Sequence[str]) -> str:
    """The texts of a request by the one that an endpoint is most likely to stumble over."""
    empty = next((text for text in texts if not text.strip()), None)
    suspect = max(texts, key=len) if empty is None else empty
    if len(texts) == 1:
        return f"the text {quoted(suspect)}"
    return f"{len(texts)} texts, {'the longest' if empty is None else 'one'} of them {quoted(suspect)}"


def _said(body: object, key: str) -> str:
    """What an answer says, on one line and without the key."""
    while isinstance(body, dict) and (part := body.get("error") or body.get("message") or body.get("detail")):
        body = part
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    # Before it is cut, so that no part of the key is left.
    text = text.replace(key, "[key]") if key else text
    text = one_line(" ".join(text.split()))
    return text if len(text) <= _SAID_LENGTH else text[: _SAID_LENGTH - 1] + "…"
