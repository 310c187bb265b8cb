"""Phase one, as a story: find → digest → analyse what is new → write it down, in the order of the walk.

    walk ──► ledger ──► digest ──► known content? ──► analyse ──► journal ──► results

Files go through it in blocks, several ahead in an executor's hands; what comes back is taken in the
order in which it was given, so that the journal is the same however often the run was interrupted.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.batch.journal import Journal, line_at, records
from drumwatchd.batch.ledger import Content, Found, Ledger
from drumwatchd.batch.records import Place, Seen, full_path, line_of, read_line, said_in
from drumwatchd.batch.results import write_results
from drumwatchd.batch.run_folder import RunFolder, folders_of_ours, runs_in
from drumwatchd.batch.tally import Tally
from drumwatchd.batch.work import (
    OF_THE_NAME,
    Digested,
    Trouble,
    analyse_files,
    digest_files,
)
from drumwatchd.errors import DrumwatchdError, RunError, WorkersStoppedError
from drumwatchd.inbox.rescan import Tally as WalkTally
from drumwatchd.inbox.rescan import walk

BLOCK_FILES = 64
# So many blocks are with the executor at once, per worker.
AHEAD = 3


class Progress(Protocol):
    """Told how far a run is."""

    def start(self, done: int, to_do: int) -> None:
        """All files are found: so many are done already, and so many are not."""

    def advance(self, files: int) -> None:
        """So many more are done."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Who does the work.

    Attributes:
        executor: runs plain functions, here or elsewhere.
        count: of its workers.
    """

    executor: Executor
    count: int


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run came to.

    Attributes:
        tally: of all its files.
        unreadable: folders that couldn't be searched, each with its reason.
        resumed: files that were done before this start.
        reused: files whose content an earlier run had judged already.
    """

    tally: Tally
    unreadable: dict[str, str]
    resumed: int
    reused: int


def classify(
    run: RunFolder,
    out: Path,
    settings: AnalysisSettings,
    hands: Hands,
    ignored: Callable[[str], bool],
    progress: Progress,
) -> Ended:
    """Bring a run to its results.

    Args:
        run: its folder, new or interrupted.
        out: where it lies; content that earlier runs there have judged isn't judged again.
        settings: how to judge, the model pinned.
        hands: who does the work.
        ignored: test of a file or folder name that is passed over.
        progress: is told.

    Raises:
        RunError: nothing can be written any more; what was written stays.
        ModelError, WorkersStoppedError: nothing can be judged.
    """
    try:
        while True:
            with ExitStack() as stack, suppress(_ChangedError):
                ledger = stack.enter_context(closing(Ledger()))
                book = stack.enter_context(Journal(run.path))
                story = _Story(run, settings, hands, ledger, book, stack)
                return story.told(out, ignored, progress)
            os.replace(run.journal, run.journal_before)
    except sqlite3.Error as error:
        raise RunError(
            f"the list of files can't be kept ({error})", path=os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - named, not used
            hint="make room there, or set TMPDIR; started again, it goes on where it was",
        ) from error  # fmt: skip


class _ChangedError(Exception):
    """Files were changed while the run was interrupted: a new journal, with what is known of contents."""


class _Story:
    """One start of a run."""

    def __init__(
        self,
        run: RunFolder,
        settings: AnalysisSettings,
        hands: Hands,
        ledger: Ledger,
        book: Journal,
        stack: ExitStack,
    ) -> None:
        self._run = run
        self._settings = settings
        self._hands = hands
        self._ledger = ledger
        self._book = book
        self._stack = stack
        self._asked: set[str] = set()  # contents that are being judged
        self._earlier: list[int] = []  # descriptors of other runs' journals
        self._reused = 0

    def told(self, out: Path, ignored: Callable[[str], bool], progress: Progress) -> Ended:
        resumed = self._remember(out)
        unreadable = self._discover(out, ignored)
        if self._ledger.has_changed():
            raise _ChangedError
        to_do, _ = self._ledger.to_do()
        progress.start(resumed, to_do)
        for block in self._analysed(self._digested()):
            self._write(block)
            progress.advance(len(block.found))
        tally = write_results(self._run, self._book, self._ledger, unreadable)
        return Ended(tally, unreadable, resumed, self._reused)

    # -- what is known before -------------------------------------------------------------------

    def _remember(self, out: Path) -> int:
        """Read the run's own journal, and what earlier runs say of contents."""
        for begin, record in self._book.mended():
            self._noted(
                record.seen, begin, speaks=bool(record.said) or _is_of_content(record.error)
            )
        resumed = self._ledger.count_done()
        for other in runs_in(out):
            if other.judges_like(self._run):
                journal = other.journal if other.path != self._run.path else other.journal_before
                self._learn_from(journal)
        return resumed

    def _learn_from(self, journal: Path) -> None:
        with suppress(RunError, OSError):  # what can't be read is judged again
            stream = self._stack.enter_context(journal.open("rb"))
            self._earlier.append(stream.fileno())
            for begin, _, record in records(journal):
                if record.said and record.seen.digest is not None:
                    content = Content(len(self._earlier), begin, record.seen.place)
                    self._ledger.speaks(record.seen.digest, content)

    def _discover(self, out: Path, ignored: Callable[[str], bool]) -> dict[str, str]:
        walked = WalkTally()
        for number, root in enumerate(self._run.about.roots):
            files = _files_below(number, root, ignored, walked, os.path.realpath(out))
            while lot := list(islice(files, 1000)):
                self._ledger.find(lot)
        return walked.unreadable

    # -- the way of a block ---------------------------------------------------------------------

    def _digested(self) -> Iterator[_Block]:
        """Blocks of files with their digests."""
        algorithm = self._run.about.algorithm
        waiting: deque[tuple[list[Found], _Task]] = deque()
        for found in self._ledger.blocks(BLOCK_FILES):
            waiting.append((found, self._task(digest_files, self._paths(found), algorithm)))
            if len(waiting) > AHEAD * self._hands.count:
                found, task = waiting.popleft()
                yield _Block(found, task.answers())
        while waiting:
            found, task = waiting.popleft()
            yield _Block(found, task.answers())

    def _analysed(self, blocks: Iterable[_Block]) -> Iterator[_Block]:
        """The same with what is heard of contents that are new."""
        waiting: deque[_Block] = deque()
        for block in blocks:
            self._ask(block)
            waiting.append(block)
            if len(waiting) > AHEAD * self._hands.count:
                yield waiting.popleft()
        yield from waiting

    def _ask(self, block: _Block) -> None:
        """Have those contents judged that nobody has judged and nobody is judging."""
        fresh: dict[str, tuple[Digested, str]] = {}
        for found, digested in zip(block.found, block.digested, strict=True):
            if isinstance(digested, Digested) and digested.digest not in self._asked:
                fresh.setdefault(digested.digest, (digested, found.place.path))
        for digest in self._ledger.known(list(fresh)):
            del fresh[digest]
        block.asked = list(fresh)
        self._asked.update(fresh)
        if fresh:
            block.task = self._task(analyse_files, list(fresh.values()), self._settings)

    def _write(self, block: _Block) -> None:
        """Write a block's lines, and note where they are."""
        answers = {}
        if block.task is not None:
            answers = dict(zip(block.asked, block.task.answers(), strict=True))
            self._asked.difference_update(block.asked)
        lines, notes = [], []
        known = self._ledger.known([d.digest for d in block.digested if isinstance(d, Digested)])
        here: dict[str, tuple[Place, str | Trouble]] = {}
        for found, digested in zip(block.found, block.digested, strict=True):
            if isinstance(digested, Trouble):
                seen = Seen(found.place, found.size, found.mtime_ns, None)
                lines.append(line_of(seen, error=digested))
                notes.append((seen, False))
                continue
            line, speaks = self._line(found.place, digested, known, here, answers)
            source = digested.source
            lines.append(line)
            notes.append((Seen(found.place, source.size, source.mtime_ns, digested.digest), speaks))
        begins = self._book.append(lines)
        for (seen, speaks), begin in zip(notes, begins, strict=True):
            self._noted(seen, begin, speaks=speaks)

    def _line(
        self,
        place: Place,
        digested: Digested,
        known: dict[str, Content],
        here: dict[str, tuple[Place, str | Trouble]],
        answers: dict[str, Any],
    ) -> tuple[bytes, bool]:
        """The line of one file, and whether it speaks of its content."""
        digest, source = digested.digest, digested.source
        seen = Seen(place, source.size, source.mtime_ns, digest)
        if digest in here:
            original, said = here[digest]
            error = said if isinstance(said, Trouble) else None
            return line_of(seen, duplicate_of=original, error=error), False
        content = known.get(digest)
        if content is not None and content.run == 0:
            error = read_line(self._book.line_at(content.begin)).error
            return line_of(seen, duplicate_of=content.place, error=error), False
        if content is not None:
            said = said_in(line_at(self._earlier[content.run - 1], content.begin))
            self._reused += 1
        else:
            said = answers.pop(digest, None) or self._alone(digested, place)
        if isinstance(said, Trouble) and not _is_of_content(said):
            return line_of(seen, error=said), False
        here[digest] = (place, said)
        if isinstance(said, Trouble):
            return line_of(seen, error=said), True
        return line_of(seen, said=said), True

    def _alone(self, digested: Digested, place: Place) -> str | Trouble:
        """Judge one file more: the first of its content changed or vanished."""
        pairs = [(digested, place.path)]
        answer: str | Trouble = self._task(analyse_files, pairs, self._settings).answers()[0]
        return answer

    def _noted(self, seen: Seen, begin: int, *, speaks: bool) -> None:
        self._ledger.done(seen.place, seen.size, seen.mtime_ns, seen.digest, begin)
        if speaks and seen.digest is not None:
            self._ledger.speaks(seen.digest, Content(0, begin, seen.place))

    def _paths(self, found: Sequence[Found]) -> list[str]:
        return [full_path(self._run.about.roots, file.place) for file in found]

    def _task(self, function: Callable[..., list[Any]], items: Sequence[Any], *more: Any) -> _Task:
        return _Task(self._hands.executor, function, items, more)


class _Block:
    """Files on their way together."""

    def __init__(self, found: list[Found], digested: list[Digested | Trouble]) -> None:
        self.found = found
        self.digested = digested
        self.asked: list[str] = []  # digests
        self.task: _Task | None = None


class _Task:
    """A function of many files, with an executor; one file's crash or hang costs that file only."""

    def __init__(
        self,
        executor: Executor,
        function: Callable[..., list[Any]],
        items: Sequence[Any],
        more: tuple[Any, ...],
    ) -> None:
        self._executor = executor
        self._function = function
        self._items = items
        self._more = more
        self._future: Future[list[Any]] = executor.submit(function, items, *more)

    def answers(self) -> list[Any]:
        """One for each file; a `Trouble` for what can't be worked on.

        Raises:
            ModelError: the model can't be used.
            WorkersStoppedError: no worker can be started, or all of them die.
        """
        try:
            return self._future.result()
        except DrumwatchdError:
            raise
        except Exception as error:
            if len(self._items) == 1:
                return [_trouble(error)]
        alone = [
            _Task(self._executor, self._function, [item], self._more).answers()[0]
            for item in self._items
        ]
        died = [item for item in alone if isinstance(item, Trouble) and item.kind == "crash"]
        if len(died) == len(self._items) > 3:
            raise WorkersStoppedError(
                f"the workers can't work: {died[0].reason}",
                hint="is there memory for them? see also classify.worker_memory_mb",
            )
        return alone


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, (TimeoutError, FutureTimeoutError)):
        return Trouble("timeout", "the analysis took too long")
    if isinstance(error, CancelledError):
        return Trouble("crash", "the worker died")
    code = getattr(error, "exitcode", None)
    if code is not None:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Trouble("crash", f"the worker died ({how})")
    return Trouble("crash", f"{type(error).__name__}: {error}")


def _is_of_content(error: Trouble | None) -> bool:
    return error is not None and error.kind not in OF_THE_NAME


def _files_below(
    number: int, root: str, ignored: Callable[[str], bool], walked: WalkTally, out: str
) -> Iterator[Found]:
    """The audio files of a root, but for what runs left in their own folder; a file is one."""
    if not os.path.isdir(root):
        found = os.lstat(root)
        yield Found(Place(number, ""), found.st_size, found.st_mtime_ns)
        return
    ours = tuple(f"{folder}/" for folder in folders_of_ours(out))
    for source in walk(root, ignored, walked):
        if not source.path.startswith(ours):
            path = source.path[len(root) :].lstrip("/")
            yield Found(Place(number, path), source.size, source.mtime_ns)
