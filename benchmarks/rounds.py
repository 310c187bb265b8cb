"""What the rounds through a large archive cost: at rest, whole, and after a move."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import MB, Row, Table, milliseconds, python, times, usage
from benchmarks.queries import make_index
from benchmarks.stock import make_files, spread_over_packs
from drumwatchd.archive.archive import Archive, ArchiveSettings
from drumwatchd.archive.manifest import Manifests
from drumwatchd.archive.marker import create_marker
from drumwatchd.config.model import DEFAULT_IGNORE
from drumwatchd.inbox.rescan import ignore_matcher
from drumwatchd.index.store import open_index
from drumwatchd.rounds import HINT_SECONDS, WHOLE_EVERY, Rounds, RoundSettings

RESCAN_SECONDS = 300.0
WANTED_SHARE = 0.002
ROUNDS = 5


def measure(quick: bool) -> list[Table]:
    """An archive of a few large folders, and one of many small ones."""
    rows = 500 if quick else 100_000
    return [_table("flat", rows), _table("in packs", rows)]


def _table(layout: str, rows: int) -> Table:
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        home = Path(name)
        make_index(home / "index.sqlite3", rows)
        if layout != "flat":
            spread_over_packs(home / "index.sqlite3")
        create_marker(str(home / "archive"), "id")
        folders = make_files(home / "index.sqlite3", home / "archive")
        # In a process of its own: what it holds at the end is the rounds' alone.
        done = subprocess.run(
            python("-m", "benchmarks.rounds", name), stdout=subprocess.PIPE, check=True
        )
        found = json.loads(done.stdout)
    bare, rest, whole, moved = (found[key] for key in ("walk", "rest", "whole", "moved"))
    share = ((WHOLE_EVERY - 1) * rest + whole) / WHOLE_EVERY / RESCAN_SECONDS
    grown = found["memory"]
    table_rows = [
        Row("a rescan at rest", milliseconds(rest), milliseconds(bare), times(rest / bare)),
        Row(
            f"a whole one, each {WHOLE_EVERY}th",
            milliseconds(whole), milliseconds(bare), times(whole / bare),
        ),
        Row("a move to another class, by its events",
            milliseconds(moved), milliseconds(bare), times(moved / bare)),
        Row(
            f"share of a core, one rescan every {RESCAN_SECONDS:g} s", f"{100 * share:.4f} %",
            wanted=f"≤ {100 * WANTED_SHARE:g} %", met=share <= WANTED_SHARE,
        ),
        Row("memory that the rounds keep", f"{grown / MB:.1f} MB"),
    ]  # fmt: skip
    caption = (
        f"{rows:,} files in {folders:,} folders, all known to the index, in the page cache; CPU time, "
        f"the least of {ROUNDS}"
    )
    return Table(f"Rounds through an archive, {layout}", "`os.walk` of it", table_rows, caption)


def _measure_here(home: Path) -> dict[str, float]:
    root = str(home / "archive")
    bare = _least(lambda: sum(len(files) for _, _, files in os.walk(root)))
    index = open_index(str(home / "index.sqlite3"), "sha256")
    settings = ArchiveSettings(root, "move", "{label}/{stem}{suffix}", "sha256", "id")
    archive = Archive(settings, index, Manifests(root, index))
    ignored = ignore_matcher(DEFAULT_IGNORE)
    rounds = Rounds(index, archive, RoundSettings(ignored=ignored, is_watched=False), lambda: None)
    with index.reading() as connection:  # its page cache is the daemon's, with or without rounds
        connection.execute("SELECT sum(length(source)) FROM samples NOT INDEXED").fetchone()
    before = usage(os.getpid()).rss
    now = iter(range(0, 10**9, 400))
    rounds.step(next(now))
    rest = _least(lambda: rounds.step(next(now)))
    memory = usage(os.getpid()).rss - before

    def whole() -> None:
        rounds._looks = 0
        rounds.step(next(now))

    found = {"walk": bare, "rest": rest, "memory": memory, "whole": _least(whole)}
    found["moved"] = _move(rounds, home, next(now))
    rounds.stop()
    index.close()
    return found


def _least(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent)


def _move(rounds: Rounds, home: Path, now: float) -> float:
    old = next(path for path in sorted((home / "archive" / "Kick").rglob("*.wav")))
    old.write_bytes(b"boom")
    new = home / "archive" / "Snare" / "moved.wav"
    old.rename(new)
    for path in (old, new):
        rounds._hint(str(path))
    rounds.step(now)
    started = time.process_time()
    rounds.step(now + HINT_SECONDS)
    return time.process_time() - started


if __name__ == "__main__":
    json.dump(_measure_here(Path(sys.argv[1])), sys.stdout)
