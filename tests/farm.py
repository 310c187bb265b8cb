"""A Dask cluster for tests: a scheduler and workers on loopback, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from home import wait_for


class Farm:
    """A scheduler and workers on loopback, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self._file = folder / "scheduler.json"
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                    "--no-show", "--scheduler-file", str(self._file))  # fmt: skip
        wait_for(self._file.exists, "the scheduler")

    @property
    def address(self) -> str:
        return wait_for(lambda: _address(self._file), "its address")

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Without a nanny: what is killed stays dead."""
        return self._start(
            "worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard",
            "--local-directory", str(self.folder),
        )  # fmt: skip

    def _start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        repository = str(Path(__file__).parent.parent)
        environment = os.environ | {"PYTHONPATH": repository, "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{kind} {len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments],
                stdout=log, stderr=log, env=environment, cwd=self.folder,
            )  # fmt: skip
        self.processes.append(process)
        return process


def _address(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["address"])
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def farm(folder: Path) -> Iterator[Farm]:
    folder.mkdir()
    made = Farm(folder)
    try:
        yield made
    finally:
        for process in made.processes[::-1]:
            process.kill()
            process.wait(20)
