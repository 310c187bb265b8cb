"""A run's journal: one line for each file, appended and made durable as the run goes on.

It is the truth of a run; results are made of it. What a crash tore at its end is cut off.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from types import TracebackType

from drumwatchd.batch.records import Record, damaged, read_line
from drumwatchd.errors import RunError
from drumwatchd.files import CHUNK_BYTES

NAME = "journal.jsonl"
# A kill loses nothing that was written; only a power cut what wasn't synced.
SYNC_SECONDS = 1.0


class Journal:
    """A run's journal, opened to go on with it.

    Attributes:
        path: where it lies.
        end: of what is whole, bytes.

    Raises:
        RunError: it can't be opened.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = folder / NAME
        self._clock = clock
        self._synced = clock()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise cant_write(error, self.path) from error
        self.end = os.fstat(self._descriptor).st_size

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)

    def mended(self) -> Iterator[tuple[int, Record]]:
        """Every whole line with where it begins; what is torn at the end is cut off.

        Raises:
            RunError: a line before the end can't be read.
        """
        whole = 0
        for begin, end, record in records(self.path):
            yield begin, record
            whole = end
        os.ftruncate(self._descriptor, whole)
        self.end = whole

    def append(self, lines: list[bytes]) -> list[int]:
        """Add lines; return where each begins.

        Raises:
            RunError: there is no room for them; none of them was added.
        """
        content = b"".join(lines)
        *begins, end = accumulate(map(len, lines), initial=self.end)
        try:
            written = 0
            while written < len(content):
                written += os.pwrite(self._descriptor, content[written:], self.end + written)
            if self._clock() - self._synced >= SYNC_SECONDS:
                self.sync()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.end)
            raise cant_write(error, self.path) from error
        self.end = end
        return begins

    def sync(self) -> None:
        """Make durable what was added."""
        os.fsync(self._descriptor)
        self._synced = self._clock()

    def line_at(self, begin: int) -> bytes:
        """The line that begins there."""
        return line_at(self._descriptor, begin)


def line_at(descriptor: int, begin: int) -> bytes:
    """The line of a journal that begins there, without its newline."""
    size = 4096
    while True:
        found = os.pread(descriptor, size, begin)
        line, newline, _ = found.partition(b"\n")
        if newline or len(found) < size:
            return line
        size *= 4


def records(path: Path) -> Iterator[tuple[int, int, Record]]:
    """Every whole line of a journal with where it begins and ends.

    Raises:
        RunError: one can't be read.
    """
    begin = 0
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    return  # torn by a crash
                yield begin, begin + len(line), _read(path, number, line)
                begin += len(line)
    except OSError as error:
        raise RunError(f"the run can't be read ({error.strerror})", path=str(path)) from error


def record_at(path: Path, begin: int) -> Record:
    """The record of the line that begins there, of a journal that was read before."""
    with path.open("rb") as stream:
        return read_line(line_at(stream.fileno(), begin))


def digest(path: Path) -> str:
    """SHA-256 of a journal."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()


def cant_write(error: OSError, path: Path) -> RunError:
    """The error for results that can't be kept."""
    mend = (
        "let this user write there" if error.errno in (errno.EACCES, errno.EPERM) else "make room"
    )
    return RunError(
        f"the results can't be written ({error.strerror})",
        path=str(path),
        hint=f"what was written stays; {mend}, start it again, and it goes on where it was",
    )


def _read(path: Path, number: int, line: bytes) -> Record:
    try:
        return read_line(line)
    except ValueError as error:
        raise damaged(str(path), number, str(error)) from error
