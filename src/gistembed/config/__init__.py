"""What a run is: one frozen configuration, from flags and TOML in, resolved file out."""

from gistembed.config.load import read_toml, run_config
from gistembed.config.run import RunConfig

__all__ = ["RunConfig", "read_toml", "run_config"]
