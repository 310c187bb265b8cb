"""Put one file of a run into an organised folder: never over another, and only what was judged.

The folder is hidden until it is whole, so names may be filled step by step; what a kill left half there is
known again, because it is the beginning of its source.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from drumwatchd.archive.placement import CANT_LINK, THIS_FILE_ONLY
from drumwatchd.batch.records import Seen
from drumwatchd.files import CHUNK_BYTES, digest_of, open_regular

Mode = Literal["copy", "symlink", "hardlink", "none"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one file is left out."""

    reason: str


class Left(Exception):  # noqa: N818 - no error: it ends the way of one file
    """A file is left out, for this reason."""


class Maker:
    """Makes files below a folder."""

    def __init__(self, folder: str, mode: Mode, algorithm: str) -> None:
        self._folder = folder
        self._mode = mode
        self._algorithm = algorithm
        self._made: set[str] = set()

    def make(self, source: str, seen: Seen, relative: str) -> bool | Problem:
        """Whether it was made now (or stood there already), or why it is left out.

        Raises:
            OSError: no more can be made: the disk is full, or read-only.
        """
        try:
            return self._make(source, seen, relative)
        except Left as left:
            return Problem(str(left))
        except OSError as error:
            if error.errno in THIS_FILE_ONLY or error.filename == source:
                return Problem(error.strerror or str(error))
            raise

    def problem_with(self, source: str, seen: Seen) -> Problem | None:
        """Why a file would be left out, as far as can be told without making anything."""
        try:
            self._as_judged(source, seen)
        except Left as left:
            return Problem(str(left))
        except OSError as error:
            return Problem(error.strerror or str(error))
        return None

    def _as_judged(self, source: str, seen: Seen) -> os.stat_result:
        """The source, which is what was judged: by size and time; where only the time differs, by content."""
        try:
            found = os.lstat(source)
        except (FileNotFoundError, NotADirectoryError):
            raise Left("it is gone") from None
        is_same = stat.S_ISREG(found.st_mode) and found.st_size == seen.size
        if is_same and found.st_mtime_ns != seen.mtime_ns:
            is_same = digest_of(source, self._algorithm) == seen.digest
        if not is_same:
            raise Left("it changed since it was judged")
        return found

    def _make(self, source: str, seen: Seen, relative: str) -> bool:
        target = os.path.join(self._folder, relative)
        try:
            found = self._as_judged(source, seen)
        except Left:
            if self._keeps(seen, target):
                return False  # it was made before, and its original may go
            raise
        if self._mode == "none":
            return False
        self._make_folder(os.path.dirname(target))
        try:
            self._put(source, found, seen, target)
        except FileExistsError:
            if self._stands(source, found, seen, target):
                return False
            if not (self._mode == "copy" and _is_torn(source, target)):
                raise Left(f"another file stands at {target}") from None
            os.unlink(target)
            self._put(source, found, seen, target)
        return True

    def _make_folder(self, folder: str) -> None:
        if folder in self._made:
            return
        try:
            os.makedirs(folder, exist_ok=True)
        except FileExistsError:
            raise Left("a file stands where its folder should be") from None
        self._made.add(folder)

    def _put(self, source: str, found: os.stat_result, seen: Seen, target: str) -> None:
        if self._mode == "symlink":
            os.symlink(source, target)
        elif self._mode == "copy":
            self._copy(source, found, seen, target)
        else:
            self._link(source, found, target)

    def _link(self, source: str, found: os.stat_result, target: str) -> None:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno in CANT_LINK:
                raise Left(f"can't be linked there ({error.strerror}); use --mode copy") from error
            raise
        if not os.path.samestat(found, os.lstat(target)):
            os.unlink(target)
            raise Left("it was replaced meanwhile")

    def _copy(self, source: str, found: os.stat_result, seen: Seen, target: str) -> None:
        """Copy what has the digest that was judged, with mode and time."""
        mode = stat.S_IMODE(found.st_mode) & 0o777 | stat.S_IWUSR
        with _closing(open_regular(source)) as reading:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with _closing(os.open(target, flags, mode)) as writing:
                try:
                    if not self._copied(reading, writing, seen):
                        raise Left("it changed since it was judged")
                    os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
                except BaseException:
                    os.unlink(target)
                    raise

    def _copied(self, reading: int, writing: int, seen: Seen) -> bool:
        """Whether what was read is what was judged; it is compared with what then stands there.

        Raises:
            OSError: it reads back differently.
        """
        digest = hashlib.new(self._algorithm, usedforsecurity=False)
        begin, size = 0, min(seen.size + 1, CHUNK_BYTES)
        while chunk := _read(reading, size):
            digest.update(chunk)
            _write(writing, chunk)
            if os.pread(writing, len(chunk), begin) != chunk:
                raise OSError(errno.EIO, "a copy reads back differently from what was written")
            begin += len(chunk)
            if len(chunk) < size and begin == seen.size:
                break  # a short read is the end; to ask once more costs as much as a hit
        return digest.hexdigest() == seen.digest

    def _stands(self, source: str, found: os.stat_result, seen: Seen, target: str) -> bool:
        """Whether what stands there is what would be made."""
        there = os.lstat(target)
        if self._mode == "symlink":
            return stat.S_ISLNK(there.st_mode) and os.readlink(target) == source
        if self._mode == "hardlink":
            return os.path.samestat(found, there)
        return self._keeps(seen, target)

    def _keeps(self, seen: Seen, target: str) -> bool:
        """Whether a file of its own stands there, with the content that was judged."""
        if self._mode not in ("copy", "hardlink") or not os.path.lexists(target):
            return False
        there = os.lstat(target)
        if not stat.S_ISREG(there.st_mode) or there.st_size != seen.size:
            return False
        with _closing(open_regular(target)) as descriptor:
            return self._digest(descriptor) == seen.digest

    def _digest(self, descriptor: int) -> str:
        digest = hashlib.new(self._algorithm, usedforsecurity=False)
        os.lseek(descriptor, 0, os.SEEK_SET)
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()


def _read(descriptor: int, size: int) -> bytes:
    try:
        return os.read(descriptor, size)
    except OSError as error:  # a bad spot of one file's disk; the others are read
        raise Left(f"it can't be read ({error.strerror})") from error


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_torn(source: str, target: str) -> bool:
    """Whether a copy of the source was begun there and not ended."""
    if not stat.S_ISREG(os.lstat(target).st_mode):
        return False
    with open(source, "rb") as whole, open(target, "rb") as part:
        while chunk := part.read(CHUNK_BYTES):
            if whole.read(len(chunk)) != chunk:
                return False
        return bool(whole.read(1))
