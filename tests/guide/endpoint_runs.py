"""Texts for workers to encode by an endpoint, and what the store then holds; a script that leads workers.

    python -m tests.guide.endpoint_runs URL STORE

An endpoint, because a worker that loads a model takes longer than a test.
"""

import sys
from pathlib import Path

import numpy as np
from tests.guide.endpoint_server import DIMENSIONS, unit_vector_of

from gistembed.guide import GuideIdentity, GuideSettings, GuideStore, Keys, open_guide
from gistembed.guide.encoding.encode import TextRun
from gistembed.guide.encoding.workers import WorkerSettings, encode_in_processes

PIECE_TEXTS = 4
TEXTS = [f"text {number}" for number in range(40)]


def settings_of(url, root):
    """What the workers have to know."""
    guide = GuideSettings(f"{url}#tiny", dimensions=DIMENSIONS)
    identity = GuideIdentity(open_guide(guide).identity, None, DIMENSIONS)
    return WorkerSettings(guide, root, identity, "tiny")


def run_of(texts):
    """The texts as documents without a prompt."""
    return TextRun("document", list(texts), Keys.of(texts, prompt=""), None)


def held(settings, texts=TEXTS):
    """Those texts that the store has, each with the right vector."""
    store = GuideStore(settings.root, settings.identity)
    assert store.summary().damaged == {}
    rows = store.find(Keys.of(texts, prompt=""))
    there = [text for text, row in zip(texts, rows, strict=True) if row >= 0]
    wanted = [unit_vector_of(text) for text in there]
    np.testing.assert_allclose(store.read(rows[rows >= 0]), np.reshape(wanted, (-1, DIMENSIONS)), atol=1e-3)
    return there


if __name__ == "__main__":
    from gistembed.guide.encoding import workers

    workers.PIECE_TEXTS = PIECE_TEXTS
    encode_in_processes(settings_of(sys.argv[1], Path(sys.argv[2])), [run_of(TEXTS)], 2)
