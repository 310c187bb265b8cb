"""How many small files `scan` gets through in a second, beside only reading and decoding them."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import samples
from benchmarks.measuring import Row, Table, milliseconds, times
from drumwatchd.analysis import audio
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.files import digest_of
from drumwatchd.inbox.watcher import file_system_of
from home import Home

WORKERS = {"one per core": 0, "one": 1}


def measure(quick: bool) -> list[Table]:
    """One `scan` with as many workers as there are cores, and one with a single worker."""
    count = 10 if quick else 3_000
    rows = []
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        made = samples.files(Path(name) / "made", count)
        _read_and_decode(made[:10])  # imports and first calls are no part of it
        for workers, number in WORKERS.items():
            bare = _read_and_decode(made)
            wall, cpu = _scan(Path(name) / f"home {number}", made, number)
            rows.append(
                Row(
                    f"`scan`, workers: {workers}",
                    f"{count / wall:.0f} files/s (CPU {milliseconds(cpu / count)} a file)",
                    f"{count / bare:.0f} files/s",
                    times(bare / wall),
                )
            )
        disk = file_system_of(name)
    caption = (
        f"{count:,} {samples.source()}, from the start of the command to its end, workers' start "
        f"included; mode move on one file system, {disk}"
    )
    baseline = "the same files only read, digested and decoded, in one process"
    return [Table("Throughput", baseline, rows, caption)]


def _scan(folder: Path, made: Sequence[Path], workers: int) -> tuple[float, float]:
    """Seconds of wall and of processor time, the daemon's children included."""
    keys = f"worker_count = {workers}"
    home = Home(folder, inbox="settle_seconds = 0.0", classify=keys)
    for path in made:
        shutil.copyfile(path, home.inbox / path.name)
    os.sync()
    before, started = _children_cpu(), time.perf_counter()
    done = home.drumwatchd("scan")
    wall = time.perf_counter() - started
    assert f"{len(made)} filed" in done.stderr, done.stderr[-2000:]
    return wall, _children_cpu() - before


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read_and_decode(paths: Sequence[Path]) -> float:
    spec = read_card(shipped_model()).features
    started = time.perf_counter()
    for path in paths:
        digest_of(str(path), "sha256")
        audio.load(str(path), spec)
    return time.perf_counter() - started
