"""A copy of the index, made while others write to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from drumwatchd.errors import IndexStoreError, UsageError
from drumwatchd.files import fsync_folder
from drumwatchd.index.reader import open_reader

PAGES_AT_ONCE = 2_000


def back_up(index_path: str, target: str) -> int:
    """Copy the index as it is at one moment, durably; never over another file.

    Returns:
        Bytes.

    Raises:
        UsageError: there is a file of that name.
        IndexStoreError: the index can't be read, the copy can't be written, or it isn't whole.
    """
    if os.path.lexists(target):
        raise UsageError("there is a file already", path=target, hint="name another one")
    temporary = f"{target}.part"
    try:
        with open_reader(index_path) as reader, contextlib.closing(_new(temporary)) as copy:
            reader.copy_to(copy, PAGES_AT_ONCE)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            (said,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if said != "ok":
            hint = "drumwatchd check says what is wrong with the index"
            raise IndexStoreError(f"the copy is damaged: {said}", path=target, hint=hint)
        _sync(temporary)
        os.link(temporary, target)
        fsync_folder(os.path.dirname(os.path.abspath(target)))
        return os.path.getsize(target)
    except (OSError, sqlite3.Error) as error:
        raise IndexStoreError(f"the copy can't be written ({error})", path=target) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _new(path: str) -> sqlite3.Connection:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return sqlite3.connect(path)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
