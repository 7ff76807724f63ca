"""What stops or warns a training: numbers in, findings out; `Guards` brings the two together."""

from gistembed.train.guards.callback import Guards

__all__ = ["Guards"]
