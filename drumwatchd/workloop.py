"""The daemon's loop: what is due is done, then it sleeps until the next thing is due.

One thread runs the loop and owns all its state. The pipeline's threads take settled sources and
hand back results through a queue; watchers only add hints.
"""

from __future__ import annotations

import os
import queue
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from drumwatchd.analysis.workers import Workers
from drumwatchd.archive.archive import Archive
from drumwatchd.bulletin import Bulletin
from drumwatchd.errors import DrumwatchdError
from drumwatchd.files import Source
from drumwatchd.inbox.intake import Inbox, remove_empty_folders
from drumwatchd.log import get_logger
from drumwatchd.pipeline import Outcome, Pipeline, Result
from drumwatchd.rounds import Rounds
from drumwatchd.wake import Wake

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 1.0, 60.0
LATER_SECONDS, SOUGHT_SECONDS = 0.5, 5.0
FLUSH_SECONDS = 1.0
EMPTY_FOLDER_SECONDS = 10.0  # a copy of a pack may pause between two folders
IDLE_SECONDS = 3600.0

log = get_logger()


class WorkLoop:
    """Inboxes in, results out.

    Attributes:
        outcomes: how many files ended how, since the start.
        degraded: what keeps files from being filed at the moment, else None.
        model_id: the model that judges.
        rounds: the upkeep of the archive.
        bulletin: tells what happens.
    """

    def __init__(
        self,
        inboxes: Sequence[Inbox],
        pipeline: Pipeline,
        archive: Archive,
        workers: Workers,
        wake: Wake,
        *,
        model_id: str,
        rounds: Rounds | None = None,
        bulletin: Bulletin | None = None,
    ) -> None:
        self.inboxes = {inbox.settings.path: inbox for inbox in inboxes}
        self.outcomes: Counter[Outcome] = Counter()
        self.degraded: DrumwatchdError | None = None
        self.model_id = model_id
        self.rounds = rounds
        self.bulletin = bulletin or Bulletin()
        self._pipeline = pipeline
        self._archive = archive
        self._workers = workers
        self._wake = wake
        self._threads = workers.count + 2  # some place and record while the workers analyse
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="pipeline")
        self._results: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()
        self._in_work: dict[str, Source] = {}
        self._taken: dict[str, float] = {}  # in work or delayed, since when
        self._hinted_in_work: set[str] = set()
        self._delayed: dict[str, tuple[float, Source]] = {}
        self._backoff = 0.0
        self._blocked_until = 0.0
        self._emptied: dict[tuple[str, str], float] = {}
        self._flush_due: float | None = 0.0  # recovery may have left manifests to mend
        self._close_due: float | None = None

    # -- what the loop's owner asks -------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Files that were seen and aren't dealt with yet."""
        settling = sum(len(inbox.settling) + inbox.put_off for inbox in self.inboxes.values())
        return settling + len(self._delayed) + len(self._in_work)

    @property
    def done(self) -> int:
        """Files that were dealt with since the start."""
        ended = (Outcome.FILED, Outcome.DUPLICATE, Outcome.QUARANTINED, Outcome.FAILED)
        return sum(self.outcomes[outcome] for outcome in ended)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is pending, in work or hinted."""
        return self.pending == 0 and not (self.rounds is not None and self.rounds.is_busy)

    @property
    def workers_alive(self) -> int:
        """How many worker processes there are."""
        return self._workers.alive

    def oldest(self) -> float | None:
        """When the pending file that waits longest was first seen or taken (monotonic)."""
        seen = [inbox.settling.oldest() for inbox in self.inboxes.values()]
        return min(
            (when for when in (*seen, *self._taken.values()) if when is not None), default=None
        )

    def check_archive(self) -> None:
        """Make sure that the archive is there.

        Raises:
            ArchiveError: it isn't.
        """
        self._archive.check()

    def is_in_work(self, path: str) -> bool:
        """Whether a pipeline thread has this file, or will; a look at it is due afterwards."""
        if path in self._in_work:
            self._hinted_in_work.add(path)
            return True
        return path in self._delayed

    def step(self, now: float) -> float:
        """Do all that is due; return when the next thing is."""
        for inbox in self.inboxes.values():
            inbox.take_hints(now)
            if now >= inbox.rescan_due:
                self._rescan(inbox, now)
        self._go_round(now)
        self._collect(now)
        self._hand_out(now)
        self._tidy(now, EMPTY_FOLDER_SECONDS)
        self._settle_accounts(now)
        return self._next_due()

    def finish(self, *, seconds: float) -> None:
        """Take nothing more, and let the files in work come to their end."""
        deadline = time.monotonic() + seconds
        while self._in_work and time.monotonic() < deadline:
            self._wake.wait(0.1)
            self._wake.clear()
            self._collect(time.monotonic())
        self._archive.interrupt()  # files still in work are taken again at the next start
        if self.rounds is not None:
            self.rounds.stop()
        self._workers.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._flush()

    def remove_emptied_folders(self) -> None:
        """Remove the folders that filing has emptied, now."""
        self._tidy(time.monotonic(), 0.0)

    # -- steps ----------------------------------------------------------------------------------

    def _rescan(self, inbox: Inbox, now: float) -> None:
        was = inbox.degraded
        inbox.rescan(now)
        if inbox.degraded != was:
            path = inbox.settings.path
            if inbox.degraded is None:
                log.info("inbox is back", path=path)
            else:
                log.error("inbox can't be read", path=path, reason=inbox.degraded)

    def _go_round(self, now: float) -> None:
        if self.rounds is None:
            return
        was = self.rounds.degraded
        if self.rounds.step(now):
            self._flush_due = self._flush_due or now + FLUSH_SECONDS
        if self.rounds.degraded not in (None, was):
            self.bulletin.tell("degraded", reason=self.rounds.degraded)

    def _hand_out(self, now: float) -> None:
        room = self._room(now)
        due: list[Source] = []
        for inbox in self.inboxes.values():
            due += inbox.take_settled(now, room - len(due))
        # Last, so that a file that is blocked each time keeps no other one waiting.
        again = [path for path, (when, _) in self._delayed.items() if when <= now]
        due += [self._delayed.pop(path)[1] for path in again[: room - len(due)]]
        for source in due:
            self._in_work[source.path] = source
            self._taken.setdefault(source.path, now)
            future = self._executor.submit(self._pipeline.process, source)
            future.add_done_callback(self._deliver)

    def _room(self, now: float) -> int:
        """How many more files may be taken; while blocked, one at a time tries the way."""
        if now < self._blocked_until:
            return 0
        return max(0, (1 if self.degraded else self._threads) - len(self._in_work))

    def _deliver(self, future: Future[Result]) -> None:
        self._results.put(future)
        self._wake.set()

    def _collect(self, now: float) -> None:
        while not self._results.empty():
            future = self._results.get()
            if not future.cancelled():
                self._take_result(future.result(), now)

    def _take_result(self, result: Result, now: float) -> None:
        source, outcome = result.source, result.outcome
        inbox = self.inboxes[source.inbox]
        self._in_work.pop(source.path, None)
        self.outcomes[outcome] += 1
        if outcome is Outcome.BLOCKED:
            assert result.error is not None
            self._block(result.error, now)
            self._delayed[source.path] = (now, source)
            return
        if outcome in (Outcome.LATER, Outcome.SOUGHT):
            seconds = LATER_SECONDS if outcome is Outcome.LATER else SOUGHT_SECONDS
            self._delayed[source.path] = (now + seconds, source)
            return
        self._unblock()
        self._taken.pop(source.path, None)
        self._flush_due = self._flush_due or now + FLUSH_SECONDS
        if self._archive.settings.mode == "move" and os.path.dirname(source.path) != source.inbox:
            self._emptied[(os.path.dirname(source.path), source.inbox)] = now
        if outcome is Outcome.CHANGED or source.path in self._hinted_in_work:
            self._hinted_in_work.discard(source.path)
            inbox.look_again(source.path, now)

    def _block(self, error: DrumwatchdError, now: float) -> None:
        if self.degraded is None:
            self._backoff = FIRST_BACKOFF_SECONDS
        elif now >= self._blocked_until:
            self._backoff = min(2 * self._backoff, LONGEST_BACKOFF_SECONDS)
        else:
            return  # others were in work when the first was blocked
        if self.degraded is None:
            self.bulletin.tell("degraded", reason=str(error))
        self.degraded = error
        self._blocked_until = now + self._backoff
        log.error("degraded", reason=str(error), retry_seconds=self._backoff)

    def _unblock(self) -> None:
        if self.degraded is not None:
            log.info("no longer degraded", was=self.degraded.message)
            self.degraded, self._blocked_until = None, 0.0

    def _tidy(self, now: float, quiet_seconds: float) -> None:
        for (folder, inbox), when in list(self._emptied.items()):
            if now - when >= quiet_seconds:
                del self._emptied[(folder, inbox)]
                remove_empty_folders(folder, inbox)

    def _settle_accounts(self, now: float) -> None:
        if self._flush_due is not None and now >= self._flush_due:
            self._flush_due = None if self._flush() else now + LONGEST_BACKOFF_SECONDS
        self._close_due = self._workers.close_if_idle(now)

    def _flush(self) -> bool:
        try:
            self._archive.flush()
        except (OSError, DrumwatchdError) as error:
            log.warning("manifests behind", reason=str(error))
            return False
        return True

    def _next_due(self) -> float:
        now = time.monotonic()
        room = self._room(now)
        due = [inbox.next_due(taking=room > 0) for inbox in self.inboxes.values()]
        if self.rounds is not None:
            due.append(self.rounds.next_due())
        if room > 0:
            due += [when for when, _ in self._delayed.values()]
        if now < self._blocked_until:
            due.append(self._blocked_until)
        due += [when + EMPTY_FOLDER_SECONDS for when in self._emptied.values()]
        due += [when for when in (self._flush_due, self._close_due) if when is not None]
        return min(due, default=now + IDLE_SECONDS)
