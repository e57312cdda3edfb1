"""``python -m benchmarks [--quick] [--threads=N] [name ...]``: runs the benchmarks and prints one table."""

import argparse
import importlib
import os
import pkgutil
import time

import benchmarks
from benchmarks.measuring import Row, Settings, machine

SHARED = ("__main__", "measuring", "same_numbers", "studies")


def names() -> list[str]:
    """The modules with a function ``measure(settings) -> list[Row]``."""
    return sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in SHARED)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which to run, all by default: {', '.join(names())}")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to see that all runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="[%(default)s]")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(names())):
        parser.error(f"{', '.join(unknown)}: no such benchmark; valid: {', '.join(names())}")
    settings = Settings(arguments.threads, arguments.quick)

    import torch

    torch.set_num_threads(settings.threads)
    print(machine(settings) + ("; QUICK: the numbers mean nothing" if settings.quick else ""), flush=True)
    for name in arguments.names or names():
        start = time.perf_counter()
        rows: list[Row] = importlib.import_module(f"benchmarks.{name}").measure(settings)
        print(f"\n{name} ({time.perf_counter() - start:.0f} s)")
        for row in rows:
            aim = f"   aim: {row.aim}" if row.aim else ""
            print(f"  {row.what:<62} {row.result:<24}{aim}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
