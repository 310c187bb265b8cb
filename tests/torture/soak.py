"""Give the daemon a steady day in minutes, and see that it needs no more at the end than at the beginning.

    python tests/torture/soak.py --minutes 10

Samples, duplicates and damaged files arrive all the time, the owner moves some of what was filed, others ask
for the status, and now and then nothing comes at all, so that workers go and come again. Memory, threads, open
files and the write-ahead log are looked at each second. What the first quarter needed is the measure
for the rest. The archive has some thousands of samples before that, so that caches are as full as they get.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from drumwatchd.analysis.labels import CANONICAL_LABELS
from home import Home, wait_for
from torture.burst import contents

SECONDS_PER_BATCH, FILES_PER_BATCH = 1.0, 20
# Long enough for workers to be idle and go.
REST_EVERY, REST_SECONDS = 30.0, 4.0


@dataclass
class Look:
    """What the daemon's own process needs at a moment.

    Attributes:
        at: seconds since the start.
        memory: resident, bytes.
        threads: of the process.
        descriptors: open files of the process.
        wal: bytes of the write-ahead log.
    """

    at: float
    memory: int
    threads: int
    descriptors: int
    wal: int


@dataclass
class Soak:
    """What was measured, and what happened meanwhile."""

    looks: list[Look] = field(default_factory=list)
    filed: int = 0
    corrections: int = 0

    @property
    def first(self) -> list[Look]:
        """The first quarter, less the start."""
        return self.looks[len(self.looks) // 12 : len(self.looks) // 4]

    @property
    def last(self) -> list[Look]:
        """The last quarter."""
        return self.looks[-len(self.looks) // 4 :]

    @property
    def slope(self) -> float:
        """Of the memory behind the first quarter, bytes a minute: least squares."""
        rest = self.looks[len(self.looks) // 4 :]
        line = statistics.linear_regression([x.at / 60 for x in rest], [x.memory for x in rest])
        return line.slope

    def __str__(self) -> str:
        def mean(looks: list[Look], name: str) -> float:
            return statistics.mean(getattr(look, name) for look in looks)

        lines = [
            f"{self.looks[-1].at / 60:.1f} minutes, {self.filed:,} files, {self.corrections} corrections"
        ]
        for name, unit, scale in (
            ("memory", "MB", 1e6), ("threads", "", 1), ("descriptors", "", 1), ("wal", "MB", 1e6),
        ):  # fmt: skip
            most = max(getattr(look, name) for look in self.looks) / scale
            first, last = (mean(looks, name) / scale for looks in (self.first, self.last))
            lines.append(
                f"{name:<12} {first:6.1f} first, {last:6.1f} last, {most:6.1f} at most {unit}"
            )
        lines.append(
            f"memory grows by {self.slope / 1e3:+.0f} kB a minute behind the first quarter"
        )
        return "\n".join(lines)


def soak(folder: Path, minutes: float, before: int, chance: random.Random) -> Soak:
    """Do it, with so many files before; raises AssertionError where the daemon doesn't live, or something is lost."""
    home = Home(folder)
    home.configure(
        inbox='settle_seconds = 0.3\nrescan_seconds = 10\nduplicates = "delete"\n',
        archive="rescan_seconds = 10\n",
        classify="worker_count = 0\nworker_idle_seconds = 1\n",
    )
    stock = contents(before + round(minutes * 60 / SECONDS_PER_BATCH * FILES_PER_BATCH) + 1)
    found, numbers = Soak(), itertools.count(before)
    for number in range(before):
        path = home.inbox / f"before {number // 1000}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(stock[number])
    with home.running() as daemon:
        wait_for(
            lambda: home.status()["files"]["total"] == before,
            "the files from before",
            seconds=60 + before / 20,
            step=0.5,
        )
        started, rested = time.monotonic(), time.monotonic()
        while (now := time.monotonic()) - started < minutes * 60:
            if now - rested > REST_EVERY + REST_SECONDS:
                rested = now
            if now - rested < REST_EVERY:
                _drop(home, stock, numbers, chance)
                found.corrections += _correct(home, chance)
            if chance.random() < 0.2:
                home.status()
            found.looks.append(_look(home, daemon.pid, now - started))
            time.sleep(max(0.0, now + SECONDS_PER_BATCH - time.monotonic()))
        dropped = next(numbers)
        found.filed = home.wait_idle(dropped)["files"]["total"]
        assert daemon.poll() is None
    assert found.filed == dropped
    return found


def _drop(
    home: Home, stock: list[bytes], numbers: itertools.count[int], chance: random.Random
) -> None:
    """A second's files: new ones, one that came before, one that is damaged."""
    folder = home.inbox / f"pack {chance.randrange(10)}"
    for _ in range(FILES_PER_BATCH):
        number = next(numbers)
        folder.mkdir(exist_ok=True)  # it goes when it is empty
        (folder / f"{number}.wav").write_bytes(stock[number])
    (home.inbox / f"again {number}.wav").write_bytes(stock[chance.randrange(number + 1)])
    (home.inbox / f"bad {number}.wav").write_bytes(stock[number][: chance.randrange(40)])


def _correct(home: Home, chance: random.Random) -> int:
    """Move one sample that is filed to another class folder."""
    folder = home.archive / chance.choice(CANONICAL_LABELS)
    names = sorted(os.listdir(folder))[:50] if folder.is_dir() else []
    if not names:
        return 0
    other = home.archive / chance.choice(CANONICAL_LABELS)
    name = chance.choice(names)
    if other == folder or (other / name).exists():
        return 0
    other.mkdir(exist_ok=True)
    os.rename(folder / name, other / name)
    return 1


def _look(home: Home, pid: int, at: float) -> Look:
    process = Path(f"/proc/{pid}")
    fields = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    wal = home.folder / "state" / "index.sqlite3-wal"
    return Look(
        at=at,
        memory=int(fields["VmRSS"].split()[0]) * 1024,
        threads=int(fields["Threads"]),
        descriptors=len(os.listdir(process / "fd")),
        wal=wal.stat().st_size if wal.exists() else 0,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="[10]")
    parser.add_argument("--before", type=int, default=10_000, help="files [10000]")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", dir=os.getcwd()) as folder:
        print(soak(Path(folder), chosen.minutes, chosen.before, random.Random(1)))


if __name__ == "__main__":
    main()
