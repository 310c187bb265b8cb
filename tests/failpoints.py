"""Points before and after every step that changes a disk; a test can fail, or die, at any of them.

The program knows nothing of them. While a `Disk` is in force, the calls that make, name, sync, fill or
remove something are wrapped, and so is the index's COMMIT; what is called from within drumwatchd
counts. A point is named after the call and the function that makes it, so that code which is added later
has its points at once.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drumwatchd.archive import placement

VERBS = (
    "mkdir", "rename", "replace", "link", "symlink", "unlink", "rmdir", "fsync", "pwrite",
    "ftruncate", "utime", "fchmod",
)  # fmt: skip
COMMIT = "COMMIT"
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.ESTALE)
DIED = 77
# Between a step and the function that means it.
_PASSED_THROUGH = ("pathlib", "shutil", "contextlib", "failpoints", "os")


@dataclass
class Disk:
    """What happens to the steps of one process.

    Attributes:
        at: number of the step at which something goes wrong, from 0; -1 for none.
        fault: "before" or "after", where the process dies at that moment; or an errno.
        refused: calls that always fail, as on a file system that has no such thing, each with its errno.
        steps: what was done so far.
    """

    at: int = -1
    fault: str | int = "before"
    refused: dict[str, int] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Wrap everything, meanwhile."""
        verbs = [(os, verb) for verb in VERBS] + [(placement, "rename_new")]
        real = {(place, verb): getattr(place, verb) for place, verb in verbs}
        connect = sqlite3.connect
        for (place, verb), function in real.items():
            setattr(place, verb, functools.partial(self._do, verb, function))
        sqlite3.connect = functools.partial(connect, factory=self._connection())
        try:
            yield
        finally:
            sqlite3.connect = connect
            for (place, verb), function in real.items():
                setattr(place, verb, function)

    def _connection(self) -> type[sqlite3.Connection]:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if sql != COMMIT:
                    return super().execute(sql, *parameters)
                return disk._do(COMMIT, super().execute, sql)

        return Connection

    def _do(self, verb: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        caller = _caller()
        if caller is None:
            return function(*arguments, **keywords)
        if verb in self.refused:
            raise OSError(self.refused[verb], os.strerror(self.refused[verb]))
        number = len(self.steps)
        self.steps.append(f"{verb} in {caller}")
        if number != self.at:
            return function(*arguments, **keywords)
        if self.fault == "before":
            os._exit(DIED)
        if isinstance(self.fault, int):
            if verb == COMMIT:
                raise sqlite3.OperationalError(os.strerror(self.fault))
            raise OSError(self.fault, os.strerror(self.fault), *_path_in(arguments))
        try:
            return function(*arguments, **keywords)
        finally:
            os._exit(DIED)


def _caller() -> str | None:
    """The function of drumwatchd that does a step; None where somebody else does."""
    frame = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("drumwatchd."):
            if module == "drumwatchd.index.ledger":  # each transaction is somebody's
                frame = frame.f_back
                continue
            return f"{module.removeprefix('drumwatchd.')}.{frame.f_code.co_name}"
        if module.split(".")[0] not in _PASSED_THROUGH:
            return None
        frame = frame.f_back
    return None


def _path_in(arguments: tuple[Any, ...]) -> list[str]:
    return [argument for argument in arguments[:1] if isinstance(argument, str)]


def in_a_process(work: Callable[[], object], told: Path) -> int:
    """Do work in a process of its own, a copy of this one; its exit code.

    What goes wrong there is written into `told`, and is the error here.
    """
    child = os.fork()
    if child == 0:
        code = 99
        try:
            work()
            code = 0
        except BaseException:
            told.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, DIED), told.read_text() if told.exists() else f"exit code {code}"
    return code
