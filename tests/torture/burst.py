"""Drop so many files at once, and watch what that costs the daemon: memory, pace, answers, the way to stop.

    python tests/torture/burst.py --files 100000

A folder with all of them is moved into the inbox of a running daemon, which sees it at one blow. While it
works, its memory and the time that `status` takes are measured again and again. Half-way it is told to stop:
it has to within five seconds, and `check` has to find nothing half done. The next one does the rest, and in
the end every content stands exactly once.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import soundfile

import drums
from home import Home, wait_for

STEP_SECONDS = 1.0
FRAMES = 2_205
PER_FOLDER = 1_000


@dataclass
class Burst:
    """What was measured.

    Attributes:
        files: that were dropped.
        peak_mb: the most memory that the daemon's own process ever had, both times, MB (10^6 bytes).
        paces: files a second, of each tenth of the files.
        status_seconds: how long each `status` took, with the start of Python.
        stop_seconds: from SIGTERM to the end of the process.
        half_done: what `check` found after that.
    """

    files: int
    peak_mb: list[float] = field(default_factory=list)
    paces: list[float] = field(default_factory=list)
    status_seconds: list[float] = field(default_factory=list)
    stop_seconds: float = 0.0
    half_done: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        took = sorted(self.status_seconds)
        return "\n".join(
            (
                f"files      {self.files:,}, each filed once",
                f"memory     {' and '.join(f'{mb:.0f}' for mb in self.peak_mb)} MB at most",
                f"pace       {' '.join(f'{pace:.0f}' for pace in self.paces)} files/s",
                f"status     {statistics.median(took):.2f} s, {took[len(took) * 99 // 100]:.2f} s "
                f"at the 99th percentile, {took[-1]:.2f} s at most, of {len(took)}",
                f"SIGTERM    {self.stop_seconds:.2f} s",
            )
        )


def contents(count: int) -> list[bytes]:
    """So many short sounds, told apart by their last samples."""
    stream = io.BytesIO()
    y = drums.synthesise("kick", 1, 22_050)[:FRAMES]
    soundfile.write(stream, y, 22_050, "PCM_16", format="WAV")
    sound = stream.getvalue()[:-4]
    return [sound + number.to_bytes(4, "little") for number in range(count)]


def burst(folder: Path, files: int) -> Burst:
    """Do it; raises AssertionError where something is lost, doubled or half done."""
    home = Home(folder)
    home.configure(inbox="rescan_seconds = 60\nsettle_seconds = 1\n", classify="worker_count = 0\n")
    made = folder / "made"
    for number, content in enumerate(contents(files)):
        path = made / str(number // PER_FOLDER) / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = Burst(files)
    with home.running() as daemon:
        os.rename(made, home.inbox / "pack")
        _watch(home, daemon.pid, found, until=files // 2)
        started = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
        found.stop_seconds = time.monotonic() - started
    home.drumwatchd("check")  # exit 1 where anything isn't as it should be
    with home.running() as daemon:
        _watch(home, daemon.pid, found, until=files)
        home.wait_idle(files)
    _check(home, files)
    return found


def _watch(home: Home, pid: int, found: Burst, *, until: int) -> None:
    """Measure until so many are filed."""
    tenth = max(1, found.files // 10)
    count, since, at = 0, time.monotonic(), 0
    while count < until:
        time.sleep(STEP_SECONDS)
        started = time.monotonic()
        status = home.status()
        now = time.monotonic()
        found.status_seconds.append(now - started)
        count = status["files"]["total"]
        if at == 0:
            at, since = count, now  # the first batch settles
        elif count - at >= tenth or (count >= until and count > at):
            found.paces.append((count - at) / (now - since))
            at, since = count, now
    found.peak_mb.append(_peak_bytes(pid) / 1e6)


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel doesn't say")


def _check(home: Home, files: int) -> None:
    wanted = {hashlib.sha256(content).hexdigest() for content in contents(files)}
    listed = home.drumwatchd("ls", "--format", "{digest}").stdout.split()
    assert len(listed) == files
    assert set(listed) == wanted
    wait_for(lambda: home.drumwatchd("check", check=None).returncode == 0, "check to be content")
    assert [path for path in home.inbox.rglob("*") if path.is_file()] == []
    done = subprocess.run(
        ["find", str(home.archive), "-name", "*.wav", "-printf", "x"],
        capture_output=True,
        check=True,
    )
    assert len(done.stdout) == files


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000, help="in all [100000]")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="burst-", dir=os.getcwd()) as folder:
        print(burst(Path(folder), chosen.files))


if __name__ == "__main__":
    main()
