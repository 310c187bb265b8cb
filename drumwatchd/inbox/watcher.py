"""Hints that something happened in an inbox. They make it sooner; the rescan makes it certain.

Native events (inotify, FSEvents) come through watchdog. Network and FUSE file systems give none,
and the kernel's limits may be used up; there the inbox is polled: rescanned every few seconds.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Literal

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from drumwatchd.file_systems import file_system_of, is_silent

WatchMode = Literal["auto", "native", "poll"]
NATIVE, POLL = "native", "poll"
# Our own reads open and close files without writing; those events are not asked for.
EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent,
    DirCreatedEvent, DirMovedEvent,
]  # fmt: skip
# In an archive it counts as well what went; a file that is being written there is none of our concern.
ARCHIVE_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent,
    DirCreatedEvent, DirMovedEvent, DirDeletedEvent,
]  # fmt: skip
LIMITS = {
    errno.ENOSPC: "inotify watches are used up; raise fs.inotify.max_user_watches with sysctl",
    errno.EMFILE: "inotify instances are used up; raise fs.inotify.max_user_instances with sysctl",
}


class Watcher:
    """Watches one inbox, or the archive, and hands every path that an event names to `hint`.

    Attributes:
        mode: ``native`` or ``poll``, the mode in force.
        reason: why `mode` is ``poll`` where native was asked for or possible, else None.
    """

    def __init__(
        self,
        inbox: str,
        wanted: WatchMode,
        hint: Callable[[str], None],
        events: list[type[FileSystemEvent]] = EVENTS,
    ) -> None:
        self._observer = None
        self.mode, self.reason = POLL, None
        file_system = file_system_of(inbox)
        if wanted == "poll":
            return
        if wanted == "auto" and is_silent(file_system):
            self.reason = f"{file_system} gives no events"
            return
        try:
            observer = Observer()
            observer.schedule(_Hinter(hint), inbox, recursive=True, event_filter=events)
            observer.start()
        except OSError as error:
            self.reason = LIMITS.get(error.errno or 0, error.strerror or str(error))
            return
        self._observer, self.mode = observer, NATIVE

    def stop(self) -> None:
        """Stop watching."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None


class _Hinter(FileSystemEventHandler):
    def __init__(self, hint: Callable[[str], None]) -> None:
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._hint(os.fsdecode(event.src_path))
        if event.dest_path:
            self._hint(os.fsdecode(event.dest_path))
