"""A home server for tests: folders, a configuration, and the real program run on them."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import drums

WAIT_SECONDS = 60.0


def wait_for(
    condition: Callable[[], Any], what: str, *, seconds: float = WAIT_SECONDS, step: float = 0.05
) -> Any:
    """Ask until the answer is true; fail with `what` when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(step)
    return answer


def make(
    folder: Path, count: int, *, kinds: tuple[str, ...] = ("kick", "snare", "tom")
) -> list[Path]:
    """Many distinct samples."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{kinds[n % len(kinds)]} {n}.wav" for n in range(count)]
    for n, path in enumerate(paths):
        drums.write(path, kinds[n % len(kinds)], seed=n)
    return paths


def workers_of(pid: int) -> list[int]:
    return [child for child in children(pid) if "spawn_main" in command_line(child)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


class Home:
    """One inbox, one archive, one index below a folder."""

    def __init__(self, folder: Path, **keys: object) -> None:
        self.folder = folder
        self.within: list[str] = []  # a command that runs the program in surroundings of its own
        self.variables: dict[str, str] = {}
        self.inbox, self.archive = folder / "inbox", folder / "archive"
        self.config = folder / "config.toml"
        self.log = folder / "daemon.log"
        self.inbox.mkdir(parents=True)
        self.archive.mkdir()
        self.configure(**keys)

    def configure(
        self, *, inbox: str = "", archive: str = "", index: str = "", classify: str = ""
    ) -> None:
        """Write the configuration; the arguments are lines to add to its tables."""
        self.config.write_text(
            f'[[inbox]]\npath = "inbox"\n{_default(inbox, "settle_seconds", "0.3")}{inbox}\n'
            f'[archive]\nroot = "archive"\n{archive}\n'
            f'[index]\npath = "state/index.sqlite3"\n{index}\n'
            f"[classify]\n{_default(classify, 'worker_count', '1')}{classify}\n"
        )

    def drumwatchd(
        self, *arguments: str, check: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        done = subprocess.run(
            [*self.command, *arguments],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=120,
            env=self.environment,
            check=False,
        )
        if check is not None:
            assert done.returncode == check, f"exit {done.returncode}: {done.stderr}{done.stdout}"
        return done

    @property
    def command(self) -> list[str]:
        return [*self.within, sys.executable, "-m", "drumwatchd", "--config", str(self.config)]

    @property
    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DRUMWATCHD_")}
        return inherited | self.variables

    @contextlib.contextmanager
    def running(
        self, *, stop: signal.Signals = signal.SIGTERM
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The daemon, started and watching; stopped at the end."""
        with self.log.open("ab") as log:
            process = subprocess.Popen([*self.command, "run"], stderr=log, env=self.environment)
        try:
            wait_for(
                lambda: process.poll() is not None or self.watches(process.pid),
                "the daemon to watch",
            )
            assert process.poll() is None, self.log.read_text()
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(stop)
            code = process.wait(20)
            if stop == signal.SIGTERM:
                assert code == 0, self.log.read_text()

    def watches(self, pid: int) -> bool:
        """Whether the live file is that of this process."""
        try:
            live = json.loads((self.folder / "state" / "index.sqlite3.live.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(live["pid"] == pid)

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        return json.loads(self.drumwatchd("status", "--json").stdout)

    def wait_idle(self, total: int | None = None) -> dict[str, Any]:
        """Wait until nothing is pending (and `total` samples are filed)."""

        def idle() -> dict[str, Any] | None:
            status = self.status()
            done = status["queue"]["pending"] == 0 and status["files"]["total"] >= (total or 0)
            return status if done else None

        return wait_for(idle, f"{total} filed; log:\n{self.log_text()}", step=0.2)

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def ls(self, *query: str) -> list[dict[str, Any]]:
        """What `ls --json` says."""
        lines = self.drumwatchd("ls", *query, "--json").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def story(self, target: str) -> dict[str, Any]:
        """What `show --json` says of one sample."""
        return json.loads(self.drumwatchd("show", target, "--json").stdout)

    def wait_for_label(self, digest: str, label: str) -> dict[str, Any]:
        """Wait until a sample is filed under a label."""

        def found() -> Any:
            rows = self.ls(f"digest:{digest}")
            return rows and rows[0]["label"] == label and rows[0]

        return wait_for(found, f"label {label}; log:\n{self.log_text()}", step=0.2)

    def archived(self) -> dict[str, bytes]:
        """Every sample below the class folders, by its path."""
        return {
            str(path.relative_to(self.archive)): path.read_bytes()
            for folder in sorted(self.archive.iterdir())
            if not folder.name.startswith(("_", "."))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def manifested(self) -> list[dict[str, str]]:
        """Every row of every manifest."""
        rows = []
        for path in sorted((self.archive / "_manifests").glob("*.csv")):
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
                rows += list(csv.DictReader(stream))
        return rows

    def assert_agree(self) -> None:
        """Archive, manifests and index say the same; the manifests may follow a little later."""
        archived = {p: hashlib.sha256(data).hexdigest() for p, data in self.archived().items()}
        indexed = {os.path.relpath(row["path"], self.archive): row["digest"] for row in self.ls()}
        assert indexed == archived

        def agrees() -> bool:
            return sorted((row["path"], row["digest"]) for row in self.manifested()) == sorted(
                archived.items()
            )

        wait_for(agrees, "the manifests to follow")

    def assert_exactly(self, contents: list[bytes]) -> None:
        """Each content once in the archive, in the manifests and in the index, and they agree."""
        wanted = Counter(hashlib.sha256(content).hexdigest() for content in contents)
        archived = self.archived().values()
        assert Counter(hashlib.sha256(content).hexdigest() for content in archived) == wanted
        self.assert_agree()


def claimed(home: Home) -> int:
    """How many files are in work."""
    index = sqlite3.connect(f"file:{home.folder}/state/index.sqlite3?mode=ro", uri=True)
    with contextlib.closing(index):
        return int(
            index.execute("SELECT count(*) FROM samples WHERE state = 'claimed'").fetchone()[0]
        )


def _default(text: str, key: str, value: str) -> str:
    return "" if key in text else f"{key} = {value}\n"
