"""Put a file into the archive so that it is never lost, half there, or over another one.

A file appears under its final name complete or not at all: it is linked there (same file system)
or written under a temporary name, made durable, verified, and then linked. `link` fails where a
name is taken; nothing here can overwrite. The source is removed by a separate, last step.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import Literal

from drumwatchd.errors import ArchiveError, PlacementError, SourceChangedError
from drumwatchd.files import (
    Source,
    check_unchanged,
    digest_of,
    fsync_folder,
    make_folders,
    open_regular,
    rename_new,
)

Mode = Literal["move", "copy", "hardlink", "symlink", "none"]
# Errors that one file's name, place or size brings about; the archive takes others.
THIS_FILE_ONLY = frozenset(
    {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EFBIG, errno.EMLINK}
)
# What `link` says where the file systems differ, or where one has no hard links (exFAT, SMB).
CANT_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
# What `rename_new` says where it can't be had (NFS, some FUSE file systems, other kernels).
CANT_RENAME_NEW = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def place(
    source: Source,
    target: str,
    mode: Mode,
    digest: str,
    algorithm: str,
    go_on: Callable[[], object] = lambda: None,
) -> None:
    """Make `source` stand at `target` as `mode` says, durably; the source stays.

    A copy calls `go_on` again and again, and leaves nothing behind when that raises.

    Raises:
        FileExistsError: the name is taken; choose another.
        SourceChangedError: the source is not the file that was digested.
        PlacementError: the archive can't ever take it as it is.
        ArchiveError: the archive can't take it now.
    """
    try:
        make_folders(os.path.dirname(target))
        if mode == "symlink":
            check_unchanged(source)
            os.symlink(source.path, target)
        elif mode == "copy" or not _link(source, target, mode):
            _copy(source, target, digest, algorithm, go_on)
        fsync_folder(os.path.dirname(target))
    except FileExistsError:
        raise
    except OSError as error:
        check_unchanged(source)
        raise archive_error(error, target) from error


def archive_error(error: OSError, target: str) -> ArchiveError:
    """Say in the operator's words why the archive can't take a file."""
    hints = {
        errno.ENOSPC: "free some space; filing resumes by itself",
        errno.EDQUOT: "the quota is used up; filing resumes by itself once there is room",
        errno.EROFS: "the archive is mounted read-only; remount it, filing resumes by itself",
        errno.EACCES: "let the user that runs drumwatchd write there",
        errno.EINVAL: "rename it, the archive's file system doesn't take this name",
        errno.EILSEQ: "rename it, the archive's file system doesn't take this name",
        errno.ENAMETOOLONG: "shorten the names of its folders, or archive.name_template",
        errno.ENOTDIR: "a file stands in the archive where a folder should be; rename one",
        errno.EXDEV: 'inbox and archive are on different file systems; use archive.mode = "copy"',
    }
    reason = error.strerror or str(error)
    hint = hints.get(error.errno or 0)
    kind = PlacementError if error.errno in THIS_FILE_ONLY else ArchiveError
    return kind(f"the archive can't take the file ({reason})", path=target, hint=hint)


def remove_source(source: Source) -> str | None:
    """Remove the inbox file once its content is safe.

    Returns:
        None when it is gone, else why it had to stay.
    """
    try:
        if not source.is_same(os.lstat(source.path)):
            return None  # another file took the name; it is a sample of its own
        os.unlink(source.path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror or str(error)
    return None


def temporary_path(target: str, digest: str) -> str:
    """Where a copy grows before it gets its name; the same after a crash, so it is found."""
    return os.path.join(os.path.dirname(target), f".drumwatchd-{digest[:32]}.part")


def holds(
    path: str, digest: str, algorithm: str, *, on_chunk: Callable[[bytes], object] | None = None
) -> bool:
    """Whether `path` is a file (or a link to one) with this content; `on_chunk` may raise."""
    try:
        return digest_of(os.path.realpath(path), algorithm, on_chunk=on_chunk) == digest
    except OSError:
        return False


def _link(source: Source, target: str, mode: Mode) -> bool:
    """Give the source a second name; False where only a copy will do."""
    _sync(source.path)
    try:
        os.link(source.path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in CANT_LINK or mode == "hardlink":
            raise
        return False
    if not source.is_same(os.lstat(target)):
        os.unlink(target)
        raise SourceChangedError("the file changed before it was archived", path=source.path)
    return True


def _copy(
    source: Source, target: str, digest: str, algorithm: str, go_on: Callable[[], object]
) -> None:
    temporary = temporary_path(target, digest)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        _write_copy(source, temporary, digest, algorithm, go_on)
        _publish(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _write_copy(
    source: Source, temporary: str, digest: str, algorithm: str, go_on: Callable[[], object]
) -> None:
    with open(temporary, "xb") as stream:

        def write(chunk: bytes) -> None:
            go_on()
            stream.write(chunk)

        copied = digest_of(source.path, algorithm, on_chunk=write)
        found = os.lstat(source.path)
        if copied != digest or not source.is_same(found):
            raise SourceChangedError("the file changed while it was copied", path=source.path)
        with contextlib.suppress(OSError):  # FAT and SMB mounts know no owners to allow it
            os.fchmod(stream.fileno(), stat.S_IMODE(found.st_mode) & 0o777)
            os.utime(stream.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
        stream.flush()
        os.fsync(stream.fileno())
    if digest_of(temporary, algorithm, on_chunk=lambda chunk: go_on()) != digest:
        raise OSError(errno.EIO, "the copy reads back differently from what was written")


def _publish(temporary: str, target: str) -> None:
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in CANT_LINK:
            raise
        _rename(temporary, target)


def _rename(temporary: str, target: str) -> None:
    """Give the copy its name where there are no hard links."""
    try:
        rename_new(temporary, target)
    except OSError as error:
        if error.errno not in CANT_RENAME_NEW:
            raise
        # Reserve the name exclusively, then rename over our own reservation.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
        try:
            os.rename(temporary, target)
        except OSError:
            os.unlink(target)
            raise


def _sync(path: str) -> None:
    descriptor = open_regular(path)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
