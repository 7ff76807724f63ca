"""An OpenAI-compatible embeddings endpoint on this machine, which can be told to misbehave."""

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSIONS = 8


@dataclass(frozen=True)
class Request:
    """What arrived; the names of headers in lower case."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)

    @property
    def texts(self) -> list[str]:
        return self.body["input"]


class Server(ThreadingHTTPServer):
    """Answers with `vector_of` each text; the first requests are answered as `script` says, if it says so."""

    def __init__(self) -> None:
        """On any free port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Request] = []
        self.script: list[Callable[[_Handler, Request], None]] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def texts(self) -> list[list[str]]:
        """The texts of each request."""
        return [request.texts for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
        self.server.requests.append(request)
        answer = self.server.script.pop(0) if self.server.script else embeddings()
        answer(self, request)

    def reply(self, status: int, content: bytes, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


Answer = Callable[[_Handler, Request], None]


@contextmanager
def running() -> Iterator[Server]:
    """A server that runs meanwhile."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


def vector_of(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    """A vector that only this very text has, to the byte; about three times as long as a unit vector."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest())
    return 3 * np.random.default_rng(seed).standard_normal(dimensions) / np.sqrt(dimensions)


def unit_vector_of(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    vector = vector_of(text, dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def embeddings(
    change: Callable[[list[dict[str, Any]]], list[Any]] = lambda items: items,
    *,
    dimensions: int | None = None,
) -> Answer:
    """The right answer, or what a change makes of its list."""

    def answer(handler: _Handler, request: Request) -> None:
        size = dimensions or request.body.get("dimensions", DIMENSIONS)
        items = [
            {"object": "embedding", "index": index, "embedding": vector_of(text, size).tolist()}
            for index, text in enumerate(request.texts)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        content = {"object": "list", "data": change(items), "model": request.body["model"], "usage": usage}
        handler.reply(200, json.dumps(content).encode())

    return answer


def vector(place: int, value: object) -> Answer:
    """The right answer, but for one vector."""

    def change(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        items[place]["embedding"] = value
        return items

    return embeddings(change)


def status(code: int, content: object = "", headers: Mapping[str, str] = {}) -> Answer:
    """An answer of another kind: bytes as they are, all else as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda handler, _request: handler.reply(code, raw, headers)


def failure(code: int, message: str, headers: Mapping[str, str] = {}) -> Answer:
    """An error in OpenAI's shape."""
    return status(code, {"error": {"message": message, "type": "error", "code": None}}, headers)


def drop(handler: _Handler, _request: Request) -> None:
    """No answer; the connection ends."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def stop_halfway(handler: _Handler, _request: Request) -> None:
    """The beginning of an answer; the connection ends before its end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    drop(handler, _request)


def silence(handler: _Handler, _request: Request) -> None:
    """No answer, and the connection stays open."""
    handler.close_connection = True
    handler.server.ended.wait(10)
