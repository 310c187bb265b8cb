"""How soon a fresh process answers: `status` and `ls` on an index of some size."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.measuring import Row, Table, interleaved, milliseconds, python, times
from benchmarks.queries import WANTED_STATUS, make_home, make_index

BARE = "pass"
IMPORTS = "import click, sqlite3, msgspec, tomli"
COMMANDS = ("status --json", "status", "ls --limit 10", "ls --json --limit 10")


def measure(quick: bool) -> list[Table]:
    """Start each command and both baselines in turn."""
    rows, rounds = (1_000, 1) if quick else (100_000, 20)
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        home = Path(name)
        make_home(home)
        make_index(home / "index.sqlite3", rows)
        program = python("-m", "drumwatchd", "--config", str(home / "config.toml"))
        lines = [python("-c", BARE), python("-c", IMPORTS)]
        lines += [[*program, *command.split()] for command in COMMANDS]
        bare, imports, *ours = map(statistics.median, interleaved(lines, rounds))
    table_rows = [
        Row(
            f"`{command}`",
            milliseconds(seconds),
            milliseconds(bare),
            times(seconds / bare),
            f"≤ {WANTED_STATUS:g} s",
            seconds <= WANTED_STATUS,
        )
        for command, seconds in zip(COMMANDS, ours, strict=True)
    ]
    table_rows.append(
        Row(
            f"`python -c '{IMPORTS}'`",
            milliseconds(imports),
            milliseconds(bare),
            times(imports / bare),
        )
    )
    caption = (
        f"Wall time of whole processes, the median of {rounds}, files in the page cache; "
        f"{rows:,} rows in the index, no daemon running"
    )
    return [Table("Cold start", f"`python -c {BARE}`", table_rows, caption)]
