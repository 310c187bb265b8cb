"""How far a long command is, on stderr: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

# Often enough to see that it moves, seldom enough to read a night's log.
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """One command's progress; a context manager, since bars take hold of the terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lines_told: dict[str, float] = {}

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, message: str) -> None:
        """One remark, with the time."""
        line = f"{time.strftime('%H:%M:%S')} {message}"
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps of the task `what` are behind us."""
        if self._bars.disable:
            self._tell(what, done, total, note)
            return
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, note=note)
        self._bars.update(self._tasks[what], completed=done, total=total, note=note)

    def _tell(self, what: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        told = self._lines_told.get(what)
        if told is not None and now - told < SECONDS_BETWEEN_LINES and done < total:
            return
        self._lines_told[what] = now
        self.say(f"{what} {done:,} of {total:,}" + (f": {note}" if note else ""))
