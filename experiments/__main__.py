"""Runs experiments and writes their tables: `python -m experiments [NAME...] [--scale small]`."""

import argparse
import importlib
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from gistembed.errors import Terminated, UserError

NAMES = (
    "first_results",
    "temperature",
    "guides",
    "domains",
    "overhead",
    "batch_size",
    "students",
    "languages",
    "two_models",
    "mask_options",
    "planted_noise",
    "mask_curve",
)

_SCALE, _DEFAULT_OUT = "small", "experiments/results"


def main() -> None:
    """Run those that are named, or all; what an earlier call finished is not run again."""
    parser = argparse.ArgumentParser(prog="experiments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--scale", default=_SCALE, help=f"small, full, or a TOML file (default: {_SCALE})")
    parser.add_argument("--seeds", type=int, help="in place of the scale's")
    parser.add_argument("--cache", type=Path, default=Path("demo/cache"), help="data and models")
    parser.add_argument("--work", type=Path, default=Path("runs/experiments"), help="what is finished")
    parser.add_argument("--out", type=Path, help=f"folder of the tables (default: {_DEFAULT_OUT})")
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES:
            parser.error(f"{name}: no such experiment; there are {', '.join(NAMES)}")
    signal.signal(signal.SIGTERM, _end)
    from benchmarks.tables import write_table

    from experiments.harness import Lab, read_scale
    from experiments.harness.page import RESULTS, refresh
    from experiments.harness.training import quiet_libraries

    try:
        scale = read_scale(options.scale, options.seeds)
        if options.out is None and (options.scale != _SCALE or scale != read_scale(_SCALE)):
            raise UserError(
                f"--out: where the tables go; {_DEFAULT_OUT} and docs/experiments.md have those of "
                f"--scale {_SCALE} with its own seeds"
            )
        quiet_libraries()
        lab = Lab(scale, options.cache, options.work / options.scale.replace("/", "-"))
        for name in options.names or NAMES:
            experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
            print(f"{name}: {experiment.question}", flush=True)
            started = time.perf_counter()
            rows = experiment.run(lab)
            setting = {"scale": options.scale, "seeds": scale.seeds}
            write_table((options.out or RESULTS) / f"{name}.csv", rows, setting)
            for row in rows:
                print("  ", *(f"{column}={value}" for column, value in row.items() if value != ""))
            print(f"  {(time.perf_counter() - started) / 60:.1f} min", flush=True)
        if options.out is None:
            refresh()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _end(*_: object) -> NoReturn:
    """End as after Ctrl-C, so that no training is left without its parent."""
    raise Terminated


if __name__ == "__main__":
    main()
