"""What a running daemon says of itself: a small file beside the index, and a line to systemd.

It lies outside the index because it changes often and matters only now: no fsync, no row.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from drumwatchd import notify
from drumwatchd.config import Config
from drumwatchd.files import write_atomically
from drumwatchd.index.status import live_path
from drumwatchd.workloop import IDLE_SECONDS, WorkLoop

SHORTEST_SECONDS = 1.0


class LiveFile:
    """Writes the live file when something changed, at most once a second."""

    def __init__(self, config: Config, loop: WorkLoop) -> None:
        self._path = live_path(str(config.index.path))
        self._loop = loop
        self._started = time.time()
        self._written: Mapping[str, Any] = {}
        self._next = 0.0

    def update(self, now: float) -> float:
        """Write if there is something new to say; return when to ask again."""
        if now < self._next:
            return self._next  # the state isn't even put together: with many files it takes time
        state = self._state()
        if state != self._written:
            self._next = now + SHORTEST_SECONDS
            self._save(state)
        return now + IDLE_SECONDS

    def write(self) -> None:
        """Write once more, at the end."""
        self._save(self._state())

    def _save(self, state: Mapping[str, Any]) -> None:
        self._written = state
        notify.status(self._status_line())
        text = json.dumps({**state, "updated": time.time()})
        try:
            write_atomically(self._path, text, durable=False)
        except OSError:
            return  # a full disk is said elsewhere; status then shows an older state

    def _status_line(self) -> str:
        if self._loop.degraded is not None:
            return f"degraded: {self._loop.degraded}"
        return f"watching; {self._loop.pending} pending, {self._loop.done} done since the start"

    def _state(self) -> dict[str, Any]:
        loop = self._loop
        return {
            "pid": os.getpid(),
            "started": self._started,
            "queue": {"pending": loop.pending, "oldest_since": _wall(loop.oldest())},
            "inboxes": [
                {
                    "path": inbox.settings.path,
                    "watch": inbox.settings.watch,
                    "mode": inbox.mode,
                    "last_event": _wall(inbox.last_event),
                    "last_rescan": _wall(inbox.last_rescan),
                    "files_left_alone": inbox.tally.other_files,
                    "unreadable_folders": len(inbox.tally.unreadable),
                    "found_by_rescan": inbox.found_by_rescan,
                    "degraded": inbox.degraded,
                }
                for inbox in loop.inboxes.values()
            ],
            "archive": None if loop.rounds is None else {
                "mode": loop.rounds.mode,
                "last_event": _wall(loop.rounds.last_event),
                "last_rescan": _wall(loop.rounds.last_rescan),
                "untracked": loop.rounds.untracked,
                "unreadable_folders": loop.rounds.unreadable,
                "degraded": loop.rounds.degraded,
            },
            "model": {"id": loop.model_id},
            "degraded": None if loop.degraded is None else str(loop.degraded),
            "workers": loop.workers_alive,
        }  # fmt: skip


def _wall(monotonic: float | None) -> float | None:
    """Unix time of a moment on the monotonic clock."""
    if monotonic is None:
        return None
    return round(time.time() - time.monotonic() + monotonic, 1)
