"""Files in class folders that may be samples: digested once they stand still, then decided.

A thread of its own digests, so that a recording of many hours holds up nobody.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from drumwatchd.archive.archive import Archive
from drumwatchd.archive.corrections import Finding, Registrar
from drumwatchd.archive.survey import Survey
from drumwatchd.errors import WorkersStoppedError
from drumwatchd.files import Source, digest_of
from drumwatchd.inbox.settle import Settling
from drumwatchd.index.store import Index

# A renamed class folder, or times that a backup didn't keep: thousands of files, a lot at a time.
SETTLING_AT_ONCE, LOT = 2_000, 50
REMEMBERED_DIGESTS = 2 * SETTLING_AT_ONCE
# So long after its last change, a file is no part of a move that is under way.
OLD_SECONDS = 600.0


class Examiner:
    """Takes files in, and has written down what they are."""

    def __init__(
        self,
        index: Index,
        archive: Archive,
        survey: Survey,
        wake: Callable[[], None],
        settle_seconds: float,
    ) -> None:
        self._index = index
        self._archive = archive
        self._survey = survey
        self._wake = wake
        self._settle_seconds = settle_seconds
        self._registrar = Registrar(index, archive)
        self._settling = Settling()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._digesting: list[tuple[Source, Future[str]]] = []
        self._digests: OrderedDict[Source, str] = OrderedDict()

    def stop(self) -> None:
        """Let what is being digested be."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    @property
    def is_busy(self) -> bool:
        """Whether a file isn't decided yet."""
        return bool(len(self._settling) or self._digesting)

    @property
    def is_full(self) -> bool:
        """Whether no more files should be taken in now."""
        return len(self._settling) >= SETTLING_AT_ONCE

    def next_due(self) -> float | None:
        """When a file may stand still; a digest that is done wakes the loop."""
        return None if self._digesting else self._settling.next_due()

    def take(self, source: Source, now: float, *, patience: float = 0.0) -> None:
        """Look at a file once it stands still.

        A copy that stood there long before its original went waits for `patience`: what was moved
        may be about to come.
        """
        is_old = _changed_at(source.path) < time.time() - OLD_SECONDS
        self._settling.observe(source, now, max(self._settle_seconds, patience * is_old))

    def may_be_sought(self, source: Source) -> bool:
        """Whether an unknown file may be a sample that is missing; one that was digested is known."""
        if source not in self._digests:
            return True
        row = self._index.row_of(self._digests[source])
        return row is not None and self._archive.is_sought(row)

    def step(self, now: float) -> bool:
        """Decide what was digested, digest what stands still; return whether anything changed."""
        if not all(future.done() for _, future in self._digesting):
            return False
        # All at once, the likeliest first: of several copies one is the sample.
        digested, self._digesting = sorted(self._digesting, key=self._unlikeliness), []
        decided = [self._decide(source, future, now) for source, future in digested]
        finished = self._settling.take_finished(
            now, lambda found: self._survey.examine(found.path), lambda _: False, limit=LOT
        )
        self._digesting = [(source, self._digest(source)) for source in finished]
        return any(decided)

    def _digest(self, source: Source) -> Future[str]:
        future = self._executor.submit(
            digest_of,
            os.path.realpath(source.path),
            self._archive.settings.algorithm,
            on_chunk=self._archive.go_on,
        )
        future.add_done_callback(lambda _: self._wake())
        return future

    def _unlikeliness(self, digested: tuple[Source, Future[str]]) -> tuple[bool, float]:
        """What was renamed within its class comes first, then what changed its name last."""
        source, future = digested
        row = None if future.exception() else self._index.row_of(future.result())
        label = self._archive.classes.label_of(self._relative(source).split("/", 1)[0])
        return row is None or row.label != label, -_changed_at(source.path)

    def _decide(self, source: Source, future: Future[str], now: float) -> bool:
        try:
            digest = future.result()
        except (OSError, WorkersStoppedError):
            return False  # unreadable, or gone again
        found = self._survey.examine(source.path)
        if found != source:
            if found is not None:
                self.take(found, now)
            return False
        self._digests[source] = digest
        if len(self._digests) > REMEMBERED_DIGESTS:
            self._digests.popitem(last=False)
        finding = self._registrar.decide(source, digest)
        if finding in (Finding.CORRECTED, Finding.RENAMED, Finding.BACK):
            self._survey.found(self._relative(source))
        return finding is not Finding.NOTHING

    def _relative(self, source: Source) -> str:
        return os.path.relpath(source.path, self._archive.settings.root)


def _changed_at(path: str) -> float:
    """Unix time at which a file was made, renamed or written to last; 0 if it is gone."""
    try:
        return os.lstat(path).st_ctime
    except OSError:
        return 0.0
