"""What the daemon costs while there is nothing to do."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import samples
from benchmarks.latency import filed_line, log_as_json
from benchmarks.measuring import MB, Row, Table, Usage, children, command_line, python, times, usage
from benchmarks.queries import make_index
from benchmarks.stock import make_files
from home import Home, wait_for

WORKER_IDLE_SECONDS = 2.0
RESCAN_SECONDS = 10.0  # 300 by default
CALM_SECONDS = 5.0  # the last manifest is made durable, the last live file written
WANTED_RSS, WANTED_SHARE = 45 * MB, 0.002


def measure(quick: bool) -> list[Table]:
    """File one sample, wait until its worker is gone, then watch the daemon do nothing."""
    rows, seconds = (1_000, 1.0) if quick else (100_000, 120.0)
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        home = _stocked_home(Path(name), rows)
        with home.running() as process, _sleeper() as baseline:
            (made,) = samples.files(home.folder / "made", 1)
            made.rename(home.inbox / made.name)
            wait_for(lambda: filed_line(home, made.name), "a sample to be filed", step=0.01)
            busy = usage(process.pid)
            gone_after = _seconds_until_workers_are_gone(process.pid)
            time.sleep(CALM_SECONDS)
            table = _watch(process.pid, baseline.pid, seconds)
    table_rows = [
        *table,
        Row("main process with a worker: resident memory", _megabytes(busy.rss)),
        Row(
            f"workers gone after being idle (`worker_idle_seconds` = {WORKER_IDLE_SECONDS:g})",
            f"{gone_after:.1f} s",
            wanted="gone",
            met=gone_after <= WORKER_IDLE_SECONDS + 3.0,
        ),
    ]
    caption = (
        f"Over {seconds:g} s, after a sample was filed and its worker had ended; {rows:,} rows in "
        f"the index and as many files in the archive, an empty inbox, a rescan of both every "
        f"{RESCAN_SECONDS:g} s (by default, every 300 s)"
    )
    return [Table("At rest", "`python -c 'import time; time.sleep(…)'`", table_rows, caption)]


def _stocked_home(folder: Path, rows: int) -> Home:
    """A home whose archive is known to have been filled long ago."""
    home = Home(
        folder / "home",
        inbox=f"rescan_seconds = {RESCAN_SECONDS}",
        archive=f"rescan_seconds = {RESCAN_SECONDS}",
        classify=f"worker_idle_seconds = {WORKER_IDLE_SECONDS}",
    )
    log_as_json(home)
    home.drumwatchd("scan")  # makes the index and marks the archive
    make_index(home.folder / "state" / "index.sqlite3", rows)
    make_files(home.folder / "state" / "index.sqlite3", home.archive)
    home.drumwatchd("scan")  # mends the manifests
    return home


@contextlib.contextmanager
def _sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(python("-c", "import time; time.sleep(3600)"))
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _seconds_until_workers_are_gone(pid: int) -> float:
    idle_since = time.monotonic()
    wait_for(lambda: not _children(pid, "spawn_main"), "the workers to end")
    return time.monotonic() - idle_since


def _children(pid: int, what: str) -> list[int]:
    return [child for child in children(pid) if what in command_line(child)]


def _watch(pid: int, baseline_pid: int, seconds: float) -> list[Row]:
    pids = (pid, baseline_pid)
    begin, before = time.monotonic(), [usage(each) for each in pids]
    time.sleep(seconds)
    after, length = [usage(each) for each in pids], time.monotonic() - begin
    shares = [_share(first, last, length) for first, last in zip(before, after, strict=True)]
    wakes = [
        (last.switches - first.switches) / length for first, last in zip(before, after, strict=True)
    ]
    here, bare = after
    return [
        Row(
            "main process: resident memory (RSS)",
            _megabytes(here.rss), _megabytes(bare.rss), times(here.rss / bare.rss),
            f"≤ {WANTED_RSS / MB:g} MB", here.rss <= WANTED_RSS,
        ),
        Row(
            "- its share of it (PSS)",
            _megabytes(here.pss), _megabytes(bare.pss), times(here.pss / bare.pss),
        ),
        *_trackers(pid),
        Row(
            "main process: share of a core",
            f"{100 * shares[0]:.4f} %", f"{100 * shares[1]:.4f} %",
            wanted=f"≤ {100 * WANTED_SHARE:g} %", met=shares[0] <= WANTED_SHARE,
        ),
        Row("- wakes per second", f"{wakes[0]:.2f}", f"{wakes[1]:.2f}"),
        Row("open descriptors", str(here.descriptors), str(bare.descriptors)),
    ]  # fmt: skip


def _trackers(pid: int) -> list[Row]:
    """Python's own helper beside spawned processes; it stays when they have gone."""
    found = [usage(child) for child in _children(pid, "resource_tracker")]
    return [
        Row("multiprocessing's resource tracker: RSS", _megabytes(each.rss)) for each in found
    ] + [Row("- its share of it (PSS)", _megabytes(each.pss)) for each in found]


def _share(first: Usage, last: Usage, length: float) -> float:
    return (last.cpu_seconds - first.cpu_seconds) / length


def _megabytes(count: float) -> str:
    return f"{count / MB:.1f} MB"
