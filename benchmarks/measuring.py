"""What a table is, and how time, memory and starts are measured. Linux: it reads /proc."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

MB = 1e6
LOAD_BEFORE = os.getloadavg()[0]  # what else the machine was at in the minute before the start


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        what: was measured.
        here: what it came to, with its unit.
        baseline: the same for the baseline, in the same run.
        ratio: of the two.
        wanted: the goal, if there is one.
        met: whether `here` (or `ratio`) meets it.
    """

    what: str
    here: str
    baseline: str = ""
    ratio: str = ""
    wanted: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The figures of one benchmark; `baseline` says against what, `caption` with what."""

    title: str
    baseline: str
    rows: Sequence[Row]
    caption: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used and holds, as /proc tells it.

    Attributes:
        rss, pss: resident bytes, and with shared pages divided among those who share them.
        cpu_seconds: of all living threads since their start, user and system.
        switches: how often they gave the processor away by themselves, which is how often they woke.
        descriptors: open.
    """

    rss: float
    pss: float
    cpu_seconds: float
    switches: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Look at a process now."""
    process = Path(f"/proc/{pid}")
    rollup = _fields(process / "smaps_rollup")
    threads = list((process / "task").iterdir())
    return Usage(
        rss=_kilobytes(_fields(process / "status")["VmRSS"]),
        pss=_kilobytes(rollup["Pss"]),
        cpu_seconds=_cpu_seconds(process, threads),
        switches=sum(int(_fields(t / "status")["voluntary_ctxt_switches"]) for t in threads),
        descriptors=len(os.listdir(process / "fd")),
    )


def _cpu_seconds(process: Path, threads: Sequence[Path]) -> float:
    try:
        # In nanoseconds; a process that wakes for microseconds may never be seen by a tick.
        return sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9
    except OSError:
        return cpu_ticks(process) / os.sysconf("SC_CLK_TCK")


def cpu_ticks(process: Path) -> int:
    """User and system ticks of a process, ended threads included."""
    after_name = (process / "stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {key: value.strip() for key, _, value in lines}


def _kilobytes(text: str) -> float:
    return int(text.split()[0]) * 1024.0


def children(pid: int) -> list[int]:
    """The processes that a process started and that are still there."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


def command_line(pid: int) -> str:
    """A process's arguments, or nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def wall_seconds(command: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """Start a program, wait for its end, and return how long that took; it must succeed."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    return time.perf_counter() - started


def interleaved(commands: Sequence[Sequence[str]], rounds: int) -> list[list[float]]:
    """Start each program in turn, `rounds` times; what disturbs one then disturbs all."""
    for command in commands:
        wall_seconds(command)  # fills the page cache, writes bytecode
    turns = [[wall_seconds(command) for command in commands] for _ in range(rounds)]
    return [list(times) for times in zip(*turns, strict=True)]


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` % of the values don't exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def times(ratio: float) -> str:
    """A ratio: ``4.6×``, ``13×``."""
    number = f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.2g}"
    return f"{number}\N{MULTIPLICATION SIGN}"


def milliseconds(seconds: float) -> str:
    """A time in ms, to two or three digits."""
    value = seconds * 1e3
    return f"{value:.0f} ms" if value >= 9.95 else f"{value:.2f} ms"


def machine() -> str:
    """Where and when: processor, cores, system, Python, date, and how busy it was before."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{_processor()}, {cores} cores, {platform.system()} {platform.release()} "
        f"{platform.machine()}, Python {platform.python_version()}, {date.today():%Y-%m-%d}, "
        f"load before the start {LOAD_BEFORE:.1f}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def python(*arguments: str) -> list[str]:
    """A command line for this very Python."""
    return [sys.executable, *arguments]
