"""Lets each worker of a Ray cluster send its process id as its key, so that an endpoint can tell who asks."""

import os


def begin() -> None:
    """What each worker process does first."""
    os.environ["OPENAI_API_KEY"] = str(os.getpid())
