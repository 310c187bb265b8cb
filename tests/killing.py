"""Death at one step of a move: of the code in this process, or of a real command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from drumwatchd.archive import moves
from drumwatchd.index.corrections import Corrections
from home import Home

# What a move consists of, in this order; `begin` and `arrived` are the index's.
STEPS = ("begin", "lexists", "link", "fsync_folder", "unlink", "arrived")

# Ends the process before, or after, one step of the move.
_KILLER = """
import os, signal, sys
step, after = sys.argv[1], sys.argv[2] == "after"
from {module} import {journal}
def deadly(function):
    def call(*arguments, **keywords):
        if not after:
            os.kill(os.getpid(), signal.SIGKILL)
        function(*arguments, **keywords)
        os.kill(os.getpid(), signal.SIGKILL)
    return call
place, name = (os, step) if hasattr(os, step) else ({journal}, step)
setattr(place, name, deadly(getattr(place, name)))
from drumwatchd.cli import main
sys.argv = ["drumwatchd", *sys.argv[3:]]
main()
"""


class Killed(BaseException):
    """As SIGKILL would: nothing catches it."""


@contextlib.contextmanager
def killed_at(
    monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool, journal: type = Corrections
) -> Iterator[None]:
    """Die before or after one of the `STEPS`; `journal` is who is told that a move begins."""
    places = {"begin": journal, "arrived": Corrections, "fsync_folder": moves, "lexists": os.path}
    place = places.get(step, os)
    real = getattr(place, step)

    def deadly(*arguments: object, **keywords: object) -> object:
        result = real(*arguments, **keywords) if after else None
        raise Killed
        return result

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(place, step, deadly)
        yield


def die(home: Home, step: str, after: str, *command: str, journal: type = Corrections) -> None:
    """Run a command that SIGKILL ends "before" or "after" one step of its first move."""
    killer = _KILLER.format(module=journal.__module__, journal=journal.__name__)
    done = subprocess.run(
        [sys.executable, "-c", killer, step, after, "--config", str(home.config), *command],
        env=home.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
