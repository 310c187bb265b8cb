"""`status`, `ls` and `show` on a large index that is made on the fly.

    python -m benchmarks.queries                 # a million samples, about 1.3 GB below /tmp
    python -m benchmarks.queries --rows 100000

Every figure is a fresh process, as a person at a shell meets it: the median of several rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import ROOT, report
from benchmarks.measuring import Row, Table, milliseconds, python, times
from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.index.schema import migrate

WANTED_STATUS, WANTED_QUERY = 0.25, 1.0
STATUS = ["status --json", "status"]
QUERIES = [
    "ls --limit 20", "ls added- --limit 20", "ls digest:a1b2", "ls added:2h..",
    "ls confidence:..0.001", "ls label:ride added:1d..", "ls label:ride", "ls fine:rim",
    "ls kick 0999", "ls name::0999[0-9]+", "ls größe", "ls path:{root}/Ride", "show {digest}",
    "show {source}",
]  # fmt: skip
# Nearly all of the index comes out: what counts is how soon the first line does.
LONG = ["ls confidence:..0.6", "ls", "ls name+", "ls --json label:ride"]


class Timing(NamedTuple):
    """Of one process.

    Attributes:
        first: seconds to its first line.
        whole: seconds to its end.
        cpu: seconds of processor time.
        lines: that it printed.
    """

    first: float
    whole: float
    cpu: float
    lines: int


def measure(quick: bool) -> list[Table]:
    """A million samples, or few."""
    return measure_rows(2_000, 1) if quick else measure_rows(1_000_000, 5)


def measure_rows(rows: int, rounds: int, folder: str | None = None) -> list[Table]:
    """Make an index of so many samples, and time the commands on it."""
    with tempfile.TemporaryDirectory(prefix="drumwatchd-", dir=folder) as name:
        home = Path(name)
        make_home(home)
        digest, source = make_index(home / "index.sqlite3", rows)
        words = {"root": str(home / "archive"), "digest": digest[:10], "source": source}
        megabytes = (home / "index.sqlite3").stat().st_size / 1e6
        results = time_commands([*STATUS, *QUERIES, *LONG], home / "config.toml", words, rounds)
    caption = (
        f"Wall time of whole processes, the median of {rounds}, and their processor time; "
        f"{rows:,} samples in an index of {megabytes:,.0f} MB, SQLite {sqlite3.sqlite_version}"
    )
    return [Table("Queries", "`python -c pass` in the same round", results, caption)]


def time_commands(
    commands: Sequence[str], config: Path, words: dict[str, str], rounds: int
) -> list[Row]:
    """One row per command."""
    rows = []
    for command in commands:
        arguments = [word.format(**words) for word in command.split()]
        line = python("-m", "drumwatchd", "--config", str(config), *arguments)
        # In turn: what disturbs one disturbs both. The first turn only warms the caches.
        pairs = [(once(line), once(python("-c", "pass"))) for _ in range(rounds + 1)][1:]
        ours, bare = (median(timings) for timings in zip(*pairs, strict=True))
        rows.append(_row(command.format(root="ROOT", digest="DIGEST", source="FILE"), ours, bare))
        print(f"\r{len(rows)}/{len(commands)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def _row(command: str, ours: Timing, bare: Timing) -> Row:
    here = f"{milliseconds(ours.whole)} (CPU {milliseconds(ours.cpu)})"
    what, judged = f"`{command}`", ours.whole
    wanted = WANTED_STATUS if command in STATUS else WANTED_QUERY
    if command not in STATUS:
        what += f", {ours.lines:,} line{'s' * (ours.lines != 1)}"
    if command in LONG:
        here, judged = f"first {milliseconds(ours.first)}, all {here}", ours.first
    return Row(
        what, here, milliseconds(bare.whole), times(ours.whole / bare.whole),
        f"≤ {milliseconds(wanted)}", judged <= wanted,
    )  # fmt: skip


def make_home(folder: Path) -> None:
    """Write the smallest configuration."""
    (folder / "inbox").mkdir()
    (folder / "archive").mkdir()
    (folder / "config.toml").write_text(
        '[[inbox]]\npath = "inbox"\n[archive]\nroot = "archive"\n[index]\npath = "index.sqlite3"\n'
    )


def make_index(path: Path, rows: int) -> tuple[str, str]:
    """Fill an index as a long-lived daemon would have; returns the last sample's digest and source."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    migrate(connection)
    connection.execute("BEGIN")
    made = samples(rows, str(path.parent / "inbox"))
    connection.executemany(
        """INSERT INTO samples (digest, state, label, fine, confidence, path, source, inbox, pack, name,
                                size, mtime_ns, device, inode, mode, reason, model, duration, added)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, ?, 'move', ?, 'drumwatchd-1', ?, ?)""",
        made,
    )  # fmt: skip
    connection.execute(
        """INSERT INTO analyses SELECT id, '[["Kick", 0.91], ["Tom", 0.05], ["Conga", 0.01]]',
           '{"Kick": 0.91, "Tom": 0.05, "misc": 0.04}', randomblob(256) FROM samples"""
    )
    connection.execute(
        """INSERT INTO history (digest, at, event, path)
           SELECT digest, added, iif(id % 20, 'filed', 'duplicate'), path FROM samples"""
    )
    connection.execute("COMMIT")
    last = connection.execute("SELECT digest, source FROM samples ORDER BY id DESC").fetchone()
    connection.close()
    return str(last[0]), str(last[1])


def samples(rows: int, inbox: str) -> Iterator[tuple[object, ...]]:
    """Rows whose labels, sizes and times are spread as in a real library; one every half minute."""
    pick, now = random.Random(1), time.time()
    for number in range(rows):
        fine = pick.choice(FINE_LABELS)
        label, pack = CANONICAL_OF[fine], f"Pack {number // 200:05d}"
        name = f"{fine} {number:07d}.wav" if number % 50 else f"{fine} Größe {number}.wav"
        state = "quarantined" if number % 500 == 499 else "filed"
        yield (
            hashlib.sha256(b"%d" % number).hexdigest(), state, label, fine, pick.random(),
            f"{label}/{name}", f"{inbox}/{pack}/{name}", inbox, pack, name, pick.randrange(10**6),
            number, f"{label} at 0.90", pick.random() * 3, now - (rows - number) * 30,
        )  # fmt: skip


def median(timings: Sequence[Timing]) -> Timing:
    """The middle of each figure."""
    return Timing(*(statistics.median(values) for values in zip(*timings, strict=True)))


def once(command: Sequence[str]) -> Timing:
    """Run a program and read all that it prints; it must succeed."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        lines = int(bool(process.stdout.readline()))
        first = time.perf_counter() - begin
        while chunk := process.stdout.read(1 << 20):
            lines += chunk.count(b"\n")
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    whole = time.perf_counter() - begin
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    return Timing(first, whole, used.ru_utime + used.ru_stime, lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queries", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where the temporary index is made")
    asked = parser.parse_args()
    print(report.as_text(measure_rows(asked.rows, asked.rounds, asked.folder)))


if __name__ == "__main__":
    main()
