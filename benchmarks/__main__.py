"""``python -m benchmarks [NAME…] [--quick] [--write]``: measure, and print one table each."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Sequence

from benchmarks import ROOT, report
from benchmarks.measuring import Table

NAMES = (
    "features",
    "latency",
    "rest",
    "rounds",
    "status",
    "queries",
    "throughput",
    "archives",
    "loops",
    "similar",
    "twins",
    "cluster",
)
DOCUMENTS = dict.fromkeys(NAMES, ROOT / "docs" / "performance.md") | {
    "loops": ROOT / "docs" / "reference" / "misc.md",
    "cluster": ROOT / "docs" / "scaling.md",
    "similar": ROOT / "docs" / "how-to" / "similar.md",
    "twins": ROOT / "docs" / "how-to" / "similar.md",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that are named, all of them by default."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.quick and asked.write:
        parser.error("--quick measures nothing that is worth writing down")
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    for name in asked.names or NAMES:
        tables: list[Table] = importlib.import_module(f"benchmarks.{name}").measure(asked.quick)
        print(report.as_text(tables), flush=True)
        if asked.write:
            report.write(DOCUMENTS[name], name, tables)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--write", action="store_true", help="put the tables into the docs")
    return parser


def prepare_environment() -> None:
    """Measure what an installed program is: its bytecode stored, one thread where one is meant."""
    from drumwatchd.analysis.workers import SINGLE_THREADED

    os.environ.update(SINGLE_THREADED)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


if __name__ == "__main__":
    prepare_environment()
    main()
