"""Regular files, opened without following links or blocking, identified and digested."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from drumwatchd.errors import SourceChangedError

CHUNK_BYTES = 1 << 20
# Some file systems hand out 64-bit inodes, and times after 2262; SQLite's integers are signed.
INT64_MASK = (1 << 63) - 1
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Source:
    """One file in an inbox, and what it was when it was last looked at.

    Attributes:
        path: absolute, as Python spells it (surrogate escapes where it isn't UTF-8).
        inbox: the inbox folder it stands in.
        size: bytes.
        mtime_ns: last modification, nanoseconds.
        device, inode: identity, so that another file under the same name is noticed.
    """

    path: str
    inbox: str
    size: int
    mtime_ns: int
    device: int
    inode: int

    @property
    def name(self) -> str:
        """File name with its suffix."""
        return os.path.basename(self.path)

    @property
    def pack(self) -> str:
        """Folders between the inbox and the file; ``''`` at the inbox's top."""
        folder = os.path.relpath(os.path.dirname(self.path), self.inbox)
        return "" if folder == os.curdir else folder

    def is_same(self, found: os.stat_result) -> bool:
        """Whether `found` is this very file, unchanged."""
        return self == source_from_stat(self.path, self.inbox, found)


def source_from_stat(path: str, inbox: str, found: os.stat_result) -> Source:
    """The source that `found` describes."""
    times_and_identity = (found.st_mtime_ns, found.st_dev, found.st_ino)
    return Source(path, inbox, found.st_size, *(value & INT64_MASK for value in times_and_identity))


def look(path: str, inbox: str) -> Source | None:
    """Look at a path; None unless it is a regular file of this inbox.

    Links are not followed, neither the file's own nor one that took a folder's place: what it
    leads to is somebody's library.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    folder = os.path.dirname(path)
    while len(folder) > len(inbox):
        if os.path.islink(folder):
            return None
        folder = os.path.dirname(folder)
    return source_from_stat(path, inbox, found)


def identity_of(path: str) -> tuple[int, int] | None:
    """Device and inode of what stands at a path now (links followed); None where nothing does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_unchanged(source: Source) -> None:
    """Make sure that a source still is what it was.

    Raises:
        SourceChangedError: it vanished, or is not the file it was.
    """
    if look(source.path, source.inbox) != source:
        raise SourceChangedError("the file changed or vanished", path=source.path)


def open_regular(path: str) -> int:
    """Open a regular file for reading and return its descriptor.

    Links are not followed, and a FIFO or device neither blocks nor is read.

    Raises:
        OSError: it can't be opened, or is no regular file.
    """
    descriptor = os.open(path, OPEN_FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"not a regular file: {path!r}")
    return descriptor


def digest_of(
    path: str, algorithm: str, *, on_chunk: Callable[[bytes], object] | None = None
) -> str:
    """Digest a file's content in constant memory.

    Args:
        path: a regular file.
        algorithm: a name that `hashlib.new` takes.
        on_chunk: sees every chunk as it passes, e.g. to write a copy; may raise to end it.

    Returns:
        Hexadecimal digest, lower case.

    Raises:
        OSError: the file can't be read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    descriptor = open_regular(path)
    try:
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
            if on_chunk is not None:
                on_chunk(chunk)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def digest_source(
    source: Source, algorithm: str, *, on_chunk: Callable[[bytes], object] | None = None
) -> str:
    """Digest a source and make sure that it stood still meanwhile; as `digest_of`.

    Raises:
        SourceChangedError: it vanished, or is not the file it was.
        OSError: it can't be read.
    """
    try:
        digest = digest_of(source.path, algorithm, on_chunk=on_chunk)
    except FileNotFoundError as error:
        raise SourceChangedError("the file vanished", path=source.path) from error
    check_unchanged(source)
    return digest


def fsync_folder(folder: str) -> None:
    """Make a folder's entries durable, where its file system knows how to."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what CIFS and some FUSE file systems say of any folder
            raise
    finally:
        os.close(descriptor)


def rename_new(old: str, new: str) -> None:
    """Rename a file, never over another; in one step, also where there are no hard links.

    Raises:
        FileExistsError: the new name is taken.
        OSError: ENOSYS or EINVAL where system or file system don't know how to; others as `rename`.

    References:
        renameat2(2), RENAME_NOREPLACE.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), old)
    if call(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old, None, new)


def make_folders(folder: str) -> None:
    """Create a folder and its missing parents, each made durable in its parent."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for new in reversed(missing):
        try:
            os.mkdir(new)
        except FileExistsError:
            continue
        fsync_folder(os.path.dirname(new))


def write_atomically(path: str, text: str, *, durable: bool = True) -> None:
    """Replace a small text file as a whole; a reader sees the old one or the new one."""
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
    os.replace(temporary, path)
    if durable:
        fsync_folder(os.path.dirname(path) or os.curdir)
