"""What a run is: one frozen configuration, from flags and TOML in, resolved file out."""

from gistembed.config.load import read_toml, run_config
from gistembed.config.run import OF_GUIDES, RunConfig

__all__ = ["OF_GUIDES", "RunConfig", "read_toml", "run_config"]
