"""The rounds through the archive: when it is looked at, and what becomes of what is found.

The rescan is the truth, at start and every `rescan_seconds`; events only make it sooner. What is
found is digested once it stands still, and nothing is written down unless the archive's marker is
there before and after.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from drumwatchd.archive.archive import Archive
from drumwatchd.archive.corrections import Registrar
from drumwatchd.archive.moves import Mover
from drumwatchd.archive.survey import Findings, Survey
from drumwatchd.errors import DrumwatchdError
from drumwatchd.examiner import Examiner
from drumwatchd.files import identity_of
from drumwatchd.inbox.watcher import ARCHIVE_EVENTS, POLL, Watcher
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index
from drumwatchd.log import get_logger

SETTLE_SECONDS = 2.0
HINT_SECONDS = 1.0  # both ends of a move, and all the files of a folder, in one look
# A sync tool deletes first and creates later, now and then minutes apart. What comes back later
# still is known again; only dropped anew meanwhile it would be filed anew.
PATIENCE_SECONDS = 60.0
PATIENCE_WHILE_BUSY = 10
MANY = 50  # so many missing, and more than half: a disk, rather than a person
# Folders' times don't tell of edits in place, nor on every file system of all else.
WHOLE_EVERY = 12
REST_PER_LOOK = 10.0  # as for inboxes: rounds through a large archive must not be all that is done
NEXT_LOT_SECONDS = 10.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """How often the archive is looked through; times in seconds."""

    rescan_seconds: float = 300.0
    settle_seconds: float = SETTLE_SECONDS
    ignored: Callable[[str], bool] = lambda name: False
    is_stopping: Callable[[], bool] = lambda: False
    is_watched: bool = True


class Rounds:
    """Everything about the archive's upkeep that lives while the daemon runs.

    Attributes:
        last_event, last_rescan: on the clock that `now` comes from; None before the first.
        degraded: why the archive can't be looked through at the moment, or what seems to be wrong
            with it, else None.
    """

    def __init__(
        self, index: Index, archive: Archive, settings: RoundSettings, wake: Callable[[], None]
    ) -> None:
        self.settings = settings
        self.last_event: float | None = None
        self.last_rescan: float | None = None
        self.degraded: str | None = None
        self._index = index
        self._archive = archive
        self._corrections = archive.corrections
        self._places = archive.places
        self._class_folders = archive.class_folders
        self._registrar = Registrar(index, archive)
        self._mover = Mover(index, archive)
        self._survey = Survey(
            archive.classes, archive.places, settings.ignored, settings.is_stopping
        )
        self._examiner = Examiner(index, archive, self._survey, wake, settings.settle_seconds)
        self._wake = wake
        self._hints: set[str] = set()
        self._hints_lock = threading.Lock()
        self._hints_due: float | None = None
        self._second_look: float | None = None
        self._looks = 0
        self._look_seconds = 0.0
        self._watcher: Watcher | None = None
        self._watched: tuple[int, int] | None = None

    @property
    def is_active(self) -> bool:
        """Whether there is an archive at all: mode "none" has none."""
        return self._archive.settings.mode != "none"

    @property
    def is_busy(self) -> bool:
        """Whether something that was found isn't decided yet."""
        return self._examiner.is_busy

    @property
    def untracked(self) -> int:
        """Audio files in class folders that the index doesn't know."""
        return self._survey.untracked

    @property
    def unreadable(self) -> int:
        """Folders that couldn't be listed."""
        return len(self._survey.unreadable)

    @property
    def mode(self) -> str:
        """How the archive is watched."""
        return POLL if self._watcher is None else self._watcher.mode

    def start(self) -> str | None:
        """Begin to watch; return why there are no events, if so."""
        if not self.is_active or not self.settings.is_watched:
            return None
        root = self._archive.settings.root
        self._watched = identity_of(root)
        self._watcher = Watcher(root, "auto", self._hint, ARCHIVE_EVENTS)
        return self._watcher.reason

    def stop(self) -> None:
        """Stop watching, and let what is being digested be."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None
        self._examiner.stop()

    def is_sought(self, row: Row) -> bool:
        """Whether a sample that isn't in its place may still turn out to have been moved."""
        if not self.is_active or row.path is None or row.state == "quarantined":
            return False
        if row.missing is None:
            self._hint(os.path.join(self._archive.settings.root, row.path))
        return True

    # -- one step -------------------------------------------------------------------------------

    def step(self, now: float) -> bool:
        """Do what is due; return whether manifests have to be written anew."""
        if not self.is_active:
            return self._tick(now)
        try:
            looked = self._look_where_due(now)
            decided = self._examiner.step(now)
        except (DrumwatchdError, OSError) as error:
            self._fail(error, now)
            return False
        return (looked or decided) and self._archive.owes_manifests()

    def _look_where_due(self, now: float) -> bool:
        if self._hints and self._hints_due is None:
            self._hints_due = now + HINT_SECONDS
        is_hinted = self._hints_due is not None and now >= self._hints_due
        if is_hinted:
            self._take_hints(now)
        if now >= self._rescan_due or self._is_second_look_due(now):
            self._rescan(now)
            return True
        return is_hinted

    def next_due(self) -> float:
        """When something is due next."""
        others = (self._examiner.next_due(), self._hints_due, self._second_look)
        return min((self._rescan_due, *(when for when in others if when is not None)))

    @property
    def _rescan_due(self) -> float:
        if self.last_rescan is None:
            return 0.0
        return self.last_rescan + max(
            self.settings.rescan_seconds, REST_PER_LOOK * self._look_seconds
        )

    def _tick(self, now: float) -> bool:
        """Without an archive only the labels may change, by a command."""
        if now < self._rescan_due:
            return False
        self.last_rescan = now
        return self._archive.owes_manifests()

    def _is_second_look_due(self, now: float) -> bool:
        return self._second_look is not None and now >= self._second_look

    def _fail(self, error: Exception, now: float) -> None:
        """Nothing is proved while the archive or the index can't be read; say so once."""
        self.last_rescan = now
        self._second_look = None
        if self.degraded is None:
            log.error("archive can't be looked through", reason=str(error))
        self.degraded = str(error)

    # -- looks ----------------------------------------------------------------------------------

    def _rescan(self, now: float) -> None:
        self._archive.check()
        self._watch_anew()
        self.last_rescan, self._second_look = now, None
        self._finish_moves()
        findings = self._look()
        self._class_folders.note_disks(self._survey.devices)
        self._record(findings, now, everywhere=bool(findings.missing))
        self._tell(self._class_folders.problem(self._retire(now)))

    def _tell(self, problem: str | None) -> None:
        """Say once what is wrong with the class folders, or that nothing is any more."""
        if problem == self.degraded:
            return
        if problem is None:
            log.info("archive is back", path=self._archive.settings.root)
        else:
            log.error("class folder emptied", reason=problem)
        self.degraded = problem

    def _finish_moves(self) -> None:
        """Finish what an interrupted command began."""
        for row, error in self._mover.finish_all():
            log.warning("move not finished", path=row.path, reason=str(error))

    def _look(self) -> Findings:
        started = time.monotonic()
        findings = self._survey.look(whole=self._looks % WHOLE_EVERY == 0)
        self._look_seconds = time.monotonic() - started
        self._looks += 1
        return findings

    def _watch_anew(self) -> None:
        """Mounted anew, or replaced: events of the old folder say nothing of it."""
        root = self._archive.settings.root
        if self._watcher is not None and identity_of(root) not in (None, self._watched):
            self._watcher.stop()
            self.start()

    def _take_hints(self, now: float) -> None:
        with self._hints_lock:
            hints, self._hints = self._hints, set()
        self._hints_due, self.last_event = None, now
        folders = set()
        for path in hints:
            folders |= self._folder_to_look_at(path, now)
        if folders:
            self._archive.check()
            findings = self._survey.glance(folders)
            self._record(findings, now, everywhere=bool(findings.missing))

    def _folder_to_look_at(self, path: str, now: float) -> set[str]:
        """The folder that a hint speaks of; none where the daemon's own work raised it."""
        relative = os.path.relpath(path, self._archive.settings.root)
        top, *below = relative.split("/")
        if self._archive.classes.label_of(top) is None or any(map(self.settings.ignored, below)):
            return set()
        if os.path.isdir(path) or self._survey.knows(relative):
            return {relative}  # a folder that came or went
        if not below:
            return set()
        is_there = os.path.lexists(path)
        if is_there != self._places.is_place(relative):
            return {os.path.dirname(relative)}
        if is_there:
            self._look_at_edited(path, relative, now)
        return set()

    def _look_at_edited(self, path: str, relative: str, now: float) -> None:
        place, source = self._places.place_at(relative), self._survey.examine(path)
        if place is None or source is None or place.state != "filed":
            return
        if (source.size, source.mtime_ns) != (place.size, place.mtime_ns):
            self._examiner.take(source, now)

    def _record(self, findings: Findings, now: float, *, everywhere: bool) -> None:
        """Note what is missing, and have looked at what may be it."""
        self._archive.check()  # unmounted meanwhile, everything seemed to be missing
        if findings.missing:
            self._corrections.miss(findings.missing)
            self._second_look = now + self._patience
        sought = self._survey.sought(None if everywhere else findings.folders)
        sought = filter(self._examiner.may_be_sought, sought)
        patience = self._patience if self._looks > 1 else 0.0  # moved while it was down
        for source in chain(findings.altered, sought):
            if self._examiner.is_full:
                self._looks, self._second_look = 0, now + NEXT_LOT_SECONDS
                break
            self._examiner.take(source, now, patience=patience)

    @property
    def _patience(self) -> float:
        return min(PATIENCE_SECONDS, self.settings.rescan_seconds)

    def _retire(self, now: float) -> dict[str, int]:
        """Samples that are missing at a second look are gone, unless something is undecided.

        Returns:
            What is kept for all that: how many each class folder lost that lost all it had.
        """
        missing = self._places.count_missing()
        if not missing:
            self._class_folders.settle(self._survey.devices)
            return {}
        since = self._index.now() - self._patience_with(missing)
        emptied = self._class_folders.emptied(since=since)
        rows = self._places.missing(since=since)
        gone = [row for row in rows if (row.path or "").split("/", 1)[0] not in emptied]
        if gone:
            self._registrar.give_up(gone)
            self._class_folders.settle(self._survey.devices)
        if emptied or len(rows) < missing:
            self._second_look = now + self._patience
        return emptied

    def _patience_with(self, missing: int) -> float:
        patience = self._patience
        filed = sum(self._index.count_filed().values()) if missing > MANY else 0
        if 2 * missing > filed > MANY:
            patience = max(PATIENCE_SECONDS, self.settings.rescan_seconds)
            log.warning("more than half of the archive is missing", missing=missing, of=filed)
        if self.is_busy:
            patience *= PATIENCE_WHILE_BUSY  # perhaps it is one of those that aren't decided yet
        return patience

    def _hint(self, path: str) -> None:
        with self._hints_lock:
            first = not self._hints
            self._hints.add(path)
        if first:
            self._wake()
