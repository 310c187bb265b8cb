"""The story of one file, from a settled source to a row that can be asked for.

    digest → claim → analyse → place → record → remove the source

Whatever interrupts it, the source is removed last, and only when its content stands elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from drumwatchd.analysis.result import Analysis
from drumwatchd.analysis.workers import Workers
from drumwatchd.archive.archive import Archive
from drumwatchd.archive.placement import remove_source
from drumwatchd.archive.superseding import Superseding
from drumwatchd.bulletin import Bulletin
from drumwatchd.errors import (
    AnalysisError,
    DrumwatchdError,
    IndexStoreError,
    PlacementError,
    SourceChangedError,
)
from drumwatchd.files import Source, check_unchanged, digest_source, look
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index
from drumwatchd.log import get_logger

DuplicatePolicy = Literal["keep", "quarantine", "delete"]
log = get_logger()


class Outcome(Enum):
    """How the story of one file ended, this time."""

    FILED = "filed"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    FAILED = "failed"  # stays where it is, remembered with its reason
    CHANGED = "changed"  # vanished or changed: settle it anew
    LATER = "later"  # its original is still in work
    SOUGHT = "sought"  # its original isn't in its place, and is looked for
    BLOCKED = "blocked"  # archive, index or model can't be used now


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one source, and what blocked it."""

    source: Source
    outcome: Outcome
    error: DrumwatchdError | None = None


class Pipeline:
    """Files one source at a time; several threads may call it with different sources.

    `is_sought` tells whether a sample that isn't in its place is still looked for elsewhere in the
    archive; it is asked before content that comes again is filed anew. `before_judging` is called for
    each sample that is judged.
    """

    def __init__(
        self,
        index: Index,
        archive: Archive,
        workers: Workers,
        duplicate_policies: Mapping[str, DuplicatePolicy],
        is_sought: Callable[[Row], bool] = lambda row: False,
        before_judging: Callable[[], None] = lambda: None,
        bulletin: Bulletin | None = None,
    ) -> None:
        self._index = index
        self._archive = archive
        self._workers = workers
        self._duplicate_policies = duplicate_policies
        self._is_sought = is_sought
        self._before_judging = before_judging
        self._bulletin = bulletin or Bulletin()
        self._superseding = Superseding(index, archive)
        self._working: set[str] = set()
        self._working_lock = threading.Lock()

    def process(self, source: Source) -> Result:
        """Take one settled source to its end; never raises for what one file can cause."""
        try:
            return Result(source, self._process(source))
        except SourceChangedError as error:
            log.info("source changed", path=source.path, reason=error.message)
            return Result(source, Outcome.CHANGED, error)
        except DrumwatchdError as error:
            if error.retryable:
                return Result(source, Outcome.BLOCKED, error)
            return self._give_up(source, "; ".join(filter(None, (error.message, error.hint))))
        except Exception as error:
            log.exception("file failed", path=source.path)
            return self._give_up(source, f"unexpected {type(error).__name__}: {error}")

    def _process(self, source: Source) -> Outcome:
        started = time.monotonic()
        try:
            algorithm = self._archive.settings.algorithm
            digest = digest_source(source, algorithm, on_chunk=self._archive.go_on)
        except OSError as error:
            return self._fail(source, f"can't be read: {error.strerror or error}")
        with self._alone_with(digest) as alone:
            if not alone:
                return Outcome.LATER  # a file with the same content is in work
            self._follow_edit(source, digest)
            self._finish_earlier(source, digest)
            claim = self._index.claim(source, digest)
            if not claim.won and claim.row.state in ("claimed", "placing"):
                self.recover_row(claim.row)  # an earlier attempt was interrupted
                claim = self._index.claim(source, digest)
            if not claim.won and self._archive.follow_rename(claim.row, source):
                self._index.source_renamed(claim.row, source)
                log.info("source renamed", path=source.path, was=claim.row.source.path)
                return Outcome.DUPLICATE
            if not claim.won and self._is_gone(claim.row):
                if claim.row.state != "gone" and self._is_sought(claim.row):
                    return Outcome.SOUGHT  # perhaps it was moved, and that is a correction
                self._index.release(claim.row, "dropped again", "the archived file is gone")
                claim = self._index.claim(source, digest)
            if claim.won:
                return self._new_content(source, claim.row, started)
            return self._known_content(source, claim.row)

    @contextlib.contextmanager
    def _alone_with(self, digest: str) -> Iterator[bool]:
        """Whether no other thread or process is at this content; if so, keep them off it meanwhile."""
        with self._working_lock:
            alone = digest not in self._working and self._index.turns.take(digest)
            if alone:
                self._working.add(digest)
        try:
            yield alone
        finally:
            if alone:
                with self._working_lock:
                    self._index.turns.give_back(digest)
                    self._working.discard(digest)

    def _follow_edit(self, source: Source, digest: str) -> None:
        """Where the archive only links to a file, who edits that has edited the archive's sample."""
        row = self._index.row_resting_on(source.path)
        if row is None or row.digest == digest or self._superseding.make_way(row, source, digest):
            return
        if self._archive.follow_edit(row, source, digest):
            log.warning("edited in the archive", path=row.path, was=row.digest, digest=digest)

    def _finish_earlier(self, source: Source, digest: str) -> None:
        """Another content came under this name before, and was interrupted: nobody takes that again."""
        for row in self._index.unfinished_from(source):
            if row.digest == digest:
                continue
            with self._alone_with(row.digest) as alone:
                if alone:
                    self.recover_row(row)

    def _is_gone(self, row: Row) -> bool:
        """Whether a person took the content away; an unmounted archive is no such person."""
        if self._archive.is_present(row):
            return False
        self._archive.check()
        return True

    def _new_content(self, source: Source, row: Row, started: float) -> Outcome:
        self._archive.check()
        try:
            with self._released_on_failure(row):
                beginnings = self._superseding.beginnings_of(source, row.digest)
                analysis = self._archive.as_corrected(row.digest, self._analyse(source))
                self._superseding.set_aside(beginnings, source, row.digest)  # its name is free then
                relative = self._archive.file(row, source, analysis)
        except AnalysisError as error:
            return self._quarantine(source, row, error)
        mode = self._archive.settings.mode
        self._record(row, relative, analysis.verdict.label, mode)
        self._undo_if_written_to(row, source, relative, analysis.verdict.label)
        log.info(
            "filed",
            digest=row.digest,
            label=analysis.verdict.label,
            fine=analysis.verdict.fine,
            confidence=round(analysis.verdict.confidence, 3),
            source=source.path,
            destination=relative,
            duration_ms=round((time.monotonic() - started) * 1e3),
        )
        if mode == "move":
            self._remove(row, source)
        self._bulletin.tell(
            "archived",
            digest=row.digest,
            label=analysis.verdict.label,
            fine=analysis.verdict.fine,
            confidence=round(analysis.verdict.confidence, 4),
            path=None if relative is None else os.path.join(self._archive.settings.root, relative),
            source=source.path,
        )
        return Outcome.FILED

    def _analyse(self, source: Source) -> Analysis:
        """Judge the content that was digested: what is heard of a newer one is worth nothing."""
        self._before_judging()
        try:
            return self._workers.analyse(source.path, os.path.join(source.pack, source.name))
        finally:
            check_unchanged(source)

    @contextlib.contextmanager
    def _released_on_failure(self, row: Row) -> Iterator[None]:
        """Forget the row of a file that turns out to have changed, or not to fit the archive."""
        try:
            yield
        except (SourceChangedError, PlacementError) as error:
            self._index.release(row, "released", error.message)
            raise

    def _known_content(self, source: Source, original: Row) -> Outcome:
        """The index has this content: from this very file, or from another one."""
        if original.state == "filed":
            beginnings = self._superseding.beginnings_of(source, original.digest)
            self._superseding.set_aside(beginnings, source, original.digest)
        if _is_left_of_a_move(source, original) and self._archive.has(original):
            log.info("finished an interrupted move", path=source.path, digest=original.digest)
            self._remove(original, source)
            return Outcome.QUARANTINED if original.state == "quarantined" else Outcome.FILED
        if _is_itself(source, original, self._archive.full_path(original)):
            self._index.seen_again(source, original)
            log.info("known already", path=source.path, digest=original.digest)
            return Outcome.DUPLICATE
        return self._duplicate(source, original)

    def _duplicate(self, source: Source, original: Row) -> Outcome:
        policy = self._duplicate_policies[source.inbox]
        action = "kept"
        if policy == "quarantine":
            action = self._archive.quarantine_duplicate(source, original.digest)
        elif policy == "delete":
            action = "deleted" if self._archive.has(original) else "kept: original damaged"
        removed = not action.startswith("kept")
        reason = remove_source(source) if removed else None
        stays = not removed or reason is not None
        self._index.duplicate(source, original, action, remember=stays)
        log.info(
            "duplicate",
            digest=original.digest,
            path=source.path,
            original=self._archive.full_path(original),
            action=action,
        )
        self._bulletin.tell(
            "duplicate",
            digest=original.digest,
            label=original.label,
            path=self._archive.full_path(original),
            source=source.path,
            action=action,
        )
        return Outcome.DUPLICATE

    def _quarantine(self, source: Source, row: Row, error: AnalysisError) -> Outcome:
        """Judging failed for this content: set it aside in move mode, else leave it and say so."""
        relative = None
        if self._archive.settings.mode == "move":
            with self._released_on_failure(row):
                relative = self._archive.quarantine(row, source, error.message)
        self._index.quarantined(row, relative, error.message)
        self._undo_if_written_to(row, source, relative, None)
        if relative is not None:
            self._remove(row, source)
        log.warning(
            "quarantined",
            digest=row.digest,
            path=source.path,
            destination=relative,
            reason=error.message,
        )
        place = None if relative is None else os.path.join(self._archive.settings.root, relative)
        self._bulletin.tell(
            "quarantined",
            digest=row.digest,
            path=place,
            source=source.path,
            reason=error.message,
        )
        return Outcome.QUARANTINED

    def _record(self, row: Row, relative: str | None, label: str, mode: str | None) -> None:
        try:
            self._archive.record_filed(row, relative, label, remember=mode != "move")
        except OSError as error:
            log.warning("manifest behind", label=label, reason=str(error))

    def _undo_if_written_to(
        self, row: Row, source: Source, relative: str | None, label: str | None
    ) -> None:
        """Undo a move by link when a writer came back: it writes into the archive's file as well.

        Raises:
            SourceChangedError: it was undone.
        """
        if self._archive.settings.mode != "move" or relative is None:
            return
        if look(source.path, source.inbox) == source:
            return
        if self._archive.take_back(relative, source):
            reason = "written to while it was filed"
            self._archive.unrecord(row, label, reason)
            raise SourceChangedError(reason, path=source.path)

    def _remove(self, row: Row, source: Source) -> None:
        reason = remove_source(source)
        if reason is not None:
            self._index.retain(row, reason)
            log.warning("source retained", path=source.path, reason=reason)

    def _fail(self, source: Source, reason: str) -> Outcome:
        self._index.failed(source, reason)
        log.warning("failed", path=source.path, reason=reason)
        return Outcome.FAILED

    def _give_up(self, source: Source, reason: str) -> Result:
        try:
            return Result(source, self._fail(source, reason))
        except IndexStoreError as error:
            return Result(source, Outcome.BLOCKED, error)
        except Exception:
            log.exception("failure not recorded", path=source.path)
            return Result(source, Outcome.FAILED)

    # -- after a crash --------------------------------------------------------------------------

    def recover(self) -> int:
        """Bring every row that a crash left in work to its end; return how many there were."""
        count = 0
        for row in self._index.rows_in("claimed", "placing"):
            with self._alone_with(row.digest) as alone:
                if not alone:
                    continue  # an import is at it right now
                now = self._index.row_of(row.digest)  # or was, a moment ago
                if now is not None and now.state in ("claimed", "placing"):
                    self.recover_row(now)
                    count += 1
        return count

    def recover_row(self, row: Row) -> None:
        """Finish a placement that was made, else free the source to be taken again."""
        self._archive.check()  # else what was placed seems not to be
        if row.path is not None:
            self._archive.clear_leftovers(row.digest, row.source.size, row.path)
        if row.state == "placing" and row.path is not None and self._archive.has(row):
            self._archive.make_durable(row)
            if row.label is None:
                self._index.quarantined(row, row.path, row.reason or "")
            else:
                self._record(row, row.path, row.label, row.mode)
            log.info("recovered", digest=row.digest, destination=row.path)
            if row.mode == "move":
                self._remove(row, row.source)
            return
        if row.path is not None:
            self._archive.take_back(row.path, row.source)  # linked, then written to
        self._index.release(row, "released", "interrupted before it was placed")


def _is_left_of_a_move(source: Source, original: Row) -> bool:
    """Whether `source` is the very file that was filed, its removal interrupted.

    Its device is left aside: some file systems get another number at each mount.
    """
    moved = original.mode == "move" and original.path is not None
    return moved and replace(source, device=0) == replace(original.source, device=0)


def _is_itself(source: Source, original: Row, original_path: str) -> bool:
    """Whether `source` is what the original rests on, reached once more, and no second file.

    By its path where the source stays, and by identity: a link in the archive leads back to it,
    other mounts and other spellings of one name may too.
    """
    if original.mode != "move" and source.path == original.source.path:
        return True
    try:
        found = os.stat(original_path)
        return found.st_nlink == 1 and os.path.samestat(found, os.lstat(source.path))
    except OSError:
        return False
