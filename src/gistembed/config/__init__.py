"""What a run is: one frozen configuration, from flags and TOML in, resolved file out."""

from gistembed.config.load import read_toml, run_config
from gistembed.config.run import OF_GUIDES, RunConfig
from gistembed.config.student import Freeze, LoraSettings

__all__ = ["OF_GUIDES", "Freeze", "LoraSettings", "RunConfig", "read_toml", "run_config"]
