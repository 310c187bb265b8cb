"""One inbox at work: hints and rescans come in, settled sources go out."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drumwatchd.errors import InboxError
from drumwatchd.files import Source, identity_of, look, open_regular
from drumwatchd.inbox.rescan import Tally, ignore_matcher, is_candidate, is_passed_over, walk
from drumwatchd.inbox.settle import Settling, promised_size
from drumwatchd.inbox.watcher import POLL, Watcher, WatchMode

REST_PER_WALK = 10.0  # polling a large library must not be all that the loop does
# A library that is dropped at once must not all be held in memory: what is over is found by a later walk.
MOST_PENDING = 20_000
HINT_BATCH_SECONDS = 0.1  # a slow writer raises an event per write; one look per batch is enough


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """One inbox, as configured; times in seconds."""

    path: str
    watch: WatchMode
    settle_seconds: float
    rescan_seconds: float
    poll_seconds: float
    ignore: Sequence[str]


class Inbox:
    """Everything about one inbox that lives while the daemon runs.

    Attributes:
        last_event, last_rescan: on the clock that `now` comes from; None before the first.
        tally: what the last walk passed over.
        found_by_rescan: files that no event had announced, since the start.
        put_off: files that were seen and aren't among the pending ones yet, for want of room.
        degraded: why the inbox can't be read at the moment, else None.
    """

    def __init__(
        self,
        settings: InboxSettings,
        *,
        is_dealt_with: Callable[[Source], bool],
        wake: Callable[[], None],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.settling = Settling()
        self.last_event: float | None = None
        self.last_rescan: float | None = None
        self.tally = Tally()
        self.found_by_rescan = 0
        self.put_off = 0
        self._is_uncounted = False  # whether more was put off since the last walk
        self.degraded: str | None = None
        self._is_dealt_with = is_dealt_with
        self._is_ignored = ignore_matcher(settings.ignore)
        self._wake = wake
        self._is_stopping = is_stopping
        self._walk_seconds = 0.0
        self._hints: set[str] = set()
        self._hints_lock = threading.Lock()
        self._hints_due = 0.0
        self._watcher: Watcher | None = None
        self._watched: tuple[int, int] | None = None  # the folder that the watcher knows

    def start(self) -> str | None:
        """Begin to watch; return why the mode is poll where that wasn't asked for."""
        self._watched = identity_of(self.settings.path)
        self._watcher = Watcher(self.settings.path, self.settings.watch, self._hint)
        return self._watcher.reason

    def stop(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    @property
    def mode(self) -> str:
        """The watch mode in force."""
        return POLL if self._watcher is None else self._watcher.mode

    @property
    def rescan_due(self) -> float:
        """When the next rescan is due."""
        if self.last_rescan is None:
            return 0.0
        if self.put_off and len(self.settling) <= MOST_PENDING // 2:
            return 0.0
        polled = self.mode == POLL
        seconds = self.settings.poll_seconds if polled else self.settings.rescan_seconds
        if self._is_uncounted:
            seconds = HINT_BATCH_SECONDS
        return self.last_rescan + max(seconds, REST_PER_WALK * self._walk_seconds)

    def rescan(self, now: float) -> None:
        """Walk the whole inbox and observe every file that isn't dealt with.

        A walk of a large library takes a while: it is cut short when the daemon is to stop.
        """
        if self._watched is not None and identity_of(self.settings.path) not in (
            None,
            self._watched,
        ):
            self.stop()  # made anew, or (un)mounted: events of the old folder say nothing of it
            self.start()
        # What no event told of is counted, where events are to tell and files aren't only late.
        is_awaited = self.last_rescan is None or self.put_off > 0 or self.mode == POLL
        self.put_off, self._is_uncounted = 0, False
        self.last_rescan, self.tally = now, Tally()
        started = time.monotonic()
        for source in walk(self.settings.path, self._is_ignored, self.tally):
            if self._is_stopping():
                return
            known = source.path in self.settling
            if not self._observe(source, now):
                continue
            self.put_off += source.path not in self.settling
            self.found_by_rescan += not (known or is_awaited)
        self._walk_seconds = time.monotonic() - started
        self.degraded = self.tally.unreadable.get(self.settings.path)

    def take_hints(self, now: float) -> None:
        """Look at every path that events named since the last time."""
        if now < self._hints_due or not self._hints:
            return
        self._hints_due = now + HINT_BATCH_SECONDS
        with self._hints_lock:
            hints, self._hints = self._hints, set()
        self.last_event = now
        for path in hints:
            self._look_at(path, now)

    def look_again(self, path: str, now: float) -> None:
        """Observe one path if it is (still) a sample that isn't dealt with."""
        source = look(path, self.settings.path)
        if source is None:
            self.settling.drop(path)
        elif is_candidate(path, self.settings.path, self._is_ignored):
            self._observe_hinted(source, now)

    def take_settled(self, now: float, limit: int) -> list[Source]:
        """Remove and return up to `limit` sources that are finished."""
        return self.settling.take_finished(
            now,
            lambda source: look(source.path, source.inbox),
            looks_incomplete,
            limit=limit,
        )

    def next_due(self, *, taking: bool) -> float:
        """When this inbox next needs attention; `taking`: whether settled files can be taken."""
        due = [self.rescan_due]
        settled = self.settling.next_due()
        if taking and settled is not None:
            due.append(settled)
        if self._hints:
            due.append(self._hints_due)
        return min(due)

    def _observe(self, source: Source, now: float) -> bool:
        """Take note of a file; False where nothing is to be done with it."""
        if self._is_dealt_with(source):
            return False
        if len(self.settling) >= MOST_PENDING and source.path not in self.settling:
            return True  # put off
        self.settling.observe(source, now, self.settings.settle_seconds)
        return True

    def _observe_hinted(self, source: Source, now: float) -> None:
        if self._observe(source, now) and source.path not in self.settling:
            self._put_off()

    def _put_off(self) -> None:
        """There is no room for a file that an event named: the next walk counts them, and comes soon."""
        self.put_off, self._is_uncounted = max(1, self.put_off), True

    def _look_at(self, path: str, now: float) -> None:
        """Look at a hinted path; a folder that was moved in is walked, its files have no events."""
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            self.settling.drop(path)
            return
        if stat.S_ISDIR(mode):
            if not is_passed_over(path, self.settings.path, self._is_ignored):
                for source in walk(path, self._is_ignored, Tally(), inbox=self.settings.path):
                    self._observe_hinted(source, now)
        else:
            self.look_again(path, now)

    def _hint(self, path: str) -> None:
        with self._hints_lock:
            first = not self._hints
            if len(self._hints) < MOST_PENDING:
                self._hints.add(path)
            else:
                self._put_off()
        if first:
            self._wake()


def looks_incomplete(source: Source) -> bool:
    """Whether the file's own header promises more bytes than there are."""
    try:
        descriptor = open_regular(source.path)
    except OSError:
        return False
    try:
        promised = promised_size(os.read(descriptor, 12))
    except OSError:
        return False  # the pipeline reads it too, and says why it can't
    finally:
        os.close(descriptor)
    return promised is not None and promised - 1 > source.size  # some writers count a missing pad


def check_readable(path: str) -> None:
    """Make sure that an inbox is there and can be listed.

    Raises:
        InboxError: it isn't.
    """
    try:
        with os.scandir(path):
            pass
    except OSError as error:
        hint = "create it, or correct inbox.path"
        if isinstance(error, PermissionError):
            hint = "let the user that runs drumwatchd read it"
        raise InboxError(
            f"the inbox can't be read ({error.strerror})", path=path, hint=hint
        ) from error


def remove_empty_folders(folder: str, inbox: str) -> bool:
    """Remove a pack folder that filing has emptied, and its parents below the inbox.

    Returns:
        Whether anything was removed.
    """
    removed = False
    while folder != inbox and folder.startswith(inbox + os.sep):
        try:
            os.rmdir(folder)
        except OSError:
            break  # something is still in it: a licence, a project file, a copy under way
        removed = True
        folder = os.path.dirname(folder)
    return removed
