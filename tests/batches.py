"""A grown archive for tests, and the real command run on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile

import drums
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.batch import run_folder
from drumwatchd.batch.classify import Ended, Hands, classify
from drumwatchd.batch.run_folder import RunFolder
from home import wait_for

KINDS = ("kick", "snare", "hat", "tom", "crash", "clap")
SETTINGS = AnalysisSettings(str(shipped_model()))


def grown(folder: Path, count: int) -> Path:
    """`count` short sounds of different content, in packs; the same each time."""
    made = {kind: drums.synthesise(kind, 1)[:8000] for kind in KINDS}
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        path = folder / f"pack {number % 7}" / f"{kind} {number:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, made[kind] * (1 - 0.5 * number / count), 44_100, subtype="PCM_16")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below a folder: inode, time and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }  # fmt: skip


class Desk:
    """A folder to run the command in, without a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "drumwatchd", *map(str, arguments)]

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DRUMWATCHD_", "XDG_"))}
        repository = str(Path(__file__).parent.parent)
        return kept | {"HOME": str(self.folder), "PYTHONPATH": repository}

    def run(
        self, *arguments: str | Path, code: int = 0, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, cwd=self.folder,
            errors="surrogateescape", env=self.environment, timeout=200, check=False, **more,
        )  # fmt: skip
        assert done.returncode == code, f"exit {done.returncode}: {done.stderr}{done.stdout}"
        return done

    def json(self, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
        """One command's JSON object."""
        read = json.loads(self.run(*arguments, "--json", code=code).stdout)
        assert isinstance(read, dict)
        return read

    def classify(self, *paths: str | Path, code: int = 0) -> Path:
        """The folder of a run over these paths."""
        return Path(self.json("classify", *paths, "--out", self.out, code=code)["run"])

    @contextmanager
    def classifying(self, *paths: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """The command while it runs; killed in the end, as a power cut would."""
        command = self.command("classify", *paths, "--out", self.out)
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(20)

    def wait_for_lines(self, more_than: int) -> None:
        """Wait until a journal has so many lines."""
        wait_for(lambda: self.lines() > more_than, f"more than {more_than} lines")

    def lines(self) -> int:
        return sum(p.read_bytes().count(b"\n") for p in self.out.glob("run_*/journal.jsonl"))


def results(run: Path) -> list[dict[str, Any]]:
    """The records of a run's results."""
    read = json.loads((run / "classification_results.json").read_bytes())
    return list(read["results"])


class Meanwhile(ThreadPoolExecutor):
    """Hands for tests; something happens between digesting and analysing."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__(1)
        self._then = then

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn.__name__ == "analyse_files":
            self._then()
            self._then = lambda: None
        return super().submit(fn, *args, **kwargs)


class Counting:
    """Progress that is remembered."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.advanced = 0

    def start(self, done: int, to_do: int) -> None:
        self.told.append((done, to_do))

    def advance(self, files: int) -> None:
        self.advanced += files


def run_in_process(
    out: Path, roots: list[Path], then: Callable[[], object], settings: AnalysisSettings = SETTINGS
) -> tuple[RunFolder, Ended, Counting]:
    """A run in this very process."""
    about, pinned = run_folder.about([str(root) for root in roots], "sha256", settings)
    run = run_folder.begin(out, about, "", 1000.0)
    progress = Counting()
    with Meanwhile(then) as executor:
        ended = classify(run, out, pinned, Hands(executor, 1), lambda name: False, progress)
    return run, ended, progress
